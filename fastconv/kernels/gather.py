"""Convolution as an implicit matrix product.

Forward, ``out[k, position] = sum over taps of weight[k, tap] * x[tap, position]``: a tap is a channel with a place in
the kernel, a position an output pixel of any image of the batch. The weights, packed row by row of tiles, are A of the
microkernel; B is gathered from x a block of positions and taps at a time into a panel that stays in the core's cache,
so that there is never an im2col buffer. The input gradient is the same product with rows and taps exchanged.

Sums are made in blocks of at most :data:`DEPTH_BLOCK` terms that are then added up: one long chain of float32 additions
would lose two digits at the depths of VGG-19.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fastconv import jit

from . import layout, scratch
from .microkernel import columns_of_tile, rows_of_tile, scattered_product, tile_columns, tile_rows
from .oldmem import item_bytes, load, load_between, peek, poke, record, store
from .simd import lanes, splat
from .sizes import ceil_div
from .taps import Grid, Taps, extremes, offsets_in_copy

DEPTH_BLOCK = 256
B_BLOCK_BYTES = 64 << 10  # an eighth of a small L2 cache; a block of A takes a quarter, and C what it needs
A_BLOCK_BYTES = 128 << 10
SHORT_DEPTH = 64  # sums of so few terms are over soon: it is writing that takes time, and so is done in
LONG_ROWS = 32  # panels at a stretch in each plane of the output
FEW_TILES = 2  # a panel that is read so few times need not be gathered, if it can do without


class GatherJob(jit.Record):
    """What :func:`gather_kernel` works on: addresses in bytes, distances and sizes in elements."""

    # input
    x: int
    x_image: int
    x_group: int
    height: int
    width: int
    # five rows of `depth` integers: plane, row and column of a tap, all three as one offset, its place in a panel;
    # and the extremes of rows and columns
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
    # whether the input is a padded copy: no tap leaves it, and a run's first field is its address
    copied: int
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
    # blocking, threads and memory
    depth_block: int
    panel_block: int
    tile_block: int
    row_parts: int
    scratch: int
    scratch_bytes: int


GATHER_JOB = np.dtype(GatherJob)

# A panel's table of intp: how many runs, address of the output if it is contiguous else 0, address of the input if no
# tap takes the one run out of the picture else 0, the runs, places in out.
_RUNS, _PLACE, _SOURCE, _HEAD = 0, 1, 2, 3
_RUN_FIELDS = 4  # input row, input column, offset of the image, length


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
def _describe_panel(zero, job, group, image, y, x, table):
    """Write the table of the panel that begins at row `y` and column `x` of an image; return where the next one does.

    That is, which runs of input pixels its positions are, and where its results go.
    """
    word = 8
    columns = columns_of_tile(zero)
    item = item_bytes(zero)
    places = table + (_HEAD + _RUN_FIELDS * (columns + 1)) * word
    place = job.out + (image * job.out_image + group * job.out_group + y * job.grid_w + x) * item
    contiguous = (job.grid_h - y) * job.grid_w - x >= columns
    poke(table + _PLACE * word, place if contiguous else 0)
    runs = 0
    done = 0
    while done < columns:
        run = table + (_HEAD + _RUN_FIELDS * runs) * word
        length = columns - done
        if image < job.images:
            length = min(job.grid_w - x, length)
            start = image * job.x_image + y * job.stride_y * job.width + x
            poke(run, job.x + (group * job.x_group + start) * item if job.copied != 0 else y * job.stride_y)
            poke(run + word, x * job.stride_x)
            poke(run + 2 * word, image * job.x_image)
            if not contiguous:
                for n in range(length):
                    poke(places + (done + n) * word, place + n * item)
            place += length * item
            x += length
            if x == job.grid_w:
                x = 0
                y += 1
                if y == job.grid_h:
                    y = 0
                    image += 1
                    place = job.out + (image * job.out_image + group * job.out_group) * item
        else:
            poke(run, job.x if job.copied != 0 else -(1 << 40))  # anything will do; a row outside: zeros
            poke(run + word, 0)
            poke(run + 2 * word, 0)
            for n in range(length):
                poke(places + (done + n) * word, 0)
        poke(run + 3 * word, length)
        done += length
        runs += 1
    poke(table + _RUNS * word, runs)
    poke(table + _SOURCE * word, _source(zero, job, group, table + _HEAD * word) if runs == 1 else 0)
    return image, y, x


@jit.inline
def _source(zero, job, group, run):
    """Return the address of a panel's only run, for taps' offsets to be added, or 0 if some tap leaves the input."""
    word = 8
    item = item_bytes(zero)
    y, x = peek(0, run), peek(0, run + word)
    if job.copied != 0:
        return y
    inside = y + job.row_min >= 0 and y + job.row_max < job.height
    inside = inside and x + job.column_min >= 0 and x + columns_of_tile(zero) - 1 + job.column_max < job.width
    return job.x + (group * job.x_group + peek(0, run + 2 * word) + y * job.width + x) * item if inside else 0


@jit.inline
def _pack_inside(zero, job, source, begin, end, panel):
    """Gather a panel whose pixels are one run that no tap takes out of the picture."""
    word = 8
    item = item_bytes(zero)
    width = lanes(zero)
    columns = columns_of_tile(zero)
    offsets = job.taps + 3 * job.depth * word
    for p in range(begin, end):
        here = source + peek(0, offsets + p * word) * item
        for n in range(0, columns, width):
            store(panel + n * item, load(zero, here + n * item))
        panel += columns * item


@jit.inline
def _copy_columns(zero, source, to):
    """Copy as many elements as a panel has columns."""
    item = item_bytes(zero)
    for n in range(0, columns_of_tile(zero), lanes(zero)):
        store(to + n * item, load(zero, source + n * item))


@jit.inline
def _pack_runs(zero, job, run, runs, begin, end, panel):
    """Gather a panel of several runs from a padded copy.

    As many elements are copied for every run, since a loop over few vectors takes longer than these; those too many
    fall on the runs and rows that follow.
    """
    word = 8
    item = item_bytes(zero)
    pitch = columns_of_tile(zero) * item
    size = _RUN_FIELDS * word
    offsets = job.taps + 3 * job.depth * word
    first, second = peek(0, run), peek(0, run + size)
    place = peek(0, run + 3 * word) * item
    if runs == 2:
        for p in range(begin, end):
            offset = peek(0, offsets + p * word) * item
            _copy_columns(zero, first + offset, panel)
            _copy_columns(zero, second + offset, panel + place)
            panel += pitch
        return
    third = peek(0, run + 2 * size)
    last = place + peek(0, run + size + 3 * word) * item
    for p in range(begin, end):
        offset = peek(0, offsets + p * word) * item
        _copy_columns(zero, first + offset, panel)
        _copy_columns(zero, second + offset, panel + place)
        _copy_columns(zero, third + offset, panel + last)
        at = panel + last
        entry = run + 2 * size
        for _ in range(3, runs):
            at += peek(0, entry + 3 * word) * item
            entry += size
            _copy_columns(zero, peek(0, entry) + offset, at)
        panel += pitch


@jit.inline
def _pack_run(zero, job, row, column, length, panel):
    """Gather one run of one tap from an input row (its address); pixels beside the picture are 0."""
    item = item_bytes(zero)
    width = lanes(zero)
    start = row + column * item
    for n in range(0, length, width):
        store(panel + n * item, load_between(zero, start + n * item, -(column + n), job.width - column - n))


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
    source = peek(0, table + _SOURCE * word)
    if source != 0:
        _pack_inside(zero, job, source, begin, end, panel)
        return
    if job.copied != 0:
        _pack_runs(zero, job, run, runs, begin, end, panel)
        return
    y, x = peek(0, run), peek(0, run + word)
    x0 = job.x + (group * job.x_group + peek(0, run + 2 * word)) * item
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
def _multiply_panel(zero, job, group, table, height, higher, tile_begin, tile_end, begin, end, panel, offsets, tile):
    """Multiply some row tiles of the weights with one panel, for taps `begin` to `end` - 1.

    Tiles are `height` rows high, the first `higher` of them one more. The panel's row of each tap lies at an offset
    from `panel`.
    """
    word = 8
    item = item_bytes(zero)
    columns = columns_of_tile(zero)
    place = peek(0, table + _PLACE * word)
    places = table + (_HEAD + _RUN_FIELDS * (columns + 1)) * word
    a = job.a + (group * job.a_group + begin * job.rows) * item
    first = 1 if begin == 0 else 0
    relu = job.relu if end == job.depth else 0
    for i in range(tile_begin, tile_end):
        row, rows = _rows_of(i, height, higher)
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
        a_tile = a + row * (end - begin) * item
        scattered_product(zero, rows, a_tile, panel, offsets, end - begin, c, pitch, first, bias, relu)
        if place == 0:
            _tile_to_places(zero, rows, places, shift, job.out_row, tile)


@jit.kernel
def gather_kernel(t, threads, zero, address):
    """Compute some row tiles for some panels of a :class:`GatherJob`."""
    word = 8
    job = record(GATHER_JOB, address)
    item = item_bytes(zero)
    columns = columns_of_tile(zero)
    grid = job.grid_h * job.grid_w
    panels = (job.images * grid + columns - 1) // columns
    tiles, height, higher = _row_tiles(job.rows)
    row_part = t % job.row_parts
    tile_begin = tiles * row_part // job.row_parts
    tile_end = tiles * (row_part + 1) // job.row_parts
    few = tile_end - tile_begin <= FEW_TILES
    column_parts = threads // job.row_parts
    unit = job.groups * panels * (t // job.row_parts) // column_parts
    unit_end = job.groups * panels * (t // job.row_parts + 1) // column_parts

    tile = job.scratch + t * job.scratch_bytes
    tables = tile + rows_of_tile() * columns * item
    table_bytes = (_HEAD + _RUN_FIELDS * (columns + 1) + columns) * word
    block = tables + job.panel_block * table_bytes
    while unit < unit_end:
        group = unit // panels
        panel = unit - group * panels
        count = min(job.panel_block, unit_end - unit, panels - panel)
        position = panel * columns
        image = position // grid
        y = (position - image * grid) // job.grid_w
        x = position - image * grid - y * job.grid_w
        for j in range(count):
            image, y, x = _describe_panel(zero, job, group, image, y, x, tables + j * table_bytes)
        begin = 0
        end = -1
        while end < job.depth:
            end = min(begin + job.depth_block, job.depth)
            panel_bytes = (end - begin) * columns * item
            for j in range(count):
                table = tables + j * table_bytes
                if peek(0, table + _SOURCE * word) == 0 or not few:
                    _pack_panel(zero, job, group, table, begin, end, block + j * panel_bytes)
            for i in range(tile_begin, tile_end, job.tile_block):
                i_end = min(i + job.tile_block, tile_end)
                for j in range(count):
                    table = tables + j * table_bytes
                    at, offsets = block + j * panel_bytes, job.taps + 4 * job.depth * word
                    if few and peek(0, table + _SOURCE * word) != 0:
                        at, offsets = peek(0, table + _SOURCE * word), job.taps + (3 * job.depth + begin) * word
                    _multiply_panel(
                        zero, job, group, table, height, higher, i, i_end, begin, end, at, offsets, tile
                    )  # fmt: skip
            begin = end
        unit += count


# --- packing weights ------------------------------------------------------------------------------------------------


class PackJob(jit.Record):
    """What :func:`pack_kernel` works on: rows of weights, and the offset of each tap in one."""

    source: int
    source_group: int
    source_row: int
    offsets: int
    depth: int
    rows: int
    groups: int
    depth_block: int
    out: int


PACK_JOB = np.dtype(PackJob)


@jit.kernel
def pack_kernel(t, threads, zero, address):
    """Pack some row tiles of weights: (group, depth block, tile, tap, row), contiguous."""
    job = record(PACK_JOB, address)
    item = item_bytes(zero)
    tiles, height, higher = _row_tiles(job.rows)
    for unit in range(job.groups * tiles * t // threads, job.groups * tiles * (t + 1) // threads):
        group = unit // tiles
        tile = unit - group * tiles
        row, rows = _rows_of(tile, height, higher)
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


def pack(weight: np.ndarray, rows: int, row_stride: int, group_stride: int, groups: int, taps: Taps) -> np.ndarray:
    """Pack weights for :func:`gather`: `rows` rows a group, `row_stride` elements apart, with the given taps."""
    packed = np.empty(groups * rows * taps.depth, weight.dtype)
    job = PackJob(
        weight.ctypes.data, group_stride, row_stride, taps.weight_offsets.ctypes.data, taps.depth, rows, groups,
        _depth_block(taps.depth), packed.ctypes.data,
    )  # fmt: skip
    threads = jit.threads_for(products=packed.size)
    pack_kernel(job, weight.dtype, threads)
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
    """All of a :class:`GatherJob` but its addresses, for one shape of input: made once, used by every call.

    Attributes
    ----------
    job : GatherJob
        The record, with 0 for addresses.
    threads, scratch_bytes : int
        Parts of the work; scratch of all of them together.
    table : array
        What the record's `taps` points to.
    copy : PadJob or None
        Without addresses: how the input is copied first.
    copy_bytes : int
        How large the copy is.
    """

    job: GatherJob
    threads: int
    scratch_bytes: int
    table: np.ndarray
    copy: layout.PadJob | None
    copy_bytes: int

    def run(
        self, x: np.ndarray, packed: np.ndarray, bias: np.ndarray | None, relu: bool, out: int, copy: int = 0
    ) -> None:
        """Compute the product.

        Parameters
        ----------
        x : (N, groups * channels, H, W) array
        packed : array of :func:`pack`
        bias : (groups * rows,) array or None
        relu : bool
        out : int
            Address of (N, groups * rows, grid.height, grid.width) elements.
        copy : int
            Address of the plan's copy of the input if :meth:`copy_input` has made it; else it is made here.
        """
        job = self.job.copy()
        job.a = jit.address_of(packed)
        if bias is not None:
            job.bias = jit.address_of(bias)
        job.relu = relu
        job.out = out
        with scratch.borrow(self.scratch_bytes + (0 if copy else self.copy_bytes)) as memory:
            job.scratch = memory
            if self.copy is None:
                job.x = jit.address_of(x)
            elif copy:
                job.x = copy
            else:
                job.x = memory + self.scratch_bytes
                self.copy_input(x, memory + self.scratch_bytes)
            gather_kernel(job, x.dtype, self.threads)

    def copy_input(self, x: np.ndarray, to: int) -> None:
        """Make the plan's copy of the input at an address, `copy_bytes` bytes."""
        assert self.copy is not None
        job = self.copy.copy()
        job.source, job.out = jit.address_of(x), to
        layout.pad(job, x.dtype, self.threads)


def plan(
    x_shape: tuple[int, int, int, int], dtype: np.dtype, taps: Taps, rows: int, groups: int, grid: Grid,
    max_threads: int, copy: layout.PadJob | None,
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
    copy : PadJob or None
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
    panel_bytes = depth_block * columns * dtype.itemsize
    own = ceil_div(units, threads // row_parts)
    panel_block = max(1, min(own, B_BLOCK_BYTES // panel_bytes))
    tile_block = max(1, A_BLOCK_BYTES // (tile_height * depth_block * dtype.itemsize))
    if taps.depth <= SHORT_DEPTH:
        panel_block, tile_block = min(own, LONG_ROWS), 1
    panel_block = ceil_div(own, ceil_div(own, panel_block))
    table_bytes = (_HEAD + _RUN_FIELDS * (columns + 1) + columns) * 8
    each = (tile_height + 1) * columns * dtype.itemsize + panel_block * (table_bytes + panel_bytes)
    each = (ceil_div(each, scratch.ALIGNMENT) + 1) * scratch.ALIGNMENT
    if copy is None:
        input_plane, pitch, strides = height * width, width, (grid.stride_y, grid.stride_x)
        offsets = taps.plane * input_plane
        copy_bytes, table = 0, [offsets, taps.row, taps.column, offsets + taps.row * pitch + taps.column]
    else:
        height, pitch = copy.out_height, copy.phases * copy.phase_width
        input_plane, strides = height * pitch, (grid.stride_y // copy.row_step, 1)
        # Panels may reach past the end.
        copy_bytes = (images * channels * input_plane + pitch + columns) * dtype.itemsize
        table = [taps.plane, taps.row, taps.column, offsets_in_copy(taps, copy)]
    reach = extremes(taps)
    places = np.stack([*table, np.arange(taps.depth, dtype=np.intp) * columns])
    job = GatherJob(
        0, channels * input_plane, channels // groups * input_plane, height, pitch,
        places.ctypes.data, taps.depth, *reach,
        images, grid.height, grid.width, *strides, int(copy is not None),
        0, rows * taps.depth, rows, groups, 0, 0,
        0, groups * rows * out_plane, rows * out_plane, out_plane,
        depth_block, panel_block, tile_block, row_parts, 0, each,
    )  # fmt: skip
    return Plan(job, threads, threads * each, places, copy, copy_bytes)
