"""ReLU, its gradient, bias gradients and steps of Adam: by hand, and against NumPy, where vectors and shares end."""

import numpy as np
import pytest

from fastconv import jit
from fastconv.kernels import elementwise

from .helpers import Output, integers, surrounded

NAN, INF = np.nan, np.inf
LANES = jit.lanes(np.dtype(np.float32))
SIZES = pytest.mark.parametrize("size", [1, LANES - 1, LANES, 5 * LANES + 3])


@SIZES
def test_relu(size, dtype, threads):
    x = np.resize(np.array([NAN, -1, 0, 2, INF, -INF, -0.5], dtype), size)
    out = Output((size,), dtype)
    elementwise.relu(surrounded(x), out.array)
    out.check(np.resize([NAN, 0, 0, 2, INF, 0, 0], size))


@SIZES
@pytest.mark.parametrize("in_place", [False, True])
def test_the_gradient_passes_where_the_output_is_positive_or_nan(size, in_place, dtype, threads):
    y = np.resize(np.array([NAN, 0, 2, -0.0, INF], dtype), size)
    gradient = np.resize(np.array([-3, INF, -5, NAN, 7], dtype), size)
    out = Output((size,), dtype)
    if in_place:
        out.array[...] = gradient
    elementwise.relu_backward(out.array if in_place else surrounded(gradient), surrounded(y), out.array)
    out.check(np.resize([-3, 0, -5, 0, 7], size))


@pytest.mark.parametrize("plane", [(1, 1), (1, 4 * LANES - 1), (4, LANES), (9, 7 * LANES + 5), (3, 700 * LANES)])
def test_bias_gradient(plane, dtype, threads, rng):
    gradient = integers(rng, dtype, 2, 5, *plane)
    out = Output((5,), dtype)
    elementwise.bias_grad(surrounded(gradient), out.array)
    out.check(gradient.astype(float).sum(axis=(0, 2, 3)))


def test_a_long_bias_gradient_keeps_its_digits(threads):
    gradient = np.random.default_rng(0).random((3, 1, 1000, 1000), dtype=np.float32)
    out = np.empty(1, np.float32)
    elementwise.bias_grad(gradient, out)
    np.testing.assert_allclose(out, gradient.sum(axis=(0, 2, 3), dtype=float), rtol=2e-7)


class TestAdam:
    """A step with the factors beta1, 1 - beta1, beta2, 1 - beta2, of the root of v, eps, and of m."""

    @SIZES
    def test_by_hand(self, size, dtype, threads):
        """With halves and squares, all of it is exact."""
        parameter, gradient, m, v = (Output((size,), dtype) for _ in range(4))
        for array, value in ((parameter, 10), (gradient, 4), (m, 2), (v, 48)):
            array.array[...] = value
        elementwise.adam_step(
            parameter.array, gradient.array, m.array, v.array, (0.5, 0.5, 0.75, 0.25 * 7, 0.5, 4, 16)
        )  # fmt: skip
        gradient.check(4)
        m.check(3)  # 0.5 * 2 + 0.5 * 4
        v.check(64)  # 0.75 * 48 + 1.75 * 16
        parameter.check(4)  # 10 - 16 * 3 / (0.5 * 8 + 4)

    def test_rounding_does_not_depend_on_where_shares_end(self, dtype, rng):
        size = 5 * LANES + 3
        begin = [rng.random(size).astype(dtype) for _ in range(4)]
        results = []
        for cut in (size, LANES + 1):
            arrays = [array.copy() for array in begin]
            for part in (slice(0, cut), slice(cut, size)):
                if begin[0][part].size:
                    pieces = [array[part] for array in arrays]
                    elementwise.adam_step(*pieces, (0.9, 0.1, 0.99, 0.01, 1.1, 1e-8, 0.3))
            results.append(arrays)
        for one, other in zip(*results, strict=True):
            np.testing.assert_array_equal(one, other)
