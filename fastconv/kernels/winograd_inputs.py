"""The transform of the inputs of Winograd's method, B^T d B, for tiles of 4x4 and 2x2 outputs.

See :mod:`fastconv.kernels.winograd_points` for the algebra. A vector holds the same place of neighbouring tiles of a
row of tiles. The functions know a job's parts, not its type, so that jobs of several kinds can use them.
"""

from __future__ import annotations

from fastconv import jit

from .pointers import prefetch_to_read
from .shuffles import apart, evens, followed_by, interleaved, odds
from .simd import (
    as_type,
    equal,
    fma,
    lanes_of,
    line_elements,
    load,
    load_between,
    load_bytes,
    load_truths,
    not_above,
    splat,
    store,
    where,
)
from .winograd_jobs import NO_GATE, POOL_TRACE, RELU_TRACE
from .winograd_points import FAR, NEAR


@jit.inline
def transform_inputs(zero, job, runs, count, pitch, begin, end, v, temporary):
    """Transform the inputs of a block's tiles for channels `begin` to `end` - 1.

    Parameters
    ----------
    zero : float32 or float64
    job : record
        With parts `input`, `gate`, `tiles` and `v`, see :mod:`fastconv.kernels.winograd_jobs`.
    runs, count : pointer, intp
        The block's, from :func:`~fastconv.kernels.winograd_jobs.describe_block`.
    pitch : intp
        Elements of V from one channel to the next.
    begin, end : intp
    v : pointer
        To V: (place, channel, tile). The last vector of a row may reach into the next.
    temporary : pointer
        To :data:`~fastconv.kernels.winograd_jobs.TEMPORARY_BYTES` bytes.
    """
    if job.tiles.size == 4:
        _inputs_4(zero, job, runs, count, pitch, begin, end, v, temporary)
    else:
        _inputs_2(zero, job, runs, count, pitch, begin, end, v, temporary)


@jit.inline
def _row_of_patch(job, corner, row, shift, zeros):
    """Return where a patch's row begins, or zeros if it lies outside the picture."""
    return corner + shift if row >= 0 and row < job.input.height else zeros


# --- F(4x4, 3x3) ----------------------------------------------------------------------------------------------------


@jit.inline
def _input_row_4(zero, d0, d1, d2, d3, d4, d5):
    """Return B^T d."""
    minus_near2, minus_far2 = splat(as_type(zero, -NEAR * NEAR)), splat(as_type(zero, -FAR * FAR))
    minus_both = splat(as_type(zero, -(NEAR * NEAR + FAR * FAR)))
    near, far = splat(as_type(zero, NEAR)), splat(as_type(zero, FAR))
    minus_near, minus_far = splat(as_type(zero, -NEAR)), splat(as_type(zero, -FAR))
    even_near, odd_near = fma(minus_far2, d2, d4), fma(minus_far2, d1, d3)
    even_far, odd_far = fma(minus_near2, d2, d4), fma(minus_near2, d1, d3)
    return (
        fma(minus_both, d2, d0 + d4),
        fma(near, odd_near, even_near),
        fma(minus_near, odd_near, even_near),
        fma(far, odd_far, even_far),
        fma(minus_far, odd_far, even_far),
        fma(minus_both, d3, d1 + d5),
    )


@jit.inline
def _load_row(zero, row, low, high):
    """Load a vector of a row, of which lanes `low` to `high` - 1 lie in the picture; the others are 0."""
    inside = low <= 0 and high >= lanes_of(zero)
    return load(row) if inside else load_between(row, low, high)


@jit.unfold
def _unpooled_row(zero, job, here, column, lower, to):
    """Write six vectors of one of the two rows that a row of a pooling's gradients belongs to.

    The first gradient lies `here` elements from the input's first, in column `column`; `lower` is 1 for the lower of
    the two rows, else 0.
    """
    lanes = lanes_of(zero)
    none = splat(zero)
    left, right = splat(as_type(zero, 2 * lower)), splat(as_type(zero, 2 * lower + 1))  # places of a window
    for n in range(3):
        low = -column - n * lanes
        value = _load_row(zero, job.input.first + (here + n * lanes), low, job.input.width + low)
        place = load_bytes(zero, job.gate.trace + (here + n * lanes))
        low_half, high_half = interleaved(
            where(equal(place, left), value, none), where(equal(place, right), value, none)
        )
        store(to + 2 * n * lanes, low_half)
        store(to + (2 * n + 1) * lanes, high_half)
        prefetch_to_read(job.input.first + (here + n * lanes + job.input.plane))
    prefetch_to_read(job.gate.trace + (here + job.input.plane))


@jit.unfold
def _rectified_row(zero, job, here, column, to):
    """Write five vectors of a row of gradients as a ReLU hands them on; the parameters as above."""
    lanes = lanes_of(zero)
    none = splat(zero)
    for n in range(5):
        low = -column - n * lanes
        at = here + n * lanes
        value = _load_row(zero, job.input.first + at, low, job.input.width + low)
        prefetch_to_read(job.input.first + at + job.input.plane)
        if job.gate.kind == RELU_TRACE:
            value = where(load_truths(zero, job.gate.trace + at), value, none)
        else:
            output = _load_row(zero, job.gate.relu_output + at, low, job.input.width + low)
            prefetch_to_read(job.gate.relu_output + at + job.input.plane)
            value = where(not_above(output, none), none, value)
        store(to + n * lanes, value)
    if job.gate.kind == RELU_TRACE:
        prefetch_to_read(job.gate.trace + (here + job.input.plane))


@jit.inline
def _gated_patch(zero, job, plane, top, left, patch):
    """Write six rows of gradients as a ReLU, or a pooling and the ReLU before it, hands them on.

    What lets gradients pass has their shape: the trace of a ReLU (RELU_TRACE), its outputs (RELU_OUTPUT), or the trace
    of a 2x2 pooling (POOL_TRACE); with the last the rows are those of the pooling's input.

    Parameters
    ----------
    zero, job
        As in :func:`transform_inputs`. The gate's kind is read from the job each time it is asked for: kept in a
        variable, it makes LLVM write out all loops once for each kind.
    plane : intp
        Elements to the channel's plane.
    top, left : intp
        Row and column where the patch begins.
    patch : pointer
        To six rows of six vectors.

    Returns
    -------
    pointer
        To column `left` of the first row.
    """
    lanes = lanes_of(zero)
    column = left // 2 if job.gate.kind == POOL_TRACE else left
    for i in range(6):
        to = patch + i * 6 * lanes
        row = (top + i) // 2 if job.gate.kind == POOL_TRACE else top + i
        here = plane + row * job.input.width + column
        if row < 0 or row >= job.input.height:
            for n in range(6):
                store(to + n * lanes, splat(zero))
        elif job.gate.kind == POOL_TRACE:
            _unpooled_row(zero, job, here, column, (top + i) % 2, to)
        else:
            _rectified_row(zero, job, here, column, to)
    # The first window of a pooling may begin a column to the left.
    return patch + (left - column * 2) if job.gate.kind == POOL_TRACE else patch


@jit.unfold
def _rows_of_patch(job, channel, image, top, left, zeros):
    """Return where the six rows of a patch begin that begins in row `top` and column `left` of a picture."""
    width = job.input.width
    plane = job.input.first + channel * job.input.plane
    corner = plane + (image * job.input.image + top * width + left)
    return (
        _row_of_patch(job, corner, top, 0, zeros),
        _row_of_patch(job, corner, top + 1, width, zeros),
        _row_of_patch(job, corner, top + 2, 2 * width, zeros),
        _row_of_patch(job, corner, top + 3, 3 * width, zeros),
        _row_of_patch(job, corner, top + 4, 4 * width, zeros),
        _row_of_patch(job, corner, top + 5, 5 * width, zeros),
    )


@jit.inline
def _rows_of_gated_patch(zero, job, channel, image, top, left, patch):
    """Return the same of gradients that have passed the gate, which are written to `patch`."""
    lanes = lanes_of(zero)
    plane = image * job.input.image + channel * job.input.plane
    row = _gated_patch(zero, job, plane, top, left, patch)
    return row, row + 6 * lanes, row + 12 * lanes, row + 18 * lanes, row + 24 * lanes, row + 30 * lanes


@jit.unfold
def _transform_down_4(zero, job, rows, left, right, to):
    """Transform the columns of a run's patches, of which those from -`left` to `right` - `left` - 1 are in the rows."""
    lanes = lanes_of(zero)
    row0, row1, row2, row3, row4, row5 = rows
    for n in range(5):
        at = n * lanes
        if at % line_elements(zero) == 0 and job.gate.kind == NO_GATE:
            following = at + job.input.plane
            prefetch_to_read(row0 + following)
            prefetch_to_read(row1 + following)
            prefetch_to_read(row2 + following)
            prefetch_to_read(row3 + following)
            prefetch_to_read(row4 + following)
            prefetch_to_read(row5 + following)
        low = -left - n * lanes
        high = right + low
        if low <= 0 and high >= lanes:
            t0, t1, t2, t3, t4, t5 = _input_row_4(
                zero, load(row0 + at), load(row1 + at), load(row2 + at),
                load(row3 + at), load(row4 + at), load(row5 + at),
            )  # fmt: skip
        else:
            t0, t1, t2, t3, t4, t5 = _input_row_4(
                zero, load_between(row0 + at, low, high), load_between(row1 + at, low, high),
                load_between(row2 + at, low, high), load_between(row3 + at, low, high),
                load_between(row4 + at, low, high), load_between(row5 + at, low, high),
            )  # fmt: skip
        store(to + at, t0)
        store(to + 5 * lanes + at, t1)
        store(to + 2 * 5 * lanes + at, t2)
        store(to + 3 * 5 * lanes + at, t3)
        store(to + 4 * 5 * lanes + at, t4)
        store(to + 5 * 5 * lanes + at, t5)


@jit.unfold
def _transform_along_4(zero, job, rows, to):
    """Transform six rows of five vectors, so that each of the 36 places of the patches is a vector of V."""
    lanes = lanes_of(zero)
    for i in range(6):
        row = rows + i * 5 * lanes
        d0, d1, d2, d3 = apart(load(row), load(row + lanes), load(row + 2 * lanes), load(row + 3 * lanes))
        d4 = followed_by(d0, row[4 * lanes])
        d5 = followed_by(d1, row[4 * lanes + 1])
        t0, t1, t2, t3, t4, t5 = _input_row_4(zero, d0, d1, d2, d3, d4, d5)
        starts = job.v.starts + i * 6
        store(to + starts[0], t0)
        store(to + starts[1], t1)
        store(to + starts[2], t2)
        store(to + starts[3], t3)
        store(to + starts[4], t4)
        store(to + starts[5], t5)


@jit.inline
def _inputs_4(zero, job, runs, count, pitch, begin, end, v, temporary):
    """Transform the 6x6 patches of 4x4 tiles."""
    lanes = lanes_of(zero)
    zeros = temporary + 6 * 5 * lanes
    for n in range(5):
        store(zeros + n * lanes, splat(zero))
    patch = zeros + 5 * lanes
    for channel in range(begin, end):
        row_v = v + channel * pitch
        for number in range(count):
            run = runs[number]
            top = run.y * 4 - job.input.top
            left = run.x * 4 - job.input.left
            right = job.input.width
            if job.gate.kind == NO_GATE:
                rows = _rows_of_patch(job, channel, run.image, top, left, zeros)
            else:
                rows = _rows_of_gated_patch(zero, job, channel, run.image, top, left, patch)
                left, right = 0, 6 * lanes
            _transform_down_4(zero, job, rows, left, right, temporary)
            _transform_along_4(zero, job, temporary, row_v + run.number)


# --- F(2x2, 3x3) ----------------------------------------------------------------------------------------------------


@jit.inline
def _inputs_2(zero, job, runs, count, pitch, begin, end, v, temporary):
    """Transform the 4x4 patches of 2x2 tiles."""
    lanes = lanes_of(zero)
    zeros = temporary + 4 * 3 * lanes
    for n in range(3):
        store(zeros + n * lanes, splat(zero))
    for channel in range(begin, end):
        plane = job.input.first + channel * job.input.plane
        row_v = v + channel * pitch
        for number in range(count):
            run = runs[number]
            top = run.y * 2 - job.input.top
            left = run.x * 2 - job.input.left
            corner = plane + (run.image * job.input.image + top * job.input.width + left)
            row0 = _row_of_patch(job, corner, top, 0, zeros)
            row1 = _row_of_patch(job, corner, top + 1, job.input.width, zeros)
            row2 = _row_of_patch(job, corner, top + 2, 2 * job.input.width, zeros)
            row3 = _row_of_patch(job, corner, top + 3, 3 * job.input.width, zeros)
            for n in range(3):
                at = n * lanes
                low = -left - n * lanes
                high = job.input.width + low
                d0, d1 = load_between(row0 + at, low, high), load_between(row1 + at, low, high)
                d2, d3 = load_between(row2 + at, low, high), load_between(row3 + at, low, high)
                store(temporary + at, d0 - d2)
                store(temporary + 3 * lanes + at, d1 + d2)
                store(temporary + 6 * lanes + at, d2 - d1)
                store(temporary + 9 * lanes + at, d3 - d1)
            to = row_v + run.number
            for i in range(4):
                row = temporary + i * 3 * lanes
                d0 = evens(load(row), load(row + lanes))
                d1 = odds(load(row), load(row + lanes))
                d2 = followed_by(d0, row[2 * lanes])
                d3 = followed_by(d1, row[2 * lanes + 1])
                starts = job.v.starts + i * 4
                store(to + starts[0], d0 - d2)
                store(to + starts[1], d1 + d2)
                store(to + starts[2], d2 - d1)
                store(to + starts[3], d3 - d1)
