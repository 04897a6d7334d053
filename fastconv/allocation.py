"""Memory for arrays, which results use again when others are no more.

A fresh array of 67 MB costs 6 ms of page faults, about as much time as the computation of VGG-19's first layer. The C
library keeps freed blocks below 32 MB for the next allocation. This module does the same for larger ones.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastconv.jit import LINE, address_of
from fastconv.sizes import round_up

RECYCLED_FROM = 32 << 20  # bytes: where glibc's allocator begins to give memory back to the system at once
KEPT_BYTES = 128 << 20  # of idle memory, in total

_idle: deque[NDArray[np.uint8]] = deque()  # its operations are atomic: a lease may end in the midst of any of them


class _Lease:
    """What an array on recycled memory, and all views of it, keep alive."""

    def __init__(self, buffer: NDArray[np.uint8], shape: tuple[int, ...], dtype: np.dtype[Any]):
        self._buffer = buffer
        address = round_up(address_of(buffer), LINE)
        self.__array_interface__ = {"version": 3, "shape": shape, "typestr": dtype.str, "data": (address, False)}

    def __del__(self) -> None:
        if self._buffer.size > KEPT_BYTES:
            return
        _idle.append(self._buffer)
        while sum(buffer.size for buffer in list(_idle)) > KEPT_BYTES:
            try:
                _idle.popleft()
            except IndexError:  # another thread was faster
                break


def empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return an array, C-contiguous and uninitialised, that shares memory with no other.

    Parameters
    ----------
    shape : tuple of int
    dtype : dtype
        In native byte order.
    """
    nbytes = math.prod(shape) * dtype.itemsize
    if nbytes < RECYCLED_FROM:
        return np.empty(shape, dtype)
    return np.asarray(_Lease(_take(nbytes + LINE), shape, dtype))


def _take(nbytes: int) -> NDArray[np.uint8]:
    """Return idle memory that is large enough, but not more than twice as large, or else new memory."""
    for _ in range(len(_idle)):
        try:
            buffer = _idle.popleft()
        except IndexError:  # another thread was faster
            break
        if nbytes <= buffer.size <= 2 * nbytes:
            return buffer
        _idle.append(buffer)
    return np.empty(nbytes, np.uint8)


def whole_lines(size: int, itemsize: int) -> int:
    """Return `size` elements, rounded up to whole cache lines."""
    return round_up(size, LINE // itemsize)


def aligned(size: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return an array of `size` elements, uninitialised, that begins with a cache line."""
    memory = np.empty(size * dtype.itemsize + LINE, np.uint8)
    first = -address_of(memory) % LINE
    return memory[first : first + size * dtype.itemsize].view(dtype)
