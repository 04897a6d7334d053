"""What a command that resumes may change of the run."""

from __future__ import annotations

import argparse
from typing import Any

from fastconv.cli.errors import CommandError, Exit
from fastconv.cli.style.given import given

_MAY_CHANGE = {"resume", "output", "steps", "save_every", "quiet"}

# Arguments that are not spelt as their names with dashes.
_SPELT = {
    "pictures": "pictures",
    "log_file": "--log",
    "clip": "--no-clip",
    "masks": "--mask",
    "metadata": "--no-metadata",
}


def changes(args: argparse.Namespace) -> dict[str, Any]:
    """Return what is to be changed, as `fastconv.style.running.run.resume` takes it, or raise if it is too much."""
    arguments = given(args)
    if others := [name for name in arguments if name not in _MAY_CHANGE]:
        raise CommandError(
            Exit.USAGE,
            "style: --resume takes every setting from the file but -o, --steps, --save-every and --quiet; "
            f"given as well: {', '.join(map(_spelt, others))}",
        )
    return {
        "picture": arguments.get("output"),
        "steps": arguments.get("steps"),
        "save_every": arguments.get("save_every"),
    }


def _spelt(name: str) -> str:
    """Return how the command line spells an argument."""
    return _SPELT.get(name, f"--{name.replace('_', '-')}")
