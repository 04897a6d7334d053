"""The targets: what the losses compare a picture with, computed from photograph and paintings."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, TypeAlias

import numpy as np

from fastconv.geometry import Array
from fastconv.nn.losses import ContentLoss
from fastconv.nn.vgg import VGG19
from fastconv.style.algorithm.features import stride_of
from fastconv.style.algorithm.options import Options
from fastconv.style.algorithm.textures import Gathering, TextureTerm, mask_at_layer
from fastconv.style.algorithm.tiles import Tile, plan_tiles
from fastconv.style.images import Size

StyleTargets: TypeAlias = dict[str, Any]  # layer -> summary of a style picture's features
KnownTargets: TypeAlias = dict[tuple[int, Size], StyleTargets]  # by a style picture's number, height and width


def content_losses(network: VGG19, content: Array, options: Options, tile: int | None = None) -> dict[str, ContentLoss]:
    """Compute the targets of a content picture; return its losses by their layers."""
    weights = options.content_shares()
    if not weights:
        return {}
    targets: dict[str, Array] = {}
    for part in tiles_of(content, weights, tile):
        for layer, features in network.walk(part.seen.of(content), weights, needs_gradient=False):
            if layer not in targets:
                size = (length // stride_of(layer) for length in content.shape[2:])
                targets[layer] = np.empty((*features.shape[:2], *size), features.dtype)
            part.owned_in_picture(layer).of(targets[layer])[...] = part.owned_in_tile(layer).of(features)
    return {
        layer: ContentLoss(target, options.loss, weight=options.alpha * weights[layer])
        for layer, target in targets.items()
    }


def style_targets(network: VGG19, style: Array, options: Options, tile: int | None = None) -> StyleTargets:
    """Compute what a style picture, (1, 3, h, w), gives the losses to compare with, layer by layer."""
    weights = options.style_shares()
    if not weights:
        return {}
    gatherings = {layer: Gathering(options.comparison().texture) for layer in weights}
    for part in tiles_of(style, weights, tile):
        for layer, features in network.walk(part.seen.of(style), weights, needs_gradient=False):
            gatherings[layer].add(features, layer, part)
    return {layer: gathering.mean(style.dtype) for layer, gathering in gatherings.items()}


def style_terms(
    targets: Sequence[StyleTargets], options: Options, masks: Sequence[Array] | None, dtype: np.dtype[Any]
) -> list[TextureTerm]:
    """Return the style losses: one term a layer for all styles together, or, with masks, one for each style.

    Where nothing is left of a mask at a layer, there is no term.
    """
    weights, comparison = options.style_shares(), options.comparison()
    weighted = list(zip(targets, shares(options.style_weights, len(targets)), strict=True))
    terms = []
    for layer in targets[0] if targets else ():
        losses = [
            comparison.style_loss(own[layer], weight=options.beta * share * weights[layer]) for own, share in weighted
        ]
        if masks is None:
            terms.append(TextureTerm(layer, comparison.texture, losses))
            continue
        for loss, mask in zip(losses, masks, strict=True):
            here = mask_at_layer(mask, layer).astype(dtype)
            if here.any():
                terms.append(TextureTerm(layer, comparison.texture, [loss], here))
    return terms


def tiles_of(picture: Array, layers: Collection[str], tile: int | None) -> tuple[Tile, ...]:
    """Return the tiles of planes, shape (1, 3, H, W); the rest as for `plan_tiles`."""
    return plan_tiles((picture.shape[2], picture.shape[3]), layers, tile)


def shares(weights: Sequence[float] | None, count: int) -> list[float]:
    """Return the weights of so many style pictures, equal where none are given, with a sum of 1."""
    given = np.ones(count) if weights is None else np.asarray(weights, float)
    return [float(share) for share in given / given.sum()]
