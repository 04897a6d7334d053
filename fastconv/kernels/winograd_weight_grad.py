"""The weight gradient by Winograd's F(3x3, 4x4): a correlation of 6x6 inputs with 4x4 output gradients.

The same points as in :mod:`fastconv.kernels.winograd` and so the same transform of the inputs; with E the output
gradients of a tile,

    grad = A^T [ sum over tiles of (G E G^T) * (B^T d B) ] A

where G is now 6x4 and A^T 3x6. For each of the 36 places the sum is a matrix product (channels x tiles) times
(tiles x filters). The output gradients are transposed first, so that a vector holds neighbouring filters.
"""

from __future__ import annotations

import ctypes
import functools
from typing import NamedTuple

import numpy as np

from fastconv import jit
from fastconv.geometry import ConvGeometry
from fastconv.jit.records import Bytes, Elements, Words
from fastconv.sizes import ceil_div, round_up

from . import scratch, transposing
from .microkernel import columns_of_tile, rows_of_tile, strided_product, tile_columns, tile_rows
from .pointers import elements_at, nowhere, record, records_at
from .simd import as_type, fma, lanes_of, load, splat, store
from .winograd_inputs import transform_inputs
from .winograd_jobs import TEMPORARY_BYTES, Input, InputGate, Places, Run, Tiles, describe_block, place_size
from .winograd_points import FAR, FAR_SCALE, NEAR, NEAR_SCALE

TILE, PATCH, PLACES = 4, 6, 36
BLOCK = 256  # tiles summed in registers in one go
SHARED_BYTES = 16 << 20  # transformed inputs and gradients of one block


class Gradient(jit.Record):
    """The output gradient, transposed: (image, panel of filters, pixel, filter of the panel)."""

    first: Elements
    # elements from one image to the next
    image: int
    height: int
    width: int
    panels: int


class WeightGradJob(jit.Record):
    """What the kernels work on; distances in elements."""

    input: Input
    # none
    gate: InputGate
    # those of a block
    tiles: Tiles
    gradient: Gradient
    # (place, channel, tile), with `pitch` tiles; (place, panel, tile, filter of the panel), likewise; where each
    # channel of a row tile begins in the first
    v: Places
    e: Places
    pitch: int
    offsets: Words
    # (place, channel, filter), with `row` filters
    sums: Places
    row: int
    # (channel and place in the kernel, filter), likewise
    result: Elements
    # of all threads, and how much each has
    scratch: Bytes
    scratch_bytes: int


@jit.inline
def _gradient_row(zero, e0, e1, e2, e3):
    """Return G e."""
    even_near = fma(splat(as_type(zero, NEAR_SCALE * NEAR * NEAR)), e2, splat(as_type(zero, NEAR_SCALE)) * e0)
    odd_near = fma(
        splat(as_type(zero, NEAR_SCALE * NEAR * NEAR * NEAR)), e3, splat(as_type(zero, NEAR_SCALE * NEAR)) * e1
    )
    even_far = fma(splat(as_type(zero, FAR_SCALE * FAR * FAR)), e2, splat(as_type(zero, FAR_SCALE)) * e0)
    odd_far = fma(splat(as_type(zero, FAR_SCALE * FAR * FAR * FAR)), e3, splat(as_type(zero, FAR_SCALE * FAR)) * e1)
    return e0, even_near + odd_near, even_near - odd_near, even_far + odd_far, even_far - odd_far, e3


@jit.inline
def _kernel_row(zero, m0, m1, m2, m3, m4, m5):
    """Return A^T m."""
    near, near2 = splat(as_type(zero, NEAR)), splat(as_type(zero, NEAR * NEAR))
    far, far2 = splat(as_type(zero, FAR)), splat(as_type(zero, FAR * FAR))
    sum_near, sum_far = m1 + m2, m3 + m4
    return (
        m0 + sum_near + sum_far,
        fma(near, m1 - m2, far * (m3 - m4)),
        fma(near2, sum_near, fma(far2, sum_far, m5)),
    )


@jit.inline
def _pixel(zero, gradient, plane, y, x):
    """Load a vector of filters of one pixel of the output gradient; 0 outside."""
    if y < gradient.height and x < gradient.width:
        return load(plane + (y * gradient.width + x) * columns_of_tile(zero))
    return splat(zero)


@jit.inline
def _transform_gradients(zero, job, first, end, temporary):
    """Transform the output gradients of a block's tiles for units `first` to `end` - 1: a unit is a panel's tile."""
    tiles, gradient = job.tiles, job.gradient
    lanes = lanes_of(zero)
    columns = columns_of_tile(zero)
    count = tiles.end - tiles.first
    for unit in range(first, end):
        panel = unit // count
        tile = tiles.first + unit - panel * count
        image = tile // (tiles.rows * tiles.columns)
        rest = tile - image * tiles.rows * tiles.columns
        y = rest // tiles.columns * TILE
        x = (rest - rest // tiles.columns * tiles.columns) * TILE
        plane = gradient.first + (image * gradient.image + panel * gradient.height * gradient.width * columns)
        to = job.e.first + (panel * job.pitch + tile - tiles.first) * columns
        for n in range(0, columns, lanes):
            here = plane + n
            for j in range(TILE):
                t0, t1, t2, t3, t4, t5 = _gradient_row(
                    zero, _pixel(zero, gradient, here, y, x + j), _pixel(zero, gradient, here, y + 1, x + j),
                    _pixel(zero, gradient, here, y + 2, x + j), _pixel(zero, gradient, here, y + 3, x + j),
                )  # fmt: skip
                store(temporary + j * lanes, t0)
                store(temporary + (TILE + j) * lanes, t1)
                store(temporary + (2 * TILE + j) * lanes, t2)
                store(temporary + (3 * TILE + j) * lanes, t3)
                store(temporary + (4 * TILE + j) * lanes, t4)
                store(temporary + (5 * TILE + j) * lanes, t5)
            for i in range(PATCH):
                row = temporary + i * TILE * lanes
                t0, t1, t2, t3, t4, t5 = _gradient_row(
                    zero, load(row), load(row + lanes), load(row + 2 * lanes), load(row + 3 * lanes)
                )
                place = to + (i * PATCH * job.e.distance + n)
                store(place, t0)
                store(place + job.e.distance, t1)
                store(place + 2 * job.e.distance, t2)
                store(place + 3 * job.e.distance, t3)
                store(place + 4 * job.e.distance, t4)
                store(place + 5 * job.e.distance, t5)


@jit.kernel
def transform_kernel(t, threads, zero, address):
    """Transform a block's inputs for some channels, and its output gradients for some panels and tiles."""
    job = record(WeightGradJob, zero, address)
    own = job.scratch + t * job.scratch_bytes
    temporary, runs = elements_at(zero, own), records_at(Run, zero, own + TEMPORARY_BYTES)
    count = describe_block(zero, job.tiles, job.tiles.first, job.tiles.end, runs)
    begin, end = job.input.channels * t // threads, job.input.channels * (t + 1) // threads
    transform_inputs(zero, job, runs, count, job.pitch, begin, end, job.v.first, temporary)
    units = job.gradient.panels * (job.tiles.end - job.tiles.first)
    _transform_gradients(zero, job, units * t // threads, units * (t + 1) // threads, temporary)


@jit.kernel
def sum_kernel(t, threads, zero, address):
    """Add a block's products to the sums of some places, panels of filters and tiles of channels."""
    job = record(WeightGradJob, zero, address)
    height = rows_of_tile()
    columns = columns_of_tile(zero)
    panels = job.gradient.panels
    row_tiles = (job.input.channels + height - 1) // height
    units = PLACES * panels * row_tiles
    first = 1 if job.tiles.first == 0 else 0
    for unit in range(units * t // threads, units * (t + 1) // threads):
        panel = unit // row_tiles
        channel = (unit - panel * row_tiles) * height
        place = panel // panels
        panel -= place * panels
        v = job.v.first + (place * job.v.distance + channel * job.pitch)
        strided_product(
            zero, min(height, job.input.channels - channel), v, job.offsets, 1, job.tiles.end - job.tiles.first,
            0, 1, 0, nowhere(v), nowhere(job.offsets), 0,
            job.e.first + (place * job.e.distance + panel * job.pitch * columns), columns,
            job.sums.first + (place * job.sums.distance + channel * job.row + panel * columns), job.row, first,
        )  # fmt: skip


@jit.kernel
def filter_kernel(t, threads, zero, address):
    """Transform the sums of some channels to kernels."""
    job = record(WeightGradJob, zero, address)
    lanes = lanes_of(zero)
    temporary = elements_at(zero, job.scratch + t * job.scratch_bytes)
    for channel in range(job.input.channels * t // threads, job.input.channels * (t + 1) // threads):
        for n in range(0, job.gradient.panels * columns_of_tile(zero), lanes):
            source = job.sums.first + (channel * job.row + n)
            for j in range(PATCH):
                at = source + j * job.sums.distance
                down = PATCH * job.sums.distance
                y0, y1, y2 = _kernel_row(
                    zero, load(at), load(at + down), load(at + 2 * down), load(at + 3 * down), load(at + 4 * down),
                    load(at + 5 * down),
                )  # fmt: skip
                store(temporary + j * lanes, y0)
                store(temporary + (PATCH + j) * lanes, y1)
                store(temporary + (2 * PATCH + j) * lanes, y2)
            for i in range(3):
                row = temporary + i * PATCH * lanes
                y0, y1, y2 = _kernel_row(
                    zero, load(row), load(row + lanes), load(row + 2 * lanes), load(row + 3 * lanes),
                    load(row + 4 * lanes), load(row + 5 * lanes),
                )  # fmt: skip
                to = job.result + ((channel * 9 + i * 3) * job.row + n)
                store(to, y0)
                store(to + job.row, y1)
                store(to + 2 * job.row, y2)


def weight_grad(grad_output: np.ndarray, x: np.ndarray, g: ConvGeometry, out: np.ndarray) -> None:
    """Write the gradient by the weight, (K, C/groups, 3, 3), given that by the output, (N, K, P, Q)."""
    for group in range(g.groups):
        _weight_grad_of_group(grad_output, x, g, group, out)


def _weight_grad_of_group(grad_output: np.ndarray, x: np.ndarray, g: ConvGeometry, group: int, out: np.ndarray) -> None:
    filters, channels, pixels = g.k // g.groups, g.c // g.groups, g.out_h * g.out_w
    of_group = slice(group * filters, (group + 1) * filters)
    threads = jit.get_num_threads()
    plan = _plan(g, x.dtype)
    job, panels = plan.job.copy(), plan.job.gradient.panels
    job.input.first = jit.address_of(x) + group * channels * g.h * g.w * x.itemsize
    shapes = (
        (g.n, panels, pixels, tile_columns(x.dtype)),
        (PLACES, job.v.distance),
        (PLACES, job.e.distance),
        (PLACES, job.sums.distance),
        (1, 9 * channels, job.row),
        (threads, job.scratch_bytes // x.itemsize),
    )
    with scratch.borrow_arrays(x.dtype, *shapes) as (transposed, v, e, sums, result, each):
        job.gradient.first, job.v.first, job.e.first = map(jit.address_of, (transposed, v, e))
        job.sums.first, job.result, job.scratch = map(jit.address_of, (sums, result, each))
        transposing.transpose_panels(grad_output[:, of_group].reshape(g.n, filters, pixels), transposed, threads)
        _add_up(job, plan, x.dtype, threads)
        filter_kernel(job, x.dtype, threads)
        transposing.transpose(result[:, :, :filters], out[of_group].reshape(1, filters, 9 * channels), threads)


def _add_up(job: WeightGradJob, plan: Plan, dtype: np.dtype, threads: int) -> None:
    """Add the products of all tiles to the sums, block by block."""
    for first in range(0, plan.tiles, plan.block):
        job.tiles.first, job.tiles.end = first, min(first + plan.block, plan.tiles)
        transform_kernel(job, dtype, threads)
        sum_kernel(job, dtype, threads)


class Plan(NamedTuple):
    """All of a :class:`WeightGradJob` but where arrays lie, for one geometry.

    Attributes
    ----------
    job : WeightGradJob
        To be copied; pointers to a call's arrays and scratch are 0.
    tiles, block : int
        Tiles in all, and of a block.
    kept : tuple of arrays
        What the job's other pointers point to.
    """

    job: WeightGradJob
    tiles: int
    block: int
    kept: tuple[np.ndarray, ...]


@functools.lru_cache(maxsize=256)
def _plan(g: ConvGeometry, dtype: np.dtype) -> Plan:
    """Plan the weight gradient of one group."""
    filters, channels, columns = g.k // g.groups, g.c // g.groups, tile_columns(dtype)
    panels = ceil_div(filters, columns)
    rows_of_tiles, columns_of_tiles = ceil_div(g.out_h, TILE), ceil_div(g.out_w, TILE)
    tiles = g.n * rows_of_tiles * columns_of_tiles
    tile_bytes = PLACES * (channels + panels * columns) * dtype.itemsize
    block = max(columns, min(tiles, BLOCK, SHARED_BYTES // tile_bytes))
    block = ceil_div(tiles, ceil_div(tiles, block))

    pitch, row = block + jit.lanes(dtype), (panels | 1) * columns
    v_place, e_place = place_size(channels * pitch, dtype), place_size(panels * pitch * columns, dtype)
    v_starts = np.arange(PLACES, dtype=np.intp) * v_place
    offsets = np.arange(tile_rows(), dtype=np.intp) * pitch
    job = WeightGradJob(
        input=Input(
            channels=channels, height=g.h, width=g.w, image=g.c * g.h * g.w, plane=g.h * g.w, top=g.padding[0],
            left=g.padding[2],
        ),
        tiles=Tiles(size=TILE, places=PLACES, rows=rows_of_tiles, columns=columns_of_tiles),
        gradient=Gradient(
            image=panels * g.out_h * g.out_w * columns, height=g.out_h, width=g.out_w, panels=panels
        ),
        v=Places(distance=v_place, starts=jit.address_of(v_starts)), e=Places(distance=e_place), pitch=pitch,
        offsets=jit.address_of(offsets), sums=Places(distance=place_size(channels * row, dtype)), row=row,
        scratch_bytes=round_up(TEMPORARY_BYTES + block * ctypes.sizeof(Run), jit.LINE),
    )  # fmt: skip
    return Plan(job, tiles, block, (v_starts, offsets))
