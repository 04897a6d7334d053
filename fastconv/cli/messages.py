"""What is said to people."""

from __future__ import annotations

import sys


def say(message: str) -> None:
    """Tell the user something that is not a result."""
    print(f"fastconv: {message}", file=sys.stderr, flush=True)
