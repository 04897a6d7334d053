"""Max and average pooling, forward and backward.

Forward, a row of outputs falls into columns whose window lies inside the picture, which are computed a vector at a
time, and those at its sides. A maximum's place is carried along as its offset from the window's first pixel, in floats
(exact up to 2**24), and becomes an int64 index when it is stored. Backward, a plane belongs to one thread, since
windows may overlap.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import prange, types
from numba.extending import intrinsic

from . import jit
from .simd import (
    as_type,
    evens,
    greater_or_nan,
    item_bytes,
    lanes,
    load,
    load_between,
    odds,
    peek,
    poke,
    record,
    splat,
    splat_ir,
    store,
    store_ir,
    where,
)


class PoolJob(NamedTuple):
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


POOL_JOB = jit.record_type(PoolJob)
COUNT_PADDING, COUNT_PICTURE = 0, -(1 << 31)  # no divisor that `fastconv.checks` lets pass
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


@jit.inline
def _larger(value, place, best, offset):
    """Take `value` and its offset where it is greater, or NaN."""
    take = greater_or_nan(value, best)
    return where(take, value, best), where(take, place, offset)


@jit.inline
def _max_vector(zero, job, source, begin, end):
    """Return the maxima of a vector of windows inside the picture, and their offsets from each window's first row."""
    item = item_bytes(zero)
    width = lanes(zero)
    best = splat(_minus_infinity(zero))
    offset = splat(as_type(zero, begin * job.dilation_y * job.width))
    for i in range(begin, end):
        down = i * job.dilation_y * job.width
        row = source + down * item
        if job.stride_x == 1:
            for j in range(job.s):
                across = j * job.dilation_x
                place = splat(as_type(zero, down + across))
                best, offset = _larger(load(zero, row + across * item), place, best, offset)
        else:
            for j in range(0, job.s, 2):
                left = load(zero, row + j * item)
                if j + 1 < job.s:
                    right = load(zero, row + (j + width) * item)
                    best, offset = _larger(evens(left, right), splat(as_type(zero, down + j)), best, offset)
                    best, offset = _larger(odds(left, right), splat(as_type(zero, down + j + 1)), best, offset)
                else:  # the very last element may lie beyond the row
                    right = load_between(zero, row + (j + width) * item, 0, width - 1)
                    best, offset = _larger(evens(left, right), splat(as_type(zero, down + j)), best, offset)
    return best, offset


@intrinsic
def _minus_infinity(typingctx: Any, zero: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return ir.Constant(context.get_value_type(zero), float("-inf"))

    return zero(zero), codegen


@jit.inline
def _max_of_window(zero, job, plane, y, x):
    """Return the maximum of the window that begins at (y, x), which may be outside, and its index or -1."""
    item = item_bytes(zero)
    best = _minus_infinity(zero)
    index = -1
    for i in range(job.r):
        row = y + i * job.dilation_y
        if row < 0 or row >= job.height:
            continue
        for j in range(job.s):
            column = x + j * job.dilation_x
            if column < 0 or column >= job.width:
                continue
            place = row * job.width + column
            value = peek(zero, plane + place * item)
            if index < 0 or value > best or value != value:
                best = value
                index = place
    return best, index


@jit.share
def max_pool_share(t, threads, zero, address):
    """Compute the maxima of some output rows."""
    job = record(POOL_JOB, address)
    item = item_bytes(zero)
    width = lanes(zero)
    rows = job.planes * job.out_height
    for unit in range(rows * t // threads, rows * (t + 1) // threads):
        number = unit // job.out_height
        y = (unit - number * job.out_height) * job.stride_y - job.top
        plane = job.x + number * job.height * job.width * item
        out = job.out + unit * job.out_width * item
        indices = job.indices + unit * job.out_width * 8
        begin = max(0, (-y + job.dilation_y - 1) // job.dilation_y)
        end = min(job.r, (job.height - y + job.dilation_y - 1) // job.dilation_y)
        x = 0
        while x < job.out_width:
            column = x * job.stride_x - job.left
            if job.inside <= x and x + width <= job.inside_end and begin < end:
                first = y * job.width + column
                best, offset = _max_vector(zero, job, plane + first * item, begin, end)
                store(out + x * item, best)
                if job.indices != 0:
                    _store_indices(indices + x * 8, first, job.stride_x, offset)
                x += width
            else:
                value, index = _max_of_window(zero, job, plane, y, column)
                poke(out + x * item, value)
                if job.indices != 0:
                    poke(indices + x * 8, index)
                x += 1


@jit.parallel
def max_pool_parallel(threads, zero, address):
    """Run all shares of :func:`max_pool_share`."""
    for t in prange(threads):
        max_pool_share(np.intp(t), threads, zero, address)


@jit.share
def max_pool_backward_share(t, threads, zero, address):
    """Add the gradients of some planes' outputs (`out`) to the places they came from (`x`)."""
    job = record(POOL_JOB, address)
    item = item_bytes(zero)
    size = job.height * job.width
    outputs = job.out_height * job.out_width
    for number in range(job.planes * t // threads, job.planes * (t + 1) // threads):
        plane = job.x + number * size * item
        for n in range(size):
            poke(plane + n * item, zero)
        grads = job.out + number * outputs * item
        indices = job.indices + number * outputs * 8
        for n in range(outputs):
            place = plane + peek(0, indices + n * 8) * item
            poke(place, peek(zero, place) + peek(zero, grads + n * item))


@jit.parallel
def max_pool_backward_parallel(threads, zero, address):
    """Run all shares of :func:`max_pool_backward_share`."""
    for t in prange(threads):
        max_pool_backward_share(np.intp(t), threads, zero, address)


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


@jit.share
def avg_pool_share(t, threads, zero, address):
    """Compute the means of some output rows."""
    job = record(POOL_JOB, address)
    item = item_bytes(zero)
    width = lanes(zero)
    rows = job.planes * job.out_height
    for unit in range(rows * t // threads, rows * (t + 1) // threads):
        number = unit // job.out_height
        y = (unit - number * job.out_height) * job.stride_y - job.top
        plane = job.x + number * job.height * job.width * item
        out = job.out + unit * job.out_width * item
        y_begin, y_end = max(y, 0), min(y + job.r, job.height)
        x = 0
        while x < job.out_width:
            column = x * job.stride_x - job.left
            if job.inside <= x and x + width <= job.inside_end:
                total = splat(zero)
                for i in range(y_begin, y_end):
                    row = plane + (i * job.width + column) * item
                    if job.stride_x == 1:
                        for j in range(job.s):
                            total = total + load(zero, row + j * item)
                    else:
                        for j in range(0, job.s, 2):
                            left = load(zero, row + j * item)
                            if j + 1 < job.s:
                                right = load(zero, row + (j + width) * item)
                                total = total + evens(left, right)
                                total = total + odds(left, right)
                            else:
                                right = load_between(zero, row + (j + width) * item, 0, width - 1)
                                total = total + evens(left, right)
                store(out + x * item, total * splat(as_type(zero, 1) / _divisor(zero, job, y, column)))
                x += width
            else:
                value = zero
                for i in range(y_begin, y_end):
                    for j in range(max(column, 0), min(column + job.s, job.width)):
                        value += peek(zero, plane + (i * job.width + j) * item)
                poke(out + x * item, value / _divisor(zero, job, y, column))
                x += 1


@jit.parallel
def avg_pool_parallel(threads, zero, address):
    """Run all shares of :func:`avg_pool_share`."""
    for t in prange(threads):
        avg_pool_share(np.intp(t), threads, zero, address)


@jit.share
def avg_pool_backward_share(t, threads, zero, address):
    """Spread the gradients of some planes' outputs (`out`) over their windows (`x`)."""
    job = record(POOL_JOB, address)
    item = item_bytes(zero)
    size = job.height * job.width
    for number in range(job.planes * t // threads, job.planes * (t + 1) // threads):
        plane = job.x + number * size * item
        for n in range(size):
            poke(plane + n * item, zero)
        grads = job.out + number * job.out_height * job.out_width * item
        for row in range(job.out_height):
            y = row * job.stride_y - job.top
            for column in range(job.out_width):
                x = column * job.stride_x - job.left
                grad = peek(zero, grads + (row * job.out_width + column) * item) / _divisor(zero, job, y, x)
                for i in range(max(y, 0), min(y + job.r, job.height)):
                    for j in range(max(x, 0), min(x + job.s, job.width)):
                        place = plane + (i * job.width + j) * item
                        poke(place, peek(zero, place) + grad)


@jit.parallel
def avg_pool_backward_parallel(threads, zero, address):
    """Run all shares of :func:`avg_pool_backward_share`."""
    for t in prange(threads):
        avg_pool_backward_share(np.intp(t), threads, zero, address)
