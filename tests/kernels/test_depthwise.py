"""Depthwise convolution of any kernel and of 3x3 ones, against sums in NumPy that are exact since numbers are whole."""

import numpy as np
import pytest

from fastconv import jit
from fastconv.geometry import ConvGeometry
from fastconv.kernels import direct

from .helpers import Output, integers, surrounded

LANES = jit.lanes(np.dtype(np.float32))


def geometry(plane, kernel, stride=(1, 1), padding=(1, 1, 1, 1), dilation=(1, 1)):
    top, bottom, left, right = padding
    height = (plane[0] + top + bottom - (kernel[0] - 1) * dilation[0] - 1) // stride[0] + 1
    width = (plane[1] + left + right - (kernel[1] - 1) * dilation[1] - 1) // stride[1] + 1
    return ConvGeometry(2, 3, *plane, 3, *kernel, 3, stride, padding, dilation, height, width)


def windows(planes, g):
    """Return views of padded planes, one for each tap: what it meets for each output."""
    for i, j in np.ndindex(g.r, g.s):
        y, x = i * g.dilation[0], j * g.dilation[1]
        down, across = (g.out_h - 1) * g.stride[0] + 1, (g.out_w - 1) * g.stride[1] + 1
        yield (i, j), planes[:, :, y : y + down : g.stride[0], x : x + across : g.stride[1]]


CASES = {
    "3x3": {"kernel": (3, 3)},
    "3x3 without padding": {"kernel": (3, 3), "padding": (0, 0, 0, 0)},
    "3x3 padded by more": {"kernel": (3, 3), "padding": (2, 0, 0, 2)},
    "3x3 at every second": {"kernel": (3, 3), "stride": (2, 2)},
    "3x3 at every second, padded by more": {"kernel": (3, 3), "stride": (2, 2), "padding": (2, 1, 0, 2)},
    "3x3 apart": {"kernel": (3, 3), "dilation": (2, 1)},
    "5x2": {"kernel": (5, 2)},
    "2x5 at every third column": {"kernel": (2, 5), "stride": (1, 3)},
}


@pytest.mark.parametrize("width", [5, LANES - 1, 4 * LANES + 1, 9 * LANES])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("finish", [False, True])
def test_forward(case, width, finish, dtype, threads, rng):
    g = geometry((37, width), **case)
    x, weight = integers(rng, dtype, *g.input_shape), integers(rng, dtype, *g.weight_shape)
    bias = integers(rng, dtype, g.k) if finish else None
    top, bottom, left, right = g.padding
    expected = np.zeros(g.output_shape)
    padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    for (i, j), window in windows(padded, g):
        expected += weight[:, 0, i, j][:, np.newaxis, np.newaxis] * window
    if finish:
        expected = np.maximum(expected + bias[:, np.newaxis, np.newaxis], 0)
    out = Output(g.output_shape, dtype)
    direct.forward(surrounded(x), direct.pack(weight, g, "forward"), bias, finish, g, out.array)
    out.check(expected)


@pytest.mark.parametrize("width", [5, LANES - 1, 4 * LANES + 1, 9 * LANES])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_input_gradient(case, width, dtype, threads, rng):
    g = geometry((37, width), **case)
    grad, weight = integers(rng, dtype, *g.output_shape), integers(rng, dtype, *g.weight_shape)
    top, bottom, left, right = g.padding
    padded = np.zeros((g.n, g.c, g.h + top + bottom, g.w + left + right))
    for (i, j), window in windows(padded, g):
        window += weight[:, 0, i, j][:, np.newaxis, np.newaxis] * grad
    out = Output(g.input_shape, dtype)
    direct.input_grad(surrounded(grad), direct.pack(weight, g, "input_grad"), g, out.array)
    out.check(padded[:, :, top : top + g.h, left : left + g.w])
