"""Winograd's minimal filtering F(4x4, 3x3): 3x3 convolution of stride 1 with a quarter of the multiplications.

A tile of 4x4 outputs sees 6x6 inputs. With d the inputs, g the kernel and Y the outputs of one pair of channels,

    Y = A^T [ (G g G^T) * (B^T d B) ] A           (* element by element)

where the matrices come from the Toom-Cook construction with interpolation points 0, a, -a, b, -b and infinity (Lavin
and Gray, "Fast algorithms for convolutional neural networks", arXiv:1509.09308). Summed over input channels, the
products in the middle are, for each of the 36 places, a matrix product: (filters x channels) times (channels x tiles).

The points are a = 2/3, b = 3/2. They keep the rounding error near that of direct convolution, five times below the
usual 1 and 2, and a b = 1 makes them closed under p -> 1/p. Turning a kernel by 180 degrees takes its transform at p to
p^2 times the one at 1/p, so the input gradient, which is a convolution with turned kernels, uses the same transformed
weights: the places are renumbered (:data:`TURNED`) and the factors (:data:`TURNED_FACTORS`) go into A.

A vector holds the same place of neighbouring tiles of a row of tiles. Work is done a block of tiles at a time:
transform the inputs of all channels (V), multiply (M), transform the outputs, so that V and M stay in cache.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
from numba import prange

from . import jit, scratch
from .microkernel import columns_of_tile, product, rows_of_tile, strided_product, tile_columns, tile_rows
from .simd import (
    apart,
    as_type,
    fma,
    followed_by,
    item_bytes,
    lanes,
    load,
    load_between,
    peek,
    poke,
    prefetch_to_read,
    prefetch_to_write,
    record,
    relu,
    splat,
    store,
    store_first,
    together,
)

TILE = 4  # outputs along a side of a tile
PATCH = 6  # inputs along a side
PLACES = PATCH * PATCH
_PATCH_VECTORS = TILE + 1  # the patches of a vector of tiles cover a little more than four vectors of a row
A, B = 2 / 3, 3 / 2

# Place (row or column) i of a turned kernel's transform is TURNED_FACTORS[i] times place TURNED[i] of the kernel's own.
TURNED = (5, 3, 4, 1, 2, 0)
TURNED_FACTORS = (1.0, -9 / 4, -9 / 4, -4 / 9, -4 / 9, 1.0)

DEPTH_BLOCK = 256  # terms added up in registers, as in direct convolution
ROW_BLOCK = 8  # row tiles of U that meet all panels of V before the next ones
LINE = 64
SERIAL_PRODUCTS = 1 << 17  # below this many multiply-adds a second thread costs more than it brings


class WinogradJob(NamedTuple):
    """What the kernels work on: addresses in bytes, everything else in elements."""

    # input
    x: int
    x_image: int
    channels: int
    height: int
    width: int
    top: int
    left: int
    # tiles
    images: int
    tiles_y: int
    tiles_x: int
    # transformed weights, see `transform_weights`; read across if `turned`
    u: int
    u_place: int
    u_block: int
    u_panel: int
    u_depth: int
    filters: int
    turned: int
    # panels of filters whose products are added up in registers (read across)
    panels: int
    rows: int
    # rows of `u` within a panel (read across): full, last
    offsets: int
    # for each place in turn where it lies in V and in M, in bytes
    v_places: int
    m_places: int
    # eight factors of the output transform
    factors: int
    bias: int
    relu: int
    # output
    out: int
    out_image: int
    out_height: int
    out_width: int
    # tiles `first_tile` to `end_tile` - 1 in blocks of `block` (a multiple of the tile's columns)
    first_tile: int
    end_tile: int
    block: int
    row_block: int
    # V and M: one each for all threads in a phase, or one in each thread's scratch
    v_place: int
    m_place: int
    scratch: int
    scratch_bytes: int


WINOGRAD_JOB = jit.record_type(WinogradJob)

_GROUP_FIELDS = 5  # a run of tiles: image, tile row, tile column, position in the block, length


# --- one-dimensional transforms -------------------------------------------------------------------------------------


@jit.inline
def _input_row(zero, d0, d1, d2, d3, d4, d5):
    """Return B^T d."""
    aa, bb = splat(as_type(zero, -A * A)), splat(as_type(zero, -B * B))
    both = splat(as_type(zero, -(A * A + B * B)))
    a, b = splat(as_type(zero, A)), splat(as_type(zero, B))
    minus_a, minus_b = splat(as_type(zero, -A)), splat(as_type(zero, -B))
    even_a, odd_a = fma(bb, d2, d4), fma(bb, d1, d3)
    even_b, odd_b = fma(aa, d2, d4), fma(aa, d1, d3)
    return (
        fma(both, d2, d0 + d4),
        fma(a, odd_a, even_a),
        fma(minus_a, odd_a, even_a),
        fma(b, odd_b, even_b),
        fma(minus_b, odd_b, even_b),
        fma(both, d3, d1 + d5),
    )


@jit.inline
def _output_row(zero, factors, m0, m1, m2, m3, m4, m5):
    """Return A^T m, with the factors of the places in `factors`: 1, p, p^2, p^3 times those of a, then of b."""
    item = item_bytes(zero)
    sum_a, difference_a = m1 + m2, m1 - m2
    sum_b, difference_b = m3 + m4, m3 - m4
    a0, a1 = splat(peek(zero, factors)), splat(peek(zero, factors + item))
    a2, a3 = splat(peek(zero, factors + 2 * item)), splat(peek(zero, factors + 3 * item))
    b0, b1 = splat(peek(zero, factors + 4 * item)), splat(peek(zero, factors + 5 * item))
    b2, b3 = splat(peek(zero, factors + 6 * item)), splat(peek(zero, factors + 7 * item))
    return (
        fma(b0, sum_b, fma(a0, sum_a, m0)),
        fma(b1, difference_b, a1 * difference_a),
        fma(b2, sum_b, a2 * sum_a),
        fma(b3, difference_b, fma(a3, difference_a, m5)),
    )


# --- blocks of tiles ------------------------------------------------------------------------------------------------


@jit.inline
def describe_block(zero, job, first, end, table):
    """Write the runs of up to a vector of tiles of one row of tiles; return how many."""
    word = 8
    groups = 0
    tile = first
    while tile < end:
        image = tile // (job.tiles_y * job.tiles_x)
        rest = tile - image * job.tiles_y * job.tiles_x
        y = rest // job.tiles_x
        x = rest - y * job.tiles_x
        length = min(job.tiles_x - x, end - tile, lanes(zero))
        entry = table + groups * _GROUP_FIELDS * word
        poke(entry, image)
        poke(entry + word, y)
        poke(entry + 2 * word, x)
        poke(entry + 3 * word, tile - first)
        poke(entry + 4 * word, length)
        tile += length
        groups += 1
    return groups


@jit.inline
def _columns_of(zero, tiles):
    """Round a number of tiles up to whole tiles of the product."""
    columns = columns_of_tile(zero)
    return (tiles + columns - 1) // columns * columns


@jit.inline
def _row_address(job, corner, row, shift, zeros):
    """Return the address of a patch's row, or of zeros if it lies outside the picture."""
    return corner + shift if row >= 0 and row < job.height else zeros


@jit.inline
def transform_inputs(zero, job, table, groups, pitch, begin, end, v, temporary):
    """Transform the patches of a block's tiles for channels `begin` to `end` - 1."""
    word = 8
    item = item_bytes(zero)
    width = lanes(zero)
    vector = width * item
    line = job.width * item
    zeros = temporary + PATCH * _PATCH_VECTORS * vector
    for n in range(_PATCH_VECTORS):
        store(zeros + n * vector, splat(zero))
    for channel in range(begin, end):
        plane = job.x + channel * job.height * line
        row_v = v + channel * pitch * item
        for group in range(groups):
            entry = table + group * _GROUP_FIELDS * word
            top = peek(0, entry + word) * TILE - job.top
            left = peek(0, entry + 2 * word) * TILE - job.left
            corner = plane + (peek(0, entry) * job.x_image + top * job.width + left) * item
            row0 = _row_address(job, corner, top, 0, zeros)
            row1 = _row_address(job, corner, top + 1, line, zeros)
            row2 = _row_address(job, corner, top + 2, 2 * line, zeros)
            row3 = _row_address(job, corner, top + 3, 3 * line, zeros)
            row4 = _row_address(job, corner, top + 4, 4 * line, zeros)
            row5 = _row_address(job, corner, top + 5, 5 * line, zeros)
            for n in range(_PATCH_VECTORS):
                at = n * vector
                if at % LINE == 0:
                    following = at + job.height * line
                    prefetch_to_read(row0 + following)
                    prefetch_to_read(row1 + following)
                    prefetch_to_read(row2 + following)
                    prefetch_to_read(row3 + following)
                    prefetch_to_read(row4 + following)
                    prefetch_to_read(row5 + following)
                low = -left - n * width
                high = job.width + low
                if low <= 0 and high >= width:
                    t0, t1, t2, t3, t4, t5 = _input_row(
                        zero, load(zero, row0 + at), load(zero, row1 + at), load(zero, row2 + at),
                        load(zero, row3 + at), load(zero, row4 + at), load(zero, row5 + at),
                    )  # fmt: skip
                else:
                    t0, t1, t2, t3, t4, t5 = _input_row(
                        zero, load_between(zero, row0 + at, low, high), load_between(zero, row1 + at, low, high),
                        load_between(zero, row2 + at, low, high), load_between(zero, row3 + at, low, high),
                        load_between(zero, row4 + at, low, high), load_between(zero, row5 + at, low, high),
                    )  # fmt: skip
                store(temporary + at, t0)
                store(temporary + _PATCH_VECTORS * vector + at, t1)
                store(temporary + 2 * _PATCH_VECTORS * vector + at, t2)
                store(temporary + 3 * _PATCH_VECTORS * vector + at, t3)
                store(temporary + 4 * _PATCH_VECTORS * vector + at, t4)
                store(temporary + 5 * _PATCH_VECTORS * vector + at, t5)
            to = row_v + peek(0, entry + 3 * word) * item
            for i in range(PATCH):
                row = temporary + i * _PATCH_VECTORS * vector
                d0, d1, d2, d3 = apart(
                    load(zero, row),
                    load(zero, row + vector),
                    load(zero, row + 2 * vector),
                    load(zero, row + 3 * vector),
                )
                d4 = followed_by(d0, peek(zero, row + 4 * vector))
                d5 = followed_by(d1, peek(zero, row + 4 * vector + item))
                t0, t1, t2, t3, t4, t5 = _input_row(zero, d0, d1, d2, d3, d4, d5)
                places = job.v_places + i * PATCH * word
                store(to + peek(0, places), t0)
                store(to + peek(0, places + word), t1)
                store(to + peek(0, places + 2 * word), t2)
                store(to + peek(0, places + 3 * word), t3)
                store(to + peek(0, places + 4 * word), t4)
                store(to + peek(0, places + 5 * word), t5)


@jit.inline
def _multiply(zero, job, columns_end, pitch, rows, begin, end, v, m):
    """Compute M = U V for units `begin` to `end` - 1; a unit is one row tile of one place.

    A few row tiles of U, which stay in the core's cache, meet one panel of V after the other.
    """
    item = item_bytes(zero)
    height = rows_of_tile()
    row_tiles = (rows + height - 1) // height
    while begin < end:
        place = begin // row_tiles
        tile = begin - place * row_tiles
        count = min(end - begin, row_tiles - tile, job.row_block)
        u = job.u + place * job.u_place * item
        v_place = v + place * job.v_place * item
        m_place = m + place * job.m_place * item
        if job.turned == 0:
            _multiply_along(zero, job, columns_end, pitch, rows, tile, tile + count, u, v_place, m_place)
        else:
            _multiply_across(zero, job, columns_end, pitch, rows, tile, tile + count, u, v_place, m_place)
        begin += count


@jit.inline
def _multiply_along(zero, job, columns_end, pitch, rows, begin, end, u, v, m):
    """Multiply row tiles of U as they are packed with all panels of V, for one place."""
    item = item_bytes(zero)
    height = rows_of_tile()
    for depth in range(0, job.channels, job.u_depth):
        length = min(job.u_depth, job.channels - depth)
        first = 1 if depth == 0 else 0
        for column in range(0, columns_end, columns_of_tile(zero)):
            for tile in range(begin, end):
                row = tile * height
                product(
                    zero, min(height, rows - row), u + tile * job.u_panel * item, v + (depth * pitch + column) * item,
                    pitch, length, m + (row * pitch + column) * item, pitch, first, 0, 0,
                )  # fmt: skip
        u += job.u_block * item


@jit.inline
def _multiply_across(zero, job, columns_end, pitch, rows, begin, end, u, v, m):
    """Multiply U transposed, read across its panels of filters, with all panels of V, for one place."""
    item = item_bytes(zero)
    height = rows_of_tile()
    whole = job.filters // height
    left = job.filters - whole * height
    for panel in range(0, max(whole, 1), job.panels):
        times = min(job.panels, whole - panel)
        first = 1 if panel == 0 else 0
        last = panel + times == whole
        for column in range(0, columns_end, columns_of_tile(zero)):
            for tile in range(begin, end):
                row = tile * height
                block = row // job.u_depth
                here = row - block * job.u_depth
                u_block = u + block * job.u_block * item
                strided_product(
                    zero, min(height, rows - row), u_block + (panel * job.u_panel + here * height) * item, job.offsets,
                    1, height, job.u_panel, times, height * height,
                    u_block + (whole * job.u_panel + here * left) * item, job.offsets + height * 8, left if last else 0,
                    v + (panel * height * pitch + column) * item, pitch,
                    m + (row * pitch + column) * item, pitch, first,
                )  # fmt: skip


@jit.inline
def _transform_outputs(zero, job, table, groups, pitch, begin, end, m, temporary):
    """Transform a block's products of output channels `begin` to `end` - 1 and write them."""
    word = 8
    item = item_bytes(zero)
    width = lanes(zero)
    vector = width * item
    for channel in range(begin, end):
        plane = job.out + channel * job.out_height * job.out_width * item
        row_m = m + channel * pitch * item
        bias = splat(zero)
        if job.bias != 0:
            bias = splat(peek(zero, job.bias + channel * item))
        for group in range(groups):
            entry = table + group * _GROUP_FIELDS * word
            y = peek(0, entry + word) * TILE
            x = peek(0, entry + 2 * word) * TILE
            source = row_m + peek(0, entry + 3 * word) * item
            for j in range(PATCH):
                places = job.m_places + j * word
                m0 = load(zero, source + peek(0, places))
                m1 = load(zero, source + peek(0, places + PATCH * word))
                m2 = load(zero, source + peek(0, places + 2 * PATCH * word))
                m3 = load(zero, source + peek(0, places + 3 * PATCH * word))
                m4 = load(zero, source + peek(0, places + 4 * PATCH * word))
                m5 = load(zero, source + peek(0, places + 5 * PATCH * word))
                y0, y1, y2, y3 = _output_row(zero, job.factors, m0, m1, m2, m3, m4, m5)
                store(temporary + j * vector, y0)
                store(temporary + (PATCH + j) * vector, y1)
                store(temporary + (2 * PATCH + j) * vector, y2)
                store(temporary + (3 * PATCH + j) * vector, y3)
            to = plane + (peek(0, entry) * job.out_image + y * job.out_width + x) * item
            columns = min(peek(0, entry + 4 * word) * TILE, job.out_width - x)
            for i in range(min(TILE, job.out_height - y)):
                row = temporary + i * PATCH * vector
                y0, y1, y2, y3 = _output_row(
                    zero, job.factors, load(zero, row), load(zero, row + vector), load(zero, row + 2 * vector),
                    load(zero, row + 3 * vector), load(zero, row + 4 * vector), load(zero, row + 5 * vector),
                )  # fmt: skip
                y0, y1, y2, y3 = y0 + bias, y1 + bias, y2 + bias, y3 + bias
                if job.relu != 0:
                    y0, y1, y2, y3 = relu(y0), relu(y1), relu(y2), relu(y3)
                w0, w1, w2, w3 = together(y0, y1, y2, y3)
                following = to + job.out_height * job.out_width * item
                for n in range(0, TILE * vector, LINE):
                    prefetch_to_write(following + n)
                if columns == 4 * width:
                    store(to, w0)
                    store(to + vector, w1)
                    store(to + 2 * vector, w2)
                    store(to + 3 * vector, w3)
                else:
                    store_first(to, w0, columns)
                    store_first(to + vector, w1, columns - width)
                    store_first(to + 2 * vector, w2, columns - 2 * width)
                    store_first(to + 3 * vector, w3, columns - 3 * width)
                to += job.out_width * item


# --- schedules ------------------------------------------------------------------------------------------------------


@jit.share
def fused_share(t, threads, zero, address):
    """Do everything for some blocks of tiles, with V and M of one block at a time."""
    job = record(WINOGRAD_JOB, address)
    item = item_bytes(zero)
    rows = job.rows
    row_tiles = (rows + rows_of_tile() - 1) // rows_of_tile()
    columns = columns_of_tile(zero)
    total = (job.end_tile - job.first_tile + columns - 1) // columns
    first = job.first_tile + total * t // threads * columns
    end = min(job.end_tile, job.first_tile + total * (t + 1) // threads * columns)
    temporary = job.scratch + t * job.scratch_bytes
    v = temporary + 64 * LINE
    m = v + PLACES * job.v_place * item
    table = m + PLACES * job.m_place * item
    while first < end:
        stop = min(first + job.block, end)
        pitch = _columns_of(zero, stop - first)
        groups = describe_block(zero, job, first, stop, table)
        transform_inputs(zero, job, table, groups, pitch, 0, job.channels, v, temporary)
        _multiply(zero, job, pitch, pitch, rows, 0, PLACES * row_tiles, v, m)
        _transform_outputs(zero, job, table, groups, pitch, 0, rows, m, temporary)
        first = stop


@jit.parallel
def fused_parallel(threads, zero, address):
    """Run all shares of :func:`fused_share`."""
    for t in prange(threads):
        fused_share(np.intp(t), threads, zero, address)


@jit.inline
def _shared_pitch(zero, job):
    """Return elements from one channel to the next: its last vector must not reach into another thread's channel."""
    return _columns_of(zero, job.end_tile - job.first_tile) + lanes(zero)


@jit.inline
def _shared_v(job):
    return job.scratch


@jit.inline
def _shared_m(zero, job):
    return job.scratch + PLACES * job.v_place * item_bytes(zero)


@jit.inline
def _own(zero, job, t):
    """Return the address of a thread's part of the scratch, behind the V and M that all share."""
    return _shared_m(zero, job) + PLACES * job.m_place * item_bytes(zero) + t * job.scratch_bytes


@jit.share
def input_share(t, threads, zero, address):
    """Transform the inputs of one block for some channels."""
    job = record(WINOGRAD_JOB, address)
    own = _own(zero, job, t)
    groups = describe_block(zero, job, job.first_tile, job.end_tile, own + 64 * LINE)
    pitch = _shared_pitch(zero, job)
    begin, end = job.channels * t // threads, job.channels * (t + 1) // threads
    transform_inputs(zero, job, own + 64 * LINE, groups, pitch, begin, end, _shared_v(job), own)


@jit.share
def product_share(t, threads, zero, address):
    """Multiply some rows and places of one block."""
    job = record(WINOGRAD_JOB, address)
    rows = job.rows
    units = PLACES * ((rows + rows_of_tile() - 1) // rows_of_tile())
    columns = _columns_of(zero, job.end_tile - job.first_tile)
    begin, end = units * t // threads, units * (t + 1) // threads
    _multiply(zero, job, columns, _shared_pitch(zero, job), rows, begin, end, _shared_v(job), _shared_m(zero, job))


@jit.share
def output_share(t, threads, zero, address):
    """Transform the outputs of one block for some output channels."""
    job = record(WINOGRAD_JOB, address)
    own = _own(zero, job, t)
    groups = describe_block(zero, job, job.first_tile, job.end_tile, own + 64 * LINE)
    pitch = _shared_pitch(zero, job)
    rows = job.rows
    begin, end = rows * t // threads, rows * (t + 1) // threads
    _transform_outputs(zero, job, own + 64 * LINE, groups, pitch, begin, end, _shared_m(zero, job), own)


@jit.parallel
def input_parallel(threads, zero, address):
    """Run all shares of :func:`input_share`."""
    for t in prange(threads):
        input_share(np.intp(t), threads, zero, address)


@jit.parallel
def product_parallel(threads, zero, address):
    """Run all shares of :func:`product_share`."""
    for t in prange(threads):
        product_share(np.intp(t), threads, zero, address)


@jit.parallel
def output_parallel(threads, zero, address):
    """Run all shares of :func:`output_share`."""
    for t in prange(threads):
        output_share(np.intp(t), threads, zero, address)


# --- weights --------------------------------------------------------------------------------------------------------


class TransformJob(NamedTuple):
    """What :func:`transform_weights_share` works on."""

    weight: int
    filters: int
    channels: int
    matrix: int
    u: int
    u_place: int
    u_block: int
    u_panel: int
    u_depth: int


TRANSFORM_JOB = jit.record_type(TransformJob)


@jit.share
def transform_weights_share(t, threads, zero, address):
    """Write G g G^T of some row tiles of filters."""
    job = record(TRANSFORM_JOB, address)
    item = item_bytes(zero)
    height = rows_of_tile()
    tiles = (job.filters + height - 1) // height
    for tile in range(tiles * t // threads, tiles * (t + 1) // threads):
        row = tile * height
        rows = min(height, job.filters - row)
        for channel in range(job.channels):
            for i in range(rows):
                g = job.weight + ((row + i) * job.channels + channel) * 9 * item
                block = channel // job.u_depth
                here = block * job.u_block + tile * job.u_panel + (channel - block * job.u_depth) * rows + i
                to = job.u + here * item
                for y in range(PATCH):
                    f0 = peek(zero, job.matrix + 3 * y * item)
                    f1 = peek(zero, job.matrix + (3 * y + 1) * item)
                    f2 = peek(zero, job.matrix + (3 * y + 2) * item)
                    h0 = f0 * peek(zero, g) + f1 * peek(zero, g + 3 * item) + f2 * peek(zero, g + 6 * item)
                    h1 = f0 * peek(zero, g + item) + f1 * peek(zero, g + 4 * item) + f2 * peek(zero, g + 7 * item)
                    h2 = f0 * peek(zero, g + 2 * item) + f1 * peek(zero, g + 5 * item) + f2 * peek(zero, g + 8 * item)
                    for x in range(PATCH):
                        e0 = peek(zero, job.matrix + 3 * x * item)
                        e1 = peek(zero, job.matrix + (3 * x + 1) * item)
                        e2 = peek(zero, job.matrix + (3 * x + 2) * item)
                        poke(to + (y * PATCH + x) * job.u_place * item, e0 * h0 + e1 * h1 + e2 * h2)


@jit.parallel
def transform_weights_parallel(threads, zero, address):
    """Run all shares of a :class:`TransformJob`."""
    for t in prange(threads):
        transform_weights_share(np.intp(t), threads, zero, address)


@functools.cache
def _kernel_matrix(dtype: np.dtype) -> np.ndarray:
    """G: row i is (1, p, p^2) / product of (p - q) over the other finite points q; the last row is that of infinity."""
    points = (0.0, A, -A, B, -B)
    rows = [np.array([1, p, p * p]) / np.prod([p - q for q in points if q != p]) for p in points]
    return np.array([*rows, [0, 0, 1]], dtype)


@functools.cache
def _output_factors(dtype: np.dtype, turned: bool) -> np.ndarray:
    powers = np.array([[A**n for n in range(4)], [B**n for n in range(4)]])
    if turned:  # the place of a holds the turned kernel's transform at b
        powers *= [[TURNED_FACTORS[1]], [TURNED_FACTORS[3]]]
    return powers.astype(dtype)


@functools.lru_cache(maxsize=256)
def _places(turned: bool, distance: int) -> np.ndarray:
    """Return where each place lies, row by row, if they are `distance` apart."""
    along = np.array(TURNED if turned else range(PATCH), np.intp)
    return (along[:, np.newaxis] * PATCH + along).ravel() * distance


def place_size(elements: int, dtype: np.dtype) -> int:
    """Elements from one place to the next: an odd number of lines, so that places spread over all cache sets.

    At least one line is left over: the last vector of a place's last row may reach into it.
    """
    line = LINE // dtype.itemsize
    return (_ceil_div(elements, line) + 1 | 1) * line


def _ceil_div(a: int, b: int) -> int:
    return -(-a // b)


class Layout(NamedTuple):
    """How transformed weights lie in memory, in elements.

    For each place, for each block of `depth` channels, for each panel of filters (a row tile), for each channel, the
    numbers of the panel's filters. What is read one after the other lies so, and panels lie an odd number of cache
    lines apart, for the input gradient takes a few numbers of each panel.
    """

    depth: int
    panel: int
    block: int
    place: int


def layout_of(filters: int, channels: int, dtype: np.dtype) -> Layout:
    """Return the layout of the transformed weights of so many filters and channels."""
    height, line = tile_rows(), LINE // dtype.itemsize
    even = _ceil_div(channels, _ceil_div(channels, DEPTH_BLOCK))
    depth = _ceil_div(even, height) * height  # whole row tiles of the input gradient
    panel = (_ceil_div(depth * height, line) | 1) * line
    block = _ceil_div(filters, height) * panel
    return Layout(depth, panel, block, place_size(_ceil_div(channels, depth) * block, dtype))


def transform_weights(weight: np.ndarray) -> np.ndarray:
    """Transform (K, C, 3, 3) kernels; returns (36, elements of a place), see :class:`Layout`."""
    k, c, _, _ = weight.shape
    layout = layout_of(k, c, weight.dtype)
    u = np.empty((PLACES, layout.place), weight.dtype)
    matrix = _kernel_matrix(weight.dtype)
    job = TransformJob(
        weight.ctypes.data, k, c, matrix.ctypes.data, u.ctypes.data, layout.place, layout.block, layout.panel,
        layout.depth,
    )  # fmt: skip
    threads = jit.get_num_threads() if k * c > 1024 else 1
    jit.run(transform_weights_share, transform_weights_parallel, weight.dtype.type(0), jit.record_of(job), threads)
    return u


FUSED_TILES = 32  # tiles in a block, about: more would push V and M out of the cache that a core has to itself
SHARED_BYTES = 16 << 20  # V and M of a block that all threads share


class Schedule(NamedTuple):
    """How tiles are cut into blocks: each thread's own (`fused`), or one at a time for all."""

    fused: bool
    block: int
    threads: int


def schedule(tiles: int, depth: int, rows: int, dtype: np.dtype, threads: int) -> Schedule:
    """Choose the blocks for so many tiles and channels in and out."""
    columns = tile_columns(dtype)
    panels = _ceil_div(tiles, columns)
    own = _ceil_div(panels, threads)
    if threads == 1 or own * threads < 1.25 * panels:
        block = min(own, _ceil_div(FUSED_TILES, columns))
        return Schedule(True, _ceil_div(own, _ceil_div(own, block)) * columns, threads)
    block = min(panels, max(1, SHARED_BYTES // (PLACES * (depth + rows) * columns * dtype.itemsize)))
    return Schedule(False, _ceil_div(panels, _ceil_div(panels, block)) * columns, threads)


def convolve(
    x: np.ndarray,
    u: np.ndarray,
    filters: int,
    channels: int,
    turned: bool,
    padding: tuple[int, int],
    bias: np.ndarray | None,
    relu: bool,
    out: np.ndarray,
    group: int = 0,
) -> None:
    """Convolve one group of channels with transformed weights.

    Parameters
    ----------
    x : (N, groups * C, H, W) array
        Or the output gradient, (N, groups * K, P, Q), if `turned`.
    u : array of :func:`transform_weights`
    filters, channels : int
        K and C, those of one group.
    turned : bool
        Convolve with the kernels turned by 180 degrees and with K and C exchanged.
    padding : (int, int)
        Zeros above and to the left; those below and to the right follow from the shape of `out`. May be negative.
    bias : (groups * K,) array or None
    relu : bool
    out : (N, groups * K, P, Q) or (N, groups * C, H, W) array
    group : int
        Which group.
    """
    images, _, height, width = x.shape
    out_height, out_width = out.shape[2:]
    depth, rows = (filters, channels) if turned else (channels, filters)
    zero, item = x.dtype.type(0), x.itemsize
    tiles_y, tiles_x = _ceil_div(out_height, TILE), _ceil_div(out_width, TILE)
    tiles = images * tiles_y * tiles_x
    small = tiles * PLACES * depth * rows <= SERIAL_PRODUCTS
    fused, block, threads = schedule(tiles, depth, rows, x.dtype, 1 if small else jit.get_num_threads())
    pitch = block if fused else block + jit.lanes(x.dtype)
    v_place, m_place = place_size(depth * pitch, x.dtype), place_size(rows * pitch, x.dtype)
    own = _ceil_div(64 * LINE + block * _GROUP_FIELDS * 8, LINE) * LINE
    both = PLACES * (v_place + m_place) * item
    each = own + both if fused else own
    layout = layout_of(filters, channels, x.dtype)
    offsets = _row_offsets(filters, tile_rows())
    v_places, m_places = _places(turned, v_place * item), _places(turned, m_place * item)
    with scratch.borrow(threads * each if fused else threads * each + both) as memory:
        job = WinogradJob(
            x.ctypes.data + group * depth * height * width * item, x.shape[1] * height * width, depth, height, width,
            *padding, images, tiles_y, tiles_x,
            u.ctypes.data, layout.place, layout.block, layout.panel, layout.depth, filters, int(turned),
            _panels_at_once(filters), rows,
            offsets.ctypes.data, v_places.ctypes.data, m_places.ctypes.data,
            _output_factors(x.dtype, turned).ctypes.data,
            0 if bias is None else bias.ctypes.data + group * rows * item, int(relu),
            out.ctypes.data + group * rows * out_height * out_width * item, out.shape[1] * out_height * out_width,
            out_height, out_width, 0, tiles, block, ROW_BLOCK, v_place, m_place, memory, each,
        )  # fmt: skip
        if fused:
            jit.run(fused_share, fused_parallel, zero, jit.record_of(job), threads)
            return
        for first in range(0, tiles, block):
            part = jit.record_of(job._replace(first_tile=first, end_tile=min(first + block, tiles)))
            jit.run(input_share, input_parallel, zero, part, threads)
            jit.run(product_share, product_parallel, zero, part, threads)
            jit.run(output_share, output_parallel, zero, part, threads)


def _panels_at_once(filters: int) -> int:
    """Even blocks of about :data:`DEPTH_BLOCK` filters, in whole panels."""
    height = tile_rows()
    whole = filters // height
    return max(1, _ceil_div(whole, _ceil_div(whole * height, DEPTH_BLOCK + height))) if whole else 1


@functools.lru_cache(maxsize=256)
def _row_offsets(filters: int, height: int) -> np.ndarray:
    """Offsets of a panel's rows when it is read across: in whole panels, and in the last one."""
    rows = np.arange(height, dtype=np.intp)
    return np.concatenate([rows * height, rows * (filters % height)])
