"""Arrays that tests of the public functions pass in."""

import numpy as np


def misaligned(array):
    """Return a copy whose elements lie across the places that their type asks for."""
    buffer = np.empty(array.nbytes + 1, np.uint8)
    shifted = buffer[1:].view(array.dtype).reshape(array.shape)
    shifted[...] = array
    return shifted


def nan_like(array):
    """Return an array of NaN to write to: what a function leaves out of its result shows."""
    return np.full_like(array, np.nan)
