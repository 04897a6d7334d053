"""Scratch memory for kernels: aligned, reused, and owned by one call at a time."""

from __future__ import annotations

import bisect
import math
import operator

import numpy as np

from fastconv.jit import LINE, RenewedLock, address_of
from fastconv.sizes import round_up

HUGE_PAGES_FROM = 4 << 20  # from this size on NumPy asks for huge pages: a few percent less time in the big kernels
KEEP_BYTES = 64 << 20  # idle buffers kept for the next call, in total

_guard = RenewedLock()
_idle: list[np.ndarray] = []  # by size
_size = operator.attrgetter("size")


class borrow:
    """Context manager: the address of at least `nbytes` bytes that nobody else uses meanwhile.

    It begins with a cache line. What the bytes hold is undefined.
    """

    __slots__ = ("_buffer", "_nbytes")

    def __init__(self, nbytes: int):
        self._nbytes = nbytes

    def __enter__(self) -> int:
        self._buffer = _take(self._nbytes + LINE)
        return round_up(address_of(self._buffer), LINE)

    def __exit__(self, *exception: object) -> None:
        _give_back(self._buffer)


class borrow_arrays:
    """Context manager: arrays of these shapes, as a list, that nobody else uses meanwhile.

    Each begins with a cache line, and a vector may reach past its end. What they hold is undefined.
    """

    __slots__ = ("_buffer", "_dtype", "_shapes")

    def __init__(self, dtype: np.dtype, *shapes: tuple[int, ...]):
        self._dtype, self._shapes = dtype, shapes

    def __enter__(self) -> list[np.ndarray]:
        starts, end, item = [], 0, self._dtype.itemsize
        for shape in self._shapes:
            starts.append(end)
            end += round_up(math.prod(shape) * item, LINE) + LINE
        self._buffer = _take(end + LINE)
        first = -address_of(self._buffer) % LINE
        places = zip(self._shapes, starts, strict=True)
        return [np.ndarray(shape, self._dtype, self._buffer, first + start) for shape, start in places]

    def __exit__(self, *exception: object) -> None:
        _give_back(self._buffer)


def _take(nbytes: int) -> np.ndarray:
    with _guard.lock:
        for at, buffer in enumerate(_idle):  # a few at most
            if buffer.size >= nbytes:
                return _idle.pop(at)
        if _idle:
            _idle.pop()  # a larger one takes its place: else each size would leave a buffer behind
    return np.empty(max(nbytes, HUGE_PAGES_FROM), np.uint8)


def _give_back(buffer: np.ndarray) -> None:
    with _guard.lock:
        if not _idle:
            _idle.append(buffer)
            return
        bisect.insort(_idle, buffer, key=_size)
        while len(_idle) > 1 and sum(map(_size, _idle)) > KEEP_BYTES:
            _idle.pop(0)  # the largest serves any call
