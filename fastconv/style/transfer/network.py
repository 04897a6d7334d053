"""The network of a transfer, and which weights are in it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

from fastconv import weights as vgg_weights
from fastconv.log import Log
from fastconv.nn.vgg import VGG19
from fastconv.nn.vgg_layers import weights_for
from fastconv.style.algorithm.options import Options


class Network(NamedTuple):
    """VGG-19, as deep as a transfer needs it."""

    vgg: VGG19
    path: Path
    """The file that the weights were read from."""
    source: str
    sha256: str
    exact: bool
    """Whether the weights are the published ones to the last bit."""

    def describe(self) -> dict[str, Any]:
        """Return which weights these are, as JSON knows it."""
        return {"source": self.source, "sha256": self.sha256, "exact": self.exact}


def load_network(
    weights: str | os.PathLike[str] | vgg_weights.VGGWeights | None,
    options: Options,
    *,
    offline: bool,
    log: Log | None,
) -> Network:
    """Make the network out of weights, which are found, or downloaded, unless they are given; see `Transfer`.

    Raises
    ------
    fastconv.weights.WeightsError
        If the weights are missing or wrong.
    """
    if not isinstance(weights, vgg_weights.VGGWeights):
        weights = vgg_weights.load(weights, offline=offline, progress=log is not None, log=log)
    needed = weights_for(options.compared_layers())
    layers = {name: weights.layers[name] for name in needed}
    vgg = VGG19(layers, dtype=options.dtype, pooling=options.pooling, padding=options.padding)
    return Network(vgg, weights.path, weights.source, weights.sha256, weights.exact)
