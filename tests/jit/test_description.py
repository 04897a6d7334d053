"""What the kernels are built for and how they run, in words."""

import re

import numba
import pytest

import fastconv
from fastconv import jit

from ..processes import run_python


def test_facts():
    facts = jit.describe()
    bits, *lanes = (int(re.search(pattern, facts["lanes"])[1]) for pattern in (
        r"\((\d+)-bit vectors\)", r"(\d+) float32", r"(\d+) float64"
    ))  # fmt: skip
    assert lanes == [bits // 32, bits // 64]
    assert facts["threads"] == f"{fastconv.get_num_threads()} of {numba.config.NUMBA_NUM_THREADS}"
    assert facts["threading layer"] in {"tbb", "omp", "workqueue"}
    assert set(facts) == {"target", "lanes", "threads", "threading layer", "kernel cache"}


@pytest.mark.parametrize("exists", [True, False])
def test_where_kernels_are_kept(tmp_path, exists):
    home = tmp_path / "home"
    if not exists:
        home.touch()  # a file is in the way
    code = "import json\nfrom fastconv import jit\nprint(json.dumps(jit.describe()))"
    told = run_python(code, FASTCONV_CACHE_DIR=str(home))["kernel cache"]
    assert told.startswith(str(home)) if exists else told.startswith("none (")
