"""Direct convolution as an implicit matrix product: any kernel, stride, padding, dilation and groups.

Forward, ``out[k, position] = sum over taps of weight[k, tap] * x[tap, position]``: a tap is a channel with a place in
the kernel, a position an output pixel of any image of the batch. The weights, packed row by row of tiles, are A of the
microkernel; B is gathered from x a block of positions and taps at a time into a panel that stays in the core's cache,
so that there is never an im2col buffer. The input gradient is the same product with rows and taps exchanged, a separate
one for each phase of the stride.

The weight gradient is ``grad[tap, k] = sum over positions of x[tap, position] * grad_output[position, k]``: here A's
scalars are read straight from a padded copy of x, and B is the transposed output gradient.

Sums are made in blocks of at most :data:`DEPTH_BLOCK` terms that are then added up: one long chain of float32 additions
would lose two digits at the depths of VGG-19.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import prange

from . import jit, layout, scratch
from .microkernel import columns_of_tile, product, rows_of_tile, strided_product, tile_columns, tile_rows
from .simd import evens, item_bytes, lanes, load, load_between, peek, poke, record, splat, store

DEPTH_BLOCK = 256
B_BLOCK_BYTES = 256 << 10  # half a small L2 cache
A_BLOCK_BYTES = 128 << 10
SERIAL_PRODUCTS = 1 << 18  # below this many multiply-adds a second thread costs more than it brings


class GatherJob(NamedTuple):
    """What :func:`gather_share` works on: addresses in bytes, distances and sizes in elements."""

    # input
    x: int
    x_image: int
    x_group: int
    height: int
    width: int
    # four rows of `depth` integers: plane, row and column of each tap, and all three as one offset; and their extremes
    taps: int
    depth: int
    row_min: int
    row_max: int
    column_min: int
    column_max: int
    # output positions, and how far apart the input pixels lie that the tap (0, 0) of two neighbours meets
    images: int
    grid_h: int
    grid_w: int
    stride_y: int
    stride_x: int
    # packed weights and what is fused
    a: int
    a_group: int
    rows: int
    groups: int
    bias: int
    relu: int
    # output
    out: int
    out_image: int
    out_group: int
    out_row: int
    out_y: int
    out_x: int
    # blocking, threads and memory
    depth_block: int
    panel_block: int
    tile_block: int
    row_parts: int
    scratch: int
    scratch_bytes: int


GATHER_JOB = jit.record_type(GatherJob)

# A panel's table of intp: how many runs, address of the output if it is contiguous else 0, the runs, places in out.
_RUNS, _PLACE, _HEAD = 0, 1, 2
_RUN_FIELDS = 4  # input row, input column, offset of the image, length


@jit.inline
def _describe_panel(zero, job, group, position, table):
    """Write the table of a panel: which runs of input pixels its positions are, and where its results go."""
    word = 8
    columns = columns_of_tile(zero)
    item = item_bytes(zero)
    places = table + (_HEAD + _RUN_FIELDS * (columns + 1)) * word
    grid = job.grid_h * job.grid_w
    total = job.images * grid
    runs = 0
    done = 0
    while done < columns:
        run = table + (_HEAD + _RUN_FIELDS * runs) * word
        at = position + done
        if at < total:
            image = at // grid
            y = (at - image * grid) // job.grid_w
            x = at - image * grid - y * job.grid_w
            length = min(job.grid_w - x, columns - done)
            poke(run, y * job.stride_y)
            poke(run + word, x * job.stride_x)
            poke(run + 2 * word, image * job.x_image)
            place = job.out + (image * job.out_image + group * job.out_group + y * job.out_y + x * job.out_x) * item
            for n in range(length):
                poke(places + (done + n) * word, place + n * job.out_x * item)
        else:
            length = columns - done
            poke(run, -(1 << 40))  # a row outside every picture: zeros
            poke(run + word, 0)
            poke(run + 2 * word, 0)
            for n in range(length):
                poke(places + (done + n) * word, 0)
        poke(run + 3 * word, length)
        done += length
        runs += 1
    first = peek(0, places)
    last = peek(0, places + (columns - 1) * word)
    contiguous = last - first == (columns - 1) * item and position + columns <= total
    poke(table + _RUNS * word, runs)
    poke(table + _PLACE * word, first if contiguous else 0)


@jit.inline
def _pack_inside(zero, job, source, begin, end, panel):
    """Gather a panel whose pixels are one run that no tap takes out of the picture."""
    word = 8
    item = item_bytes(zero)
    width = lanes(zero)
    columns = columns_of_tile(zero)
    offsets = job.taps + 3 * job.depth * word
    if job.stride_x == 1:
        for p in range(begin, end):
            here = source + peek(0, offsets + p * word) * item
            for n in range(0, columns, width):
                store(panel + n * item, load(zero, here + n * item))
            panel += columns * item
    else:
        for p in range(begin, end):
            here = source + peek(0, offsets + p * word) * item
            for n in range(0, columns, width):
                left = load(zero, here + 2 * n * item)
                right = load_between(zero, here + (2 * n + width) * item, 0, width - 1)
                store(panel + n * item, evens(left, right))
            panel += columns * item


@jit.inline
def _pack_run(zero, job, row, column, length, panel):
    """Gather one run of one tap from an input row (its address); pixels beside the picture are 0."""
    item = item_bytes(zero)
    width = lanes(zero)
    start = row + column * item
    if job.stride_x == 1:
        for n in range(0, length, width):
            store(panel + n * item, load_between(zero, start + n * item, -(column + n), job.width - column - n))
    elif job.stride_x == 2:
        for n in range(0, length, width):
            at = column + 2 * n
            left = load_between(zero, row + at * item, -at, job.width - at)
            at += width
            right = load_between(zero, row + at * item, -at, min(job.width - at, width - 1))
            store(panel + n * item, evens(left, right))
    else:
        for n in range(length):
            at = column + n * job.stride_x
            inside = at >= 0 and at < job.width
            poke(panel + n * item, peek(zero, row + at * item) if inside else zero)


@jit.inline
def _pack_panel(zero, job, group, table, begin, end, panel):
    """Gather taps `begin` to `end` - 1 of a panel's positions: (taps, tile columns), contiguous.

    A run's last vector may reach past the run: into the next run, which is written after it, or into the next tap's
    row, likewise; the caller leaves room for one row after the last.
    """
    word = 8
    item = item_bytes(zero)
    columns = columns_of_tile(zero)
    runs = peek(0, table + _RUNS * word)
    run = table + _HEAD * word
    y, x = peek(0, run), peek(0, run + word)
    x0 = job.x + (group * job.x_group + peek(0, run + 2 * word)) * item
    last_x = x + (columns - 1) * job.stride_x
    inside = y + job.row_min >= 0 and y + job.row_max < job.height
    inside = inside and x + job.column_min >= 0 and last_x + job.column_max < job.width
    if runs == 1 and inside and job.stride_x <= 2:
        _pack_inside(zero, job, x0 + (y * job.width + x) * item, begin, end, panel)
        return
    rows = job.taps + job.depth * word
    columns_of_taps = rows + job.depth * word
    if runs == 1:
        length = peek(0, run + 3 * word)
        for p in range(begin, end):
            row = y + peek(0, rows + p * word)
            if row >= 0 and row < job.height:
                source = x0 + (peek(0, job.taps + p * word) + row * job.width) * item
                _pack_run(zero, job, source, x + peek(0, columns_of_taps + p * word), length, panel)
            else:
                _pack_zeros(zero, columns, panel)
            panel += columns * item
        return
    for p in range(begin, end):
        plane = peek(0, job.taps + p * word)
        row = peek(0, rows + p * word)
        column = peek(0, columns_of_taps + p * word)
        run = table + _HEAD * word
        at = panel
        for _ in range(runs):
            y = peek(0, run) + row
            length = peek(0, run + 3 * word)
            if y >= 0 and y < job.height:
                image = peek(0, run + 2 * word)
                source = job.x + (group * job.x_group + image + plane + y * job.width) * item
                _pack_run(zero, job, source, peek(0, run + word) + column, length, at)
            else:
                _pack_zeros(zero, length, at)
            at += length * item
            run += _RUN_FIELDS * word
        panel += columns * item


@jit.inline
def _pack_zeros(zero, length, panel):
    """Write zeros for a run of a tap outside the picture."""
    for n in range(0, length, lanes(zero)):
        store(panel + n * item_bytes(zero), splat(zero))


@jit.inline
def _tile_from_places(zero, rows, places, shift, pitch, tile):
    """Copy a tile of C that is not contiguous, `shift` bytes after `places`, into one that is."""
    item = item_bytes(zero)
    columns = columns_of_tile(zero)
    for n in range(columns):
        place = peek(0, places + n * 8)
        if place != 0:
            for i in range(rows):
                poke(tile + (i * columns + n) * item, peek(zero, place + shift + i * pitch * item))


@jit.inline
def _tile_to_places(zero, rows, places, shift, pitch, tile):
    """Copy a contiguous tile to where it belongs in C."""
    item = item_bytes(zero)
    columns = columns_of_tile(zero)
    for n in range(columns):
        place = peek(0, places + n * 8)
        if place != 0:
            for i in range(rows):
                poke(place + shift + i * pitch * item, peek(zero, tile + (i * columns + n) * item))


@jit.inline
def _multiply_panel(zero, job, group, table, tile_begin, tile_end, begin, end, panel, tile):
    """Multiply some row tiles of the weights with one panel, for taps `begin` to `end` - 1."""
    word = 8
    item = item_bytes(zero)
    height = rows_of_tile()
    columns = columns_of_tile(zero)
    place = peek(0, table + _PLACE * word)
    places = table + (_HEAD + _RUN_FIELDS * (columns + 1)) * word
    a = job.a + (group * job.a_group + begin * job.rows) * item
    first = 1 if begin == 0 else 0
    relu = job.relu if end == job.depth else 0
    for i in range(tile_begin, tile_end):
        row = i * height
        rows = min(height, job.rows - row)
        shift = row * job.out_row * item
        bias = 0
        if job.bias != 0:
            bias = job.bias + (group * job.rows + row) * item
        c = place + shift
        pitch = job.out_row
        if place == 0:
            c = tile
            pitch = columns
            if first == 0:
                _tile_from_places(zero, rows, places, shift, job.out_row, tile)
        product(
            zero, rows, a + row * (end - begin) * item, panel, columns, end - begin, c, pitch, first, bias, relu
        )  # fmt: skip
        if place == 0:
            _tile_to_places(zero, rows, places, shift, job.out_row, tile)


@jit.share
def gather_share(t, threads, zero, address):
    """Compute some row tiles for some panels of a :class:`GatherJob`."""
    word = 8
    job = record(GATHER_JOB, address)
    item = item_bytes(zero)
    height = rows_of_tile()
    columns = columns_of_tile(zero)
    panels = (job.images * job.grid_h * job.grid_w + columns - 1) // columns
    tiles = (job.rows + height - 1) // height
    row_part = t % job.row_parts
    tile_begin = tiles * row_part // job.row_parts
    tile_end = tiles * (row_part + 1) // job.row_parts
    column_parts = threads // job.row_parts
    unit = job.groups * panels * (t // job.row_parts) // column_parts
    unit_end = job.groups * panels * (t // job.row_parts + 1) // column_parts

    tile = job.scratch + t * job.scratch_bytes
    tables = tile + height * columns * item
    table_bytes = (_HEAD + _RUN_FIELDS * (columns + 1) + columns) * word
    block = tables + job.panel_block * table_bytes
    while unit < unit_end:
        group = unit // panels
        panel = unit - group * panels
        count = min(job.panel_block, unit_end - unit, panels - panel)
        for j in range(count):
            _describe_panel(zero, job, group, (panel + j) * columns, tables + j * table_bytes)
        begin = 0
        end = -1
        while end < job.depth:
            end = min(begin + job.depth_block, job.depth)
            panel_bytes = (end - begin) * columns * item
            for j in range(count):
                _pack_panel(zero, job, group, tables + j * table_bytes, begin, end, block + j * panel_bytes)
            for i in range(tile_begin, tile_end, job.tile_block):
                i_end = min(i + job.tile_block, tile_end)
                for j in range(count):
                    table = tables + j * table_bytes
                    _multiply_panel(zero, job, group, table, i, i_end, begin, end, block + j * panel_bytes, tile)
            begin = end
        unit += count


@jit.parallel
def gather_parallel(threads, zero, address):
    """Run all shares of a :class:`GatherJob`."""
    for t in prange(threads):
        gather_share(np.intp(t), threads, zero, address)


# --- packing weights ------------------------------------------------------------------------------------------------


class PackJob(NamedTuple):
    """What :func:`pack_share` works on: rows of weights, and the offset of each tap in one."""

    source: int
    source_group: int
    source_row: int
    offsets: int
    depth: int
    rows: int
    groups: int
    depth_block: int
    out: int


PACK_JOB = jit.record_type(PackJob)


@jit.share
def pack_share(t, threads, zero, address):
    """Pack some row tiles of weights: (group, depth block, tile, tap, row), contiguous."""
    job = record(PACK_JOB, address)
    item = item_bytes(zero)
    height = rows_of_tile()
    tiles = (job.rows + height - 1) // height
    for unit in range(job.groups * tiles * t // threads, job.groups * tiles * (t + 1) // threads):
        group = unit // tiles
        row = (unit - group * tiles) * height
        rows = min(height, job.rows - row)
        source = job.source + (group * job.source_group + row * job.source_row) * item
        out = job.out + group * job.rows * job.depth * item
        for begin in range(0, job.depth, job.depth_block):
            end = min(begin + job.depth_block, job.depth)
            to = out + (begin * job.rows + row * (end - begin)) * item
            for p in range(begin, end):
                at = source + peek(0, job.offsets + p * 8) * item
                for i in range(rows):
                    poke(to + i * item, peek(zero, at + i * job.source_row * item))
                to += rows * item


@jit.parallel
def pack_parallel(threads, zero, address):
    """Run all shares of a :class:`PackJob`."""
    for t in prange(threads):
        pack_share(np.intp(t), threads, zero, address)


# --- the forward product and the input gradient ---------------------------------------------------------------------


@dataclass(frozen=True)
class Taps:
    """The taps of one product: where they lie in a row of weights and in the input.

    Attributes
    ----------
    weight_offsets : (depth,) intp array
    plane, row, column : (depth,) intp arrays
        Channel within the group, and displacement in pixels.
    """

    weight_offsets: np.ndarray
    plane: np.ndarray
    row: np.ndarray
    column: np.ndarray

    @property
    def depth(self) -> int:
        """Number of taps."""
        return len(self.plane)

    @staticmethod
    def of(
        planes: int,
        rows: list[tuple[int, int]],
        columns: list[tuple[int, int]],
        strides: tuple[int, int, int],
    ) -> Taps:
        """Combine planes with (index, displacement) of kernel rows and columns; `strides` are those of the weights."""
        plane, row, column = (axis.ravel() for axis in np.indices((planes, len(rows), len(columns)), np.intp))
        row_index, row_shift = np.array(rows, np.intp).reshape(-1, 2).T
        column_index, column_shift = np.array(columns, np.intp).reshape(-1, 2).T
        offsets = plane * strides[0] + row_index[row] * strides[1] + column_index[column] * strides[2]
        return Taps(offsets, plane, row_shift[row], column_shift[column])


@functools.lru_cache(maxsize=256)
def forward_taps(
    channels: int, kernel: tuple[int, int], padding: tuple[int, int, int, int], dilation: tuple[int, int]
) -> Taps:
    """Taps of a convolution of `channels` channels a group."""
    (r, s), (dh, dw) = kernel, dilation
    rows = [(i, i * dh - padding[0]) for i in range(r)]
    columns = [(j, j * dw - padding[2]) for j in range(s)]
    return Taps.of(channels, rows, columns, (r * s, s, 1))


@functools.lru_cache(maxsize=256)
def input_grad_taps(
    channels: int, filters: int, kernel: tuple[int, int], stride: tuple[int, int],
    padding: tuple[int, int, int, int], dilation: tuple[int, int],
) -> dict[tuple[int, int], Taps]:  # fmt: skip
    """Taps of the input gradient for each phase (first row, first column) of input pixels.

    Input pixel y meets output row o through kernel row i where ``o * stride = y + padding - i * dilation``, so only
    every stride-th pixel meets the same kernel rows. `channels` and `filters` are those of one group.
    """
    (r, s), (sh, sw), (dh, dw) = kernel, stride, dilation

    def meeting(size: int, step: int, gap: int, pad: int, phase: int) -> list[tuple[int, int]]:
        return [
            (i, (phase + pad - i * gap) // step) for i in reversed(range(size)) if (phase + pad - i * gap) % step == 0
        ]

    weight_strides = (channels * r * s, s, 1)
    return {
        (y, x): Taps.of(filters, meeting(r, sh, dh, padding[0], y), meeting(s, sw, dw, padding[2], x), weight_strides)
        for y in range(sh)
        for x in range(sw)
    }


def pack(weight: np.ndarray, rows: int, row_stride: int, group_stride: int, groups: int, taps: Taps) -> np.ndarray:
    """Pack weights for :func:`gather`: `rows` rows a group, `row_stride` elements apart, with the given taps."""
    packed = np.empty(groups * rows * taps.depth, weight.dtype)
    job = PackJob(
        weight.ctypes.data, group_stride, row_stride, taps.weight_offsets.ctypes.data, taps.depth, rows, groups,
        _depth_block(taps.depth), packed.ctypes.data,
    )  # fmt: skip
    threads = jit.get_num_threads() if packed.size > SERIAL_PRODUCTS else 1
    jit.run(pack_share, pack_parallel, weight.dtype.type(0), jit.record_of(job), threads)
    return packed


def _depth_block(depth: int) -> int:
    """Even blocks of at most :data:`DEPTH_BLOCK` terms."""
    return _ceil_div(depth, _ceil_div(depth, DEPTH_BLOCK)) if depth else 1


def _ceil_div(a: int, b: int) -> int:
    return -(-a // b)


def _split(units: int, tiles: int, threads: int) -> int:
    """Into how many parts to cut the rows, the rest of the threads cutting the positions; whichever ends soonest."""
    packing = 0.5  # gathering a panel takes about half as long as multiplying it with one row tile

    def slowest(row_parts: int) -> float:
        return _ceil_div(units, threads // row_parts) * (_ceil_div(tiles, row_parts) + packing)

    return min((parts for parts in range(1, threads + 1) if threads % parts == 0), key=slowest)


@dataclass(frozen=True)
class Grid:
    """Where a product's positions lie: their number, in the input (pixels apart), in the output (elements apart)."""

    height: int
    width: int
    stride_y: int
    stride_x: int
    out_offset: int
    out_y: int
    out_x: int


@dataclass(frozen=True, eq=False)
class Plan:
    """All of a :class:`GatherJob` but its addresses, for one shape of input: made once, used by every call.

    Attributes
    ----------
    job : array of intp
        The record, with 0 for addresses; the output's is its offset in bytes.
    threads, scratch_bytes : int
        Parts of the work; scratch of all of them together.
    table : array
        What the record's `taps` points to.
    """

    job: np.ndarray
    threads: int
    scratch_bytes: int
    table: np.ndarray


def plan(
    x_shape: tuple[int, int, int, int], dtype: np.dtype, taps: Taps, rows: int, groups: int, grid: Grid,
    out_plane: int, max_threads: int,
) -> Plan | None:  # fmt: skip
    """Plan one implicit matrix product.

    Parameters
    ----------
    x_shape : (int, int, int, int)
        (N, groups * channels, H, W).
    dtype : dtype
    taps : Taps
    rows : int
        Output channels a group.
    groups : int
    grid : Grid
    out_plane : int
        Elements in a plane of the output.
    max_threads : int

    Returns
    -------
    Plan or None
        None if there is nothing to compute.
    """
    images, channels, height, width = x_shape
    columns, tile_height = tile_columns(dtype), tile_rows()
    units = groups * _ceil_div(images * grid.height * grid.width, columns)
    if not units:
        return None
    tiles = _ceil_div(rows, tile_height)
    threads = max_threads if units * columns * rows * taps.depth > SERIAL_PRODUCTS else 1
    row_parts = _split(units, tiles, threads)
    depth_block = _depth_block(taps.depth)
    panel_bytes = depth_block * columns * dtype.itemsize
    own = _ceil_div(units, threads // row_parts)
    panel_block = max(1, min(own, B_BLOCK_BYTES // panel_bytes))
    panel_block = _ceil_div(own, _ceil_div(own, panel_block))
    tile_block = max(1, A_BLOCK_BYTES // (tile_height * depth_block * dtype.itemsize))
    table_bytes = (_HEAD + _RUN_FIELDS * (columns + 1) + columns) * 8
    each = (tile_height + 1) * columns * dtype.itemsize + panel_block * (table_bytes + panel_bytes)
    each = (_ceil_div(each, scratch.ALIGNMENT) + 1) * scratch.ALIGNMENT
    table, extremes = _tap_table(taps, height, width)
    job = GatherJob(
        0, channels * height * width, channels // groups * height * width, height, width,
        table.ctypes.data, taps.depth, *extremes,
        images, grid.height, grid.width, grid.stride_y, grid.stride_x,
        0, rows * taps.depth, rows, groups, 0, 0,
        grid.out_offset * dtype.itemsize, groups * rows * out_plane, rows * out_plane, out_plane,
        grid.out_y, grid.out_x,
        depth_block, panel_block, tile_block, row_parts, 0, each,
    )  # fmt: skip
    return Plan(jit.record_of(job), threads, threads * each, table)


_X, _A, _BIAS, _RELU, _OUT, _SCRATCH = (
    GatherJob._fields.index(name) for name in ("x", "a", "bias", "relu", "out", "scratch")
)


def gather(plan: Plan, x: np.ndarray, packed: np.ndarray, bias: np.ndarray | None, relu: bool, out: np.ndarray) -> None:
    """Compute a planned product.

    Parameters
    ----------
    plan : Plan
    x : (N, groups * channels, H, W) array
    packed : array of :func:`pack`
    bias : (groups * rows,) array or None
    relu : bool
    out : (N, groups * rows, ...) array
    """
    job = plan.job.copy()
    job[_X] = jit.address_of(x)
    job[_A] = jit.address_of(packed)
    if bias is not None:
        job[_BIAS] = jit.address_of(bias)
    job[_RELU] = relu
    job[_OUT] += jit.address_of(out)
    with scratch.borrow(plan.scratch_bytes) as memory:
        job[_SCRATCH] = memory
        jit.run(gather_share, gather_parallel, ZEROS[x.dtype], job, plan.threads)


ZEROS = {np.dtype(kind): kind(0) for kind in (np.float32, np.float64)}


def _tap_table(taps: Taps, height: int, width: int) -> tuple[np.ndarray, tuple[int, int, int, int]]:
    plane = taps.plane * (height * width)
    table = np.stack([plane, taps.row, taps.column, plane + taps.row * width + taps.column])
    if not taps.depth:
        return table, (0, 0, 0, 0)
    rows, columns = taps.row, taps.column
    return table, (int(rows.min()), int(rows.max()), int(columns.min()), int(columns.max()))


# --- the weight gradient --------------------------------------------------------------------------------------------


class WeightGradJob(NamedTuple):
    """What :func:`weight_grad_share` works on."""

    # padded input, and where each tap of a group begins in it
    x: int
    x_image: int
    x_group: int
    x_row: int
    offsets: int
    taps: int
    groups: int
    images: int
    # output rows and columns, and input pixels from one to the next
    height: int
    width: int
    stride_y: int
    stride_x: int
    # transposed output gradient: (image, group, panel, position, tile column)
    b: int
    panels: int
    # result: (group, tap, filter), rows `out_row` elements apart
    out: int
    out_row: int
    # positions summed in one go: rows, or part of one row
    block_height: int
    block_width: int


WEIGHT_GRAD_JOB = jit.record_type(WeightGradJob)


@jit.share
def weight_grad_share(t, threads, zero, address):
    """Compute some tiles of the transposed weight gradient, summing over all positions."""
    word = 8
    job = record(WEIGHT_GRAD_JOB, address)
    item = item_bytes(zero)
    height = rows_of_tile()
    columns = columns_of_tile(zero)
    tiles = (job.taps + height - 1) // height
    units = job.groups * job.panels * tiles
    begin = units * t // threads
    end = units * (t + 1) // threads
    positions = job.height * job.width
    first = 1
    for image in range(job.images):
        for y in range(0, job.height, job.block_height):
            times = min(job.block_height, job.height - y)
            for x in range(0, job.width, job.block_width):
                count = min(job.block_width, job.width - x)
                for unit in range(begin, end):
                    panel = unit // tiles
                    tap = (unit - panel * tiles) * height
                    group = panel // job.panels
                    corner = image * job.x_image + group * job.x_group
                    corner += y * job.stride_y * job.x_row + x * job.stride_x
                    row_b = (image * job.groups * job.panels + panel) * positions + y * job.width + x
                    c = (group * job.taps + tap) * job.out_row + (panel - group * job.panels) * columns
                    strided_product(
                        zero, min(height, job.taps - tap), job.x + corner * item, job.offsets + tap * word,
                        job.stride_x, count, job.stride_y * job.x_row, times, 0, 0, 0, 0,
                        job.b + row_b * columns * item, columns, job.out + c * item, job.out_row, first,
                    )  # fmt: skip
                first = 0


@jit.parallel
def weight_grad_parallel(threads, zero, address):
    """Run all shares of a :class:`WeightGradJob`."""
    for t in prange(threads):
        weight_grad_share(np.intp(t), threads, zero, address)


def weight_grad(
    grad_output: np.ndarray, x: np.ndarray, stride: tuple[int, int], padding: tuple[int, int, int, int],
    dilation: tuple[int, int], groups: int, out: np.ndarray,
) -> None:  # fmt: skip
    """Compute the gradient with respect to the weights.

    Parameters
    ----------
    grad_output : (N, K, P, Q) array
    x : (N, C, H, W) array
    stride, padding, dilation : tuples
        (vertical, horizontal), (top, bottom, left, right), (vertical, horizontal).
    groups : int
    out : (K, C / groups, R, S) array
    """
    images, filters, p, q = grad_output.shape
    _, channels, r, s = out.shape
    rows, taps = filters // groups, channels * r * s
    zero, item = x.dtype.type(0), x.itemsize
    threads = jit.get_num_threads() if images * filters * p * q * taps > SERIAL_PRODUCTS else 1

    padded_height = (p - 1) * stride[0] + (r - 1) * dilation[0] + 1
    padded_width = (q - 1) * stride[1] + (s - 1) * dilation[1] + 1
    plane = padded_height * padded_width
    columns = tile_columns(x.dtype)
    panels = _ceil_div(rows, columns)
    out_row = (panels | 1) * columns  # an odd number of tiles: rows must not fall on the same cache set
    sizes = [
        images * groups * channels * plane,
        images * groups * panels * columns * p * q,
        groups * taps * out_row,
    ]
    starts = np.cumsum([0] + [_ceil_div(size * item, scratch.ALIGNMENT) * scratch.ALIGNMENT for size in sizes])
    with scratch.borrow(int(starts[-1])) as memory:
        padded, transposed, result = (memory + int(start) for start in starts[:3])
        pad_job = layout.PadJob(
            x.ctypes.data, images * groups * channels, x.shape[2], x.shape[3], padding[0], padding[2],
            padded, padded_height, padded_width,
        )  # fmt: skip
        layout.pad(pad_job, zero, threads)
        transpose_job = layout.TransposeJob(
            grad_output.ctypes.data, images * groups, rows * p * q, rows, p * q, p * q, columns,
            transposed, panels * columns * p * q, columns * p * q, columns, 1,
        )  # fmt: skip
        layout.transpose(transpose_job, zero, threads)
        offsets = _weight_grad_offsets(channels, (r, s), dilation, padded_width, plane)
        block_width = min(q, DEPTH_BLOCK)
        weight_job = WeightGradJob(
            padded, groups * channels * plane, channels * plane, padded_width, offsets.ctypes.data, taps, groups,
            images, p, q, *stride, transposed, panels, result, out_row, max(1, DEPTH_BLOCK // block_width), block_width,
        )  # fmt: skip
        jit.run(weight_grad_share, weight_grad_parallel, zero, jit.record_of(weight_job), threads)
        back_job = layout.TransposeJob(
            result, groups, taps * out_row, taps, rows, out_row, jit.lanes(x.dtype),
            out.ctypes.data, rows * taps, jit.lanes(x.dtype), taps, 0,
        )  # fmt: skip
        layout.transpose(back_job, zero, threads)


def _weight_grad_offsets(
    channels: int, kernel: tuple[int, int], dilation: tuple[int, int], row: int, plane: int
) -> np.ndarray:
    c, r, s = (axis.ravel() for axis in np.indices((channels, *kernel), np.intp))
    return c * plane + r * dilation[0] * row + s * dilation[1]
