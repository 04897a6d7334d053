"""The size of a layer's features: how many channels, and how many positions for the pixels of a picture."""

from __future__ import annotations

import math
from collections.abc import Collection

from fastconv.nn.vgg_layers import LAYER_NAMES, LAYERS
from fastconv.style.images import Size
from fastconv.weights.model import KERNEL_SHAPES


def stride_of(layer: str) -> int:
    """Return the number of pixels, along a side, that become one position of a layer."""
    poolings = sum(spec.weights is None for spec in LAYERS[: LAYER_NAMES.index(layer) + 1])
    return int(2**poolings)


def features_per_pixel(layers: Collection[str]) -> float:
    """Return how many features of these layers there are for each pixel."""
    return sum(channels_of(name) / stride_of(name) ** 2 for name in layers)


def channels_of(layer: str) -> int:
    """Return the number of channels of a layer's features."""
    path = LAYERS[: 1 + LAYER_NAMES.index(layer)]
    return KERNEL_SHAPES[[spec.weights for spec in path if spec.weights][-1]][0]


def positions(size: Size, layer: str) -> int:
    """Return the number of a layer's positions in a picture of that height and width."""
    return math.prod(side // stride_of(layer) for side in size)
