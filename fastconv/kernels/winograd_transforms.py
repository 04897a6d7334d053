"""The transforms of Winograd's minimal filtering, F(4x4, 3x3) and F(2x2, 3x3): inputs, kernels and outputs.

With d the inputs that a tile sees, g the kernel and Y the tile's outputs, for one pair of channels,

    Y = A^T [ (G g G^T) * (B^T d B) ] A           (* element by element)

where the matrices come from the Toom-Cook construction (Lavin and Gray, "Fast algorithms for convolutional neural
networks", arXiv:1509.09308): with interpolation points p, and infinity as the last, row i of G is (1, p, p^2) divided
by the product of (p - q) over the other finite points q; row i of B^T holds the coefficients of the product of (x - q);
column i of A^T the powers of p. F(4x4) uses 0, a, -a, b, -b with a = 2/3 and b = 3/2; F(2x2) uses 0, 1, -1.

a and b keep the rounding error near that of direct convolution, five times below the usual 1 and 2, and a b = 1 makes
the points closed under p -> 1/p. Turning a kernel by 180 degrees takes its transform at p to p^2 times the one at 1/p,
so the input gradient, which is a convolution with turned kernels, uses the same transformed weights: the places are
renumbered (:data:`TURNED`) and the factors (:data:`TURNED_FACTORS`) go into A.

A vector holds the same place of neighbouring tiles of a row of tiles (inputs, outputs), or of neighbouring filters
(kernels). The functions know a job's fields, not its type, so that jobs of several kinds can use them.
"""

from __future__ import annotations

import numpy as np

from fastconv import jit

from .flags import BLOCKED, challenge, load_codes, load_flags, store_codes, store_flags
from .oldmem import item_bytes, load, load_between, peek, poke, prefetch_to_read, prefetch_to_write, store, store_first
from .shuffles import apart, evens, followed_by, interleaved, odds, together
from .simd import as_type, equal, fma, lanes, not_above, rectified, splat, where

A, B = 2 / 3, 3 / 2

# Place (row or column) i of a turned kernel's transform is TURNED_FACTORS[i] times place TURNED[i] of the kernel's own.
TURNED = {4: (5, 3, 4, 1, 2, 0), 2: (3, 1, 2, 0)}
TURNED_FACTORS = {4: (1.0, -9 / 4, -9 / 4, -4 / 9, -4 / 9, 1.0), 2: (1.0, 1.0, 1.0, 1.0)}

LINE = 64  # bytes of a cache line
TEMPORARY_BYTES = 96 * LINE  # scratch of one thread's transforms
NO_GATE, FLAGS, VALUES, PLACES = 0, 1, 2, 3  # what lets gradients pass; see :func:`_gated_patch`
GROUP_FIELDS = 5  # a run of tiles: image, tile row, tile column, position in the block, length


@jit.inline
def describe_block(zero, job, first, end, table):
    """Write the runs of up to a vector of tiles of one row of tiles; return how many."""
    word = 8
    groups = 0
    tile = first
    while tile < end:
        image = tile // (job.tiles_y * job.tiles_x)
        rest = tile - image * job.tiles_y * job.tiles_x
        y = rest // job.tiles_x
        x = rest - y * job.tiles_x
        length = min(job.tiles_x - x, end - tile, lanes(zero))
        entry = table + groups * GROUP_FIELDS * word
        poke(entry, image)
        poke(entry + word, y)
        poke(entry + 2 * word, x)
        poke(entry + 3 * word, tile - first)
        poke(entry + 4 * word, length)
        tile += length
        groups += 1
    return groups


@jit.inline
def transform_inputs(zero, job, table, groups, pitch, begin, end, v, temporary):
    """Transform the inputs of a block's tiles for channels `begin` to `end` - 1.

    Parameters
    ----------
    zero : float32 or float64
    job : record
        With the fields of :class:`fastconv.kernels.winograd.WinogradJob` that concern the input.
    table, groups : intp
        The block's runs, from :func:`describe_block`.
    pitch : intp
        Elements of V from one channel to the next.
    begin, end : intp
    v : intp
        Address of V: (place, channel, tile). The last vector of a row may reach into the next.
    temporary : intp
        Address of :data:`TEMPORARY_BYTES` bytes.
    """
    if job.tile == 4:
        _inputs_4(zero, job, table, groups, pitch, begin, end, v, temporary)
    else:
        _inputs_2(zero, job, table, groups, pitch, begin, end, v, temporary)


@jit.inline
def transform_outputs(zero, job, table, groups, pitch, begin, end, m, temporary):
    """Transform a block's products M of output channels `begin` to `end` - 1 and write them; the rest as above."""
    if job.tile == 4:
        _outputs_4(zero, job, table, groups, pitch, begin, end, m, temporary)
    else:
        _outputs_2(zero, job, table, groups, pitch, begin, end, m, temporary)


@jit.inline
def transform_kernels(
    zero, tile, source, row_stride, depth_stride, rows, depth, to, place, block, block_depth, temporary
):
    """Transform the 3x3 kernels of one row tile of the products.

    Parameters
    ----------
    zero : float32 or float64
    tile : intp
        4 or 2.
    source, row_stride, depth_stride : intp
        Address of the first kernel; elements from one row's kernels to the next's, and from one term's to the next's.
    rows, depth : intp
        Rows of the tile, and terms of each sum.
    to, place, block, block_depth : intp
        Address of (block of terms, term in the block, row) for the first place; elements from one place to the next,
        and from one block of `block_depth` terms to the next.
    temporary : intp
        Address of :data:`TEMPORARY_BYTES` bytes.
    """
    item = item_bytes(zero)
    width = lanes(zero)
    pitch = 16  # at least the rows of a tile
    vector = pitch * item
    for first in range(0, depth, 4):
        count = min(4, depth - first)
        for term in range(count):
            for i in range(rows):
                kernel = source + (i * row_stride + (first + term) * depth_stride) * item
                for n in range(9):
                    poke(temporary + ((term * 9 + n) * pitch + i) * item, peek(zero, kernel + n * item))
        for term in range(first, first + count):
            number = term // block_depth
            inside = term - number * block_depth
            last = inside == block_depth - 1 or term == depth - 1
            for i in range(0, rows, width):
                g = temporary + ((term - first) * 9 * pitch + i) * item
                u = to + (number * block + inside * rows + i) * item
                here = min(width, rows - i) if last else width
                if tile == 4:
                    _kernel_4(zero, g, vector, u, place * item, here)
                else:
                    _kernel_2(zero, g, vector, u, place * item, here)


# --- F(4x4, 3x3) ----------------------------------------------------------------------------------------------------


@jit.inline
def _input_row_4(zero, d0, d1, d2, d3, d4, d5):
    """Return B^T d."""
    aa, bb = splat(as_type(zero, -A * A)), splat(as_type(zero, -B * B))
    both = splat(as_type(zero, -(A * A + B * B)))
    a, b = splat(as_type(zero, A)), splat(as_type(zero, B))
    minus_a, minus_b = splat(as_type(zero, -A)), splat(as_type(zero, -B))
    even_a, odd_a = fma(bb, d2, d4), fma(bb, d1, d3)
    even_b, odd_b = fma(aa, d2, d4), fma(aa, d1, d3)
    return (
        fma(both, d2, d0 + d4),
        fma(a, odd_a, even_a),
        fma(minus_a, odd_a, even_a),
        fma(b, odd_b, even_b),
        fma(minus_b, odd_b, even_b),
        fma(both, d3, d1 + d5),
    )


@jit.inline
def _output_row_4(zero, factors, m0, m1, m2, m3, m4, m5):
    """Return A^T m, with the factors of the places in `factors`: 1, p, p^2, p^3 times those of a, then of b."""
    item = item_bytes(zero)
    sum_a, difference_a = m1 + m2, m1 - m2
    sum_b, difference_b = m3 + m4, m3 - m4
    a0, a1 = splat(peek(zero, factors)), splat(peek(zero, factors + item))
    a2, a3 = splat(peek(zero, factors + 2 * item)), splat(peek(zero, factors + 3 * item))
    b0, b1 = splat(peek(zero, factors + 4 * item)), splat(peek(zero, factors + 5 * item))
    b2, b3 = splat(peek(zero, factors + 6 * item)), splat(peek(zero, factors + 7 * item))
    return (
        fma(b0, sum_b, fma(a0, sum_a, m0)),
        fma(b1, difference_b, a1 * difference_a),
        fma(b2, sum_b, a2 * sum_a),
        fma(b3, difference_b, fma(a3, difference_a, m5)),
    )


@jit.inline
def _kernel_row_4(zero, g0, g1, g2):
    """Return G g."""
    na, nb = 1 / (2 * A * A * (A * A - B * B)), 1 / (2 * B * B * (B * B - A * A))
    even_a = fma(splat(as_type(zero, na * A * A)), g2, splat(as_type(zero, na)) * g0)
    even_b = fma(splat(as_type(zero, nb * B * B)), g2, splat(as_type(zero, nb)) * g0)
    odd_a, odd_b = splat(as_type(zero, na * A)) * g1, splat(as_type(zero, nb * B)) * g1
    return g0, even_a + odd_a, even_a - odd_a, even_b + odd_b, even_b - odd_b, g2


@jit.inline
def _kernel_4(zero, g, vector, u, place, count):
    """Transform a vector of kernels, whose nine numbers are `vector` bytes apart; store `count` lanes of each place."""
    a0, a1, a2, a3, a4, a5 = _kernel_row_4(zero, load(zero, g), load(zero, g + 3 * vector), load(zero, g + 6 * vector))
    g += vector
    b0, b1, b2, b3, b4, b5 = _kernel_row_4(zero, load(zero, g), load(zero, g + 3 * vector), load(zero, g + 6 * vector))
    g += vector
    c0, c1, c2, c3, c4, c5 = _kernel_row_4(zero, load(zero, g), load(zero, g + 3 * vector), load(zero, g + 6 * vector))
    _store_kernel_row_4(zero, a0, b0, c0, u, place, count)
    _store_kernel_row_4(zero, a1, b1, c1, u + 6 * place, place, count)
    _store_kernel_row_4(zero, a2, b2, c2, u + 12 * place, place, count)
    _store_kernel_row_4(zero, a3, b3, c3, u + 18 * place, place, count)
    _store_kernel_row_4(zero, a4, b4, c4, u + 24 * place, place, count)
    _store_kernel_row_4(zero, a5, b5, c5, u + 30 * place, place, count)


@jit.inline
def _store_kernel_row_4(zero, g0, g1, g2, u, place, count):
    t0, t1, t2, t3, t4, t5 = _kernel_row_4(zero, g0, g1, g2)
    if count == lanes(zero):
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
def _row_address(job, corner, row, shift, zeros):
    """Return the address of a patch's row, or of zeros if it lies outside the picture."""
    return corner + shift if row >= 0 and row < job.height else zeros


@jit.inline
def _load_row(zero, address, low, high):
    """Load a vector of a row, of which lanes `low` to `high` - 1 lie in the picture; the others are 0."""
    inside = low <= 0 and high >= lanes(zero)
    return load(zero, address) if inside else load_between(zero, address, low, high)


@jit.inline
def _gated_patch(zero, job, plane, top, left, patch):
    """Write six rows of gradients as a ReLU, or a pooling and the ReLU before it, hands them on.

    What lets gradients pass is FLAGS, a byte each, or VALUES, the outputs of the ReLU, both of the gradients' shape; or
    PLACES, the codes of a 2x2 pooling whose output has the gradients' shape: then the rows are those of its input.

    Parameters
    ----------
    zero, job
        As above.
    plane : intp
        Elements to the channel's plane.
    top, left : intp
        Row and column where the patch begins.
    patch : intp
        Address of six rows of six vectors.

    Returns
    -------
    intp
        Where column `left` of the first row lies.
    """
    item = item_bytes(zero)
    width = lanes(zero)
    vector = width * item
    none = splat(zero)
    column = left // 2 if job.gate_kind == PLACES else left
    for i in range(6):
        to = patch + i * 6 * vector
        row = (top + i) // 2 if job.gate_kind == PLACES else top + i
        if row < 0 or row >= job.height:
            for n in range(6):
                store(to + n * vector, none)
        elif job.gate_kind == PLACES:
            here = plane + row * job.width + column
            first = (top + i) % 2 * 2  # code of the place to the left
            at_left, at_right = splat(as_type(zero, first)), splat(as_type(zero, first + 1))
            for n in range(3):
                low = -column - n * width
                value = _load_row(zero, job.x + (here + n * width) * item, low, job.width + low)
                code = load_codes(zero, job.gate + here + n * width)
                low_half, high_half = interleaved(
                    where(equal(code, at_left), value, none), where(equal(code, at_right), value, none)
                )
                store(to + 2 * n * vector, low_half)
                store(to + (2 * n + 1) * vector, high_half)
                prefetch_to_read(job.x + (here + n * width + job.x_plane) * item)
            prefetch_to_read(job.gate + here + job.x_plane)
        else:
            here = plane + row * job.width + column
            for n in range(5):
                low = -column - n * width
                at = (here + n * width) * item
                value = _load_row(zero, job.x + at, low, job.width + low)
                prefetch_to_read(job.x + at + job.x_plane * item)
                if job.gate_kind == FLAGS:
                    value = where(load_flags(zero, job.gate + here + n * width), value, none)
                else:
                    output = _load_row(zero, job.gate + at, low, job.width + low)
                    prefetch_to_read(job.gate + at + job.x_plane * item)
                    value = where(not_above(output, none), none, value)
                store(to + n * vector, value)
            if job.gate_kind == FLAGS:
                prefetch_to_read(job.gate + here + job.x_plane)
    # The first window of a pooling may begin a column to the left.
    return patch + (left - column * 2) * item if job.gate_kind == PLACES else patch


@jit.inline
def _inputs_4(zero, job, table, groups, pitch, begin, end, v, temporary):
    """Transform the 6x6 patches of 4x4 tiles."""
    word = 8
    item = item_bytes(zero)
    width = lanes(zero)
    vector = width * item
    line = job.width * item
    zeros = temporary + 6 * 5 * vector
    for n in range(5):
        store(zeros + n * vector, splat(zero))
    patch = zeros + 5 * vector
    for channel in range(begin, end):
        plane = job.x + channel * job.x_plane * item
        row_v = v + channel * pitch * item
        for group in range(groups):
            entry = table + group * GROUP_FIELDS * word
            top = peek(0, entry + word) * 4 - job.top
            left = peek(0, entry + 2 * word) * 4 - job.left
            right = job.width
            if job.gate_kind == NO_GATE:
                corner = plane + (peek(0, entry) * job.x_image + top * job.width + left) * item
                row0 = _row_address(job, corner, top, 0, zeros)
                row1 = _row_address(job, corner, top + 1, line, zeros)
                row2 = _row_address(job, corner, top + 2, 2 * line, zeros)
                row3 = _row_address(job, corner, top + 3, 3 * line, zeros)
                row4 = _row_address(job, corner, top + 4, 4 * line, zeros)
                row5 = _row_address(job, corner, top + 5, 5 * line, zeros)
            else:
                row0 = _gated_patch(zero, job, peek(0, entry) * job.x_image + channel * job.x_plane, top, left, patch)
                row1, row2, row3 = row0 + 6 * vector, row0 + 12 * vector, row0 + 18 * vector
                row4, row5 = row0 + 24 * vector, row0 + 30 * vector
                left, right = 0, 6 * width
            for n in range(5):
                at = n * vector
                if at % LINE == 0 and job.gate_kind == NO_GATE:
                    following = at + job.x_plane * item
                    prefetch_to_read(row0 + following)
                    prefetch_to_read(row1 + following)
                    prefetch_to_read(row2 + following)
                    prefetch_to_read(row3 + following)
                    prefetch_to_read(row4 + following)
                    prefetch_to_read(row5 + following)
                low = -left - n * width
                high = right + low
                if low <= 0 and high >= width:
                    t0, t1, t2, t3, t4, t5 = _input_row_4(
                        zero, load(zero, row0 + at), load(zero, row1 + at), load(zero, row2 + at),
                        load(zero, row3 + at), load(zero, row4 + at), load(zero, row5 + at),
                    )  # fmt: skip
                else:
                    t0, t1, t2, t3, t4, t5 = _input_row_4(
                        zero, load_between(zero, row0 + at, low, high), load_between(zero, row1 + at, low, high),
                        load_between(zero, row2 + at, low, high), load_between(zero, row3 + at, low, high),
                        load_between(zero, row4 + at, low, high), load_between(zero, row5 + at, low, high),
                    )  # fmt: skip
                store(temporary + at, t0)
                store(temporary + 5 * vector + at, t1)
                store(temporary + 2 * 5 * vector + at, t2)
                store(temporary + 3 * 5 * vector + at, t3)
                store(temporary + 4 * 5 * vector + at, t4)
                store(temporary + 5 * 5 * vector + at, t5)
            to = row_v + peek(0, entry + 3 * word) * item
            for i in range(6):
                row = temporary + i * 5 * vector
                d0, d1, d2, d3 = apart(
                    load(zero, row),
                    load(zero, row + vector),
                    load(zero, row + 2 * vector),
                    load(zero, row + 3 * vector),
                )
                d4 = followed_by(d0, peek(zero, row + 4 * vector))
                d5 = followed_by(d1, peek(zero, row + 4 * vector + item))
                t0, t1, t2, t3, t4, t5 = _input_row_4(zero, d0, d1, d2, d3, d4, d5)
                places = job.v_places + i * 6 * word
                store(to + peek(0, places), t0)
                store(to + peek(0, places + word), t1)
                store(to + peek(0, places + 2 * word), t2)
                store(to + peek(0, places + 3 * word), t3)
                store(to + peek(0, places + 4 * word), t4)
                store(to + peek(0, places + 5 * word), t5)


@jit.inline
def _output_rows_4(zero, job, bias, row):
    """Return the columns of a row of outputs: 0, 4, ..., then 1, 5, ... and so on."""
    vector = lanes(zero) * item_bytes(zero)
    y0, y1, y2, y3 = _output_row_4(
        zero, job.factors, load(zero, row), load(zero, row + vector), load(zero, row + 2 * vector),
        load(zero, row + 3 * vector), load(zero, row + 4 * vector), load(zero, row + 5 * vector),
    )  # fmt: skip
    y0, y1, y2, y3 = y0 + bias, y1 + bias, y2 + bias, y3 + bias
    if job.relu != 0:
        y0, y1, y2, y3 = rectified(y0), rectified(y1), rectified(y2), rectified(y3)
    return y0, y1, y2, y3


@jit.inline
def _pooled(zero, y0, y1, y2, y3):
    """Return the maxima of four places, and the code of where they are."""
    none = splat(zero)
    best, place = challenge(y1, splat(as_type(zero, 1)), y0, none)
    best, place = challenge(y2, splat(as_type(zero, 2)), best, place)
    best, place = challenge(y3, splat(as_type(zero, 3)), best, place)
    return best, where(not_above(best, none), splat(as_type(zero, BLOCKED)), place)


@jit.inline
def _write_pooled_4(zero, job, bias, element, y, count, temporary):
    """Pool a run's outputs by 2x2 as they are made; write `count` maxima and codes of each row."""
    item = item_bytes(zero)
    width = lanes(zero)
    vector = width * item
    codes = temporary + 4 * 6 * vector
    for i in range(min(2, job.out_height - y)):
        row = temporary + 2 * i * 6 * vector
        a0, a1, a2, a3 = _output_rows_4(zero, job, bias, row)
        b0, b1, b2, b3 = _output_rows_4(zero, job, bias, row + 6 * vector)
        left, left_code = _pooled(zero, a0, a1, b0, b1)
        right, right_code = _pooled(zero, a2, a3, b2, b3)
        low, high = interleaved(left, right)
        low_code, high_code = interleaved(left_code, right_code)
        to = job.out + element * item
        prefetch_to_write(to + job.out_plane * item)
        if count == 2 * width:
            store(to, low)
            store(to + vector, high)
            if job.codes != 0:
                store_codes(job.codes + element, low_code)
                store_codes(job.codes + element + width, high_code)
        else:
            store_first(to, low, count)
            store_first(to + vector, high, count - width)
            if job.codes != 0:
                store_codes(codes, low_code)
                store_codes(codes + width, high_code)
                for n in range(count):
                    poke(job.codes + element + n, peek(np.uint8(0), codes + n))
        element += job.out_width


@jit.inline
def _write_flags(zero, to, y0, y1, y2, y3, count, temporary):
    """Write, a byte each, whether `count` outputs let gradients pass."""
    width = lanes(zero)
    none = splat(zero)
    here = to if count == 4 * width else temporary
    store_flags(here, not_above(y0, none))
    store_flags(here + width, not_above(y1, none))
    store_flags(here + 2 * width, not_above(y2, none))
    store_flags(here + 3 * width, not_above(y3, none))
    if count != 4 * width:
        for n in range(count):
            poke(to + n, peek(np.uint8(0), temporary + n))


@jit.inline
def _outputs_4(zero, job, table, groups, pitch, begin, end, m, temporary):
    """Transform 6x6 products to 4x4 outputs, or to 2x2 maxima of them."""
    word = 8
    item = item_bytes(zero)
    width = lanes(zero)
    vector = width * item
    for channel in range(begin, end):
        row_m = m + channel * pitch * item
        bias = splat(zero)
        if job.bias != 0:
            bias = splat(peek(zero, job.bias + channel * item))
        for group in range(groups):
            entry = table + group * GROUP_FIELDS * word
            y = peek(0, entry + word) * 4
            x = peek(0, entry + 2 * word) * 4
            source = row_m + peek(0, entry + 3 * word) * item
            for j in range(6):
                places = job.m_places + j * word
                m0 = load(zero, source + peek(0, places))
                m1 = load(zero, source + peek(0, places + 6 * word))
                m2 = load(zero, source + peek(0, places + 2 * 6 * word))
                m3 = load(zero, source + peek(0, places + 3 * 6 * word))
                m4 = load(zero, source + peek(0, places + 4 * 6 * word))
                m5 = load(zero, source + peek(0, places + 5 * 6 * word))
                y0, y1, y2, y3 = _output_row_4(zero, job.factors, m0, m1, m2, m3, m4, m5)
                store(temporary + j * vector, y0)
                store(temporary + (6 + j) * vector, y1)
                store(temporary + (2 * 6 + j) * vector, y2)
                store(temporary + (3 * 6 + j) * vector, y3)
            element = channel * job.out_plane + peek(0, entry) * job.out_image
            if job.pooled != 0:
                y, x = y // 2, x // 2
                element += y * job.out_width + x
                columns = min(peek(0, entry + 4 * word) * 2, job.out_width - x)
                _write_pooled_4(zero, job, bias, element, y, columns, temporary)
                continue
            element += y * job.out_width + x
            columns = min(peek(0, entry + 4 * word) * 4, job.out_width - x)
            for i in range(min(4, job.out_height - y)):
                to = job.out + element * item
                y0, y1, y2, y3 = _output_rows_4(zero, job, bias, temporary + i * 6 * vector)
                w0, w1, w2, w3 = together(y0, y1, y2, y3)
                following = to + job.out_plane * item
                for n in range(0, 4 * vector, LINE):
                    prefetch_to_write(following + n)
                if columns == 4 * width:
                    store(to, w0)
                    store(to + vector, w1)
                    store(to + 2 * vector, w2)
                    store(to + 3 * vector, w3)
                else:
                    store_first(to, w0, columns)
                    store_first(to + vector, w1, columns - width)
                    store_first(to + 2 * vector, w2, columns - 2 * width)
                    store_first(to + 3 * vector, w3, columns - 3 * width)
                if job.codes != 0:
                    _write_flags(zero, job.codes + element, w0, w1, w2, w3, columns, temporary + 4 * 6 * vector)
                element += job.out_width


# --- F(2x2, 3x3) ----------------------------------------------------------------------------------------------------


@jit.inline
def _kernel_row_2(zero, g0, g1, g2):
    """Return G g."""
    half = splat(as_type(zero, 0.5))
    even, odd = half * (g0 + g2), half * g1
    return g0, even + odd, even - odd, g2


@jit.inline
def _kernel_2(zero, g, vector, u, place, count):
    """Transform a vector of kernels, whose nine numbers are `vector` bytes apart; store `count` lanes of each place."""
    a0, a1, a2, a3 = _kernel_row_2(zero, load(zero, g), load(zero, g + 3 * vector), load(zero, g + 6 * vector))
    g += vector
    b0, b1, b2, b3 = _kernel_row_2(zero, load(zero, g), load(zero, g + 3 * vector), load(zero, g + 6 * vector))
    g += vector
    c0, c1, c2, c3 = _kernel_row_2(zero, load(zero, g), load(zero, g + 3 * vector), load(zero, g + 6 * vector))
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
def _inputs_2(zero, job, table, groups, pitch, begin, end, v, temporary):
    """Transform the 4x4 patches of 2x2 tiles."""
    word = 8
    item = item_bytes(zero)
    width = lanes(zero)
    vector = width * item
    line = job.width * item
    zeros = temporary + 4 * 3 * vector
    for n in range(3):
        store(zeros + n * vector, splat(zero))
    for channel in range(begin, end):
        plane = job.x + channel * job.x_plane * item
        row_v = v + channel * pitch * item
        for group in range(groups):
            entry = table + group * GROUP_FIELDS * word
            top = peek(0, entry + word) * 2 - job.top
            left = peek(0, entry + 2 * word) * 2 - job.left
            corner = plane + (peek(0, entry) * job.x_image + top * job.width + left) * item
            row0 = _row_address(job, corner, top, 0, zeros)
            row1 = _row_address(job, corner, top + 1, line, zeros)
            row2 = _row_address(job, corner, top + 2, 2 * line, zeros)
            row3 = _row_address(job, corner, top + 3, 3 * line, zeros)
            for n in range(3):
                at = n * vector
                low = -left - n * width
                high = job.width + low
                d0, d1 = load_between(zero, row0 + at, low, high), load_between(zero, row1 + at, low, high)
                d2, d3 = load_between(zero, row2 + at, low, high), load_between(zero, row3 + at, low, high)
                store(temporary + at, d0 - d2)
                store(temporary + 3 * vector + at, d1 + d2)
                store(temporary + 6 * vector + at, d2 - d1)
                store(temporary + 9 * vector + at, d3 - d1)
            to = row_v + peek(0, entry + 3 * word) * item
            for i in range(4):
                row = temporary + i * 3 * vector
                d0 = evens(load(zero, row), load(zero, row + vector))
                d1 = odds(load(zero, row), load(zero, row + vector))
                d2 = followed_by(d0, peek(zero, row + 2 * vector))
                d3 = followed_by(d1, peek(zero, row + 2 * vector + item))
                places = job.v_places + i * 4 * word
                store(to + peek(0, places), d0 - d2)
                store(to + peek(0, places + word), d1 + d2)
                store(to + peek(0, places + 2 * word), d2 - d1)
                store(to + peek(0, places + 3 * word), d3 - d1)


@jit.inline
def _outputs_2(zero, job, table, groups, pitch, begin, end, m, temporary):
    """Transform 4x4 products to 2x2 outputs."""
    word = 8
    item = item_bytes(zero)
    width = lanes(zero)
    vector = width * item
    for channel in range(begin, end):
        plane = job.out + channel * job.out_plane * item
        row_m = m + channel * pitch * item
        bias = splat(zero)
        if job.bias != 0:
            bias = splat(peek(zero, job.bias + channel * item))
        for group in range(groups):
            entry = table + group * GROUP_FIELDS * word
            y = peek(0, entry + word) * 2
            x = peek(0, entry + 2 * word) * 2
            source = row_m + peek(0, entry + 3 * word) * item
            for j in range(4):
                places = job.m_places + j * word
                m0, m1 = load(zero, source + peek(0, places)), load(zero, source + peek(0, places + 4 * word))
                m2, m3 = (
                    load(zero, source + peek(0, places + 8 * word)),
                    load(zero, source + peek(0, places + 12 * word)),
                )
                store(temporary + j * vector, m0 + m1 + m2)
                store(temporary + (4 + j) * vector, m1 - m2 + m3)
            to = plane + (peek(0, entry) * job.out_image + y * job.out_width + x) * item
            columns = min(peek(0, entry + 4 * word) * 2, job.out_width - x)
            for i in range(min(2, job.out_height - y)):
                row = temporary + i * 4 * vector
                m0, m1 = load(zero, row), load(zero, row + vector)
                m2, m3 = load(zero, row + 2 * vector), load(zero, row + 3 * vector)
                y0, y1 = m0 + m1 + m2 + bias, m1 - m2 + m3 + bias
                if job.relu != 0:
                    y0, y1 = rectified(y0), rectified(y1)
                w0, w1 = interleaved(y0, y1)
                store_first(to, w0, columns)
                store_first(to + vector, w1, columns - width)
                to += job.out_width * item
