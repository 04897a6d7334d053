"""Compiled kernels on disk: who finds them, and what becomes of damaged and foreign ones."""

import importlib.util
import os
import stat
import subprocess
import sys

import pytest

from fastconv import jit
from fastconv.jit import cache

from ..processes import run_python

# Runs both twins of one kernel, and tells where it found them.
RELU = """
import json, os, sys
import numpy as np
import fastconv
from fastconv import jit
from fastconv.kernels import elementwise

cold = jit.cache_is_cold()
twins = (elementwise.relu_kernel.share, elementwise.relu_kernel.parallel)
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
# Makes every folder ours, and every file somebody else's.
FILES_OF_OTHERS = """
import stat
from fastconv.jit import cache

cache._is_ours = lambda status: stat.S_ISDIR(status.st_mode)
"""
NOT_CACHED = {"right": True, "cold": True, "directory": None, "hits": 0, "misses": 2}


@pytest.fixture(scope="module")
def warm(tmp_path_factory):
    """A cache directory, filled by a first process, and what that process told."""
    home = tmp_path_factory.mktemp("warm")
    return home, run_python(RELU, FASTCONV_CACHE_DIR=str(home))


@pytest.fixture
def fresh_home(tmp_path, monkeypatch):
    """An empty cache home, with nothing remembered of another."""
    monkeypatch.setenv("FASTCONV_CACHE_DIR", str(tmp_path))
    for remembered in (jit.cache_dir, cache._build):
        remembered.cache_clear()
    yield tmp_path
    for remembered in (jit.cache_dir, cache._build):
        remembered.cache_clear()


class TestCache:
    def test_a_second_process_compiles_nothing(self, warm):
        home, first = warm
        assert (first["right"], first["cold"], first["hits"], first["misses"]) == (True, True, 0, 2)
        second = run_python(RELU, FASTCONV_CACHE_DIR=str(home))
        assert second == {**first, "cold": False, "hits": 2, "misses": 0}

    def test_the_process_that_compiles_gets_the_bits_of_those_that_load(self, tmp_path):
        compiled, loaded = (run_python(WINOGRAD, FASTCONV_CACHE_DIR=str(tmp_path)) for _ in range(2))
        assert compiled == loaded

    def test_the_number_of_threads_and_the_layer_are_not_in_the_key(self, warm):
        home, _ = warm
        told = run_python(RELU, FASTCONV_CACHE_DIR=str(home), NUMBA_NUM_THREADS="3", NUMBA_THREADING_LAYER="workqueue")
        assert (told["hits"], told["misses"]) == (2, 0)

    def test_options_that_change_the_code_are_wherever_they_were_set(self, tmp_path):
        tell = "import json; from fastconv import jit; print(json.dumps(str(jit.cache_dir())))"
        in_a_program = "import numba; numba.config.LOOP_VECTORIZE = 0; " + tell
        in_a_file = f"import os; os.chdir({str(tmp_path)!r}); import numba; os.chdir('/'); " + tell
        (tmp_path / ".numba_config.yaml").write_text("opt: '1'\n")
        home = {"FASTCONV_CACHE_DIR": str(tmp_path)}
        usual = run_python(tell, **home)
        others = [run_python(tell, **home, NUMBA_OPT="1"), run_python(in_a_program, **home)]
        if importlib.util.find_spec("yaml"):  # else Numba has no such file
            others.append(run_python(in_a_file, **home))
        assert usual not in others
        assert usual == run_python(tell, **home)

    def test_options_that_are_set_too_late_for_numba_are_not(self, fresh_home, monkeypatch):
        usual = jit.cache_dir()
        monkeypatch.setenv("NUMBA_OPT", "1")
        for remembered in (jit.cache_dir, cache._build):
            remembered.cache_clear()
        assert jit.cache_dir() == usual

    def test_importing_compiles_and_writes_nothing(self, tmp_path):
        home = tmp_path / "cache"
        run_python("import fastconv; print(0)", FASTCONV_CACHE_DIR=str(home))
        assert not home.exists()

    @pytest.mark.parametrize("damage", ["emptied", "cut", "junk"])
    def test_a_damaged_file_is_replaced(self, warm, tmp_path, damage):
        home, _ = warm
        for path in home.rglob("*"):
            copy = tmp_path / path.relative_to(home)
            if path.is_dir():
                copy.mkdir(mode=0o700)
                continue
            content = path.read_bytes()
            damaged = {"emptied": b"", "cut": content[: len(content) // 2], "junk": b"\x80junk" * 20}[damage]
            copy.write_bytes(damaged)
        told = run_python(RELU, FASTCONV_CACHE_DIR=str(tmp_path))
        assert (told["right"], told["hits"], told["misses"]) == (True, 0, 2)
        again = run_python(RELU, FASTCONV_CACHE_DIR=str(tmp_path))
        assert (again["right"], again["hits"], again["misses"]) == (True, 2, 0)

    def test_without_a_place_for_the_directory_it_goes_on_uncached(self, tmp_path):
        in_the_way = tmp_path / "file"
        in_the_way.touch()
        assert run_python(RELU, FASTCONV_CACHE_DIR=str(in_the_way)) == NOT_CACHED

    @pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is read-only to root")
    def test_a_read_only_directory_it_goes_on_uncached(self, tmp_path):
        tmp_path.chmod(0o500)
        try:
            assert run_python(RELU, FASTCONV_CACHE_DIR=str(tmp_path)) == NOT_CACHED
        finally:
            tmp_path.chmod(0o700)

    def test_on_a_full_disk_it_goes_on_uncached(self, tmp_path):
        pytest.importorskip("resource")
        # Files can be made but nothing written to them.
        full = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
        told = run_python(full + RELU, FASTCONV_CACHE_DIR=str(tmp_path))
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

    def test_somebody_elses_file_is_not_read(self, warm):
        home, _ = warm
        told = run_python(FILES_OF_OTHERS + RELU, FASTCONV_CACHE_DIR=str(home))
        assert (told["right"], told["cold"], told["hits"], told["misses"]) == (True, False, 0, 2)

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
        path = run_python(code.format(folder=str(tmp_path)), FASTCONV_CACHE_DIR=str(home), NUMBA_CACHE_DIR=str(theirs))
        assert path.startswith(str(theirs))
        assert any("elementwise" in file.name for file in home.rglob("*"))
        assert not any("mine" in file.name for file in home.rglob("*"))
        assert not any("elementwise" in file.name for file in theirs.rglob("*"))


# Computes with one kernel in each of the dtypes, on one thread, and tells whether the results are right.
MAXIMA = """
import json
import numpy as np
import fastconv
from fastconv.kernels import elementwise

fastconv.set_num_threads(1)
told = {}
for dtype in DTYPES:
    x = np.linspace(-1, 1, 100, dtype=dtype)
    told[dtype] = np.array_equal(fastconv.relu(x), np.maximum(x, 0))
told["hits"] = sum(elementwise.relu_kernel.share.stats.cache_hits.values())
print(json.dumps(told))
"""
# Makes two processes put each file into the cache in turns: this one's first, second, ... when it is its turn.
IN_TURNS = """
import itertools, os, pathlib, sys, time

folder, mine, theirs, late = pathlib.Path(FOLDER), *NAMES
number = itertools.count()
replace = os.replace

def wait_for(name):
    end = time.monotonic() + 5
    while not (folder / name).exists() and time.monotonic() < end:
        time.sleep(0.01)

def replace_in_turn(*paths):
    n = next(number)
    (folder / f"{mine} at {n}").touch()
    wait_for(f"{theirs} at {n}")
    if n in late:
        wait_for(f"{theirs} did {n}")
    replace(*paths)
    (folder / f"{mine} did {n}").touch()

os.replace = replace_in_turn
pathlib.Path.replace = lambda path, target: replace_in_turn(path, target)  # older ones have a function of their own
"""


class TestProcessesAtOnce:
    def test_each_finds_its_own_code(self, tmp_path):
        """The one is the later to put its first file in place, the other its second."""
        turns = tmp_path / "turns"
        turns.mkdir()
        environment = {**os.environ, "FASTCONV_CACHE_DIR": str(tmp_path / "cache")}
        running = []
        for dtype, other, late in (("float32", "float64", {0}), ("float64", "float32", {1})):
            in_turns = IN_TURNS.replace("FOLDER", repr(str(turns))).replace("NAMES", f"({dtype!r}, {other!r}, {late})")
            code = in_turns + MAXIMA.replace("DTYPES", repr([dtype]))
            running.append(subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.DEVNULL))
        assert [process.wait(timeout=120) for process in running] == [0, 0]
        assert {"float32 at 0", "float64 at 0"} <= {path.name for path in turns.iterdir()}  # both came to that point
        told = run_python(MAXIMA.replace("DTYPES", "['float32', 'float64']"), **environment)
        assert told == {"float32": True, "float64": True, "hits": 2}

    def test_files_in_each_others_place_are_misses(self, tmp_path):
        code = MAXIMA.replace("DTYPES", "['float32', 'float64']")
        run_python(code, FASTCONV_CACHE_DIR=str(tmp_path))
        one, other = tmp_path.rglob("*relu_kernel-*.nbc")
        spare = one.with_name("spare")
        one.rename(spare)
        other.rename(one)
        spare.rename(other)
        assert run_python(code, FASTCONV_CACHE_DIR=str(tmp_path)) == {"float32": True, "float64": True, "hits": 0}
        assert run_python(code, FASTCONV_CACHE_DIR=str(tmp_path)) == {"float32": True, "float64": True, "hits": 2}
