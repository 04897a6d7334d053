"""The transform of the outputs of Winograd's method, A^T m A, for tiles of 4x4 and 2x2 outputs.

See :mod:`fastconv.kernels.winograd_points` for the algebra. A vector holds the same place of neighbouring tiles of a
row of tiles. The functions know a job's parts, not its type, so that jobs of several kinds can use them.
"""

from __future__ import annotations

from fastconv import jit
from fastconv.traces import BLOCKED

from .pointers import bytes_at, prefetch_to_write
from .shuffles import interleaved, together
from .simd import (
    as_type,
    challenge,
    fma,
    lanes_of,
    line_elements,
    load,
    not_above,
    rectified,
    splat,
    store,
    store_bytes,
    store_falsehoods,
    store_first,
    where,
)


@jit.inline
def transform_outputs(zero, job, runs, count, pitch, begin, end, m, temporary):
    """Transform a block's products M of output channels `begin` to `end` - 1 and write them.

    The parameters are those of :func:`~fastconv.kernels.winograd_inputs.transform_inputs`, but `job` needs parts
    `output`, `tiles` and `m`.
    """
    if job.tiles.size == 4:
        _outputs_4(zero, job, runs, count, pitch, begin, end, m, temporary)
    else:
        _outputs_2(zero, job, runs, count, pitch, begin, end, m, temporary)


# --- F(4x4, 3x3) ----------------------------------------------------------------------------------------------------


@jit.inline
def _output_row_4(zero, factors, m0, m1, m2, m3, m4, m5):
    """Return A^T m, with `factors` as in :class:`~fastconv.kernels.winograd_jobs.Output`."""
    sum_near, difference_near = m1 + m2, m1 - m2
    sum_far, difference_far = m3 + m4, m3 - m4
    near0, near1 = splat(factors[0]), splat(factors[1])
    near2, near3 = splat(factors[2]), splat(factors[3])
    far0, far1 = splat(factors[4]), splat(factors[5])
    far2, far3 = splat(factors[6]), splat(factors[7])
    return (
        fma(far0, sum_far, fma(near0, sum_near, m0)),
        fma(far1, difference_far, near1 * difference_near),
        fma(far2, sum_far, near2 * sum_near),
        fma(far3, difference_far, fma(near3, difference_near, m5)),
    )


@jit.inline
def _output_rows_4(zero, job, bias, row):
    """Return the columns of a row of outputs: 0, 4, ..., then 1, 5, ... and so on."""
    lanes = lanes_of(zero)
    y0, y1, y2, y3 = _output_row_4(
        zero, job.output.factors, load(row), load(row + lanes), load(row + 2 * lanes),
        load(row + 3 * lanes), load(row + 4 * lanes), load(row + 5 * lanes),
    )  # fmt: skip
    y0, y1, y2, y3 = y0 + bias, y1 + bias, y2 + bias, y3 + bias
    if job.output.relu:
        y0, y1, y2, y3 = rectified(y0), rectified(y1), rectified(y2), rectified(y3)
    return y0, y1, y2, y3


@jit.inline
def _write_relu_trace(zero, trace, y0, y1, y2, y3, count, spare):
    """Write, a byte each, whether `count` outputs let gradients pass; `spare` has room for four vectors of bytes."""
    lanes = lanes_of(zero)
    none = splat(zero)
    to = trace if count == 4 * lanes else spare
    store_falsehoods(to, not_above(y0, none))
    store_falsehoods(to + lanes, not_above(y1, none))
    store_falsehoods(to + 2 * lanes, not_above(y2, none))
    store_falsehoods(to + 3 * lanes, not_above(y3, none))
    if count != 4 * lanes:
        for n in range(count):
            trace[n] = spare[n]


@jit.unfold
def _write_4(zero, job, bias, channel, run, rows, spare):
    """Make a run's outputs of four rows that are transformed by columns, and write them and, if wanted, their trace."""
    lanes = lanes_of(zero)
    y, x = run.y * 4, run.x * 4
    element = channel * job.output.plane + run.image * job.output.image + (y * job.output.width + x)
    columns = min(run.length * 4, job.output.width - x)
    for i in range(min(4, job.output.height - y)):
        to = job.output.first + element
        y0, y1, y2, y3 = _output_rows_4(zero, job, bias, rows + i * 6 * lanes)
        w0, w1, w2, w3 = together(y0, y1, y2, y3)
        following = to + job.output.plane
        for n in range(0, 4 * lanes, line_elements(zero)):
            prefetch_to_write(following + n)
        if columns == 4 * lanes:
            store(to, w0)
            store(to + lanes, w1)
            store(to + 2 * lanes, w2)
            store(to + 3 * lanes, w3)
        else:
            store_first(to, w0, columns)
            store_first(to + lanes, w1, columns - lanes)
            store_first(to + 2 * lanes, w2, columns - 2 * lanes)
            store_first(to + 3 * lanes, w3, columns - 3 * lanes)
        if job.output.trace:
            _write_relu_trace(zero, job.output.trace + element, w0, w1, w2, w3, columns, spare)
        element += job.output.width


@jit.inline
def _pooled(zero, y0, y1, y2, y3):
    """Return the maxima of four places, and where they are as a trace tells it."""
    none = splat(zero)
    best, place = challenge(y1, splat(as_type(zero, 1)), y0, none)
    best, place = challenge(y2, splat(as_type(zero, 2)), best, place)
    best, place = challenge(y3, splat(as_type(zero, 3)), best, place)
    return best, where(not_above(best, none), splat(as_type(zero, BLOCKED)), place)


@jit.unfold
def _write_pooled_4(zero, job, bias, channel, run, rows, spare):
    """Make the outputs of such rows and pool them by 2x2; write the maxima and, if wanted, their trace."""
    lanes = lanes_of(zero)
    y, x = run.y * 2, run.x * 2
    element = channel * job.output.plane + run.image * job.output.image + (y * job.output.width + x)
    count = min(run.length * 2, job.output.width - x)
    for i in range(min(2, job.output.height - y)):
        row = rows + 2 * i * 6 * lanes
        a0, a1, a2, a3 = _output_rows_4(zero, job, bias, row)
        b0, b1, b2, b3 = _output_rows_4(zero, job, bias, row + 6 * lanes)
        left, left_place = _pooled(zero, a0, a1, b0, b1)
        right, right_place = _pooled(zero, a2, a3, b2, b3)
        low, high = interleaved(left, right)
        low_place, high_place = interleaved(left_place, right_place)
        to = job.output.first + element
        trace = job.output.trace + element
        prefetch_to_write(to + job.output.plane)
        if count == 2 * lanes:
            store(to, low)
            store(to + lanes, high)
            if job.output.trace:
                store_bytes(trace, low_place)
                store_bytes(trace + lanes, high_place)
        else:
            store_first(to, low, count)
            store_first(to + lanes, high, count - lanes)
            if job.output.trace:
                store_bytes(spare, low_place)
                store_bytes(spare + lanes, high_place)
                for n in range(count):
                    trace[n] = spare[n]
        element += job.output.width


@jit.unfold
def _transform_down_4(zero, job, source, to):
    """Transform the columns of a run's products to four rows of six vectors."""
    lanes = lanes_of(zero)
    for j in range(6):
        starts = job.m.starts + j
        m0 = load(source + starts[0])
        m1 = load(source + starts[6])
        m2 = load(source + starts[2 * 6])
        m3 = load(source + starts[3 * 6])
        m4 = load(source + starts[4 * 6])
        m5 = load(source + starts[5 * 6])
        y0, y1, y2, y3 = _output_row_4(zero, job.output.factors, m0, m1, m2, m3, m4, m5)
        store(to + j * lanes, y0)
        store(to + (6 + j) * lanes, y1)
        store(to + (2 * 6 + j) * lanes, y2)
        store(to + (3 * 6 + j) * lanes, y3)


@jit.inline
def _outputs_4(zero, job, runs, count, pitch, begin, end, m, temporary):
    """Transform 6x6 products to 4x4 outputs, or to 2x2 maxima of them."""
    spare = bytes_at(temporary + 4 * 6 * lanes_of(zero))
    for channel in range(begin, end):
        row_m = m + channel * pitch
        bias = splat(zero)
        if job.output.bias:
            bias = splat(job.output.bias[channel])
        for number in range(count):
            run = runs[number]
            _transform_down_4(zero, job, row_m + run.number, temporary)
            if job.output.pooled:
                _write_pooled_4(zero, job, bias, channel, run, temporary, spare)
            else:
                _write_4(zero, job, bias, channel, run, temporary, spare)


# --- F(2x2, 3x3) ----------------------------------------------------------------------------------------------------


@jit.inline
def _outputs_2(zero, job, runs, count, pitch, begin, end, m, temporary):
    """Transform 4x4 products to 2x2 outputs."""
    lanes = lanes_of(zero)
    for channel in range(begin, end):
        plane = job.output.first + channel * job.output.plane
        row_m = m + channel * pitch
        bias = splat(zero)
        if job.output.bias:
            bias = splat(job.output.bias[channel])
        for number in range(count):
            run = runs[number]
            y = run.y * 2
            x = run.x * 2
            source = row_m + run.number
            for j in range(4):
                starts = job.m.starts + j
                m0, m1 = load(source + starts[0]), load(source + starts[4])
                m2, m3 = load(source + starts[8]), load(source + starts[12])
                store(temporary + j * lanes, m0 + m1 + m2)
                store(temporary + (4 + j) * lanes, m1 - m2 + m3)
            to = plane + (run.image * job.output.image + y * job.output.width + x)
            columns = min(run.length * 2, job.output.width - x)
            for i in range(min(2, job.output.height - y)):
                row = temporary + i * 4 * lanes
                m0, m1 = load(row), load(row + lanes)
                m2, m3 = load(row + 2 * lanes), load(row + 3 * lanes)
                y0, y1 = m0 + m1 + m2 + bias, m1 - m2 + m3 + bias
                if job.output.relu:
                    y0, y1 = rectified(y0), rectified(y1)
                w0, w1 = interleaved(y0, y1)
                store_first(to, w0, columns)
                store_first(to + lanes, w1, columns - lanes)
                to += job.output.width
