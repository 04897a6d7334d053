"""Texture: what style losses know of features, gathered from a picture part by part.

Summaries are means over positions. Each part of a picture has a mean of its own. The mean of these in float64,
weighted by the number of each part's positions or by the sum of its mask, is that of the picture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fastconv.geometry import Array
from fastconv.nn.losses import Texture, TextureLoss
from fastconv.style.algorithm.features import stride_of
from fastconv.style.algorithm.tiles import Tile

BAND_BYTES = 8 << 20  # of features that are copied at a time, since rectangles of them are not contiguous


class Gathering:
    """The mean of the summaries of parts of a picture.

    Parameters
    ----------
    texture : Texture
    mask : ndarray, shape (H, W), optional
        Weights of the positions in the whole picture.

    Attributes
    ----------
    weight : float
        Number of the positions that were taken in, or the mask's sum over them.
    """

    def __init__(self, texture: Texture, mask: Array | None = None) -> None:
        self._texture = texture
        self._mask = mask
        self._sum: Any = None
        self.weight = 0.0

    def add(self, features: Array, layer: str, tile: Tile) -> None:
        """Take in what `tile` owns of the features of a layer, shape (1, C, h, w)."""
        owned = tile.owned_in_tile(layer).of(features)
        mask = None if self._mask is None else tile.owned_in_picture(layer).of(self._mask)
        for rows, weight in _bands(owned, mask):
            part = np.ascontiguousarray(owned[:, :, rows])
            summary = self._texture.summarize(part, None if mask is None else mask[rows])
            share = _each(lambda array, w=weight: np.multiply(array, w, dtype=np.float64), summary)
            self._sum = share if self._sum is None else _each(np.add, self._sum, share)
            self.weight += weight

    def mean(self, dtype: DTypeLike) -> Any:
        """Return the summary of all that was taken in."""
        return _each(lambda array: (array / self.weight).astype(dtype), self._sum)


class TextureTerm:
    """The style losses that compare the same features of a picture: those of a layer, under one mask.

    Parameters
    ----------
    layer : str
    texture : Texture
    losses : sequence of TextureLoss
    mask : ndarray, shape (h, w), optional
        Weights of the layer's positions in the whole picture.
    """

    def __init__(self, layer: str, texture: Texture, losses: Sequence[TextureLoss], mask: Array | None = None) -> None:
        self.layer = layer
        self._texture = texture
        self._losses = losses
        self._mask = mask
        self._gathering = Gathering(texture, mask)
        self._slope: Any = None
        self._weight = 0.0

    def add(self, features: Array, tile: Tile) -> None:
        """Take in what a tile owns of the features."""
        self._gathering.add(features, self.layer, tile)

    def compare(self, dtype: DTypeLike) -> float:
        """Return the loss of what was taken in, and begin anew."""
        summary = self._gathering.mean(dtype)
        self._weight = self._gathering.weight
        self._gathering = Gathering(self._texture, self._mask)
        values, slopes = zip(*(loss.compare(summary) for loss in self._losses), strict=True)
        self._slope = slopes[0]
        for slope in slopes[1:]:
            self._slope = _each(np.add, self._slope, slope)
        return float(sum(values))

    def add_gradient(self, features: Array, total: Array, tile: Tile) -> None:
        """Add the gradient of the last `compare` to `total`, where the tile owns the features."""
        place = tile.owned_in_tile(self.layer)
        owned, sums = place.of(features), place.of(total)
        mask = None if self._mask is None else tile.owned_in_picture(self.layer).of(self._mask)
        for rows, weight in _bands(owned, mask):
            # The gradient of a mean over the band, whose share in the mean over the picture this is.
            slope = _each(lambda array, w=weight: array * (w / self._weight), self._slope)
            part, weights = np.ascontiguousarray(owned[:, :, rows]), None if mask is None else mask[rows]
            band = sums[:, :, rows]
            if band.flags.c_contiguous:
                self._texture.add_gradient(part, slope, band, weights)
            else:
                gradient = np.zeros_like(part)
                self._texture.add_gradient(part, slope, gradient, weights)
                band += gradient


def _bands(owned: Array, mask: Array | None) -> Iterator[tuple[slice, float]]:
    """Yield rows of features that are small enough to be copied, or all if they need not be, and their weight.

    Rows that weigh nothing are left out.
    """
    height, width = owned.shape[2:]
    step = height if owned.flags.c_contiguous else max(1, BAND_BYTES // owned[:, :, :1].nbytes)
    for first in range(0, height, step):
        rows = slice(first, min(first + step, height))
        weight = float((rows.stop - first) * width if mask is None else mask[rows].sum(dtype=np.float64))
        if weight:
            yield rows, weight


def _each(function: Callable[..., Array], *summaries: Any) -> Any:
    """Apply a function to the arrays of which summaries are made."""
    if isinstance(summaries[0], tuple):
        return type(summaries[0])(*map(function, *summaries))
    return function(*summaries)


def mask_at_layer(mask: Array, layer: str) -> Array:
    """Average a mask of a canvas, shape (H, W), over the pixels that become one position of a layer."""
    side = stride_of(layer)
    rows, columns = (length // side for length in mask.shape)  # as pooling does, which leaves out what is over
    blocks = mask[: rows * side, : columns * side].reshape(rows, side, columns, side)
    averages: Array = blocks.mean(axis=(1, 3))
    return averages
