"""Transposed matrices against NumPy, element by element."""

import numpy as np
import pytest

from fastconv.kernels.microkernel import tile_columns
from fastconv.kernels.transposing import transpose, transpose_panels

from .copies import numbers


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (7, 50), (64, 32), (97, 3), (50, 33)])
def test_panels_filled_up(rows, columns, dtype, check_copy):
    panel_rows = tile_columns(dtype)
    panels = -(-rows // panel_rows)
    x = numbers(dtype, 2, rows, columns + 3)
    expected = np.zeros((2, panels * panel_rows, columns), dtype)
    expected[:, :rows] = x[:, :, :columns]
    expected = expected.reshape(2, panels, panel_rows, columns).swapaxes(2, 3).copy()
    check_copy(lambda out, threads: transpose_panels(x[:, :, :columns], out, threads), expected)


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (7, 50), (64, 32), (97, 3), (50, 33)])
def test_whole_matrices(rows, columns, dtype, check_copy):
    x = numbers(dtype, 2, rows, columns + 3)[:, :, :columns]
    expected = x.swapaxes(1, 2).copy()
    check_copy(lambda out, threads: transpose(x, out, threads), expected)
