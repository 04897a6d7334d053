"""Copies of arrays in another layout: with a border of zeros and columns sorted, or transposed panel by panel."""

from __future__ import annotations

import numpy as np

from fastconv import jit

from .oldmem import item_bytes, load, load_between, peek, poke, record, store, transpose_block
from .shuffles import evens, interleaved
from .simd import lanes, splat


class PadJob(jit.Record):
    """What :func:`pad_kernel` works on: planes that become larger (or cropped) ones, perhaps sorted by column.

    Row r of a copy is row ``r * row_step - top`` of the plane; it consists of `phases` parts of `phase_width` columns,
    and column j of part f is column ``j * column_step + f - left``. What lies outside is 0.
    """

    source: int
    planes: int
    height: int
    width: int
    top: int
    left: int
    row_step: int
    column_step: int
    out: int
    out_height: int
    phases: int
    phase_width: int


PAD_JOB = np.dtype(PadJob)


@jit.inline
def _copy_row(zero, source, first, step, width, to, count, room):
    """Write elements first, first + step, ... of a row (its address) of `width` elements, `count` of them.

    A vector may reach past the end, into what is written later, but not past the `room` elements that are left of the
    plane: the next plane may be another thread's.
    """
    item = item_bytes(zero)
    size = lanes(zero)
    j = 0
    whole = min(count - 1, room - size)  # the last place where a vector may begin
    while j <= whole and step <= 2:
        column = first + j * step
        here = source + column * item
        if step == 1:
            if column >= 0 and column + size <= width:
                value = load(zero, here)
            else:
                value = load_between(zero, here, -column, width - column)
        elif column >= 0 and column + 2 * size <= width:
            value = evens(load(zero, here), load(zero, here + size * item))
        else:
            low, high = -column, width - column
            right = load_between(zero, here + size * item, low - size, high - size)
            value = evens(load_between(zero, here, low, high), right)
        store(to + j * item, value)
        j += size
    while j < count:
        column = first + j * step
        poke(to + j * item, peek(zero, source + column * item) if column >= 0 and column < width else zero)
        j += 1


@jit.inline
def pad_plane(zero, job, source, to):
    """Copy one plane, as a :class:`PadJob` (or another job with its fields) says."""
    item = item_bytes(zero)
    for y in range(job.out_height):
        row = y * job.row_step - job.top
        for phase in range(job.phases):
            room = ((job.out_height - y) * job.phases - phase) * job.phase_width
            if row >= 0 and row < job.height:
                here = source + row * job.width * item
                _copy_row(zero, here, phase - job.left, job.column_step, job.width, to, job.phase_width, room)
            else:
                for x in range(job.phase_width):
                    poke(to + x * item, zero)
            to += job.phase_width * item


@jit.kernel
def pad_kernel(t, threads, zero, address):
    """Copy some planes."""
    job = record(PAD_JOB, address)
    item = item_bytes(zero)
    size = job.out_height * job.phases * job.phase_width
    for plane in range(job.planes * t // threads, job.planes * (t + 1) // threads):
        pad_plane(zero, job, job.source + plane * job.height * job.width * item, job.out + plane * size * item)


class InterleaveJob(jit.Record):
    """What :func:`interleave_kernel` works on: planes put together from those of every phase of a stride.

    Pixel (y, x) of a plane is pixel (y // step_y, x // step_x) of the plane of phase (y % step_y, x % step_x). Of each
    phase `table` holds the address, or 0 where all is zero, and the rows and columns of its planes.
    """

    table: int
    planes: int
    height: int
    width: int
    step_y: int
    step_x: int
    out: int


INTERLEAVE_JOB = np.dtype(InterleaveJob)
PHASE_FIELDS = 3


@jit.inline
def _phase_vector(zero, row, j):
    """Load from column `j` of a phase's row (its address), or 0 if there is none."""
    return load(zero, row + j * item_bytes(zero)) if row != 0 else splat(zero)


@jit.inline
def _phase_row(zero, entry, plane, y):
    """Return the address of a row of a phase, or 0."""
    word = 8
    phase, rows, columns = peek(0, entry), peek(0, entry + word), peek(0, entry + 2 * word)
    return phase + (plane * rows + y) * columns * item_bytes(zero) if phase != 0 else 0


@jit.inline
def _interleave_rest(zero, job, entry, plane, row_number, x, to):
    """Write a row from column `x` on, element by element."""
    item = item_bytes(zero)
    for phase in range(job.step_x):
        row = _phase_row(zero, entry + phase * PHASE_FIELDS * 8, plane, row_number)
        begin = (x - phase + job.step_x - 1) // job.step_x
        for j in range(begin, (job.width - phase + job.step_x - 1) // job.step_x):
            poke(to + (j * job.step_x + phase) * item, peek(zero, row + j * item) if row != 0 else zero)


@jit.kernel
def interleave_kernel(t, threads, zero, address):
    """Put some planes together; vectors may reach into the row below, which is written later."""
    job = record(INTERLEAVE_JOB, address)
    item = item_bytes(zero)
    size = lanes(zero)
    fields = PHASE_FIELDS * 8
    for plane in range(job.planes * t // threads, job.planes * (t + 1) // threads):
        to = job.out + plane * job.height * job.width * item
        end = to + job.height * job.width * item
        y, phase_y, row_number = 0, 0, 0
        while y < job.height:
            entry = job.table + phase_y * job.step_x * fields
            first = _phase_row(zero, entry, plane, row_number)
            x = 0
            if job.step_x == 1:
                while x < job.width and to + (x + size) * item <= end:
                    store(to + x * item, _phase_vector(zero, first, x))
                    x += size
            elif job.step_x == 2:
                second = _phase_row(zero, entry + fields, plane, row_number)
                at = to
                while x < job.width and at + 2 * size * item <= end:
                    low, high = interleaved(_phase_vector(zero, first, 0), _phase_vector(zero, second, 0))
                    store(at, low)
                    store(at + size * item, high)
                    first += size * item if first != 0 else 0
                    second += size * item if second != 0 else 0
                    at += 2 * size * item
                    x += 2 * size
            if x < job.width:
                _interleave_rest(zero, job, entry, plane, row_number, x, to)
            to += job.width * item
            y += 1
            phase_y += 1
            if phase_y == job.step_y:
                phase_y = 0
                row_number += 1


class TransposeJob(jit.Record):
    """What :func:`transpose_kernel` works on: matrices cut into panels of rows, each of which is transposed."""

    source: int
    matrices: int
    source_matrix: int
    rows: int
    columns: int
    source_row: int
    panel_rows: int
    out: int
    out_matrix: int
    out_panel: int
    out_row: int
    fill: int


TRANSPOSE_JOB = np.dtype(TransposeJob)


@jit.kernel
def transpose_kernel(t, threads, zero, address):
    """Transpose panels of rows; if `fill`, the last panel's missing rows become columns of 0."""
    job = record(TRANSPOSE_JOB, address)
    item = item_bytes(zero)
    panels = (job.rows + job.panel_rows - 1) // job.panel_rows
    for unit in range(job.matrices * panels * t // threads, job.matrices * panels * (t + 1) // threads):
        matrix = unit // panels
        panel = unit - matrix * panels
        row = panel * job.panel_rows
        rows = min(job.panel_rows, job.rows - row)
        source = job.source + (matrix * job.source_matrix + row * job.source_row) * item
        out = job.out + (matrix * job.out_matrix + panel * job.out_panel) * item
        filled = job.panel_rows if job.fill != 0 else rows
        size = lanes(zero)
        whole_rows, whole_columns = rows // size * size, job.columns // size * size
        for column in range(0, whole_columns, size):
            for i in range(0, whole_rows, size):
                here = source + (i * job.source_row + column) * item
                there = out + (column * job.out_row + i) * item
                transpose_block(zero, here, job.source_row * item, there, job.out_row * item)
        for column in range(job.columns):
            to = out + column * job.out_row * item
            for i in range(whole_rows if column < whole_columns else 0, rows):
                poke(to + i * item, peek(zero, source + (i * job.source_row + column) * item))
            for i in range(rows, filled):
                poke(to + i * item, zero)


def pad(job: PadJob, dtype: np.dtype, threads: int) -> None:
    """Copy planes as `job` says."""
    pad_kernel(job, dtype, threads)


def interleave(job: InterleaveJob, dtype: np.dtype, threads: int) -> None:
    """Put planes together as `job` says."""
    interleave_kernel(job, dtype, threads)


def transpose(job: TransposeJob, dtype: np.dtype, threads: int) -> None:
    """Transpose panels of rows."""
    transpose_kernel(job, dtype, threads)
