"""Gram matrices of features, F F^T with F of (channels, positions).

The matrix is symmetric: only the tiles of its upper triangle are computed, and mirrored. A thread takes some of the
positions, transposes a block of them at a time, so that all channels of a position lie side by side, and multiplies
the block, which its cache holds, with itself. The threads' sums are added up in the end.

Positions may have weights T. F T F^T is the product of F T^(1/2) with itself.
"""

from __future__ import annotations

import numpy as np

from fastconv import jit
from fastconv.jit.records import Elements, Words
from fastconv.sizes import ceil_div, round_up

from . import scratch
from .microkernel import columns_of_tile, rows_of_tile, strided_product, tile_columns
from .pointers import record
from .shuffles import transpose_block
from .simd import lanes_of, load, splat, store

POSITIONS_BLOCK = 128  # terms added up in registers; a panel and the rows it meets fit the nearest cache


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
                    zero, min(height, job.channels - row), packed, offsets, columns, count, 0, 1, b, columns,
                    sums + (row * job.pitch + channel), job.pitch, 0,
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
