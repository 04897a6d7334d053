"""Which arguments were given."""

from __future__ import annotations

import argparse
from typing import Any

_NO_ARGUMENTS = {"run", "extra", "callback"}  # what a namespace holds beside them


def given(args: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments that were given, by name. Those that were not are left out: `stylize` has their defaults."""
    return {name: value for name, value in vars(args).items() if name not in _NO_ARGUMENTS and value != []}
