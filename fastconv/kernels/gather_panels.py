"""Panels of an implicit matrix product: which input pixels their positions are, and how those are gathered.

A panel has as many positions as a tile of the product has columns. They form runs, one for each output row that they
come from. The functions know a job's parts, those of :class:`fastconv.kernels.gather.GatherJob`, not its type.
"""

from __future__ import annotations

from typing import Annotated

from fastconv import jit
from fastconv.jit.records import Elements, Words

from .microkernel import columns_of_tile
from .pointers import nowhere
from .simd import lanes_of, load, load_between, splat, store


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
    """The positions of a panel: written and read by :func:`~fastconv.kernels.gather.gather_kernel` alone."""

    runs: Annotated[int, Run]
    count: int
    # where results go if they lie side by side; else nowhere, and `places` says for each column how far from the
    # output's first element it is, or NO_PLACE
    out: Elements
    places: Words
    # the input of the only run, for taps' offsets to be added; nowhere if some tap leaves it or there are more runs
    source: Elements


NO_PLACE = -1
_OUTSIDE = -(1 << 40)  # a row that no tap brings back into a picture


# --- describing -----------------------------------------------------------------------------------------------------


@jit.inline
def describe_panels(zero, job, group, number, count, panels):
    """Describe `count` panels of a group from panel `number` on."""
    grid = job.positions.height * job.positions.width
    position = number * columns_of_tile(zero)
    image = position // grid
    y = (position - image * grid) // job.positions.width
    x = position - image * grid - y * job.positions.width
    for j in range(count):
        image, y, x = _describe_panel(zero, job, group, image, y, x, panels[j])


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
                panel.places[done + n] = NO_PLACE
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


# --- gathering ------------------------------------------------------------------------------------------------------


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
def pack_panel(zero, job, group, panel, begin, end, to):
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
