"""Winograd's minimal filtering: 3x3 convolution of stride 1 with a quarter (or 4/9) of the multiplications.

See :mod:`fastconv.kernels.winograd_transforms` for the algebra. Summed over input channels, the products in its middle
are, for each of the 36 (or 16) places of a transformed patch, a matrix product: (filters x channels) times (channels x
tiles). Work is done a block of tiles at a time: transform the inputs of all channels (V), multiply with the transformed
weights (M = U V), transform the outputs.

Where there are many tiles, each thread takes blocks of its own, small enough that V and M stay in its cache (fused).
Where there are few, all threads share one block and split each phase: channels, then (places, rows), then channels, so
that each weight is read once. Weights that are used once only are transformed a few rows at a time by the thread that
multiplies them (fresh), so that U, four times as large as the weights, never reaches memory.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from fastconv import jit
from fastconv.geometry import ConvGeometry, Pass

from . import scratch
from .microkernel import columns_of_tile, product, rows_of_tile, strided_product, tile_columns, tile_rows
from .oldmem import item_bytes, record
from .simd import lanes
from .sizes import ceil_div
from .traces import Finish, Gate
from .winograd_transforms import (
    FLAGS,
    GROUP_FIELDS,
    LINE,
    NO_GATE,
    PLACES,
    TEMPORARY_BYTES,
    TURNED,
    TURNED_FACTORS,
    VALUES,
    A,
    B,
    describe_block,
    transform_inputs,
    transform_kernels,
    transform_outputs,
)

DEPTH_BLOCK = 256  # terms added up in registers, as in direct convolution
ROW_BLOCK = 8  # row tiles of U that meet all panels of V before the next ones
FUSED_TILES = 32  # tiles in a thread's own block, about: more would push V and M out of its cache
HEAVY_TILES = 48  # the same where weights come from memory for each block
HEAVY_BYTES = 16 << 20  # transformed weights of more than this do
SHARED_BYTES = 16 << 20  # V and M of a block that all threads share
FRESH_BYTES = 1 << 20  # transformed weights that a thread makes and uses at a time


class WinogradJob(jit.Record):
    """What the kernels work on: addresses in bytes, everything else in elements."""

    # input
    x: int
    x_image: int
    channels: int
    height: int
    width: int
    top: int
    left: int
    # tiles: 4 or 2 outputs along a side; places of a transformed patch
    tile: int
    places: int
    images: int
    tiles_y: int
    tiles_x: int
    # transformed weights, see `Layout`, read across if `across`; or the weights themselves, and elements to the kernel
    # of the next row and of the next term
    u: int
    u_place: int
    u_block: int
    u_panel: int
    u_depth: int
    across: int
    weight_row: int
    weight_depth: int
    # panels of filters whose products are added up in registers, and rows within a panel: full, last (read across)
    filters: int
    panels: int
    offsets: int
    # for each place in turn where it lies in V and in M, in bytes
    v_places: int
    m_places: int
    # eight factors of the output transform
    factors: int
    bias: int
    relu: int
    # output
    rows: int
    out: int
    out_image: int
    out_height: int
    out_width: int
    # tiles `first_tile` to `end_tile` - 1 in blocks of `block` (a multiple of the product's columns)
    first_tile: int
    end_tile: int
    block: int
    row_block: int
    # V and M: one each for all threads in a phase, or one in each thread's scratch
    v_place: int
    m_place: int
    scratch: int
    scratch_bytes: int
    # elements from one channel to the next
    x_plane: int
    out_plane: int
    # what lets gradients pass to the input (see winograd_transforms); whether outputs are pooled by 2x2; where flags of
    # the outputs' ReLU or codes of their pooling go, or 0
    gate_kind: int
    gate: int
    pooled: int
    codes: int


WINOGRAD_JOB = np.dtype(WinogradJob)


# --- products -------------------------------------------------------------------------------------------------------


@jit.inline
def _columns_of(zero, tiles):
    """Round a number of tiles up to whole tiles of the product."""
    columns = columns_of_tile(zero)
    return (tiles + columns - 1) // columns * columns


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
        if job.across == 0:
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


# --- schedules ------------------------------------------------------------------------------------------------------


@jit.kernel
def fused_kernel(t, threads, zero, address):
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
    v = temporary + TEMPORARY_BYTES
    m = v + job.places * job.v_place * item
    table = m + job.places * job.m_place * item
    while first < end:
        stop = min(first + job.block, end)
        pitch = _columns_of(zero, stop - first)
        groups = describe_block(zero, job, first, stop, table)
        transform_inputs(zero, job, table, groups, pitch, 0, job.channels, v, temporary)
        _multiply(zero, job, pitch, pitch, rows, 0, job.places * row_tiles, v, m)
        transform_outputs(zero, job, table, groups, pitch, 0, rows, m, temporary)
        first = stop


@jit.inline
def _shared_pitch(zero, job):
    """Return elements from one channel to the next: its last vector must not reach into another thread's channel."""
    return _columns_of(zero, job.end_tile - job.first_tile) + lanes(zero)


@jit.inline
def _shared_v(job):
    return job.scratch


@jit.inline
def _shared_m(zero, job):
    return job.scratch + job.places * job.v_place * item_bytes(zero)


@jit.inline
def _own(zero, job, t):
    """Return the address of a thread's part of the scratch, behind the V and M that all share."""
    return _shared_m(zero, job) + job.places * job.m_place * item_bytes(zero) + t * job.scratch_bytes


@jit.kernel
def input_kernel(t, threads, zero, address):
    """Transform the inputs of one block for some channels."""
    job = record(WINOGRAD_JOB, address)
    own = _own(zero, job, t)
    groups = describe_block(zero, job, job.first_tile, job.end_tile, own + TEMPORARY_BYTES)
    pitch = _shared_pitch(zero, job)
    begin, end = job.channels * t // threads, job.channels * (t + 1) // threads
    transform_inputs(zero, job, own + TEMPORARY_BYTES, groups, pitch, begin, end, _shared_v(job), own)


@jit.kernel
def product_kernel(t, threads, zero, address):
    """Multiply some rows and places of one block."""
    job = record(WINOGRAD_JOB, address)
    rows = job.rows
    units = job.places * ((rows + rows_of_tile() - 1) // rows_of_tile())
    columns = _columns_of(zero, job.end_tile - job.first_tile)
    begin, end = units * t // threads, units * (t + 1) // threads
    _multiply(zero, job, columns, _shared_pitch(zero, job), rows, begin, end, _shared_v(job), _shared_m(zero, job))


@jit.kernel
def fresh_kernel(t, threads, zero, address):
    """Transform some rows of weights, a few row tiles at a time, and multiply them."""
    job = record(WINOGRAD_JOB, address)
    item = item_bytes(zero)
    height = rows_of_tile()
    row_tiles = (job.rows + height - 1) // height
    own = _own(zero, job, t)
    u = own + TEMPORARY_BYTES
    columns = _columns_of(zero, job.end_tile - job.first_tile)
    pitch = _shared_pitch(zero, job)
    end = row_tiles * (t + 1) // threads
    for tile in range(row_tiles * t // threads, end, job.row_block):
        count = min(job.row_block, end - tile)
        for n in range(count):
            row = (tile + n) * height
            transform_kernels(
                zero, job.tile, job.u + row * job.weight_row * item, job.weight_row, job.weight_depth,
                min(height, job.rows - row), job.channels, u + n * job.u_panel * item, job.u_place, job.u_block,
                job.u_depth, own,
            )  # fmt: skip
        for place in range(job.places):
            m = _shared_m(zero, job) + (place * job.m_place + tile * height * pitch) * item
            _multiply_along(
                zero, job, columns, pitch, job.rows - tile * height, 0, count, u + place * job.u_place * item,
                _shared_v(job) + place * job.v_place * item, m,
            )  # fmt: skip


@jit.kernel
def output_kernel(t, threads, zero, address):
    """Transform the outputs of one block for some output channels."""
    job = record(WINOGRAD_JOB, address)
    own = _own(zero, job, t)
    groups = describe_block(zero, job, job.first_tile, job.end_tile, own + TEMPORARY_BYTES)
    pitch = _shared_pitch(zero, job)
    rows = job.rows
    begin, end = rows * t // threads, rows * (t + 1) // threads
    transform_outputs(zero, job, own + TEMPORARY_BYTES, groups, pitch, begin, end, _shared_m(zero, job), own)


# --- weights --------------------------------------------------------------------------------------------------------


class Layout(NamedTuple):
    """How transformed weights lie in memory, in elements.

    For each place, for each block of `depth` terms, for each panel of rows (a row tile), for each term, the numbers of
    the panel's rows. What is read one after the other lies so, and panels lie an odd number of cache lines apart, for
    the input gradient takes a few numbers of each panel.
    """

    depth: int
    panel: int
    block: int
    place: int


def layout_of(rows: int, depth: int, dtype: np.dtype) -> Layout:
    """Return the layout of transformed weights."""
    height, line = tile_rows(), LINE // dtype.itemsize
    even = ceil_div(depth, ceil_div(depth, DEPTH_BLOCK))
    block_depth = ceil_div(even, height) * height  # whole row tiles of the input gradient
    panel = (ceil_div(block_depth * height, line) | 1) * line
    block = ceil_div(rows, height) * panel
    return Layout(block_depth, panel, block, place_size(ceil_div(depth, block_depth) * block, dtype))


def place_size(elements: int, dtype: np.dtype) -> int:
    """Elements from one place to the next: an odd number of lines, so that places spread over all cache sets.

    At least one line is left over: the last vector of a place's last row may reach into it.
    """
    line = LINE // dtype.itemsize
    return (ceil_div(elements, line) + 1 | 1) * line


class TransformJob(jit.Record):
    """What :func:`transform_weights_kernel` works on."""

    weight: int
    filters: int
    channels: int
    tile: int
    u: int
    u_place: int
    u_block: int
    u_panel: int
    u_depth: int
    scratch: int


TRANSFORM_JOB = np.dtype(TransformJob)


@jit.kernel
def transform_weights_kernel(t, threads, zero, address):
    """Transform some row tiles of filters."""
    job = record(TRANSFORM_JOB, address)
    item = item_bytes(zero)
    height = rows_of_tile()
    row = job.channels * 9
    tiles = (job.filters + height - 1) // height
    for tile in range(tiles * t // threads, tiles * (t + 1) // threads):
        transform_kernels(
            zero, job.tile, job.weight + tile * height * row * item, row, 9, min(height, job.filters - tile * height),
            job.channels, job.u + tile * job.u_panel * item, job.u_place, job.u_block, job.u_depth,
            job.scratch + t * TEMPORARY_BYTES,
        )  # fmt: skip


def transform_weights(weight: np.ndarray, tile: int) -> np.ndarray:
    """Transform (K, C, 3, 3) kernels for F(tile x tile); returns (places, elements), see :class:`Layout`."""
    k, c, _, _ = weight.shape
    layout = layout_of(k, c, weight.dtype)
    u = np.empty(((tile + 2) ** 2, layout.place), weight.dtype)
    threads = jit.threads_for(elements=16 * k * c)
    with scratch.borrow(threads * TEMPORARY_BYTES) as memory:
        job = TransformJob(
            jit.address_of(weight), k, c, tile, jit.address_of(u), layout.place, layout.block, layout.panel,
            layout.depth, memory,
        )  # fmt: skip
        transform_weights_kernel(job, weight.dtype, threads)
    return u


# --- plans ----------------------------------------------------------------------------------------------------------


class Schedule(NamedTuple):
    """How tiles are cut into blocks: each thread's own (`fused`), or one at a time for all."""

    fused: bool
    block: int
    threads: int


def schedule(tiles: int, places: int, depth: int, rows: int, dtype: np.dtype, threads: int) -> Schedule:
    """Choose the blocks for so many tiles and channels in and out."""
    columns = tile_columns(dtype)
    panels = ceil_div(tiles, columns)
    own = ceil_div(panels, threads)
    if threads == 1 or own * threads < 1.25 * panels:
        heavy = places * depth * rows * dtype.itemsize > HEAVY_BYTES
        block = min(own, ceil_div(HEAVY_TILES if heavy else FUSED_TILES, columns))
        return Schedule(True, ceil_div(own, ceil_div(own, block)) * columns, threads)
    return _shared(panels, places, depth, rows, dtype, threads)


def _shared(panels: int, places: int, depth: int, rows: int, dtype: np.dtype, threads: int) -> Schedule:
    columns = tile_columns(dtype)
    block = min(panels, max(1, SHARED_BYTES // (places * (depth + rows) * columns * dtype.itemsize)))
    return Schedule(False, ceil_div(panels, ceil_div(panels, block)) * columns, threads)


@dataclass(frozen=True, eq=False)
class Plan:
    """All of a :class:`WinogradJob` but its addresses, for one shape of input: made once, used by every call.

    Attributes
    ----------
    job : WinogradJob
        With 0 for the addresses of arrays.
    fused, fresh : bool
        How the work is split, and whether the weights come untransformed.
    threads, scratch_bytes : int
        Parts of the work; scratch of all of them together.
    kept : tuple of arrays
        What the record's other addresses point to.
    """

    job: WinogradJob
    fused: bool
    fresh: bool
    threads: int
    scratch_bytes: int
    kept: tuple[np.ndarray, ...]


def plan(
    x_shape: tuple[int, ...], out_shape: tuple[int, ...], filters: int, channels: int, padding: tuple[int, int],
    dtype: np.dtype, tile: int, max_threads: int, *, turned: bool, fresh: bool,
) -> Plan:  # fmt: skip
    """Plan the convolution of one group of channels.

    Parameters
    ----------
    x_shape : (int, int, int, int)
        (N, groups * C, H, W); or of the output gradient, (N, groups * K, P, Q), if `turned`.
    out_shape : (int, int, int, int)
        (N, groups * K, P, Q); or (N, groups * C, H, W).
    filters, channels : int
        K and C, those of one group.
    padding : (int, int)
        Zeros above and to the left; those below and to the right follow from `out_shape`. May be negative.
    dtype : dtype
    tile : int
        4 or 2: outputs along a side of a tile.
    max_threads : int
    turned : bool
        Convolve with the kernels turned by 180 degrees and with K and C exchanged.
    fresh : bool
        Whether calls bring the weights rather than transformed ones.
    """
    images, all_channels, height, width = x_shape
    _, all_rows, out_height, out_width = out_shape
    depth, rows = (filters, channels) if turned else (channels, filters)
    places, item = (tile + 2) ** 2, dtype.itemsize
    tiles_y, tiles_x = ceil_div(out_height, tile), ceil_div(out_width, tile)
    tiles = images * tiles_y * tiles_x
    threads = jit.threads_for(products=tiles * places * depth * rows, most=max_threads)
    if fresh:
        fused, block, threads = _shared(ceil_div(tiles, tile_columns(dtype)), places, depth, rows, dtype, threads)
    else:
        fused, block, threads = schedule(tiles, places, depth, rows, dtype, threads)
    pitch = block if fused else block + jit.lanes(dtype)
    v_place, m_place = place_size(depth * pitch, dtype), place_size(rows * pitch, dtype)
    both = places * (v_place + m_place) * item
    row_block = ROW_BLOCK
    layout = layout_of(filters, channels, dtype)
    own = TEMPORARY_BYTES + block * GROUP_FIELDS * 8
    if fresh:
        one = layout_of(tile_rows(), depth, dtype)
        row_block = max(1, min(ceil_div(rows, tile_rows()), FRESH_BYTES // (places * one.place * item)))
        layout = layout_of(row_block * tile_rows(), depth, dtype)
        own = max(own, TEMPORARY_BYTES + places * layout.place * item)
    each = ceil_div(own + both if fused else own, LINE) * LINE
    kept = (
        _places(tile, turned, v_place * item), _places(tile, turned, m_place * item), _output_factors(dtype, turned),
        _row_offsets(filters, tile_rows()),
    )  # fmt: skip
    kernel = 9
    job = WinogradJob(
        0, all_channels * height * width, depth, height, width, *padding,
        tile, places, images, tiles_y, tiles_x,
        0, layout.place, layout.block, layout.panel, layout.depth, int(turned and not fresh),
        kernel if turned else channels * kernel, channels * kernel if turned else kernel,
        filters, _panels_at_once(filters), kept[3].ctypes.data,
        kept[0].ctypes.data, kept[1].ctypes.data, kept[2].ctypes.data, 0, 0,
        rows, 0, all_rows * out_height * out_width, out_height, out_width,
        0, tiles, block, row_block, v_place, m_place, 0, each,
        height * width, out_height * out_width, NO_GATE, 0, 0, 0,
    )  # fmt: skip
    return Plan(job, fused, fresh, threads, threads * each if fused else threads * each + both, kept)


def _panels_at_once(filters: int) -> int:
    """Even blocks of about :data:`DEPTH_BLOCK` filters, in whole panels."""
    height = tile_rows()
    whole = filters // height
    return max(1, ceil_div(whole, ceil_div(whole * height, DEPTH_BLOCK + height))) if whole else 1


@functools.lru_cache(maxsize=256)
def _row_offsets(filters: int, height: int) -> np.ndarray:
    """Offsets of a panel's rows when it is read across: in whole panels, and in the last one."""
    rows = np.arange(height, dtype=np.intp)
    return np.concatenate([rows * height, rows * (filters % height)])


@functools.lru_cache(maxsize=256)
def _places(tile: int, turned: bool, distance: int) -> np.ndarray:
    """Return where each place lies, row by row, if they are `distance` apart."""
    along = np.array(TURNED[tile] if turned else range(tile + 2), np.intp)
    return (along[:, np.newaxis] * (tile + 2) + along).ravel() * distance


@functools.cache
def _output_factors(dtype: np.dtype, turned: bool) -> np.ndarray:
    """Return what A^T of F(4x4) multiplies with; F(2x2) needs nothing."""
    powers = np.array([[A**n for n in range(4)], [B**n for n in range(4)]])
    if turned:  # the place of a holds the turned kernel's transform at b
        powers *= [[TURNED_FACTORS[4][1]], [TURNED_FACTORS[4][3]]]
    return powers.astype(dtype)


def _convolve(
    plan: Plan, x: np.ndarray, u: np.ndarray, bias: np.ndarray | None, finish: Finish, gate: Gate | None,
    out: np.ndarray, group: int,
) -> None:  # fmt: skip
    """Compute one group of a planned convolution.

    Parameters
    ----------
    plan : Plan
    x : (N, groups * C, H, W) array
        Or (N, groups * K, P, Q), as planned.
    u : array
        Of :func:`transform_weights`; or the group's (K, C, 3, 3) weights, if the plan is `fresh`.
    bias : (groups * K,) array or None
    finish : Finish
        All but the ReLU with F(4x4) only.
    gate : Gate or None
        Applied to `x`; with F(4x4) only. Vectors of a trace's bytes are read whole: `traces.MARGIN` bytes around it
        must be readable.
    out : array
        As planned; or (N, groups * K, P // 2, Q // 2), if `finish` pools.
    group : int
    """
    job, item = plan.job.copy(), x.itemsize
    if finish.pooled:
        job.out_height, job.out_width = out.shape[2:]
        job.out_plane, job.out_image, job.pooled = job.out_height * job.out_width, out[0].size, 1
    x_before, out_before = group * job.channels * job.x_plane, group * job.rows * job.out_plane
    with scratch.borrow(plan.scratch_bytes) as memory:
        job.x = jit.address_of(x) + x_before * item
        job.u = jit.address_of(u)
        if bias is not None:
            job.bias = jit.address_of(bias) + group * job.rows * item
        job.relu = finish.relu
        job.out = jit.address_of(out) + out_before * item
        job.scratch = memory
        if gate is not None:
            job.gate_kind = _kind_of(gate)
            job.gate = jit.address_of(gate.array) + x_before * gate.array.itemsize
        if finish.trace is not None:
            job.codes = jit.address_of(finish.trace) + out_before
        _run_phases(plan, job, x.dtype)


def _run_phases(plan: Plan, job: WinogradJob, dtype: np.dtype) -> None:
    """Compute all tiles; `job` is changed on the way."""
    if plan.fused:
        fused_kernel(job, dtype, plan.threads)
        return
    multiply = fresh_kernel if plan.fresh else product_kernel
    end = job.end_tile
    for first in range(job.first_tile, end, job.block):
        job.first_tile, job.end_tile = first, min(first + job.block, end)
        input_kernel(job, dtype, plan.threads)
        multiply(job, dtype, plan.threads)
        output_kernel(job, dtype, plan.threads)


def _kind_of(gate: Gate) -> int:
    if gate.pooled:
        return PLACES
    return FLAGS if gate.array.dtype == np.uint8 else VALUES


# --- convolutions ---------------------------------------------------------------------------------------------------


def why_not(g: ConvGeometry, pass_: Pass, tile: int) -> str | None:
    """Return why F(tile x tile) can't compute a convolution, or None if it can."""
    if (g.r, g.s) != (3, 3):
        return f"it needs 3x3 kernels, got {g.r}x{g.s}"
    if g.stride != (1, 1):
        return f"it needs stride 1, got {g.stride}"
    if g.dilation != (1, 1):
        return f"it needs dilation 1, got {g.dilation}"
    if pass_ == "weight_grad" and tile != 4:
        return "its weight gradient is that of 'winograd'"
    return None


def pack(weight: np.ndarray, groups: int, tile: int, *, fresh: bool) -> tuple[np.ndarray, ...]:
    """Return the weights of each group, (K, C/groups, 3, 3) cut along K: transformed, or `fresh`, as they are."""
    parts = np.split(weight, groups) if groups > 1 else [weight]
    return tuple(parts if fresh else (transform_weights(part, tile) for part in parts))


def forward(
    x: np.ndarray, packing: tuple[np.ndarray, ...], bias: np.ndarray | None, finish: Finish, g: ConvGeometry,
    out: np.ndarray, tile: int,
) -> None:  # fmt: skip
    """Write the convolution of `x`, (N, C, H, W), plus `bias`, (K,), finished, to `out`; see :func:`_convolve`."""
    plan = _plan(g, out.dtype, tile, jit.get_num_threads(), turned=False, fresh=packing[0].ndim == 4)
    for group, u in enumerate(packing):
        _convolve(plan, x, u, bias, finish, None, out, group)


def input_grad(
    grad_output: np.ndarray, packing: tuple[np.ndarray, ...], gate: Gate | None, g: ConvGeometry, out: np.ndarray,
    tile: int,
) -> None:  # fmt: skip
    """Write the gradient by the input, (N, C, H, W), given that by the output, or by what comes behind the gate."""
    pooled = gate is not None and gate.pooled
    plan = _plan(g, out.dtype, tile, jit.get_num_threads(), turned=True, fresh=packing[0].ndim == 4, pooled=pooled)
    for group, u in enumerate(packing):
        _convolve(plan, grad_output, u, None, Finish(), gate, out, group)


@functools.lru_cache(maxsize=1024)
def _plan(
    g: ConvGeometry, dtype: np.dtype, tile: int, threads: int, *, turned: bool, fresh: bool, pooled: bool = False
) -> Plan:
    """Plan a convolution or, if `turned`, its input gradient, given that by the output or by its `pooled` maxima."""
    x, out, padding = g.input_shape, g.output_shape, (g.padding[0], g.padding[2])
    if turned:
        x, out, padding = out, x, (2 - padding[0], 2 - padding[1])
    if pooled:
        x = (*x[:2], x[2] // 2, x[3] // 2)
    return plan(x, out, g.k // g.groups, g.c // g.groups, padding, dtype, tile, threads, turned=turned, fresh=fresh)
