"""Depthwise and strided convolutions, whose kernels take different paths at edges, odd sizes and narrow planes."""

import numpy as np
import pytest

import fastconv
from fastconv.jit import threads
from fastconv.kernels import direct

PLANES = [(1, 1), (3, 3), (7, 7), (5, 9), (9, 8), (14, 14), (40, 17), (33, 70), (2, 100), (100, 2)]
PADDINGS = [0, 1, 2, ((2, 0), (0, 1))]


@pytest.fixture
def random():
    return np.random.default_rng(0)


def check(random, plane, kernel, dtype, *, channels=4, filters=6, images=2, **numbers):
    """Compare the direct method's output and input gradient with those of the reference."""
    groups = numbers["groups"]
    x = random.standard_normal((images, channels, *plane)).astype(dtype)
    weight = random.standard_normal((filters, channels // groups, *kernel)).astype(dtype)
    bias = random.standard_normal(filters).astype(dtype)
    try:
        expected = fastconv.conv2d(x, weight, bias, algorithm="im2col", **numbers)
    except ValueError:  # the kernel is larger than the picture
        with pytest.raises(ValueError, match="window"):
            fastconv.conv2d(x, weight, bias, algorithm="direct", **numbers)
        return
    tolerance = 2e-5 if dtype == np.float32 else 1e-13
    result = fastconv.conv2d(x, weight, bias, activation="relu", algorithm="direct", **numbers)
    np.testing.assert_allclose(result, np.maximum(expected, 0), atol=tolerance * np.abs(expected).max())
    grad = random.standard_normal(expected.shape).astype(dtype)
    expected = fastconv.conv2d_input_grad(grad, weight, x.shape, algorithm="im2col", **numbers)
    layer = fastconv.PackedConv2d(weight, bias, algorithm="direct", **numbers)
    result = layer.input_grad(grad, x.shape, out=np.full(x.shape, np.nan, dtype))
    np.testing.assert_allclose(result, expected, atol=tolerance * max(np.abs(expected).max(), 1))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("padding", PADDINGS, ids=str)
@pytest.mark.parametrize("stride", [1, 2, (2, 1), 3])
@pytest.mark.parametrize("plane", PLANES, ids=str)
def test_depthwise_3x3(random, plane, stride, padding, dtype):
    check(random, plane, (3, 3), dtype, filters=4, groups=4, stride=stride, padding=padding)


@pytest.mark.parametrize("kernel", [(5, 5), (1, 7), (2, 2)], ids=str)
@pytest.mark.parametrize("stride", [1, 2, (1, 4)], ids=str)
@pytest.mark.parametrize("plane", PLANES, ids=str)
def test_depthwise_of_other_kernels(random, plane, stride, kernel):
    check(random, plane, kernel, np.float32, filters=4, groups=4, stride=stride, padding=1)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("kernel", [(3, 3), (1, 1), (5, 2), (11, 11)], ids=str)
@pytest.mark.parametrize("stride", [2, (2, 1), (1, 3), 4], ids=str)
@pytest.mark.parametrize("plane", [*PLANES, (150, 150)], ids=str)
def test_strided(random, plane, stride, kernel, groups):
    check(random, plane, kernel, np.float32, groups=groups, stride=stride, padding=1, filters=14)


@pytest.fixture
def last_share_first(monkeypatch):
    """Shares one after the other, the last first: what one writes into another's part stays there."""

    def run(share, parallel, zero, address, threads):
        for t in reversed(range(threads)):
            share(t, threads, zero, address)

    def forget():
        direct._forward_plan.cache_clear()
        direct._input_grad_phases.cache_clear()

    monkeypatch.setattr(threads, "SERIAL_PRODUCTS", 0)
    monkeypatch.setattr(threads, "run", run)
    monkeypatch.setattr(threads, "_num_threads", 3)
    forget()
    yield
    forget()


@pytest.mark.usefixtures("last_share_first")
@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize("stride", [1, 2, (1, 2), 3], ids=str)
@pytest.mark.parametrize("kernel", [(3, 3), (2, 2), (1, 3), (5, 5)], ids=str)
@pytest.mark.parametrize("plane", [(1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (8, 2), (2, 8)], ids=str)
def test_threads_keep_to_their_parts(random, plane, kernel, stride, groups):
    check(random, plane, kernel, np.float32, images=5, groups=groups, filters=4, stride=stride, padding=1)
    numbers = {"stride": stride, "padding": 1, "groups": groups}
    x = random.standard_normal((5, 4, *plane)).astype(np.float32)
    weight = random.standard_normal((4, 4 // groups, *kernel)).astype(np.float32)
    try:
        output = fastconv.conv2d(x, weight, algorithm="im2col", **numbers)
    except ValueError:
        return
    grad = random.standard_normal(output.shape).astype(np.float32)
    found, expected = (
        fastconv.conv2d_weight_grad(grad, x, weight.shape, algorithm=name, **numbers) for name in ("direct", "im2col")
    )
    np.testing.assert_allclose(found, expected, atol=1e-5 * max(np.abs(expected).max(), 1))
