"""How kernels are compiled: the decorators of all compiled functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba import prange
from numba.core.dispatcher import Dispatcher

from . import threads as running
from .cache import KernelCache
from .records import Record

# No fast-math. Kernels say themselves where they fuse and in which order they add. What LLVM may reorder it reorders in
# one way in a kernel that runs at once and in another in the copy that is cached, and results differed between the two.
OPTIONS: dict[str, Any] = {"error_model": "numpy", "nogil": True}


def inline(function: Callable[..., Any]) -> Any:
    """Compile a helper of kernels; it is part of its caller's cache entry."""
    return numba.njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, **OPTIONS)(function)


def unfold(function: Callable[..., Any]) -> Any:
    """Compile a helper that becomes part of each caller's code, where its constant arguments are worked out."""
    return numba.njit(forceinline=True, **OPTIONS)(function)


class Kernel:
    """A compiled function in two forms: one that does a share of the work, and one that does all shares at once.

    Parameters
    ----------
    function
        ``function(t, threads, zero, address)``, which does part `t` of `threads` parts of the work. `zero` is a scalar
        of the element type and `address` that of a record of every address and size that is needed: so a kernel is
        compiled once for a dtype, whatever the arrays look like.

    Attributes
    ----------
    share, parallel : dispatcher
        The function, compiled, and its twin ``parallel(threads, zero, address)``.
    """

    __slots__ = ("parallel", "share")

    def __init__(self, function: Callable[..., Any]):
        name = f"{function.__module__}.{function.__qualname__}"
        self.share = _cached(numba.njit(**OPTIONS)(function), name)
        self.parallel = _cached(numba.njit(parallel=True, **OPTIONS)(_twin(function, self.share)), f"{name}.parallel")

    def __call__(self, job: Record, dtype: np.dtype, threads: int) -> None:
        """Do the work of `job` in `threads` parts; the caller keeps alive all that the job points to."""
        running.run(self.share, self.parallel, ZEROS[dtype], job.address, threads)


def kernel(function: Callable[..., Any]) -> Kernel:
    """Compile a kernel; see :class:`Kernel`."""
    return Kernel(function)


def _twin(function: Callable[..., Any], share: Any) -> Callable[..., Any]:
    """Return the function that runs all shares in a ``prange``."""

    def parallel(threads, zero, address):
        for t in prange(threads):
            share(np.intp(t), threads, zero, address)

    # Compiled code is named after these.
    parallel.__name__ = f"{function.__name__}_parallel"
    parallel.__qualname__ = f"{function.__qualname__}_parallel"
    parallel.__module__ = function.__module__
    return parallel


def _cached(compiled: Any, name: str) -> Any:
    """Keep the code of a kernel on disk.

    Not that of kernels elsewhere: the cache knows what this package's code is made of, and nothing of others'.
    """
    # Numba that is told not to compile makes no dispatcher, but gives back the function.
    if not isinstance(compiled, Dispatcher) or not name.startswith("fastconv."):
        return compiled
    dispatcher: Any = compiled
    dispatcher._cache = KernelCache(name)
    return dispatcher


ZEROS = {np.dtype(kind): kind(0) for kind in (np.float32, np.float64)}
"""The scalar that tells compiled code the element type."""
