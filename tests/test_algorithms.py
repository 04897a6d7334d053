"""What algorithms do beside convolving: each finishes outputs, passes gates, and stands wherever they are listed."""

import re
from pathlib import Path

import numpy as np
import pytest

import fastconv
from fastconv import checks
from fastconv.algorithms import ALGORITHMS
from fastconv.backend import backend
from fastconv.traces import Finish, Gate

SHAPE = (2, 5, 13, 18)
WEIGHT_SHAPE = (6, 5, 3, 3)


@pytest.fixture
def case():
    """A convolution of 13x18 pixels: its geometry, input, weight, bias, and rectified output."""
    rng = np.random.default_rng(0)
    x, weight = (rng.standard_normal(shape, dtype=np.float32) for shape in (SHAPE, WEIGHT_SHAPE))
    bias = rng.standard_normal(WEIGHT_SHAPE[0], dtype=np.float32)
    geometry = checks.conv_geometry(SHAPE, WEIGHT_SHAPE, checks.conv_numbers(1, 1, 1, 1))
    y = fastconv.conv2d(x, weight, bias, padding=1, activation="relu", algorithm="loops")
    return geometry, x, weight, bias, y


def empty(shape):
    return np.full(shape, np.nan, np.float32)


def assert_near(found, expected):
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("name", ALGORITHMS)
def test_outputs_are_pooled_and_traced(name, case):
    geometry, x, weight, bias, y = case
    algorithm = ALGORITHMS[name]
    packing = algorithm.pack(weight, geometry, "forward", keep=True)
    full, trace = empty(y.shape), backend().empty_trace(y.shape)
    algorithm.forward(x, packing, bias, Finish(relu=True, trace=trace), geometry, full)
    assert_near(full, y)
    np.testing.assert_array_equal(trace, full > 0)
    pooled = empty((2, 6, 6, 9))
    algorithm.forward(x, packing, bias, Finish(relu=True, pooled=True), geometry, pooled)
    in_windows = full[:, :, :12].reshape(2, 6, 6, 2, 9, 2)
    np.testing.assert_array_equal(pooled, in_windows.max(axis=(3, 5)))


@pytest.mark.parametrize("name", ALGORITHMS)
def test_gradients_pass_gates(name, case):
    geometry, _, weight, _, y = case
    algorithm = ALGORITHMS[name]
    packing = algorithm.pack(weight, geometry, "input_grad", keep=True)

    def input_grad(gradient, gate):
        out = empty(SHAPE)
        algorithm.input_grad(gradient.copy(), packing, gate, geometry, out)
        return out

    gradient = np.random.default_rng(1).standard_normal(y.shape, dtype=np.float32)
    through_relu = input_grad(fastconv.relu_backward(gradient, y), None)
    trace = backend().empty_trace(y.shape)
    backend().relu_trace(y, trace)
    np.testing.assert_array_equal(input_grad(gradient, Gate(y)), input_grad(gradient, Gate(trace)))
    assert_near(input_grad(gradient, Gate(y)), through_relu)

    pooled, indices = fastconv.max_pool2d(y, 2, return_indices=True)
    trace = backend().empty_trace(pooled.shape)
    backend().pool_relu(y, pooled, trace)
    gradient = gradient[:, :, : pooled.shape[2], : pooled.shape[3]].copy()
    before_pooling = fastconv.relu_backward(fastconv.max_pool2d_backward(gradient, indices, y.shape), y)
    expected = input_grad(before_pooling, None)
    assert_near(input_grad(gradient, Gate(trace, pooled=True)), expected)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_packings_are_as_large_as_is_said(name):
    shape, algorithm = (128, 96, 3, 3), ALGORITHMS[name]
    geometry = checks.conv_geometry((1, 96, 40, 40), shape, checks.conv_numbers(1, 1, 1, 1))
    packing = algorithm.pack(np.zeros(shape, np.float32), geometry, "forward", keep=True)
    assert sum(array.size for array in packing) == pytest.approx(algorithm.packed_size(shape), rel=0.05)


CHECKOUT = Path(__file__).parents[1]
# For each place that lists the algorithms: what begins the list, what ends it, and how a name is written there.
LISTS = {
    "docstring": (fastconv.conv2d.__doc__, "    algorithm\n", "    out\n", r'"(\w+)"'),
    "README": ((CHECKOUT / "README.md").read_text("utf-8"), "`algorithm=", " name one.", r'"(\w+)"'),
    "benchmarks": ((CHECKOUT / "docs" / "benchmarks.md").read_text("utf-8"), "by each algorithm", ".", r"`(\w+)`"),
}


@pytest.mark.parametrize(("text", "begin", "end", "name"), LISTS.values(), ids=LISTS)
def test_lists_of_algorithms_name_all_and_no_others(text, begin, end, name):
    _, found, rest = text.partition(begin)
    assert found
    assert set(re.findall(name, rest.partition(end)[0])) == {"auto", *ALGORITHMS}


def test_an_unknown_algorithm_is_answered_with_all_that_there_are():
    with pytest.raises(ValueError, match=".*".join(map(repr, ("auto", *ALGORITHMS)))):
        fastconv.conv2d(np.zeros(SHAPE), np.zeros(WEIGHT_SHAPE), algorithm="fast")


@pytest.mark.parametrize("function", [fastconv.conv2d_input_grad, fastconv.conv2d_weight_grad])
def test_other_docstrings_lead_to_the_list(function):
    assert re.search(r"algorithm.*\n\s+As in `conv2d`", function.__doc__)
