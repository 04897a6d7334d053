"""The kernels of Winograd's method: products of transformed weights and inputs, and the phases around them."""

from __future__ import annotations

from fastconv import jit
from fastconv.jit.records import Bytes

from .microkernel import blocked_product, columns_of_strip, rows_of_strip
from .pointers import elements_at, record
from .simd import lanes_of
from .winograd_jobs import Input, InputGate, Output, Places, Tiles, blocks_of, panels_of
from .winograd_pictures import read_tiles, write_tiles
from .winograd_transforms import transform_weights
from .winograd_weights import KERNEL, Weights, gather_kernels, panel_pitch


class Transformed(jit.Record):
    """Transformed weights, U: (place, panel, term, row of the panel), of some panels and terms."""

    # if it is not in each thread's scratch
    first: Bytes
    # elements from one place to the next
    distance: int
    # terms that are transformed, gathered, and added up at a time
    terms: int


class WinogradJob(jit.Record):
    """What the kernels work on; distances in elements."""

    input: Input
    gate: InputGate
    tiles: Tiles
    weights: Weights
    output: Output
    # U V = M
    u: Transformed
    v: Places
    m: Places
    # tiles that a thread works on at a time if it has a V and M of its own
    block: int
    # parts that tiles are cut into where blocks of channels alone would leave threads idle
    parts: int
    # of all threads, and how much each has
    scratch: Bytes
    scratch_bytes: int


@jit.inline
def _own(zero, job, t):
    """Return the scratch of one thread."""
    return elements_at(zero, job.scratch + t * job.scratch_bytes)


@jit.inline
def _transform_panel(zero, job, panel, first, end, u, gathered):
    """Transform the kernels of terms `first` to `end` - 1 of a panel."""
    weights = job.weights
    lanes, columns = lanes_of(zero), columns_of_strip(zero)
    source = gathered
    if weights.packed:
        source = weights.first + (panel * panel_pitch(zero, weights.terms) + first * KERNEL * columns)
    else:
        gather_kernels(zero, weights, panel, first, end, gathered)
    pitch = columns
    if weights.turned:
        source += (KERNEL - 1) * columns
        pitch = -columns
    for term in range(end - first):
        for part in range(0, columns, lanes):
            at = term * columns + part
            transform_weights(
                zero, job.tiles.size, source + (term * KERNEL * columns + part), pitch, u + at, job.u.distance
            )  # fmt: skip


@jit.inline
def _multiply_panel(zero, v, v_block, terms, u, m, m_block, tiles, first):
    """Multiply strips of all tiles, as even as can be, with a panel of weights, for one place."""
    lanes = lanes_of(zero)
    strips = (tiles + rows_of_strip() - 1) // rows_of_strip()
    for strip in range(strips):
        begin, end = tiles * strip // strips, tiles * (strip + 1) // strips
        blocked_product(zero, end - begin, v + begin * lanes, v_block, terms, u, m + begin * lanes, m_block, first)


# --- weights first, then tiles --------------------------------------------------------------------------------------


@jit.kernel
def weights_kernel(t, threads, zero, address):
    """Transform all weights."""
    job = record(WinogradJob, zero, address)
    weights, columns = job.weights, columns_of_strip(zero)
    u, gathered = elements_at(zero, job.u.first), _own(zero, job, t)
    panels = panels_of(zero, weights.rows)
    for panel in range(panels * t // threads, panels * (t + 1) // threads):
        for first in range(0, weights.terms, job.u.terms):
            end = min(first + job.u.terms, weights.terms)
            _transform_panel(zero, job, panel, first, end, u + (panel * weights.terms + first) * columns, gathered)


@jit.kernel
def fused_kernel(t, threads, zero, address):
    """Do everything else for some tiles, with V and M of one block of them at a time."""
    job = record(WinogradJob, zero, address)
    lanes, columns = lanes_of(zero), columns_of_strip(zero)
    terms, places = job.weights.terms, job.tiles.places
    temporary = _own(zero, job, t)
    v = elements_at(zero, job.v.first + t * job.scratch_bytes)
    m = elements_at(zero, job.m.first + t * job.scratch_bytes)
    u = elements_at(zero, job.u.first)
    total = job.tiles.end - job.tiles.first
    begin, end = job.tiles.first + total * t // threads, job.tiles.first + total * (t + 1) // threads
    blocks = (end - begin + job.block - 1) // job.block
    for number in range(blocks):
        first = begin + (end - begin) * number // blocks
        stop = begin + (end - begin) * (number + 1) // blocks
        for block in range(blocks_of(zero, job.input.channels)):
            read_tiles(zero, job, block, first, stop, v + block * job.v.block, temporary)
        for place in range(places):
            for term in range(0, terms, job.u.terms):
                for panel in range(panels_of(zero, job.weights.rows)):
                    _multiply_panel(
                        zero, v + (place * job.v.distance + term // lanes * job.v.block), job.v.block,
                        min(job.u.terms, terms - term),
                        u + (place * job.u.distance + (panel * terms + term) * columns),
                        m + (place * job.m.distance + panel * columns // lanes * job.m.block), job.m.block,
                        stop - first, 1 if term == 0 else 0,
                    )  # fmt: skip
        for block in range(blocks_of(zero, job.output.channels)):
            write_tiles(zero, job, block, first, stop, m + block * job.m.block, temporary)


# --- phases ---------------------------------------------------------------------------------------------------------


@jit.inline
def _part_of_tiles(job, unit):
    """Return the block of channels that a unit of work means, and which tiles: the first and the last."""
    block = unit // job.parts
    part = unit - block * job.parts
    total = job.tiles.end - job.tiles.first
    return block, job.tiles.first + total * part // job.parts, job.tiles.first + total * (part + 1) // job.parts


@jit.kernel
def input_kernel(t, threads, zero, address):
    """Transform the inputs of one block of tiles for some channels."""
    job = record(WinogradJob, zero, address)
    v, temporary = elements_at(zero, job.v.first), _own(zero, job, t)
    units = blocks_of(zero, job.input.channels) * job.parts
    for unit in range(units * t // threads, units * (t + 1) // threads):
        block, first, end = _part_of_tiles(job, unit)
        to = v + (block * job.v.block + (first - job.tiles.first) * lanes_of(zero))
        read_tiles(zero, job, block, first, end, to, temporary)


@jit.kernel
def product_kernel(t, threads, zero, address):
    """Transform some panels of weights, some terms at a time, and multiply them."""
    job = record(WinogradJob, zero, address)
    lanes, columns = lanes_of(zero), columns_of_strip(zero)
    terms, places = job.weights.terms, job.tiles.places
    u = _own(zero, job, t)
    gathered = u + places * job.u.distance
    v, m = elements_at(zero, job.v.first), elements_at(zero, job.m.first)
    units = panels_of(zero, job.weights.rows) * job.parts
    for unit in range(units * t // threads, units * (t + 1) // threads):
        panel, first, end = _part_of_tiles(job, unit)
        tile = (first - job.tiles.first) * lanes
        for term in range(0, terms, job.u.terms):
            stop = min(term + job.u.terms, terms)
            _transform_panel(zero, job, panel, term, stop, u, gathered)
            for place in range(places):
                _multiply_panel(
                    zero, v + (place * job.v.distance + term // lanes * job.v.block + tile), job.v.block, stop - term,
                    u + place * job.u.distance,
                    m + (place * job.m.distance + panel * columns // lanes * job.m.block + tile), job.m.block,
                    end - first, 1 if term == 0 else 0,
                )  # fmt: skip


@jit.kernel
def output_kernel(t, threads, zero, address):
    """Transform the outputs of one block of tiles for some output channels."""
    job = record(WinogradJob, zero, address)
    m, temporary = elements_at(zero, job.m.first), _own(zero, job, t)
    units = blocks_of(zero, job.output.channels) * job.parts
    for unit in range(units * t // threads, units * (t + 1) // threads):
        block, first, end = _part_of_tiles(job, unit)
        source = m + (block * job.m.block + (first - job.tiles.first) * lanes_of(zero))
        write_tiles(zero, job, block, first, end, source, temporary)
