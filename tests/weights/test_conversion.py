"""Files of this package, made from those of others."""

import numpy as np
import pytest

from fastconv.weights import convert, load, load_file

from .. import weight_files
from .helpers import MAT

pytestmark = pytest.mark.usefixtures("isolated")


def test_convert_into_a_folder_that_is_searched(network, publish, tmp_path):
    path = network(tmp_path, MAT)
    publish("vgg19", path)
    (tmp_path / "weights").mkdir()
    target = convert(path, tmp_path / "weights")
    path.unlink()
    assert target.parent == tmp_path / "weights"
    assert load().path.resolve() == target
    assert load("vgg19").source == "vgg19"


def test_real_shapes_through_every_step(full_layers, tidy):
    path = tidy / MAT
    weight_files.write_matconvnet(path, full_layers, "old")
    for weights in (load(path), load(path), load_file(convert(path))):
        assert list(weights.layers) == list(full_layers)
        for name, (weight, bias) in weights.layers.items():
            np.testing.assert_array_equal(weight, full_layers[name][0])
            np.testing.assert_array_equal(bias, full_layers[name][1])
