"""Planes copied with a border of zeros, or cropped, and perhaps with their columns sorted."""

from __future__ import annotations

import numpy as np

from fastconv import jit
from fastconv.jit.records import Elements

from .pointers import record
from .shuffles import evens
from .simd import lanes_of, load, load_between, store


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
