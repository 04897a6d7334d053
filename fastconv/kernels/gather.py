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
from fastconv.jit.records import Bytes, Elements, Words
from fastconv.sizes import ceil_div, round_up

from . import layout, scratch
from .microkernel import DEPTH_BLOCK, columns_of_tile, rows_of_tile, scattered_product, tile_columns, tile_rows
from .operands import Operands, operands
from .pointers import elements_at, nowhere, record, records_at, words_at
from .simd import lanes_of, load, load_between, splat, store
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


class Run(jit.Record):
    """Positions of a panel that lie side by side in a row: where they begin in the input, and how many they are."""

    # in a padded copy
    first: Elements
    # else row and column, and where the image begins
    row: int
    column: int
    image: int
    length: int


class Panel(jit.Record):
    """The positions of a panel: written and read by :func:`gather_kernel` alone."""

    runs: Annotated[int, Run]
    count: int
    # where results go if they lie side by side; else nowhere, and `places` says for each column how far from the
    # output's first element it is, or _NO_PLACE
    out: Elements
    places: Words
    # the input of the only run, for taps' offsets to be added; nowhere if some tap leaves it or there are more runs
    source: Elements


_NO_PLACE = -1
_OUTSIDE = -(1 << 40)  # a row that no tap brings back into a picture


@jit.inline
def _row_tiles(rows):
    """Return how many tiles the rows are cut into, how high the low ones are, and how many (the first) are one higher.

    Tiles are as even as can be, since low ones are slow.
    """
    tiles = (rows + rows_of_tile() - 1) // rows_of_tile()
    height = rows // tiles if tiles else 0
    return tiles, height, rows - tiles * height


@jit.inline
def _rows_of(tile, height, higher):
    """Return a tile's first row and how many it has; tiles are as :func:`_row_tiles` cuts them."""
    return tile * height + min(tile, higher), height + (1 if tile < higher else 0)


@jit.inline
def _describe_panel(zero, job, group, image, y, x, panel):
    """Describe the panel that begins at row `y` and column `x` of an image; return where the next one does.

    That is, which runs of input pixels its positions are, and where its results go.
    """
    columns = columns_of_tile(zero)
    input, positions, output = job.input, job.positions, job.output
    place = image * output.image + group * output.group + y * positions.width + x
    contiguous = (positions.height - y) * positions.width - x >= columns
    panel.out = job.operands.out + place if contiguous else nowhere(job.operands.out)
    count = 0
    done = 0
    while done < columns:
        run = panel.runs[count]
        length = columns - done
        if image < positions.images:
            length = min(positions.width - x, length)
            start = group * input.group + image * input.image + y * positions.stride_y * input.width + x
            run.first = job.operands.x + start
            run.row = y * positions.stride_y
            run.column = x * positions.stride_x
            run.image = image * input.image
            if not contiguous:
                for n in range(length):
                    panel.places[done + n] = place + n
            place += length
            x += length
            if x == positions.width:
                x = 0
                y += 1
                if y == positions.height:
                    y = 0
                    image += 1
                    place = image * output.image + group * output.group
        else:  # behind the last image
            run.first = job.operands.x  # anything will do
            run.row = _OUTSIDE
            run.column = 0
            run.image = 0
            for n in range(length):
                panel.places[done + n] = _NO_PLACE
        run.length = length
        done += length
        count += 1
    panel.count = count
    panel.source = _source(zero, job, group, panel.runs[0]) if count == 1 else nowhere(job.operands.x)
    return image, y, x


@jit.inline
def _source(zero, job, group, run):
    """Return where a panel's only run begins, for taps' offsets to be added; nowhere if some tap leaves the input."""
    input, table = job.input, job.table
    if input.copied != 0:
        return run.first
    inside = run.row + table.row_min >= 0 and run.row + table.row_max < input.height
    last = run.column + columns_of_tile(zero) - 1
    inside = inside and run.column + table.column_min >= 0 and last + table.column_max < input.width
    start = group * input.group + run.image + run.row * input.width + run.column
    return job.operands.x + start if inside else nowhere(job.operands.x)


@jit.inline
def _pack_inside(zero, job, source, begin, end, to):
    """Gather a panel whose pixels are one run that no tap takes out of the picture."""
    offsets = job.table.in_input
    for p in range(begin, end):
        _copy_columns(zero, source + offsets[p], to)
        to += columns_of_tile(zero)


@jit.inline
def _copy_columns(zero, source, to):
    """Copy as many elements as a panel has columns."""
    for n in range(0, columns_of_tile(zero), lanes_of(zero)):
        store(to + n, load(source + n))


@jit.inline
def _pack_runs(zero, job, panel, begin, end, to):
    """Gather a panel of several runs from a padded copy.

    As many elements are copied for every run, since a loop over few vectors takes longer than these; those too many
    fall on the runs and rows that follow.
    """
    columns = columns_of_tile(zero)
    offsets, runs = job.table.in_input, panel.runs
    first, second = runs[0].first, runs[1].first
    place = runs[0].length
    if panel.count == 2:
        for p in range(begin, end):
            offset = offsets[p]
            _copy_columns(zero, first + offset, to)
            _copy_columns(zero, second + offset, to + place)
            to += columns
        return
    third = runs[2].first
    last = place + runs[1].length
    for p in range(begin, end):
        offset = offsets[p]
        _copy_columns(zero, first + offset, to)
        _copy_columns(zero, second + offset, to + place)
        _copy_columns(zero, third + offset, to + last)
        at = to + last
        for n in range(3, panel.count):
            at += runs[n - 1].length
            _copy_columns(zero, runs[n].first + offset, at)
        to += columns


@jit.inline
def _pack_run(zero, job, row, column, length, to):
    """Gather one run of one tap from an input row; pixels beside the picture are 0."""
    start = row + column
    for n in range(0, length, lanes_of(zero)):
        store(to + n, load_between(start + n, -(column + n), job.input.width - column - n))


@jit.inline
def _pack_panel(zero, job, group, panel, begin, end, to):
    """Gather taps `begin` to `end` - 1 of a panel's positions: (taps, tile columns), contiguous.

    A run's last vector may reach past the run: into the next run, which is written after it, or into the next tap's
    row, likewise; the caller leaves room for one row after the last.
    """
    if panel.source:
        _pack_inside(zero, job, panel.source, begin, end, to)
    elif job.input.copied != 0:
        _pack_runs(zero, job, panel, begin, end, to)
    elif panel.count == 1:
        _pack_one_run(zero, job, group, panel.runs[0], begin, end, to)
    else:
        for p in range(begin, end):
            tap = job.table.taps[p]
            at = to
            for n in range(panel.count):
                run = panel.runs[n]
                y = run.row + tap.row
                if y >= 0 and y < job.input.height:
                    row = job.operands.x + (group * job.input.group + run.image + tap.plane + y * job.input.width)
                    _pack_run(zero, job, row, run.column + tap.column, run.length, at)
                else:
                    _pack_zeros(zero, run.length, at)
                at += run.length
            to += columns_of_tile(zero)


@jit.inline
def _pack_one_run(zero, job, group, run, begin, end, to):
    """Gather a panel whose pixels are one run, from which taps may leave the picture."""
    columns = columns_of_tile(zero)
    image = job.operands.x + (group * job.input.group + run.image)
    row, column, taps = run.row, run.column, job.table.taps
    for p in range(begin, end):
        y = row + taps[p].row
        if y >= 0 and y < job.input.height:
            source = image + (taps[p].plane + y * job.input.width)
            _pack_run(zero, job, source, column + taps[p].column, columns, to)
        else:
            _pack_zeros(zero, columns, to)
        to += columns


@jit.inline
def _pack_zeros(zero, length, to):
    """Write zeros for a run of a tap outside the picture."""
    for n in range(0, length, lanes_of(zero)):
        store(to + n, splat(zero))


@jit.inline
def _tile_from_places(zero, rows, out, places, pitch, tile):
    """Copy a tile of C that is not contiguous, at `places` from `out` on, into one that is."""
    columns = columns_of_tile(zero)
    for n in range(columns):
        place = places[n]
        if place != _NO_PLACE:
            for i in range(rows):
                tile[i * columns + n] = out[place + i * pitch]


@jit.inline
def _tile_to_places(zero, rows, out, places, pitch, tile):
    """Copy a contiguous tile to where it belongs in C."""
    columns = columns_of_tile(zero)
    for n in range(columns):
        place = places[n]
        if place != _NO_PLACE:
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
        row, rows = _rows_of(i, height, higher)
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


@jit.kernel
def gather_kernel(t, threads, zero, address):
    """Compute some row tiles for some panels of a :class:`GatherJob`."""
    job = record(GatherJob, zero, address)
    columns = columns_of_tile(zero)
    grid = job.positions.height * job.positions.width
    panel_count = (job.positions.images * grid + columns - 1) // columns
    tiles, height, higher = _row_tiles(job.weights.rows)
    row_part = t % job.row_parts
    tile_begin = tiles * row_part // job.row_parts
    tile_end = tiles * (row_part + 1) // job.row_parts
    few = tile_end - tile_begin <= FEW_TILES
    column_parts = threads // job.row_parts
    unit = job.weights.groups * panel_count * (t // job.row_parts) // column_parts
    unit_end = job.weights.groups * panel_count * (t // job.row_parts + 1) // column_parts

    tile = elements_at(zero, job.scratch + t * job.scratch_bytes)
    block = tile + rows_of_tile() * columns
    panels = records_at(Panel, zero, block + (job.panel_block * job.depth_block + 1) * columns)
    runs = records_at(Run, zero, panels + job.panel_block)
    places = words_at(runs + job.panel_block * columns)
    for j in range(job.panel_block):
        panels[j].runs = runs + j * columns
        panels[j].places = places + j * columns
    while unit < unit_end:
        group = unit // panel_count
        number = unit - group * panel_count
        count = min(job.panel_block, unit_end - unit, panel_count - number)
        position = number * columns
        image = position // grid
        y = (position - image * grid) // job.positions.width
        x = position - image * grid - y * job.positions.width
        for j in range(count):
            image, y, x = _describe_panel(zero, job, group, image, y, x, panels[j])
        begin = 0
        end = -1
        while end < job.table.depth:
            end = min(begin + job.depth_block, job.table.depth)
            size = (end - begin) * columns
            for j in range(count):
                panel = panels[j]
                if not panel.source or not few:
                    _pack_panel(zero, job, group, panel, begin, end, block + j * size)
            for i in range(tile_begin, tile_end, job.tile_block):
                i_end = min(i + job.tile_block, tile_end)
                for j in range(count):
                    panel = panels[j]
                    b, offsets = block + j * size, job.table.in_panel
                    if few and panel.source:
                        b, offsets = panel.source, job.table.in_input + begin
                    _multiply_panel(zero, job, group, panel, height, higher, i, i_end, begin, end, b, offsets, tile)
            begin = end
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


# --- packing weights ------------------------------------------------------------------------------------------------


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
    tiles, height, higher = _row_tiles(job.rows)
    for unit in range(job.groups * tiles * t // threads, job.groups * tiles * (t + 1) // threads):
        group = unit // tiles
        tile = unit - group * tiles
        row, rows = _rows_of(tile, height, higher)
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
    """Pack weights for :func:`gather_kernel`: `rows` rows a group, `row_stride` elements apart, with the given taps."""
    packed = np.empty(groups * rows * taps.depth, weight.dtype)
    job = PackJob(
        source=jit.address_of(weight), source_group=group_stride, source_row=row_stride,
        taps=jit.address_of(taps.weight_offsets), depth=taps.depth, rows=rows, groups=groups,
        depth_block=_depth_block(taps.depth), out=jit.address_of(packed),
    )  # fmt: skip
    pack_kernel(job, weight.dtype, jit.threads_for(products=packed.size))
    return packed


def _depth_block(depth: int) -> int:
    """Even blocks of at most :data:`DEPTH_BLOCK` terms."""
    return ceil_div(depth, ceil_div(depth, DEPTH_BLOCK)) if depth else 1


def _split(units: int, tiles: int, threads: int) -> int:
    """Into how many parts to cut the rows, the rest of the threads cutting the positions; whichever ends soonest."""
    packing = 0.5  # gathering a panel takes about half as long as multiplying it with one row tile

    def slowest(row_parts: int) -> float:
        return ceil_div(units, threads // row_parts) * (ceil_div(tiles, row_parts) + packing)

    return min((parts for parts in range(1, threads + 1) if threads % parts == 0), key=slowest)


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
        packed : array of :func:`pack`
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
    columns, tile_height = tile_columns(dtype), tile_rows()
    out_plane = grid.height * grid.width
    units = groups * ceil_div(images * out_plane, columns)
    if not units:
        return None
    tiles = ceil_div(rows, tile_height)
    threads = jit.threads_for(products=units * columns * rows * taps.depth, most=max_threads)
    row_parts = _split(units, tiles, threads)
    depth_block = _depth_block(taps.depth)
    own = ceil_div(units, threads // row_parts)
    panel_block = max(1, min(own, B_BLOCK_BYTES // (depth_block * columns * dtype.itemsize)))
    tile_block = max(1, A_BLOCK_BYTES // (tile_height * depth_block * dtype.itemsize))
    if taps.depth <= SHORT_DEPTH:
        panel_block, tile_block = min(own, LONG_ROWS), 1
    panel_block = ceil_div(own, ceil_div(own, panel_block))
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
