"""Weights transformed for Winograd's method, and how they lie in memory."""

from __future__ import annotations

import numpy as np

from fastconv import jit
from fastconv.jit.records import Bytes, Elements
from fastconv.sizes import ceil_div

from . import scratch
from .microkernel import DEPTH_BLOCK, rows_of_tile, tile_rows
from .pointers import elements_at, record
from .simd import as_type, fma, lanes_of, load, splat, store, store_first
from .winograd_jobs import TEMPORARY_BYTES, place_size
from .winograd_points import FAR, FAR_SCALE, NEAR, NEAR_SCALE


class Layout(jit.Record):
    """How transformed weights lie in memory, in elements.

    The loops, from the outermost to the innermost: places, blocks of `depth` terms, panels of rows (row tiles), terms,
    rows of the panel. The product reads the numbers of a panel in this order. The distance between panels is an odd
    number of cache lines, so that the few numbers that the input gradient takes of each fall on different cache sets.
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


# --- the transform, G g G^T ------------------------------------------------------------------------------------------


@jit.inline
def transform_kernels(
    zero, size, source, row_stride, term_stride, rows, depth, to, place, block, block_depth, temporary
):
    """Transform the 3x3 kernels of one row tile of the products.

    Parameters
    ----------
    zero : float32 or float64
    size : intp
        4 or 2: outputs along a side of a tile.
    source, row_stride, term_stride : pointer, intp, intp
        The first kernel; elements from one row's kernels to the next's, and from one term's to the next's.
    rows, depth : intp
        Rows of the row tile, and terms of each sum.
    to, place, block, block_depth : pointer, intp, intp, intp
        (block of terms, term in the block, row) of the first place; elements from one place to the next, and from one
        block of `block_depth` terms to the next. Vectors may reach past `rows`: there must be room for that many terms
        of a whole row tile in each block.
    temporary : pointer
        To :data:`~fastconv.kernels.winograd_jobs.TEMPORARY_BYTES` bytes.
    """
    lanes = lanes_of(zero)
    pitch = 16  # at least the rows of a row tile
    for first in range(0, depth, 4):
        count = min(4, depth - first)
        for term in range(count):
            for i in range(rows):
                kernel = source + (i * row_stride + (first + term) * term_stride)
                for n in range(9):
                    temporary[(term * 9 + n) * pitch + i] = kernel[n]
        for term in range(first, first + count):
            number = term // block_depth
            inside = term - number * block_depth
            last = inside == block_depth - 1 or term == depth - 1
            for i in range(0, rows, lanes):
                g = temporary + ((term - first) * 9 * pitch + i)
                u = to + (number * block + inside * rows + i)
                here = min(lanes, rows - i) if last else lanes
                if size == 4:
                    _kernel_4(zero, g, pitch, u, place, here)
                else:
                    _kernel_2(zero, g, pitch, u, place, here)


@jit.inline
def _kernel_row_4(zero, g0, g1, g2):
    """Return G g."""
    even_near = fma(splat(as_type(zero, NEAR_SCALE * NEAR * NEAR)), g2, splat(as_type(zero, NEAR_SCALE)) * g0)
    even_far = fma(splat(as_type(zero, FAR_SCALE * FAR * FAR)), g2, splat(as_type(zero, FAR_SCALE)) * g0)
    odd_near = splat(as_type(zero, NEAR_SCALE * NEAR)) * g1
    odd_far = splat(as_type(zero, FAR_SCALE * FAR)) * g1
    return g0, even_near + odd_near, even_near - odd_near, even_far + odd_far, even_far - odd_far, g2


@jit.inline
def _kernel_4(zero, g, pitch, u, place, count):
    """Transform a vector of kernels, of which each number is `pitch` elements on; store `count` lanes of each place."""
    a0, a1, a2, a3, a4, a5 = _kernel_row_4(zero, load(g), load(g + 3 * pitch), load(g + 6 * pitch))
    g += pitch
    b0, b1, b2, b3, b4, b5 = _kernel_row_4(zero, load(g), load(g + 3 * pitch), load(g + 6 * pitch))
    g += pitch
    c0, c1, c2, c3, c4, c5 = _kernel_row_4(zero, load(g), load(g + 3 * pitch), load(g + 6 * pitch))
    _store_kernel_row_4(zero, a0, b0, c0, u, place, count)
    _store_kernel_row_4(zero, a1, b1, c1, u + 6 * place, place, count)
    _store_kernel_row_4(zero, a2, b2, c2, u + 12 * place, place, count)
    _store_kernel_row_4(zero, a3, b3, c3, u + 18 * place, place, count)
    _store_kernel_row_4(zero, a4, b4, c4, u + 24 * place, place, count)
    _store_kernel_row_4(zero, a5, b5, c5, u + 30 * place, place, count)


@jit.inline
def _store_kernel_row_4(zero, g0, g1, g2, u, place, count):
    t0, t1, t2, t3, t4, t5 = _kernel_row_4(zero, g0, g1, g2)
    if count == lanes_of(zero):
        store(u, t0)
        store(u + place, t1)
        store(u + 2 * place, t2)
        store(u + 3 * place, t3)
        store(u + 4 * place, t4)
        store(u + 5 * place, t5)
    else:
        store_first(u, t0, count)
        store_first(u + place, t1, count)
        store_first(u + 2 * place, t2, count)
        store_first(u + 3 * place, t3, count)
        store_first(u + 4 * place, t4, count)
        store_first(u + 5 * place, t5, count)


@jit.inline
def _kernel_row_2(zero, g0, g1, g2):
    """Return G g."""
    half = splat(as_type(zero, 0.5))
    even, odd = half * (g0 + g2), half * g1
    return g0, even + odd, even - odd, g2


@jit.inline
def _kernel_2(zero, g, pitch, u, place, count):
    """Transform a vector of kernels, of which each number is `pitch` elements on; store `count` lanes of each place."""
    a0, a1, a2, a3 = _kernel_row_2(zero, load(g), load(g + 3 * pitch), load(g + 6 * pitch))
    g += pitch
    b0, b1, b2, b3 = _kernel_row_2(zero, load(g), load(g + 3 * pitch), load(g + 6 * pitch))
    g += pitch
    c0, c1, c2, c3 = _kernel_row_2(zero, load(g), load(g + 3 * pitch), load(g + 6 * pitch))
    _store_kernel_row_2(zero, a0, b0, c0, u, place, count)
    _store_kernel_row_2(zero, a1, b1, c1, u + 4 * place, place, count)
    _store_kernel_row_2(zero, a2, b2, c2, u + 8 * place, place, count)
    _store_kernel_row_2(zero, a3, b3, c3, u + 12 * place, place, count)


@jit.inline
def _store_kernel_row_2(zero, g0, g1, g2, u, place, count):
    t0, t1, t2, t3 = _kernel_row_2(zero, g0, g1, g2)
    store_first(u, t0, count)
    store_first(u + place, t1, count)
    store_first(u + 2 * place, t2, count)
    store_first(u + 3 * place, t3, count)


# --- all weights ----------------------------------------------------------------------------------------------------


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
