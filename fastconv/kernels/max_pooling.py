"""Max pooling, forward and backward.

Windows of 2x2 and 3x3 at stride 2 are unfolded. A maximum's place is carried along as its offset from the window's
first pixel, in floats (exact up to 2**24), and becomes an int64 index when it is stored.

Backward, gradients are scattered, since only the indices are known, unless those turn out to lie in tiles of 2x2.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastconv import jit
from fastconv.geometry import PoolGeometry
from fastconv.jit.records import Elements, Words

from .ir import load_ir, shuffle_ir, splat_ir, store_ir, vector_ir
from .pointers import nowhere, record
from .pooling import EXACT_OFFSETS, PoolJob, load_places, pool_job, write_zeros
from .shuffles import dealt, dealt_order, in_order, interleaved_dealt
from .simd import Vector, as_type, challenge, either, equal, everywhere, lanes_of, load, splat, store, where

_AHEAD = 512  # places that are set to zero before something is added to the first of them


# --- forward --------------------------------------------------------------------------------------------------------


@intrinsic
def _store_indices(typingctx: Any, indices: Any, first: Any, step: Any, offsets: Any) -> Any:
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

    return types.void(indices, types.intp, types.intp, offsets), codegen


@jit.unfold
def _max_vectors(zero, job, plane, y, out, indices, rows, columns, stride, gap):
    """Compute an output row's columns inside the picture, by windows of `rows` rows from `y` on, also inside."""
    pitch = job.window.dilation_y * job.width
    down, across = splat(as_type(zero, pitch)), splat(as_type(zero, gap))
    origin = y * job.width - job.window.left
    x = job.inside
    while x < job.inside_end:
        x = min(x, job.inside_end - lanes_of(zero))  # the last vector may repeat columns of the one before
        first = origin + x * stride
        best = offset = leftmost = splat(zero)
        for i in range(rows):
            place = leftmost
            for j in range(columns):
                value = load_places(zero, plane + (first + i * pitch + j * gap), stride)
                if i + j == 0:
                    best = value
                else:
                    best, offset = challenge(value, place, best, offset)
                place = place + across
            leftmost = leftmost + down
        if stride == 2:
            best, offset = in_order(best), in_order(offset)
        store(out + x, best)
        if indices:
            _store_indices(indices + x, first, stride, offset)
        x += lanes_of(zero)


@jit.unfold
def _max_inside(zero, job, plane, y, rows, out, indices):
    """Compute an output row's columns inside the picture; `indices` points nowhere if they are not asked for."""
    if rows == job.window.columns == job.window.stride_x == 2:
        _max_vectors(zero, job, plane, y, out, indices, 2, 2, 2, job.window.dilation_x)
    elif rows == job.window.columns == 3 and job.window.stride_x == 2:
        _max_vectors(zero, job, plane, y, out, indices, 3, 3, 2, job.window.dilation_x)
    else:
        _max_vectors(
            zero, job, plane, y, out, indices, rows, job.window.columns, job.window.stride_x, job.window.dilation_x
        )


@intrinsic
def _minus_infinity(typingctx: Any, zero: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return ir.Constant(context.get_value_type(zero), float("-inf"))

    return zero(zero), codegen


@jit.inline
def _max_of_window(zero, job, plane, y, x):
    """Return the maximum of the window that begins at (y, x), which may be outside, and its index or -1."""
    row, row_end = _places_inside(y, job.window.rows, job.window.dilation_y, job.height)
    first, end = _places_inside(x, job.window.columns, job.window.dilation_x, job.width)
    best = _minus_infinity(zero)
    index = -1
    if row < row_end and first < end:
        index = row * job.width + first
        while row < row_end:
            for place in range(row * job.width + first, row * job.width + end, job.window.dilation_x):
                value = plane[place]
                if (value > best) | (value != value):
                    best = value
                    index = place
            row += job.window.dilation_y
    return best, index


@jit.inline
def _places_inside(start, count, gap, size):
    """Return the first of a window's places along an axis that is not negative, and a bound above them all."""
    first = start if start >= 0 else start + (gap - 1 - start) // gap * gap
    return first, min(start + count * gap, size)


@jit.unfold
def _max_windows(zero, job, plane, y, begin_x, end_x, out, indices):
    """Compute some columns of an output row one by one."""
    for x in range(begin_x, end_x):
        value, index = _max_of_window(zero, job, plane, y, x * job.window.stride_x - job.window.left)
        out[x] = value
        if indices:
            indices[x] = index


@jit.kernel
def max_pool_kernel(t, threads, zero, address):
    """Compute the maxima of some output rows."""
    job = record(PoolJob, zero, address)
    rows_in_all = job.planes * job.small_height
    for unit in range(rows_in_all * t // threads, rows_in_all * (t + 1) // threads):
        number = unit // job.small_height
        y = (unit - number * job.small_height) * job.window.stride_y - job.window.top
        plane = job.large + number * job.height * job.width
        out = job.small + unit * job.small_width
        indices = job.indices + unit * job.small_width if job.indices else job.indices
        row, row_end = _places_inside(y, job.window.rows, job.window.dilation_y, job.height)
        rows = (row_end - row + job.window.dilation_y - 1) // job.window.dilation_y
        if rows < 1 or job.inside_end - job.inside < lanes_of(zero):
            _max_windows(zero, job, plane, y, 0, job.small_width, out, indices)
            continue
        _max_windows(zero, job, plane, y, 0, job.inside, out, indices)
        if not indices:
            _max_inside(zero, job, plane, row, rows, out, nowhere(indices))
        else:
            _max_inside(zero, job, plane, row, rows, out, indices)
        _max_windows(zero, job, plane, y, job.inside_end, job.small_width, out, indices)


def max_pool(x: np.ndarray, geometry: PoolGeometry, out: np.ndarray, indices: np.ndarray | None) -> None:
    """Write maxima and, unless None, their int64 indices in the plane."""
    job = pool_job(x, geometry, out)
    if indices is not None:
        job.indices = jit.address_of(indices)
    max_pool_kernel(job, x.dtype, jit.threads_for(elements=x.size))


# --- backward -------------------------------------------------------------------------------------------------------


class ScatterJob(jit.Record):
    """What the gradient works on: as :class:`~fastconv.kernels.pooling.PoolJob`, but only indices tell of windows."""

    planes: int
    large: Elements
    height: int
    width: int
    small: Elements
    small_height: int
    small_width: int
    # places in the large plane
    indices: Words
    # set to 1 if an index lies outside its plane
    fault: Words


@intrinsic
def _load_offsets(typingctx: Any, zero: Any, indices: Any, first: Any, step: Any) -> Any:
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

    return vector(zero, indices, types.intp, types.intp), codegen


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
    lanes = lanes_of(zero)
    right, below = splat(as_type(zero, 1)), splat(as_type(zero, job.width))
    found = right  # 1 while all of a lane were found in their tiles
    for y in range(job.small_height):
        first = 2 * y * job.width
        row = plane + first
        x = 0
        while x < job.small_width:
            x = min(x, job.small_width - lanes)  # the last vector may repeat columns of the one before
            grad = dealt(load(grads + (y * job.small_width + x)))
            offsets = _load_offsets(zero, indices + (y * job.small_width + x), first + 2 * x, 2)
            a, at_a = _where_at(zero, offsets, splat(zero), grad)
            b, at_b = _where_at(zero, offsets, right, grad)
            c, at_c = _where_at(zero, offsets, below, grad)
            d, at_d = _where_at(zero, offsets, below + right, grad)
            found = where(either(either(at_a, at_b), either(at_c, at_d)), found, splat(zero))
            _store_dealt_pair(zero, row + 2 * x, a, b)
            _store_dealt_pair(zero, row + (2 * x + job.width), c, d)
            x += lanes
        if not everywhere(equal(found, right)):
            return False
        if 2 * job.small_width < job.width:
            row[job.width - 1] = zero
            row[2 * job.width - 1] = zero
    write_zeros(zero, plane + 2 * job.small_height * job.width, (job.height - 2 * job.small_height) * job.width)
    return True


@jit.unfold
def _store_dealt_pair(zero, to, even, odd):
    """Store two vectors, their elements in turn, which are dealt."""
    low, high = interleaved_dealt(even, odd)
    store(to, low)
    store(to + lanes_of(zero), high)


@jit.unfold
def _add_to_places(zero, job, plane, grads, indices):
    """Add a plane's gradients to the places they came from; return whether every index lies within the plane.

    Zeros are written just ahead of what is added to them, so that they are still in the nearest cache.
    """
    size = job.height * job.width
    filled = 0
    for n in range(job.small_height * job.small_width):
        index = indices[n]
        if np.uint64(index) >= np.uint64(filled):  # read as unsigned, a negative one is huge
            if np.uint64(index) >= np.uint64(size):
                return False
            ahead = min(index + _AHEAD, size)
            write_zeros(zero, plane + filled, ahead - filled)
            filled = ahead
        plane[index] += grads[n]
    write_zeros(zero, plane + filled, size - filled)
    return True


@jit.kernel
def max_pool_backward_kernel(t, threads, zero, address):
    """Add the gradients of some planes' outputs to the places they came from."""
    job = record(ScatterJob, zero, address)
    size = job.height * job.width
    outputs = job.small_height * job.small_width
    halves = job.small_height == job.height // 2 and job.small_width == job.width // 2
    # Windows of another size may give outputs of the same: the first index outside its tile tells.
    in_tiles = halves and job.small_width >= lanes_of(zero) and size < EXACT_OFFSETS
    for number in range(job.planes * t // threads, job.planes * (t + 1) // threads):
        plane = job.large + number * size
        grads = job.small + number * outputs
        indices = job.indices + number * outputs
        in_tiles = in_tiles and _spread_over_tiles(zero, job, plane, grads, indices)
        if not in_tiles and not _add_to_places(zero, job, plane, grads, indices):
            job.fault[0] = 1
            return


def max_pool_backward(grad_output: np.ndarray, indices: np.ndarray, out: np.ndarray) -> bool:
    """Write the gradient by the input; return whether every index lies within its plane, or else stop there."""
    images, channels, height, width = out.shape
    fault = np.zeros(1, np.intp)
    job = ScatterJob(
        planes=images * channels,
        large=jit.address_of(out), height=height, width=width,
        small=jit.address_of(grad_output), small_height=grad_output.shape[2], small_width=grad_output.shape[3],
        indices=jit.address_of(indices), fault=jit.address_of(fault),
    )  # fmt: skip
    max_pool_backward_kernel(job, out.dtype, jit.threads_for(elements=out.size))
    return not fault[0]
