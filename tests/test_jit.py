"""The compile policy: what is cached where, and what the kernels are compiled for."""

import json
import os
import platform
import stat
import subprocess
import sys

import numpy as np
import pytest

from fastconv.kernels import jit

# Runs both twins of one kernel, and tells where it found them.
RELU = """
import json, os, sys
import numpy as np
import fastconv
from fastconv.kernels import elementwise, jit

cold = jit.cache_is_cold()
twins = (elementwise.relu_share, elementwise.relu_parallel)
signed = [np.linspace(-1, 1, size, dtype=np.float32) for size in (100, 1 << 20)]
right = all(np.array_equal(fastconv.relu(x), np.maximum(x, 0)) for x in signed)
total = lambda counts: sum(sum(getattr(twin.stats, counts).values()) for twin in twins)
directory = jit.cache_dir()
print(json.dumps({"right": right, "cold": cold, "directory": directory and str(directory),
                  "hits": total("cache_hits"), "misses": total("cache_misses")}))
"""
# Tells the bits of a result whose sums LLVM could make in several orders.
WINOGRAD = """
import hashlib, json
import numpy as np
import fastconv

rng = np.random.default_rng(0)
x, weight = (rng.standard_normal(shape, dtype=np.float32) for shape in ((2, 32, 32, 32), (32, 32, 3, 3)))
print(json.dumps(hashlib.sha256(fastconv.conv2d(x, weight, padding=1, algorithm="winograd2")).hexdigest()))
"""
NOT_CACHED = {"right": True, "cold": True, "directory": None, "hits": 0, "misses": 2}


def python(code, **environment):
    """Run code in a fresh process, and return what it printed, read as JSON."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**inherited, **environment}, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def warm(tmp_path_factory):
    """A cache directory, filled by a first process, and what that process told."""
    home = tmp_path_factory.mktemp("warm")
    return home, python(RELU, FASTCONV_CACHE_DIR=str(home))


@pytest.fixture
def fresh_home(tmp_path, monkeypatch):
    """An empty cache home, with nothing remembered of another."""
    monkeypatch.setenv("FASTCONV_CACHE_DIR", str(tmp_path))
    for remembered in (jit.cache_dir, jit._cache_key):
        remembered.cache_clear()
    yield tmp_path
    for remembered in (jit.cache_dir, jit._cache_key):
        remembered.cache_clear()


class TestCache:
    def test_a_second_process_compiles_nothing(self, warm):
        home, first = warm
        assert (first["right"], first["cold"], first["hits"], first["misses"]) == (True, True, 0, 2)
        second = python(RELU, FASTCONV_CACHE_DIR=str(home))
        assert second == {**first, "cold": False, "hits": 2, "misses": 0}

    def test_the_process_that_compiles_gets_the_bits_of_those_that_load(self, tmp_path):
        compiled, loaded = (python(WINOGRAD, FASTCONV_CACHE_DIR=str(tmp_path)) for _ in range(2))
        assert compiled == loaded

    def test_the_number_of_threads_and_the_layer_are_not_in_the_key(self, warm):
        home, _ = warm
        told = python(RELU, FASTCONV_CACHE_DIR=str(home), NUMBA_NUM_THREADS="3", NUMBA_THREADING_LAYER="workqueue")
        assert (told["hits"], told["misses"]) == (2, 0)

    def test_switches_that_change_the_code_are(self, fresh_home, monkeypatch):
        usual = jit.cache_dir()
        monkeypatch.setenv("NUMBA_OPT", "1")
        for remembered in (jit.cache_dir, jit._cache_key):
            remembered.cache_clear()
        assert jit.cache_dir() not in (None, usual)

    def test_importing_compiles_and_writes_nothing(self, tmp_path):
        home = tmp_path / "cache"
        python("import fastconv; print(0)", FASTCONV_CACHE_DIR=str(home))
        assert not home.exists()

    @pytest.mark.parametrize("damage", ["emptied", "cut", "junk"])
    @pytest.mark.parametrize("kind", ["nbc", "nbi"])
    def test_a_damaged_file_is_replaced(self, warm, tmp_path, kind, damage):
        home, _ = warm
        for path in home.rglob("*"):
            copy = tmp_path / path.relative_to(home)
            if path.is_dir():
                copy.mkdir(mode=0o700)
                continue
            content = path.read_bytes()
            damaged = {"emptied": b"", "cut": content[: len(content) // 2], "junk": b"\x80junk" * 20}[damage]
            copy.write_bytes(damaged if path.suffix == f".{kind}" else content)
        told = python(RELU, FASTCONV_CACHE_DIR=str(tmp_path))
        assert (told["right"], told["hits"], told["misses"]) == (True, 0, 2)
        again = python(RELU, FASTCONV_CACHE_DIR=str(tmp_path))
        assert (again["right"], again["hits"], again["misses"]) == (True, 2, 0)

    def test_without_a_place_for_the_directory_it_goes_on_uncached(self, tmp_path):
        in_the_way = tmp_path / "file"
        in_the_way.touch()
        assert python(RELU, FASTCONV_CACHE_DIR=str(in_the_way)) == NOT_CACHED

    @pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is read-only to root")
    def test_a_read_only_directory_it_goes_on_uncached(self, tmp_path):
        tmp_path.chmod(0o500)
        try:
            assert python(RELU, FASTCONV_CACHE_DIR=str(tmp_path)) == NOT_CACHED
        finally:
            tmp_path.chmod(0o700)

    def test_on_a_full_disk_it_goes_on_uncached(self, tmp_path):
        resource = pytest.importorskip("resource")
        assert resource.RLIMIT_FSIZE  # files can be made but nothing written to them, as on a full disk
        full = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
        told = python(full + RELU, FASTCONV_CACHE_DIR=str(tmp_path))
        assert (told["right"], told["hits"], told["misses"]) == (True, 0, 2)

    @pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs owners and groups")
    def test_a_directory_that_others_can_write_to_is_not_used(self, fresh_home):
        directory = jit.cache_dir()
        for others in (stat.S_IWGRP, stat.S_IWOTH):
            directory.chmod(0o700 | others)
            jit.cache_dir.cache_clear()
            assert jit.cache_dir() is None
        directory.chmod(0o700)
        jit.cache_dir.cache_clear()
        assert jit.cache_dir() == directory

    @pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs owners and groups")
    def test_somebody_elses_directory_is_not_used(self, fresh_home, monkeypatch):
        assert jit.cache_dir() is not None
        monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
        jit.cache_dir.cache_clear()
        assert jit.cache_dir() is None

    def test_the_users_own_numba_cache_is_left_alone(self, tmp_path):
        code = """
import json, sys
sys.path.insert(0, {folder!r})
import numpy as np, fastconv, mine
fastconv.relu(np.ones(4, np.float32))
mine.double(2.0)
print(json.dumps(mine.double.stats.cache_path))
"""
        source = "import numba\n\n\n@numba.njit(cache=True)\ndef double(x):\n    return 2 * x\n"
        (tmp_path / "mine.py").write_text(source)
        home, theirs = tmp_path / "ours", tmp_path / "theirs"
        path = python(code.format(folder=str(tmp_path)), FASTCONV_CACHE_DIR=str(home), NUMBA_CACHE_DIR=str(theirs))
        assert path.startswith(str(theirs))
        assert not any("mine" in file.name for file in home.rglob("*"))
        assert not any("elementwise" in file.name for file in theirs.rglob("*"))


# Compiles the kernels that do the work, and tells which registers their code uses and what they compute.
BUILD = """
import json, sys
import numpy as np
from numba import types
import fastconv
from fastconv.kernels import direct, jit, pooling

rng = np.random.default_rng(0)
x = rng.standard_normal((2, 5, 11, 13)).astype(np.float32)
weight = rng.standard_normal((7, 5, 3, 3)).astype(np.float32)
signature = (types.intp, types.intp, types.float32, types.intp)
kernels = (direct.gather_share, pooling.max_pool_share)
for kernel in kernels:
    kernel.compile(signature)
told = {"bits": 8 * jit.vector_bytes()}
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
    return python(BUILD.replace("RUNS", str(runs)), **environment)


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="builds for x86-64")
class TestTargets:
    def test_avx2(self, tmp_path):
        runs = "avx2" in jit.target()[2] and "fma" in jit.target()[2]
        told = build(tmp_path, "haswell", "+avx2,+fma", runs=runs)
        assert told["bits"] == 256
        assert told["zmm"] == 0
        assert told["ymm"] > 0
        assert told["vfmadd"] > 0
        assert not runs or (told["error"] < 1e-5 and told["pooled"])

    def test_sse2_alone(self, tmp_path):
        told = build(tmp_path, "x86-64", "", runs=True)
        assert told["bits"] == 128
        assert told["xmm"] > 0
        # No call of the C library's fmaf, which emulates what the target lacks, a hundred times slower.
        assert (told["ymm"], told["zmm"], told["vfmadd"], told["fmaf"]) == (0, 0, 0, 0)
        assert told["error"] < 1e-5
        assert told["pooled"]

    def test_avx512(self, tmp_path):
        runs = "avx512f" in jit.target()[2]
        told = build(tmp_path, "skylake-avx512", SKYLAKE, runs=runs)
        assert told["bits"] == 512
        assert told["zmm"] > told["ymm"]
        assert told["vfmadd"] > 0
        assert not runs or (told["error"] < 1e-5 and told["pooled"])


def test_without_the_compiler_everything_runs_on_the_references():
    code = """
import json
import numpy as np
import fastconv
x, weight = np.random.default_rng(0).standard_normal((2, 2, 4, 5, 5)).astype(np.float32)
weight = np.ascontiguousarray(weight[:, :, :3, :3])
y = fastconv.conv2d(x, weight)
same = np.array_equal(y, fastconv.conv2d(x, weight, algorithm="im2col"))
packed = fastconv.PackedConv2d(weight)
same &= np.array_equal(y, packed.forward(x))
values, indices = fastconv.max_pool2d(x, 2, return_indices=True)
spread = fastconv.max_pool2d_backward(values, indices, x.shape)
same &= np.array_equal(np.sort(spread[spread != 0]), np.sort(values, axis=None))
gradients = fastconv.conv2d_backward(y, x, weight)
same &= np.array_equal(gradients.bias, fastconv.conv2d_bias_grad(y)) and gradients.input.shape == x.shape
told = []
for algorithm in ("direct", "winograd", "winograd2"):
    try:
        fastconv.conv2d(x, weight, algorithm=algorithm)
    except ValueError as error:
        told.append(str(error))
print(json.dumps([bool(same), told]))
"""
    same, told = python(code, NUMBA_DISABLE_JIT="1")
    assert same
    assert len(told) == 3
    assert all("NUMBA_DISABLE_JIT" in reason for reason in told)


def test_a_targets_lanes_fit_its_registers():
    assert jit.lanes(np.dtype(np.float32)) == 2 * jit.lanes(np.dtype(np.float64)) == jit.vector_bytes() // 4
