"""Many callers at once, and forked children, under every threading layer that can be had."""

import os

import pytest

from .helpers import run

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
