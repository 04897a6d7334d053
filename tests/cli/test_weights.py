"""The command `fastconv weights`."""

import hashlib
import re

import pytest

from fastconv.weights import SOURCES, cache_dir, downloading

MAT, BIN = (SOURCES[name].filename for name in ("vgg19", "vgg19-q8"))

pytestmark = pytest.mark.usefixtures("isolated")


def test_list(run, published_mat):
    code, out, err = run("weights", "list")
    assert (code, err) == (0, "")
    for source in SOURCES.values():
        assert source.name in out
        assert source.origin in out
    assert out.splitlines()[-1] == f"found vgg19: weights/{MAT} (./weights)"


@pytest.mark.usefixtures("homeless")
def test_no_home_takes_a_line(run, published_mat):
    code, out, err = run("weights", "list")
    assert code == 0
    assert out.endswith(f"vgg19: weights/{MAT} (./weights)\n")
    assert err.startswith("fastconv: the user cache is passed over: FASTCONV_CACHE_DIR is '~nosuchuser/x'")
    assert len(err.splitlines()) == 1


def test_fetch_prints_what_is_there(run, published_mat):
    assert run("weights", "fetch", "vgg19") == (0, f"weights/{MAT}\n", "")


def test_fetch_offline(run):
    code, out, err = run("weights", "fetch")
    assert (code, out) == (3, "")
    assert "By hand: fetch" in err


def test_fetch_downloads(run, published_mat, monkeypatch):
    content = published_mat.read_bytes()
    published_mat.unlink()
    monkeypatch.delenv("FASTCONV_OFFLINE")

    def download(source, folder, progress):
        path = folder / source.filename
        path.write_bytes(content)
        return path

    monkeypatch.setattr(downloading, "download_file", download)
    code, out, err = run("weights", "fetch", "vgg19")
    assert code == 0
    (kept,) = cache_dir().iterdir()
    assert out == f"{kept}\n"
    assert err.startswith("fastconv: fetching vgg19, ")


def test_fetch_unknown(run):
    code, out, err = run("weights", "fetch", "vgg20")
    assert (code, out) == (2, "")
    assert "'vgg20'; expected vgg19, vgg19-keras, vgg19-q8" in err


def test_convert(run, published_mat):
    code, out, err = run("weights", "convert", str(published_mat))
    (kept,) = cache_dir().iterdir()
    assert (code, out, err) == (0, f"{kept}\n", "")
    published_mat.unlink()
    assert run("weights", "fetch", "vgg19") == (0, f"{kept}\n", "")


def test_convert_to_a_file(run, published_mat, tmp_path):
    target = tmp_path / "mine.npz"
    assert run("weights", "convert", str(published_mat), "-o", str(target)) == (0, f"{target}\n", "")
    content = target.read_bytes()
    code, out, err = run("weights", "convert", str(published_mat), "-o", str(target))
    assert (code, out) == (5, "")
    assert "mine.npz exists; --overwrite replaces it" in err
    target.write_bytes(b"old")
    assert run("weights", "convert", str(published_mat), "-o", str(target), "--overwrite")[0] == 0
    assert target.read_bytes() == content


def test_convert_to_nowhere(run, published_mat, tmp_path):
    code, out, err = run("weights", "convert", str(published_mat), "-o", str(tmp_path / "no" / "mine.npz"))
    assert (code, out) == (5, "")
    assert "cannot be written" in err


def test_convert_what_is_none(run, tmp_path):
    path = tmp_path / MAT
    path.write_bytes(b"<html>")
    code, out, err = run("weights", "convert", str(path))
    assert (code, out) == (3, "")
    assert "an HTML page" in err


@pytest.mark.parametrize("argv", [(), ("vgg19",), (f"weights/{MAT}",)])
def test_check(run, published_mat, argv):
    code, out, err = run("weights", "check", *argv)
    assert (code, err) == (0, "")
    digest = hashlib.sha256(published_mat.read_bytes()).hexdigest()
    assert out.splitlines()[0] == f"ok     weights/{MAT}: vgg19, exact kernels, SHA256 {digest}"


def test_check_goes_on_after_a_wrong_file(run, published_mat):
    (published_mat.parent / "vgg19.npz").write_bytes(b"PK\x03\x04")
    code, out, err = run("weights", "check")
    assert (code, err) == (3, "")
    first, second = out.splitlines()
    assert re.match(r"wrong {2}weights/vgg19\.npz: truncated or damaged", first)
    assert second.startswith(f"ok     weights/{MAT}")


def test_check_does_not_forget_a_wrong_file_for_a_good_one_before_it(run, published_mat):
    (published_mat.parent / BIN).write_bytes(b"<html>")
    code, out, err = run("weights", "check")
    assert (code, err) == (3, "")
    first, second = out.splitlines()
    assert first.startswith(f"ok     weights/{MAT}")
    assert second.startswith(f"wrong  weights/{BIN}: an HTML page")


@pytest.mark.parametrize("argv", [(), ("vgg19-keras",)])
def test_check_nothing(run, argv):
    code, out, err = run("weights", "check", *argv)
    assert (code, out) == (3, "")
    assert "no file found for" in err


def test_check_no_such_path(run):
    code, out, _ = run("weights", "check", "nowhere.mat")
    assert code == 3
    assert "nowhere.mat: cannot be read" in out
