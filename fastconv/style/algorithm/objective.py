"""What a transfer minimises: the loss of a picture and its gradient."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Any, NamedTuple

import numpy as np

import fastconv
from fastconv.geometry import Array
from fastconv.nn.total_variation import TotalVariation
from fastconv.nn.vgg import VGG19
from fastconv.nn.wasserstein import one_blas_thread
from fastconv.style.algorithm.options import Options
from fastconv.style.algorithm.targets import KnownTargets, content_losses, style_targets, style_terms, tiles_of
from fastconv.style.algorithm.textures import (
    TextureTerm,
)
from fastconv.style.algorithm.tiles import Tile


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
    styles : iterable of ndarray, shape (1, 3, h, w)
        Style pictures, of any size; each is let go before the next one is taken.
    options : Options
        Weights, layers and normalisation of the losses.
    masks : sequence of ndarray, shape (H, W), or None
        Where in the picture each style applies, from 0 to 1; without masks, everywhere.
    known : dict, optional
        Targets that were computed before, by a style's number, height and width. Missing ones are computed and
        added, so that the runs of a folder can share them.
    tile : int, optional
        As in `fastconv.style.algorithm.tiles.lay_out`, for all pictures; by default each is taken as a whole.

    Notes
    -----
    Gatys, Ecker and Bethge, arXiv:1508.06576, equation 7. With several styles the style loss is the mean of
    theirs, weighted by `Options.style_weights`.

    A Gram matrix belongs to the whole picture, so tiles go through the network twice: first each of them forward,
    which gives the losses; then each of them forward and backward, which gives its part of the gradient. The last
    tile needs no second pass forward: the network still holds its features.
    """

    def __init__(
        self,
        network: VGG19,
        content: Array,
        styles: Iterable[Array],
        options: Options,
        masks: Sequence[Array] | None = None,
        known: KnownTargets | None = None,
        tile: int | None = None,
    ) -> None:
        self._network = network
        self._content = content_losses(network, content, options, tile)
        known = {} if known is None else known
        targets = []
        for i, style in enumerate(styles):
            key = i, (style.shape[2], style.shape[3])
            if key not in known:
                known[key] = style_targets(network, style, options, tile)
            targets.append(known[key])
        self._style = style_terms(targets, options, masks, content.dtype)
        self._smoothness = TotalVariation(weight=options.total_variation) if options.total_variation else None
        self._layers = {*self._content, *(term.layer for term in self._style)}
        self._tiles = tiles_of(content, self._layers, tile) if self._layers else ()

    def __call__(self, image: Array) -> tuple[Losses, Array]:
        """Return the parts of the loss of `image`, shape (1, 3, H, W), and the gradient of the total."""
        gradient = np.zeros_like(image)
        content, style = self._compare_features(image, gradient) if self._layers else (0.0, 0.0)
        smoothness = 0.0
        if self._smoothness is not None:
            smoothness = self._smoothness.forward(image)
            self._smoothness.backward(image, gradient)
        return Losses(content, style, smoothness), gradient

    def _compare_features(self, image: Array, gradient: Array) -> tuple[float, float]:
        """Return the losses of content and style, and add their gradient to `gradient`."""
        content = sum(self._look(image, tile) for tile in self._tiles)
        style = self._compare_textures(image.dtype)
        *others, last = self._tiles
        for tile in (last, *others):
            if tile is not last:
                for _ in self._network.walk(tile.seen.of(image), self._layers):
                    pass  # so that the network holds the tile's features
            part = self._network.backward({layer: partial(self._add_gradient, tile, layer) for layer in self._layers})
            tile.seen.of(gradient)[...] += part
        return content, style

    def _compare_textures(self, dtype: np.dtype[Any]) -> float:
        """Return the style loss, of several layers at a time: eigenvalues keep one thread busy each."""
        with one_blas_thread(), ThreadPoolExecutor(fastconv.get_num_threads()) as pool:
            # The deepest first, since they take longest; in this thread's context, which says what overflow does.
            jobs = [pool.submit(copy_context().run, term.compare, dtype) for term in reversed(self._style)]
            return sum(job.result() for job in jobs)

    def _look(self, image: Array, tile: Tile) -> float:
        """Gather the texture of what a tile owns, and return its part of the content loss."""
        content = 0.0
        for layer, features in self._network.walk(tile.seen.of(image), self._layers):
            if layer in self._content:
                part = self._content[layer].part(*tile.owned_in_picture(layer))
                content += part.forward(tile.owned_in_tile(layer).of(features))
            for term in self._terms(layer):
                term.add(features, tile)
        return content

    def _add_gradient(self, tile: Tile, layer: str, features: Array, total: Array) -> None:
        """Add to `total` the gradients of all losses with respect to those features of a layer that a tile owns."""
        if layer in self._content:
            owned = tile.owned_in_tile(layer)
            part = self._content[layer].part(*tile.owned_in_picture(layer))
            part.backward(owned.of(features), owned.of(total))
        for term in self._terms(layer):
            term.add_gradient(features, total, tile)

    def _terms(self, layer: str) -> Iterable[TextureTerm]:
        return (term for term in self._style if term.layer == layer)
