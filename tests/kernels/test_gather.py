"""The implicit matrix product of the direct method against sums over taps in NumPy, on every way that it gathers by.

All numbers are small and whole, so that results are exact in any order of additions.
"""

import numpy as np
import pytest

from fastconv.kernels import gather_plan, gather_weights
from fastconv.kernels.microkernel import DEPTH_BLOCK, tile_columns, tile_rows
from fastconv.kernels.taps import Grid, Taps, copy_of, forward_taps, input_grad_taps

from .helpers import Output, integers, surrounded

NONE = Taps.of(0, [(0, 0)], [(0, 0)], (1, 1, 1))


def products(x, taps, weight, grid, groups):
    """Return the sums over taps of weights, (group, row, any), times pixels, 0 outside: (image, group * row, y, x)."""
    images, channels, height, width = x.shape
    y, left = np.ogrid[: grid.height, : grid.width]
    read = np.zeros((images, groups, taps.depth, grid.height, grid.width))
    for p in range(taps.depth):
        at_y, at_x = y * grid.stride_y + taps.row[p], left * grid.stride_x + taps.column[p]
        inside = (at_y >= 0) & (at_y < height) & (at_x >= 0) & (at_x < width)
        pixels = x[:, taps.plane[p] :: channels // groups, at_y.clip(0, height - 1), at_x.clip(0, width - 1)]
        read[:, :, p] = np.where(inside, pixels, 0)
    of_taps = weight.reshape(*weight.shape[:2], -1)[:, :, taps.weight_offsets]
    sums = np.einsum("grp,igpyx->igryx", of_taps.astype(float), read)
    return sums.reshape(images, -1, grid.height, grid.width)


def check(rng, dtype, threads, shape, taps, rows, grid, *, groups=1, copied=False, finish=False):
    """Compare a product of random numbers with that in NumPy; `finish` adds a bias and applies the ReLU."""
    x = surrounded(integers(rng, dtype, *shape))
    numbers = 1 + (taps.weight_offsets.max() if taps.depth else 0)
    weight = integers(rng, dtype, groups, rows, numbers)
    packed = gather_weights.pack(weight, rows, numbers, rows * numbers, groups, taps)
    copy = copy_of(taps, shape, grid) if copied else None
    expected = products(x, taps, weight, grid, groups)
    bias = None
    if finish:
        bias = integers(rng, dtype, groups * rows)
        expected = np.maximum(expected + bias[:, np.newaxis, np.newaxis], 0)
    out = Output(expected.shape, dtype)
    plan = gather_plan.plan(shape, dtype, taps, rows, groups, grid, threads, copy)
    assert plan.threads == threads
    plan.run(x, packed, bias, finish, out.array)
    out.check(expected)


def square(channels, padding=1):
    """Return the taps of a 3x3 kernel."""
    return forward_taps(channels, (3, 3), (padding,) * 4, (1, 1))


COPIED = pytest.mark.parametrize("copied", [False, True], ids=["read as it is", "copied"])


@COPIED
@pytest.mark.parametrize("width", [1, 2, 7, 40, 61])
def test_one_picture(width, copied, dtype, threads, rng):
    """In narrow ones a panel is made of many rows, in wide ones a tap leaves some panels at their sides."""
    check(rng, dtype, threads, (1, 2, 9, width), square(2), 7, Grid(9, width, 1, 1), copied=copied)


@COPIED
def test_panels_reach_from_one_picture_into_the_next(copied, dtype, threads, rng):
    check(rng, dtype, threads, (5, 2, 2, 3), square(2), 4, Grid(2, 3, 1, 1), copied=copied, finish=True)


@COPIED
def test_no_tap_leaves_the_picture(copied, dtype, threads, rng):
    check(rng, dtype, threads, (2, 3, 6, 70), square(3, 0), 5, Grid(4, 68, 1, 1), copied=copied)


@COPIED
@pytest.mark.parametrize("rows", [1, tile_rows(), tile_rows() + 1, 3 * tile_rows() - 1])
def test_heights_of_tiles(rows, copied, dtype, threads, rng):
    check(rng, dtype, threads, (1, 2, 4, 50), square(2), rows, Grid(4, 50, 1, 1), copied=copied, finish=True)


@COPIED
@pytest.mark.parametrize("columns", [-1, 0, 1])
def test_one_row_of_about_a_panel(columns, copied, dtype, threads, rng):
    width = tile_columns(dtype) + columns
    taps = forward_taps(3, (1, 1), (0, 0, 0, 0), (1, 1))
    check(rng, dtype, threads, (1, 3, 1, width), taps, 4, Grid(1, width, 1, 1), copied=copied)


@COPIED
@pytest.mark.parametrize("finish", [False, True])
@pytest.mark.parametrize("width", [9, 150])
def test_sums_in_several_blocks(width, copied, finish, dtype, threads, rng):
    """The second block is added to results, some of which do not lie side by side; some panels are not gathered."""
    channels = DEPTH_BLOCK // 9 + 5
    shape, grid = (2, channels, 5, width), Grid(5, width, 1, 1)
    check(rng, dtype, threads, shape, square(channels), 9, grid, copied=copied, finish=finish)


@COPIED
def test_more_panels_and_tiles_than_a_block_holds(copied, dtype, threads, rng, monkeypatch):
    monkeypatch.setattr(gather_plan, "A_BLOCK_BYTES", 1)
    monkeypatch.setattr(gather_plan, "B_BLOCK_BYTES", 1)
    shape, rows, grid = (1, 9, 7, 60), 4 * tile_rows() + 1, Grid(7, 60, 1, 1)
    check(rng, dtype, threads, shape, square(9), rows, grid, copied=copied)


@COPIED
@pytest.mark.parametrize("finish", [False, True])
def test_groups(copied, finish, dtype, threads, rng):
    shape, grid = (2, 6, 5, 30), Grid(5, 30, 1, 1)
    check(rng, dtype, threads, shape, square(2), 5, grid, groups=3, copied=copied, finish=finish)


@pytest.mark.parametrize("stride", [(1, 2), (2, 1), (2, 3)])
@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (2, 5)])
def test_strides(kernel, stride, dtype, threads, rng):
    taps = forward_taps(2, kernel, (1, 1, 1, 1), (1, 1))
    height, width = ((side + 2 - k) // step + 1 for side, k, step in zip((9, 65), kernel, stride, strict=True))
    check(rng, dtype, threads, (2, 2, 9, 65), taps, 7, Grid(height, width, *stride), copied=True)


def test_taps_that_lie_far_outside(dtype, threads, rng):
    taps = forward_taps(1, (3, 3), (9, 9, 9, 9), (9, 9))
    check(rng, dtype, threads, (1, 1, 4, 41), taps, 2, Grid(4, 41, 1, 1))


def test_rows_and_filters_exchanged(dtype, threads, rng):
    """The input gradient: rows are channels, of which a filter's weights lie side by side."""
    filters, channels = 3, 4
    weight, grad = integers(rng, dtype, filters, channels, 3, 3), surrounded(integers(rng, dtype, 2, filters, 6, 33))
    taps = input_grad_taps(channels, filters, (3, 3), (1, 1), (1, 1, 1, 1), (1, 1))[0, 0]
    packed = gather_weights.pack(weight, channels, 9, weight.size, 1, taps)
    expected = np.zeros((2, channels, 8, 35))  # with the padding
    for i, j in np.ndindex(3, 3):
        expected[:, :, i : i + 6, j : j + 33] += np.einsum("kc,nkyx->ncyx", weight[:, :, i, j], grad)
    out = Output((2, channels, 6, 33), dtype)
    plan = gather_plan.plan(grad.shape, dtype, taps, channels, 1, Grid(6, 33, 1, 1), threads, None)
    plan.run(grad, packed, None, False, out.array)
    out.check(expected[:, :, 1:-1, 1:-1])


@pytest.mark.parametrize("finish", [False, True])
def test_without_taps_there_is_the_bias(finish, dtype, threads, rng):
    bias = integers(rng, dtype, 4)
    out = Output((1, 4, 3, 5), dtype)
    plan = gather_plan.plan((1, 2, 3, 5), dtype, NONE, 4, 1, Grid(3, 5, 1, 1), threads, None)
    plan.run(np.empty((1, 2, 3, 5), dtype), np.empty(0, dtype), bias, finish, out.array)
    values = np.maximum(bias, 0) if finish else bias
    out.check(np.broadcast_to(values[:, np.newaxis, np.newaxis], out.array.shape))


def test_packed_weights_by_hand(dtype, threads):
    """Rows fall into even tiles, higher ones first; a tile's numbers lie tap by tap."""
    rows = tile_rows() + 1
    weight = np.arange(1, 1 + 2 * rows * 3, dtype=dtype).reshape(2, rows, 3)
    taps = Taps(np.array([2, 0], np.intp), *np.zeros((3, 2), np.intp))
    packed = gather_weights.pack(weight, rows, 3, rows * 3, 2, taps)
    first = -(-rows // 2)
    expected = [group[tile][:, [2, 0]].T.ravel() for group in weight for tile in (slice(first), slice(first, rows))]
    np.testing.assert_array_equal(packed, np.concatenate(expected))
