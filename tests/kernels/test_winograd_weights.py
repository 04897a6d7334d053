"""Winograd's packed weights, number by number."""

import numpy as np
import pytest

from fastconv import jit
from fastconv.kernels.microkernel import strip_columns
from fastconv.kernels.winograd_weights import pack_weights


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(("filters", "channels"), [(1, 1), (32, 16), (37, 19), (5, 70)])
def test_pack_weights(filters, channels, turned, dtype):
    weight = np.arange(filters * channels * 9, dtype=dtype).reshape(filters, channels, 3, 3)
    packed = pack_weights(weight, turned)
    rows, terms = (channels, filters) if turned else (filters, channels)
    columns = strip_columns(np.dtype(dtype))
    assert packed.shape == (-(-rows // columns), terms * 9 + jit.lanes(np.dtype(dtype)), columns)
    numbers = packed[:, : terms * 9].reshape(-1, terms, 9, columns).transpose(0, 3, 1, 2).reshape(-1, terms, 9)[:rows]
    by_row = weight.swapaxes(0, 1) if turned else weight
    np.testing.assert_array_equal(numbers, by_row.reshape(rows, terms, 9))
    assert np.isfinite(packed[:, : terms * 9]).all()  # what fills up the last panel must not slow down products
