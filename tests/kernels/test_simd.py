"""Every operation on vectors against NumPy: arithmetic, comparison, memory, shuffles."""

import numba
import numpy as np
import pytest

from fastconv import jit
from fastconv.jit.records import Bytes, Elements
from fastconv.kernels.pointers import record
from fastconv.kernels.shuffles import (
    dealt,
    evens,
    every_second,
    in_order,
    interleaved,
    interleaved_dealt,
    odds,
    transpose_block,
    transpose_part,
)
from fastconv.kernels.simd import (
    as_type,
    challenge,
    either,
    equal,
    everywhere,
    fma,
    greater_or_nan,
    lanes_of,
    load,
    load_between,
    load_bytes,
    load_truths,
    not_above,
    rectified,
    root,
    splat,
    store,
    store_bytes,
    store_first,
    sum_of,
    where,
)

from .helpers import call, compiled

UNTOUCHED = 99


class Operands(jit.Record):
    """What the compiled functions of this file read and write."""

    a: Elements
    b: Elements
    c: Elements
    d: Elements
    out: Elements
    trace: Bytes
    first: int
    end: int
    pitch: int
    out_pitch: int


def vectors(dtype, count=4, rounds=50):
    """Random vectors with many equal and special numbers."""
    rng = np.random.default_rng(0)
    special = [np.nan, np.inf, -np.inf, 0, -0.0, 1, -1]
    for _ in range(rounds):
        values = rng.standard_normal((count, jit.lanes(dtype)))
        chosen = rng.random(values.shape) < 0.4
        values[chosen] = rng.choice(special, np.count_nonzero(chosen))
        yield values.astype(dtype)


# --- from vectors to vectors ----------------------------------------------------------------------------------------


@compiled
def truth(mask, zero):
    """Return 1 where a mask is true, else 0."""
    return where(mask, splat(as_type(zero, 1)), splat(zero))


@compiled
def store_one(to, width, results):
    store(to, results[0])


@compiled
def store_two(to, width, results):
    store(to, results[0])
    store(to + width, results[1])


@compiled
def store_four(to, width, results):
    store(to, results[0])
    store(to + width, results[1])
    store(to + 2 * width, results[2])
    store(to + 3 * width, results[3])


STORES = {1: store_one, 2: store_two, 4: store_four}

# Name -> what is compiled, and the same in NumPy; of `zero` and four vectors, to as many as come out.
OPERATIONS = {
    "add": (lambda zero, a, b, c, d: (a + b,), lambda a, b, c, d: (a + b,)),
    "subtract": (lambda zero, a, b, c, d: (a - b,), lambda a, b, c, d: (a - b,)),
    "multiply": (lambda zero, a, b, c, d: (a * b,), lambda a, b, c, d: (a * b,)),
    "divide": (lambda zero, a, b, c, d: (a / b,), lambda a, b, c, d: (a / b,)),
    "root": (lambda zero, a, b, c, d: (root(a),), lambda a, b, c, d: (np.sqrt(a),)),
    "rectified": (lambda zero, a, b, c, d: (rectified(a),), lambda a, b, c, d: (np.where(a < 0, 0, a),)),
    "greater_or_nan": (
        lambda zero, a, b, c, d: (truth(greater_or_nan(a, b), zero),),
        lambda a, b, c, d: ((a > b) | np.isnan(a),),
    ),
    "not_above": (lambda zero, a, b, c, d: (truth(not_above(a, b), zero),), lambda a, b, c, d: (a <= b,)),
    "equal": (lambda zero, a, b, c, d: (truth(equal(a, b), zero),), lambda a, b, c, d: (a == b,)),
    "either": (
        lambda zero, a, b, c, d: (truth(either(equal(a, b), equal(c, d)), zero),),
        lambda a, b, c, d: ((a == b) | (c == d),),
    ),
    "where": (lambda zero, a, b, c, d: (where(equal(a, b), c, d),), lambda a, b, c, d: (np.where(a == b, c, d),)),
    "challenge": (
        lambda zero, a, b, c, d: challenge(a, b, c, d),
        lambda a, b, c, d: (np.where((a > c) | np.isnan(a), a, c), np.where((a > c) | np.isnan(a), b, d)),
    ),
    "evens": (lambda zero, a, b, c, d: (evens(a, b),), lambda a, b, c, d: (np.append(a, b)[::2],)),
    "odds": (lambda zero, a, b, c, d: (odds(a, b),), lambda a, b, c, d: (np.append(a, b)[1::2],)),
    "every_second": (
        lambda zero, a, b, c, d: (in_order(every_second(a, b)),),
        lambda a, b, c, d: (np.append(a, b[1:])[::2],),
    ),
    "interleaved": (
        lambda zero, a, b, c, d: interleaved(a, b),
        lambda a, b, c, d: np.split(np.stack([a, b], axis=1).ravel(), 2),
    ),
    "interleaved_dealt": (
        lambda zero, a, b, c, d: interleaved_dealt(dealt(a), dealt(b)),
        lambda a, b, c, d: np.split(np.stack([a, b], axis=1).ravel(), 2),
    ),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_operation(name, dtype):
    operation, in_numpy = OPERATIONS[name]
    operation = compiled(operation)
    width = jit.lanes(dtype)
    store_all = STORES[len(in_numpy(*np.ones((4, width))))]

    @compiled
    def run(zero, address):
        job = record(Operands, zero, address)
        store_all(job.out, lanes_of(zero), operation(zero, load(job.a), load(job.b), load(job.c), load(job.d)))

    for a, b, c, d in vectors(dtype):
        with np.errstate(all="ignore"):
            expected = np.concatenate(in_numpy(a, b, c, d)).astype(dtype)
        out = np.full(4 * width, UNTOUCHED, dtype)
        call(run, dtype, Operands(), a=a, b=b, c=c, d=d, out=out)
        results, rest = np.split(out, [len(expected)])
        np.testing.assert_array_equal(results, expected)
        zeros = expected == 0  # whose signs NumPy does not compare
        np.testing.assert_array_equal(np.signbit(results[zeros]), np.signbit(expected[zeros]))
        assert np.all(rest == UNTOUCHED)


def test_fma(dtype):
    @compiled
    def run(zero, address):
        job = record(Operands, zero, address)
        store(job.out, fma(load(job.a), load(job.b), load(job.c)))

    out = np.empty(jit.lanes(dtype), dtype)
    rng = np.random.default_rng(0)
    for _ in range(50):
        a, b, c = rng.standard_normal((3, len(out))).astype(dtype)
        call(run, dtype, Operands(), a=a, b=b, c=c, out=out)
        exact = a.astype(np.longdouble) * b + c
        assert np.all(np.abs(out - exact) <= np.finfo(dtype).eps * (np.abs(a * b) + np.abs(c)))
    if jit.has_fma():
        a = np.full(len(out), 1 + np.finfo(dtype).eps, dtype)
        call(run, dtype, Operands(), a=a, b=a, c=-(a * a), out=out)
        assert np.all(out == np.finfo(dtype).eps ** 2)  # what rounding the product first would lose


# --- scalars --------------------------------------------------------------------------------------------------------


def test_lanes_and_splat(dtype):
    @compiled
    def run(zero, address):
        job = record(Operands, zero, address)
        store(job.out, splat(job.a[0]))
        return lanes_of(zero)

    a, out = np.array([3.5], dtype), np.zeros(jit.lanes(dtype), dtype)
    assert call(run, dtype, Operands(), a=a, out=out) == jit.lanes(dtype) == jit.vector_bytes() // dtype.itemsize
    assert np.all(out == 3.5)


def test_sum_is_in_float64(dtype):
    @compiled
    def run(zero, address):
        return sum_of(load(record(Operands, zero, address).a))

    for (a,) in vectors(dtype, count=1):
        total = 0.0
        with np.errstate(invalid="ignore"):
            for value in a.tolist():
                total += value
        np.testing.assert_equal(call(run, dtype, Operands(), a=a), total)


def test_everywhere(dtype):
    @compiled
    def run(zero, address):
        job = record(Operands, zero, address)
        return everywhere(equal(load(job.a), load(job.b)))

    a = np.ones(jit.lanes(dtype), dtype)
    assert call(run, dtype, Operands(), a=a, b=a)
    for lane in range(len(a)):
        b = a.copy()
        b[lane] = 2
        assert not call(run, dtype, Operands(), a=a, b=b)


def test_as_type(dtype):
    @compiled
    def run(zero, address):
        job = record(Operands, zero, address)
        job.out[0], job.out[1] = as_type(zero, 7), as_type(zero, 0.1)

    out = np.zeros(2, dtype)
    call(run, dtype, Operands(), out=out)
    np.testing.assert_array_equal(out, np.array([7, 0.1], dtype))


# --- memory ---------------------------------------------------------------------------------------------------------


def test_elements_need_no_alignment(dtype):
    @compiled
    def run(zero, address):
        job = record(Operands, zero, address)
        store(job.out + 1, load(job.a + 3))

    count = jit.lanes(dtype)
    a, out = np.arange(count + 3, dtype=dtype), np.full(count + 2, UNTOUCHED, dtype)
    call(run, dtype, Operands(), a=a, out=out)
    np.testing.assert_array_equal(out, [UNTOUCHED, *a[3:], UNTOUCHED])


def test_load_between(dtype):
    @compiled
    def run(zero, address):
        job = record(Operands, zero, address)
        store(job.out, load_between(job.a, job.first, job.end))

    count = jit.lanes(dtype)
    a, lane = np.arange(1, count + 1, dtype=dtype), np.arange(count)
    for first in range(-2, count + 2):
        for end in range(-2, count + 3):
            out = np.full(count, UNTOUCHED, dtype)
            call(run, dtype, Operands(first=first, end=end), a=a, out=out)
            np.testing.assert_array_equal(out, np.where((lane >= first) & (lane < end), a, 0))


def test_load_between_touches_nothing_else(dtype):
    @compiled
    def run(zero, address):
        job = record(Operands, zero, address)
        store(job.out, load_between(job.a, job.first, job.end))

    # No lane lies where anything may be read.
    out = np.full(jit.lanes(dtype), UNTOUCHED, dtype)
    call(run, dtype, Operands(first=3, end=3), out=out)
    assert np.all(out == 0)


def test_store_first(dtype):
    @compiled
    def run(zero, address):
        job = record(Operands, zero, address)
        store_first(job.out, load(job.a), job.end)

    count = jit.lanes(dtype)
    a = np.arange(1, count + 1, dtype=dtype)
    for end in range(-1, count + 2):
        out = np.full(count + 1, UNTOUCHED, dtype)
        call(run, dtype, Operands(end=end), a=a, out=out)
        stored = min(max(end, 0), count)
        np.testing.assert_array_equal(out, [*a[:stored], *[UNTOUCHED] * (count + 1 - stored)])


def test_bytes(dtype):
    @compiled
    def run(zero, address):
        job = record(Operands, zero, address)
        store(job.out, load_bytes(zero, job.trace))
        store_bytes(job.trace + lanes_of(zero), load(job.out))

    count = jit.lanes(dtype)
    trace = np.full(2 * count + 1, UNTOUCHED, np.uint8)
    trace[:count] = np.arange(count) % 5
    out = np.empty(count, dtype)
    call(run, dtype, Operands(), trace=trace, out=out)
    np.testing.assert_array_equal(out, np.arange(count) % 5)
    np.testing.assert_array_equal(trace[count:], [*np.arange(count) % 5, UNTOUCHED])


def test_truths(dtype):
    @compiled
    def run(zero, address):
        job = record(Operands, zero, address)
        store(job.out, where(load_truths(zero, job.trace), load(job.a), splat(zero)))

    count = jit.lanes(dtype)
    trace = np.array([0, 1, 255, 0, 128, 0, 2, 0, 0, 0, 1, 1, 0, 3, 0, 7][:count], np.uint8)
    a, out = np.arange(1, count + 1, dtype=dtype), np.empty(count, dtype)
    call(run, dtype, Operands(), a=a, trace=trace, out=out)
    np.testing.assert_array_equal(out, np.where(trace != 0, a, 0))


def test_transpose_block(dtype):
    @compiled
    def run(zero, address):
        job = record(Operands, zero, address)
        transpose_block(job.a, job.pitch, job.out, job.out_pitch)

    count = jit.lanes(dtype)
    a = np.random.default_rng(0).standard_normal((count, count + 3)).astype(dtype)
    out = np.full((count, count + 5), UNTOUCHED, dtype)
    call(run, dtype, Operands(pitch=a.shape[1], out_pitch=out.shape[1]), a=a, out=out)
    np.testing.assert_array_equal(out[:, :count], a[:, :count].T)
    assert np.all(out[:, count:] == UNTOUCHED)


@pytest.mark.parametrize("move", [store, lambda pointer, vector: store_first(pointer, vector, 1)], ids=["all", "first"])
def test_vectors_are_stored_only_at_their_own_elements(move, dtype):
    move = move if move is store else compiled(move)

    @compiled
    def run(zero, address):
        job = record(Operands, zero, address)
        move(job.trace, load(job.a))

    with pytest.raises(numba.TypingError, match="cannot be stored at"):
        call(run, dtype, Operands(), a=np.zeros(jit.lanes(dtype), dtype))


def test_transpose_part(dtype):
    """What is not asked for is zero, or the last row again, and is not read: NaN lies there."""

    @compiled
    def run(zero, address):
        job = record(PartOperands, zero, address)
        transpose_part(job.a, job.pitch, job.rows, job.first, job.end, job.out, job.out_pitch)

    count = jit.lanes(dtype)
    numbers = np.random.default_rng(0).standard_normal((count, count)).astype(dtype)
    for rows, first, end in [(count, 0, count), (1, 0, count), (count, 1, count), (count - 1, -3, 1), (1, 0, 99)]:
        a = np.full((count, count + 3), np.nan, dtype)
        inside = slice(max(first, 0), min(end, count))
        a[:rows, inside] = numbers[:rows, inside]
        expected = np.zeros((count, count), dtype)
        expected[inside] = numbers[np.minimum(np.arange(count), rows - 1), inside].T
        out = np.full((count, count + 5), UNTOUCHED, dtype)
        job = PartOperands(pitch=a.shape[1], out_pitch=out.shape[1], rows=rows, first=first, end=end)
        call(run, dtype, job, a=a, out=out)
        np.testing.assert_array_equal(out[:, :count], expected)
        assert np.all(out[:, count:] == UNTOUCHED)


class PartOperands(jit.Record):
    a: Elements
    out: Elements
    pitch: int
    out_pitch: int
    rows: int
    first: int
    end: int
