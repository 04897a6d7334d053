"""Threads: their number, many callers at once, and forked children, under every threading layer that can be had."""

import importlib.metadata
import os
import subprocess
import sys
import threading

import numba
import numpy as np
import pytest

import fastconv

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


SETUP = """
import os, signal, sys, threading, traceback
import numpy as np
import fastconv
from fastconv import jit

fastconv.set_num_threads(NUM_THREADS)
rng = np.random.default_rng(0)
x = rng.standard_normal((2, 8, 30, 31)).astype(np.float32)
weight = rng.standard_normal((24, 8, 3, 3)).astype(np.float32)
packed = fastconv.PackedConv2d(weight, padding=1)
right = fastconv.conv2d(x, weight, padding=1, algorithm="im2col")
right_pool = right.reshape(2, 24, 15, 2, 31)[..., :30].reshape(2, 24, 15, 2, 15, 2).max(axis=(3, 5))

def check():
    for algorithm in ("direct", "auto"):
        assert np.abs(fastconv.conv2d(x, weight, padding=1, algorithm=algorithm) - right).max() < 1e-3
    assert np.abs(packed.forward(x) - right).max() < 1e-3
    assert np.array_equal(fastconv.max_pool2d(right, 2), right_pool)

def check_in_fork():
    child = os.fork()
    if not child:
        signal.alarm(60)  # rather than hang
        try:
            check()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0

errors = []

def caller(times):
    try:
        start.wait()
        for _ in range(times):
            check()
    except BaseException as error:
        errors.append(error)

def call_from_eight_threads(times, meanwhile=lambda: None):
    global start
    start = threading.Barrier(9)
    callers = [threading.Thread(target=caller, args=(times,)) for _ in range(8)]
    for each in callers:
        each.start()
    start.wait()
    meanwhile()
    for each in callers:
        each.join()
    if errors:
        raise errors[0]

def in_thread(function):
    thread = threading.Thread(target=function)
    thread.start()
    thread.join()
"""
SCENARIOS = {
    "eight callers, the first calls of all": "call_from_eight_threads(10)",
    "a fork before the first call": "check_in_fork(); check()",
    "a fork after a call": "check(); check_in_fork(); check()",
    "a fork of a fork's child": "check()\nif not os.fork():\n    check_in_fork(); check(); os._exit(0)\n"
    "assert os.wait()[1] == 0",
    "a fork from another thread": "check(); in_thread(check_in_fork); check()",
    "a fork after a first call from another thread": "in_thread(check); check_in_fork(); check()",
    "forks and then eight callers": "check(); check_in_fork(); call_from_eight_threads(5); check_in_fork()",
    "eight callers in a fork": "check()\nif not os.fork():\n    call_from_eight_threads(5); os._exit(0)\n"
    "assert os.wait()[1] == 0",
    "forks while eight threads call": "check()\n"
    "call_from_eight_threads(30, lambda: [check_in_fork() for _ in range(5)])",
    "a fork while locks are held": "from fastconv import conv\nfrom fastconv.kernels import scratch\n"
    "with scratch._guard.lock, conv._making_packings.lock:\n    check_in_fork()",
}
LAYERS = {"default": {}, "omp": {"NUMBA_THREADING_LAYER": "omp"}, "workqueue": {"NUMBA_THREADING_LAYER": "workqueue"}}


def run(code, threads=2, **environment):
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    environment = {**inherited, "NUMBA_NUM_THREADS": str(max(threads, 2)), **environment}
    script = SETUP.replace("NUM_THREADS", str(threads)) + code + "\nprint(jit.threading_layer())"
    return subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=300)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_right_answers(layer, scenario):
    done = run(SCENARIOS[scenario], **LAYERS[layer])
    if layer == "omp" and "No threading layer could be loaded" in done.stderr:
        pytest.skip("no OpenMP library")
    assert done.returncode == 0, done.stderr
    if layer != "default":
        assert done.stdout.split() == [layer]


def test_the_tbb_wheel_is_found():
    try:
        importlib.metadata.version("tbb")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("no wheel of TBB here")
    assert run("check()").stdout.split() == ["tbb"]


def test_a_single_thread_starts_no_layer():
    code = "check()\nfrom numba.np.ufunc import parallel\nassert not parallel._is_initialized"
    done = run(code, threads=1)
    assert done.returncode == 0, done.stderr
