"""The losses of neural style transfer: content, style, smoothness.

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
their means, such as `gram_matrix` and `add_gram_gradient`; a loss has `compare` for means, wherever they come from.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

from fastconv.backend import backend
from fastconv.geometry import Array
from fastconv.nn.layers import Differentiable, float_dtype

UNIT = 57.6
"""Grey levels that are 1 to networks which take pixels from 0 to 1 divided by their standard deviation, 0.226.

The weights of losses in programs built on such networks are for features in this unit.
"""

CONTENT_SCALES: dict[str, Callable[[Array], float]] = {
    "relative": lambda target: 1 / _nonzero(_sum_of_squares(target)),
    "gatys": lambda target: 1 / (2 * target.size),
    "gram": lambda target: 1 / target.size,
    "wasserstein": lambda target: 1 / (target.size * UNIT**2),
}
"""k_c for each normalisation, given the content features P."""

STYLE_SCALES: dict[str, Callable[[Array], float]] = {
    "relative": lambda target: 1 / _nonzero(_sum_of_squares(target)),
    "gatys": lambda target: 1 / (4 * len(target) ** 2),
    "gram": lambda target: 1 / len(target) ** 4,
}
"""k_l for each normalisation, given the style's Gram matrix A."""


def gram_matrix(features: Array, mask: Array | None = None) -> Array:
    """Correlate the channels of a feature map with each other.

    Parameters
    ----------
    features : ndarray, shape (1, C, H, W), float32 or float64
        One layer's features of one picture.
    mask : ndarray, shape (H, W), of the features' dtype, optional
        Weights of the positions, T, at least 0 and not all zeros; all equal by default.

    Returns
    -------
    ndarray, shape (C, C)
        F F^T / M, of the features' dtype, where F is C x M and M = H * W; with a mask, F T F^T / sum T.

    Notes
    -----
    Gatys, Ecker and Bethge, arXiv:1508.06576, equation 3, divided by the number of positions.

    NumPy's own product takes twice as long, since it does not know that the result is symmetric, and its threads
    spin afterwards, on the cores that the next convolution needs.
    """
    flat = _flatten(features)
    _check_mask(features, mask)
    # With the root on both sides the product stays one of a matrix with itself, symmetric to the last bit.
    roots = None if mask is None else np.sqrt(mask, dtype=flat.dtype).ravel()
    gram = np.empty((len(flat), len(flat)), flat.dtype)
    backend().gram(np.require(flat, requirements=("C", "A")), roots, gram)
    gram /= _total_weight(features, mask)
    return gram


def add_gram_gradient(features: Array, slope: Array, total: Array, mask: Array | None = None) -> None:
    """Turn the gradient of a loss with respect to a Gram matrix into that with respect to the features.

    Parameters
    ----------
    features : ndarray, shape (1, C, H, W)
        Those whose `gram_matrix`, with that mask, the loss depends on.
    slope : ndarray, shape (C, C), symmetric
        Gradient with respect to the matrix.
    total : ndarray, shape (1, C, H, W)
        What 2 slope F T / sum T is added to, in the features' dtype.
    mask : ndarray, shape (H, W), optional
        As in `gram_matrix`.
    """
    flat = _flatten(features)
    _check_mask(features, mask)
    if slope.shape != (len(flat), len(flat)):
        raise ValueError(f"slope must have shape {(len(flat), len(flat))}, got {slope.shape}")
    if total.shape != features.shape or total.dtype != features.dtype:
        raise ValueError(
            f"total must have the features' shape {features.shape} and dtype {features.dtype}, "
            f"got {total.shape} and {total.dtype}"
        )
    # Scale the small matrix: the product with it is as large as the features.
    scaled = (slope * (2 / _total_weight(features, mask))).astype(features.dtype, copy=False)
    weights = None if mask is None else np.asarray(mask, flat.dtype).ravel()
    sums = np.require(total, requirements=("C", "A", "W"))
    backend().add_gram_gradient(np.require(flat, requirements=("C", "A")), scaled, weights, sums)
    if sums is not total:
        total[...] = sums


def _check_mask(features: Array, mask: Array | None) -> None:
    if mask is None:
        return
    if mask.shape != features.shape[2:]:
        raise ValueError(f"mask must have the features' shape {features.shape[2:]}, got {mask.shape}")
    low, high = mask.min(), mask.max()
    if not (low >= 0 and high > 0):  # so written, it refuses NaN too
        raise ValueError(f"mask must have values of at least 0 and one above it, got {low:g} to {high:g}")


class ContentLoss:
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
        return self.weight * self._scale * _sum_of_squares(features - self.target)

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
        self._scale = _look_up(STYLE_SCALES, normalization)(target)

    def compare(self, gram: Array) -> tuple[float, Array]:
        """Return the loss of a picture with that Gram matrix, and its gradient with respect to the matrix."""
        difference = gram - self.target
        loss = self.weight * self._scale * _sum_of_squares(difference)
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


class TotalVariation:
    """weight * (2/3 of the mean square step to the side or down + 1/6 of that along both diagonals).

    Parameters
    ----------
    weight : float
        Factor of the loss and its gradient.

    Notes
    -----
    Of the quadratic forms on the eight neighbours of a pixel this one is the same in every direction, to the
    fourth order in the pixels' distance; its gradient is the nine-point Laplacian of Patra and Karttunen
    (Numerical Methods for Partial Differential Equations 22, 2006, 936), (1 4 1; 4 -20 4; 1 4 1) / 6. With
    neighbours to the sides alone slanted lines cost more than upright ones.

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
        steps = (share * _sum_of_squares(image[b] - image[a]) for share, a, b in _NEIGHBOURS)
        return self.weight / image.size * sum(steps)

    def backward(self, image: Array, total: Array) -> None:
        """Add the gradient at `image`, shape (N, C, H, W), float32 or float64, to `total`."""
        for share, a, b in _NEIGHBOURS:
            step = image[b] - image[a]
            step *= 2 * share * self.weight / image.size
            total[b] += step
            total[a] -= step


_FIRST, _LAST, _ALL = slice(None, -1), slice(1, None), slice(None)
_NEIGHBOURS = tuple(
    (share, (..., *here), (..., *there))
    for share, here, there in (
        (2 / 3, (_FIRST, _ALL), (_LAST, _ALL)),  # down
        (2 / 3, (_ALL, _FIRST), (_ALL, _LAST)),  # to the right
        (1 / 6, (_FIRST, _FIRST), (_LAST, _LAST)),  # along the diagonals
        (1 / 6, (_FIRST, _LAST), (_LAST, _FIRST)),
    )
)
"""For each pair of neighbours: its share, and where the one and the other are."""


def check_features(features: Array, channels: int, dtype: np.dtype[Any]) -> None:
    """Raise a ValueError if features are not of the target's channels and dtype."""
    flat = _flatten(features)
    if len(flat) != channels or flat.dtype != dtype:
        raise ValueError(
            f"features must have the target's {channels} channels and dtype {dtype}, got {len(flat)} and {flat.dtype}"
        )


def _total_weight(features: Array, mask: Array | None) -> float:
    """Sum of the positions' weights."""
    return float(features.shape[2] * features.shape[3] if mask is None else mask.sum(dtype=np.float64))


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
