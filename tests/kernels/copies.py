"""Arrays that are copied, with room around them."""

import numpy as np

UNTOUCHED = 99
AROUND = 64  # elements before and behind an array; kernels may read them
PLANES = 1, 5


def numbers(dtype, *shape):
    """Return an array of numbers other than 0 that are all different, in a larger one."""
    return placed(np.arange(1, np.prod(shape, dtype=int) + 1, dtype=dtype).reshape(shape))


def placed(array):
    around = np.full(array.size + 2 * AROUND, UNTOUCHED, array.dtype)
    place = around[AROUND : AROUND + array.size].reshape(array.shape)
    place[...] = array
    return place
