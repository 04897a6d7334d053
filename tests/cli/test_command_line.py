"""A command line from start to end: help, mistakes of usage, exit codes, and standard output that is closed."""

import os
import re
import subprocess
import sys

import pytest

import fastconv
from fastconv import cli
from fastconv.cli import info
from fastconv.cli.errors import CommandError, Exit
from fastconv.weights import MissingWeightsError

from .helpers import raiser

pytestmark = pytest.mark.usefixtures("isolated")


def test_version(run):
    assert run("--version") == (0, f"fastconv {fastconv.__version__}\n", "")


def test_help_names_the_exit_codes(run):
    code, out, err = run("--help")
    assert (code, err) == (0, "")
    assert re.search(r"3\s+weights\s+missing", out)


@pytest.mark.parametrize("argv", [(), ("nonsense",), ("weights",), ("info", "--nonsense"), ("weights", "convert")])
def test_usage(run, argv):
    code, out, err = run(*argv)
    assert (code, out) == (2, "")
    assert err.startswith("usage: fastconv")


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (CommandError(Exit.OUTPUT, "it exists"), 5, "fastconv: it exists\n"),
        (MissingWeightsError("none"), 3, "fastconv: none\n"),
        (MemoryError("8 GB"), 4, "fastconv: out of memory: 8 GB\n"),
        (KeyboardInterrupt(), 130, "fastconv: interrupted\n"),
    ],
)
def test_what_the_user_can_mend_takes_a_line(run, monkeypatch, error, code, message):
    monkeypatch.setattr(info, "_versions", raiser(error))
    assert run("info") == (code, "", message)


def test_an_internal_error_shows_where(run, monkeypatch):
    monkeypatch.setattr(info, "_versions", raiser(ZeroDivisionError("oh")))
    code, out, err = run("info")
    assert (code, out) == (1, "")
    assert "Traceback" in err
    assert "ZeroDivisionError: oh" in err
    assert "please report" in err


def test_as_a_process(tmp_path):
    command = [sys.executable, "-c", "import sys; from fastconv.cli import main; sys.exit(main())"]
    finished = subprocess.run([*command, "weights", "fetch"], capture_output=True, text=True, env=dict(os.environ))
    assert (finished.returncode, finished.stdout) == (3, "")
    assert "downloads are off" in finished.stderr


@pytest.mark.parametrize("unbuffered", ["", "1"])  # which decides whether it shows at the end or at the first line
def test_a_reader_that_has_had_enough(monkeypatch, unbuffered):
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-c", "import sys; from fastconv import cli; sys.exit(cli.main(['info']))"]
    with os.fdopen(writing, "wb") as closed:
        finished = subprocess.run(command, stdout=closed, stderr=subprocess.PIPE, text=True)
    assert finished.stderr == ""
    assert finished.returncode == Exit.OUTPUT


def test_standard_output_may_be_closed(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdout", None)
    assert cli.main(["info"]) == 0
    assert capsys.readouterr().err == ""
