"""What a transfer minimises: the loss of a picture and its gradient."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fastconv.nn.losses import ContentLoss, StyleLoss, TotalVariation, gram_matrix
from fastconv.nn.vgg import VGG19
from fastconv.nn.wasserstein import WassersteinLoss, feature_moments
from fastconv.style.masks import at_layer
from fastconv.style.options import Options, layer_weights

Array = NDArray[Any]
TextureLoss: TypeAlias = StyleLoss | WassersteinLoss


class Losses(NamedTuple):
    """The parts of the loss, each multiplied by its weight."""

    content: float
    style: float
    smoothness: float

    @property
    def total(self) -> float:
        """What is minimised."""
        return sum(self)


class Objective:
    """The loss of a picture and its gradient: alpha * content + beta * style + total variation.

    Parameters
    ----------
    network : VGG19
        Whose features are compared.
    content : ndarray, shape (1, 3, H, W)
        Content picture, RGB from 0 to 255, of the size that will be optimised.
    styles : sequence of ndarray, shape (1, 3, h, w)
        Style pictures, of any size.
    options : Options
        Weights, layers and normalisation of the losses.
    masks : sequence of ndarray, shape (H, W), or None
        Where in the picture each style applies, from 0 to 1; without masks, everywhere.

    Notes
    -----
    Gatys, Ecker and Bethge, arXiv:1508.06576, equation 7. With several styles the style loss is the mean of
    theirs, weighted by `Options.style_weights`.
    """

    def __init__(
        self,
        network: VGG19,
        content: Array,
        styles: Sequence[Array],
        options: Options,
        masks: Sequence[Array] | None = None,
    ) -> None:
        self._network = network
        self._content = content_losses(network, content, options)
        self._style = style_losses(network, styles, options, masks)
        self._smoothness = TotalVariation(weight=options.total_variation) if options.total_variation else None
        self._layers = {layer for layer, _ in (*self._content, *self._style)}

    def __call__(self, image: Array) -> tuple[Losses, Array]:
        """Return the parts of the loss of `image`, shape (1, 3, H, W), and the gradient of the total."""
        content, style, gradient = self._compare_features(image) if self._layers else (0.0, 0.0, np.zeros_like(image))
        smoothness = 0.0
        if self._smoothness is not None:
            smoothness = self._smoothness.forward(image)
            self._smoothness.backward(image, gradient)
        return Losses(content, style, smoothness), gradient

    def _compare_features(self, image: Array) -> tuple[float, float, Array]:
        content = style = 0.0
        for layer, features in self._network.walk(image, self._layers):
            content += sum(loss.forward(features) for name, loss in self._content if name == layer)
            style += sum(loss.forward(features) for name, loss in self._style if name == layer)
        gradient = self._network.backward({layer: partial(self._add_gradient, layer) for layer in self._layers})
        return content, style, gradient

    def _add_gradient(self, layer: str, features: Array, total: Array) -> None:
        """Add the gradients of all losses with respect to one layer's features."""
        losses: Iterator[tuple[str, ContentLoss | TextureLoss]] = itertools.chain(self._content, self._style)
        for name, loss in losses:
            if name == layer:
                loss.backward(features, total)


def content_losses(network: VGG19, content: Array, options: Options) -> list[tuple[str, ContentLoss]]:
    """Compute the targets of a content picture; return its losses and their layers."""
    weights = layer_weights(options.content_layers)
    if not (weights and options.alpha):
        return []
    targets = network.forward(content, weights, needs_gradient=False)
    return [
        (layer, ContentLoss(target, options.loss, weight=options.alpha * weights[layer]))
        for layer, target in targets.items()
    ]


def style_losses(
    network: VGG19, styles: Sequence[Array], options: Options, masks: Sequence[Array] | None
) -> list[tuple[str, TextureLoss]]:
    """Compute the targets of style pictures; return their losses and their layers.

    Where nothing is left of a mask at a layer, there is no loss.
    """
    weights = layer_weights(options.style_layers)
    if not (weights and options.beta):
        return []
    losses = []
    for i, (style, share) in enumerate(zip(styles, shares(options.style_weights, len(styles)), strict=True)):
        for layer, features in network.walk(style, weights, needs_gradient=False):
            mask = None if masks is None else at_layer(masks[i], layer).astype(style.dtype)
            if mask is None or mask.any():
                losses.append((layer, style_loss(features, options, options.beta * share * weights[layer], mask)))
    return losses


def style_loss(features: Array, options: Options, weight: float, mask: Array | None) -> TextureLoss:
    """Return the loss that has a style picture's features at a layer for its target."""
    if options.loss == "wasserstein":
        return WassersteinLoss(feature_moments(features), weight=weight, mask=mask)
    return StyleLoss(gram_matrix(features), options.loss, weight=weight, mask=mask)


def shares(weights: Sequence[float] | None, count: int) -> list[float]:
    """Return the weights of so many style pictures, equal where none are given, with a sum of 1."""
    given = np.ones(count) if weights is None else np.asarray(weights, float)
    return [float(share) for share in given / given.sum()]
