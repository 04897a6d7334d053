"""What tests of the command share: a function that runs it, and a published file of weights."""

import dataclasses
import hashlib

import pytest

from fastconv import cli
from fastconv.cli.errors import Exit
from fastconv.weights import SOURCES

from .. import weight_files


@pytest.fixture
def run(capsys):
    """Return a function that runs a command line and returns (exit code, standard output, standard error)."""

    def run_command(*argv):
        code = cli.main(argv)
        assert type(code) is int or isinstance(code, Exit)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run_command


@pytest.fixture
def published_mat(small_network, monkeypatch, tmp_path):
    """A small network as MatConvNet's published file, in ./weights/."""
    path = tmp_path / "weights" / SOURCES["vgg19"].filename
    path.parent.mkdir()
    weight_files.write_matconvnet(path, small_network)
    content = path.read_bytes()
    hashes = {"sha256": (hashlib.sha256(content).hexdigest(),)}
    monkeypatch.setitem(SOURCES, "vgg19", dataclasses.replace(SOURCES["vgg19"], size=len(content), hashes=hashes))
    return path
