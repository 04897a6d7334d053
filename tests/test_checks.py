"""Argument checks: what is accepted, what is refused, and that the message says why."""

import re

import numpy as np
import pytest

from fastconv import arrays, checks

from .helpers import misaligned

X, WEIGHT = (2, 4, 7, 9), (6, 4, 3, 2)


def geometry(x_shape=X, weight_shape=WEIGHT, stride=1, padding=0, dilation=1, groups=1):
    return checks.conv_geometry(x_shape, weight_shape, checks.conv_numbers(stride, padding, dilation, groups))


def pool(x_shape=X, kernel_size=3, stride=None, padding=0, dilation=1, ceil_mode=False):
    return checks.pool_geometry(x_shape, kernel_size, stride, padding, dilation, ceil_mode)


@pytest.mark.parametrize("value", [2, np.int64(2), (2,), [2], (2, 2), np.array([2, 2]), (np.uint8(2), 2)])
def test_forms_of_a_pair(value):
    got = geometry(stride=value, dilation=value, padding=value)
    assert got.stride == got.dilation == (2, 2)
    assert got.padding == (2, 2, 2, 2)
    assert all(type(number) is int for number in (*got.stride, *got.padding, *got.dilation))


@pytest.mark.parametrize("value", [True, 1.0, np.float64(1), np.True_, "1", None, (1, 1.0), (True, 1), np.array(1)])
@pytest.mark.parametrize("name", ["stride", "padding", "dilation"])
def test_what_is_no_integer_is_a_type_error(name, value):
    geometry()  # remembers 1, which equals True and 1.0
    expected = ValueError if name == "padding" and value == "1" else TypeError
    with pytest.raises(expected, match=rf"^{name} must be .*{re.escape(repr(value))}"):
        geometry(**{name: value})


@pytest.mark.parametrize("value", [0, -1, (), (1, 2, 3), (1, 0)])
@pytest.mark.parametrize("name", ["stride", "dilation"])
def test_numbers_out_of_range(name, value):
    with pytest.raises(ValueError, match=rf"^{name} must be .*at least 1, got {re.escape(repr(value))}"):
        geometry(**{name: value})


@pytest.mark.parametrize("name", ["stride", "padding", "dilation"])
def test_numbers_beyond_reason(name):
    with pytest.raises(ValueError, match=f"^{name} must be at most 2147483647, got"):
        geometry(**{name: (1, 2**64)})


@pytest.mark.parametrize(
    ("padding", "sides"),
    [
        (1, (1, 1, 1, 1)),
        ((1, 2), (1, 1, 2, 2)),
        (((1, 2), (3, 0)), (1, 2, 3, 0)),
        ([[1, 2], [3, 0]], (1, 2, 3, 0)),
        (np.array([[1, 2], [3, 0]]), (1, 2, 3, 0)),
        ("valid", (0, 0, 0, 0)),
        ("same", (1, 1, 0, 1)),
    ],
)
def test_forms_of_padding(padding, sides):
    assert geometry(padding=padding).padding == sides


@pytest.mark.parametrize("dilation", [(1, 1), (2, 3)])
def test_same_keeps_the_size(dilation):
    got = geometry(weight_shape=(6, 4, 4, 2), padding="same", dilation=dilation)
    assert (got.out_h, got.out_w) == X[2:]
    assert got.padding[1] - got.padding[0] == dilation[0] % 2  # the odd one is at the bottom


@pytest.mark.parametrize(
    "padding", [-1, (0, -1), (1, 2, 3, 4), ((1, 2),), ((1, 2), 3), ((1, 2, 3), (1, 2)), "SAME", ((0, -1), (0, 0))]
)
def test_wrong_padding(padding):
    with pytest.raises(ValueError, match=r"^padding "):
        geometry(padding=padding)


def test_same_needs_stride_1():
    with pytest.raises(ValueError, match=r'^padding "same" needs stride 1, got stride \(2, 2\)'):
        geometry(padding="same", stride=2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x_shape": (4, 7)}, r"^x must have 4 axes .* got shape \(4, 7\)"),
        ({"x_shape": (2, 5, 7, 9)}, r"^x must have 4 channels.*\(6, 4, 3, 2\).*\(2, 5, 7, 9\)"),
        ({"x_shape": (2, 4, 0, 9), "padding": 4}, "^x must have at least one row"),
        ({"x_shape": (2, 4, 2, 9)}, "^x must hold a window: its plane is 2x9, padded to 2x9, the window 3x2"),
        ({"dilation": 5, "padding": (1, 0)}, "plane is 7x9, padded to 9x9, the window 11x6"),
        ({"weight_shape": (6, 4, 3)}, r"^weight must have 4 axes \(K, C/groups, R, S\), got shape \(6, 4, 3\)"),
        ({"weight_shape": (0, 4, 3, 3)}, "^weight must have a positive multiple of groups=1 kernels"),
        ({"weight_shape": (6, 1, 3, 3), "groups": 4}, "^weight must have a positive multiple of groups=4"),
        ({"weight_shape": (6, 4, 0, 3)}, "^weight must have kernels of at least 1x1"),
        ({"groups": 0}, "^groups must be at least 1, got 0"),
    ],
)
def test_shapes_that_do_not_fit(arguments, message):
    with pytest.raises(ValueError, match=message):
        geometry(**arguments)


@pytest.mark.parametrize("groups", [1.0, True, (1,), None])
def test_groups_is_an_int(groups):
    with pytest.raises(TypeError, match=r"^groups must be an int, got"):
        geometry(groups=groups)


def test_geometry_of_a_convolution():
    got = geometry((5, 8, 11, 12), (6, 4, 3, 5), (2, 3), ((1, 2), (0, 4)), (3, 2), 2)
    assert got == checks.ConvGeometry(5, 8, 11, 12, 6, 3, 5, 2, (2, 3), (1, 2, 0, 4), (3, 2), 4, 3)
    assert got.input_shape == (5, 8, 11, 12)
    assert got.weight_shape == (6, 4, 3, 5)
    assert got.output_shape == (5, 6, 4, 3)


def test_geometry_is_remembered():
    assert geometry() is geometry(stride=(1, 1))
    assert pool() is pool(stride=3)


# --- pooling ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("length", "arguments", "floor", "ceil"),
    [
        (5, {"kernel_size": 2}, 2, 3),
        (4, {"kernel_size": 2}, 2, 2),
        (5, {"kernel_size": 3, "stride": 2, "padding": 1}, 3, 3),
        (6, {"kernel_size": 3, "stride": 2, "padding": 1}, 3, 4),
        (5, {"kernel_size": 2, "stride": 3, "padding": 1}, 2, 2),  # a third would start in the far padding
        (5, {"kernel_size": 2, "stride": 3, "padding": ((0, 1), (0, 1))}, 2, 2),
        (7, {"kernel_size": 2, "stride": 2, "dilation": 3}, 2, 3),
    ],
)
def test_output_size_of_pooling(length, arguments, floor, ceil):
    for ceil_mode, expected in ((False, floor), (True, ceil)):
        got = pool((1, 1, length, length), ceil_mode=ceil_mode, **arguments)
        assert (got.out_h, got.out_w) == (expected, expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kernel_size": 3, "padding": 2}, "^padding must be at most half of the window, 1 for rows and 1"),
        ({"kernel_size": 2, "padding": ((0, 2), (0, 0))}, "^padding must be at most half"),
        ({"kernel_size": 8}, "^x must hold a window"),
        ({"kernel_size": 0}, "^kernel_size must be .*at least 1, got 0"),
        ({"x_shape": (2, 3, 0, 4), "kernel_size": 2, "padding": 1}, "^x must have at least one row"),
        ({"x_shape": (2, 2, 2, 2), "kernel_size": 4, "stride": 1, "ceil_mode": True}, "^x must hold a window"),
    ],
)
def test_pooling_that_does_not_fit(arguments, message):
    with pytest.raises(ValueError, match=message):
        pool(**arguments)


def test_dilation_widens_the_limit_of_padding():
    assert pool(kernel_size=3, dilation=2, padding=2).padding == (2, 2, 2, 2)


@pytest.mark.parametrize("value", [1, None, "yes"])
def test_flags_are_bools(value):
    with pytest.raises(TypeError, match=r"^ceil_mode must be True or False, got"):
        pool(ceil_mode=value)


def test_divisor():
    assert checks.divisor(None) is None
    assert checks.divisor(np.int32(-3)) == -3
    with pytest.raises(ValueError, match=r"^divisor_override must not be zero"):
        checks.divisor(0)
    with pytest.raises(ValueError, match=r"^divisor_override must be at most 2147483647 in size, got -2147483648"):
        checks.divisor(-(2**31))
    for value in (1.5, True, "2"):
        with pytest.raises(TypeError, match=r"^divisor_override must be an int or None, got"):
            checks.divisor(value)


# --- arrays -----------------------------------------------------------------------------------------------


def test_float_arrays_passes_arrays_through():
    x = np.ones((2, 3), np.float32)
    assert checks.float_arrays(x=x)[0] is x
    assert checks.float_arrays(x=[1.0, 2.0])[0].dtype == np.float64
    big = x.astype(">f4")
    got = checks.float_arrays(x=x, weight=big)
    assert got[0] is x
    assert got[1] is big


@pytest.mark.parametrize("dtype", ["i8", "f2", "c16", "?", "O", "U3"])
def test_other_dtypes_are_named(dtype):
    with pytest.raises(TypeError, match=rf"^x must be float32 or float64, got x {np.dtype(dtype)}"):
        checks.float_arrays(x=np.zeros(3, dtype))
    with pytest.raises(TypeError, match=rf"got x {np.dtype(dtype)} and weight float32"):
        checks.float_arrays(x=np.zeros(3, dtype), weight=np.zeros(3, np.float32))


def test_a_mix_of_dtypes_names_both():
    with pytest.raises(TypeError, match=r"^x and weight must all be .*, got x float32 and weight float64"):
        checks.float_arrays(x=np.zeros(3, np.float32), weight=np.zeros(3))


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a,
        lambda a: np.asfortranarray(a),
        lambda a: np.repeat(a, 2, axis=1)[:, ::2],
        lambda a: a[::-1, ::-1],
        lambda a: a.astype(">f4"),
        misaligned,
        lambda a: np.broadcast_to(a[0], a.shape),
    ],
    ids=["plain", "Fortran", "strided", "reversed", "big-endian", "misaligned", "broadcast"],
)
def test_prepared_keeps_values(change):
    array = change(np.arange(12, dtype=np.float32).reshape(3, 4))
    array.flags.writeable = False
    got = arrays.prepared(array)
    np.testing.assert_array_equal(got, array)
    assert got.flags.c_contiguous
    assert got.flags.aligned
    assert got.dtype == np.float32
    assert got.dtype.isnative
    if array.flags.c_contiguous and array.flags.aligned and array.dtype.isnative:
        assert got is array


def test_a_fresh_result_is_native():
    got = arrays.result_array(None, (2, 3), np.dtype(">f8"))
    assert got.shape == (2, 3)
    assert got.dtype == np.float64
    assert got.dtype.isnative


def test_out_is_what_is_returned():
    out = np.zeros((2, 3), np.float32)
    assert arrays.result_array(out, (2, 3), np.dtype(">f4"), x=np.zeros(5)) is out


@pytest.mark.parametrize(
    ("out", "error", "message"),
    [
        ([[1.0]], TypeError, "must be a NumPy array or None, got list"),
        (np.zeros((3, 2), np.float32), ValueError, r"must have shape \(2, 3\), got \(3, 2\)"),
        (np.zeros((2, 3)), TypeError, "must have the native dtype float32, got .*float64"),
        (np.zeros((2, 3), ">f4"), TypeError, "must have the native dtype float32, got >f4"),
        (np.zeros((3, 2), np.float32).T, ValueError, "must be C-contiguous"),
        (misaligned(np.zeros((2, 3), np.float32)), ValueError, "must be C-contiguous and aligned"),
        (np.broadcast_to(np.float32(0), (2, 3)), ValueError, "must be C-contiguous"),
        (np.frombuffer(bytes(24), np.float32).reshape(2, 3), ValueError, "must be writable"),
    ],
    ids=["list", "shape", "float64", "big-endian", "Fortran", "misaligned", "broadcast", "read-only"],
)
def test_an_out_that_will_not_do(out, error, message):
    with pytest.raises(error, match=rf"^out {message}"):
        arrays.result_array(out, (2, 3), np.dtype(np.float32))


def test_out_may_not_share_memory():
    memory = np.zeros(12, np.float32)
    with pytest.raises(ValueError, match=r"^out must not share memory with weight"):
        arrays.result_array(memory[:6].reshape(2, 3), (2, 3), memory.dtype, x=memory[6:], bias=None, weight=memory[5:7])


def test_bias():
    weight = np.zeros((4, 1, 3, 3), np.float32)
    assert checks.bias_array(None, weight) is None
    with pytest.raises(ValueError, match=r"^bias must have shape \(4,\).*got \(3,\)"):
        checks.bias_array(np.zeros(3, np.float32), weight)
    with pytest.raises(TypeError, match=r"got bias float64 and weight float32"):
        checks.bias_array(np.zeros(4), weight)


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (7, TypeError),
        ("1234", TypeError),
        ((1, 2, 3.0), TypeError),
        ((1, 2, True), TypeError),
        ((1, 2), ValueError),
        ((1, 2, -3), ValueError),
    ],
)
def test_shapes_as_arguments(value, error):
    with pytest.raises(error, match=rf"^input_shape must be .*, got {re.escape(repr(value))}"):
        checks.shape_like("input_shape", value, (3, 4))
    assert checks.shape_like("input_shape", [np.int64(1), 2, 3], (3, 4)) == (1, 2, 3)


@pytest.mark.parametrize(
    ("indices", "error", "message"),
    [
        (np.zeros((1, 1, 2, 2), np.int32), TypeError, "must be int64.* got int32"),
        (np.zeros((1, 1, 2, 3), np.int64), ValueError, "must have the shape of grad_output"),
    ],
)
def test_indices(indices, error, message):
    with pytest.raises(error, match=rf"^indices {message}"):
        checks.index_array(indices, np.zeros((1, 1, 2, 2)))


def test_indices_out_of_range():
    error = checks.index_error(np.array([[[[3, 12], [-1, 0]]]]), (3, 4))
    assert re.search(r"^indices must lie in 0 to 11.*got -1 to 12$", str(error))


@pytest.mark.parametrize("activation", ["tanh", "RELU", True, 1])
def test_activation(activation):
    with pytest.raises(ValueError, match=r'^activation must be None or "relu", got'):
        checks.is_relu(activation)


def test_algorithm():
    assert checks.algorithm_name("auto", ("loops",)) == "auto"
    assert checks.algorithm_name("loops", ("loops",)) == "loops"
    with pytest.raises(ValueError, match=r"^algorithm 'fft' is unknown; expected one of 'auto', 'loops'$"):
        checks.algorithm_name("fft", ("loops",))
    with pytest.raises(TypeError, match=r"^algorithm must be a str, got None"):
        checks.algorithm_name(None, ("loops",))
