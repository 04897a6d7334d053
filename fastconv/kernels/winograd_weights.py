"""Weights transformed for Winograd's method, and how they lie in memory."""

from __future__ import annotations

import numpy as np

from fastconv import jit
from fastconv.jit.records import Bytes, Elements
from fastconv.sizes import ceil_div

from . import scratch
from .microkernel import DEPTH_BLOCK, rows_of_tile, tile_rows
from .pointers import elements_at, record
from .winograd_jobs import place_size
from .winograd_transforms import TEMPORARY_BYTES, transform_kernels


class Layout(jit.Record):
    """How transformed weights lie in memory, in elements.

    For each place, for each block of `depth` terms, for each panel of rows (a row tile), for each term, the numbers of
    the panel's rows. What is read one after the other lies so, and panels lie an odd number of cache lines apart, for
    the input gradient takes a few numbers of each panel.
    """

    depth: int
    # from one panel to the next, and so on
    panel: int
    block: int
    place: int


def layout_of(rows: int, depth: int, dtype: np.dtype) -> Layout:
    """Return the layout of transformed weights."""
    height, line = tile_rows(), jit.LINE // dtype.itemsize
    even = ceil_div(depth, ceil_div(depth, DEPTH_BLOCK))
    block_depth = ceil_div(even, height) * height  # whole row tiles of the input gradient
    panel = (ceil_div(block_depth * height, line) | 1) * line
    block = ceil_div(rows, height) * panel
    place = place_size(ceil_div(depth, block_depth) * block, dtype)
    return Layout(depth=block_depth, panel=panel, block=block, place=place)


class TransformJob(jit.Record):
    """What :func:`transform_weights_kernel` works on."""

    weight: Elements
    filters: int
    channels: int
    # 4 or 2: outputs along a side of a tile
    tile: int
    u: Elements
    layout: Layout
    scratch: Bytes


@jit.kernel
def transform_weights_kernel(t, threads, zero, address):
    """Transform some row tiles of filters."""
    job = record(TransformJob, zero, address)
    height = rows_of_tile()
    row = job.channels * 9
    tiles = (job.filters + height - 1) // height
    temporary = elements_at(zero, job.scratch + t * TEMPORARY_BYTES)
    for tile in range(tiles * t // threads, tiles * (t + 1) // threads):
        transform_kernels(
            zero, job.tile, job.weight + tile * height * row, row, 9, min(height, job.filters - tile * height),
            job.channels, job.u + tile * job.layout.panel, job.layout.place, job.layout.block, job.layout.depth,
            temporary,
        )  # fmt: skip


def transform_weights(weight: np.ndarray, tile: int) -> np.ndarray:
    """Transform (K, C, 3, 3) kernels for F(tile x tile); returns (places, elements), see :class:`Layout`."""
    k, c, _, _ = weight.shape
    layout = layout_of(k, c, weight.dtype)
    u = np.empty(((tile + 2) ** 2, layout.place), weight.dtype)
    threads = jit.threads_for(elements=16 * k * c)
    with scratch.borrow(threads * TEMPORARY_BYTES) as memory:
        job = TransformJob(
            weight=jit.address_of(weight), filters=k, channels=c, tile=tile, u=jit.address_of(u), layout=layout,
            scratch=memory,
        )  # fmt: skip
        transform_weights_kernel(job, weight.dtype, threads)
    return u
