"""Where weights are looked for, and what is preferred."""

from pathlib import Path

import pytest

import fastconv
from fastconv.weights import MissingWeightsError, cache_dir, convert, find, load, search

from .helpers import BIN, H5, MAT

pytestmark = pytest.mark.usefixtures("isolated")


def test_places(network, monkeypatch, tmp_path):
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


@pytest.mark.usefixtures("homeless")
def test_a_cache_in_no_home_is_passed_over(network, monkeypatch, tmp_path):
    package = tmp_path / "site" / "a_package"
    monkeypatch.setattr(search, "_PACKAGE", "a_package")
    paths = [network(tmp_path / "weights", BIN), network(package, BIN)]
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(package.parent)
    said = []
    assert [found.path.resolve() for found in find(log=said.append)] == paths
    (line,) = said
    assert line.startswith("the user cache is passed over: FASTCONV_CACHE_DIR is '~nosuchuser/x'")
    assert load().path.resolve() == paths[0]


def test_exact_before_rounded_within_a_place(network, tmp_path):
    network(tmp_path / "weights", BIN)
    assert not load().exact
    network(tmp_path / "weights", H5)
    assert load().exact
    assert load().path.name == H5
    network(tmp_path / "weights", MAT)
    assert load().path.name == MAT
    assert load("vgg19-q8").path.name == BIN


def test_place_before_exactness(network, tmp_path):
    network(tmp_path / "weights", BIN)
    convert(network(tmp_path / "elsewhere", MAT)).rename(cache_dir() / "vgg19-0123456789abcdef.npz")
    assert load().path.name == BIN
    assert load("vgg19").exact


def test_the_checkout_is_this_one():
    assert search._ROOT.samefile(Path(fastconv.__file__).parents[1])
