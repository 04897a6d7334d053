"""The public face of convolution, the same for every algorithm: PyTorch's semantics, and manners."""

import copy
import os
import pickle
import subprocess
import sys
import threading

import numpy as np
import pytest

import fastconv
from fastconv import checks
from fastconv.algorithms import ALGORITHMS

from .helpers import misaligned, nan_like

# A convolution that asks for all that there is, and the algorithms that can compute it, and so any.
DEMANDING = checks.conv_geometry((1, 4, 9, 9), (4, 2, 3, 2), checks.conv_numbers((2, 3), (2, 1), (1, 2), 2))
GENERAL = [name for name in sorted(ALGORITHMS) if ALGORITHMS[name].why_not(DEMANDING, "forward") is None]
CASES = {
    "plain": {},
    "strided": {"stride": (2, 3), "padding": (2, 1)},
    "dilated": {"dilation": (2, 1), "padding": 1},
    "grouped": {"groups": 2},
    "depthwise": {"groups": 4, "padding": "valid"},
    "same": {"padding": "same", "dilation": (1, 2)},
}
# Largest error in units of the result's root mean square.
BOUNDS = {np.dtype(np.float32): 4e-6, np.dtype(np.float64): 1e-13}


@pytest.fixture(params=[*GENERAL, "auto"])
def algorithm(request):
    return request.param


@pytest.fixture
def make(dtype):
    """Return a function that makes random numbers."""
    rng = np.random.default_rng(3)
    return lambda *shape: rng.standard_normal(shape).astype(dtype)


def assert_close(got, expected):
    expected = np.asarray(expected)
    assert got.shape == expected.shape
    assert got.dtype == expected.dtype
    assert got.flags.c_contiguous
    assert np.abs(got - expected).max() <= BOUNDS[got.dtype] * np.sqrt(np.mean(np.square(expected)))


# --- values -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_agrees_with_pytorch(make, algorithm, case):
    torch = pytest.importorskip("torch")
    x, weight, bias = make(2, 4, 9, 8), make(8, 4 // case.get("groups", 1), 3, 2), make(8)
    leaves = [torch.from_numpy(array).requires_grad_() for array in (x, weight, bias)]
    expected = torch.nn.functional.conv2d(*leaves, **case)
    grad_output = make(*expected.shape)
    expected.backward(torch.from_numpy(grad_output))

    assert_close(fastconv.conv2d(x, weight, bias, **case, algorithm=algorithm), expected.detach())
    gradients = fastconv.conv2d_backward(grad_output, x, weight, **case, algorithm=algorithm)
    for got, leaf in zip(gradients, leaves, strict=True):
        assert_close(got, leaf.grad)


def test_asymmetric_padding_is_padding_by_hand(make, algorithm):
    x, weight, bias = make(2, 3, 6, 7), make(4, 3, 3, 3), make(4)
    padded = np.pad(x, ((0, 0), (0, 0), (0, 2), (3, 1)))
    sides = ((0, 2), (3, 1))
    out = fastconv.conv2d(x, weight, bias, stride=2, padding=sides, algorithm=algorithm)
    assert_close(out, fastconv.conv2d(padded, weight, bias, stride=2, algorithm="im2col"))
    grad_output = make(*out.shape)
    got = fastconv.conv2d_backward(grad_output, x, weight, stride=2, padding=sides, algorithm=algorithm)
    expected = fastconv.conv2d_backward(grad_output, padded, weight, stride=2, algorithm="im2col")
    assert_close(got.input, expected.input[:, :, :6, 3:10])
    assert_close(got.weight, expected.weight)


def test_relu_is_fused_and_keeps_nan(make, algorithm):
    x, weight, bias = make(1, 2, 5, 5), make(3, 2, 3, 3), make(3)
    x[0, 0, 0, 0] = np.nan
    plain = fastconv.conv2d(x, weight, bias, algorithm=algorithm)
    rectified = fastconv.conv2d(x, weight, bias, activation="relu", algorithm=algorithm)
    assert np.isnan(plain[0, :, 0, 0]).all()
    assert (plain < 0).any()
    np.testing.assert_array_equal(rectified, np.where(plain < 0, 0, plain))


@pytest.mark.parametrize("name", GENERAL)
def test_nan_and_inf_reach_the_windows_that_hold_them_and_no_others(make, name):
    x, weight = make(1, 2, 9, 21), np.abs(make(3, 2, 3, 3)) + 1
    clean = fastconv.conv2d(x, weight, padding=1, algorithm=name)
    x[0, 1, 4, 6], x[0, 0, 4, 16] = np.nan, np.inf
    out = fastconv.conv2d(x, weight, padding=1, algorithm=name)
    is_nan, is_inf = np.zeros(out.shape, bool), np.zeros(out.shape, bool)
    is_nan[:, :, 3:6, 5:8] = True
    is_inf[:, :, 3:6, 15:18] = True
    np.testing.assert_array_equal(np.isnan(out), is_nan)
    np.testing.assert_array_equal(np.isposinf(out), is_inf)
    assert_close(np.where(is_nan | is_inf, clean, out), clean)


def test_winograd_spreads_nan_and_inf_within_tiles_and_no_further(make):
    x, weight = make(1, 2, 9, 21), make(3, 2, 3, 3)
    x[0, 1, 5, 6], x[0, 0, 1, 17] = np.nan, np.inf
    windows, spread, small = (
        ~np.isfinite(fastconv.conv2d(x, weight, padding=1, algorithm=name))
        for name in ("direct", "winograd", "winograd2")
    )
    tiles = np.zeros(windows.shape, bool)
    for _, _, row, column in np.argwhere(windows) // 4 * 4:
        tiles[:, :, row : row + 4, column : column + 4] = True
    assert (spread & ~windows).any()
    assert not (windows & ~spread).any()
    assert not (spread & ~tiles).any()
    np.testing.assert_array_equal(small, windows)


@pytest.mark.parametrize("name", ["winograd", "winograd2"])
def test_winograd_does_not_overflow_200_times_below_the_largest_number(make, dtype, name):
    signs = np.sign(make(1, 4, 12, 12)), np.sign(make(4, 4, 3, 3))
    x, weight = signs[0] * dtype.type(np.finfo(dtype).max / 200), signs[1] / dtype.type(36)
    out = fastconv.conv2d(x, weight, padding=1, algorithm=name)
    np.testing.assert_allclose(out, fastconv.conv2d(x, weight, padding=1, algorithm="direct"), atol=1e-4 * x.max())


def test_unbatched(make, algorithm):
    x, weight, bias = make(3, 6, 7), make(4, 3, 3, 3), make(4)
    out = fastconv.conv2d(x, weight, bias, padding=1, algorithm=algorithm)
    assert_close(out, fastconv.conv2d(x[None], weight, bias, padding=1, algorithm="im2col")[0])
    grad_output = make(*out.shape)
    got = fastconv.conv2d_backward(grad_output, x, weight, padding=1, algorithm=algorithm)
    expected = fastconv.conv2d_backward(grad_output[None], x[None], weight, padding=1, algorithm="im2col")
    assert_close(got.input, expected.input[0])
    assert_close(got.weight, expected.weight)
    assert_close(got.bias, expected.bias)
    packed = fastconv.PackedConv2d(weight, bias, padding=1, algorithm=algorithm)
    assert_close(packed.forward(x), out)
    assert_close(packed.input_grad(grad_output, x.shape), got.input)


def test_a_batch_and_a_single_image_do_not_mix(make):
    x, weight = make(1, 3, 6, 7), make(4, 3, 3, 3)
    grad_output = fastconv.conv2d(x, weight)
    with pytest.raises(ValueError, match=r"^grad_output must have shape \(4, 4, 5\), got \(1, 4, 4, 5\)"):
        fastconv.conv2d_input_grad(grad_output, weight, x.shape[1:])
    with pytest.raises(ValueError, match=r"^grad_output must have shape \(1, 4, 4, 5\), got \(4, 4, 5\)"):
        fastconv.conv2d_weight_grad(grad_output[0], x, weight.shape)
    with pytest.raises(ValueError, match=r"^grad_output must have shape \(4, 4, 5\), got \(1, 4, 4, 5\)"):
        fastconv.conv2d_backward(grad_output, x[0], weight)


# --- nothing to do ----------------------------------------------------------------------------------------


def test_no_images(make, algorithm):
    x, weight, bias = make(0, 4, 5, 6), make(6, 2, 3, 3), make(6)
    out = fastconv.conv2d(x, weight, bias, groups=2, algorithm=algorithm)
    assert out.shape == (0, 6, 3, 4)
    assert out.dtype == x.dtype
    grad_input = fastconv.conv2d_input_grad(out, weight, x.shape, groups=2, algorithm=algorithm)
    assert grad_input.shape == x.shape
    grad_weight = fastconv.conv2d_weight_grad(out, x, weight.shape, groups=2, algorithm=algorithm, out=nan_like(weight))
    np.testing.assert_array_equal(grad_weight, np.zeros_like(weight))
    np.testing.assert_array_equal(fastconv.conv2d_bias_grad(out, out=nan_like(bias)), np.zeros_like(bias))


@pytest.mark.parametrize("groups", [1, 3])
def test_no_channels(make, algorithm, groups):
    x, weight, bias = make(2, 0, 5, 6), make(3, 0, 3, 3), np.array([1, -2, np.nan], make(1).dtype)
    how = {"groups": groups, "algorithm": algorithm}
    out = fastconv.conv2d(x, weight, bias, **how, out=nan_like(make(2, 3, 3, 4)))
    np.testing.assert_array_equal(out, np.broadcast_to(bias[:, None, None], (2, 3, 3, 4)))
    rectified = fastconv.conv2d(x, weight, bias, activation="relu", **how)
    np.testing.assert_array_equal(rectified[1, :, 2, 3], [1, 0, np.nan])
    plain = fastconv.conv2d(x, weight, **how, out=nan_like(out))
    np.testing.assert_array_equal(plain, np.zeros_like(out))
    gradients = fastconv.conv2d_backward(np.ones_like(out), x, weight, **how)
    assert gradients.input.shape == x.shape
    assert gradients.weight.shape == weight.shape
    np.testing.assert_array_equal(gradients.bias, [24, 24, 24])


@pytest.mark.parametrize("n", [0, 2])
def test_no_rows(make, n):
    x, weight = make(n, 3, 0, 5), make(4, 3, 3, 3)
    if n:
        with pytest.raises(ValueError, match=r"^x must have at least one row .*\(2, 3, 0, 5\)"):
            fastconv.conv2d(x, weight, padding=2)
    else:
        assert fastconv.conv2d(x, weight, padding=2).shape == (0, 4, 2, 7)


# --- arrays in, arrays out ----------------------------------------------------------------------------------


FORMS = {
    "Fortran": np.asfortranarray,
    "strided": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    "reversed": lambda a: a[..., ::-1].copy()[..., ::-1],
    "swapped": lambda a: a.astype(a.dtype.newbyteorder()),
    "misaligned": misaligned,
    "read-only": np.copy,
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_any_array_will_do_and_none_is_written_to(make, algorithm, form):
    plain = make(2, 2, 6, 5), make(4, 2, 3, 3), make(4), make(2, 4, 4, 3)
    x, weight, bias, grad_output = arrays = [form(array) for array in plain]
    for array in arrays:
        array.flags.writeable = False
    packed = fastconv.PackedConv2d(weight, bias, algorithm=algorithm)
    got = (
        fastconv.conv2d(x, weight, bias, algorithm=algorithm),
        packed.forward(x),
        packed.input_grad(grad_output, x.shape),
        *fastconv.conv2d_backward(grad_output, x, weight, algorithm=algorithm),
    )
    expected = fastconv.conv2d(*plain[:3], algorithm="im2col")
    by_input, *others = fastconv.conv2d_backward(plain[3], *plain[:2], algorithm="im2col")
    for one, other in zip(got, (expected, expected, by_input, by_input, *others), strict=True):
        assert_close(one, other)
        assert one.dtype.isnative
    for array, before in zip(arrays, plain, strict=True):
        np.testing.assert_array_equal(array, before)


def test_lists_will_do():
    out = fastconv.conv2d([[[1.0, 2.0], [3.0, 4.0]]], [[[[1.0, 0.0], [0.0, 1.0]]]], [0.5])
    np.testing.assert_array_equal(out, [[[5.5]]])
    assert out.dtype == np.float64


def test_tensors_of_pytorch_will_do():
    torch = pytest.importorskip("torch")
    out = fastconv.conv2d(torch.ones(1, 2, 3, 3), torch.ones(1, 2, 3, 3))
    assert isinstance(out, np.ndarray)
    np.testing.assert_array_equal(out, np.full((1, 1, 1, 1), 18, np.float32))


def test_out_is_filled_and_returned(make, algorithm):
    x, weight, bias = make(2, 2, 6, 5), make(4, 2, 3, 3), make(4)
    expected = fastconv.conv2d(x, weight, bias, algorithm="im2col")
    out = nan_like(expected)
    assert fastconv.conv2d(x, weight, bias, algorithm=algorithm, out=out) is out
    assert_close(out, expected)
    packed = fastconv.PackedConv2d(weight, bias, algorithm=algorithm)
    again = nan_like(expected)
    assert packed.forward(x, out=again) is again
    assert_close(again, expected)

    grad_output = make(*expected.shape)
    gradients = fastconv.conv2d_backward(grad_output, x, weight, algorithm="im2col")
    outs = [nan_like(array) for array in (x, x, weight, bias)]
    results = [
        fastconv.conv2d_input_grad(grad_output, weight, x.shape, algorithm=algorithm, out=outs[0]),
        packed.input_grad(grad_output, x.shape, out=outs[1]),
        fastconv.conv2d_weight_grad(grad_output, x, weight.shape, algorithm=algorithm, out=outs[2]),
        fastconv.conv2d_bias_grad(grad_output, out=outs[3]),
    ]
    for result, out, right in zip(results, outs, (gradients.input, *gradients), strict=True):
        assert result is out
        assert_close(result, right)


def test_unbatched_out(make, algorithm):
    x, weight = make(2, 6, 5), make(4, 2, 3, 3)
    out = nan_like(make(4, 4, 3))
    assert fastconv.conv2d(x, weight, algorithm=algorithm, out=out) is out
    assert_close(out, fastconv.conv2d(x, weight, algorithm="im2col"))
    with pytest.raises(ValueError, match=r"^out must have shape \(4, 4, 3\), got \(1, 4, 4, 3\)"):
        fastconv.conv2d(x, weight, out=out[None])


def test_out_may_not_overlap_an_input(make):
    x, weight = make(1, 1, 5, 5), make(1, 1, 1, 1)
    with pytest.raises(ValueError, match=r"^out must not share memory with x"):
        fastconv.conv2d(x, weight, out=x)
    with pytest.raises(ValueError, match=r"^out must not share memory with grad_output"):
        fastconv.conv2d_input_grad(x, weight, x.shape, out=x)
    with pytest.raises(ValueError, match=r"^out must not share memory with x"):
        fastconv.conv2d_weight_grad(make(1, 1, 5, 5), x, weight.shape, out=x[:, :, :1, :1])


def test_results_share_no_memory(make, algorithm):
    x, weight = make(1, 2, 5, 5), make(2, 2, 1, 1)
    results = [fastconv.conv2d(x, weight, algorithm=algorithm) for _ in range(3)]
    results += [fastconv.conv2d_input_grad(x, weight, x.shape, algorithm=algorithm) for _ in range(2)]
    for number, one in enumerate(results):
        assert not any(np.may_share_memory(one, other) for other in (x, weight, *results[:number]))


# --- refusals ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["fft", "Direct"])
def test_algorithms_that_are_not_there(make, name):
    x, weight = make(1, 1, 5, 5), make(1, 1, 3, 3)
    for call in (
        lambda: fastconv.conv2d(x, weight, algorithm=name),
        lambda: fastconv.conv2d_input_grad(x, weight, x.shape, padding=1, algorithm=name),
        lambda: fastconv.conv2d_weight_grad(x, x, weight.shape, padding=1, algorithm=name),
        lambda: fastconv.conv2d_backward(x, x, weight, padding=1, algorithm=name),
        lambda: fastconv.PackedConv2d(weight, algorithm=name),
    ):
        with pytest.raises(ValueError, match=rf"^algorithm '{name}' is .*; expected one of 'auto', "):
            call()


def test_dtypes_that_do_not_mix():
    x, weight = np.zeros((1, 1, 5, 5), np.float32), np.zeros((1, 1, 3, 3))
    for call, message in (
        (lambda: fastconv.conv2d(x, weight), "got x float32 and weight float64"),
        (lambda: fastconv.conv2d(x, x, np.zeros(1)), "got bias float64 and weight float32"),
        (lambda: fastconv.conv2d_input_grad(x, weight, x.shape), "got grad_output float32 and weight float64"),
        (lambda: fastconv.conv2d_weight_grad(weight, x, (1, 1, 3, 3)), "got grad_output float64 and x float32"),
        (lambda: fastconv.conv2d_backward(weight, x, x), "got grad_output float64 and x float32 and weight float32"),
        (lambda: fastconv.conv2d_bias_grad(x.astype(int)), "got grad_output int64"),
        (lambda: fastconv.PackedConv2d(weight).forward(x), "got x float32 and weight float64"),
        (lambda: fastconv.conv2d(None, x), "got x object"),
    ):
        with pytest.raises(TypeError, match=message):
            call()


def test_a_gradient_of_the_wrong_shape(make):
    with pytest.raises(ValueError, match=r"^grad_output must have shape \(1, 2, 3, 3\), got \(1, 2, 4, 3\)"):
        fastconv.conv2d_input_grad(make(1, 2, 4, 3), make(2, 1, 3, 3), (1, 1, 5, 5))
    with pytest.raises(ValueError, match=r"^input_shape must have 3 channels"):
        fastconv.conv2d_input_grad(make(1, 2, 4, 3), make(2, 3, 3, 3), (1, 1, 5, 5))
    with pytest.raises(ValueError, match=r"^weight_shape must be a sequence of 4 ints"):
        fastconv.conv2d_weight_grad(make(1, 2, 4, 3), make(1, 1, 5, 5), (2, 3, 3))
    with pytest.raises(ValueError, match=r"^grad_output must have 4 axes"):
        fastconv.conv2d_bias_grad(make(2, 3))


# --- backward and packed ----------------------------------------------------------------------------------


@pytest.mark.parametrize("needs", [(True, False, False), (False, True, True), [False, False, False]])
def test_only_the_gradients_that_are_needed(make, needs):
    x, weight = make(1, 2, 5, 5), make(2, 2, 3, 3)
    got = fastconv.conv2d_backward(make(1, 2, 3, 3), x, weight, needs=needs)
    assert [gradient is not None for gradient in got] == list(needs)
    assert isinstance(got, fastconv.Conv2dGradients)
    assert got._fields == ("input", "weight", "bias")


def test_needs_are_three_bools(make):
    x, weight = make(1, 2, 3, 3), make(2, 2, 1, 1)
    with pytest.raises(ValueError, match=r"^needs must be a sequence of 3 bools, got \(True, True\)"):
        fastconv.conv2d_backward(x, x, weight, needs=(True, True))
    with pytest.raises(TypeError, match=r"^needs must be True or False, got 1"):
        fastconv.conv2d_backward(x, x, weight, needs=(1, True, True))


def test_packed_is_the_same_convolution(make, algorithm):
    x, weight, bias = make(2, 4, 9, 8), make(6, 2, 3, 2), make(6)
    how = {"stride": (2, 1), "padding": ((1, 0), (2, 1)), "dilation": (1, 2), "groups": 2}
    packed = fastconv.PackedConv2d(weight, bias, **how, activation="relu", algorithm=algorithm)
    expected = fastconv.conv2d(x, weight, bias, **how, activation="relu", algorithm="im2col")
    assert_close(packed.forward(x), expected)
    grad_output = make(*expected.shape)
    assert_close(
        packed.input_grad(grad_output, x.shape),
        fastconv.conv2d_input_grad(grad_output, weight, x.shape, **how, algorithm="im2col"),
    )
    assert packed.weight_shape == weight.shape
    assert packed.dtype == weight.dtype
    assert packed.algorithm == algorithm
    assert packed.nbytes >= weight.nbytes + bias.nbytes


def test_packed_does_not_see_later_changes(make, algorithm):
    x, weight, bias = make(1, 2, 5, 5), make(3, 2, 3, 3), make(3)
    packed = fastconv.PackedConv2d(weight, bias, algorithm=algorithm)
    expected = fastconv.conv2d(x, weight, bias, algorithm="im2col")
    weight[...] = bias[...] = np.nan
    assert_close(packed.forward(x), expected)


def test_packings_are_counted_and_made_once(make, algorithm):
    x, weight = make(1, 4, 6, 6), make(5, 2, 3, 3).repeat(2, axis=0)
    packed = fastconv.PackedConv2d(weight, padding=1, groups=2, algorithm=algorithm)
    sizes = [packed.nbytes]
    for call in (packed.forward, packed.forward, lambda x: packed.input_grad(np.ones((1, 10, 6, 6), x.dtype), x.shape)):
        call(x)
        sizes.append(packed.nbytes)
    assert sizes[0] == weight.nbytes
    assert sizes[1] == sizes[2] <= sizes[3]
    if algorithm == "direct":
        assert sizes[1] >= 2 * weight.nbytes
        assert sizes[3] >= 3 * weight.nbytes
    assert pickle.loads(pickle.dumps(packed)).nbytes == sizes[0]


def test_packed_is_frozen(make):
    packed = fastconv.PackedConv2d(make(3, 2, 3, 3))
    for name in ("algorithm", "dtype", "nbytes", "_weight", "other"):
        with pytest.raises(AttributeError, match=name):
            setattr(packed, name, None)
        with pytest.raises(AttributeError, match=name):
            delattr(packed, name)


def test_packed_can_be_pickled_and_copied(make, algorithm):
    x = make(1, 4, 6, 6)
    packed = fastconv.PackedConv2d(
        make(4, 2, 3, 3),
        make(4),
        stride=2,
        padding="valid",
        groups=2,
        activation="relu",
        algorithm=algorithm,
    )
    before = packed.forward(x)
    for twin in (pickle.loads(pickle.dumps(packed)), copy.deepcopy(packed)):
        np.testing.assert_array_equal(twin.forward(x), before)
        assert repr(twin) == repr(packed)
        with pytest.raises(AttributeError, match="frozen"):
            twin.anything = 1


def test_packed_checks_when_it_is_made(make):
    weight = make(4, 2, 3, 3)
    for arguments, message in (
        ({"weight": weight[0]}, "^weight must have 4 axes"),
        ({"weight": weight, "groups": 3}, "^weight must have a positive multiple of groups=3"),
        ({"weight": weight, "bias": make(3)}, "^bias must have shape"),
        ({"weight": weight, "padding": "same", "stride": 2}, '^padding "same" needs stride 1'),
        ({"weight": weight, "activation": "elu"}, "^activation must be None"),
    ):
        with pytest.raises(ValueError, match=message):
            fastconv.PackedConv2d(**arguments)


def test_packed_in_many_threads_at_once(make, algorithm):
    images = [make(1, 4, 12, 12) for _ in range(8)]
    weight = make(8, 4, 3, 3)
    expected = [fastconv.conv2d(x, weight, padding=1, algorithm="im2col") for x in images]
    packed = fastconv.PackedConv2d(weight, padding=1, algorithm=algorithm)
    start, got = threading.Barrier(len(images)), [None] * len(images)

    def work(number):
        start.wait()
        got[number] = packed.forward(images[number])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(images))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one, other in zip(got, expected, strict=True):
        assert_close(one, other)


# --- Winograd ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"weight": (4, 3, 3, 2)}, r"3x3 kernels, got 3x2"),
        ({"stride": 2}, r"stride 1, got \(2, 2\)"),
        ({"dilation": (1, 2)}, r"dilation 1, got \(1, 2\)"),
    ],
)
@pytest.mark.parametrize("n", [1, 0])
def test_winograd_by_name_runs_or_says_why_not(make, n, arguments, reason):
    arguments = dict(arguments)
    x, weight = make(n, 3, 9, 9), make(*arguments.pop("weight", (4, 3, 3, 3)))
    grad_output = fastconv.conv2d(x, weight, **arguments)
    packed = fastconv.PackedConv2d(weight, **arguments, algorithm="winograd")
    for call in (
        lambda: fastconv.conv2d(x, weight, **arguments, algorithm="winograd"),
        lambda: packed.forward(x),
        lambda: fastconv.conv2d_input_grad(grad_output, weight, x.shape, **arguments, algorithm="winograd"),
        lambda: packed.input_grad(grad_output, x.shape),
        lambda: fastconv.conv2d_weight_grad(grad_output, x, weight.shape, **arguments, algorithm="winograd"),
    ):
        with pytest.raises(ValueError, match=f"^algorithm 'winograd' can't do this convolution: it needs {reason}"):
            call()


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("algorithm", ["winograd", "auto"])
def test_winograd_packed(make, dtype, algorithm, groups):
    bound = 2e-5 if dtype == np.float32 else 1e-13
    x, weight, bias = make(1, 64, 14, 13), make(64, 64 // groups, 3, 3), make(64)
    how = {"padding": ((1, 0), (2, 1)), "groups": groups}
    packed = fastconv.PackedConv2d(weight, bias, **how, activation="relu", algorithm=algorithm)
    expected = fastconv.conv2d(x, weight, bias, **how, activation="relu", algorithm="im2col")
    grad_output = make(*expected.shape)
    by_input = fastconv.conv2d_input_grad(grad_output, weight, x.shape, **how, algorithm="im2col")
    got = packed.forward(x, out=nan_like(expected))
    one_way = packed.nbytes
    got_by_input = packed.input_grad(grad_output, x.shape, out=nan_like(x))
    assert np.abs(got - expected).max() <= bound * np.sqrt(np.mean(expected**2))
    assert np.abs(got_by_input - by_input).max() <= bound * np.sqrt(np.mean(by_input**2))
    if algorithm == "winograd":
        # Nine numbers a kernel for each way, beside the weight itself: nobody keeps transforms.
        assert 2 * weight.nbytes <= one_way <= 2.1 * weight.nbytes
        assert 3 * weight.nbytes <= packed.nbytes <= 3.2 * weight.nbytes
    again = pickle.loads(pickle.dumps(packed)).forward(x)
    np.testing.assert_array_equal(again, got)


# --- without a compiler -----------------------------------------------------------------------------------

WITHOUT_JIT = """
import numpy as np, fastconv
x, weight = np.ones((1, 2, 4, 4), np.float32), np.ones((3, 2, 3, 3), np.float32)
y = fastconv.conv2d(x, weight, padding=1, activation="relu")
values, indices = fastconv.max_pool2d(y, 2, return_indices=True)
grad = fastconv.max_pool2d_backward(values, indices, y.shape)
gradients = fastconv.conv2d_backward(fastconv.relu_backward(grad, y), x, weight, padding=1)
print(y.sum(), values.sum(), gradients.bias.sum())
"""


def test_with_numba_disable_jit_the_references_run():
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", WITHOUT_JIT],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    # 2 channels of 9, 6 or 4 places under a window: 18 inside, 12 at an edge, 8 in a corner.
    assert done.stdout.split() == ["600.0", "216.0", "216.0"]
