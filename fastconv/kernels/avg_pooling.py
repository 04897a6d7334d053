"""Average pooling, forward and backward.

Windows of 2x2 and 3x3 at stride 2 are unfolded. Backward, means are gathered: each place of the input is written once,
with the sum of what the windows over it have.
"""

from __future__ import annotations

import numpy as np

from fastconv import jit
from fastconv.geometry import PoolGeometry

from .pointers import record
from .pooling import COUNT_PADDING, COUNT_PICTURE, PoolJob, load_places, pool_job, write_zeros
from .shuffles import in_order, interleaved
from .simd import as_type, lanes_of, load, splat, store


@jit.inline
def _divisor(zero, job, y, x):
    """Return what the sum of the window that begins at (y, x) is divided by."""
    if job.divisor == COUNT_PADDING:
        high = min(y + job.window.rows, job.bottom_end) - y
        wide = min(x + job.window.columns, job.right_end) - x
        return as_type(zero, high * wide)
    if job.divisor == COUNT_PICTURE:
        high = min(y + job.window.rows, job.height) - max(y, 0)
        wide = min(x + job.window.columns, job.width) - max(x, 0)
        return as_type(zero, high * wide)
    return as_type(zero, job.divisor)


@jit.unfold
def _mean_vectors(zero, job, plane, y, scale, out, rows, columns, stride):
    """Compute an output row's columns inside the picture, by windows of `rows` rows from `y` on, also inside."""
    origin = y * job.width - job.window.left
    x = job.inside
    while x < job.inside_end:
        x = min(x, job.inside_end - lanes_of(zero))  # the last vector may repeat columns of the one before
        total = splat(zero)
        for i in range(rows):
            for j in range(columns):
                total = total + load_places(zero, plane + (origin + x * stride + i * job.width + j), stride)
        if stride == 2:
            total = in_order(total)
        store(out + x, total * scale)
        x += lanes_of(zero)


@jit.unfold
def _mean_windows(zero, job, plane, y, begin_x, end_x, out):
    """Compute some columns of an output row one by one."""
    for x in range(begin_x, end_x):
        column = x * job.window.stride_x - job.window.left
        total = zero
        for i in range(max(y, 0), min(y + job.window.rows, job.height)):
            for j in range(max(column, 0), min(column + job.window.columns, job.width)):
                total += plane[i * job.width + j]
        out[x] = total / _divisor(zero, job, y, column)


@jit.kernel
def avg_pool_kernel(t, threads, zero, address):
    """Compute the means of some output rows."""
    job = record(PoolJob, zero, address)
    rows_in_all = job.planes * job.small_height
    for unit in range(rows_in_all * t // threads, rows_in_all * (t + 1) // threads):
        number = unit // job.small_height
        y = (unit - number * job.small_height) * job.window.stride_y - job.window.top
        plane = job.large + number * job.height * job.width
        out = job.small + unit * job.small_width
        if job.inside_end - job.inside < lanes_of(zero):
            _mean_windows(zero, job, plane, y, 0, job.small_width, out)
            continue
        _mean_windows(zero, job, plane, y, 0, job.inside, out)
        row = max(y, 0)
        rows = min(y + job.window.rows, job.height) - row
        scale = _scale(zero, job, y)
        if rows == job.window.columns == job.window.stride_x == 2:
            _mean_vectors(zero, job, plane, row, scale, out, 2, 2, 2)
        elif rows == job.window.columns == 3 and job.window.stride_x == 2:
            _mean_vectors(zero, job, plane, row, scale, out, 3, 3, 2)
        else:
            _mean_vectors(zero, job, plane, row, scale, out, rows, job.window.columns, job.window.stride_x)
        _mean_windows(zero, job, plane, y, job.inside_end, job.small_width, out)


@jit.inline
def _scale(zero, job, y):
    """Return the factor of sums of windows that begin in row `y` and lie between the picture's sides."""
    return splat(as_type(zero, 1) / _divisor(zero, job, y, job.inside * job.window.stride_x - job.window.left))


def avg_pool(
    x: np.ndarray, geometry: PoolGeometry, count_include_pad: bool, divisor: int | None, out: np.ndarray
) -> None:
    """Write means: sums divided by `divisor`, or else by the number of places, those of the padding included or not."""
    job = pool_job(x, geometry, out)
    job.divisor = _divisor_code(count_include_pad, divisor)
    avg_pool_kernel(job, x.dtype, jit.threads_for(elements=x.size))


def _divisor_code(count_include_pad: bool, divisor: int | None) -> int:
    if divisor is not None:
        return divisor
    return COUNT_PADDING if count_include_pad else COUNT_PICTURE


# --- backward -------------------------------------------------------------------------------------------------------


@jit.unfold
def _store_pair(zero, to, even, odd):
    """Store two vectors, their elements in turn."""
    low, high = interleaved(even, odd)
    store(to, low)
    store(to + lanes_of(zero), high)


@jit.inline
def _windows_over(place, size, stride, count):
    """Return the first of the windows along an axis that hold a place (counted from the padding's edge) and the end."""
    first = max(0, (place - size) // stride + 1)
    return first, min(count, place // stride + 1)


@jit.unfold
def _gather_vectors(zero, job, grads, scale, row, windows, columns, stride):
    """Write a row of the input's gradient between the picture's sides, from `windows` rows of outputs over it."""
    x = job.inside + (columns - 1) // stride
    while x < job.inside_end:
        x = min(x, job.inside_end - lanes_of(zero))  # the last vector may repeat columns of the one before
        even = odd = splat(zero)
        for i in range(windows):
            grad = grads + i * job.small_width + x
            for j in range(0, columns, stride):
                even = even + load(grad - j // stride)
            for j in range(1, columns, stride):
                odd = odd + load(grad - j // stride)
        place = row + (x * stride - job.window.left)
        if stride == 2:
            _store_pair(zero, place, even * scale, odd * scale)
        else:
            store(place, even * scale)
        x += lanes_of(zero)


@jit.inline
def _gather_places(zero, job, grads, above, below, begin, end, row):
    """Write some places of a row of the input's gradient one by one, from rows `above` to `below` - 1 of outputs."""
    for x in range(begin, end):
        left, right = _windows_over(x + job.window.left, job.window.columns, job.window.stride_x, job.small_width)
        total = zero
        for i in range(above, below):
            for j in range(left, right):
                grad = grads[i * job.small_width + j]
                total += grad / _divisor(
                    zero, job, i * job.window.stride_y - job.window.top, j * job.window.stride_x - job.window.left
                )
        row[x] = total


@jit.inline
def _divided_alike(zero, job, above, below):
    """Return whether there are windows in these rows of outputs, and all have one divisor."""
    column = job.inside * job.window.stride_x - job.window.left
    divisor = _divisor(zero, job, above * job.window.stride_y - job.window.top, column)
    alike = above < below
    for i in range(above + 1, below):
        alike = alike and _divisor(zero, job, i * job.window.stride_y - job.window.top, column) == divisor
    return alike


@jit.inline
def _gather(zero, job, grads, y, row):
    """Write row `y` of the input's gradient, each place once."""
    above, below = _windows_over(y + job.window.top, job.window.rows, job.window.stride_y, job.small_height)
    if not _divided_alike(zero, job, above, below):
        _gather_places(zero, job, grads, above, below, 0, job.width, row)
        return
    begin = (job.inside + (job.window.columns - 1) // job.window.stride_x) * job.window.stride_x - job.window.left
    end = job.inside_end * job.window.stride_x - job.window.left
    windows = below - above
    first = grads + above * job.small_width
    scale = _scale(zero, job, above * job.window.stride_y - job.window.top)
    _gather_places(zero, job, grads, above, below, 0, begin, row)
    if windows == 1 and job.window.columns == 2 and job.window.stride_x == 2:
        _gather_vectors(zero, job, first, scale, row, 1, 2, 2)
    elif windows == 1 and job.window.columns == 3 and job.window.stride_x == 2:
        _gather_vectors(zero, job, first, scale, row, 1, 3, 2)
    elif windows == 2 and job.window.columns == 3 and job.window.stride_x == 2:
        _gather_vectors(zero, job, first, scale, row, 2, 3, 2)
    elif job.window.stride_x == 2:
        _gather_vectors(zero, job, first, scale, row, windows, job.window.columns, 2)
    else:
        _gather_vectors(zero, job, first, scale, row, windows, job.window.columns, 1)
    _gather_places(zero, job, grads, above, below, end, job.width, row)


@jit.inline
def _scatter(zero, job, grads, plane):
    """Add a plane's gradients, each divided, to all places of its window."""
    write_zeros(zero, plane, job.height * job.width)
    for row in range(job.small_height):
        y = row * job.window.stride_y - job.window.top
        for column in range(job.small_width):
            x = column * job.window.stride_x - job.window.left
            grad = grads[row * job.small_width + column] / _divisor(zero, job, y, x)
            for i in range(max(y, 0), min(y + job.window.rows, job.height)):
                for j in range(max(x, 0), min(x + job.window.columns, job.width)):
                    plane[i * job.width + j] += grad


@jit.kernel
def avg_pool_backward_kernel(t, threads, zero, address):
    """Spread the gradients of outputs over their windows."""
    job = record(PoolJob, zero, address)
    outputs = job.small_height * job.small_width
    # Windows, by their column, before which all that share a place with them lie between the picture's sides too.
    whole = job.inside_end - job.inside - (job.window.columns - 1) // job.window.stride_x
    if job.window.columns >= job.window.stride_x and whole >= lanes_of(zero):
        rows = job.planes * job.height
        for unit in range(rows * t // threads, rows * (t + 1) // threads):
            number = unit // job.height
            _gather(zero, job, job.small + number * outputs, unit - number * job.height, job.large + unit * job.width)
    else:
        for number in range(job.planes * t // threads, job.planes * (t + 1) // threads):
            _scatter(zero, job, job.small + number * outputs, job.large + number * job.height * job.width)


def avg_pool_backward(
    grad_output: np.ndarray, geometry: PoolGeometry, count_include_pad: bool, divisor: int | None, out: np.ndarray
) -> None:
    """Write the gradient by the input of :func:`avg_pool`."""
    job = pool_job(out, geometry, grad_output)
    job.divisor = _divisor_code(count_include_pad, divisor)
    avg_pool_backward_kernel(job, out.dtype, jit.threads_for(elements=out.size))
