"""The command `fastconv info`."""

import os
import re
import subprocess
import sys

import pytest

import fastconv
from fastconv.weights import SOURCES

MAT = SOURCES["vgg19"].filename

pytestmark = pytest.mark.usefixtures("isolated")


def test_facts(run, published_mat):
    from fastconv import jit

    code, out, err = run("info")
    assert (code, err) == (0, "")
    facts = dict(re.split(r" {2,}", line, maxsplit=1) for line in out.splitlines())
    assert facts["fastconv"] == fastconv.__version__
    assert facts["python"].startswith(sys.version.split()[0])
    assert {"numpy", "numba", "llvmlite", "tbb"} <= facts.keys()
    assert jit.describe().items() <= facts.items()
    assert facts["weights"] == f"vgg19: weights/{MAT} (./weights)"


@pytest.mark.skipif(os.name == "nt", reason="Python asks no program of PATH there")
def test_no_program_of_the_current_folder_runs(tmp_path):
    (tmp_path / "uname").write_text("#!/bin/sh\ntouch ran\n")
    (tmp_path / "uname").chmod(0o755)
    command = [sys.executable, "-c", "from fastconv import cli; cli.main(['info'])"]
    subprocess.run(command, env={**os.environ, "PATH": f":{os.environ['PATH']}"}, capture_output=True, check=True)
    assert not (tmp_path / "ran").exists()


@pytest.mark.usefixtures("homeless")
def test_no_home_takes_a_line(run, published_mat):
    code, out, err = run("info")
    assert code == 0
    assert out.endswith(f"vgg19: weights/{MAT} (./weights)\n")
    assert err.startswith("fastconv: the user cache is passed over: FASTCONV_CACHE_DIR is '~nosuchuser/x'")
    assert len(err.splitlines()) == 1


def test_no_weights(run):
    assert "none found" in run("info")[1]
