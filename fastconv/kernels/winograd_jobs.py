"""What Winograd's jobs are made of: pictures, tiles, and where the numbers of transformed patches lie.

Sizes and distances are in elements.
"""

from __future__ import annotations

import numpy as np

from fastconv import jit
from fastconv.jit.records import Bytes, Elements
from fastconv.sizes import ceil_div

from .microkernel import columns_of_strip
from .simd import lanes_of

NO_GATE, RELU_TRACE, RELU_OUTPUT, POOL_TRACE = 0, 1, 2, 3  # kinds of gates

SEGMENT = 15  # most tiles of a row of tiles that are transformed at a time: their 62 columns fill whole vectors


class Input(jit.Record):
    """The pictures that are transformed."""

    # the first image's first channel
    first: Elements
    channels: int
    height: int
    width: int
    # from one image to the next, and from one channel to the next
    image: int
    plane: int
    # zeros above and to the left
    top: int
    left: int


class InputGate(jit.Record):
    """What the input passes, if it is a gradient, on its way backwards through a ReLU or pooling."""

    # NO_GATE, or one of the others
    kind: int
    # of the shape of the input: of RELU_TRACE and POOL_TRACE
    trace: Bytes
    # ... and of RELU_OUTPUT
    relu_output: Elements


class Tiles(jit.Record):
    """What outputs are cut into: tiles, numbered from image to image and row by row."""

    # 4 or 2 outputs along a side
    size: int
    # numbers of a transformed patch
    places: int
    # of tiles, in an image
    rows: int
    columns: int
    # tiles to work on: `first` to `end` - 1
    first: int
    end: int


class Places(jit.Record):
    """Transformed patches or products: (place, block of channels, tile, channel of the block).

    A block has as many channels as a vector has lanes.
    """

    # or of the first thread's, if each has its own
    first: Bytes
    # elements from one place to the next, and from one block of channels to the next
    distance: int
    block: int


def place_size(elements: int, dtype: np.dtype) -> int:
    """Elements from one place to the next: an odd number of lines, so that places spread over all cache sets."""
    line = jit.LINE // dtype.itemsize
    return (ceil_div(elements, line) | 1) * line


class Output(jit.Record):
    """The pictures that are written."""

    # the first image's first channel
    first: Elements
    channels: int
    height: int
    width: int
    # from one image to the next, and from one channel to the next
    image: int
    plane: int
    # of each channel, or nowhere
    bias: Elements
    # whether to apply ReLU, and whether to write maxima of 2x2 outputs then
    relu: int
    pooled: int
    # of the ReLU or, if pooled, of both; or nowhere
    trace: Bytes


@jit.inline
def blocks_of(zero, channels):
    """Return how many blocks of channels there are."""
    return (channels + lanes_of(zero) - 1) // lanes_of(zero)


@jit.inline
def panels_of(zero, rows):
    """Return how many panels the rows of weights form."""
    return (rows + columns_of_strip(zero) - 1) // columns_of_strip(zero)


@jit.inline
def place_of_tile(tiles, tile):
    """Return the image, the row of tiles and the column of tiles that a tile lies in."""
    image = tile // (tiles.rows * tiles.columns)
    rest = tile - image * tiles.rows * tiles.columns
    y = rest // tiles.columns
    return image, y, rest - y * tiles.columns
