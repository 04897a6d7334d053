"""The photograph of the demo."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from fastconv.style.images import ImageError


def demo_photograph() -> Path:
    """Find the photograph of the demo: a cup of coffee, 600x400, by Rachel Michetti (CC0).

    It comes in the wheel of scikit-image, which is not imported for it.

    Raises
    ------
    ModuleNotFoundError
        If scikit-image is not installed.
    ImageError
        If it is, without the photograph.
    """
    package = importlib.util.find_spec("skimage")
    if package is None or not package.submodule_search_locations:
        raise ModuleNotFoundError(
            "the demo's photograph comes with scikit-image; install it: pip install 'fastconv[demo]'",
            name="skimage",
        )
    path = Path(package.submodule_search_locations[0]) / "data" / "coffee.png"
    if not path.is_file():
        raise ImageError(f"{path} is missing; install scikit-image again: pip install --force-reinstall scikit-image")
    return path
