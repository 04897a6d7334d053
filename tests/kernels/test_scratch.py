"""Scratch memory: aligned, long enough, nobody else's meanwhile, and used again."""

import threading

import numpy as np
import pytest

from fastconv import jit
from fastconv.kernels import scratch

MIB = 1 << 20


@pytest.fixture(autouse=True)
def idle(monkeypatch):
    """No buffers are left from other tests; the list of those that are idle."""
    buffers = []
    monkeypatch.setattr(scratch, "_idle", buffers)
    return buffers


@pytest.mark.parametrize("nbytes", [0, 1, 63, 64, 5 * MIB + 1])
def test_it_begins_with_a_cache_line_and_is_long_enough(nbytes, idle):
    with scratch.borrow(nbytes) as address:
        assert address % 64 == 0
    (buffer,) = idle
    assert buffer.ctypes.data <= address
    assert address + nbytes <= buffer.ctypes.data + buffer.size


def test_two_at_a_time_do_not_overlap():
    for _ in ("new", "lent before"):
        with scratch.borrow(1000) as one, scratch.borrow(1000) as other:
            assert abs(one - other) >= 1000


def test_what_was_given_back_is_lent_again():
    with scratch.borrow(1000) as before:
        pass
    with scratch.borrow(2000) as after:
        assert after == before


def test_it_is_given_back_after_an_error(idle):
    with pytest.raises(ZeroDivisionError), scratch.borrow(1000):
        raise ZeroDivisionError
    assert len(idle) == 1


def test_the_smallest_that_is_large_enough_is_lent():
    with scratch.borrow(9 * MIB) as large, scratch.borrow(5 * MIB) as small:
        pass
    with scratch.borrow(4 * MIB) as address:
        assert address == small
    with scratch.borrow(6 * MIB) as address:
        assert address == large


def test_growing_demands_leave_one_buffer(idle):
    for size in (5, 6, 7, 8):
        with scratch.borrow(size * MIB):
            pass
    assert len(idle) == 1


def test_of_idle_buffers_beyond_the_limit_the_largest_is_kept(idle, monkeypatch):
    monkeypatch.setattr(scratch, "KEEP_BYTES", 12 * MIB)
    with scratch.borrow(6 * MIB), scratch.borrow(9 * MIB), scratch.borrow(5 * MIB):
        pass
    assert [buffer.size // MIB for buffer in idle] == [9]


def test_buffers_within_the_limit_are_kept(idle, monkeypatch):
    monkeypatch.setattr(scratch, "KEEP_BYTES", 12 * MIB)
    with scratch.borrow(5 * MIB), scratch.borrow(6 * MIB):
        pass
    assert [buffer.size // MIB for buffer in idle] == [5, 6]


def test_threads_do_not_share():
    count = 4
    barrier = threading.Barrier(count)
    addresses = []

    def work():
        barrier.wait()
        with scratch.borrow(1000) as address:
            addresses.append(address)
            barrier.wait()

    workers = [threading.Thread(target=work) for _ in range(count)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(set(addresses)) == count


def test_arrays_begin_with_a_line_and_have_room_for_a_vector_behind():
    float32 = np.dtype(np.float32)
    shapes = [(3, 5), (0,), (2, 1, 17), (16,)]
    with scratch.borrow_arrays(float32, *shapes) as arrays:
        places = [jit.address_of(array) for array in arrays]
        assert [array.shape for array in arrays] == shapes
        assert all(array.dtype == float32 and array.flags.c_contiguous for array in arrays)
        assert all(place % jit.LINE == 0 for place in places)
        ends = [place + array.nbytes + jit.vector_bytes() for place, array in zip(places, arrays, strict=True)]
        assert all(end <= following for end, following in zip(ends, places[1:], strict=False))
        (buffer,) = {id(array.base): array.base for array in arrays}.values()
        assert ends[-1] <= jit.address_of(buffer) + buffer.nbytes
