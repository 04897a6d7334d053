"""Traces of ReLU and max pooling: against the functions that keep whole arrays, on values that are hard."""

import numpy as np
import pytest

from fastconv import max_pool2d, max_pool2d_backward, relu_backward
from fastconv.backend import backend

SHAPES = [(1, 1, 2, 2), (1, 3, 2, 3), (2, 3, 5, 4), (1, 2, 7, 33), (1, 4, 64, 66), (1, 9, 96, 97)]


def rectified(shape, dtype, seed=0):
    """Values of a ReLU with many ties, zeros, a NaN and an infinity."""
    rng = np.random.default_rng(seed)
    y = np.maximum(rng.integers(-3, 4, shape), 0).astype(dtype)
    y[0, 0, 0, 0] = np.inf
    y[-1, -1, -1, -1] = np.nan
    y[-1, -1, shape[2] // 2, shape[3] // 2 - 1] = np.nan
    return y


@pytest.mark.usefixtures("each_backend")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_relus_trace_tells_as_much_as_its_output(shape, dtype):
    y = rectified(shape, dtype)
    gradient = np.random.default_rng(1).normal(size=shape).astype(dtype)
    expected = relu_backward(gradient, y)
    trace = np.full(shape, 77, np.uint8)
    backend().relu_trace(y, trace)
    np.testing.assert_array_equal(np.where(trace == 0, 0, gradient), expected)
    backend().relu_backward(gradient, y, gradient)
    np.testing.assert_array_equal(gradient, expected)


@pytest.mark.usefixtures("each_backend")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES)
def test_pooling_of_rectified_values_and_its_gradient(shape, dtype):
    x = rectified(shape, dtype)
    expected, indices = max_pool2d(x, 2, return_indices=True)
    out = np.full(expected.shape, np.nan, dtype)
    trace = np.full(expected.shape, 77, np.uint8)
    backend().pool_relu(x, out, trace)
    np.testing.assert_array_equal(out, expected)

    gradient = np.random.default_rng(1).normal(size=out.shape).astype(dtype)
    spread = np.full(shape, np.nan, dtype)
    backend().pool_relu_backward(gradient, trace, spread)
    np.testing.assert_array_equal(spread, relu_backward(max_pool2d_backward(gradient, indices, shape), x))


@pytest.mark.usefixtures("each_backend")
def test_ties_go_to_the_first_place_and_nan_to_the_last():
    nan = np.nan
    windows = [[2, 2, 2, 2], [1, 2, 2, 0], [0, 0, 0, 0], [nan, 1, nan, 5], [0, 0, 0, 3], [nan, nan, nan, nan]]
    x = np.array(windows, np.float32).reshape(1, len(windows), 2, 2)
    out, trace = np.empty((1, len(windows), 1, 1), np.float32), np.empty((1, len(windows), 1, 1), np.uint8)
    backend().pool_relu(x, out, trace)
    np.testing.assert_array_equal(out.ravel(), [2, 2, 0, nan, 3, nan])
    spread = np.full_like(x, nan)
    backend().pool_relu_backward(np.ones_like(out), trace, spread)
    np.testing.assert_array_equal(
        spread.reshape(-1, 4),
        [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 1]],
    )
