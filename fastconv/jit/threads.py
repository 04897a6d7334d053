"""On how many threads kernels run, and when: from many Python threads at once and in forked children, too."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib.metadata
import os
import threading
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numba.np.ufunc import parallel as numba_parallel

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


def _preload_tbb() -> None:
    """Load the tbb wheel's library where Numba's threading layer will look for it.

    In a virtual environment the wheel puts it outside the loader's path. A user who chose a layer is left alone.
    """
    if os.environ.get("NUMBA_THREADING_LAYER"):
        return
    with contextlib.suppress(importlib.metadata.PackageNotFoundError, OSError):
        for file in importlib.metadata.files("tbb") or ():
            if file.name == "libtbb.so.12":
                ctypes.CDLL(str(Path(str(file.locate())).resolve()), mode=ctypes.RTLD_GLOBAL)


class RenewedLock:
    """A lock that is free in a forked child, although another thread of the parent may have held it.

    Attributes
    ----------
    lock : threading.Lock
        To be asked for anew each time.
    """

    def __init__(self) -> None:
        self._renew()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._renew)

    def _renew(self) -> None:
        self.lock = threading.Lock()


class _Regions:
    """Parallel regions under way in this process: forks wait for their end, and nobody enters while one waits.

    A child inherits one thread, and whatever lock of the layer the others held, for ever. TBB's workers are
    joined before a fork if they are idle and the thread that started them forks; GNU OpenMP ends a child of a
    process that has used it.
    """

    def __init__(self) -> None:
        self.serial = False  # whether this is a child that cannot use the layer that it inherited
        self._changed = threading.Condition()
        self._under_way = 0
        self._forks = 0
        self._launcher: int | None = None

    def begin(self, layer: str) -> None:
        """Begin a region, of which all layers but TBB take only one at a time (workqueue ends the process on two)."""
        with self._changed:
            while self._forks or (self._under_way and layer != "tbb"):
                self._changed.wait()
            self._under_way += 1

    def end(self) -> None:
        """End a region."""
        with self._changed:
            self._under_way -= 1
            self._changed.notify_all()

    def launch(self) -> str:
        """Start Numba's threading layer, and return its name."""
        with self._changed:
            if self._launcher is None:
                self._launcher = threading.get_ident()
                _preload_tbb()
                numba_parallel._launch_threads()
        return numba.threading_layer()

    def before_fork(self) -> None:
        self._changed.acquire()
        self._forks += 1
        self._changed.wait_for(lambda: not self._under_way)

    def after_fork_in_parent(self) -> None:
        self._forks -= 1
        self._changed.notify_all()
        self._changed.release()

    def after_fork_in_child(self) -> None:
        launched = self._launcher is not None
        joined = launched and numba.threading_layer() != "omp" and self._launcher == threading.get_ident()
        self._changed = threading.Condition()
        self._forks = 0
        self.serial = launched and (self.serial or not joined)


_regions = _Regions()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_regions.before_fork,
        after_in_parent=_regions.after_fork_in_parent,
        after_in_child=_regions.after_fork_in_child,
    )


@functools.cache
def threading_layer() -> str:
    """Start Numba's threading layer if need be, and return its name: "tbb", "omp" or "workqueue"."""
    return _regions.launch()


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
    if _regions.serial:
        for t in range(threads):
            share(t, threads, zero, address)
        return
    # No context managers of generators here: they took longer than starting the threads.
    _regions.begin(layer)
    try:
        before = _mask_threads(threads)
        try:
            parallel(threads, zero, address)
        finally:
            _mask_threads(before)
    finally:
        _regions.end()
