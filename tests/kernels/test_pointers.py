"""Pointers and records in compiled code: what they read, write, compare and refuse."""

from typing import Annotated

import numba
import numpy as np
import pytest

from fastconv import jit
from fastconv.jit.records import Bytes, Elements, Words
from fastconv.kernels.pointers import (
    bytes_at,
    elements_at,
    nowhere,
    prefetch_to_write,
    record,
    records_at,
    words_at,
)

from .helpers import call, compiled


class Part(jit.Record):
    first: Elements
    count: int


class Job(jit.Record):
    before: int
    part: Part
    after: int
    numbers: Elements
    words: Words
    bytes: Bytes
    parts: Annotated[int, Part]


class TestArithmetic:
    def test_steps_are_elements(self, dtype):
        @compiled
        def run(zero, address):
            job = record(Job, zero, address)
            p = job.numbers + 3
            q = p - 1
            q += 4
            p -= 2
            return p[0], q[0], (job.words + 2)[0], (job.bytes + 5)[1], p[-1]

        numbers, words, trace = np.arange(10, dtype=dtype), 10 * np.arange(5), np.arange(250, 257).astype(np.uint8)
        assert call(run, dtype, Job(), numbers=numbers, words=words, bytes=trace) == (1, 6, 20, 0, 0)

    def test_any_integer_counts(self, dtype):
        @compiled
        def run(zero, address):
            p = record(Job, zero, address).numbers
            return p[np.int32(2)], (p + np.uint8(3))[0]

        assert call(run, dtype, Job(), numbers=np.arange(5, dtype=dtype)) == (2, 3)

    def test_comparison(self, dtype):
        @compiled
        def run(zero, address):
            p = record(Job, zero, address).numbers
            q = p + 1
            return p < q, p <= q, p > q, p >= q, p == q, p != q, p == q - 1

        told = call(run, dtype, Job(), numbers=np.zeros(2, dtype))
        assert told == (True, True, False, False, False, True, True)

    def test_truth(self, dtype):
        @compiled
        def run(zero, address):
            job = record(Job, zero, address)
            somewhere = 1 if job.numbers else 0
            none = nowhere(job.numbers)
            return somewhere, not job.words, bool(none), not none, none == job.numbers

        assert call(run, dtype, Job(), numbers=np.zeros(1, dtype)) == (1, True, False, True, False)

    @pytest.mark.parametrize(
        "wrong",
        [
            lambda job: job.numbers + 1.5,
            lambda job: job.numbers < job.words,
            lambda job: job.numbers + job.numbers,
            lambda job: job.numbers[0.0],
        ],
    )
    def test_refusals(self, wrong, dtype):
        wrong = compiled(wrong)

        @compiled
        def run(zero, address):
            return wrong(record(Job, zero, address))

        with pytest.raises(numba.TypingError):
            call(run, dtype, Job())


class TestMemory:
    def test_reading_and_writing(self, dtype):
        @compiled
        def run(zero, address):
            job = record(Job, zero, address)
            for n in range(3):
                job.numbers[n + 1] = job.numbers[n] * 2
            job.numbers[4] += 0.5
            job.words[0] -= 7
            job.bytes[1] = np.uint8(255)
            prefetch_to_write(nowhere(job.words))

        numbers, words, trace = np.array([1, 0, 0, 0, 5, 6], dtype), np.array([4, 9]), np.zeros(3, np.uint8)
        call(run, dtype, Job(), numbers=numbers, words=words, bytes=trace)
        np.testing.assert_array_equal(numbers, [1, 2, 4, 8, 5.5, 6])
        np.testing.assert_array_equal(words, [-3, 9])
        np.testing.assert_array_equal(trace, [0, 255, 0])

    def test_what_is_written_becomes_an_element(self, dtype):
        @compiled
        def run(zero, address):
            job = record(Job, zero, address)
            job.numbers[0], job.numbers[1], job.words[0] = 0.1, 3, np.int32(-1)

        numbers, words = np.zeros(3, dtype), np.zeros(2, np.intp)
        call(run, dtype, Job(), numbers=numbers, words=words)
        np.testing.assert_array_equal(numbers, np.array([0.1, 3, 0], dtype))
        np.testing.assert_array_equal(words, [-1, 0])

    def test_scratch_of_several_kinds(self, dtype):
        @compiled
        def run(zero, address):
            job = record(Job, zero, address)
            numbers = elements_at(zero, job.bytes)
            words = words_at(numbers + 4)
            parts = records_at(Part, zero, words + 3)
            end = bytes_at(parts + 2)
            numbers[3], words[2], end[0] = 1.5, -1, 7
            parts[1].first, parts[1].count = numbers + 3, 12
            return parts[1].first[0], end == job.bytes + (4 * job.before + 3 * 8 + 2 * 16)

        memory = np.zeros(128, np.uint8)
        assert call(run, dtype, Job(before=dtype.itemsize), bytes=memory) == (1.5, True)
        words, rest = np.split(memory[4 * dtype.itemsize :], [3 * 8])
        assert memory[: 4 * dtype.itemsize].view(dtype).tolist() == [0, 0, 0, 1.5]
        assert words.view(np.intp).tolist() == [0, 0, -1]
        assert rest[:32].view(np.intp)[[0, 1, 3]].tolist() == [0, 0, 12]
        assert rest[32] == 7

    def test_only_pointers_have_a_place(self, dtype):
        for change in (lambda zero, n: words_at(n), lambda zero, n: elements_at(zero, n), lambda zero, n: nowhere(n)):
            change = compiled(change)
            with pytest.raises(numba.TypingError, match="a pointer is expected"):
                change(dtype.type(0), 5)


class TestRecords:
    def test_fields(self, dtype):
        @compiled
        def run(zero, address):
            job = record(Job, zero, address)
            part = job.part
            return job.before, part.count, job.part.first[1], job.after

        numbers = np.array([2, 3], dtype)
        job = Job(before=1, part=Part(first=jit.address_of(numbers), count=-5), after=1 << 40)
        assert call(run, dtype, job) == (1, -5, 3, 1 << 40)

    def test_fields_are_written_in_place(self, dtype):
        @compiled
        def run(zero, address):
            job = record(Job, zero, address)
            job.part.count = np.int32(4)
            job.part.first = job.numbers + 1
            job.part.first[0] = 9

        numbers, job = np.zeros(3, dtype), Job(before=1, after=2)
        job.numbers = jit.address_of(numbers)
        run(dtype.type(0), job.address)
        assert (job.before, job.part.count, job.after) == (1, 4, 2)
        assert job.part.first == job.numbers + dtype.itemsize
        np.testing.assert_array_equal(numbers, [0, 9, 0])

    def test_tables(self, dtype):
        @compiled
        def run(zero, address):
            job = record(Job, zero, address)
            total = zero
            for n in range(job.before):
                part = job.parts[n]
                for i in range(part.count):
                    total += part.first[i]
                part.count = 0
            return total, (job.parts + 1)[1].first == job.parts[2].first

        numbers = np.array([1, 2, 4, 8, 16], dtype)
        table = np.zeros(3, np.dtype(Part))
        for n, (first, count) in enumerate([(0, 2), (3, 1), (4, 1)]):
            table[n] = jit.address_of(numbers) + first * dtype.itemsize, count
        assert call(run, dtype, Job(before=3), parts=table) == (27, True)
        assert table["count"].tolist() == [0, 0, 0]

    def test_tables_hold_records_not_numbers(self, dtype):
        @compiled
        def run(zero, address):
            record(Job, zero, address).parts[0] = 1

        with pytest.raises(numba.TypingError):
            call(run, dtype, Job())

    def test_unknown_field(self, dtype):
        @compiled
        def run(zero, address):
            return record(Job, zero, address).height

        with pytest.raises(numba.TypingError, match="height"):
            call(run, dtype, Job())

    def test_a_copy_is_its_own(self):
        job = Job(before=1, part=Part(count=2))
        other = job.copy()
        other.before, other.part.count = 3, 4
        assert (job.before, job.part.count, other.before, other.part.count) == (1, 2, 3, 4)
        assert job.address != other.address
