"""Convolution, ReLU and pooling in one kernel: to the bit what the three give one after the other."""

import numpy as np
import pytest

from fastconv import conv2d, conv2d_input_grad
from fastconv.backend import backend
from fastconv.fused import FusedConv2d

# (N, C, K, H, W): every way in which tiles, vectors and pooling windows can end at an edge, and several threads.
SHAPES = [(1, 5, 6, 4, 4), (1, 6, 5, 9, 11), (2, 7, 3, 2, 3), (1, 20, 13, 37, 70), (2, 5, 9, 66, 67), (1, 3, 8, 34, 36)]


def weight_of(shape):
    """Return the weights that `layer` makes, in float64."""
    _, c, k, _, _ = shape
    return np.random.default_rng(0).normal(size=(k, c, 3, 3))


def layer(shape, dtype, padding=1):
    """A convolution, its input, and its rectified output as the reference computes it."""
    n, c, k, height, width = shape
    rng = np.random.default_rng(0)
    weight, bias = rng.normal(size=(k, c, 3, 3)).astype(dtype), rng.normal(size=k).astype(dtype)
    x = rng.normal(size=(n, c, height, width)).astype(dtype)
    y = conv2d(x, weight, bias, padding=padding, activation="relu", algorithm="im2col")
    return FusedConv2d(weight, bias, padding), x, y


def filled(shape, dtype):
    return np.full(shape, np.nan, dtype)


def near(a, b, dtype):
    return np.abs(a - b).max() <= {"float32": 1e-5, "float64": 1e-13}[dtype] * np.abs(b).max()


@pytest.mark.usefixtures("each_backend")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES)
def test_forward_writes_outputs_and_their_trace(shape, dtype):
    convolution, x, y = layer(shape, dtype)
    out, trace = filled(y.shape, dtype), backend().empty_trace(y.shape)
    convolution.forward(x, out, trace)
    assert near(out, y, dtype)
    expected = backend().empty_trace(y.shape)
    backend().relu_trace(out, expected)
    np.testing.assert_array_equal(trace, expected)


@pytest.mark.usefixtures("each_backend")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES)
def test_pooled_outputs_are_those_of_pooling(shape, dtype):
    convolution, x, y = layer(shape, dtype)
    full = filled(y.shape, dtype)
    convolution.forward(x, full)
    small = (*y.shape[:2], y.shape[2] // 2, y.shape[3] // 2)
    expected, expected_trace = filled(small, dtype), backend().empty_trace(small)
    backend().pool_relu(full, expected, expected_trace)
    pooled, trace = filled(small, dtype), backend().empty_trace(small)
    convolution.forward(x, pooled, trace, pooled=True)
    np.testing.assert_array_equal(pooled, expected)
    np.testing.assert_array_equal(trace, expected_trace)
    untraced = filled(small, dtype)
    convolution.forward(x, untraced, pooled=True)
    np.testing.assert_array_equal(untraced, expected)


@pytest.mark.usefixtures("each_backend")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES)
def test_gradients_pass_where_the_relu_and_the_pooling_let_them(shape, dtype):
    convolution, x, y = layer(shape, dtype)
    rng = np.random.default_rng(1)
    gradient = rng.normal(size=y.shape).astype(dtype)
    everything = backend().empty_trace(y.shape)
    everything[...] = 1

    def input_grad(gradient, gate, pooled=False):
        out = filled(x.shape, dtype)
        convolution.input_grad(gradient.copy(), gate, out, pooled=pooled)
        return out

    trace = backend().empty_trace(y.shape)
    backend().relu_trace(y, trace)
    expected = input_grad(np.where(y > 0, gradient, 0).astype(dtype), everything)
    np.testing.assert_array_equal(input_grad(gradient, trace), expected)
    np.testing.assert_array_equal(input_grad(gradient, y), expected)

    small = gradient[:, :, : y.shape[2] // 2, : y.shape[3] // 2].copy()
    places, maxima, full = backend().empty_trace(small.shape), np.empty_like(small), np.empty_like(y)
    backend().pool_relu(y, maxima, places)
    backend().pool_relu_backward(small, places, full)
    np.testing.assert_array_equal(input_grad(small, places, pooled=True), input_grad(full, everything))


@pytest.mark.parametrize("shape", SHAPES)
def test_the_input_gradient_is_the_adjoint(shape):
    convolution, x, y = layer(shape, "float64", padding=1)
    everything, rng = backend().empty_trace(y.shape), np.random.default_rng(2)
    everything[...] = 1
    gradient, out = rng.normal(size=y.shape), filled(x.shape, "float64")
    convolution.input_grad(gradient.copy(), everything, out)
    # The outputs without their bias and ReLU are linear in the input.
    linear = conv2d(x, weight_of(shape), padding=1, algorithm="im2col")
    np.testing.assert_allclose((out * x).sum(), (gradient * linear).sum(), rtol=1e-9)


def test_a_picture_with_its_own_border_needs_no_padding():
    shape = (1, 3, 8, 18, 21)
    convolution, x, y = layer(shape, "float64", padding=0)
    out = filled(y.shape, "float64")
    convolution.forward(x, out)
    assert near(out, y, "float64")
    back = filled(x.shape, "float64")
    convolution.input_grad(y.copy(), y, back)
    assert near(back, conv2d_input_grad(y, weight_of(shape), x.shape, algorithm="im2col"), "float64")


def test_nan_passes():
    convolution, x, y = layer((1, 6, 5, 9, 11), "float64")
    x[0, 0, 4, 4] = np.nan
    out, trace = filled(y.shape, "float64"), backend().empty_trace(y.shape)
    convolution.forward(x, out, trace)
    assert np.isnan(out[0, :, 4, 4]).all()
    assert trace[0, :, 4, 4].all()


def test_later_changes_of_the_weights_are_not_seen():
    rng = np.random.default_rng(0)
    weight, bias = rng.normal(size=(4, 6, 3, 3)), rng.normal(size=4)
    convolution, x = FusedConv2d(weight, bias), rng.normal(size=(1, 6, 8, 8))
    before, after = filled((1, 4, 8, 8), "float64"), filled((1, 4, 8, 8), "float64")
    convolution.forward(x, before)
    weight[...], bias[...] = 0, 0
    convolution.forward(x, after)
    np.testing.assert_array_equal(before, after)
