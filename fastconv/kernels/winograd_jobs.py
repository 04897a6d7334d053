"""What Winograd's jobs are made of: pictures, tiles, and where the numbers of transformed patches lie.

Sizes and distances are in elements.
"""

from __future__ import annotations

import numpy as np

from fastconv import jit
from fastconv.jit.records import Bytes, Elements, Words
from fastconv.sizes import ceil_div

from .simd import lanes_of

TEMPORARY_BYTES = 96 * jit.LINE  # scratch of one thread's transforms
NO_GATE, RELU_TRACE, RELU_OUTPUT, POOL_TRACE = 0, 1, 2, 3  # kinds of gates


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
    """Matrices, one for each place of a transformed patch."""

    # unless each thread has its own
    first: Elements
    # elements from one to the next
    distance: int
    # where the matrix of each place in turn, row by row, begins
    starts: Words


def place_size(elements: int, dtype: np.dtype) -> int:
    """Elements from one place to the next: an odd number of lines, so that places spread over all cache sets.

    At least one line is left over: the last vector of a place's last row may reach into it.
    """
    line = jit.LINE // dtype.itemsize
    return (ceil_div(elements, line) + 1 | 1) * line


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
    # what A^T of F(4x4) multiplies with: 1, p, p^2, p^3 times the factor of NEAR, then of FAR
    factors: Elements


class Run(jit.Record):
    """Neighbouring tiles of one row of tiles, no more than a vector has lanes."""

    image: int
    # of the first tile: its row and column of tiles, and its number in the block
    y: int
    x: int
    number: int
    # how many
    length: int


@jit.inline
def describe_block(zero, tiles, first, end, runs):
    """Write the runs that tiles `first` to `end` - 1 form; return how many."""
    count = 0
    tile = first
    while tile < end:
        image = tile // (tiles.rows * tiles.columns)
        rest = tile - image * tiles.rows * tiles.columns
        y = rest // tiles.columns
        x = rest - y * tiles.columns
        length = min(tiles.columns - x, end - tile, lanes_of(zero))
        run = runs[count]
        run.image = image
        run.y = y
        run.x = x
        run.number = tile - first
        run.length = length
        tile += length
        count += 1
    return count
