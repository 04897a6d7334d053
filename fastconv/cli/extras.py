"""Libraries that are not installed, and the extras of this package that bring them."""

from __future__ import annotations

import re
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, requires

# Modules that are called otherwise than the packages they come in.
_PACKAGE_OF = {"PIL": "pillow", "skimage": "scikit-image"}


def how_to_install(error: ModuleNotFoundError, extra: str) -> str | None:
    """Return how to install what `error` misses, or None if no extra of this package brings it.

    `extra` is what the command needs in any case, so that one installation is enough.
    """
    module = (error.name or "").partition(".")[0]
    package = _PACKAGE_OF.get(module, module.lower().replace("_", "-"))
    extras = _extras()
    enough = [name for name, brought in extras.items() if package in brought and extras[extra] <= brought]
    if not enough:
        return None
    smallest = min(enough, key=lambda name: len(extras[name]))
    return f"{module} is not installed; this command needs: pip install 'fastconv[{smallest}]'"


def _extras() -> dict[str, set[str]]:
    """Return the packages that each of our extras brings, those of extras within it too, as the metadata lists them."""
    extras: dict[str, set[str]] = {}
    with suppress(PackageNotFoundError):  # as in a checkout that was never installed
        for requirement in requires("fastconv") or ():
            if match := re.match(r"([\w.-]+).*\bextra == ['\"]([\w-]+)", requirement):
                package, extra = match.groups()
                extras.setdefault(extra, set()).add(package.lower())
    return extras
