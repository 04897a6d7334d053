"""Traces (:mod:`fastconv.traces`) written and read by passes of their own, where no convolution does it in passing."""

from __future__ import annotations

import math

import numpy as np

from fastconv import jit
from fastconv.jit.records import Bytes, Elements
from fastconv.traces import BLOCKED, Trace

from .pointers import record
from .shuffles import evens, interleaved, odds
from .simd import as_type, challenge, equal, lanes_of, load, load_bytes, not_above, splat, store, store_bytes, where

MARGIN = 2 * jit.LINE  # bytes around a trace that vectors may reach into


def empty_trace(shape: tuple[int, ...]) -> Trace:
    """Return an array for a trace, in a larger one: kernels read whole vectors."""
    size = math.prod(shape)
    return np.empty(size + 2 * MARGIN, np.uint8)[MARGIN : MARGIN + size].reshape(shape)


class ReluTraceJob(jit.Record):
    """What the kernel of ReLU works on: values, the bytes of a trace, and how many of each."""

    values: Elements
    trace: Bytes
    size: int


@jit.kernel
def relu_trace_kernel(t, threads, zero, address):
    """Write 1 where a value is above zero or NaN, else 0."""
    job = record(ReluTraceJob, zero, address)
    n = job.size * t // threads
    end = job.size * (t + 1) // threads
    none, one = splat(zero), splat(as_type(zero, 1))
    while n + lanes_of(zero) <= end:
        store_bytes(job.trace + n, where(not_above(load(job.values + n), none), none, one))
        n += lanes_of(zero)
    while n < end:
        job.trace[n] = np.uint8(0) if job.values[n] <= zero else np.uint8(1)
        n += 1


def relu_trace(y: np.ndarray, trace: Trace) -> None:
    """Write to `trace`, of the shape of `y`, where a rectified `y` lets gradients pass: 1 or 0."""
    job = ReluTraceJob(values=jit.address_of(y), trace=jit.address_of(trace), size=y.size)
    relu_trace_kernel(job, y.dtype, jit.threads_for(elements=y.size))


class PoolTraceJob(jit.Record):
    """What the kernels of pooling work on: planes of (height, width), and of half of that, rounded down."""

    planes: int
    height: int
    width: int
    large: Elements
    small: Elements
    trace: Bytes


@jit.kernel
def pool_relu_kernel(t, threads, zero, address):
    """Write the maxima of 2x2 windows of `large` to `small`, and their places to the trace."""
    job = record(PoolTraceJob, zero, address)
    lanes = lanes_of(zero)
    none, blocked = splat(zero), splat(as_type(zero, BLOCKED))
    one, two, three = splat(as_type(zero, 1)), splat(as_type(zero, 2)), splat(as_type(zero, 3))
    rows, columns = job.height // 2, job.width // 2
    for unit in range(job.planes * rows * t // threads, job.planes * rows * (t + 1) // threads):
        plane = unit // rows
        upper = job.large + (plane * job.height + (unit - plane * rows) * 2) * job.width
        lower = upper + job.width
        small = job.small + unit * columns
        trace = job.trace + unit * columns
        x = 0
        while x + lanes <= columns:
            left, right = load(upper + 2 * x), load(upper + 2 * x + lanes)
            best, place = evens(left, right), none
            best, place = challenge(odds(left, right), one, best, place)
            left, right = load(lower + 2 * x), load(lower + 2 * x + lanes)
            best, place = challenge(evens(left, right), two, best, place)
            best, place = challenge(odds(left, right), three, best, place)
            store(small + x, best)
            store_bytes(trace + x, where(not_above(best, none), blocked, place))
            x += lanes
        while x < columns:
            best = upper[2 * x]
            place = 0
            for number in range(1, 4):
                row = upper if number == 1 else lower
                value = row[2 * x + number % 2]
                if value > best or value != value:
                    best = value
                    place = number
            small[x] = best
            trace[x] = np.uint8(BLOCKED if best <= zero else place)
            x += 1


@jit.kernel
def pool_relu_backward_kernel(t, threads, zero, address):
    """Write gradients of `small` to the places in `large` that the trace names, and zero everywhere else."""
    job = record(PoolTraceJob, zero, address)
    lanes = lanes_of(zero)
    none = splat(zero)
    rows, columns = job.height // 2, job.width // 2
    for unit in range(job.planes * job.height * t // threads, job.planes * job.height * (t + 1) // threads):
        plane = unit // job.height
        y = unit - plane * job.height
        large = job.large + unit * job.width
        x = 0
        if y < 2 * rows:
            first = y % 2 * 2  # number of the left place
            row = (plane * rows + y // 2) * columns
            small, trace = job.small + row, job.trace + row
            left, right = splat(as_type(zero, first)), splat(as_type(zero, first + 1))
            while x + lanes <= columns:
                place, grad = load_bytes(zero, trace + x), load(small + x)
                low, high = interleaved(where(equal(place, left), grad, none), where(equal(place, right), grad, none))
                store(large + 2 * x, low)
                store(large + 2 * x + lanes, high)
                x += lanes
            while x < columns:
                place, grad = np.intp(trace[x]), small[x]
                large[2 * x] = grad if place == first else zero
                large[2 * x + 1] = grad if place == first + 1 else zero
                x += 1
        for beyond in range(2 * x, job.width):
            large[beyond] = zero


def pool_relu(x: np.ndarray, out: np.ndarray, trace: Trace) -> None:
    """Pool rectified `x`, (N, C, H, W), by windows of 2x2 to `out` and `trace`, both (N, C, H // 2, W // 2)."""
    pool_relu_kernel(_pool_job(x, out, trace), x.dtype, jit.threads_for(elements=x.size))


def pool_relu_backward(gradient: np.ndarray, trace: Trace, out: np.ndarray) -> None:
    """Write the gradient by what the ReLU before a pooling was given: zero but at the places of maxima above zero.

    `gradient` and `trace` have the shape of the pooling's output, `out`, (N, C, H, W), that of its input.
    """
    pool_relu_backward_kernel(_pool_job(out, gradient, trace), out.dtype, jit.threads_for(elements=out.size))


def _pool_job(large: np.ndarray, small: np.ndarray, trace: Trace) -> PoolTraceJob:
    images, channels, height, width = large.shape
    return PoolTraceJob(
        planes=images * channels, height=height, width=width, large=jit.address_of(large),
        small=jit.address_of(small), trace=jit.address_of(trace),
    )  # fmt: skip
