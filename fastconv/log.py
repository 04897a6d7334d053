"""Telling a caller, a line at a time, what is being done."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

Log: TypeAlias = Callable[[str], None]


def unheard(message: str) -> None:
    """Do nothing: the `Log` of callers who give none."""
