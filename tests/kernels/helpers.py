"""Small compiled functions, called with a record as kernels are; arrays whose surroundings may not change."""

import numba
import numpy as np

from fastconv import jit
from fastconv.jit.compilation import OPTIONS

AROUND = 64  # elements before and behind an array that vectors may reach into


def compiled(function):
    """Compile a function as kernels are."""
    return numba.njit(**OPTIONS)(function)


def call(function, dtype, job, **arrays):
    """Call a compiled ``function(zero, address)`` with a record, some of whose fields point to arrays."""
    job = job.copy()
    for name, array in arrays.items():
        setattr(job, name, jit.address_of(array))
    return function(np.dtype(dtype).type(0), job.address)


class Output:
    """An array to write to, with other numbers around it; `array` is full of 77, which no test expects."""

    UNTOUCHED = 77

    def __init__(self, shape, dtype):
        size = int(np.prod(shape))
        self._around = np.full(size + 2 * AROUND, self.UNTOUCHED, dtype)
        self.array = self._around[AROUND : AROUND + size].reshape(shape)

    def check(self, expected):
        """Check that the array is exactly as expected and that nothing around it was written."""
        np.testing.assert_array_equal(self.array, expected)
        self.check_around()

    def check_around(self):
        """Check that nothing around the array was written."""
        assert np.all(self._around[:AROUND] == self.UNTOUCHED)
        assert np.all(self._around[-AROUND:] == self.UNTOUCHED)


def integers(rng, dtype, *shape, most=3):
    """Return small whole numbers, whose products and sums are exact in whatever order they are made."""
    return rng.integers(-most, most + 1, shape).astype(dtype)


def surrounded(array):
    """Return a copy that lies among NaN: a result that took in something from beside the array shows it."""
    around = np.full(array.size + 2 * AROUND, np.nan, array.dtype)
    place = around[AROUND : AROUND + array.size].reshape(array.shape)
    place[...] = array
    return place
