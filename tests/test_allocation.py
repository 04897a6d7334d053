"""Large results use the memory of arrays that are no more, and of no others."""

import gc
import threading

import numpy as np
import pytest

import fastconv
from fastconv import allocation

FLOAT = np.dtype(np.float32)
LARGE = (allocation.RECYCLED_FROM // 4 + 1000,)


@pytest.fixture(autouse=True)
def nothing_idle():
    allocation._idle.clear()
    yield
    allocation._idle.clear()


def address(array):
    return array.ctypes.data


def test_memory_is_used_again_only_when_all_views_are_gone():
    first = allocation.empty(LARGE, FLOAT)
    place, view = address(first), first[::2][10:]
    assert place % allocation.LINE == 0
    del first
    gc.collect()
    second = allocation.empty(LARGE, FLOAT)
    assert not np.may_share_memory(second, view)
    del view
    gc.collect()
    assert address(allocation.empty(LARGE, FLOAT)) == place


def test_much_smaller_results_do_not_occupy_large_memory():
    large = allocation.empty((3 * LARGE[0],), FLOAT)
    place = address(large)
    del large
    assert address(allocation.empty(LARGE, FLOAT)) != place


def test_little_is_kept():
    results = [allocation.empty(LARGE, FLOAT) for _ in range(6)]
    del results
    assert 0 < sum(buffer.size for buffer in allocation._idle) <= allocation.KEPT_BYTES


def test_small_results_are_ordinary_arrays():
    assert allocation.empty((3, 4), FLOAT).flags.owndata


def test_a_convolution_never_writes_to_a_result_that_lives():
    x, weight = np.ones((1, 1, 1500, 1500), FLOAT), np.ones((4, 1, 1, 1), FLOAT)
    kept = [fastconv.conv2d(x * n, weight) for n in (1, 2)]
    for n in (3, 4):
        fastconv.conv2d(x * n, weight)
    assert [float(result.min()) for result in kept] == [float(result.max()) for result in kept] == [1, 2]
    assert len(allocation._idle) == 1
    result = kept[0]
    result += 1  # ours to write to
    assert result.flags.writeable
    assert result.flags.c_contiguous


def test_threads_never_share():
    count, seen = 4, []
    barrier = threading.Barrier(count)

    def allocate(number):
        for _ in range(20):
            array = allocation.empty(LARGE, FLOAT)
            array[:1000] = number
            barrier.wait()  # until all have written
            if not np.all(array[:1000] == number):
                seen.append(number)
            barrier.wait()

    threads = [threading.Thread(target=allocate, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not seen


def test_what_is_too_large_to_keep_drives_nothing_out(monkeypatch):
    kept = allocation.empty(LARGE, FLOAT)
    del kept
    monkeypatch.setattr(allocation, "KEPT_BYTES", 2 * allocation.RECYCLED_FROM)
    allocation.empty((3 * LARGE[0],), FLOAT)
    assert len(allocation._idle) == 1
