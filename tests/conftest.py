"""Fixtures that several test files share: both backends, random and real numbers, and places for files."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import numba
import numpy as np
import pytest

from fastconv.weights import VGGWeights, converted
from fastconv.weights.model import KERNEL_SHAPES

from .weight_files import random_layers

TEST_DATA = Path(os.environ.get("FASTCONV_TEST_DATA") or Path(__file__).parents[2] / "shared" / "data")


@pytest.fixture(params=["kernels", "NumPy"], scope="module")
def each_backend(request):
    """Compute with each of the two: compiled kernels, and NumPy, as where Numba may not compile."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(numba.config, "DISABLE_JIT", int(request.param == "NumPy"))
        yield request.param


@pytest.fixture(params=[np.float32, np.float64], ids=["float32", "float64"])
def dtype(request):
    return np.dtype(request.param)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def shared_data():
    """The folder with data too large for the repository: `$FASTCONV_TEST_DATA`, or beside the checkout."""
    if not TEST_DATA.is_dir():
        pytest.skip(f"no test data in {TEST_DATA}; FASTCONV_TEST_DATA names another folder")
    return TEST_DATA


@pytest.fixture(scope="session")
def true_layers(shared_data):
    """conv1_1 to conv3_4 as they were trained: name -> (OIHW for R, G, B input, bias)."""
    layers = _read_true_layers()
    if not layers:
        pytest.skip(f"no VGG-19 layers in {shared_data}")
    return layers


@pytest.fixture(scope="session")
def full_layers():
    """Sixteen layers of the real shapes: the trained numbers as far as they are there, then random ones."""
    return random_layers() | _read_true_layers()


@pytest.fixture
def small_network(monkeypatch):
    """Shrink VGG-19 to a 32nd of its widths, so that files of it are small, and return such layers."""
    for name, (out, channels, *window) in KERNEL_SHAPES.items():
        monkeypatch.setitem(KERNEL_SHAPES, name, (out // 32, channels if channels == 3 else channels // 32, *window))
    return random_layers()


@pytest.fixture
def isolated(tmp_path, monkeypatch):
    """Work in an empty folder with an empty cache, and no way to weights elsewhere or to the network."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FASTCONV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("FASTCONV_OFFLINE", "1")
    monkeypatch.delenv("FASTCONV_WEIGHTS", raising=False)
    monkeypatch.setattr("fastconv.weights.search._CHECKOUT", None)
    monkeypatch.setattr("fastconv.weights.search._PACKAGE", "no_such_package")
    return tmp_path


@pytest.fixture
def homeless(isolated, monkeypatch):
    """As `isolated`, but the cache would be in the home of a user that there is not."""
    if sys.platform == "win32":
        pytest.skip("the homes of other users are guessed there")
    monkeypatch.setenv("FASTCONV_CACHE_DIR", "~nosuchuser/x")


@pytest.fixture
def tidy(isolated):
    """As `isolated`, and its folder is emptied at the end: files of real size should not stay until later runs."""
    yield isolated
    for path in isolated.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _read_true_layers():
    path = TEST_DATA / "vgg19_conv1-3.npz"
    if not path.is_file():
        return {}
    layers = {}
    with np.load(path) as archive:
        for key in archive.files:
            if key.endswith("_w"):
                name = key.removesuffix("_w")
                kernel = archive[key][:, :, ::-1] if name == "conv1_1" else archive[key]
                layers[name] = (np.ascontiguousarray(kernel.transpose(3, 2, 0, 1)), archive[f"{name}_b"])
    return layers


@pytest.fixture(scope="session")
def random_weights(tmp_path_factory):
    """A file of VGG-19's shapes, filled with random numbers that keep the features' variance."""
    rng = np.random.default_rng(0)
    layers = {}
    for name, shape in KERNEL_SHAPES.items():
        weight = rng.standard_normal(shape, dtype=np.float32) * np.float32(np.sqrt(2 / (9 * shape[1])))
        layers[name] = weight, np.zeros(shape[0], np.float32)
    path = tmp_path_factory.mktemp("weights") / "random.npz"
    converted.write(VGGWeights(layers, "random.npz", "cd" * 32, path, exact=True), path)
    return path


@pytest.fixture
def folder(tmp_path, monkeypatch, random_weights):
    """A current folder with photo.png and painting.png, and weights that need no download."""
    Image = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(1)
    for name, shape in (("photo.png", (4, 6)), ("painting.png", (5, 5))):
        coarse = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((8 * shape[1], 8 * shape[0])).save(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FASTCONV_WEIGHTS", str(random_weights))
    return tmp_path
