"""What kernels are compiled for: the vectors and instructions of the target, which need not be this machine."""

import platform

import pytest

from fastconv import jit

from ..processes import run_python

# Compiles the kernels that do the work, and tells which registers their code uses and what they compute.
BUILD = """
import json, sys
import numpy as np
from numba import types
import fastconv
from fastconv import jit
from fastconv.kernels import gather, max_pooling

rng = np.random.default_rng(0)
x = rng.standard_normal((2, 5, 11, 13)).astype(np.float32)
weight = rng.standard_normal((7, 5, 3, 3)).astype(np.float32)
signature = (types.intp, types.intp, types.float32, types.intp)
kernels = (gather.gather_kernel.share, max_pooling.max_pool_kernel.share)
for kernel in kernels:
    kernel.compile(signature)
told = {"bits": 8 * jit.vector_bytes(), "lanes": [jit.lanes(np.dtype(dtype)) for dtype in ("float32", "float64")]}
for register in ("xmm", "ymm", "zmm", "vfmadd", "fmaf"):
    told[register] = sum(code.count(register) for kernel in kernels for code in kernel.inspect_asm().values())
if RUNS:
    fastconv.set_num_threads(1)
    y = fastconv.conv2d(x, weight, padding=1, algorithm="direct")
    expected = fastconv.conv2d(*(array.astype(float) for array in (x, weight)), padding=1, algorithm="im2col")
    told["error"] = float(np.abs(y - expected).max())
    windows = x[:, :, :10, :12].reshape(2, 5, 5, 2, 6, 2)
    told["pooled"] = np.array_equal(fastconv.max_pool2d(x, 2), windows.max(axis=(3, 5)))
print(json.dumps(told))
"""
SKYLAKE = "+avx512f,+avx512bw,+avx512dq,+avx512vl,+avx512cd,+avx2,+fma"


def build(tmp_path, cpu, features, *, runs):
    environment = {"NUMBA_CPU_NAME": cpu, "NUMBA_CPU_FEATURES": features, "FASTCONV_CACHE_DIR": str(tmp_path)}
    return run_python(BUILD.replace("RUNS", str(runs)), **environment)


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="builds for x86-64")
class TestTargets:
    def test_avx2(self, tmp_path):
        runs = "avx2" in jit.target()[2] and "fma" in jit.target()[2]
        told = build(tmp_path, "haswell", "+avx2,+fma", runs=runs)
        assert (told["bits"], told["lanes"]) == (256, [8, 4])
        assert told["zmm"] == 0
        assert told["ymm"] > 0
        assert told["vfmadd"] > 0
        assert not runs or (told["error"] < 1e-5 and told["pooled"])

    def test_sse2_alone(self, tmp_path):
        told = build(tmp_path, "x86-64", "", runs=True)
        assert (told["bits"], told["lanes"]) == (128, [4, 2])
        assert told["xmm"] > 0
        # No call of the C library's fmaf, which emulates what the target lacks, a hundred times slower.
        assert (told["ymm"], told["zmm"], told["vfmadd"], told["fmaf"]) == (0, 0, 0, 0)
        assert told["error"] < 1e-5
        assert told["pooled"]

    def test_avx512(self, tmp_path):
        runs = "avx512f" in jit.target()[2]
        told = build(tmp_path, "skylake-avx512", SKYLAKE, runs=runs)
        assert (told["bits"], told["lanes"]) == (512, [16, 8])
        assert told["zmm"] > told["ymm"]
        assert told["vfmadd"] > 0
        assert not runs or (told["error"] < 1e-5 and told["pooled"])
