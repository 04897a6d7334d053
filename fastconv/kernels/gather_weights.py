"""Weights packed for the implicit matrix product of :mod:`fastconv.kernels.gather`: row tile by row tile."""

from __future__ import annotations

import numpy as np

from fastconv import jit
from fastconv.jit.records import Elements, Words
from fastconv.sizes import ceil_div

from .microkernel import DEPTH_BLOCK, rows_of_tile
from .pointers import record
from .taps import Taps


@jit.inline
def row_tiles(rows):
    """Return how many tiles the rows are cut into, how high the low ones are, and how many (the first) are one higher.

    Tiles are as even as can be, since low ones are slow.
    """
    tiles = (rows + rows_of_tile() - 1) // rows_of_tile()
    height = rows // tiles if tiles else 0
    return tiles, height, rows - tiles * height


@jit.inline
def rows_of(tile, height, higher):
    """Return a tile's first row and how many it has; tiles are as :func:`row_tiles` cuts them."""
    return tile * height + min(tile, higher), height + (1 if tile < higher else 0)


def block_depth(depth: int) -> int:
    """Return the terms of a block: even blocks of at most :data:`DEPTH_BLOCK` terms."""
    return ceil_div(depth, ceil_div(depth, DEPTH_BLOCK)) if depth else 1


class PackJob(jit.Record):
    """What :func:`pack_kernel` works on: rows of weights, and where each tap lies in one."""

    source: Elements
    source_group: int
    source_row: int
    taps: Words
    depth: int
    rows: int
    groups: int
    depth_block: int
    out: Elements


@jit.kernel
def pack_kernel(t, threads, zero, address):
    """Pack some row tiles of weights: (group, depth block, tile, tap, row), contiguous."""
    job = record(PackJob, zero, address)
    tiles, height, higher = row_tiles(job.rows)
    for unit in range(job.groups * tiles * t // threads, job.groups * tiles * (t + 1) // threads):
        group = unit // tiles
        tile = unit - group * tiles
        row, rows = rows_of(tile, height, higher)
        source = job.source + (group * job.source_group + row * job.source_row)
        out = job.out + group * job.rows * job.depth
        for begin in range(0, job.depth, job.depth_block):
            end = min(begin + job.depth_block, job.depth)
            to = out + (begin * job.rows + row * (end - begin))
            for p in range(begin, end):
                at = source + job.taps[p]
                for i in range(rows):
                    to[i] = at[i * job.source_row]
                to += rows


def pack(weight: np.ndarray, rows: int, row_stride: int, group_stride: int, groups: int, taps: Taps) -> np.ndarray:
    """Pack weights: `rows` rows a group, `row_stride` elements apart, with the given taps."""
    packed = np.empty(groups * rows * taps.depth, weight.dtype)
    job = PackJob(
        source=jit.address_of(weight), source_group=group_stride, source_row=row_stride,
        taps=jit.address_of(taps.weight_offsets), depth=taps.depth, rows=rows, groups=groups,
        depth_block=block_depth(taps.depth), out=jit.address_of(packed),
    )  # fmt: skip
    pack_kernel(job, weight.dtype, jit.threads_for(products=packed.size))
    return packed
