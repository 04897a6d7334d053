"""The weight gradient by Winograd's F(3x3, 4x4); :mod:`fastconv.kernels.winograd_transforms` has the algebra.

For each of the 36 places, and some tiles, the sums are a matrix product: (channels x tiles) times (tiles x filters).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from fastconv import jit
from fastconv.geometry import ConvGeometry
from fastconv.jit.records import Bytes, Elements
from fastconv.sizes import ceil_div, round_up

from . import scratch
from .microkernel import DEPTH_BLOCK, columns_of_strip, rows_of_strip, strip_columns, summed_product
from .pointers import elements_at, record
from .shuffles import transpose_block
from .simd import lanes_of, load, store_first
from .winograd_jobs import Input, InputGate, Places, Tiles, blocks_of, panels_of, place_size
from .winograd_pictures import read_gradients, read_tiles, strip_elements
from .winograd_plan import SHARED_BYTES, tiles_of
from .winograd_transforms import transform_sums
from .winograd_weights import KERNEL

TILE, PLACES = 4, 36


class Sums(jit.Record):
    """Sums of products: (panel of filters and block of channels, place, vector of the panel, channel, filter)."""

    # unless each thread has room for one panel and block in its scratch
    first: Bytes
    # elements from one panel and block to the next; 0 if in scratch
    distance: int


class WeightGradJob(jit.Record):
    """What the kernels work on; distances in elements."""

    input: Input
    # none
    gate: InputGate
    # the output gradient
    gradient: Input
    # those of a block, and whether it is the last one
    tiles: Tiles
    last: int
    v: Places
    e: Places
    sums: Sums
    # (K, C, 3, 3), of one group
    result: Elements
    # of all threads, and how much each has
    scratch: Bytes
    scratch_bytes: int


@jit.kernel
def transform_kernel(t, threads, zero, address):
    """Transform a block's inputs and output gradients for some channels."""
    job = record(WeightGradJob, zero, address)
    temporary = elements_at(zero, job.scratch + t * job.scratch_bytes)
    v, e = elements_at(zero, job.v.first), elements_at(zero, job.e.first)
    first, end = job.tiles.first, job.tiles.end
    blocks = blocks_of(zero, job.input.channels)
    for block in range(blocks * t // threads, blocks * (t + 1) // threads):
        read_tiles(zero, job, block, first, end, v + block * job.v.block, temporary)
    blocks = blocks_of(zero, job.gradient.channels)
    for block in range(blocks * t // threads, blocks * (t + 1) // threads):
        read_gradients(zero, job, block, first, end, e + block * job.e.block, temporary)


@jit.inline
def _add_products(zero, job, panel, block, sums):
    """Add a block's products to the sums of a panel of filters and a block of channels."""
    lanes, columns = lanes_of(zero), columns_of_strip(zero)
    count = job.tiles.end - job.tiles.first
    first = 1 if job.tiles.first == 0 else 0
    v = elements_at(zero, job.v.first) + block * job.v.block
    e = elements_at(zero, job.e.first) + panel * columns // lanes * job.e.block
    strips = (lanes + rows_of_strip() - 1) // rows_of_strip()
    for place in range(PLACES):
        for strip in range(strips):
            begin, end = lanes * strip // strips, lanes * (strip + 1) // strips
            summed_product(
                zero, end - begin, v + (place * job.v.distance + begin), count, e + place * job.e.distance, job.e.block,
                sums + (place * columns + begin) * lanes, lanes * lanes, first,
            )  # fmt: skip


@jit.inline
def _write_kernels(zero, job, panel, block, sums, kernels, spare):
    """Transform sums to gradients of kernels; `kernels` has room for 9 vectors a lane, `spare` for one a lane or 36."""
    lanes, columns = lanes_of(zero), columns_of_strip(zero)
    channels = min(lanes, job.input.channels - block * lanes)
    row = job.input.channels * KERNEL
    for part in range(0, columns, lanes):
        filters = min(lanes, job.gradient.channels - panel * columns - part)
        for channel in range(channels):
            m = sums + (part + channel) * lanes
            transform_sums(zero, m, columns * lanes, kernels + channel * KERNEL * lanes, lanes, spare)
        result = job.result + ((panel * columns + part) * row + block * lanes * KERNEL)
        for n in range(0, channels * KERNEL, lanes):
            transpose_block(kernels + n * lanes, lanes, spare, lanes)
            for filter in range(filters):
                store_first(result + (filter * row + n), load(spare + filter * lanes), channels * KERNEL - n)


@jit.kernel
def sum_kernel(t, threads, zero, address):
    """Add a block's products to the sums of some panels of filters and blocks of channels; make kernels of the last."""
    job = record(WeightGradJob, zero, address)
    lanes = lanes_of(zero)
    blocks = blocks_of(zero, job.input.channels)
    units = panels_of(zero, job.gradient.channels) * blocks
    spare = elements_at(zero, job.scratch + t * job.scratch_bytes)
    kernels = spare + PLACES * lanes
    own = kernels + KERNEL * lanes * lanes
    for unit in range(units * t // threads, units * (t + 1) // threads):
        panel = unit // blocks
        block = unit - panel * blocks
        sums = own
        if job.sums.distance:
            sums = elements_at(zero, job.sums.first) + unit * job.sums.distance
        _add_products(zero, job, panel, block, sums)
        if job.last:
            _write_kernels(zero, job, panel, block, sums, kernels, spare)


@dataclass(frozen=True, eq=False)
class Plan:
    """All of a :class:`WeightGradJob` but where arrays lie; addresses in scratch count from its beginning."""

    job: WeightGradJob
    block: int
    threads: int
    scratch_bytes: int


@functools.lru_cache(maxsize=1024)
def make_plan(g: ConvGeometry, dtype: np.dtype, max_threads: int) -> Plan:
    """Plan the weight gradient of one group of channels."""
    channels, filters, item = g.c // g.groups, g.k // g.groups, dtype.itemsize
    lanes, columns = jit.lanes(dtype), strip_columns(dtype)
    tiles = tiles_of(g.n, g.out_h, g.out_w, TILE)
    threads = jit.threads_for(products=tiles.end * PLACES * channels * filters, most=max_threads)
    blocks, panels = ceil_div(channels, lanes), ceil_div(filters, columns)
    each = PLACES * (blocks * lanes + panels * columns) * item
    block = max(1, min(tiles.end, DEPTH_BLOCK, SHARED_BYTES // each))
    block = ceil_div(tiles.end, ceil_div(tiles.end, block))

    v_place, e_place = place_size(blocks * lanes * block, dtype), place_size(panels * columns * block, dtype)
    v_bytes, e_bytes = PLACES * v_place * item, PLACES * e_place * item
    one = PLACES * columns * lanes  # sums of a panel and a block
    spare = (PLACES + KERNEL * lanes) * lanes
    shared = block < tiles.end
    sums_bytes = blocks * panels * one * item if shared else 0
    own = round_up(max(strip_elements(dtype), spare if shared else spare + one) * item, jit.LINE)
    start = v_bytes + e_bytes + sums_bytes
    job = WeightGradJob(
        input=Input(
            channels=channels, height=g.h, width=g.w, image=g.c * g.h * g.w, plane=g.h * g.w, top=g.padding[0],
            left=g.padding[2],
        ),
        gradient=Input(
            channels=filters, height=g.out_h, width=g.out_w, image=g.k * g.out_h * g.out_w, plane=g.out_h * g.out_w
        ),
        tiles=tiles,
        v=Places(distance=v_place, block=block * lanes), e=Places(first=v_bytes, distance=e_place, block=block * lanes),
        sums=Sums(first=v_bytes + e_bytes, distance=one if shared else 0), scratch=start, scratch_bytes=own,
    )  # fmt: skip
    return Plan(job, block, threads, start + threads * own)


def weight_grad(grad_output: np.ndarray, x: np.ndarray, g: ConvGeometry, out: np.ndarray) -> None:
    """Write the gradient by the weights, (K, C/groups, 3, 3), of a 3x3 convolution of stride 1."""
    plan = make_plan(g, out.dtype, jit.get_num_threads())
    for group in range(g.groups):
        job, item = plan.job.copy(), out.itemsize
        input, gradient = job.input, job.gradient
        input.first = jit.address_of(x) + group * input.channels * input.plane * item
        gradient.first = jit.address_of(grad_output) + group * gradient.channels * gradient.plane * item
        job.result = jit.address_of(out) + group * out[0].size * gradient.channels * item
        with scratch.borrow(plan.scratch_bytes) as memory:
            for part in (job.v, job.e, job.sums):
                part.first += memory
            job.scratch += memory
            end = job.tiles.end
            for first in range(0, end, plan.block):
                job.tiles.first, job.tiles.end = first, min(first + plan.block, end)
                job.last = job.tiles.end == end
                transform_kernel(job, out.dtype, plan.threads)
                sum_kernel(job, out.dtype, plan.threads)
