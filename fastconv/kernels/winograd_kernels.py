"""The kernels of Winograd's method: products of transformed weights and inputs, and the phases around them."""

from __future__ import annotations

from fastconv import jit
from fastconv.jit.records import Bytes, Elements, Words

from .microkernel import columns_of_tile, product, rows_of_tile, strided_product
from .pointers import elements_at, record, records_at
from .simd import lanes_of
from .winograd_inputs import transform_inputs
from .winograd_jobs import TEMPORARY_BYTES, Input, InputGate, Output, Places, Run, Tiles, describe_block
from .winograd_outputs import transform_outputs
from .winograd_weights import Layout, transform_kernels


class Weights(jit.Record):
    """Transformed weights; or the weights themselves, which :func:`fresh_kernel` transforms."""

    first: Elements
    filters: int
    # of the transformed ones
    layout: Layout
    # whether they are read across: as those of the kernels turned by 180 degrees, with filters and channels exchanged
    across: int
    # then: panels of filters whose products are added up in registers; where each row of a panel begins in it, in a
    # whole one, then in the last
    panels: int
    offsets: Words
    # elements from the kernel of a row to that of the next row, and to that of the next term, if not transformed
    row: int
    term: int


class WinogradJob(jit.Record):
    """What the kernels work on; distances in elements."""

    input: Input
    gate: InputGate
    tiles: Tiles
    weights: Weights
    output: Output
    # U V = M: (place, channel, tile) and (place, row, tile)
    v: Places
    m: Places
    # tiles that a thread works on at a time if it has a V and M of its own: a multiple of the product's columns
    block: int
    # row tiles of U that meet all panels of V before the next ones
    row_block: int
    # of all threads, and how much each has
    scratch: Bytes
    scratch_bytes: int


# --- products -------------------------------------------------------------------------------------------------------


@jit.inline
def _columns_of(zero, tiles):
    """Round a number of tiles up to whole tiles of the product."""
    columns = columns_of_tile(zero)
    return (tiles + columns - 1) // columns * columns


@jit.inline
def _multiply(zero, job, columns_end, pitch, begin, end, v, m):
    """Compute M = U V for units `begin` to `end` - 1; a unit is one row tile of one place.

    A few row tiles of U, which stay in the core's cache, meet one panel of V after the other.
    """
    weights = job.weights
    rows = job.output.channels
    height = rows_of_tile()
    row_tiles = (rows + height - 1) // height
    while begin < end:
        place = begin // row_tiles
        tile = begin - place * row_tiles
        count = min(end - begin, row_tiles - tile, job.row_block)
        u = weights.first + place * weights.layout.place
        v_place = v + place * job.v.distance
        m_place = m + place * job.m.distance
        if weights.across:
            _multiply_across(zero, weights, columns_end, pitch, rows, tile, tile + count, u, v_place, m_place)
        else:
            layout, depth = weights.layout, job.input.channels
            _multiply_along(zero, layout, depth, columns_end, pitch, rows, tile, tile + count, u, v_place, m_place)
        begin += count


@jit.inline
def _multiply_along(zero, layout, depth, columns_end, pitch, rows, begin, end, u, v, m):
    """Multiply row tiles of U as they are packed with all panels of V, for one place."""
    height = rows_of_tile()
    for term in range(0, depth, layout.depth):
        length = min(layout.depth, depth - term)
        first = 1 if term == 0 else 0
        for column in range(0, columns_end, columns_of_tile(zero)):
            for tile in range(begin, end):
                row = tile * height
                product(
                    zero, min(height, rows - row), u + tile * layout.panel, v + (term * pitch + column), pitch, length,
                    m + (row * pitch + column), pitch, first,
                )  # fmt: skip
        u += layout.block


@jit.inline
def _multiply_across(zero, weights, columns_end, pitch, rows, begin, end, u, v, m):
    """Multiply U transposed, read across its panels of filters, with all panels of V, for one place."""
    layout = weights.layout
    height = rows_of_tile()
    whole = weights.filters // height
    left = weights.filters - whole * height
    for panel in range(0, max(whole, 1), weights.panels):
        times = min(weights.panels, whole - panel)
        first = 1 if panel == 0 else 0
        last = panel + times == whole
        for column in range(0, columns_end, columns_of_tile(zero)):
            for tile in range(begin, end):
                row = tile * height
                block = row // layout.depth
                here = row - block * layout.depth
                u_block = u + block * layout.block
                strided_product(
                    zero, min(height, rows - row), u_block + (panel * layout.panel + here * height), weights.offsets,
                    1, height, layout.panel, times, height * height,
                    u_block + (whole * layout.panel + here * left), weights.offsets + height, left if last else 0,
                    v + (panel * height * pitch + column), pitch,
                    m + (row * pitch + column), pitch, first,
                )  # fmt: skip


# --- all in one -----------------------------------------------------------------------------------------------------


@jit.kernel
def fused_kernel(t, threads, zero, address):
    """Do everything for some blocks of tiles, with V and M of one block at a time."""
    job = record(WinogradJob, zero, address)
    rows = job.output.channels
    row_tiles = (rows + rows_of_tile() - 1) // rows_of_tile()
    columns = columns_of_tile(zero)
    total = (job.tiles.end - job.tiles.first + columns - 1) // columns
    first = job.tiles.first + total * t // threads * columns
    end = min(job.tiles.end, job.tiles.first + total * (t + 1) // threads * columns)
    own = job.scratch + t * job.scratch_bytes
    temporary = elements_at(zero, own)
    v = elements_at(zero, own + TEMPORARY_BYTES)
    m = v + job.tiles.places * job.v.distance
    runs = records_at(Run, zero, m + job.tiles.places * job.m.distance)
    while first < end:
        stop = min(first + job.block, end)
        pitch = _columns_of(zero, stop - first)
        count = describe_block(zero, job.tiles, first, stop, runs)
        transform_inputs(zero, job, runs, count, pitch, 0, job.input.channels, v, temporary)
        _multiply(zero, job, pitch, pitch, 0, job.tiles.places * row_tiles, v, m)
        transform_outputs(zero, job, runs, count, pitch, 0, rows, m, temporary)
        first = stop


# --- phases ---------------------------------------------------------------------------------------------------------


@jit.inline
def _shared_pitch(zero, job):
    """Return elements from one channel to the next: its last vector must not reach into another thread's channel."""
    return _columns_of(zero, job.tiles.end - job.tiles.first) + lanes_of(zero)


@jit.kernel
def input_kernel(t, threads, zero, address):
    """Transform the inputs of one block for some channels."""
    job = record(WinogradJob, zero, address)
    own = job.scratch + t * job.scratch_bytes
    runs = records_at(Run, zero, own + TEMPORARY_BYTES)
    count = describe_block(zero, job.tiles, job.tiles.first, job.tiles.end, runs)
    pitch = _shared_pitch(zero, job)
    begin, end = job.input.channels * t // threads, job.input.channels * (t + 1) // threads
    transform_inputs(zero, job, runs, count, pitch, begin, end, job.v.first, elements_at(zero, own))


@jit.kernel
def product_kernel(t, threads, zero, address):
    """Multiply some rows and places of one block."""
    job = record(WinogradJob, zero, address)
    units = job.tiles.places * ((job.output.channels + rows_of_tile() - 1) // rows_of_tile())
    columns = _columns_of(zero, job.tiles.end - job.tiles.first)
    begin, end = units * t // threads, units * (t + 1) // threads
    _multiply(zero, job, columns, _shared_pitch(zero, job), begin, end, job.v.first, job.m.first)


@jit.kernel
def fresh_kernel(t, threads, zero, address):
    """Transform some rows of weights, a few row tiles at a time, and multiply them."""
    job = record(WinogradJob, zero, address)
    weights, layout = job.weights, job.weights.layout
    rows, depth = job.output.channels, job.input.channels
    height = rows_of_tile()
    row_tiles = (rows + height - 1) // height
    own = job.scratch + t * job.scratch_bytes
    temporary, u = elements_at(zero, own), elements_at(zero, own + TEMPORARY_BYTES)
    columns = _columns_of(zero, job.tiles.end - job.tiles.first)
    pitch = _shared_pitch(zero, job)
    end = row_tiles * (t + 1) // threads
    for tile in range(row_tiles * t // threads, end, job.row_block):
        count = min(job.row_block, end - tile)
        for n in range(count):
            row = (tile + n) * height
            transform_kernels(
                zero, job.tiles.size, weights.first + row * weights.row, weights.row, weights.term,
                min(height, rows - row), depth, u + n * layout.panel, layout.place, layout.block, layout.depth,
                temporary,
            )  # fmt: skip
        for place in range(job.tiles.places):
            _multiply_along(
                zero, layout, depth, columns, pitch, rows - tile * height, 0, count, u + place * layout.place,
                job.v.first + place * job.v.distance, job.m.first + (place * job.m.distance + tile * height * pitch),
            )  # fmt: skip


@jit.kernel
def output_kernel(t, threads, zero, address):
    """Transform the outputs of one block for some output channels."""
    job = record(WinogradJob, zero, address)
    own = job.scratch + t * job.scratch_bytes
    runs = records_at(Run, zero, own + TEMPORARY_BYTES)
    count = describe_block(zero, job.tiles, job.tiles.first, job.tiles.end, runs)
    pitch = _shared_pitch(zero, job)
    begin, end = job.output.channels * t // threads, job.output.channels * (t + 1) // threads
    transform_outputs(zero, job, runs, count, pitch, begin, end, job.m.first, elements_at(zero, own))
