"""Threads: their number."""

import threading

import numba
import numpy as np
import pytest

import fastconv

from .helpers import run

MOST = int(numba.config.NUMBA_NUM_THREADS)


@pytest.fixture
def restored():
    """Set the number of threads back after the test."""
    before = fastconv.get_num_threads()
    yield
    fastconv.set_num_threads(before)


class TestNumber:
    @pytest.mark.parametrize("wrong", [True, 1.0, "1", None, np.float32(1)])
    def test_must_be_an_integer(self, wrong):
        with pytest.raises(TypeError, match=f"n must be an int, got {type(wrong).__name__}"):
            fastconv.set_num_threads(wrong)

    @pytest.mark.parametrize("wrong", [0, -1, MOST + 1])
    def test_must_be_in_range(self, wrong):
        with pytest.raises(ValueError, match=rf"from 1 to {MOST} .* got {wrong}"):
            fastconv.set_num_threads(wrong)

    def test_a_refused_one_changes_nothing(self):
        before = fastconv.get_num_threads()
        with pytest.raises(ValueError, match="n must be"):
            fastconv.set_num_threads(0)
        assert fastconv.get_num_threads() == before

    @pytest.mark.parametrize("n", {1, MOST})
    def test_holds_for_the_whole_process(self, restored, n):
        setter = threading.Thread(target=fastconv.set_num_threads, args=(np.int64(n),))
        setter.start()
        setter.join()
        seen = []
        reader = threading.Thread(target=lambda: seen.append(fastconv.get_num_threads()))
        reader.start()
        reader.join()
        assert [fastconv.get_num_threads(), *seen] == [n, n]

    def test_numbas_own_is_left_alone(self, restored):
        numba.set_num_threads(MOST)
        fastconv.set_num_threads(1)
        fastconv.relu(np.ones(1 << 16, np.float32))
        assert numba.get_num_threads() == MOST
        numba.set_num_threads(1)
        try:
            fastconv.set_num_threads(MOST)
            fastconv.relu(np.ones(1 << 16, np.float32))
            assert numba.get_num_threads() == 1
        finally:
            numba.set_num_threads(MOST)

    def test_a_result_does_not_depend_on_when_it_is_computed(self):
        rng = np.random.default_rng(0)
        x = rng.standard_normal((1, 16, 40, 40), dtype=np.float32)
        weight = rng.standard_normal((32, 16, 3, 3), dtype=np.float32)
        first = fastconv.conv2d(x, weight)
        for _ in range(5):
            np.testing.assert_array_equal(fastconv.conv2d(x, weight), first)


def test_a_single_thread_starts_no_layer():
    code = "check()\nfrom numba.np.ufunc import parallel\nassert not parallel._is_initialized"
    done = run(code, threads=1)
    assert done.returncode == 0, done.stderr
