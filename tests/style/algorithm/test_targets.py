"""Targets that are computed in tiles are those of the whole pictures."""

import numpy as np
import pytest

from fastconv.nn.losses import COMPARISONS
from fastconv.nn.vgg import VGG19
from fastconv.style import Options
from fastconv.style.algorithm.canvas import to_planes
from fastconv.style.algorithm.options import SMALLEST_TILE
from fastconv.style.algorithm.targets import content_losses, style_targets

from ..helpers import distance, noise, thin_layers

LARGE_TILE = 640  # four tiles for 1024 px


@pytest.mark.parametrize("loss", COMPARISONS)
def test_targets_are_those_of_the_whole_pictures(loss):
    options = Options(loss=loss, content_layers=("relu2_2", "relu4_2"))
    picture = to_planes(noise(437, 491), "float64")  # rows and columns that poolings leave out
    network = VGG19(thin_layers((4,) * 5), dtype="float64")
    whole, found = (style_targets(network, picture, options, tile) for tile in (None, SMALLEST_TILE))
    assert whole.keys() == found.keys() == set(options.style_layers)
    for layer in whole:
        assert type(found[layer]) is type(whole[layer])
        for expected, array in zip(whole[layer], found[layer], strict=True):  # rows, or parts of a tuple
            np.testing.assert_allclose(array, expected, rtol=1e-11, atol=1e-11 * np.abs(expected).max())
    whole, found = (content_losses(network, picture, options, tile) for tile in (None, SMALLEST_TILE))
    for layer in options.content_layers:
        np.testing.assert_allclose(found[layer].target, whole[layer].target, rtol=1e-9, atol=1e-9)


@pytest.mark.slow
def test_gram_matrices_of_a_large_picture(real_weights, photographs):
    planes = to_planes(photographs[1], "float32")
    network = VGG19(real_weights.layers, padding="replicate")
    whole, found = (style_targets(network, planes, Options(), tile) for tile in (None, LARGE_TILE))
    for layer in whole:
        print("relative distance of the Gram matrix of", layer, distance(found[layer], whole[layer]))
        assert distance(found[layer], whole[layer]) < 1e-6
