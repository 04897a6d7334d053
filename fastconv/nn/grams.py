"""Gram matrices: the mean products of a layer's channels, and the gradient of what depends on them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastconv.backend import backend
from fastconv.geometry import Array
from fastconv.nn.layers import float_dtype


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
    flat = flatten(features)
    check_mask(features, mask)
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
    flat = flatten(features)
    check_mask(features, mask)
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


class LayerBytes(NamedTuple):
    """What the style losses of a layer hold in memory."""

    style: int
    """For each style picture."""
    picture: int
    """For each part of the picture that has styles of its own."""
    work: int = 0
    """While the layer is compared."""


def gram_bytes(channels: int, itemsize: int) -> LayerBytes:
    """Return what is held to compare Gram matrices."""
    entries = channels**2
    # A target for each style; for the picture, a sum in float64, the matrix that is compared, and its gradient.
    return LayerBytes(style=entries * itemsize, picture=entries * (8 + 2 * itemsize))


def check_mask(features: Array, mask: Array | None) -> None:
    """Raise if a mask is not one of the pixels of these features, or has no pixel in it."""
    if mask is None:
        return
    if mask.shape != features.shape[2:]:
        raise ValueError(f"mask must have the features' shape {features.shape[2:]}, got {mask.shape}")
    low, high = mask.min(), mask.max()
    if not (low >= 0 and high > 0):  # so written, it refuses NaN too
        raise ValueError(f"mask must have values of at least 0 and one above it, got {low:g} to {high:g}")


def check_features(features: Array, channels: int, dtype: np.dtype[Any]) -> None:
    """Raise a ValueError if features are not of the target's channels and dtype."""
    flat = flatten(features)
    if len(flat) != channels or flat.dtype != dtype:
        raise ValueError(
            f"features must have the target's {channels} channels and dtype {dtype}, got {len(flat)} and {flat.dtype}"
        )


def _total_weight(features: Array, mask: Array | None) -> float:
    """Sum of the positions' weights."""
    return float(features.shape[2] * features.shape[3] if mask is None else mask.sum(dtype=np.float64))


def flatten(features: Array) -> Array:
    """View one picture's features as F, shape (C, M), or raise if that is not what they are."""
    float_dtype(features.dtype)
    if features.ndim != 4 or features.shape[0] != 1 or features.size == 0:
        raise ValueError(f"features must be those of one picture, shape (1, C, H, W), got {features.shape}")
    return features.reshape(features.shape[1], -1)
