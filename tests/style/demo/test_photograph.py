"""The photograph of the demo."""

import sys

import pytest

from fastconv.style.demo.photograph import demo_photograph
from fastconv.style.images import load


def test_demo_photograph():
    pytest.importorskip("skimage")
    assert load(demo_photograph()).size == (400, 600)


def test_demo_photograph_without_scikit_image(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'fastconv\[demo\]'"):
        demo_photograph()
