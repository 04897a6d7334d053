"""What a backward pass must know of ReLU and of 2x2 max pooling, in one byte an output.

Of a ReLU: whether its output is above zero. Of a pooling of rectified values: which of a window's four places held the
maximum, or that no gradient passes since the maximum is zero. That is a quarter of the features themselves, and an
eighth of an int64 index for a pooling.
"""

from __future__ import annotations

import numpy as np

from fastconv import jit

from .flags import BLOCKED, challenge, load_codes, store_codes
from .oldmem import item_bytes, load, peek, poke, record, store
from .simd import as_type, equal, evens, interleaved, lanes, not_above, odds, splat, where


class SignJob(jit.Record):
    """What the ReLU kernels work on: addresses of values or gradients and of bytes, and the number of each."""

    values: int
    codes: int
    size: int


SIGN_JOB = np.dtype(SignJob)


@jit.kernel
def signs_kernel(t, threads, zero, address):
    """Write 1 where a value is above zero or NaN, else 0."""
    job = record(SIGN_JOB, address)
    item = item_bytes(zero)
    width = lanes(zero)
    n = job.size * t // threads
    end = job.size * (t + 1) // threads
    none, one = splat(zero), splat(as_type(zero, 1))
    while n + width <= end:
        value = load(zero, job.values + n * item)
        store_codes(job.codes + n, where(not_above(value, none), none, one))
        n += width
    while n < end:
        poke(job.codes + n, np.uint8(0) if peek(zero, job.values + n * item) <= zero else np.uint8(1))
        n += 1


@jit.kernel
def block_kernel(t, threads, zero, address):
    """Set gradients to zero where the byte is 0."""
    job = record(SIGN_JOB, address)
    item = item_bytes(zero)
    width = lanes(zero)
    n = job.size * t // threads
    end = job.size * (t + 1) // threads
    none = splat(zero)
    while n + width <= end:
        blocked = equal(load_codes(zero, job.codes + n), none)
        store(job.values + n * item, where(blocked, none, load(zero, job.values + n * item)))
        n += width
    while n < end:
        if peek(np.uint8(0), job.codes + n) == 0:
            poke(job.values + n * item, zero)
        n += 1


class WindowJob(jit.Record):
    """What the pooling kernels work on: planes of (height, width), and of half of that, rounded down."""

    planes: int
    height: int
    width: int
    large: int
    small: int
    codes: int


WINDOW_JOB = np.dtype(WindowJob)


@jit.kernel
def max_pool_kernel(t, threads, zero, address):
    """Write the maxima of 2x2 windows of `large` to `small`, and the codes of their places."""
    job = record(WINDOW_JOB, address)
    item = item_bytes(zero)
    width = lanes(zero)
    none, blocked = splat(zero), splat(as_type(zero, BLOCKED))
    one, two, three = splat(as_type(zero, 1)), splat(as_type(zero, 2)), splat(as_type(zero, 3))
    rows, columns = job.height // 2, job.width // 2
    for unit in range(job.planes * rows * t // threads, job.planes * rows * (t + 1) // threads):
        plane = unit // rows
        upper = job.large + (plane * job.height + (unit - plane * rows) * 2) * job.width * item
        lower = upper + job.width * item
        small = job.small + unit * columns * item
        codes = job.codes + unit * columns
        x = 0
        while x + width <= columns:
            at = 2 * x * item
            left, right = load(zero, upper + at), load(zero, upper + at + width * item)
            best, place = evens(left, right), none
            best, place = challenge(odds(left, right), one, best, place)
            left, right = load(zero, lower + at), load(zero, lower + at + width * item)
            best, place = challenge(evens(left, right), two, best, place)
            best, place = challenge(odds(left, right), three, best, place)
            store(small + x * item, best)
            store_codes(codes + x, where(not_above(best, none), blocked, place))
            x += width
        while x < columns:
            best = peek(zero, upper + 2 * x * item)
            place = 0
            for code in range(1, 4):
                row = upper if code == 1 else lower
                value = peek(zero, row + (2 * x + code % 2) * item)
                if value > best or value != value:
                    best = value
                    place = code
            poke(small + x * item, best)
            poke(codes + x, np.uint8(BLOCKED if best <= zero else place))
            x += 1


@jit.kernel
def max_pool_backward_kernel(t, threads, zero, address):
    """Write gradients of `small` to the places in `large` that the codes name, and zero everywhere else."""
    job = record(WINDOW_JOB, address)
    item = item_bytes(zero)
    width = lanes(zero)
    none = splat(zero)
    rows, columns = job.height // 2, job.width // 2
    for unit in range(job.planes * job.height * t // threads, job.planes * job.height * (t + 1) // threads):
        plane = unit // job.height
        y = unit - plane * job.height
        large = job.large + unit * job.width * item
        x = 0
        if y < 2 * rows:
            first = y % 2 * 2  # code of the left place
            row = (plane * rows + y // 2) * columns
            small, codes = job.small + row * item, job.codes + row
            left, right = splat(as_type(zero, first)), splat(as_type(zero, first + 1))
            while x + width <= columns:
                code, grad = load_codes(zero, codes + x), load(zero, small + x * item)
                low, high = interleaved(where(equal(code, left), grad, none), where(equal(code, right), grad, none))
                store(large + 2 * x * item, low)
                store(large + (2 * x + width) * item, high)
                x += width
            while x < columns:
                code, grad = np.intp(peek(np.uint8(0), codes + x)), peek(zero, small + x * item)
                poke(large + 2 * x * item, grad if code == first else zero)
                poke(large + (2 * x + 1) * item, grad if code == first + 1 else zero)
                x += 1
        for beyond in range(2 * x, job.width):
            poke(large + beyond * item, zero)
