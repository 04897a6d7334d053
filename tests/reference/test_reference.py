"""The references: against hand-made answers, SciPy, PyTorch, finite differences, and each other."""

import itertools

import numpy as np
import pytest

from fastconv.reference import im2col, loops

MODULES = pytest.mark.parametrize("module", [loops, im2col], ids=["loops", "im2col"])
PLAIN = {"stride": (1, 1), "padding": (0, 0, 0, 0), "dilation": (1, 1), "groups": 1}
CASES = [
    PLAIN,
    {"stride": (2, 3), "padding": (1, 0, 2, 1), "dilation": (1, 1), "groups": 1},
    {"stride": (1, 2), "padding": (0, 3, 1, 1), "dilation": (2, 1), "groups": 2},
    {"stride": (3, 1), "padding": (2, 2, 2, 2), "dilation": (2, 3), "groups": 4},
]


def numerical_gradient(function, x, step=1e-6):
    """Gradient of a scalar function by central differences."""
    grad = np.empty_like(x)
    for index in np.ndindex(x.shape):
        high, low = x.copy(), x.copy()
        high[index] += step
        low[index] -= step
        grad[index] = (function(high) - function(low)) / (2 * step)
    return grad


@MODULES
def test_convolution_of_a_hand_made_picture(module):
    x = np.arange(1.0, 10.0).reshape(1, 1, 3, 3)
    weight = np.array([[[[1.0, 0.0], [0.0, -1.0]]], [[[0.0, 2.0], [0.0, 0.0]]]])
    out = module.conv2d(x, weight, np.array([0.5, 0.0]), **PLAIN)
    np.testing.assert_array_equal(out, [[[[-3.5, -3.5], [-3.5, -3.5]], [[4.0, 6.0], [10.0, 12.0]]]])


@MODULES
def test_convolution_is_scipys_correlation(module, rng):
    signal = pytest.importorskip("scipy.signal")
    x, weight = rng.standard_normal((2, 3, 9, 8)), rng.standard_normal((4, 3, 3, 2))
    stuffed = np.zeros((4, 3, 5, 4))
    stuffed[:, :, ::2, ::3] = weight
    padded = np.pad(x, ((0, 0), (0, 0), (1, 2), (0, 3)))
    expected = np.array(
        [
            [sum(signal.correlate2d(image[c], kernel[c], "valid") for c in range(3)) for kernel in stuffed]
            for image in padded
        ]
    )[:, :, ::2, ::3]
    out = module.conv2d(x, weight, stride=(2, 3), padding=(1, 2, 0, 3), dilation=(2, 3), groups=1)
    np.testing.assert_allclose(out, expected, rtol=0, atol=1e-13)


@MODULES
def test_groups_are_separate_convolutions(module, rng):
    x, weight, bias = rng.standard_normal((2, 6, 5, 5)), rng.standard_normal((4, 3, 3, 3)), np.arange(4.0)
    together = module.conv2d(x, weight, bias, **{**PLAIN, "groups": 2})
    halves = [
        module.conv2d(x[:, :3], weight[:2], bias[:2], **PLAIN),
        module.conv2d(x[:, 3:], weight[2:], bias[2:], **PLAIN),
    ]
    np.testing.assert_allclose(together, np.concatenate(halves, axis=1), rtol=0, atol=1e-13)


@MODULES
@pytest.mark.parametrize("case", CASES)
def test_gradients_of_convolution_by_finite_differences(module, case, rng):
    x, bias = rng.standard_normal((2, 4, 7, 8)), rng.standard_normal(4)
    weight = rng.standard_normal((4, 4 // case["groups"], 3, 2))
    grad_output = rng.standard_normal(module.conv2d(x, weight, bias, **case).shape)

    def loss(x=x, weight=weight, bias=bias):
        return np.sum(grad_output * module.conv2d(x, weight, bias, **case))

    by_input = module.conv2d_input_grad(grad_output, weight, x.shape, **case)
    by_weight = module.conv2d_weight_grad(grad_output, x, weight.shape, **case)
    by_bias = module.conv2d_bias_grad(grad_output)
    some = rng.choice(x.size, 12, replace=False)
    for index in zip(*np.unravel_index(some, x.shape), strict=True):
        bump = np.zeros_like(x)
        bump[index] = 1e-3
        slope = (loss(x=x + bump) - loss(x=x - bump)) / 2e-3
        np.testing.assert_allclose(by_input[index], slope, rtol=0, atol=1e-9)
    for index in zip(*np.unravel_index(range(0, weight.size, 3), weight.shape), strict=True):
        bump = np.zeros_like(weight)
        bump[index] = 1e-3
        slope = (loss(weight=weight + bump) - loss(weight=weight - bump)) / 2e-3
        np.testing.assert_allclose(by_weight[index], slope, rtol=0, atol=1e-9)
    np.testing.assert_allclose(by_bias, numerical_gradient(lambda b: loss(bias=b), bias, 1e-3), rtol=0, atol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES)
def test_both_references_agree(case, dtype, rng):
    bound = 4e-6 if dtype == np.float32 else 1e-13
    x = rng.standard_normal((2, 4, 9, 10)).astype(dtype)
    weight = rng.standard_normal((8, 4 // case["groups"], 3, 3)).astype(dtype)
    out = [module.conv2d(x, weight, **case) for module in (loops, im2col)]
    grad_output = rng.standard_normal(out[0].shape).astype(dtype)
    by_input = [module.conv2d_input_grad(grad_output, weight, x.shape, **case) for module in (loops, im2col)]
    by_weight = [module.conv2d_weight_grad(grad_output, x, weight.shape, **case) for module in (loops, im2col)]
    for one, other in (out, by_input, by_weight):
        assert one.dtype == other.dtype == dtype
        assert np.abs(one - other).max() <= bound * np.sqrt(np.mean(one**2))


def test_bias_gradient_keeps_its_digits_over_many_images(rng):
    grad_output = rng.random((200_000, 2, 1, 1), dtype=np.float32)
    expected = grad_output.sum(axis=(0, 2, 3), dtype=np.float64)
    np.testing.assert_allclose(loops.conv2d_bias_grad(grad_output), expected, rtol=1e-6)


# --- pooling ----------------------------------------------------------------------------------------------

NAN, INF = np.nan, np.inf


@MODULES
@pytest.mark.parametrize(
    ("plane", "kernel", "padding", "value", "index"),
    [
        ([[3, 7, 7], [7, 0, 1], [2, 7, 5]], (3, 3), (0, 0, 0, 0), 7, 1),
        ([[1, NAN, 2], [NAN, 5, 1], [9, 9, 3]], (3, 3), (0, 0, 0, 0), NAN, 3),
        ([[NAN, 1, 2], [4, 5, INF], [9, 9, 3]], (3, 3), (0, 0, 0, 0), NAN, 0),
        ([[-INF, -INF], [-INF, -INF]], (2, 2), (0, 0, 0, 0), -INF, 0),
        ([[-INF, -INF], [-INF, -INF]], (3, 3), (1, 0, 1, 0), -INF, 0),
        ([[-INF, -8], [-9, -INF]], (3, 3), (1, 0, 1, 0), -8, 1),
    ],
    ids=["tie", "last NaN", "NaN beats inf", "all -inf", "all -inf, padded", "padding is -inf"],
)
def test_maximum_of_one_window(module, plane, kernel, padding, value, index):
    values, indices = module.max_pool2d(
        np.array(plane, float)[None, None],
        kernel,
        stride=(1, 1),
        padding=padding,
        dilation=(1, 1),
        output_size=(1, 1),
    )
    np.testing.assert_array_equal(values, [[[[value]]]])
    np.testing.assert_array_equal(indices, [[[[index]]]])
    assert indices.dtype == np.int64


@MODULES
def test_a_window_that_steps_over_the_plane_has_no_index(module):
    values, indices = module.max_pool2d(
        np.ones((1, 1, 1, 3)),
        (2, 1),
        stride=(1, 1),
        padding=(3, 3, 0, 0),
        dilation=(5, 1),
        output_size=(2, 3),
    )
    np.testing.assert_array_equal(values, np.full((1, 1, 2, 3), -INF))
    np.testing.assert_array_equal(indices, np.full((1, 1, 2, 3), -1))


@MODULES
def test_max_pooling_pays_back_to_the_maximum(module, rng):
    x = rng.permutation(np.arange(70.0)).reshape(1, 2, 5, 7)  # all different, far apart
    how = {"stride": (1, 2), "padding": (1, 1, 0, 1), "dilation": (1, 2), "output_size": (5, 3)}
    values, indices = module.max_pool2d(x, (3, 2), **how)
    np.testing.assert_array_equal(
        np.take_along_axis(x.reshape(2, -1), indices.reshape(2, -1), 1), values.reshape(2, -1)
    )
    weights = rng.standard_normal(values.shape)
    expected = numerical_gradient(lambda x: np.sum(weights * module.max_pool2d(x, (3, 2), **how)[0]), x, 0.1)
    np.testing.assert_allclose(module.max_pool2d_backward(weights, indices, x.shape), expected, rtol=0, atol=1e-10)


@MODULES
def test_divisors_of_average_pooling(module):
    """A 3x3 window at stride 2 on a padded 4x4 plane of ones; the last windows reach one place too far."""
    how = {"stride": (2, 2), "padding": (1, 1, 1, 1), "output_size": (3, 3)}
    ones = np.ones((1, 1, 4, 4))
    inside = np.outer([2, 3, 1], [2, 3, 1])
    allowed = np.outer([3, 3, 2], [3, 3, 2])

    def mean(**options):
        return module.avg_pool2d(ones, (3, 3), **how, **options)[0, 0]

    np.testing.assert_allclose(mean(count_include_pad=True, divisor_override=None), inside / allowed)
    np.testing.assert_allclose(mean(count_include_pad=False, divisor_override=None), np.ones((3, 3)))
    np.testing.assert_allclose(mean(count_include_pad=False, divisor_override=-4), inside / -4)


@MODULES
@pytest.mark.parametrize("count_include_pad", [True, False])
@pytest.mark.parametrize("divisor_override", [None, 5])
def test_gradient_of_average_pooling_by_finite_differences(module, count_include_pad, divisor_override, rng):
    x = rng.standard_normal((2, 1, 5, 6))
    how = {
        "stride": (2, 3),
        "padding": (1, 0, 1, 1),
        "count_include_pad": count_include_pad,
        "divisor_override": divisor_override,
    }
    grad_output = rng.standard_normal((2, 1, 3, 3))  # ceil mode: the last row and column overhang

    def loss(x):
        return np.sum(grad_output * module.avg_pool2d(x, (3, 3), output_size=(3, 3), **how))

    np.testing.assert_allclose(
        module.avg_pool2d_backward(grad_output, x.shape, (3, 3), **how),
        numerical_gradient(loss, x, 1e-3),
        rtol=0,
        atol=1e-10,
    )


@pytest.mark.parametrize(
    ("kernel", "stride", "pad", "dilation", "ceil_mode"),
    [case for case in itertools.product((1, 2, 3), (1, 2, 3), (0, 1), (1, 2), (False, True)) if 2 * case[2] <= case[0]],
)
def test_pooling_agrees_with_pytorch(kernel, stride, pad, dilation, ceil_mode, rng):
    torch = pytest.importorskip("torch")
    x = np.round(rng.standard_normal((2, 2, 8, 7)))
    x[rng.random(x.shape) < 0.05] = NAN
    x[rng.random(x.shape) < 0.2] = -INF
    values, indices = torch.nn.functional.max_pool2d(
        torch.from_numpy(x), kernel, stride, pad, dilation, ceil_mode, return_indices=True
    )
    for module in (loops, im2col):
        got = module.max_pool2d(
            x,
            (kernel, kernel),
            stride=(stride, stride),
            padding=(pad,) * 4,
            dilation=(dilation, dilation),
            output_size=values.shape[2:],
        )
        np.testing.assert_array_equal(got[0], values.numpy())
        np.testing.assert_array_equal(got[1], indices.numpy())
