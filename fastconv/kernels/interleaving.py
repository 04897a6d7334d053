"""Planes put together from those of every phase of a stride."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np

from fastconv import jit
from fastconv.jit.records import Elements

from .pointers import nowhere, record
from .shuffles import interleaved
from .simd import lanes_of, load, splat, store


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
