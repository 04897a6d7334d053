"""Tiles: rectangles of a picture that go through the network one after the other, so that memory for one is enough.

A tile owns a block of the picture. It also sees a halo around the block, as wide as the deepest features look. So the
network computes the same for the block as it would in the whole picture. Convolutions see zeros beyond a tile's edge.
At a cut these change only the halo. At the edge of the picture they belong there.

Cuts and halos are multiples of the pixels that become one position of the deepest features, so that poolings see the
same windows.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterator
from typing import NamedTuple

from fastconv.geometry import Array
from fastconv.nn.vgg_layers import LAYER_NAMES, LAYERS
from fastconv.sizes import ceil_div, round_up
from fastconv.style.algorithm.canvas import GRID, on_grid
from fastconv.style.algorithm.features import stride_of
from fastconv.style.algorithm.options import Options
from fastconv.style.images import Size


class Rectangle(NamedTuple):
    """Rows and columns of a picture or of features."""

    rows: slice
    columns: slice

    def of(self, planes: Array) -> Array:
        """View what lies there, in an array of shape (..., H, W)."""
        return planes[..., self.rows, self.columns]


class Tile(NamedTuple):
    """A tile, in pixels of its picture."""

    seen: Rectangle
    """What goes through the network."""
    owned: Rectangle
    """What counts of it; the tiles of a picture own all of it, and nothing twice."""

    def owned_in_picture(self, layer: str) -> Rectangle:
        """Return the positions of a layer that the tile owns, in the features of the whole picture."""
        stride = stride_of(layer)
        return Rectangle(*(slice(s.start // stride, s.stop // stride) for s in self.owned))

    def owned_in_tile(self, layer: str) -> Rectangle:
        """Return the positions of a layer that the tile owns, in the features of the tile."""
        stride = stride_of(layer)
        starts = (s.start // stride for s in self.seen)
        owned = self.owned_in_picture(layer)
        return Rectangle(*(slice(s.start - first, s.stop - first) for s, first in zip(owned, starts, strict=True)))


class Layout(NamedTuple):
    """How a picture is divided: rows and columns of tiles, and the height and width of what each sees."""

    rows: int
    columns: int
    height: int
    width: int

    @property
    def tiles(self) -> int:
        """Number of tiles."""
        return self.rows * self.columns

    @property
    def pixels(self) -> int:
        """What one tile sees."""
        return self.height * self.width


def grid_of(layers: Collection[str]) -> int:
    """Return the number of pixels that cuts are multiples of, for features of these layers."""
    return max(GRID, *map(stride_of, layers))


def halo_of(layers: Collection[str]) -> int:
    """Return the width of the halo that features of these layers need, in pixels."""
    deepest = max(map(LAYER_NAMES.index, layers))
    reach, stride = 0, 1
    for spec in LAYERS[: deepest + 1]:
        if spec.weights is None:
            stride *= 2
        else:
            reach += stride  # a window of 3x3 looks one position further
    grid = grid_of(layers)
    return round_up(reach, grid)


def lay_out(size: Size, layers: Collection[str], tile: int | None) -> Layout:
    """Divide a picture into the tiles that take the least work.

    Parameters
    ----------
    size : (int, int)
        Height and width of the picture.
    layers : collection of str
        Whose features are wanted of it.
    tile : int or None
        Side, in pixels, of a square that no tile exceeds in area, its halo included; None for one tile.

    Returns
    -------
    Layout
        All of its tiles see the same number of pixels, except the last ones where the picture ends within the grid.

    Raises
    ------
    ValueError
        If `tile` leaves nothing to own.
    """
    if tile is None or math.prod(size) <= tile**2:
        return Layout(1, 1, *size)
    grid, halo = grid_of(layers), halo_of(layers)
    vertical, horizontal = (list(_divisions(side, grid, halo)) for side in size)
    fitting = []
    for rows, height in vertical:
        # The fewest columns that fit waste the least on halos.
        fits = ((columns, width) for columns, width in horizontal if height * width <= tile**2)
        fitting += [Layout(rows, columns, height, width) for columns, width in itertools.islice(fits, 1)]
    if not fitting:
        raise ValueError(f"tile must be larger for a halo of {halo} px around what is owned, got {tile}")
    return min(fitting, key=lambda layout: (layout.tiles * layout.pixels, layout.tiles))


def layout_of(size: Size, options: Options, tile: int | None) -> Layout:
    """Return how a transfer divides a picture of that height and width; `tile` as in `lay_out`."""
    size = on_grid(size)
    layers = options.compared_layers()
    return lay_out(size, layers, tile) if layers else Layout(1, 1, *size)


def plan_tiles(size: Size, layers: Collection[str], tile: int | None) -> tuple[Tile, ...]:
    """Return the tiles of a picture; arguments as for `lay_out`."""
    layout = lay_out(size, layers, tile)
    grid, halo = grid_of(layers), halo_of(layers)
    spans = (
        _cut(size[0], layout.rows, layout.height, grid, halo),
        _cut(size[1], layout.columns, layout.width, grid, halo),
    )
    return tuple(
        Tile(Rectangle(seen_rows, seen_columns), Rectangle(owned_rows, owned_columns))
        for (seen_rows, owned_rows), (seen_columns, owned_columns) in itertools.product(*spans)
    )


def _divisions(length: int, grid: int, halo: int) -> Iterator[tuple[int, int]]:
    """Yield numbers of parts of a side, and how long each is with its halos."""
    yield 1, length
    count, shortest = 1, length
    while shortest > 2 * halo + grid:
        count += 1
        seen = ceil_div(length + (count - 1) * 2 * halo, count * grid) * grid
        if seen < shortest:
            yield count, seen
            shortest = seen


def _cut(length: int, count: int, seen: int, grid: int, halo: int) -> Iterator[tuple[slice, slice]]:
    """Yield what each part of a side sees and owns: cuts lie in the middle of what both neighbours see."""
    if count == 1:
        yield slice(0, length), slice(0, length)
        return
    spare = ceil_div(length, grid) - seen // grid
    starts = [spare * number // (count - 1) * grid for number in range(count)]
    shared = ((start, before + seen - start) for before, start in itertools.pairwise(starts))
    cuts = [0, *(start + width // (2 * grid) * grid for start, width in shared), length]
    for start, (first, last) in zip(starts, itertools.pairwise(cuts), strict=True):
        yield slice(start, min(start + seen, length)), slice(first, last)
