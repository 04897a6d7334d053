"""Max and average pooling, forward and backward.

Forward, a row of outputs falls into columns whose window lies inside the picture, which are computed a vector at a
time, and those at its sides. The last vector of a row is moved back to end where the row does, so that it repeats
columns rather than leave them to be computed one by one. Windows of 2x2 and 3x3 at stride 2 are unfolded. A maximum's
place is carried along as its offset from the window's first pixel, in floats (exact up to 2**24), and becomes an int64
index when it is stored.

Backward, means are gathered: each place of the input is written once, with the sum of what the windows over it have.
Maxima are scattered, since only the indices are known, unless those turn out to lie in tiles of 2x2.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastconv import jit

from .flags import challenge
from .ir import load_ir, shuffle_ir, splat_ir, store_ir, vector_ir
from .oldmem import item_bytes, load, peek, poke, record, store
from .simd import (
    Vector,
    as_type,
    dealt,
    dealt_order,
    either,
    equal,
    every_second,
    everywhere,
    in_order,
    interleaved,
    interleaved_dealt,
    lanes,
    splat,
    where,
)


class PoolJob(jit.Record):
    """What the pooling kernels work on: addresses in bytes, everything else in elements."""

    x: int
    planes: int
    height: int
    width: int
    r: int
    s: int
    stride_y: int
    stride_x: int
    top: int
    left: int
    dilation_y: int
    dilation_x: int
    # extent of the padded plane: means count places up to here
    bottom_end: int
    right_end: int
    out: int
    out_height: int
    out_width: int
    # int64 per output, or 0
    indices: int
    # what a sum is divided by: this number, or COUNT_PADDING the places in the padded plane, COUNT_PICTURE those in the
    # picture
    divisor: int
    # output columns from `inside` to `inside_end` - 1 may be computed by vectors
    inside: int
    inside_end: int


class ScatterJob(jit.Record):
    """What the gradient of max pooling works on: addresses in bytes, everything else in elements."""

    planes: int
    height: int
    width: int
    out_height: int
    out_width: int
    # gradients by the outputs, and int64 places in the plane that they belong to
    grad_output: int
    indices: int
    grad_input: int
    # where to write 1 if an index lies outside its plane
    fault: int


POOL_JOB, SCATTER_JOB = np.dtype(PoolJob), np.dtype(ScatterJob)
COUNT_PADDING, COUNT_PICTURE = 0, -(1 << 31)  # no divisor that `fastconv.checks` lets pass
_AHEAD = 512  # places that are set to zero before something is added to the first of them
EXACT_OFFSETS = 1 << 24  # integers below this are exact in float32


@intrinsic
def _store_indices(typingctx: Any, address: Any, first: Any, step: Any, offsets: Any) -> Any:
    """Store first + lane * step + offset of each lane as int64."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        address, first, step, offsets = args
        wide = ir.VectorType(ir.IntType(64), offsets.type.count)
        narrow = ir.VectorType(ir.IntType(32), offsets.type.count)
        lane = ir.Constant(wide, list(range(wide.count)))
        places = builder.add(splat_ir(builder, first, wide), builder.mul(splat_ir(builder, step, wide), lane))
        offset = builder.sext(builder.fptosi(offsets, narrow), wide)
        store_ir(builder, builder.add(places, offset), address)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp, offsets), codegen


# --- maxima ---------------------------------------------------------------------------------------------------------


@jit.unfold
def _column(zero, address, stride):
    """Load an element of each of a vector of windows: every one from `address` on, or every second, out of order."""
    if stride == 1:
        return load(zero, address)
    return every_second(load(zero, address), load(zero, address + (lanes(zero) - 1) * item_bytes(zero)))


@jit.unfold
def _max_vectors(zero, job, plane, y, out, indices, rows, columns, stride, gap):
    """Compute an output row's columns inside the picture, by windows of `rows` rows from `y` on, also inside."""
    item = item_bytes(zero)
    pitch = job.dilation_y * job.width
    down, across = splat(as_type(zero, pitch)), splat(as_type(zero, gap))
    origin = y * job.width - job.left
    x = job.inside
    while x < job.inside_end:
        x = min(x, job.inside_end - lanes(zero))  # the last vector may repeat columns of the one before
        first = origin + x * stride
        best = offset = leftmost = splat(zero)
        for i in range(rows):
            place = leftmost
            for j in range(columns):
                value = _column(zero, plane + (first + i * pitch + j * gap) * item, stride)
                if i + j == 0:
                    best = value
                else:
                    best, offset = challenge(value, place, best, offset)
                place = place + across
            leftmost = leftmost + down
        if stride == 2:
            best, offset = in_order(best), in_order(offset)
        store(out + x * item, best)
        if indices != 0:
            _store_indices(indices + x * 8, first, stride, offset)
        x += lanes(zero)


@jit.unfold
def _max_inside(zero, job, plane, y, rows, out, indices):
    """Compute an output row's columns inside the picture; `indices` is 0 if they are not asked for."""
    if rows == job.s == job.stride_x == 2:
        _max_vectors(zero, job, plane, y, out, indices, 2, 2, 2, job.dilation_x)
    elif rows == job.s == 3 and job.stride_x == 2:
        _max_vectors(zero, job, plane, y, out, indices, 3, 3, 2, job.dilation_x)
    else:
        _max_vectors(zero, job, plane, y, out, indices, rows, job.s, job.stride_x, job.dilation_x)


@intrinsic
def _minus_infinity(typingctx: Any, zero: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return ir.Constant(context.get_value_type(zero), float("-inf"))

    return zero(zero), codegen


@jit.inline
def _max_of_window(zero, job, plane, y, x):
    """Return the maximum of the window that begins at (y, x), which may be outside, and its index or -1."""
    item = item_bytes(zero)
    row, row_end = _places_inside(y, job.r, job.dilation_y, job.height)
    first, end = _places_inside(x, job.s, job.dilation_x, job.width)
    best = _minus_infinity(zero)
    index = -1
    if row < row_end and first < end:
        index = row * job.width + first
        while row < row_end:
            for place in range(row * job.width + first, row * job.width + end, job.dilation_x):
                value = peek(zero, plane + place * item)
                if (value > best) | (value != value):
                    best = value
                    index = place
            row += job.dilation_y
    return best, index


@jit.inline
def _places_inside(start, count, gap, size):
    """Return the first of a window's places along an axis that is not negative, and a bound above them all."""
    first = start if start >= 0 else start + (gap - 1 - start) // gap * gap
    return first, min(start + count * gap, size)


@jit.unfold
def _max_windows(zero, job, plane, y, begin_x, end_x, out, indices):
    """Compute some columns of an output row one by one."""
    item = item_bytes(zero)
    for x in range(begin_x, end_x):
        value, index = _max_of_window(zero, job, plane, y, x * job.stride_x - job.left)
        poke(out + x * item, value)
        if indices != 0:
            poke(indices + x * 8, index)


@jit.kernel
def max_pool_kernel(t, threads, zero, address):
    """Compute the maxima of some output rows."""
    job = record(POOL_JOB, address)
    item = item_bytes(zero)
    rows_in_all = job.planes * job.out_height
    for unit in range(rows_in_all * t // threads, rows_in_all * (t + 1) // threads):
        number = unit // job.out_height
        y = (unit - number * job.out_height) * job.stride_y - job.top
        plane = job.x + number * job.height * job.width * item
        out = job.out + unit * job.out_width * item
        indices = job.indices + unit * job.out_width * 8 if job.indices != 0 else 0
        row, row_end = _places_inside(y, job.r, job.dilation_y, job.height)
        rows = (row_end - row + job.dilation_y - 1) // job.dilation_y
        if rows < 1 or job.inside_end - job.inside < lanes(zero):
            _max_windows(zero, job, plane, y, 0, job.out_width, out, indices)
            continue
        _max_windows(zero, job, plane, y, 0, job.inside, out, indices)
        if indices == 0:
            _max_inside(zero, job, plane, row, rows, out, 0)
        else:
            _max_inside(zero, job, plane, row, rows, out, indices)
        _max_windows(zero, job, plane, y, job.inside_end, job.out_width, out, indices)


@intrinsic
def _load_offsets(typingctx: Any, zero: Any, address: Any, first: Any, step: Any) -> Any:
    """Undo :func:`_store_indices`: return index - first - lane * step as floats, dealt; -1 for all beyond 32 bits."""
    vector = Vector(zero)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _, address, first, step = args
        word = ir.IntType(32)
        narrow = ir.VectorType(word, vector.lanes)
        order = dealt_order(vector.lanes, zero)
        words = load_ir(builder, address, ir.VectorType(word, 2 * vector.lanes))  # of an index, the lower comes first
        low, high = (shuffle_ir(builder, words, words, [2 * lane + k for lane in order]) for k in (0, 1))
        first, step = (splat_ir(builder, builder.trunc(value, word), narrow) for value in (first, step))
        places = builder.add(first, builder.mul(step, ir.Constant(narrow, order)))
        fits = builder.icmp_signed("==", high, ir.Constant(narrow, None))
        offsets = builder.select(fits, builder.sub(low, places), ir.Constant(narrow, [-1] * vector.lanes))
        return builder.sitofp(offsets, vector_ir(zero))

    return vector(zero, types.intp, types.intp, types.intp), codegen


@jit.unfold
def _where_at(zero, offsets, place, grad):
    """Return `grad` where its offset is `place`, else 0; and where that is."""
    here = equal(offsets, place)
    return where(here, grad, splat(zero)), here


@jit.inline
def _spread_over_tiles(zero, job, plane, grads, indices):
    """Write a plane whose every index lies in its output's own 2x2 tile; return whether all of them do.

    Such indices come from windows of 2x2 at stride 2. Each place is then written once, in passing, where filling
    with zeros and adding would write most twice and read many.
    """
    item = item_bytes(zero)
    width = lanes(zero)
    right, below = splat(as_type(zero, 1)), splat(as_type(zero, job.width))
    found = right  # 1 while all of a lane were found in their tiles
    for y in range(job.out_height):
        first = 2 * y * job.width
        row = plane + first * item
        x = 0
        while x < job.out_width:
            x = min(x, job.out_width - width)  # the last vector may repeat columns of the one before
            grad = dealt(load(zero, grads + (y * job.out_width + x) * item))
            offsets = _load_offsets(zero, indices + (y * job.out_width + x) * 8, first + 2 * x, 2)
            a, at_a = _where_at(zero, offsets, splat(zero), grad)
            b, at_b = _where_at(zero, offsets, right, grad)
            c, at_c = _where_at(zero, offsets, below, grad)
            d, at_d = _where_at(zero, offsets, below + right, grad)
            found = where(either(either(at_a, at_b), either(at_c, at_d)), found, splat(zero))
            _store_dealt_pair(zero, row + 2 * x * item, a, b)
            _store_dealt_pair(zero, row + (2 * x + job.width) * item, c, d)
            x += width
        if not everywhere(equal(found, right)):
            return False
        if 2 * job.out_width < job.width:
            poke(row + (job.width - 1) * item, zero)
            poke(row + (2 * job.width - 1) * item, zero)
    _fill(zero, plane + 2 * job.out_height * job.width * item, (job.height - 2 * job.out_height) * job.width)
    return True


@jit.unfold
def _store_pair(zero, address, even, odd):
    """Store two vectors, their elements in turn."""
    low, high = interleaved(even, odd)
    store(address, low)
    store(address + lanes(zero) * item_bytes(zero), high)


@jit.unfold
def _store_dealt_pair(zero, address, even, odd):
    """Store two vectors, their elements in turn, which are dealt."""
    low, high = interleaved_dealt(even, odd)
    store(address, low)
    store(address + lanes(zero) * item_bytes(zero), high)


@jit.inline
def _fill(zero, address, count):
    """Write zeros."""
    item = item_bytes(zero)
    n = 0
    while n + lanes(zero) <= count:
        store(address + n * item, splat(zero))
        n += lanes(zero)
    while n < count:
        poke(address + n * item, zero)
        n += 1


@jit.unfold
def _add_to_places(zero, job, plane, grads, indices):
    """Add a plane's gradients to the places they came from; return whether every index lies within the plane.

    Zeros are written just ahead of what is added to them, so that they are still in the nearest cache.
    """
    item = item_bytes(zero)
    size = job.height * job.width
    filled = 0
    for n in range(job.out_height * job.out_width):
        index = peek(0, indices + n * 8)
        if np.uint64(index) >= np.uint64(filled):  # read as unsigned, a negative one is huge
            if np.uint64(index) >= np.uint64(size):
                return False
            ahead = min(index + _AHEAD, size)
            _fill(zero, plane + filled * item, ahead - filled)
            filled = ahead
        place = plane + index * item
        poke(place, peek(zero, place) + peek(zero, grads + n * item))
    _fill(zero, plane + filled * item, size - filled)
    return True


@jit.kernel
def max_pool_backward_kernel(t, threads, zero, address):
    """Add the gradients of some planes' outputs to the places they came from."""
    job = record(SCATTER_JOB, address)
    item = item_bytes(zero)
    size = job.height * job.width
    outputs = job.out_height * job.out_width
    halves = job.out_height == job.height // 2 and job.out_width == job.width // 2
    # Windows of another size may give outputs of the same: the first index outside its tile tells.
    in_tiles = halves and job.out_width >= lanes(zero) and size < EXACT_OFFSETS
    for number in range(job.planes * t // threads, job.planes * (t + 1) // threads):
        plane = job.grad_input + number * size * item
        grads = job.grad_output + number * outputs * item
        indices = job.indices + number * outputs * 8
        in_tiles = in_tiles and _spread_over_tiles(zero, job, plane, grads, indices)
        if not in_tiles and not _add_to_places(zero, job, plane, grads, indices):
            poke(job.fault, 1)
            return


# --- means ----------------------------------------------------------------------------------------------------------


@jit.inline
def _divisor(zero, job, y, x):
    """Return what the sum of the window that begins at (y, x) is divided by."""
    if job.divisor == COUNT_PADDING:
        high = min(y + job.r, job.bottom_end) - y
        wide = min(x + job.s, job.right_end) - x
        return as_type(zero, high * wide)
    if job.divisor == COUNT_PICTURE:
        high = min(y + job.r, job.height) - max(y, 0)
        wide = min(x + job.s, job.width) - max(x, 0)
        return as_type(zero, high * wide)
    return as_type(zero, job.divisor)


@jit.unfold
def _mean_vectors(zero, job, plane, y, scale, out, rows, columns, stride):
    """Compute an output row's columns inside the picture, by windows of `rows` rows from `y` on, also inside."""
    item = item_bytes(zero)
    origin = y * job.width - job.left
    x = job.inside
    while x < job.inside_end:
        x = min(x, job.inside_end - lanes(zero))  # the last vector may repeat columns of the one before
        total = splat(zero)
        for i in range(rows):
            for j in range(columns):
                total = total + _column(zero, plane + (origin + x * stride + i * job.width + j) * item, stride)
        if stride == 2:
            total = in_order(total)
        store(out + x * item, total * scale)
        x += lanes(zero)


@jit.unfold
def _mean_windows(zero, job, plane, y, begin_x, end_x, out):
    """Compute some columns of an output row one by one."""
    item = item_bytes(zero)
    for x in range(begin_x, end_x):
        column = x * job.stride_x - job.left
        total = zero
        for i in range(max(y, 0), min(y + job.r, job.height)):
            for j in range(max(column, 0), min(column + job.s, job.width)):
                total += peek(zero, plane + (i * job.width + j) * item)
        poke(out + x * item, total / _divisor(zero, job, y, column))


@jit.kernel
def avg_pool_kernel(t, threads, zero, address):
    """Compute the means of some output rows."""
    job = record(POOL_JOB, address)
    item = item_bytes(zero)
    rows_in_all = job.planes * job.out_height
    for unit in range(rows_in_all * t // threads, rows_in_all * (t + 1) // threads):
        number = unit // job.out_height
        y = (unit - number * job.out_height) * job.stride_y - job.top
        plane = job.x + number * job.height * job.width * item
        out = job.out + unit * job.out_width * item
        if job.inside_end - job.inside < lanes(zero):
            _mean_windows(zero, job, plane, y, 0, job.out_width, out)
            continue
        _mean_windows(zero, job, plane, y, 0, job.inside, out)
        row = max(y, 0)
        rows = min(y + job.r, job.height) - row
        scale = _scale(zero, job, y)
        if rows == job.s == job.stride_x == 2:
            _mean_vectors(zero, job, plane, row, scale, out, 2, 2, 2)
        elif rows == job.s == 3 and job.stride_x == 2:
            _mean_vectors(zero, job, plane, row, scale, out, 3, 3, 2)
        else:
            _mean_vectors(zero, job, plane, row, scale, out, rows, job.s, job.stride_x)
        _mean_windows(zero, job, plane, y, job.inside_end, job.out_width, out)


@jit.inline
def _scale(zero, job, y):
    """Return the factor of sums of windows that begin in row `y` and lie between the picture's sides."""
    return splat(as_type(zero, 1) / _divisor(zero, job, y, job.inside * job.stride_x - job.left))


@jit.inline
def _windows_over(place, size, stride, count):
    """Return the first of the windows along an axis that hold a place (counted from the padding's edge) and the end."""
    first = max(0, (place - size) // stride + 1)
    return first, min(count, place // stride + 1)


@jit.unfold
def _gather_vectors(zero, job, grads, scale, row, windows, columns, stride):
    """Write a row of the input's gradient between the picture's sides, from `windows` rows of outputs over it."""
    item = item_bytes(zero)
    pitch = job.out_width * item
    x = job.inside + (columns - 1) // stride
    while x < job.inside_end:
        x = min(x, job.inside_end - lanes(zero))  # the last vector may repeat columns of the one before
        even = odd = splat(zero)
        for i in range(windows):
            grad = grads + i * pitch + x * item
            for j in range(0, columns, stride):
                even = even + load(zero, grad - j // stride * item)
            for j in range(1, columns, stride):
                odd = odd + load(zero, grad - j // stride * item)
        place = row + (x * stride - job.left) * item
        if stride == 2:
            _store_pair(zero, place, even * scale, odd * scale)
        else:
            store(place, even * scale)
        x += lanes(zero)


@jit.inline
def _gather_places(zero, job, grads, above, below, begin, end, row):
    """Write some places of a row of the input's gradient one by one, from rows `above` to `below` - 1 of outputs."""
    item = item_bytes(zero)
    for x in range(begin, end):
        left, right = _windows_over(x + job.left, job.s, job.stride_x, job.out_width)
        total = zero
        for i in range(above, below):
            for j in range(left, right):
                grad = peek(zero, grads + (i * job.out_width + j) * item)
                total += grad / _divisor(zero, job, i * job.stride_y - job.top, j * job.stride_x - job.left)
        poke(row + x * item, total)


@jit.inline
def _divided_alike(zero, job, above, below):
    """Return whether there are windows in these rows of outputs, and all have one divisor."""
    column = job.inside * job.stride_x - job.left
    divisor = _divisor(zero, job, above * job.stride_y - job.top, column)
    alike = above < below
    for i in range(above + 1, below):
        alike = alike and _divisor(zero, job, i * job.stride_y - job.top, column) == divisor
    return alike


@jit.inline
def _gather(zero, job, grads, y, row):
    """Write row `y` of the input's gradient, each place once."""
    item = item_bytes(zero)
    above, below = _windows_over(y + job.top, job.r, job.stride_y, job.out_height)
    if not _divided_alike(zero, job, above, below):
        _gather_places(zero, job, grads, above, below, 0, job.width, row)
        return
    begin = (job.inside + (job.s - 1) // job.stride_x) * job.stride_x - job.left
    end = job.inside_end * job.stride_x - job.left
    windows = below - above
    first = grads + above * job.out_width * item
    scale = _scale(zero, job, above * job.stride_y - job.top)
    _gather_places(zero, job, grads, above, below, 0, begin, row)
    if windows == 1 and job.s == 2 and job.stride_x == 2:
        _gather_vectors(zero, job, first, scale, row, 1, 2, 2)
    elif windows == 1 and job.s == 3 and job.stride_x == 2:
        _gather_vectors(zero, job, first, scale, row, 1, 3, 2)
    elif windows == 2 and job.s == 3 and job.stride_x == 2:
        _gather_vectors(zero, job, first, scale, row, 2, 3, 2)
    elif job.stride_x == 2:
        _gather_vectors(zero, job, first, scale, row, windows, job.s, 2)
    else:
        _gather_vectors(zero, job, first, scale, row, windows, job.s, 1)
    _gather_places(zero, job, grads, above, below, end, job.width, row)


@jit.inline
def _scatter(zero, job, grads, plane):
    """Add a plane's gradients, each divided, to all places of its window."""
    item = item_bytes(zero)
    _fill(zero, plane, job.height * job.width)
    for row in range(job.out_height):
        y = row * job.stride_y - job.top
        for column in range(job.out_width):
            x = column * job.stride_x - job.left
            grad = peek(zero, grads + (row * job.out_width + column) * item) / _divisor(zero, job, y, x)
            for i in range(max(y, 0), min(y + job.r, job.height)):
                for j in range(max(x, 0), min(x + job.s, job.width)):
                    place = plane + (i * job.width + j) * item
                    poke(place, peek(zero, place) + grad)


@jit.kernel
def avg_pool_backward_kernel(t, threads, zero, address):
    """Spread the gradients of outputs (`out`) over their windows (`x`)."""
    job = record(POOL_JOB, address)
    item = item_bytes(zero)
    outputs = job.out_height * job.out_width * item
    pitch = job.width * item
    # Windows, by their column, before which all that share a place with them lie between the picture's sides too.
    whole = job.inside_end - job.inside - (job.s - 1) // job.stride_x
    if job.s >= job.stride_x and whole >= lanes(zero):
        rows = job.planes * job.height
        for unit in range(rows * t // threads, rows * (t + 1) // threads):
            number = unit // job.height
            _gather(zero, job, job.out + number * outputs, unit - number * job.height, job.x + unit * pitch)
    else:
        for number in range(job.planes * t // threads, job.planes * (t + 1) // threads):
            _scatter(zero, job, job.out + number * outputs, job.x + number * job.height * pitch)
