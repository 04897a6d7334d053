"""Means over positions: those of parts and under masks."""

from typing import Any, NamedTuple

import numpy as np
import pytest

from fastconv.nn.losses import Texture
from fastconv.nn.wasserstein import Moments, add_moments_gradient
from fastconv.style.algorithm.textures import Gathering, mask_at_layer
from fastconv.style.algorithm.tiles import plan_tiles

from ..helpers import traced


@pytest.mark.parametrize(
    ("layer", "side"), [("relu1_1", 1), ("relu1_2", 1), ("pool1", 2), ("relu3_4", 4), ("relu5_1", 16), ("pool5", 32)]
)
def test_a_mask_is_averaged_over_each_position_of_a_layer(rng, layer, side):
    mask = rng.uniform(size=(48, 80))
    found = mask_at_layer(mask, layer)
    assert found.shape == (48 // side, 80 // side)
    assert found[0, 1] == pytest.approx(mask[:side, side : 2 * side].mean())
    assert found[-1, 0] == pytest.approx(mask[found.shape[0] * side - side : found.shape[0] * side, :side].mean())


class MeanAndSquare(NamedTuple):
    """A summary that no loss has."""

    mean: Any
    square: Any


def test_a_summary_may_be_any_named_tuple_of_means(rng):
    features = rng.normal(size=(1, 3, 8, 10))
    texture = Texture(lambda f, _: MeanAndSquare(f.mean(axis=(0, 2, 3)), (f * f).mean(axis=(0, 2, 3))), None)
    gathering = Gathering(texture)
    (tile,) = plan_tiles((8, 10), ["relu1_1"], None)
    gathering.add(features, "relu1_1", tile)
    gathering.add(3 * features, "relu1_1", tile)
    found = gathering.mean("float64")
    assert type(found) is MeanAndSquare
    np.testing.assert_allclose(found.mean, 2 * features.sum(axis=(0, 2, 3)) / 80)
    np.testing.assert_allclose(found.square, 5 * (features**2).sum(axis=(0, 2, 3)) / 80)


def test_masked_moments_need_no_array_as_large_as_features():
    features = np.ones((1, 64, 100, 100), np.float32)
    slope = Moments(np.ones(64), np.zeros((64, 64)))
    mask, total = np.ones((100, 100), np.float32), np.zeros_like(features)
    add_moments_gradient(features, slope, total, mask)  # compiled, with its scratch memory at hand
    with traced() as peak:
        add_moments_gradient(features, slope, total, mask)
    assert peak[0] < features.nbytes / 2
