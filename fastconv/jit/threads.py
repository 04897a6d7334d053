"""On how many threads kernels run."""

from __future__ import annotations

import functools
from typing import Any

import numba
import numpy as np
from numba.np.ufunc import parallel as numba_parallel

from .forks import regions

SERIAL_PRODUCTS = 1 << 18  # below this many multiply-adds a second thread costs more than it brings
SERIAL_ELEMENTS = 1 << 16  # the same of elements that are read, or read and written, once

_num_threads = int(numba.config.NUMBA_NUM_THREADS)


def get_num_threads() -> int:
    """Return the number of threads that kernels use, for the whole process."""
    return _num_threads


def set_num_threads(n: int) -> None:
    """Set the number of threads that kernels use, for the whole process.

    Parameters
    ----------
    n : int
        From 1 to ``numba.config.NUMBA_NUM_THREADS``: the number of cores, unless the environment says otherwise.

    Raises
    ------
    TypeError
        If `n` is no integer.
    ValueError
        If `n` is out of range.
    """
    global _num_threads
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)):
        raise TypeError(f"n must be an int, got {type(n).__name__}")
    most = int(numba.config.NUMBA_NUM_THREADS)
    if not 1 <= n <= most:
        raise ValueError(f"n must be from 1 to {most} (NUMBA_NUM_THREADS), got {n}")
    _num_threads = int(n)


def threads_for(*, products: int = 0, elements: int = 0, most: int | None = None) -> int:
    """Return on how many threads to do so many multiply-adds, or pass over so many elements.

    That is `most`, by default all that there are, or 1 if the work is little.
    """
    if products <= SERIAL_PRODUCTS and elements <= SERIAL_ELEMENTS:
        return 1
    return _num_threads if most is None else most


@functools.cache
def threading_layer() -> str:
    """Start Numba's threading layer if need be, and return its name: "tbb", "omp" or "workqueue"."""
    return regions.launch()


def _mask_threads(threads: int) -> int:
    """Let the calling Python thread use `threads` of Numba's workers; return how many it used before.

    Numba's own setting is per thread. Its function that tells it takes two locks first, which is most of its time.
    """
    before = int(numba_parallel._get_num_threads())
    if before != threads:
        numba.set_num_threads(threads)
    return before


def run(share: Any, parallel: Any, zero: np.generic, address: int, threads: int) -> None:
    """Run a kernel's `threads` shares, in parallel where that is safe.

    Parameters
    ----------
    share, parallel : dispatcher
        The serial and the parallel twin.
    zero : numpy.float32 or numpy.float64
        Zero of the element type.
    address : int
        Of the record that says what to do.
    threads : int
        How many parts the work has.
    """
    if threads == 1:
        share(0, 1, zero, address)
        return
    layer = threading_layer()
    if regions.serial:
        for t in range(threads):
            share(t, threads, zero, address)
        return
    # No context managers of generators here: they took longer than starting the threads.
    regions.begin(layer)
    try:
        before = _mask_threads(threads)
        try:
            parallel(threads, zero, address)
        finally:
            _mask_threads(before)
    finally:
        regions.end()
