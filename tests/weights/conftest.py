"""What tests of the weights share: files of a small network, and a way to make one the published file."""

import dataclasses
import hashlib

import pytest

from fastconv.weights import SOURCES

from .. import weight_files
from .helpers import BIN, H5, MAT


@pytest.fixture
def network(small_network):
    """Return a function that writes a file of the small network into a folder, in the format of its name."""
    writers = {MAT: weight_files.write_matconvnet, H5: weight_files.write_keras, BIN: weight_files.write_quantized}

    def write(folder, filename):
        folder.mkdir(parents=True, exist_ok=True)
        writers[filename](folder / filename, small_network)
        return folder / filename

    return write


@pytest.fixture
def publish(monkeypatch):
    """Return a function that makes a file the published one of a source."""

    def register(name, path):
        content = path.read_bytes()
        source = dataclasses.replace(
            SOURCES[name], size=len(content), hashes={"sha256": (hashlib.sha256(content).hexdigest(),)}
        )
        monkeypatch.setitem(SOURCES, name, source)
        return source

    return register
