"""Copies of arrays in another layout: with a border of zeros and columns sorted, or transposed panel by panel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np

from fastconv import jit
from fastconv.jit.records import Elements

from .pointers import nowhere, record
from .shuffles import evens, interleaved, transpose_block
from .simd import lanes_of, load, load_between, splat, store


class PaddedPlane(jit.Record):
    """How a plane becomes a larger (or cropped) one, perhaps sorted by column.

    Row r of the copy is row ``r * row_step - top`` of the plane. It consists of `phases` parts of `phase_width`
    columns, and column j of part f is column ``j * column_step + f - left``. What lies outside is 0.
    """

    # of the plane
    height: int
    width: int
    # zeros above and on the left; negative if rows or columns are left out there
    top: int
    left: int
    row_step: int
    column_step: int
    # of the copy
    copy_height: int
    phases: int
    phase_width: int

    @property
    def pitch(self) -> int:
        """Elements from one row of the copy to the next."""
        return self.phases * self.phase_width

    @property
    def size(self) -> int:
        """Elements of the copy."""
        return self.copy_height * self.pitch


class PadJob(jit.Record):
    """What :func:`pad_kernel` works on: planes one after the other, and their copies likewise."""

    plane: PaddedPlane
    planes: int
    source: Elements
    out: Elements


@jit.inline
def _copy_row(zero, source, first, step, columns, to, count, room):
    """Write elements first, first + step, ... of a row of `columns` elements, `count` of them.

    A vector may reach past the end, into what is written later, but not past the `room` elements that are left of the
    plane: the next plane may be another thread's.
    """
    lanes = lanes_of(zero)
    j = 0
    whole = min(count - 1, room - lanes)  # the last place where a vector may begin
    while j <= whole and step <= 2:
        column = first + j * step
        here = source + column
        if step == 1:
            if column >= 0 and column + lanes <= columns:
                value = load(here)
            else:
                value = load_between(here, -column, columns - column)
        elif column >= 0 and column + 2 * lanes <= columns:
            value = evens(load(here), load(here + lanes))
        else:
            low, high = -column, columns - column
            right = load_between(here + lanes, low - lanes, high - lanes)
            value = evens(load_between(here, low, high), right)
        store(to + j, value)
        j += lanes
    while j < count:
        column = first + j * step
        to[j] = source[column] if column >= 0 and column < columns else zero
        j += 1


@jit.inline
def pad_plane(zero, plane, source, to):
    """Copy one plane as a :class:`PaddedPlane` says."""
    for y in range(plane.copy_height):
        row = y * plane.row_step - plane.top
        for phase in range(plane.phases):
            room = ((plane.copy_height - y) * plane.phases - phase) * plane.phase_width
            if row >= 0 and row < plane.height:
                here = source + row * plane.width
                first = phase - plane.left
                _copy_row(zero, here, first, plane.column_step, plane.width, to, plane.phase_width, room)
            else:
                for x in range(plane.phase_width):
                    to[x] = zero
            to += plane.phase_width


@jit.kernel
def pad_kernel(t, threads, zero, address):
    """Copy some planes."""
    job = record(PadJob, zero, address)
    size = job.plane.copy_height * job.plane.phases * job.plane.phase_width
    for n in range(job.planes * t // threads, job.planes * (t + 1) // threads):
        pad_plane(zero, job.plane, job.source + n * job.plane.height * job.plane.width, job.out + n * size)


class PhasePlanes(jit.Record):
    """The pixels of one phase of a stride: planes one after the other, or nowhere if all of them are 0."""

    first: Elements
    rows: int
    columns: int


class InterleaveJob(jit.Record):
    """What :func:`interleave_kernel` works on: planes put together from those of every phase of a stride.

    Pixel (y, x) of a plane is pixel (y // step_y, x // step_x) of the plane of phase (y % step_y, x % step_x).
    """

    # (step_y, step_x) of them
    phases: Annotated[int, PhasePlanes]
    planes: int
    height: int
    width: int
    step_y: int
    step_x: int
    out: Elements


@jit.inline
def _phase_vector(zero, row, j):
    """Load from column `j` of a phase's row; 0 if there is none."""
    return load(row + j) if row else splat(zero)


@jit.inline
def _phase_row(phase, plane, y):
    """Return a pointer to a row of a phase; nowhere if all is 0."""
    return phase.first + (plane * phase.rows + y) * phase.columns if phase.first else nowhere(phase.first)


@jit.inline
def _interleave_rest(zero, job, phases, plane, row_number, x, to):
    """Write a row from column `x` on, element by element."""
    for phase in range(job.step_x):
        row = _phase_row(phases[phase], plane, row_number)
        begin = (x - phase + job.step_x - 1) // job.step_x
        for j in range(begin, (job.width - phase + job.step_x - 1) // job.step_x):
            to[j * job.step_x + phase] = row[j] if row else zero


@jit.kernel
def interleave_kernel(t, threads, zero, address):
    """Put some planes together; vectors may reach into the row below, which is written later."""
    job = record(InterleaveJob, zero, address)
    lanes = lanes_of(zero)
    for plane in range(job.planes * t // threads, job.planes * (t + 1) // threads):
        to = job.out + plane * job.height * job.width
        end = to + job.height * job.width
        y, phase_y, row_number = 0, 0, 0
        while y < job.height:
            phases = job.phases + phase_y * job.step_x
            first = _phase_row(phases[0], plane, row_number)
            x = 0
            if job.step_x == 1:
                while x < job.width and to + (x + lanes) <= end:
                    store(to + x, _phase_vector(zero, first, x))
                    x += lanes
            elif job.step_x == 2:
                second = _phase_row(phases[1], plane, row_number)
                j = 0
                while x < job.width and to + (x + 2 * lanes) <= end:
                    low, high = interleaved(_phase_vector(zero, first, j), _phase_vector(zero, second, j))
                    store(to + x, low)
                    store(to + (x + lanes), high)
                    j += lanes
                    x += 2 * lanes
            if x < job.width:
                _interleave_rest(zero, job, phases, plane, row_number, x, to)
            to += job.width
            y += 1
            phase_y += 1
            if phase_y == job.step_y:
                phase_y = 0
                row_number += 1


class TransposeJob(jit.Record):
    """What :func:`transpose_kernel` works on: matrices cut into panels of rows, each of which is transposed.

    Fields named after a part say how many elements lie from one such part to the next.
    """

    source: Elements
    matrices: int
    source_matrix: int
    rows: int
    columns: int
    source_row: int
    panel_rows: int
    out: Elements
    out_matrix: int
    out_panel: int
    out_row: int
    # whether the last panel's missing rows become columns of 0
    fill: int


@jit.kernel
def transpose_kernel(t, threads, zero, address):
    """Transpose some panels of rows."""
    job = record(TransposeJob, zero, address)
    lanes = lanes_of(zero)
    panels = (job.rows + job.panel_rows - 1) // job.panel_rows
    for unit in range(job.matrices * panels * t // threads, job.matrices * panels * (t + 1) // threads):
        matrix = unit // panels
        panel = unit - matrix * panels
        row = panel * job.panel_rows
        rows = min(job.panel_rows, job.rows - row)
        source = job.source + (matrix * job.source_matrix + row * job.source_row)
        out = job.out + (matrix * job.out_matrix + panel * job.out_panel)
        filled = job.panel_rows if job.fill != 0 else rows
        whole_rows, whole_columns = rows // lanes * lanes, job.columns // lanes * lanes
        for column in range(0, whole_columns, lanes):
            for i in range(0, whole_rows, lanes):
                here = source + (i * job.source_row + column)
                transpose_block(here, job.source_row, out + (column * job.out_row + i), job.out_row)
        for column in range(job.columns):
            to = out + column * job.out_row
            for i in range(whole_rows if column < whole_columns else 0, rows):
                to[i] = source[i * job.source_row + column]
            for i in range(rows, filled):
                to[i] = zero


# --- arrays ---------------------------------------------------------------------------------------------------------


def pad(x: np.ndarray, plane: PaddedPlane, out: np.ndarray, threads: int) -> None:
    """Copy planes as `plane` says.

    Parameters
    ----------
    x : (N, C, H, W) array
        Contiguous.
    plane : PaddedPlane
    out : array of N * C * plane.size elements
        Contiguous; vectors may reach past its end.
    threads : int
    """
    images, channels = x.shape[:2]
    job = PadJob(plane=plane, planes=images * channels, source=jit.address_of(x), out=jit.address_of(out))
    pad_kernel(job, x.dtype, threads)


def interleave(phases: Sequence[np.ndarray | None], step: tuple[int, int], out: np.ndarray) -> None:
    """Put planes together from those of every phase of a stride.

    Parameters
    ----------
    phases : sequence of (N, C, rows, columns) arrays or None
        Those of phase (0, 0), (0, 1), ..., contiguous, with no fewer rows and columns than are needed; None if all
        pixels of a phase are 0. A vector may reach past the end of each.
    step : (int, int)
        The stride, whose phases these are.
    out : (N, C, H, W) array
        Contiguous.
    """
    table = np.zeros(len(phases), np.dtype(PhasePlanes))
    for number, phase in enumerate(phases):
        if phase is not None:
            table[number] = jit.address_of(phase), *phase.shape[2:]
    images, channels, height, width = out.shape
    job = InterleaveJob(
        phases=jit.address_of(table), planes=images * channels, height=height, width=width,
        step_y=step[0], step_x=step[1], out=jit.address_of(out),
    )  # fmt: skip
    interleave_kernel(job, out.dtype, jit.threads_for(elements=out.size))


def transpose(source: np.ndarray, out: np.ndarray, threads: int) -> None:
    """Transpose matrices, (M, rows, columns), whose elements of a row lie side by side, to `out`, contiguous."""
    lanes, (_, columns, rows) = jit.lanes(out.dtype), out.shape
    job = _transpose_job(source, out, panel_rows=lanes, out_matrix=columns * rows, out_panel=lanes, out_row=rows)
    transpose_kernel(job, out.dtype, threads)


def transpose_panels(source: np.ndarray, out: np.ndarray, threads: int) -> None:
    """Cut matrices into panels of rows and transpose each; the last panel's missing rows become 0.

    Parameters
    ----------
    source : (M, rows, columns) array
        Elements of a row lie side by side.
    out : (M, panels, columns, rows of a panel) array
        Contiguous.
    threads : int
    """
    _, panels, columns, height = out.shape
    panel = columns * height
    job = _transpose_job(
        source, out, panel_rows=height, out_matrix=panels * panel, out_panel=panel, out_row=height, fill=True
    )
    transpose_kernel(job, out.dtype, threads)


def _transpose_job(source: np.ndarray, out: np.ndarray, **places: int) -> TransposeJob:
    """Return the job for matrices, with `places` in what is written."""
    matrices, rows, columns = source.shape
    matrix, row, _ = source.strides
    return TransposeJob(
        source=jit.address_of(source), matrices=matrices, source_matrix=matrix // source.itemsize, rows=rows,
        columns=columns, source_row=row // source.itemsize, out=jit.address_of(out), **places,
    )  # fmt: skip
