"""Poolings and their gradients against NumPy on windows that are cut out of the padded picture, one place at a time."""

from itertools import product

import numpy as np
import pytest

from fastconv import jit
from fastconv.geometry import PoolGeometry
from fastconv.kernels import avg_pooling, max_pooling

from .helpers import Output, integers, surrounded

NAN, INF = np.nan, np.inf
LANES = jit.lanes(np.dtype(np.float32))
WIDTHS = [3, LANES + 1, 5 * LANES + 3]
PLAIN = {"kernel": (2, 2), "stride": (2, 2), "padding": (0, 0, 0, 0)}
WINDOWS = {
    "2x2": PLAIN,
    "2x2, padded": {**PLAIN, "padding": (1, 0, 1, 1)},
    "3x3 overlapping": {**PLAIN, "kernel": (3, 3), "padding": (1, 1, 1, 1)},
    "3x3 side by side": {**PLAIN, "kernel": (3, 3), "stride": (3, 3)},
    "2x3 at every place": {**PLAIN, "kernel": (2, 3), "stride": (1, 1), "padding": (1, 0, 0, 1)},
    "1x2 at every second": {**PLAIN, "kernel": (1, 2), "stride": (3, 2)},
    "5x4 of a padded plane": {**PLAIN, "kernel": (5, 4), "stride": (2, 1), "padding": (2, 2, 1, 2)},
    "1x1 with gaps": {**PLAIN, "kernel": (1, 1), "stride": (2, 2)},
    "2x2 beyond the picture": {**PLAIN, "ceil": True},
    "4x3 beyond the padding": {**PLAIN, "kernel": (4, 3), "stride": (3, 2), "padding": (1, 1, 0, 1), "ceil": True},
}
SPREAD = {
    "rows apart": {**PLAIN, "dilation": (2, 1)},
    "columns apart": {**PLAIN, "kernel": (2, 3), "stride": (1, 2), "padding": (1, 1, 1, 1), "dilation": (3, 2)},
    "columns apart at every place": {**PLAIN, "stride": (1, 1), "padding": (0, 0, 1, 0), "dilation": (1, 2)},
}
ANY_WIDTH = pytest.mark.parametrize("width", WIDTHS)
ANY_WINDOW = pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)


def geometry(shape, kernel, stride, padding, dilation=(1, 1), ceil=False):
    """Return a pooling's geometry; with `ceil`, the last windows may reach beyond the padding."""
    top, bottom, left, right = padding
    down = shape[2] + top + bottom - (kernel[0] - 1) * dilation[0] - 1
    across = shape[3] + left + right - (kernel[1] - 1) * dilation[1] - 1
    steps = [-(-way // step) if ceil else way // step for way, step in zip((down, across), stride, strict=True)]
    return PoolGeometry(*shape, *kernel, stride, padding, dilation, steps[0] + 1, steps[1] + 1)


def places(planes, g, padding, beyond=None):
    """Return what lies at each place of each window, (row-major place, image, channel, y, x).

    `padding` is what the padding is filled with, and `beyond` what lies beyond it, if that is something else.
    """
    top, bottom, left, right = g.padding
    padded = np.pad(planes, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=padding)
    reach = ((0, 0), (0, 0), (0, g.stride[0]), (0, g.stride[1]))
    padded = np.pad(padded, reach, constant_values=padding if beyond is None else beyond)
    return np.stack(
        [
            padded[
                :, :,
                i * g.dilation[0] : i * g.dilation[0] + (g.out_h - 1) * g.stride[0] + 1 : g.stride[0],
                j * g.dilation[1] : j * g.dilation[1] + (g.out_w - 1) * g.stride[1] + 1 : g.stride[1],
            ]
            for i, j in product(range(g.r), range(g.s))
        ]
    )  # fmt: skip


def pixel_numbers(g):
    """Return the index in its plane of each pixel of a picture."""
    return np.broadcast_to(np.arange(g.h * g.w).reshape(g.h, g.w), g.input_shape)


def paid_back(grads, g):
    """Return the sums of what each pixel is given through the windows over it; `grads` are those of each place."""
    total = np.zeros((g.n * g.c, g.h * g.w))
    index = places(pixel_numbers(g), g, -1)
    plane = np.broadcast_to(np.arange(g.n * g.c).reshape(1, g.n, g.c, 1, 1), index.shape)
    inside = index >= 0
    np.add.at(total, (plane[inside], index[inside]), np.broadcast_to(grads, index.shape)[inside])
    return total.reshape(g.input_shape)


# --- maxima ---------------------------------------------------------------------------------------------------------


@ANY_WIDTH
@pytest.mark.parametrize("window", [*WINDOWS.values(), *SPREAD.values()], ids=[*WINDOWS, *SPREAD])
def test_maxima_and_where_the_first_of_them_is(window, width, dtype, threads, rng):
    g = geometry((2, 3, 7, max(width, 5)), **window)
    x = integers(rng, dtype, *g.input_shape)  # many are equal
    in_windows = places(x, g, -INF)
    first = in_windows.argmax(axis=0)
    indices = np.take_along_axis(places(pixel_numbers(g), g, -1), first[np.newaxis], axis=0)[0]
    for asked in (True, False):
        out, found = Output(g.output_shape, dtype), Output(g.output_shape, np.int64)
        max_pooling.max_pool(surrounded(x), g, out.array, found.array if asked else None)
        out.check(in_windows.max(axis=0))
        if asked:
            found.check(indices)


@pytest.mark.parametrize(
    ("places", "maximum", "place"),
    [
        ([1, 2, 2, 0], 2, 1),
        ([NAN, 5, 1, INF], NAN, 0),
        ([NAN, 5, NAN, INF], NAN, 2),
        ([-INF] * 4, -INF, 0),
        ([-0.0, 0.0, 0.0, 0.0], 0, 0),
    ],
    ids=str,
)
@pytest.mark.parametrize("columns", [1, 4 * LANES + 1])
def test_maxima_by_hand(places, maximum, place, columns, dtype, threads):
    g = geometry((1, 1, 2, 2 * columns), **PLAIN)
    x = np.tile(np.array(places, dtype).reshape(2, 2), columns).reshape(g.input_shape)
    out, indices = Output(g.output_shape, dtype), Output(g.output_shape, np.int64)
    max_pooling.max_pool(surrounded(x), g, out.array, indices.array)
    out.check(np.full(g.output_shape, maximum))
    down, across = divmod(place, 2)
    indices.check((down * g.w + across + 2 * np.arange(columns)).reshape(g.output_shape))


@ANY_WIDTH
@pytest.mark.parametrize("name", ["in tiles", "in tiles but one", "anywhere"])
def test_gradients_of_maxima_are_added_where_the_indices_say(name, width, dtype, threads, rng):
    """Indices in 2x2 tiles are written at once; the first that is not, here in the last plane, is noticed."""
    g = geometry((2, 2, 6, 2 * width + 1), **PLAIN)
    indices = np.take_along_axis(
        places(pixel_numbers(g), g, -1), rng.integers(0, 4, (1, *g.output_shape)), axis=0
    )[0]  # fmt: skip
    if name == "in tiles but one":
        indices[-1, -1, -1, -1] = 0
    if name == "anywhere":
        indices = rng.integers(0, g.h * g.w, g.output_shape)
    grad = integers(rng, dtype, *g.output_shape)
    expected = np.zeros((g.n * g.c, g.h * g.w))
    np.add.at(expected, (np.arange(g.n * g.c)[:, np.newaxis], indices.reshape(g.n * g.c, -1)), grad.reshape(4, -1))
    out = Output(g.input_shape, dtype)
    assert max_pooling.max_pool_backward(surrounded(grad), indices, out.array)
    out.check(expected.reshape(g.input_shape))


@pytest.mark.parametrize("wrong", [-1, 6 * 33, 1 << 32, -(1 << 63)])
@pytest.mark.parametrize("place", [(0, 0, 0, 0), (1, 1, 2, 15)], ids=["first", "last"])
def test_an_index_outside_the_plane_is_told(wrong, place, dtype, threads):
    g = geometry((2, 2, 6, 33), **PLAIN)
    indices = places(pixel_numbers(g), g, -1)[0].copy()
    indices[place] = wrong
    out = Output(g.input_shape, dtype)
    assert not max_pooling.max_pool_backward(np.ones(g.output_shape, dtype), indices, out.array)
    out.check_around()


# --- means ----------------------------------------------------------------------------------------------------------


def divisors(g, count_include_pad, divisor):
    """Return what the sum of each window is divided by."""
    if divisor is not None:
        return divisor
    return places(np.ones(g.input_shape), g, padding=count_include_pad, beyond=0).sum(axis=0)


DIVIDED = [(True, None), (False, None), (True, 8), (True, -2)]  # count_include_pad, divisor


def close(result, expected):
    """Compare by the norm; sums are exact, so there is but the rounding of a factor, of products and of their sum."""
    assert np.linalg.norm(result - expected) <= 4 * np.finfo(result.dtype).eps * np.linalg.norm(expected)


@ANY_WIDTH
@ANY_WINDOW
def test_means(window, width, dtype, threads, rng):
    g = geometry((2, 3, 7, max(width, 5)), **window)
    x = integers(rng, dtype, *g.input_shape)
    for divided in DIVIDED:
        out = Output(g.output_shape, dtype)
        avg_pooling.avg_pool(surrounded(x), g, *divided, out.array)
        close(out.array, places(x, g, 0).sum(axis=0, dtype=float) / divisors(g, *divided))
        out.check_around()


@ANY_WIDTH
@ANY_WINDOW
def test_gradients_of_means_are_shared_out(window, width, dtype, threads, rng):
    g = geometry((2, 3, 7, max(width, 5)), **window)
    grad = integers(rng, dtype, *g.output_shape)
    for divided in DIVIDED:
        out = Output(g.input_shape, dtype)
        avg_pooling.avg_pool_backward(surrounded(grad), g, *divided, out.array)
        close(out.array, paid_back(grad / divisors(g, *divided), g))
        out.check_around()


def test_means_by_hand(dtype, threads):
    g = geometry((1, 1, 3, 3), (2, 2), (2, 2), (1, 0, 1, 0))
    x = np.arange(1, 10, dtype=dtype).reshape(1, 1, 3, 3)
    for count_include_pad, expected in ((True, [[0.25, 1.25], [2.75, 7]]), (False, [[1, 2.5], [5.5, 7]])):
        out = Output((1, 1, 2, 2), dtype)
        avg_pooling.avg_pool(x, g, count_include_pad, None, out.array)
        out.check([[expected]])
    back = Output((1, 1, 3, 3), dtype)
    avg_pooling.avg_pool_backward(np.array([[[[4, 8], [12, 16]]]], dtype), g, True, None, back.array)
    back.check([[[[1, 2, 2], [3, 4, 4], [3, 4, 4]]]])
