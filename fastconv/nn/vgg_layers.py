"""The layers of VGG-19 without its classifier: five blocks of 3x3 convolutions with ReLU, and a pooling after each.

Simonyan and Zisserman, arXiv:1409.1556, table 1, column E.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

MEAN_RGB = (123.68, 116.779, 103.939)
"""Mean pixel of the training pictures, which the network expects to be subtracted."""


class LayerSpec(NamedTuple):
    """One row of the table of layers: what it gives, and from which weights."""

    name: str
    """Of its output: "relu1_1" (a convolution and its ReLU are one layer here) or "pool1"."""
    weights: str | None
    """Key of the convolution's weights, None for a pooling."""


POOLINGS = ("max", "average")

PADDINGS = ("zeros", "replicate")
"""Of the first convolution."""

CONVOLUTIONS_PER_BLOCK = (2, 2, 4, 4, 4)


def _table() -> tuple[LayerSpec, ...]:
    rows = []
    for block, count in enumerate(CONVOLUTIONS_PER_BLOCK, start=1):
        rows += [LayerSpec(f"relu{block}_{i}", f"conv{block}_{i}") for i in range(1, count + 1)]
        rows.append(LayerSpec(f"pool{block}", None))
    return tuple(rows)


LAYERS = _table()
"""The network, from the picture down."""

LAYER_NAMES = tuple(layer.name for layer in LAYERS)
"""What `VGG19.forward` can be asked for."""

CONVOLUTIONS = tuple(layer.weights for layer in LAYERS if layer.weights)


def weights_for(names: Collection[str]) -> tuple[str, ...]:
    """Return the keys of the weights that a network needs for the features of these layers."""
    deepest = max(map(LAYER_NAMES.index, names), default=-1)
    return tuple(layer.weights for layer in LAYERS[: deepest + 1] if layer.weights)


def path_to(wanted: Collection[str]) -> tuple[LayerSpec, ...]:
    """Return the layers down to the deepest one that is wanted."""
    return LAYERS[: 1 + max(map(LAYER_NAMES.index, wanted))]


def check_names(names: Iterable[str]) -> set[str]:
    """Return the layers that are asked for, or raise if there is none, or an unknown one."""
    if isinstance(names, str):
        raise TypeError(f"names must be a list of layer names, got the string {names!r}")
    wanted = set(names)
    if not wanted:
        raise ValueError("names must hold at least one layer name, got none")
    unknown = wanted.difference(LAYER_NAMES)
    if unknown:
        raise ValueError(f"names must be out of {', '.join(LAYER_NAMES)}; got {', '.join(sorted(unknown))}")
    return wanted
