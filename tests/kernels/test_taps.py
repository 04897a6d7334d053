"""Taps: by hand, and by what a product over them gives, read in the input and in a padded copy of it."""

import numpy as np
import pytest

from fastconv.kernels.microkernel import tile_columns
from fastconv.kernels.taps import (
    Grid,
    Taps,
    copy_of,
    extremes,
    forward_taps,
    input_grad_taps,
    offsets_in_copy,
    useful_copy,
)
from fastconv.reference import loops

from .helpers import integers

SQUARE = (3, 3)
NONE = Taps.of(0, [(0, 0)], [(0, 0)], (1, 1, 1))


def numbers(taps):
    """Return (offset in the weights, plane, row, column) of each tap."""
    return list(zip(taps.weight_offsets, taps.plane, taps.row, taps.column, strict=True))


def test_forward_by_hand():
    taps = forward_taps(2, (1, 2), (1, 0, 4, 0), (1, 3))
    assert numbers(taps) == [(0, 0, -1, -4), (1, 0, -1, -1), (2, 1, -1, -4), (3, 1, -1, -1)]
    assert taps.depth == 4
    assert extremes(taps) == (-1, -1, -4, -1)


def test_input_gradient_by_hand():
    """Of two filters of one channel, 1x3 at stride 2, padded by 1: even pixels meet the middle, odd ones the sides."""
    phases = input_grad_taps(1, 2, (1, 3), (1, 2), (0, 0, 1, 1), (1, 1))
    assert list(phases) == [(0, 0), (0, 1)]
    assert numbers(phases[0, 0]) == [(1, 0, 0, 0), (4, 1, 0, 0)]
    assert numbers(phases[0, 1]) == [(2, 0, 0, 0), (0, 0, 0, 1), (5, 1, 0, 0), (3, 1, 0, 1)]


def test_a_phase_that_no_kernel_row_meets_has_no_taps():
    phases = input_grad_taps(1, 1, (1, 1), (2, 1), (0, 0, 0, 0), (1, 1))
    assert [taps.depth for taps in phases.values()] == [1, 0]
    assert extremes(phases[1, 0]) == (0, 0, 0, 0)


def test_joined_taps_reach_as_far_as_all():
    one, other = forward_taps(1, SQUARE, (0, 0, 4, 0), (1, 1)), forward_taps(2, (1, 1), (7, 0, 0, 0), (1, 1))
    joined = Taps.joined([one, other])
    assert numbers(joined) == numbers(one) + numbers(other)
    assert extremes(joined) == (-7, 2, -4, 0)


def product(taps, weight, rows, row_stride, x, grid):
    """Return the sums over taps of weights times pixels, 0 outside the picture: (image, row, y, x)."""
    out = np.zeros((len(x), rows, grid.height, grid.width), x.dtype)
    for offset, plane, row, column in numbers(taps):
        for y, left in np.ndindex(grid.height, grid.width):
            at_y, at_x = y * grid.stride_y + row, left * grid.stride_x + column
            if 0 <= at_y < x.shape[2] and 0 <= at_x < x.shape[3]:
                factors = weight.ravel()[offset + row_stride * np.arange(rows)]
                out[:, :, y, left] += factors * x[:, plane, at_y, at_x][:, np.newaxis]
    return out


GEOMETRIES = pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation"),
    [
        (SQUARE, (1, 1), (1, 1, 1, 1), (1, 1)),
        ((2, 3), (2, 1), (0, 2, 1, 0), (1, 2)),
        ((1, 1), (3, 2), (0, 0, 0, 0), (1, 1)),
        ((3, 2), (2, 3), (2, 1, 0, 3), (2, 2)),
    ],
    ids=str,
)


@GEOMETRIES
def test_a_product_over_forward_taps_is_a_convolution(kernel, stride, padding, dilation, rng):
    x, weight = integers(rng, float, 2, 2, 7, 8), integers(rng, float, 3, 2, *kernel)
    expected = loops.conv2d(x, weight, stride=stride, padding=padding, dilation=dilation, groups=1)
    taps = forward_taps(2, kernel, padding, dilation)
    out = product(taps, weight, 3, weight[0].size, x, Grid(*expected.shape[2:], *stride))
    np.testing.assert_array_equal(out, expected)


@GEOMETRIES
def test_products_over_all_phases_are_the_input_gradient(kernel, stride, padding, dilation, rng):
    x, weight = integers(rng, float, 2, 2, 7, 8), integers(rng, float, 3, 2, *kernel)
    numbers = {"stride": stride, "padding": padding, "dilation": dilation, "groups": 1}
    grad = integers(rng, float, *loops.conv2d(x, weight, **numbers).shape)
    out = np.full(x.shape, np.nan)
    for (y, left), taps in input_grad_taps(2, 3, kernel, stride, padding, dilation).items():
        phase = out[:, :, y :: stride[0], left :: stride[1]]
        phase[...] = product(taps, weight, 2, kernel[0] * kernel[1], grad, Grid(*phase.shape[2:], 1, 1))
    np.testing.assert_array_equal(out, loops.conv2d_input_grad(grad, weight, x.shape, **numbers))


@GEOMETRIES
def test_what_taps_read_in_a_copy(kernel, stride, padding, dilation):
    """Each is filled by hand with the pixels that its places stand for; 0 stands for the padding."""
    x = np.arange(1.0, 1 + 2 * 7 * 8).reshape(1, 2, 7, 8)
    weight = np.ones((1, 2, *kernel))
    size = loops.conv2d(x, weight, stride=stride, padding=padding, dilation=dilation, groups=1).shape[2:]
    taps, grid = forward_taps(2, kernel, padding, dilation), Grid(*size, *stride)
    plane = copy_of(taps, x.shape, grid)
    copy = np.zeros((2, plane.copy_height, plane.phases, plane.phase_width))
    for r, f, j in np.ndindex(copy.shape[1:]):
        y, column = r * plane.row_step - plane.top, j * plane.column_step + f - plane.left
        if 0 <= y < 7 and 0 <= column < 8:
            copy[:, r, f, j] = x[0, :, y, column]
    row_distance = stride[0] // plane.row_step * plane.pitch
    for tap, begin in zip(numbers(taps), offsets_in_copy(taps, plane), strict=True):
        for y, left in np.ndindex(size):
            _, channel, row, column = tap
            at_y, at_x = y * stride[0] + row, left * stride[1] + column
            inside = 0 <= at_y < 7 and 0 <= at_x < 8
            read = copy.ravel()[begin + y * row_distance + left]
            assert read == (x[0, channel, at_y, at_x] if inside else 0)


class TestUsefulCopy:
    def useful(self, dtype, taps, shape, grid):
        return useful_copy(taps, (1, 2, *shape), grid, dtype) is not None

    def test_narrow_pictures_are_copied_and_wide_ones_are_not(self, dtype):
        taps = forward_taps(2, SQUARE, (1, 1, 1, 1), (1, 1))
        wide = 8 * tile_columns(dtype)
        assert self.useful(dtype, taps, (9, wide - 1), Grid(9, wide - 1, 1, 1))
        assert not self.useful(dtype, taps, (9, wide), Grid(9, wide, 1, 1))

    @pytest.mark.parametrize("stride", [(1, 2), (2, 1)])
    def test_with_a_stride_wide_ones_are_too(self, dtype, stride):
        taps = forward_taps(2, SQUARE, (0, 0, 0, 0), (1, 1))
        assert self.useful(dtype, taps, (9, 999), Grid(3, 400, *stride))

    def test_a_row_that_no_tap_leaves_is_not(self, dtype):
        taps = forward_taps(2, (1, 1), (0, 0, 0, 0), (1, 1))
        assert not self.useful(dtype, taps, (1, 9), Grid(1, 9, 1, 1))
        assert self.useful(dtype, taps, (2, 9), Grid(2, 9, 1, 1))
        assert self.useful(dtype, taps, (1, 9), Grid(1, 10, 1, 1))

    def test_without_taps_there_is_nothing_to_copy(self, dtype):
        assert not self.useful(dtype, NONE, (9, 9), Grid(9, 9, 1, 1))
