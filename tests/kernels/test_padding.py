"""Padded planes against NumPy, element by element."""

import numpy as np
import pytest

from fastconv.kernels.padding import PaddedPlane, pad

from .copies import PLANES, numbers

BORDER = {"row_step": 1, "column_step": 1, "phases": 1}


@pytest.mark.parametrize(
    "plane",
    [
        PaddedPlane(height=5, width=7, top=1, left=2, copy_height=8, phase_width=12, **BORDER),
        PaddedPlane(height=6, width=50, top=0, left=0, copy_height=6, phase_width=50, **BORDER),
        PaddedPlane(height=6, width=50, top=-2, left=-3, copy_height=3, phase_width=40, **BORDER),
        PaddedPlane(height=1, width=1, top=3, left=40, copy_height=7, phase_width=90, **BORDER),
        PaddedPlane(
            height=9, width=75, top=1, left=1, row_step=1, column_step=2, copy_height=11, phases=2, phase_width=39
        ),
        PaddedPlane(
            height=9, width=75, top=1, left=0, row_step=2, column_step=2, copy_height=5, phases=1, phase_width=38
        ),
        PaddedPlane(
            height=8, width=20, top=2, left=1, row_step=3, column_step=3, copy_height=4, phases=3, phase_width=8
        ),
    ],
    ids=["border", "as it is", "cropped", "one pixel", "two phases", "every second", "three phases"],
)
def test_planes(plane, dtype, check_copy):
    x = numbers(dtype, *PLANES, plane.height, plane.width)
    expected = np.zeros((*PLANES, plane.copy_height, plane.phases, plane.phase_width), dtype)
    for r, f, j in np.ndindex(expected.shape[2:]):
        y, column = r * plane.row_step - plane.top, j * plane.column_step + f - plane.left
        if 0 <= y < plane.height and 0 <= column < plane.width:
            expected[:, :, r, f, j] = x[:, :, y, column]
    assert (plane.pitch, plane.size) == (expected[0, 0, 0].size, expected[0, 0].size)
    check_copy(lambda out, threads: pad(x, plane, out, threads), expected)
