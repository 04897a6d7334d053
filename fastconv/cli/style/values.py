"""Texts on the command line, read as the values that options have."""

from __future__ import annotations

import argparse
from collections.abc import Callable


def size(text: str) -> int | str:
    """Read a whole number as one, and leave other sizes to `stylize`."""
    return int(text) if text.isascii() and text.isdigit() else text


def numbers(expected: str) -> Callable[[str], tuple[float, ...]]:
    """Return what reads numbers between commas, and asks for what is `expected` where there is something else."""

    def read(text: str) -> tuple[float, ...]:
        try:
            return tuple(float(part) for part in text.split(","))
        except ValueError:
            raise argparse.ArgumentTypeError(f"expected {expected}, got {text!r}") from None

    return read


def names(text: str) -> tuple[str, ...]:
    """Read names between commas."""
    return tuple(part.strip() for part in text.split(",") if part.strip())
