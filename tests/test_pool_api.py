"""The public face of pooling and ReLU, the same for the reference and the compiled kernels."""

import numpy as np
import pytest

import fastconv
from fastconv.reference import loops

from .helpers import nan_like

NAN, INF = np.nan, np.inf


pytestmark = pytest.mark.usefixtures("each_backend")


@pytest.fixture
def make(dtype):
    """Return a function that makes random numbers."""
    rng = np.random.default_rng(11)
    return lambda *shape: rng.standard_normal(shape).astype(dtype)


@pytest.fixture
def bound(dtype):
    return 1e-6 if dtype == np.float32 else 1e-14


def same(got, expected):
    """Whether both are the same in value, dtype and layout."""
    np.testing.assert_array_equal(got, expected)
    assert got.dtype == expected.dtype
    assert got.flags.c_contiguous


WINDOWS = {
    "2x2": {"kernel_size": 2},
    "3x3 overlapping": {"kernel_size": 3, "stride": 2, "padding": 1},
    "ceil": {"kernel_size": 3, "stride": 2, "ceil_mode": True},
    "ceil, padded": {"kernel_size": (2, 3), "stride": 3, "padding": 1, "ceil_mode": True},
    "1x3 steps of one": {"kernel_size": (1, 3), "stride": 1, "padding": (0, 1)},
    "sparse": {"kernel_size": 1, "stride": (2, 3)},
}


@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
@pytest.mark.parametrize("size", [(9, 7), (16, 33), (3, 70)])
def test_max_pooling_agrees_with_pytorch(make, window, size):
    torch = pytest.importorskip("torch")
    x = np.round(make(2, 3, *size))  # rounded, so there are ties
    x[make(*x.shape) > 2] = NAN
    x[make(*x.shape) > 1] = -INF
    leaf = torch.from_numpy(x).requires_grad_()
    expected, where = torch.nn.functional.max_pool2d(leaf, **window, return_indices=True)
    grad_output = make(*expected.shape)
    expected.backward(torch.from_numpy(grad_output))

    values, indices = fastconv.max_pool2d(x, **window, return_indices=True)
    same(values, expected.detach().numpy())
    same(indices, where.numpy())
    same(fastconv.max_pool2d(x, **window), values)
    grad = fastconv.max_pool2d_backward(grad_output, indices, x.shape)
    np.testing.assert_allclose(grad, leaf.grad.numpy(), rtol=0, atol=2e-6)


@pytest.mark.parametrize("size", [(9, 11), (5, 40)])
def test_dilated_max_pooling_agrees_with_pytorch(make, size):
    torch = pytest.importorskip("torch")
    x = np.round(make(2, 3, *size))
    window = {"kernel_size": (2, 3), "stride": (1, 2), "padding": (1, 1), "dilation": (3, 2)}
    expected, where = torch.nn.functional.max_pool2d(torch.from_numpy(x), **window, return_indices=True)
    values, indices = fastconv.max_pool2d(x, **window, return_indices=True)
    same(values, expected.numpy())
    same(indices, where.numpy())


@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
@pytest.mark.parametrize(
    "divided", [{}, {"count_include_pad": False}, {"divisor_override": 7}, {"divisor_override": -1}], ids=repr
)
def test_average_pooling_agrees_with_pytorch(make, bound, window, divided):
    torch = pytest.importorskip("torch")
    x = make(2, 3, 9, 37)
    leaf = torch.from_numpy(x).requires_grad_()
    expected = torch.nn.functional.avg_pool2d(leaf, **window, **divided)
    grad_output = make(*expected.shape)
    expected.backward(torch.from_numpy(grad_output))
    got = fastconv.avg_pool2d(x, **window, **divided)
    grad = fastconv.avg_pool2d_backward(grad_output, x.shape, **window, **divided)
    assert got.dtype == grad.dtype == x.dtype
    np.testing.assert_allclose(got, expected.detach().numpy(), rtol=0, atol=10 * bound)
    np.testing.assert_allclose(grad, leaf.grad.numpy(), rtol=0, atol=10 * bound)


def test_padding_on_one_side_is_padding_by_hand(make, bound):
    x = make(2, 2, 6, 21)
    window = {"kernel_size": 3, "stride": 2}
    sides = ((0, 1), (1, 0))
    lowest = np.pad(x, ((0, 0), (0, 0), *sides), constant_values=-INF)
    same(fastconv.max_pool2d(x, **window, padding=sides), fastconv.max_pool2d(lowest, **window))
    padded = np.pad(x, ((0, 0), (0, 0), *sides))
    average = fastconv.avg_pool2d(x, **window, padding=sides)
    np.testing.assert_allclose(average, fastconv.avg_pool2d(padded, **window), rtol=0, atol=bound)
    grad = fastconv.avg_pool2d_backward(average, x.shape, **window, padding=sides)
    by_hand = fastconv.avg_pool2d_backward(average, padded.shape, **window)[:, :, :6, 1:]
    np.testing.assert_allclose(grad, by_hand, rtol=0, atol=bound)


@pytest.mark.parametrize(
    ("plane", "value", "index"),
    [
        ([[3, 7, 7], [7, 0, 1], [2, 7, 5]], 7, 1),
        ([[1, NAN, 2], [NAN, 5, 1], [9, 9, 3]], NAN, 3),
        ([[NAN, 1, 2], [4, 5, INF], [9, 9, 3]], NAN, 0),
        ([[-INF] * 3] * 3, -INF, 0),
        ([[-0.0, 0.0, 0.0]] * 3, 0, 0),
    ],
    ids=["first of equals", "last NaN", "NaN beats inf", "all -inf", "zeros of both signs"],
)
@pytest.mark.parametrize("columns", [1, 40])
def test_which_maximum(dtype, plane, value, index, columns):
    x = np.tile(np.array(plane, dtype), (1, 1, 1, columns))
    values, indices = fastconv.max_pool2d(x, 3, return_indices=True)
    same(values, np.full((1, 1, 1, columns), value, dtype))
    same(indices, index % 3 + 3 * np.arange(columns).reshape(values.shape) + index // 3 * 3 * columns)


def test_a_window_of_nothing_but_minus_infinity_has_its_first_place_inside(dtype):
    values, indices = fastconv.max_pool2d(np.full((1, 1, 3, 3), -INF, dtype), 2, padding=1, return_indices=True)
    same(values, np.full((1, 1, 2, 2), -INF, dtype))
    same(indices, np.array([[[[0, 1], [3, 4]]]]))


def test_a_window_that_steps_over_the_plane_has_no_index(dtype):
    values, indices = fastconv.max_pool2d(
        np.ones((1, 1, 1, 3), dtype), (2, 1), 1, padding=(3, 0), dilation=(5, 1), return_indices=True
    )
    same(values, np.full((1, 1, 2, 3), -INF, dtype))
    same(indices, np.full((1, 1, 2, 3), -1))
    with pytest.raises(ValueError, match=r"^indices must lie in 0 to 2"):
        fastconv.max_pool2d_backward(values, indices, (1, 1, 1, 3))


def test_equal_maxima_of_overlapping_windows_add_up(dtype):
    x = np.zeros((1, 1, 3, 3), dtype)
    x[0, 0, 1, 1] = 5
    values, indices = fastconv.max_pool2d(x, 2, 1, return_indices=True)
    grad = fastconv.max_pool2d_backward(np.ones_like(values), indices, x.shape)
    assert grad[0, 0, 1, 1] == 4
    assert grad.sum() == 4


@pytest.mark.parametrize("size", [(16, 32), (17, 33), (40, 41), (2, 19)])
def test_gradients_go_to_any_place_of_their_plane(make, size):
    """As from windows of 2x2, but for one index, which is its neighbour's, in the second plane."""
    x = make(1, 3, *size)
    values, indices = fastconv.max_pool2d(x, 2, return_indices=True)
    same(fastconv.max_pool2d_backward(values, indices, x.shape), loops.max_pool2d_backward(values, indices, x.shape))
    indices[0, 1, -1, -1] = indices[0, 1, -1, -2]
    out = nan_like(x)
    fastconv.max_pool2d_backward(values, indices, x.shape, out=out)
    same(out, loops.max_pool2d_backward(values, indices, x.shape))


@pytest.mark.parametrize("kernel_size", [2, 3, (3, 2), (4, 5)])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("dilation", [1, 2, (1, 3)])
def test_maxima_in_long_rows(make, kernel_size, stride, dilation):
    x = np.round(make(1, 2, 11, 61), 1)
    window = {"stride": (stride, stride), "padding": (0, 0, 0, 0)}
    pair = kernel_size if isinstance(kernel_size, tuple) else (kernel_size, kernel_size)
    gaps = dilation if isinstance(dilation, tuple) else (dilation, dilation)
    values, indices = fastconv.max_pool2d(x, kernel_size, stride, dilation=dilation, return_indices=True)
    expected, where = loops.max_pool2d(x, pair, **window, dilation=gaps, output_size=values.shape[2:])
    same(values, expected)
    same(indices, where)
    same(fastconv.max_pool2d(x, kernel_size, stride, dilation=dilation), expected)


@pytest.mark.parametrize("kernel_size", [2, 3, (3, 2), (4, 5), (1, 2), (2, 1)])
@pytest.mark.parametrize("stride", [1, 2, (3, 1), (3, 2)])
@pytest.mark.parametrize("count_include_pad", [True, False])
def test_means_in_long_rows(make, bound, kernel_size, stride, count_include_pad):
    torch = pytest.importorskip("torch")
    padding = 0 if np.min(kernel_size) == 1 else 1
    leaf = torch.from_numpy(make(1, 2, 11, 61)).requires_grad_()
    how = {"padding": padding, "count_include_pad": count_include_pad}
    expected = torch.nn.functional.avg_pool2d(leaf, kernel_size, stride, **how)
    grad_output = make(*expected.shape)
    expected.backward(torch.from_numpy(grad_output))
    x = leaf.detach().numpy()
    got = fastconv.avg_pool2d(x, kernel_size, stride, **how)
    np.testing.assert_allclose(got, expected.detach().numpy(), rtol=0, atol=10 * bound)
    out = nan_like(x)
    fastconv.avg_pool2d_backward(grad_output, x.shape, kernel_size, stride, **how, out=out)
    np.testing.assert_allclose(out, leaf.grad.numpy(), rtol=0, atol=10 * bound)


def test_unbatched(make):
    x = make(3, 8, 9)
    values, indices = fastconv.max_pool2d(x, 2, return_indices=True)
    batch_values, batch_indices = fastconv.max_pool2d(x[None], 2, return_indices=True)
    same(values, batch_values[0])
    same(indices, batch_indices[0])
    same(
        fastconv.max_pool2d_backward(values, indices, x.shape),
        fastconv.max_pool2d_backward(batch_values, batch_indices, (1, 3, 8, 9))[0],
    )
    average = fastconv.avg_pool2d(x, 3)
    same(average, fastconv.avg_pool2d(x[None], 3)[0])
    same(
        fastconv.avg_pool2d_backward(average, x.shape, 3),
        fastconv.avg_pool2d_backward(average[None], (1, 3, 8, 9), 3)[0],
    )


@pytest.mark.parametrize("shape", [(0, 3, 6, 6), (2, 0, 6, 6), (0, 6, 6)])
def test_nothing_to_pool(dtype, shape):
    x = np.empty(shape, dtype)
    values, indices = fastconv.max_pool2d(x, 2, return_indices=True)
    assert values.shape == indices.shape == (*shape[:-2], 3, 3)
    assert fastconv.max_pool2d_backward(values, indices, shape).shape == shape
    average = fastconv.avg_pool2d(x, 3)
    assert average.shape == (*shape[:-2], 2, 2)
    assert fastconv.avg_pool2d_backward(average, shape, 3).shape == shape
    assert fastconv.relu(x).shape == fastconv.relu_backward(x, x).shape == shape


def test_relu(dtype):
    x = np.array([NAN, -1, 0, 2, INF, -INF] * 9, dtype).reshape(6, 9)
    y = fastconv.relu(x)
    same(y, np.where(x < 0, np.zeros_like(x), x))
    grad_output = np.full_like(x, INF)
    expected = np.where(y <= 0, np.zeros_like(x), grad_output)  # selected: inf times zero would be NaN
    same(fastconv.relu_backward(grad_output, y), expected)


@pytest.mark.parametrize("shape", [(), (1,), (33,), (3, 5, 7, 11, 2)])
def test_relu_of_any_shape(make, shape):
    x, grad_output = make(*shape, 1).reshape(shape), make(*shape, 1).reshape(shape)
    y = fastconv.relu(x)
    same(y, np.where(x > 0, x, np.zeros_like(x)))
    same(fastconv.relu_backward(grad_output, y), np.where(x > 0, grad_output, np.zeros_like(x)))


def test_relu_agrees_with_pytorch(make):
    torch = pytest.importorskip("torch")
    x, grad_output = make(2, 3, 40), make(2, 3, 40)
    x[0, 0, :3] = NAN, INF, -INF
    leaf = torch.from_numpy(x).requires_grad_()
    y = torch.relu(leaf)
    y.backward(torch.from_numpy(grad_output))
    same(fastconv.relu(x), y.detach().numpy())
    same(fastconv.relu_backward(grad_output, fastconv.relu(x)), leaf.grad.numpy())


# --- arrays in, arrays out ----------------------------------------------------------------------------------

FORMS = {
    "Fortran": np.asfortranarray,
    "strided": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    "swapped": lambda a: a.astype(a.dtype.newbyteorder()),
    "read-only": np.copy,
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_any_array_will_do_and_none_is_written_to(make, form):
    plain_x = make(2, 3, 8, 6)
    plain_values, plain_indices = loops.max_pool2d(
        plain_x, (2, 2), stride=(2, 2), padding=(0, 0, 0, 0), dilation=(1, 1), output_size=(4, 3)
    )
    x, values, indices = (form(array) for array in (plain_x, plain_values, plain_indices))
    for array in (x, values, indices):
        array.flags.writeable = False
    got = fastconv.max_pool2d(x, 2, return_indices=True)
    same(got[0], plain_values)
    same(got[1], plain_indices)
    same(
        fastconv.max_pool2d_backward(values, indices, x.shape),
        loops.max_pool2d_backward(plain_values, plain_indices, x.shape),
    )
    same(fastconv.avg_pool2d(x, 2), fastconv.avg_pool2d(plain_x, 2))
    same(fastconv.avg_pool2d_backward(values, x.shape, 2), fastconv.avg_pool2d_backward(plain_values, x.shape, 2))
    same(fastconv.relu(x), np.maximum(plain_x, 0))
    same(fastconv.relu_backward(x, x), np.maximum(plain_x, 0))
    np.testing.assert_array_equal(x, plain_x)
    np.testing.assert_array_equal(indices, plain_indices)


def test_out_is_filled_and_returned(make):
    x = make(2, 3, 8, 6)
    values, indices = fastconv.max_pool2d(x, 2, return_indices=True)
    average = fastconv.avg_pool2d(x, 2)
    calls = [
        (lambda out: fastconv.max_pool2d(x, 2, out=out), values),
        (lambda out: fastconv.max_pool2d(x, 2, return_indices=True, out=out)[0], values),
        (lambda out: fastconv.avg_pool2d(x, 2, out=out), average),
        (
            lambda out: fastconv.max_pool2d_backward(values, indices, x.shape, out=out),
            fastconv.max_pool2d_backward(values, indices, x.shape),
        ),
        (
            lambda out: fastconv.avg_pool2d_backward(average, x.shape, 2, out=out),
            fastconv.avg_pool2d_backward(average, x.shape, 2),
        ),
        (lambda out: fastconv.relu(x, out=out), fastconv.relu(x)),
        (lambda out: fastconv.relu_backward(x, x, out=out), fastconv.relu_backward(x, x)),
    ]
    for call, expected in calls:
        out = nan_like(expected)
        assert call(out) is out
        same(out, expected)


def test_out_may_not_overlap_an_input(make):
    x = make(1, 1, 4, 4)
    with pytest.raises(ValueError, match=r"^out must not share memory with x"):
        fastconv.max_pool2d(x, 1, out=x)
    with pytest.raises(ValueError, match=r"^out must not share memory with x"):
        fastconv.avg_pool2d(x, 1, out=x)
    with pytest.raises(ValueError, match=r"^out must not share memory with x"):
        fastconv.relu(x, out=x)
    with pytest.raises(ValueError, match=r"^out must not share memory with y"):
        fastconv.relu_backward(x.copy(), x, out=x)


# --- refusals ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("index", [-1, 36, 2**62])
def test_an_index_out_of_range(make, index):
    values, indices = fastconv.max_pool2d(make(1, 2, 6, 6), 3, return_indices=True)
    indices[0, 1, 1, 1] = index
    with pytest.raises(ValueError, match=r"^indices must lie in 0 to 35, within the plane \(6, 6\)"):
        fastconv.max_pool2d_backward(values, indices, (1, 2, 6, 6))


@pytest.mark.parametrize("index", [-1, 41 * 38, 2**32, 2**32 + 41 * 38 - 1, -(2**63)])
@pytest.mark.parametrize("place", [(0, 0, 0), (1, 7, 11), (1, 19, 18)])
def test_an_index_out_of_range_among_tiles(make, index, place):
    values, indices = fastconv.max_pool2d(make(1, 2, 41, 38), 2, return_indices=True)
    indices[0][place] = index
    with pytest.raises(ValueError, match=r"^indices must lie in 0 to 1557, within the plane \(41, 38\)"):
        fastconv.max_pool2d_backward(values, indices, (1, 2, 41, 38))


def test_shapes_that_do_not_fit(make):
    grad_output, indices = make(1, 2, 3, 3), np.zeros((1, 2, 3, 3), np.int64)
    for call, message in (
        (
            lambda: fastconv.max_pool2d_backward(grad_output, indices, (2, 2, 6, 6)),
            r"^grad_output must have shape \(2, 2, OH, OW\) for input_shape \(2, 2, 6, 6\), got \(1, 2, 3, 3\)",
        ),
        (
            lambda: fastconv.max_pool2d_backward(grad_output, indices, (2, 6, 6)),
            r"^grad_output must have shape \(2, OH, OW\)",
        ),
        (
            lambda: fastconv.max_pool2d_backward(grad_output, indices[..., :2], (1, 2, 6, 6)),
            r"^indices must have the shape of grad_output \(1, 2, 3, 3\), got \(1, 2, 3, 2\)",
        ),
        (
            lambda: fastconv.avg_pool2d_backward(grad_output, (1, 2, 8, 6), 2),
            r"^grad_output must have shape \(1, 2, 4, 3\), got \(1, 2, 3, 3\)",
        ),
        (
            lambda: fastconv.avg_pool2d_backward(grad_output, (1, 2, 1, 6), 2),
            r"^input_shape must hold a window",
        ),
        (lambda: fastconv.max_pool2d(make(6, 6), 2), r"^x must have 4 axes .* got shape \(6, 6\)"),
        (lambda: fastconv.relu_backward(make(3, 4), make(4, 3)), r"^y must have shape \(3, 4\), got \(4, 3\)"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_types_that_do_not_fit(make, dtype):
    x = make(1, 1, 4, 4)
    other = np.float64 if dtype == np.float32 else np.float32
    for call, message in (
        (lambda: fastconv.max_pool2d(x.astype(int), 2), "^x must be float32 or float64, got x int64"),
        (lambda: fastconv.avg_pool2d(x.astype(complex), 2), "^x must be float32 or float64"),
        (lambda: fastconv.relu_backward(x, x.astype(other)), "^grad_output and y must all be"),
        (lambda: fastconv.max_pool2d(x, 2.0), "^kernel_size must be an int"),
        (lambda: fastconv.max_pool2d(x, 2, True), "^stride must be an int"),
        (lambda: fastconv.max_pool2d(x, 2, return_indices=1), "^return_indices must be True or False"),
        (lambda: fastconv.avg_pool2d(x, 2, count_include_pad=None), "^count_include_pad must be True or"),
        (lambda: fastconv.max_pool2d_backward(x, x, x.shape), "^indices must be int64"),
    ):
        with pytest.raises(TypeError, match=message):
            call()
