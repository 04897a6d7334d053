"""The losses of neural style transfer: content, style, smoothness.

Each is used like a layer: `forward` takes features and returns the loss, `backward` returns the gradient of
that number with respect to those features. Both include the loss's `weight`, so that the gradients of several
losses need only be added.

The formulas are those of Gatys, Ecker and Bethge, arXiv:1508.06576, equations 1 to 6, with three ways to
normalise them, which differ by constant factors:

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
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastconv.nn.layers import Differentiable, float_dtype

Array = NDArray[Any]

CONTENT_SCALES: dict[str, Callable[[Array], float]] = {
    "relative": lambda target: 1 / _nonzero(_sum_of_squares(target)),
    "gatys": lambda target: 1 / (2 * target.size),
    "gram": lambda target: 1 / target.size,
}
"""k_c for each normalisation, given the content features P."""

STYLE_SCALES: dict[str, Callable[[Array], float]] = {
    "relative": lambda target: 1 / _nonzero(_sum_of_squares(target)),
    "gatys": lambda target: 1 / (4 * len(target) ** 2),
    "gram": lambda target: 1 / len(target) ** 4,
}
"""k_l for each normalisation, given the style's Gram matrix A."""


def gram_matrix(features: Array) -> Array:
    """Correlate the channels of a feature map with each other.

    Parameters
    ----------
    features : ndarray, shape (1, C, H, W), float32 or float64
        One layer's features of one picture.

    Returns
    -------
    ndarray, shape (C, C)
        F F^T / M, of the features' dtype, where F is C x M and M = H * W.

    Notes
    -----
    Gatys, Ecker and Bethge, arXiv:1508.06576, equation 3, divided by the number of positions.
    """
    flat = _flatten(features)
    gram = flat @ flat.T
    gram /= flat.shape[1]
    return gram


class ContentLoss(Differentiable):
    """weight * k_c * sum (F - P)^2: how far features are from those of the content picture.

    Parameters
    ----------
    target : ndarray, shape (1, C, H, W), float32 or float64
        P, kept by reference.
    normalization : {"relative", "gatys", "gram"}
        Which k_c; see the module's table.
    weight : float
        Factor of the loss and its gradient.
    """

    def __init__(self, target: Array, normalization: str = "relative", *, weight: float = 1.0) -> None:
        _flatten(target)
        self.target = target
        self.weight = weight
        self._scale = _look_up(CONTENT_SCALES, normalization)(target)

    def forward(self, features: Array) -> float:
        """Return the loss of `features`, an array of the target's shape and dtype."""
        if features.shape != self.target.shape or features.dtype != self.target.dtype:
            raise ValueError(
                f"features must have the target's shape {self.target.shape} and dtype {self.target.dtype}, "
                f"got {features.shape} and {features.dtype}"
            )
        difference = features - self.target
        self._save(difference)
        return self.weight * self._scale * _sum_of_squares(difference)

    def backward(self) -> Array:
        """Return the gradient with respect to the features, once for each `forward`."""
        gradient: Array = self._take()
        gradient *= 2 * self.weight * self._scale
        return gradient


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
        self._scale = _look_up(STYLE_SCALES, normalization)(target)

    def forward(self, features: Array) -> float:
        """Return the loss of `features`, shape (1, C, H, W), of the target's dtype."""
        flat = _flatten(features)
        if len(flat) != len(self.target) or flat.dtype != self.target.dtype:
            raise ValueError(
                f"features must have the target's {len(self.target)} channels and dtype {self.target.dtype}, "
                f"got {len(flat)} and {flat.dtype}"
            )
        difference = gram_matrix(features) - self.target
        self._save((features, difference))
        return self.weight * self._scale * _sum_of_squares(difference)

    def backward(self) -> Array:
        """Return the gradient with respect to the features, once for each `forward`."""
        features, difference = self._take()
        flat = _flatten(features)
        # Scale the small matrix: the product with it is as large as the features.
        difference *= 4 * self.weight * self._scale / flat.shape[1]
        gradient: Array = (difference @ flat).reshape(features.shape)
        return gradient


class TotalVariation(Differentiable):
    """weight * mean over all values of their squared differences to the right and lower neighbours.

    Parameters
    ----------
    weight : float
        Factor of the loss and its gradient.

    Notes
    -----
    It is a mean, so that a weight means the same for every size of picture. For pixels in 0 to 255 it is
    65025 times what it is for the same picture in 0 to 1.
    """

    def __init__(self, *, weight: float = 1.0) -> None:
        self.weight = weight

    def forward(self, image: Array) -> float:
        """Return the loss of `image`, shape (N, C, H, W), float32 or float64."""
        float_dtype(image.dtype)
        if image.ndim != 4 or image.size == 0:
            raise ValueError(f"image must have shape (N, C, H, W) and not be empty, got {image.shape}")
        down, right = np.diff(image, axis=2), np.diff(image, axis=3)
        self._save((down, right))
        return self.weight / image.size * (_sum_of_squares(down) + _sum_of_squares(right))

    def backward(self) -> Array:
        """Return the gradient with respect to the image, once for each `forward`."""
        down, right = self._take()
        gradient: Array = np.zeros((*right.shape[:3], down.shape[3]), down.dtype)
        gradient[:, :, 1:] += down
        gradient[:, :, :-1] -= down
        gradient[:, :, :, 1:] += right
        gradient[:, :, :, :-1] -= right
        gradient *= 2 * self.weight / gradient.size
        return gradient


def _flatten(features: Array) -> Array:
    """View one picture's features as F, shape (C, M), or raise if that is not what they are."""
    float_dtype(features.dtype)
    if features.ndim != 4 or features.shape[0] != 1 or features.size == 0:
        raise ValueError(f"features must be those of one picture, shape (1, C, H, W), got {features.shape}")
    return features.reshape(features.shape[1], -1)


def _look_up(scales: dict[str, Callable[[Array], float]], normalization: str) -> Callable[[Array], float]:
    if normalization not in scales:
        raise ValueError(f"normalization must be one of {', '.join(scales)}, got {normalization!r}")
    return scales[normalization]


def _sum_of_squares(x: Array) -> float:
    """Sum x^2 in float64 without a float64 copy of x."""
    flat = x.ravel()
    return float(np.einsum("i,i->", flat, flat, dtype=np.float64))


def _nonzero(square_sum: float) -> float:
    if square_sum == 0:
        raise ValueError("normalization 'relative' needs a target that is not all zeros")
    return square_sum
