"""Convolution as an implicit matrix product.

Forward, ``out[k, position] = sum over taps of weight[k, tap] * x[tap, position]``: a tap is a channel with a place in
the kernel, a position an output pixel of any image of the batch. The weights, packed row by row of tiles, are A of the
microkernel; B is gathered from x a block of positions and taps at a time into a panel that stays in the core's cache,
so that there is never an im2col buffer. The input gradient is the same product with rows and taps exchanged.

Sums are made in blocks of at most :data:`fastconv.kernels.microkernel.DEPTH_BLOCK` terms that are then added up: one
long chain of float32 additions would lose two digits at the depths of VGG-19.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np

from fastconv import jit
from fastconv.jit.records import Bytes, Words
from fastconv.sizes import round_up

from .gather_panels import NO_PLACE, Panel, Run, describe_panels, pack_panel
from .gather_weights import row_tiles, rows_of
from .microkernel import columns_of_tile, rows_of_tile, scattered_product, tile_columns, tile_rows
from .operands import Operands
from .pointers import elements_at, record, records_at, words_at

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
    # of each thread: see :func:`scratch_bytes`
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
    """Divide a thread's scratch, see :func:`scratch_bytes`; return panels to be described, packed ones, and a tile."""
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


def scratch_bytes(dtype: np.dtype, depth_block: int, panel_block: int) -> int:
    """Return what a thread needs: a tile, packed panels and a row for what reaches past them, and their descriptions.

    A panel has at most as many runs as columns.
    """
    columns = tile_columns(dtype)
    rows = tile_rows() + panel_block * depth_block + 1
    words = columns * np.dtype(np.intp).itemsize
    description = np.dtype(Panel).itemsize + columns * np.dtype(Run).itemsize + words
    return round_up(rows * columns * dtype.itemsize + panel_block * description, jit.LINE)
