"""The losses of neural style transfer that compare features: content and style.

Of each, `forward` takes features and returns the loss, and `backward` takes the same features and an array, to
which it adds the gradient of the loss with respect to them. Both include the loss's `weight`. Between the two a loss
remembers nothing as large as features.

The formulas are those of Gatys, Ecker and Bethge, arXiv:1508.06576, equations 1 to 6, with ways to normalise
them that differ by constant factors:

========== ======================= ==================== ===================================================
           content, k_c            style, k_l
========== ======================= ==================== ===================================================
`relative` 1 / sum P^2             1 / sum A^2          error relative to the target: a loss of 1 is "as wrong
                                                        as zeros", whatever the layer, size or weights
`gatys`    1 / (2 C M)             1 / (4 C^2)          the paper's, the content loss divided by C M as well
`gram`     1 / (C M)               1 / C^4              the mean square of the entries, as other programs
                                                        have it with a Gram matrix that is divided by C too
========== ======================= ==================== ===================================================

Features F of a layer are C channels of M positions, P are those of the content picture, and A is the Gram
matrix of the style picture. Gram matrices are divided by M, so pictures of different sizes compare.

`wasserstein` replaces the style loss by another distance, `WassersteinLoss`, and normalises the content loss by
1 / (C M u^2), where u = 57.6 is the unit of its features.

A style that applies to a part of the picture only has a mask T, a weight for each position. Means over positions
become means weighted by T: G = sum_p T_p F_p F_p^T / sum_p T_p. It belongs to the functions between features and
their means, the `Texture`; a loss has `compare` for means, wherever they come from.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar

from fastconv.geometry import Array
from fastconv.nn.grams import LayerBytes, add_gram_gradient, check_features, flatten, gram_bytes, gram_matrix
from fastconv.nn.layers import Differentiable, float_dtype
from fastconv.nn.sums import sum_of_squares
from fastconv.nn.wasserstein import (
    LINEAR_ALGEBRA,
    UNIT,
    WassersteinLoss,
    add_moments_gradient,
    feature_moments,
    moments_bytes,
)

Scale: TypeAlias = Callable[[Array], float]
Entry = TypeVar("Entry")


class Normalization(NamedTuple):
    """The factors of a pair of losses."""

    content: Scale
    """k_c, given the content features P."""
    style: Scale
    """k_l, given the style's Gram matrix A."""


NORMALIZATIONS: Mapping[str, Normalization] = {
    "relative": Normalization(
        content=lambda target: 1 / _nonzero(sum_of_squares(target)),
        style=lambda target: 1 / _nonzero(sum_of_squares(target)),
    ),
    "gatys": Normalization(
        content=lambda target: 1 / (2 * target.size), style=lambda target: 1 / (4 * len(target) ** 2)
    ),
    "gram": Normalization(content=lambda target: 1 / target.size, style=lambda target: 1 / len(target) ** 4),
}
"""The normalisations of `StyleLoss`, and of the content loss that goes with each."""


class ContentLoss:
    """weight * k_c * sum (F - P)^2: how far features are from those of the content picture.

    Parameters
    ----------
    target : ndarray, shape (1, C, H, W), float32 or float64
        P, kept by reference.
    normalization : {"relative", "gatys", "gram", "wasserstein"}
        Which k_c; see the top of the module.
    weight : float
        Factor of the loss and its gradient.
    """

    def __init__(self, target: Array, normalization: str = "relative", *, weight: float = 1.0) -> None:
        flatten(target)
        self.target = target
        self.weight = weight
        self._scale = _look_up(COMPARISONS, normalization).content_scale(target)

    def part(self, rows: slice, columns: slice) -> ContentLoss:
        """Return what a rectangle of positions has of the loss; such parts add up to the whole."""
        part = copy.copy(self)
        part.target = self.target[:, :, rows, columns]
        return part

    def forward(self, features: Array) -> float:
        """Return the loss of `features`, an array of the target's shape and dtype."""
        if features.shape != self.target.shape or features.dtype != self.target.dtype:
            raise ValueError(
                f"features must have the target's shape {self.target.shape} and dtype {self.target.dtype}, "
                f"got {features.shape} and {features.dtype}"
            )
        return self.weight * self._scale * sum_of_squares(features - self.target)

    def backward(self, features: Array, total: Array) -> None:
        """Add the gradient at `features`, an array of the target's shape and dtype, to `total`."""
        gradient = features - self.target
        gradient *= 2 * self.weight * self._scale
        total += gradient


class StyleLoss(Differentiable):
    """weight * k_l * sum (G - A)^2: how far the Gram matrix of features is from the style picture's.

    Parameters
    ----------
    target : ndarray, shape (C, C), float32 or float64
        A, the `gram_matrix` of the style picture's features, which may be of any size.
    normalization : {"relative", "gatys", "gram"}
        Which k_l; see the module's table.
    weight : float
        Factor of the loss and its gradient.
    """

    def __init__(self, target: Array, normalization: str = "relative", *, weight: float = 1.0) -> None:
        float_dtype(target.dtype)
        if target.ndim != 2 or target.shape[0] != target.shape[1]:
            raise ValueError(f"target must be a Gram matrix of shape (C, C), got {target.shape}")
        self.target = target
        self.weight = weight
        self._scale = _look_up(NORMALIZATIONS, normalization).style(target)

    def compare(self, gram: Array) -> tuple[float, Array]:
        """Return the loss of a picture with that Gram matrix, and its gradient with respect to the matrix."""
        difference = gram - self.target
        loss = self.weight * self._scale * sum_of_squares(difference)
        difference *= 2 * self.weight * self._scale
        return loss, difference

    def forward(self, features: Array) -> float:
        """Return the loss of `features`, shape (1, C, H, W), of the target's dtype."""
        check_features(features, len(self.target), self.target.dtype)
        loss, slope = self.compare(gram_matrix(features))
        self._save(slope)
        return loss

    def backward(self, features: Array, total: Array) -> None:
        """Add the gradient at the features of the last `forward` to `total`, once for each `forward`."""
        add_gram_gradient(features, self._take(), total)


class Texture(NamedTuple):
    """What a style loss knows of features, its summary: an array, or a named tuple of arrays.

    Each array is a mean over positions, so that of a picture is made of those of its parts.
    """

    summarize: Callable[[Array, Array | None], Any]
    """Given features and a mask."""
    add_gradient: Callable[[Array, Any, Array, Array | None], None]
    """Given features, the gradient with respect to their summary, what to add to, and a mask."""


class TextureLoss(Protocol):
    """A style loss, made of the summary of a style picture's features."""

    def compare(self, summary: Any, /) -> tuple[float, Any]:
        """Return the loss of a picture with that summary, and its gradient with respect to it."""


class Comparison(NamedTuple):
    """How features are compared: all that there is to know of a value of the option `loss`."""

    content_scale: Scale
    """k_c, given the content features P."""
    texture: Texture
    style_loss: Callable[..., TextureLoss]
    """Given a summary and, by keyword, the `weight`."""
    layer_bytes: Callable[[int, int], LayerBytes]
    """Given a layer's channels and the bytes of a number."""
    libraries: int = 0
    """Bytes of what is loaded to compare."""


def _compare_grams(name: str) -> Comparison:
    style_loss = partial(StyleLoss, normalization=name)
    return Comparison(
        NORMALIZATIONS[name].content, Texture(gram_matrix, add_gram_gradient), style_loss, layer_bytes=gram_bytes
    )


COMPARISONS: Mapping[str, Comparison] = {
    **{name: _compare_grams(name) for name in NORMALIZATIONS},
    "wasserstein": Comparison(
        content_scale=lambda target: 1 / (target.size * UNIT**2),
        texture=Texture(feature_moments, add_moments_gradient),
        style_loss=WassersteinLoss,
        layer_bytes=moments_bytes,
        libraries=LINEAR_ALGEBRA,
    ),
}
"""The values of the option `loss`."""


def _look_up(table: Mapping[str, Entry], normalization: str) -> Entry:
    if normalization not in table:
        raise ValueError(f"normalization must be one of {', '.join(table)}, got {normalization!r}")
    return table[normalization]


def _nonzero(square_sum: float) -> float:
    if square_sum == 0:
        raise ValueError("normalization 'relative' needs a target that is not all zeros")
    return square_sum
