"""Means over positions: those of parts and under masks."""

import numpy as np
import pytest

from fastconv.nn.wasserstein import Moments, add_moments_gradient
from fastconv.style.algorithm.textures import mask_at_layer

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


def test_masked_moments_need_no_array_as_large_as_features():
    features = np.ones((1, 64, 100, 100), np.float32)
    slope = Moments(np.ones(64), np.zeros((64, 64)))
    mask, total = np.ones((100, 100), np.float32), np.zeros_like(features)
    add_moments_gradient(features, slope, total, mask)  # compiled, with its scratch memory at hand
    with traced() as peak:
        add_moments_gradient(features, slope, total, mask)
    assert peak[0] < features.nbytes / 2
