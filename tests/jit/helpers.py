"""Code that calls kernels, in a process of its own."""

import os
import subprocess
import sys

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


def run(code, threads=2, **environment):
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    environment = {**inherited, "NUMBA_NUM_THREADS": str(max(threads, 2)), **environment}
    script = SETUP.replace("NUM_THREADS", str(threads)) + code + "\nprint(jit.threading_layer())"
    return subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=300)
