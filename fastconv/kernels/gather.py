"""Convolution as an implicit matrix product.

Forward, ``out[k, position] = sum over taps of weight[k, tap] * x[tap, position]``: a tap is a channel with a place in
the kernel, a position an output pixel of any image of the batch. The weights, packed row by row of tiles, are A of the
microkernel; B is gathered from x a block of positions and taps at a time into a panel that stays in the core's cache,
so that there is never an im2col buffer. The input gradient is the same product with rows and taps exchanged.

Sums are made in blocks of at most :data:`fastconv.kernels.microkernel.DEPTH_BLOCK` terms that are then added up: one
long chain of float32 additions would lose two digits at the depths of VGG-19.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

from fastconv import jit
from fastconv.jit.records import Bytes, Words
from fastconv.sizes import ceil_div, round_up

from . import layout, scratch
from .gather_panels import NO_PLACE, Panel, Run, describe_panels, pack_panel
from .gather_weights import block_depth, row_tiles, rows_of
from .microkernel import columns_of_tile, rows_of_tile, scattered_product, tile_columns, tile_rows
from .operands import Operands, operands
from .pointers import elements_at, record, records_at, words_at
from .taps import Grid, Taps, extremes, offsets_in_copy

B_BLOCK_BYTES = 64 << 10  # an eighth of a small L2 cache; a block of A takes a quarter, and C what it needs
A_BLOCK_BYTES = 128 << 10
SHORT_DEPTH = 64  # sums of so few terms are over soon, and most of the time goes into writing ...
LONG_ROWS = 32  # ... so results are written for that many panels of a plane at a stretch
FEW_TILES = 2  # a panel that is read so few times need not be gathered, if it can do without


class Input(jit.Record):
    """What taps read: (image, group, channel, row, column)."""

    image: int
    group: int
    height: int
    width: int
    # whether it is a padded copy, which no tap leaves
    copied: int


class Tap(jit.Record):
    """Where a tap reads: its plane, in elements from the group's first, and how far from a position's pixel."""

    plane: int
    row: int
    column: int


class TapTable(jit.Record):
    """All taps of a product, and how far they reach."""

    taps: Annotated[int, Tap]
    # of each tap, its place in the input from a position's pixel on, and in a packed panel
    in_input: Words
    in_panel: Words
    depth: int
    row_min: int
    row_max: int
    column_min: int
    column_max: int


class Positions(jit.Record):
    """Output positions, and how far apart the input pixels lie that the tap (0, 0) of two neighbours meets."""

    images: int
    height: int
    width: int
    stride_y: int
    stride_x: int


class Weights(jit.Record):
    """Packed weights, so many rows a group."""

    group: int
    rows: int
    groups: int


class Output(jit.Record):
    """Where results go: (image, group, row, position)."""

    image: int
    group: int
    row: int


class GatherJob(jit.Record):
    """What :func:`gather_kernel` works on.

    Fields named after a part of an array say how many elements lie from one such part to the next.
    """

    operands: Operands
    input: Input
    table: TapTable
    positions: Positions
    weights: Weights
    output: Output
    # taps, panels and row tiles of a block; parts that the rows are cut into
    depth_block: int
    panel_block: int
    tile_block: int
    row_parts: int
    # of each thread: see :func:`_scratch_bytes`
    scratch: Bytes
    scratch_bytes: int


@jit.inline
def _tile_from_places(zero, rows, out, places, pitch, tile):
    """Copy a tile of C that is not contiguous, at `places` from `out` on, into one that is."""
    columns = columns_of_tile(zero)
    for n in range(columns):
        place = places[n]
        if place != NO_PLACE:
            for i in range(rows):
                tile[i * columns + n] = out[place + i * pitch]


@jit.inline
def _tile_to_places(zero, rows, out, places, pitch, tile):
    """Copy a contiguous tile to where it belongs in C."""
    columns = columns_of_tile(zero)
    for n in range(columns):
        place = places[n]
        if place != NO_PLACE:
            for i in range(rows):
                out[place + i * pitch] = tile[i * columns + n]


@jit.inline
def _multiply_panel(zero, job, group, panel, height, higher, tile_begin, tile_end, begin, end, b, offsets, tile):
    """Multiply some row tiles of the weights with one panel, for taps `begin` to `end` - 1.

    Tiles are `height` rows high, the first `higher` of them one more. The panel's row of each tap lies at an offset
    from `b`.
    """
    columns = columns_of_tile(zero)
    weights, output = job.weights, job.output
    a = job.operands.weights + (group * weights.group + begin * weights.rows)
    first = 1 if begin == 0 else 0
    relu = job.operands.relu if end == job.table.depth else 0
    for i in range(tile_begin, tile_end):
        row, rows = rows_of(i, height, higher)
        shift = row * output.row
        bias = job.operands.bias
        if bias:
            bias += group * weights.rows + row
        c = panel.out + shift
        pitch = output.row
        if not panel.out:
            c = tile
            pitch = columns
            if first == 0:
                _tile_from_places(zero, rows, job.operands.out + shift, panel.places, output.row, tile)
        a_tile = a + row * (end - begin)
        scattered_product(zero, rows, a_tile, b, offsets, end - begin, c, pitch, first, bias, relu)
        if not panel.out:
            _tile_to_places(zero, rows, job.operands.out + shift, panel.places, output.row, tile)


@jit.inline
def _memory(zero, job, t):
    """Divide a thread's scratch, see :func:`_scratch_bytes`; return panels to be described, packed ones, and a tile."""
    columns = columns_of_tile(zero)
    tile = elements_at(zero, job.scratch + t * job.scratch_bytes)
    block = tile + rows_of_tile() * columns
    panels = records_at(Panel, zero, block + (job.panel_block * job.depth_block + 1) * columns)
    runs = records_at(Run, zero, panels + job.panel_block)
    places = words_at(runs + job.panel_block * columns)
    for j in range(job.panel_block):
        panels[j].runs = runs + j * columns
        panels[j].places = places + j * columns
    return panels, block, tile


@jit.inline
def _multiply_panels(zero, job, group, panels, count, height, higher, tile_begin, tile_end, block, tile):
    """Multiply row tiles `tile_begin` to `tile_end` - 1 of the weights with some panels, block by block of taps."""
    columns = columns_of_tile(zero)
    few = tile_end - tile_begin <= FEW_TILES
    begin = 0
    end = -1
    while end < job.table.depth:
        end = min(begin + job.depth_block, job.table.depth)
        size = (end - begin) * columns
        for j in range(count):
            panel = panels[j]
            if not panel.source or not few:
                pack_panel(zero, job, group, panel, begin, end, block + j * size)
        for i in range(tile_begin, tile_end, job.tile_block):
            i_end = min(i + job.tile_block, tile_end)
            for j in range(count):
                panel = panels[j]
                b, offsets = block + j * size, job.table.in_panel
                if few and panel.source:
                    b, offsets = panel.source, job.table.in_input + begin
                _multiply_panel(zero, job, group, panel, height, higher, i, i_end, begin, end, b, offsets, tile)
        begin = end


@jit.kernel
def gather_kernel(t, threads, zero, address):
    """Compute some row tiles for some panels of a :class:`GatherJob`."""
    job = record(GatherJob, zero, address)
    columns = columns_of_tile(zero)
    grid = job.positions.height * job.positions.width
    panel_count = (job.positions.images * grid + columns - 1) // columns
    tiles, height, higher = row_tiles(job.weights.rows)
    row_part = t % job.row_parts
    tile_begin = tiles * row_part // job.row_parts
    tile_end = tiles * (row_part + 1) // job.row_parts
    column_parts = threads // job.row_parts
    unit = job.weights.groups * panel_count * (t // job.row_parts) // column_parts
    unit_end = job.weights.groups * panel_count * (t // job.row_parts + 1) // column_parts
    panels, block, tile = _memory(zero, job, t)
    while unit < unit_end:
        group = unit // panel_count
        number = unit - group * panel_count
        count = min(job.panel_block, unit_end - unit, panel_count - number)
        describe_panels(zero, job, group, number, count, panels)
        _multiply_panels(zero, job, group, panels, count, height, higher, tile_begin, tile_end, block, tile)
        unit += count


def _scratch_bytes(dtype: np.dtype, depth_block: int, panel_block: int) -> int:
    """Return what a thread needs: a tile, packed panels and a row for what reaches past them, and their descriptions.

    A panel has at most as many runs as columns.
    """
    columns = tile_columns(dtype)
    rows = tile_rows() + panel_block * depth_block + 1
    words = columns * np.dtype(np.intp).itemsize
    description = np.dtype(Panel).itemsize + columns * np.dtype(Run).itemsize + words
    return round_up(rows * columns * dtype.itemsize + panel_block * description, jit.LINE)


# --- plans ----------------------------------------------------------------------------------------------------------


def _split(units: int, tiles: int, threads: int) -> int:
    """Into how many parts to cut the rows, the rest of the threads cutting the positions; whichever ends soonest."""
    packing = 0.5  # gathering a panel takes about half as long as multiplying it with one row tile

    def slowest(row_parts: int) -> float:
        return ceil_div(units, threads // row_parts) * (ceil_div(tiles, row_parts) + packing)

    return min((parts for parts in range(1, threads + 1) if threads % parts == 0), key=slowest)


def _blocks(panels: int, depth: int, dtype: np.dtype) -> tuple[int, int]:
    """Return how many of a thread's panels, and how many row tiles, a block has."""
    terms = block_depth(depth) * dtype.itemsize
    panel_block = max(1, min(panels, B_BLOCK_BYTES // (terms * tile_columns(dtype))))
    tile_block = max(1, A_BLOCK_BYTES // (tile_rows() * terms))
    if depth <= SHORT_DEPTH:
        panel_block, tile_block = min(panels, LONG_ROWS), 1
    return ceil_div(panels, ceil_div(panels, panel_block)), tile_block


@dataclass(frozen=True, eq=False)
class Plan:
    """All of a :class:`GatherJob` but its arrays, for one shape of input: made once, used by every call.

    Attributes
    ----------
    job : GatherJob
        The record without the arrays of a call.
    threads, scratch_bytes : int
        Parts of the work; scratch of all of them together.
    tables : tuple of arrays
        What the record's table of taps points to.
    copy : PaddedPlane or None
        How each plane of the input is copied first.
    copy_size : int
        Elements of the copy.
    """

    job: GatherJob
    threads: int
    scratch_bytes: int
    tables: tuple[np.ndarray, ...]
    copy: layout.PaddedPlane | None
    copy_size: int

    def run(self, x: np.ndarray, packed: np.ndarray, bias: np.ndarray | None, relu: bool, out: np.ndarray) -> None:
        """Compute the product.

        Parameters
        ----------
        x : (N, groups * channels, H, W) array
        packed : array of :func:`fastconv.kernels.gather_weights.pack`
        bias : (groups * rows,) array or None
        relu : bool
        out : (N, groups * rows, grid.height, grid.width) array
            Or one of another shape with as many elements.
        """
        if self.copy is None:
            self.multiply(x, packed, bias, relu, out)
            return
        with scratch.borrow_arrays(x.dtype, (self.copy_size,)) as (copy,):
            self.copy_input(x, copy)
            self.multiply(copy, packed, bias, relu, out)

    def copy_input(self, x: np.ndarray, to: np.ndarray) -> None:
        """Make the plan's copy of the input, in an array of `copy_size` elements."""
        assert self.copy is not None
        layout.pad(x, self.copy, to, self.threads)

    def multiply(
        self, source: np.ndarray, packed: np.ndarray, bias: np.ndarray | None, relu: bool, out: np.ndarray
    ) -> None:
        """Compute the product as :meth:`run` does, but of the plan's copy of the input, if there is one."""
        job = self.job.copy()
        job.operands = operands(source, packed, bias, relu, out)
        with scratch.borrow(self.scratch_bytes) as memory:
            job.scratch = memory
            gather_kernel(job, out.dtype, self.threads)


def plan(
    x_shape: tuple[int, int, int, int], dtype: np.dtype, taps: Taps, rows: int, groups: int, grid: Grid,
    max_threads: int, copy: layout.PaddedPlane | None,
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
    max_threads : int
    copy : PaddedPlane or None
        The copy of the input to read instead, which may be larger than these taps need; see :func:`useful_copy`.

    Returns
    -------
    Plan or None
        None if there is nothing to compute.
    """
    images, channels, height, width = x_shape
    columns = tile_columns(dtype)
    out_plane = grid.height * grid.width
    units = groups * ceil_div(images * out_plane, columns)
    if not units:
        return None
    tiles = ceil_div(rows, tile_rows())
    threads = jit.threads_for(products=units * columns * rows * taps.depth, most=max_threads)
    row_parts = _split(units, tiles, threads)
    depth_block = block_depth(taps.depth)
    panel_block, tile_block = _blocks(ceil_div(units, threads // row_parts), taps.depth, dtype)
    if copy is None:
        plane, pitch, strides, copy_size = height * width, width, (grid.stride_y, grid.stride_x), 0
        in_input = taps.plane * plane + taps.row * pitch + taps.column
    else:
        height, plane, pitch, strides = copy.copy_height, copy.size, copy.pitch, (grid.stride_y // copy.row_step, 1)
        in_input = offsets_in_copy(taps, copy)
        # Panels may reach past the end.
        copy_size = images * channels * plane + pitch + columns
    table, tables = _tap_table(taps, plane, in_input, columns)
    each = _scratch_bytes(dtype, depth_block, panel_block)
    job = GatherJob(
        input=Input(
            image=channels * plane, group=channels // groups * plane, height=height, width=pitch,
            copied=copy is not None,
        ),
        table=table,
        positions=Positions(
            images=images, height=grid.height, width=grid.width, stride_y=strides[0], stride_x=strides[1]
        ),
        weights=Weights(group=rows * taps.depth, rows=rows, groups=groups),
        output=Output(image=groups * rows * out_plane, group=rows * out_plane, row=out_plane),
        depth_block=depth_block, panel_block=panel_block, tile_block=tile_block, row_parts=row_parts,
        scratch_bytes=each,
    )  # fmt: skip
    return Plan(job, threads, threads * each, tables, copy, copy_size)


def _tap_table(
    taps: Taps, plane: int, in_input: np.ndarray, columns: int
) -> tuple[TapTable, tuple[np.ndarray, ...]]:  # fmt: skip
    """Return taps in planes of `plane` elements as a record, and the arrays it points to."""
    places: Any = np.empty(taps.depth, np.dtype(Tap))
    places["plane"], places["row"], places["column"] = taps.plane * plane, taps.row, taps.column
    in_panel = np.arange(taps.depth, dtype=np.intp) * columns
    row_min, row_max, column_min, column_max = extremes(taps)
    table = TapTable(
        taps=jit.address_of(places), in_input=jit.address_of(in_input), in_panel=jit.address_of(in_panel),
        depth=taps.depth, row_min=row_min, row_max=row_max, column_min=column_min, column_max=column_max,
    )  # fmt: skip
    return table, (places, in_input, in_panel)
