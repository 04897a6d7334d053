"""The transforms of Winograd's minimal filtering, F(4x4, 3x3) and F(2x2, 3x3): inputs, kernels and outputs.

With d the inputs that a tile sees, g the kernel and Y the tile's outputs, for one pair of channels,

    Y = A^T [ (G g G^T) * (B^T d B) ] A           (* element by element)

where the matrices come from the Toom-Cook construction (Lavin and Gray, "Fast algorithms for convolutional neural
networks", arXiv:1509.09308): with interpolation points p, and infinity as the last, row i of G is (1, p, p^2) divided
by the product of (p - q) over the other finite points q; row i of B^T holds the coefficients of the product of (x - q);
column i of A^T the powers of p. F(4x4) uses 0, 2/3, -2/3, 3/2, -3/2 (:data:`NEAR` and :data:`FAR`); F(2x2) uses 0, 1,
-1, and has the first rows of G and B^T with the other sign, which makes the one (1, 0, 0).

These points keep the rounding error near that of direct convolution, five times below that of the usual 1 and 2, and
they are closed under p -> 1/p. Turning a kernel by 180 degrees takes its transform at p to p^2 times the one at 1/p,
so the input gradient, which is a convolution with turned kernels, uses the same transformed weights: the places are
renumbered (:data:`TURNED`) and the factors (:data:`TURNED_FACTORS`) go into A.

A vector holds the same place of neighbouring tiles of a row of tiles (inputs, outputs), or of neighbouring filters
(kernels). The functions know a job's parts, not its type, so that jobs of several kinds can use them.
"""

from __future__ import annotations

from fastconv import jit
from fastconv.traces import BLOCKED

from .pointers import bytes_at, prefetch_to_read, prefetch_to_write
from .shuffles import apart, evens, followed_by, interleaved, odds, together
from .simd import (
    as_type,
    challenge,
    equal,
    fma,
    lanes_of,
    line_elements,
    load,
    load_between,
    load_bytes,
    load_truths,
    not_above,
    rectified,
    splat,
    store,
    store_bytes,
    store_falsehoods,
    store_first,
    where,
)
from .winograd_jobs import NO_GATE, POOL_TRACE, RELU_TRACE

NEAR, FAR = 2 / 3, 3 / 2
# What G divides by at the points NEAR and -NEAR, and at FAR and -FAR, inverted.
NEAR_SCALE = 1 / (2 * NEAR * NEAR * (NEAR * NEAR - FAR * FAR))
FAR_SCALE = 1 / (2 * FAR * FAR * (FAR * FAR - NEAR * NEAR))

# Place (row or column) i of a turned kernel's transform is TURNED_FACTORS[i] times place TURNED[i] of the kernel's own.
TURNED = {4: (5, 3, 4, 1, 2, 0), 2: (3, 1, 2, 0)}
TURNED_FACTORS = {4: (1.0, -9 / 4, -9 / 4, -4 / 9, -4 / 9, 1.0), 2: (1.0, 1.0, 1.0, 1.0)}

TEMPORARY_BYTES = 96 * jit.LINE  # scratch of one thread's transforms


# --- of both sizes --------------------------------------------------------------------------------------------------


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
        To :data:`TEMPORARY_BYTES` bytes.
    """
    if job.tiles.size == 4:
        _inputs_4(zero, job, runs, count, pitch, begin, end, v, temporary)
    else:
        _inputs_2(zero, job, runs, count, pitch, begin, end, v, temporary)


@jit.inline
def transform_outputs(zero, job, runs, count, pitch, begin, end, m, temporary):
    """Transform a block's products M of output channels `begin` to `end` - 1 and write them.

    The parameters are as above, but `job` needs parts `output`, `tiles` and `m`.
    """
    if job.tiles.size == 4:
        _outputs_4(zero, job, runs, count, pitch, begin, end, m, temporary)
    else:
        _outputs_2(zero, job, runs, count, pitch, begin, end, m, temporary)


@jit.inline
def transform_kernels(
    zero, size, source, row_stride, term_stride, rows, depth, to, place, block, block_depth, temporary
):
    """Transform the 3x3 kernels of one row tile of the products.

    Parameters
    ----------
    zero : float32 or float64
    size : intp
        4 or 2: outputs along a side of a tile.
    source, row_stride, term_stride : pointer, intp, intp
        The first kernel; elements from one row's kernels to the next's, and from one term's to the next's.
    rows, depth : intp
        Rows of the row tile, and terms of each sum.
    to, place, block, block_depth : pointer, intp, intp, intp
        (block of terms, term in the block, row) of the first place; elements from one place to the next, and from one
        block of `block_depth` terms to the next. Vectors may reach past `rows`: there must be room for that many terms
        of a whole row tile in each block.
    temporary : pointer
        To :data:`TEMPORARY_BYTES` bytes.
    """
    lanes = lanes_of(zero)
    pitch = 16  # at least the rows of a row tile
    for first in range(0, depth, 4):
        count = min(4, depth - first)
        for term in range(count):
            for i in range(rows):
                kernel = source + (i * row_stride + (first + term) * term_stride)
                for n in range(9):
                    temporary[(term * 9 + n) * pitch + i] = kernel[n]
        for term in range(first, first + count):
            number = term // block_depth
            inside = term - number * block_depth
            last = inside == block_depth - 1 or term == depth - 1
            for i in range(0, rows, lanes):
                g = temporary + ((term - first) * 9 * pitch + i)
                u = to + (number * block + inside * rows + i)
                here = min(lanes, rows - i) if last else lanes
                if size == 4:
                    _kernel_4(zero, g, pitch, u, place, here)
                else:
                    _kernel_2(zero, g, pitch, u, place, here)


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
def _kernel_row_4(zero, g0, g1, g2):
    """Return G g."""
    even_near = fma(splat(as_type(zero, NEAR_SCALE * NEAR * NEAR)), g2, splat(as_type(zero, NEAR_SCALE)) * g0)
    even_far = fma(splat(as_type(zero, FAR_SCALE * FAR * FAR)), g2, splat(as_type(zero, FAR_SCALE)) * g0)
    odd_near = splat(as_type(zero, NEAR_SCALE * NEAR)) * g1
    odd_far = splat(as_type(zero, FAR_SCALE * FAR)) * g1
    return g0, even_near + odd_near, even_near - odd_near, even_far + odd_far, even_far - odd_far, g2


@jit.inline
def _kernel_4(zero, g, pitch, u, place, count):
    """Transform a vector of kernels, of which each number is `pitch` elements on; store `count` lanes of each place."""
    a0, a1, a2, a3, a4, a5 = _kernel_row_4(zero, load(g), load(g + 3 * pitch), load(g + 6 * pitch))
    g += pitch
    b0, b1, b2, b3, b4, b5 = _kernel_row_4(zero, load(g), load(g + 3 * pitch), load(g + 6 * pitch))
    g += pitch
    c0, c1, c2, c3, c4, c5 = _kernel_row_4(zero, load(g), load(g + 3 * pitch), load(g + 6 * pitch))
    _store_kernel_row_4(zero, a0, b0, c0, u, place, count)
    _store_kernel_row_4(zero, a1, b1, c1, u + 6 * place, place, count)
    _store_kernel_row_4(zero, a2, b2, c2, u + 12 * place, place, count)
    _store_kernel_row_4(zero, a3, b3, c3, u + 18 * place, place, count)
    _store_kernel_row_4(zero, a4, b4, c4, u + 24 * place, place, count)
    _store_kernel_row_4(zero, a5, b5, c5, u + 30 * place, place, count)


@jit.inline
def _store_kernel_row_4(zero, g0, g1, g2, u, place, count):
    t0, t1, t2, t3, t4, t5 = _kernel_row_4(zero, g0, g1, g2)
    if count == lanes_of(zero):
        store(u, t0)
        store(u + place, t1)
        store(u + 2 * place, t2)
        store(u + 3 * place, t3)
        store(u + 4 * place, t4)
        store(u + 5 * place, t5)
    else:
        store_first(u, t0, count)
        store_first(u + place, t1, count)
        store_first(u + 2 * place, t2, count)
        store_first(u + 3 * place, t3, count)
        store_first(u + 4 * place, t4, count)
        store_first(u + 5 * place, t5, count)


@jit.inline
def _row_of_patch(job, corner, row, shift, zeros):
    """Return where a patch's row begins, or zeros if it lies outside the picture."""
    return corner + shift if row >= 0 and row < job.input.height else zeros


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


@jit.inline
def _inputs_4(zero, job, runs, count, pitch, begin, end, v, temporary):
    """Transform the 6x6 patches of 4x4 tiles."""
    lanes = lanes_of(zero)
    zeros = temporary + 6 * 5 * lanes
    for n in range(5):
        store(zeros + n * lanes, splat(zero))
    patch = zeros + 5 * lanes
    for channel in range(begin, end):
        plane = job.input.first + channel * job.input.plane
        row_v = v + channel * pitch
        for number in range(count):
            run = runs[number]
            top = run.y * 4 - job.input.top
            left = run.x * 4 - job.input.left
            right = job.input.width
            if job.gate.kind == NO_GATE:
                corner = plane + (run.image * job.input.image + top * job.input.width + left)
                row0 = _row_of_patch(job, corner, top, 0, zeros)
                row1 = _row_of_patch(job, corner, top + 1, job.input.width, zeros)
                row2 = _row_of_patch(job, corner, top + 2, 2 * job.input.width, zeros)
                row3 = _row_of_patch(job, corner, top + 3, 3 * job.input.width, zeros)
                row4 = _row_of_patch(job, corner, top + 4, 4 * job.input.width, zeros)
                row5 = _row_of_patch(job, corner, top + 5, 5 * job.input.width, zeros)
            else:
                plane_at = run.image * job.input.image + channel * job.input.plane
                row0 = _gated_patch(zero, job, plane_at, top, left, patch)
                row1, row2, row3 = row0 + 6 * lanes, row0 + 12 * lanes, row0 + 18 * lanes
                row4, row5 = row0 + 24 * lanes, row0 + 30 * lanes
                left, right = 0, 6 * lanes
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
                store(temporary + at, t0)
                store(temporary + 5 * lanes + at, t1)
                store(temporary + 2 * 5 * lanes + at, t2)
                store(temporary + 3 * 5 * lanes + at, t3)
                store(temporary + 4 * 5 * lanes + at, t4)
                store(temporary + 5 * 5 * lanes + at, t5)
            to = row_v + run.number
            for i in range(6):
                row = temporary + i * 5 * lanes
                d0, d1, d2, d3 = apart(
                    load(row), load(row + lanes), load(row + 2 * lanes), load(row + 3 * lanes)
                )  # fmt: skip
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
def _pooled(zero, y0, y1, y2, y3):
    """Return the maxima of four places, and where they are as a trace tells it."""
    none = splat(zero)
    best, place = challenge(y1, splat(as_type(zero, 1)), y0, none)
    best, place = challenge(y2, splat(as_type(zero, 2)), best, place)
    best, place = challenge(y3, splat(as_type(zero, 3)), best, place)
    return best, where(not_above(best, none), splat(as_type(zero, BLOCKED)), place)


@jit.inline
def _write_pooled_4(zero, job, bias, element, y, count, temporary):
    """Pool a run's outputs by 2x2 as they are made; write `count` maxima of each row and, if wanted, their trace."""
    lanes = lanes_of(zero)
    spare = bytes_at(temporary + 4 * 6 * lanes)
    for i in range(min(2, job.output.height - y)):
        row = temporary + 2 * i * 6 * lanes
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


@jit.inline
def _outputs_4(zero, job, runs, count, pitch, begin, end, m, temporary):
    """Transform 6x6 products to 4x4 outputs, or to 2x2 maxima of them."""
    lanes = lanes_of(zero)
    spare = bytes_at(temporary + 4 * 6 * lanes)
    for channel in range(begin, end):
        row_m = m + channel * pitch
        bias = splat(zero)
        if job.output.bias:
            bias = splat(job.output.bias[channel])
        for number in range(count):
            run = runs[number]
            y = run.y * 4
            x = run.x * 4
            source = row_m + run.number
            for j in range(6):
                starts = job.m.starts + j
                m0 = load(source + starts[0])
                m1 = load(source + starts[6])
                m2 = load(source + starts[2 * 6])
                m3 = load(source + starts[3 * 6])
                m4 = load(source + starts[4 * 6])
                m5 = load(source + starts[5 * 6])
                y0, y1, y2, y3 = _output_row_4(zero, job.output.factors, m0, m1, m2, m3, m4, m5)
                store(temporary + j * lanes, y0)
                store(temporary + (6 + j) * lanes, y1)
                store(temporary + (2 * 6 + j) * lanes, y2)
                store(temporary + (3 * 6 + j) * lanes, y3)
            element = channel * job.output.plane + run.image * job.output.image
            if job.output.pooled:
                y, x = y // 2, x // 2
                element += y * job.output.width + x
                columns = min(run.length * 2, job.output.width - x)
                _write_pooled_4(zero, job, bias, element, y, columns, temporary)
                continue
            element += y * job.output.width + x
            columns = min(run.length * 4, job.output.width - x)
            for i in range(min(4, job.output.height - y)):
                to = job.output.first + element
                y0, y1, y2, y3 = _output_rows_4(zero, job, bias, temporary + i * 6 * lanes)
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


# --- F(2x2, 3x3) ----------------------------------------------------------------------------------------------------


@jit.inline
def _kernel_row_2(zero, g0, g1, g2):
    """Return G g."""
    half = splat(as_type(zero, 0.5))
    even, odd = half * (g0 + g2), half * g1
    return g0, even + odd, even - odd, g2


@jit.inline
def _kernel_2(zero, g, pitch, u, place, count):
    """Transform a vector of kernels, of which each number is `pitch` elements on; store `count` lanes of each place."""
    a0, a1, a2, a3 = _kernel_row_2(zero, load(g), load(g + 3 * pitch), load(g + 6 * pitch))
    g += pitch
    b0, b1, b2, b3 = _kernel_row_2(zero, load(g), load(g + 3 * pitch), load(g + 6 * pitch))
    g += pitch
    c0, c1, c2, c3 = _kernel_row_2(zero, load(g), load(g + 3 * pitch), load(g + 6 * pitch))
    _store_kernel_row_2(zero, a0, b0, c0, u, place, count)
    _store_kernel_row_2(zero, a1, b1, c1, u + 4 * place, place, count)
    _store_kernel_row_2(zero, a2, b2, c2, u + 8 * place, place, count)
    _store_kernel_row_2(zero, a3, b3, c3, u + 12 * place, place, count)


@jit.inline
def _store_kernel_row_2(zero, g0, g1, g2, u, place, count):
    t0, t1, t2, t3 = _kernel_row_2(zero, g0, g1, g2)
    store_first(u, t0, count)
    store_first(u + place, t1, count)
    store_first(u + 2 * place, t2, count)
    store_first(u + 3 * place, t3, count)


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
