"""Between pictures, planes of channels, and Winograd's tiles, whose vectors hold neighbouring channels.

A strip is some rows of pixels of a block of channels, as many as a vector has lanes: (row, column, channel of the
block), with :data:`STRIP_COLUMNS` columns. Planes are read and written a vector of a row at a time, and transposed on
the way, so that narrow planes cost no more than wide ones. A block with fewer channels is filled up with its last one.
"""

from __future__ import annotations

import numpy as np

from fastconv import jit
from fastconv.traces import BLOCKED

from .pointers import bytes_at
from .shuffles import transpose_block, transpose_part
from .simd import (
    as_type,
    challenge,
    equal,
    lanes_of,
    load,
    load_between,
    load_bytes,
    load_truths,
    not_above,
    rectified,
    splat,
    store,
    store_bytes,
    store_first,
    where,
)
from .winograd_jobs import NO_GATE, POOL_TRACE, RELU_TRACE, SEGMENT, place_of_tile
from .winograd_transforms import PATCH_VECTORS, transform_gradient, transform_patch, transform_products

STRIP_COLUMNS = 4 * SEGMENT + 4  # of a segment's patches, in whole vectors
STRIP_ROWS = 6


def strip_elements(dtype: np.dtype) -> int:
    """Elements of what a thread needs to read or write a strip: see :func:`read_tiles` and :func:`write_tiles`."""
    lanes = jit.lanes(dtype)
    return (STRIP_ROWS * STRIP_COLUMNS + 2 * STRIP_COLUMNS + PATCH_VECTORS + 2 * lanes) * lanes


# --- from pictures --------------------------------------------------------------------------------------------------


@jit.inline
def _read_row(zero, input, at, column, columns, channels, to):
    """Read `columns` pixels of a row, of which the first is number `column`, `at` elements from the input's first."""
    lanes = lanes_of(zero)
    for n in range(0, columns, lanes):
        source = input.first + (at + n)
        first, end = -(column + n), input.width - (column + n)
        if channels == lanes and first <= 0 and end >= lanes:
            transpose_block(source, input.plane, to + n * lanes, lanes)
        else:
            transpose_part(source, input.plane, channels, first, end, to + n * lanes, lanes)


@jit.inline
def _read_rectified_row(zero, input, gate, at, column, columns, channels, to, spare):
    """Read a row of gradients as a ReLU hands them on; the parameters as above, and room for a vector a lane."""
    lanes = lanes_of(zero)
    none = splat(zero)
    for n in range(0, columns, lanes):
        first, end = -(column + n), input.width - (column + n)
        for channel in range(channels):
            here = at + n + channel * input.plane
            value = load_between(input.first + here, first, end)
            if gate.kind == RELU_TRACE:
                value = where(load_truths(zero, gate.trace + here), value, none)
            else:
                value = where(not_above(load_between(gate.relu_output + here, first, end), none), none, value)
            store(spare + channel * lanes, value)
        transpose_part(spare, lanes, channels, 0, lanes, to + n * lanes, lanes)


@jit.inline
def _read_unpooled_row(zero, input, gate, at, column, columns, channels, lower, left, to, spare):
    """Read one of the two rows that a row of a pooling's gradients belongs to.

    The gradients' first pixel is number `column`, `at` elements from the first; the row is the `lower` of the two, and
    its first pixel is number `left`.
    """
    lanes = lanes_of(zero)
    none = splat(zero)
    places, values = spare, spare + lanes * lanes
    end_column = left + columns
    for n in range(0, (end_column + 1) // 2 - column, lanes):
        first, end = -(column + n), input.width - (column + n)
        for channel in range(channels):
            trace = gate.trace + (at + n + channel * input.plane)
            store(places + channel * lanes, load_bytes(zero, trace))
        transpose_part(places, lanes, channels, 0, lanes, places, lanes)
        transpose_part(input.first + (at + n), input.plane, channels, first, end, values, lanes)
        for window in range(lanes):
            value, place = load(values + window * lanes), load(places + window * lanes)
            for side in range(2):
                x = 2 * (column + n + window) + side
                if x >= left and x < end_column:
                    here = where(equal(place, splat(as_type(zero, 2 * lower + side))), value, none)
                    store(to + (x - left) * lanes, here)


@jit.inline
def _read_strip(zero, input, gate, image, top, left, rows, columns, block, to, spare):
    """Read `rows` rows of `columns` pixels of a block of channels, with zeros outside of the picture.

    The gate's kind is read from its record each time it is asked for: kept in a variable, it makes LLVM write out all
    loops once for each kind.
    """
    lanes = lanes_of(zero)
    channels = min(lanes, input.channels - block * lanes)
    plane = image * input.image + block * lanes * input.plane
    pooled = gate.kind == POOL_TRACE
    column = left // 2 if pooled else left
    for i in range(rows):
        row = (top + i) // 2 if pooled else top + i
        strip = to + i * STRIP_COLUMNS * lanes
        at = plane + row * input.width + column
        if row < 0 or row >= input.height:
            for n in range(columns):
                store(strip + n * lanes, splat(zero))
        elif gate.kind == NO_GATE:
            _read_row(zero, input, at, column, columns, channels, strip)
        elif pooled:
            _read_unpooled_row(zero, input, gate, at, column, columns, channels, (top + i) % 2, left, strip, spare)
        else:
            _read_rectified_row(zero, input, gate, at, column, columns, channels, strip, spare)


@jit.inline
def _read_segment(zero, tiles, input, gate, block, first, end, overlap, strip, spare):
    """Read what the next tiles of one row of tiles see, `overlap` pixels more than they give; return how many."""
    image, y, x = place_of_tile(tiles, first)
    count = min(tiles.columns - x, end - first, SEGMENT)
    top, left = y * tiles.size - input.top, x * tiles.size - input.left
    rows, columns = tiles.size + overlap, count * tiles.size + overlap
    _read_strip(zero, input, gate, image, top, left, rows, columns, block, strip, spare)
    return count


@jit.inline
def read_tiles(zero, job, block, first, end, to, temporary):
    """Transform the patches of tiles `first` to `end` - 1, of one block of channels.

    Parameters
    ----------
    zero : float32 or float64
    job : record
        With parts `input`, `gate`, `tiles` and `v`, see :mod:`fastconv.kernels.winograd_jobs`.
    block, first, end : intp
    to : pointer
        Where the first tile's numbers begin in V.
    temporary : pointer
        To :func:`strip_elements` elements.
    """
    lanes, tiles = lanes_of(zero), job.tiles
    spare = temporary + STRIP_ROWS * STRIP_COLUMNS * lanes
    while first < end:
        count = _read_segment(zero, tiles, job.input, job.gate, block, first, end, 2, temporary, spare)
        for n in range(count):
            patch = temporary + n * tiles.size * lanes
            transform_patch(zero, tiles.size, patch, STRIP_COLUMNS * lanes, to + n * lanes, job.v.distance, spare)
        to += count * lanes
        first += count


@jit.inline
def read_gradients(zero, job, block, first, end, to, temporary):
    """Transform tiles of output gradients for the weight gradient; `job` needs `gradient`, `gate`, `tiles`, and `e`."""
    lanes, tiles = lanes_of(zero), job.tiles
    spare = temporary + STRIP_ROWS * STRIP_COLUMNS * lanes
    while first < end:
        count = _read_segment(zero, tiles, job.gradient, job.gate, block, first, end, 0, temporary, spare)
        for n in range(count):
            tile = temporary + n * tiles.size * lanes
            transform_gradient(zero, tile, STRIP_COLUMNS * lanes, to + n * lanes, job.e.distance, spare)
        to += count * lanes
        first += count


# --- to pictures ----------------------------------------------------------------------------------------------------


@jit.inline
def _finish_rows(zero, rows, columns, bias, relu, strip):
    """Add the bias to the pixels of a strip, and rectify them if so told."""
    lanes = lanes_of(zero)
    for i in range(rows):
        for n in range(columns):
            pixel = strip + (i * STRIP_COLUMNS + n) * lanes
            value = load(pixel) + bias
            if relu:
                value = rectified(value)
            store(pixel, value)


@jit.inline
def _pool_rows(zero, rows, columns, strip, places):
    """Write maxima of 2x2 pixels over the strip: `rows` of `columns`; and to `places` where they are, as a trace."""
    lanes = lanes_of(zero)
    none, below = splat(zero), STRIP_COLUMNS * lanes
    for i in range(rows):
        for n in range(columns):
            window = strip + (2 * i * STRIP_COLUMNS + 2 * n) * lanes
            best, place = challenge(load(window + lanes), splat(as_type(zero, 1)), load(window), none)
            best, place = challenge(load(window + below), splat(as_type(zero, 2)), best, place)
            best, place = challenge(load(window + (below + lanes)), splat(as_type(zero, 3)), best, place)
            place = where(not_above(best, none), splat(as_type(zero, BLOCKED)), place)
            at = (i * STRIP_COLUMNS + n) * lanes
            store(strip + at, best)
            store(places + at, place)


@jit.inline
def _write_bytes(trace, marks, count, spare):
    """Write the first `count` lanes, small whole numbers, as bytes."""
    store_bytes(spare, marks)
    for n in range(count):
        trace[n] = spare[n]


@jit.inline
def _write_row(zero, output, at, columns, channels, strip, places, spare):
    """Write `columns` pixels of a row, `at` elements from the output's first, and their traces if wanted."""
    lanes = lanes_of(zero)
    none, one = splat(zero), splat(as_type(zero, 1))
    turned, marks, as_bytes = spare, spare + lanes * lanes, bytes_at(spare + 2 * lanes * lanes)
    for n in range(0, columns, lanes):
        count = min(lanes, columns - n)
        if count == lanes and channels == lanes and not output.trace:
            transpose_block(strip + n * lanes, lanes, output.first + (at + n), output.plane)
            continue
        transpose_block(strip + n * lanes, lanes, turned, lanes)
        if output.trace and output.pooled:
            transpose_block(places + n * lanes, lanes, marks, lanes)
        for channel in range(channels):
            here = at + n + channel * output.plane
            value = load(turned + channel * lanes)
            store_first(output.first + here, value, count)
            if output.trace:
                mark = where(not_above(value, none), none, one)
                if output.pooled:
                    mark = load(marks + channel * lanes)
                if count == lanes:
                    store_bytes(output.trace + here, mark)
                else:
                    _write_bytes(output.trace + here, mark, count, as_bytes)


@jit.inline
def write_tiles(zero, job, block, first, end, m, temporary):
    """Transform the products of tiles `first` to `end` - 1, of one block of channels, and write the outputs.

    The parameters are those of :func:`read_tiles`, but `job` needs parts `output`, `tiles` and `m`, and `m` points to
    the first tile's products.
    """
    lanes = lanes_of(zero)
    tiles, output = job.tiles, job.output
    places = temporary + STRIP_ROWS * STRIP_COLUMNS * lanes  # of pooled rows: two at most
    spare = places + 2 * STRIP_COLUMNS * lanes
    channels = min(lanes, output.channels - block * lanes)
    bias = splat(zero)
    if output.bias:
        bias = load_between(output.bias + block * lanes, 0, channels)
    side = tiles.size // 2 if output.pooled else tiles.size
    while first < end:
        image, y, x = place_of_tile(tiles, first)
        count = min(tiles.columns - x, end - first, SEGMENT)
        for n in range(count):
            tile = temporary + n * tiles.size * lanes
            transform_products(zero, tiles.size, m + n * lanes, job.m.distance, tile, STRIP_COLUMNS * lanes, spare)
        if output.bias or output.relu:
            _finish_rows(zero, tiles.size, count * tiles.size, bias, output.relu, temporary)
        if output.pooled:
            _pool_rows(zero, side, count * side, temporary, places)
        row, column = y * side, x * side
        at = image * output.image + block * lanes * output.plane + row * output.width + column
        columns = min(count * side, output.width - column)
        for i in range(min(side, output.height - row)):
            strip = i * STRIP_COLUMNS * lanes
            _write_row(
                zero, output, at + i * output.width, columns, channels, temporary + strip, places + strip, spare
            )  # fmt: skip
        m += count * lanes
        first += count
