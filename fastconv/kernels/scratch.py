"""Scratch memory for kernels: aligned, reused, and owned by one call at a time."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator

import numpy as np

ALIGNMENT = 64  # a cache line, and the widest vector
HUGE_PAGES_FROM = 4 << 20  # from this size on NumPy asks for huge pages: a few percent less time in the big kernels
KEEP_BYTES = 64 << 20  # idle buffers kept for the next call, in total

_lock = threading.Lock()
_idle: list[np.ndarray] = []


def _after_fork_in_child() -> None:
    global _lock
    _lock = threading.Lock()  # the parent's may have been held


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


@contextlib.contextmanager
def borrow(nbytes: int) -> Iterator[int]:
    """Yield the address of at least `nbytes` bytes that nobody else uses meanwhile; what they hold is undefined."""
    buffer = _take(nbytes + ALIGNMENT)
    try:
        yield -(-buffer.ctypes.data // ALIGNMENT) * ALIGNMENT
    finally:
        _give_back(buffer)


def _take(nbytes: int) -> np.ndarray:
    with _lock:
        fitting = [number for number, buffer in enumerate(_idle) if buffer.nbytes >= nbytes]
        if fitting:
            return _idle.pop(min(fitting, key=lambda number: _idle[number].nbytes))
    return np.empty(max(nbytes, HUGE_PAGES_FROM), np.uint8)


def _give_back(buffer: np.ndarray) -> None:
    with _lock:
        _idle.append(buffer)
        while sum(each.nbytes for each in _idle) > KEEP_BYTES:
            _idle.pop(0)  # the one that has waited longest
