"""Small compiled functions, called with a record as kernels are."""

import numba
import numpy as np

from fastconv import jit
from fastconv.jit.compilation import OPTIONS


def compiled(function):
    """Compile a function as kernels are."""
    return numba.njit(**OPTIONS)(function)


def call(function, dtype, job, **arrays):
    """Call a compiled ``function(zero, address)`` with a record, some of whose fields point to arrays."""
    job = job.copy()
    for name, array in arrays.items():
        setattr(job, name, jit.address_of(array))
    return function(np.dtype(dtype).type(0), job.address)
