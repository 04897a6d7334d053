"""What computes: compiled kernels or, where Numba is told not to compile, plain NumPy.

Both have the functions of `Backend`. Only this package decides which of them is used.
"""

from __future__ import annotations

import numba

from fastconv.backend import compiled, plain
from fastconv.backend.interface import Backend

__all__ = ["Backend", "backend", "compiles"]


def compiles() -> bool:
    """Return whether kernels can be had: unless the environment says NUMBA_DISABLE_JIT."""
    return not numba.config.DISABLE_JIT


def backend() -> Backend:
    """Return the table of functions that compute."""
    return compiled if compiles() else plain
