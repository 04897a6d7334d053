"""Convolution and pooling over a random grid of shapes and numbers, against references in float64.

Errors of floating-point sums are measured in units of the root mean square that the result of such sums has when
signs are random: the same operation on the squares gives it, even where the result itself happens to cancel.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastconv
from fastconv import checks
from fastconv.algorithms import ALGORITHMS
from fastconv.reference import im2col, loops

# Largest and root mean square error in float32, which Winograd's transforms make larger.
DIRECT, WINOGRAD_WEIGHT_GRAD = (4e-6, 1e-6), (4e-5, 4e-5)
WINOGRAD = {"winograd": (2e-5, 3e-6), "winograd2": (5e-6, 1e-6)}
FLOAT64 = (1e-13, 1e-13)

DTYPES = st.sampled_from([np.dtype(np.float32), np.dtype(np.float64)])
SEEDS = st.integers(0, 2**32 - 1)
GRID = settings(max_examples=60, deadline=None)


def integers(low, high):
    return st.integers(low, high)


@st.composite
def pairs(draw, low, high):
    return draw(integers(low, high)), draw(integers(low, high))


@st.composite
def convolutions(draw, algorithm):
    """Shapes and numbers of a convolution that suits an algorithm."""
    groups, channels, kernels = draw(integers(1, 3)), draw(integers(0, 5)), draw(integers(1, 5))
    if algorithm in WINOGRAD:
        kernel, stride, dilation = (3, 3), (1, 1), (1, 1)
    else:
        kernel, stride, dilation = draw(pairs(1, 4)), draw(pairs(1, 3)), draw(pairs(1, 3))
    largest = 5 if algorithm in ("loops", "im2col") else 40  # loops is slow, and the judge of im2col
    padding = draw(pairs(0, 3)), draw(pairs(0, 3))
    plane = [
        max(1, d * (size - 1) + 1 - sum(sides)) + draw(integers(0, largest))
        for d, size, sides in zip(dilation, kernel, padding, strict=True)
    ]
    x_shape = draw(integers(0, 3)), groups * channels, *plane
    weight_shape = groups * kernels, channels, *kernel
    return x_shape, weight_shape, {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}


def has_weight_grad(algorithm, x_shape, weight_shape, numbers):
    geometry = checks.conv_geometry(x_shape, weight_shape, checks.conv_numbers(**numbers))
    return ALGORITHMS[algorithm].why_not(geometry, "weight_grad") is None


def flat(numbers):
    """The same numbers as the references take them."""
    (top, bottom), (left, right) = numbers["padding"]
    return {**numbers, "padding": (top, bottom, left, right)}


def assert_close(got, expected, of_squares, bounds=DIRECT):
    assert got.shape == expected.shape
    assert got.flags.c_contiguous
    if got.size:
        largest, rms = FLOAT64 if got.dtype == np.float64 else bounds
        unit = np.sqrt(np.mean(of_squares))
        error = np.abs(got - expected)
        assert error.max() <= largest * unit
        assert np.sqrt(np.mean(np.square(error))) <= rms * unit


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
@GRID
@given(data=st.data(), dtype=DTYPES, seed=SEEDS, relu=st.booleans())
def test_convolution(algorithm, data, dtype, seed, relu):
    x_shape, weight_shape, numbers = data.draw(convolutions(algorithm))
    judge = loops if algorithm == "im2col" else im2col
    bounds = WINOGRAD.get(algorithm, DIRECT)
    rng = np.random.default_rng(seed)

    def made(*shape):
        """Random numbers, and the same in float64, and their squares."""
        array = rng.standard_normal(shape).astype(dtype)
        exact = array.astype(np.float64)
        return array, exact, exact**2

    (x, *xs), (weight, *weights), (bias, *biases) = made(*x_shape), made(*weight_shape), made(weight_shape[0])
    expected, of_squares = (
        judge.conv2d(*arguments, **flat(numbers)) for arguments in zip(xs, weights, biases, strict=True)
    )
    out = np.full(expected.shape, np.nan, dtype)
    activation = "relu" if relu else None
    fastconv.conv2d(x, weight, bias, **numbers, activation=activation, algorithm=algorithm, out=out)
    assert_close(out, np.maximum(expected, 0) if relu else expected, of_squares, bounds)

    grad_output, *grads = made(*expected.shape)
    expected, of_squares = (
        judge.conv2d_input_grad(*arguments, x_shape, **flat(numbers)) for arguments in zip(grads, weights, strict=True)
    )
    out = np.full(x_shape, np.nan, dtype)
    fastconv.conv2d_input_grad(grad_output, weight, x_shape, **numbers, algorithm=algorithm, out=out)
    assert_close(out, expected, of_squares, bounds)

    if has_weight_grad(algorithm, x_shape, weight_shape, numbers):
        expected, of_squares = (
            judge.conv2d_weight_grad(*arguments, weight_shape, **flat(numbers))
            for arguments in zip(grads, xs, strict=True)
        )
        out = np.full(weight_shape, np.nan, dtype)
        fastconv.conv2d_weight_grad(grad_output, x, weight_shape, **numbers, algorithm=algorithm, out=out)
        assert_close(out, expected, of_squares, WINOGRAD_WEIGHT_GRAD if algorithm in WINOGRAD else DIRECT)

    expected, of_squares = (exact.sum(axis=(0, 2, 3)) for exact in grads)
    out = np.full(weight_shape[0], np.nan, dtype)
    fastconv.conv2d_bias_grad(grad_output, out=out)
    assert_close(out, expected, of_squares)


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
@settings(max_examples=20, deadline=None)
@given(data=st.data(), seed=SEEDS)
def test_gradients_are_adjoint(algorithm, data, seed):
    """<g, conv(x, w)> = <input_grad(g, w), x> = <weight_grad(g, x), w>: no other implementation is asked."""
    x_shape, weight_shape, numbers = data.draw(convolutions(algorithm))
    rng = np.random.default_rng(seed)
    x, weight = rng.standard_normal(x_shape), rng.standard_normal(weight_shape)
    how = {**numbers, "algorithm": algorithm}
    out = fastconv.conv2d(x, weight, **how)
    grad_output = rng.standard_normal(out.shape)
    product = np.sum(grad_output * out)
    needs_weight = has_weight_grad(algorithm, x_shape, weight_shape, numbers)
    gradients = fastconv.conv2d_backward(grad_output, x, weight, **how, needs=(True, needs_weight, False))
    bound = 1e-13 * max(1, np.linalg.norm(grad_output) * np.linalg.norm(out))
    assert abs(np.sum(gradients.input * x) - product) <= bound
    if needs_weight:
        assert abs(np.sum(gradients.weight * weight) - product) <= bound


@pytest.mark.parametrize(
    ("x_shape", "weight_shape", "numbers"),
    [
        ((1, 512, 9, 9), (48, 512, 3, 3), {"padding": ((1, 1), (1, 1))}),
        ((2, 48, 9, 9), (512, 48, 3, 3), {"stride": (2, 1)}),
        ((1, 1030, 5, 5), (6, 515, 5, 5), {"padding": ((2, 0), (1, 2)), "groups": 2}),
        ((1, 2, 514, 514), (3, 2, 3, 3), {}),
        ((1, 262_144, 1, 7), (4, 262_144, 1, 1), {}),
    ],
    ids=["depth 4608", "backward depth 4608", "depth 12875", "262144 positions", "depth 262144"],
)
def test_long_sums_keep_their_digits(x_shape, weight_shape, numbers):
    """Sums of up to 262144 float32 products, longer than any block in which "direct" adds them up."""
    numbers = {"stride": (1, 1), "padding": ((0, 0), (0, 0)), "dilation": (1, 1), "groups": 1, **numbers}
    rng = np.random.default_rng(5)

    def made(shape):
        array = rng.standard_normal(shape, dtype=np.float32)
        exact = array.astype(np.float64)
        return array, exact, exact**2

    (x, *xs), (weight, *weights) = made(x_shape), made(weight_shape)
    expected, of_squares = (im2col.conv2d(*both, **flat(numbers)) for both in zip(xs, weights, strict=True))
    assert_close(fastconv.conv2d(x, weight, **numbers, algorithm="direct"), expected, of_squares)

    grad_output, *grads = made(expected.shape)
    gradients = fastconv.conv2d_backward(grad_output, x, weight, **numbers, algorithm="direct")
    by_input, by_weight, by_bias = zip(
        *(
            (
                im2col.conv2d_input_grad(grad, weight, x.shape, **flat(numbers)),
                im2col.conv2d_weight_grad(grad, x, weight.shape, **flat(numbers)),
                grad.sum(axis=(0, 2, 3)),
            )
            for grad, x, weight in zip(grads, xs, weights, strict=True)
        ),
        strict=True,
    )
    assert_close(gradients.input, *by_input)
    assert_close(gradients.weight, *by_weight)
    assert_close(gradients.bias, *by_bias)


# --- pooling ----------------------------------------------------------------------------------------------


@st.composite
def poolings(draw, dilations):
    kernel, stride, dilation = draw(pairs(1, 4)), draw(pairs(1, 3)), draw(pairs(1, dilations))
    limits = [(d * (size - 1) + 1) // 2 for d, size in zip(dilation, kernel, strict=True)]
    padding = tuple((draw(integers(0, limit)), draw(integers(0, limit))) for limit in limits)
    plane = [
        max(1, d * (size - 1) + 1 - sum(sides)) + draw(integers(0, 40))
        for d, size, sides in zip(dilation, kernel, padding, strict=True)
    ]
    x_shape = draw(integers(0, 2)), draw(integers(0, 3)), *plane
    return (
        x_shape,
        kernel,
        {"stride": stride, "padding": padding, "dilation": dilation, "ceil_mode": draw(st.booleans())},
    )


@GRID
@given(case=poolings(dilations=3), dtype=DTYPES, seed=SEEDS, step=st.sampled_from([0.0, 0.5, 1.0]))
def test_max_pooling(each_backend, case, dtype, seed, step):
    x_shape, kernel, numbers = case
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(x_shape).astype(dtype)
    if step:
        x = (np.round(x / step) * step).astype(dtype)  # ties
        x[rng.random(x_shape) < 0.05] = np.nan
        x[rng.random(x_shape) < 0.3] = -np.inf
    values, indices = fastconv.max_pool2d(x, kernel, **numbers, return_indices=True)
    how = flat(numbers)
    del how["ceil_mode"]
    expected, where = loops.max_pool2d(x, kernel, **how, output_size=values.shape[2:])
    np.testing.assert_array_equal(values, expected)
    np.testing.assert_array_equal(indices, where)
    out = np.full(values.shape, 7, dtype)
    np.testing.assert_array_equal(fastconv.max_pool2d(x, kernel, **numbers, out=out), expected)

    grad_output = rng.standard_normal(values.shape).astype(dtype)
    inside = np.where(where < 0, 0, where)
    grad_output[where < 0] = 0
    out = np.full(x_shape, np.nan, dtype)
    fastconv.max_pool2d_backward(grad_output, inside, x_shape, out=out)
    expected, of_squares = (
        loops.max_pool2d_backward(grads, inside, x_shape)
        for grads in (grad_output.astype(np.float64), grad_output.astype(np.float64) ** 2)
    )
    assert_close(out, expected, of_squares)


@GRID
@given(
    case=poolings(dilations=1),
    dtype=DTYPES,
    seed=SEEDS,
    count_include_pad=st.booleans(),
    divisor_override=st.sampled_from([None, 1, 5, -3]),
)
def test_average_pooling(each_backend, case, dtype, seed, count_include_pad, divisor_override):
    x_shape, kernel, numbers = case
    del numbers["dilation"]
    divided = {"count_include_pad": count_include_pad, "divisor_override": divisor_override}
    divisor = divisor_override or kernel[0] * kernel[1]  # once more, since it is squared too
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(x_shape).astype(dtype)
    got = fastconv.avg_pool2d(x, kernel, **numbers, **divided)
    how = {**flat(numbers), **divided}
    del how["ceil_mode"]
    exact = x.astype(np.float64)
    expected, of_squares = (
        loops.avg_pool2d(values, kernel, **how, output_size=got.shape[2:]) for values in (exact, exact**2)
    )
    assert_close(got, expected, of_squares / divisor)

    grad_output = rng.standard_normal(got.shape).astype(dtype)
    out = np.full(x_shape, np.nan, dtype)
    fastconv.avg_pool2d_backward(grad_output, x_shape, kernel, **numbers, **divided, out=out)
    exact = grad_output.astype(np.float64)
    expected, of_squares = (loops.avg_pool2d_backward(values, x_shape, kernel, **how) for values in (exact, exact**2))
    assert_close(out, expected, of_squares / divisor)
