"""What a transfer minimises: the loss of a picture and its gradient."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastconv.nn.losses import ContentLoss, StyleLoss, TotalVariation, gram_matrix
from fastconv.nn.vgg import VGG19
from fastconv.nn.wasserstein import WassersteinLoss, feature_moments
from fastconv.style.masks import at_layer
from fastconv.style.options import Options, layer_weights
from fastconv.style.scales import Size

Array = NDArray[Any]
TextureLoss: TypeAlias = StyleLoss | WassersteinLoss
StyleTargets: TypeAlias = dict[str, Any]  # layer -> Gram matrix or moments of a style picture's features


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
    known : dict, optional
        Targets by a style's number, height and width. What is there is not computed again, what is missing is
        added: so pictures that are made after each other can share it.

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
        known: dict[tuple[int, Size], StyleTargets] | None = None,
    ) -> None:
        self._network = network
        self._content = content_losses(network, content, options)
        known = {} if known is None else known
        targets = []
        for i, style in enumerate(styles):
            key = i, (style.shape[2], style.shape[3])
            if key not in known:
                known[key] = style_targets(network, style, options)
            targets.append(known[key])
        self._style = style_losses(targets, options, masks, content.dtype)
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


def style_targets(network: VGG19, style: Array, options: Options) -> StyleTargets:
    """Compute what a style picture, (1, 3, h, w), gives the losses to compare with, layer by layer."""
    weights = layer_weights(options.style_layers)
    if not (weights and options.beta):
        return {}
    summary = feature_moments if options.loss == "wasserstein" else gram_matrix
    return {layer: summary(features) for layer, features in network.walk(style, weights, needs_gradient=False)}


def style_losses(
    targets: Sequence[StyleTargets], options: Options, masks: Sequence[Array] | None, dtype: DTypeLike
) -> list[tuple[str, TextureLoss]]:
    """Return the losses of style pictures, and their layers.

    Where nothing is left of a mask at a layer, there is no loss.
    """
    weights = layer_weights(options.style_layers)
    losses = []
    for i, share in enumerate(shares(options.style_weights, len(targets))):
        for layer, target in targets[i].items():
            mask = None if masks is None else at_layer(masks[i], layer).astype(dtype)
            if mask is None or mask.any():
                losses.append((layer, style_loss(target, options, options.beta * share * weights[layer], mask)))
    return losses


def style_loss(target: Any, options: Options, weight: float, mask: Array | None) -> TextureLoss:
    """Return the loss at a layer that has what `style_targets` computed there for its target."""
    if options.loss == "wasserstein":
        return WassersteinLoss(target, weight=weight, mask=mask)
    return StyleLoss(target, options.loss, weight=weight, mask=mask)


def shares(weights: Sequence[float] | None, count: int) -> list[float]:
    """Return the weights of so many style pictures, equal where none are given, with a sum of 1."""
    given = np.ones(count) if weights is None else np.asarray(weights, float)
    return [float(share) for share in given / given.sum()]
