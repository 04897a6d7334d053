"""Gram matrices of features, F F^T with F of (channels, positions), and the gradient through them.

The matrix is symmetric: only the tiles of its upper triangle are computed, and mirrored. A thread takes some of the
positions, transposes a block of them at a time, so that all channels of a position lie side by side, and multiplies
the block, which its cache holds, with itself. The threads' sums are added up in the end.

The gradient adds S F, with a small symmetric S, to an array of the features' shape, tile by tile as the product is
made: it is never stored by itself.

Positions may have weights T. F T F^T is the product of F T^(1/2) with itself, and the gradient's S (F T).
"""

from __future__ import annotations

import numpy as np

from fastconv import jit
from fastconv.jit.records import Elements, Words
from fastconv.sizes import ceil_div, round_up

from . import scratch
from .microkernel import DEPTH_BLOCK, columns_of_tile, product, rows_of_tile, strided_product, tile_columns, tile_rows
from .pointers import nowhere, prefetch_to_write, record
from .shuffles import transpose_block
from .simd import as_type, lanes_of, load, splat, store

POSITIONS_BLOCK = 128  # terms added up in registers; a panel and the rows it meets fit the nearest cache
BLOCK_BYTES = 256 << 10  # features that a thread packs at a time: half a small L2 cache
ROW_BLOCK = 8  # row tiles of the gradient's matrix that meet all packed panels before the next ones


# --- the matrix -----------------------------------------------------------------------------------------------------


class GramJob(jit.Record):
    """What the kernels of the matrix work on."""

    # (channels, positions)
    features: Elements
    channels: int
    positions: int
    # of the positions' weights, or nowhere
    roots: Elements
    # where in a packed block each channel begins, and positions in a block
    offsets: Words
    depth: int
    # of each thread, a block and then its sums (channels, pitch)
    scratch: Elements
    scratch_size: int
    block_size: int
    pitch: int
    # filled by `mirror_kernel`: (channels, channels); with so many threads' sums
    out: Elements
    parts: int


@jit.inline
def _pack_panel(zero, job, channel, position, count, to):
    """Transpose a tile's columns of channels at `count` positions; channels that do not exist are 0."""
    lanes = lanes_of(zero)
    columns = columns_of_tile(zero)
    # Along few rows at a time: rows of many a picture fall on the same cache set.
    for part in range(0, columns, lanes):
        for p in range(0, count, lanes):
            source = job.features + (channel + part) * job.positions + (position + p)
            here = to + (p * columns + part)
            if channel + part + lanes <= job.channels and p + lanes <= count:
                transpose_block(source, job.positions, here, columns)
            else:
                for q in range(min(lanes, count - p)):
                    for i in range(lanes):
                        exists = channel + part + i < job.channels
                        here[q * columns + i] = source[i * job.positions + q] if exists else zero
    if job.roots:
        for q in range(count):
            root = splat(job.roots[position + q])
            for part in range(0, columns, lanes):
                here = to + (q * columns + part)
                store(here, root * load(here))


@jit.kernel
def gram_kernel(t, threads, zero, address):
    """Multiply some positions' features with themselves."""
    job = record(GramJob, zero, address)
    lanes = lanes_of(zero)
    height = rows_of_tile()
    columns = columns_of_tile(zero)
    packed = job.scratch + t * job.scratch_size
    sums = packed + job.block_size
    for n in range(0, job.channels * job.pitch, lanes):
        store(sums + n, splat(zero))
    units = (job.positions + lanes - 1) // lanes
    begin = units * t // threads * lanes
    end = min(job.positions, units * (t + 1) // threads * lanes)
    panel = columns * job.depth
    while begin < end:
        count = min(job.depth, end - begin)
        for channel in range(0, job.channels, columns):
            _pack_panel(zero, job, channel, begin, count, packed + channel // columns * panel)
        for channel in range(0, job.channels, columns):
            b = packed + channel // columns * panel
            for row in range(0, min(job.channels, channel + columns), height):
                offsets = job.offsets + row
                strided_product(
                    zero, min(height, job.channels - row), packed, offsets, columns, count, 0, 1, 0,
                    nowhere(packed), nowhere(offsets), 0,
                    b, columns, sums + (row * job.pitch + channel), job.pitch, 0,
                )  # fmt: skip
        begin += count


@jit.kernel
def mirror_kernel(t, threads, zero, address):
    """Add up the upper triangles of all threads' sums, and mirror them."""
    job = record(GramJob, zero, address)
    for unit in range(t, job.channels, threads):  # rows are of unequal length: dealt out one by one
        for j in range(unit, job.channels):
            here = job.scratch + job.block_size + (unit * job.pitch + j)
            total = zero
            for part in range(job.parts):
                total += here[part * job.scratch_size]
            job.out[unit * job.channels + j] = total
            job.out[j * job.channels + unit] = total


def gram(features: np.ndarray, roots: np.ndarray | None, out: np.ndarray) -> None:
    """Compute F F^T, or F T F^T.

    Parameters
    ----------
    features : (C, M) array
        F, contiguous.
    roots : (M,) array or None
        Square roots of the positions' weights T.
    out : (C, C) array
        Completely written; symmetric to the last bit.
    """
    channels, positions = features.shape
    threads = jit.threads_for(products=channels * channels * positions)
    columns = tile_columns(features.dtype)
    panels = ceil_div(channels, columns)
    pitch = (panels | 1) * columns  # an odd number of tiles: rows must not fall on the same cache set
    block = panels * columns * POSITIONS_BLOCK
    each = round_up((block + channels * pitch) * features.itemsize, jit.LINE)
    panel, column = np.divmod(np.arange(channels), columns)
    offsets = (panel * columns * POSITIONS_BLOCK + column).astype(np.intp)
    with scratch.borrow(threads * each) as memory:
        job = GramJob(
            features=jit.address_of(features), channels=channels, positions=positions,
            roots=0 if roots is None else jit.address_of(roots),
            offsets=jit.address_of(offsets), depth=POSITIONS_BLOCK,
            scratch=memory, scratch_size=each // features.itemsize, block_size=block, pitch=pitch,
            out=jit.address_of(out), parts=threads,
        )  # fmt: skip
        gram_kernel(job, features.dtype, threads)
        mirror_kernel(job, features.dtype, threads)


# --- the gradient ---------------------------------------------------------------------------------------------------


class GramGradientJob(jit.Record):
    """What :func:`gram_gradient_kernel` works on."""

    # (channels, positions)
    features: Elements
    channels: int
    positions: int
    # of the positions, or nowhere
    weights: Elements
    # S, a row tile after the other, and for each term the tile's rows
    slope: Elements
    # what is added to, (channels, positions)
    total: Elements
    # panels of positions packed at a time
    panels: int
    # of each thread, a tile and then the panels
    scratch: Elements
    scratch_size: int


@jit.inline
def _pack_positions(zero, job, position, count, to):
    """Copy `count` panels of positions: for each panel, for each channel, a tile's columns; 0 beyond the last."""
    lanes = lanes_of(zero)
    columns = columns_of_tile(zero)
    for channel in range(job.channels):
        source = job.features + channel * job.positions
        for panel in range(count):
            for part in range(0, columns, lanes):
                at = position + panel * columns + part
                here = to + ((panel * job.channels + channel) * columns + part)
                if at + lanes <= job.positions:
                    value = load(source + at)
                    if job.weights:
                        value = value * load(job.weights + at)
                    store(here, value)
                else:
                    for i in range(lanes):
                        value = zero
                        if at + i < job.positions:
                            value = source[at + i]
                            if job.weights:
                                value = as_type(zero, value * job.weights[at + i])
                        here[i] = value


@jit.inline
def _add_cut_tile(zero, job, rows, a, b, length, total, count, temporary):
    """Add a product to a tile that only has `count` columns."""
    columns = columns_of_tile(zero)
    product(zero, rows, a, b, columns, length, temporary, columns, 1)
    for i in range(rows):
        for j in range(count):
            total[i * job.positions + j] += temporary[i * columns + j]


@jit.kernel
def gram_gradient_kernel(t, threads, zero, address):
    """Add S F at some panels of positions."""
    job = record(GramGradientJob, zero, address)
    height = rows_of_tile()
    columns = columns_of_tile(zero)
    temporary = job.scratch + t * job.scratch_size
    packed = temporary + height * columns
    panels = (job.positions + columns - 1) // columns
    end = panels * (t + 1) // threads
    for first in range(panels * t // threads, end, job.panels):
        count = min(job.panels, end - first)
        _pack_positions(zero, job, first * columns, count, packed)
        for depth in range(0, job.channels, DEPTH_BLOCK):
            length = min(DEPTH_BLOCK, job.channels - depth)
            for block in range(0, job.channels, ROW_BLOCK * height):
                for panel in range(count):
                    b = packed + (panel * job.channels + depth) * columns
                    position = (first + panel) * columns
                    for row in range(block, min(block + ROW_BLOCK * height, job.channels), height):
                        rows = min(height, job.channels - row)
                        a = job.slope + (row * job.channels + depth * rows)
                        total = job.total + row * job.positions + position
                        for i in range(rows):
                            prefetch_to_write(total + i * job.positions)
                        if position + columns <= job.positions:
                            product(zero, rows, a, b, columns, length, total, job.positions, 0)
                        else:
                            left = job.positions - position
                            _add_cut_tile(zero, job, rows, a, b, length, total, left, temporary)


def add_gram_gradient(features: np.ndarray, slope: np.ndarray, weights: np.ndarray | None, total: np.ndarray) -> None:
    """Add S F, or S F T, to an array.

    Parameters
    ----------
    features : (C, M) array
        F, contiguous.
    slope : (C, C) array
        S.
    weights : (M,) array or None
        The positions' weights T.
    total : array of C * M elements
        What is added to, contiguous.
    """
    channels, positions = features.shape
    item = features.itemsize
    threads = jit.threads_for(products=channels * channels * positions)
    columns = tile_columns(features.dtype)
    panels = max(1, BLOCK_BYTES // (channels * columns * item))
    packed = _row_tiles(slope)
    each = round_up((tile_rows() + panels * channels) * columns * item, jit.LINE)
    with scratch.borrow(threads * each) as memory:
        job = GramGradientJob(
            features=jit.address_of(features), channels=channels, positions=positions,
            weights=0 if weights is None else jit.address_of(weights),
            slope=jit.address_of(packed), total=jit.address_of(total), panels=panels,
            scratch=memory, scratch_size=each // item,
        )  # fmt: skip
        gram_gradient_kernel(job, features.dtype, threads)


def _row_tiles(matrix: np.ndarray) -> np.ndarray:
    """Cut a matrix into tiles of rows, each stored column by column; the last may have fewer rows."""
    rows, height = len(matrix), tile_rows()
    whole = rows // height * height
    tiles = matrix[:whole].reshape(-1, height, matrix.shape[1]).transpose(0, 2, 1)
    return np.concatenate([tiles.ravel(), matrix[whole:].T.ravel()])
