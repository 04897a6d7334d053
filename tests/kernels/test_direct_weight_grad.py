"""The weight gradient of the direct method against sums in NumPy, with whole numbers: exact in any order."""

import numpy as np
import pytest

import fastconv
from fastconv.kernels.microkernel import DEPTH_BLOCK, tile_columns

from .helpers import Output, integers, surrounded

WIDE = tile_columns(np.dtype(np.float32))
PLAIN = {"stride": (1, 1), "padding": ((0, 0), (0, 0)), "dilation": (1, 1), "groups": 1}


@pytest.mark.parametrize(
    ("plane", "filters", "kernel", "numbers"),
    [
        pytest.param((1, 1), 1, (1, 1), {}, id="one pixel"),
        pytest.param((9, 13), 5, (3, 3), {"padding": ((1, 1), (1, 1))}, id="padded"),
        pytest.param((9, 13), WIDE + 1, (2, 3), {"padding": ((0, 2), (3, 1))}, id="panels of filters"),
        pytest.param((12, 17), 4, (3, 2), {"stride": (2, 3), "dilation": (1, 2)}, id="strides and gaps"),
        pytest.param((8, 9), 9, (3, 3), {"groups": 3}, id="groups"),
        pytest.param((3, DEPTH_BLOCK + 7), 3, (1, 3), {}, id="long rows"),
        pytest.param((DEPTH_BLOCK + 7, 3), 3, (3, 1), {}, id="many rows"),
    ],
)
def test_sums_over_all_positions(plane, filters, kernel, numbers, dtype, threads):
    numbers, rng = {**PLAIN, **numbers}, np.random.default_rng(0)
    stride, dilation, groups = numbers["stride"], numbers["dilation"], numbers["groups"]
    x = integers(rng, dtype, 2, 3, *plane)
    padded = np.pad(x, ((0, 0), (0, 0), *numbers["padding"])).astype(float)
    height, width = (
        (side - (k - 1) * gap - 1) // step + 1
        for side, k, gap, step in zip(padded.shape[2:], kernel, dilation, stride, strict=True)
    )
    grad = integers(rng, dtype, 2, filters, height, width)
    expected = np.empty((filters, 3 // groups, *kernel))
    of_groups = grad.reshape(2, groups, -1, height, width)
    for i, j in np.ndindex(kernel):
        y, left = i * dilation[0], j * dilation[1]
        met = padded[:, :, y : y + (height - 1) * stride[0] + 1, left : left + (width - 1) * stride[1] + 1]
        met = met[:, :, :: stride[0], :: stride[1]].reshape(2, groups, -1, height, width)
        expected[:, :, i, j] = np.einsum("ngkyx,ngcyx->gkc", of_groups, met).reshape(filters, -1)
    out = Output(expected.shape, dtype)
    fastconv.conv2d_weight_grad(
        surrounded(grad), surrounded(x), expected.shape, **numbers, algorithm="direct", out=out.array
    )  # fmt: skip
    out.check(expected)
