"""A style loss that sees means apart from correlations: the Wasserstein distance between feature Gaussians.

A layer's features at all positions of a picture are taken for samples of a Gaussian. The distance W between two
Gaussians, with means m and covariances S, says how much work it takes to move the one into the other:

    W^2 = |m_1 - m_2|^2 + trace(S_1 + S_2 - 2 (S_2^(1/2) S_1 S_2^(1/2))^(1/2))

Dowson and Landau, "The Frechet distance between multivariate normal distributions", Journal of Multivariate
Analysis 12 (1982), 450. As a style loss, and with these normalisations, it comes from Katherine Crowson's
style-transfer-pytorch (2023), whose weights of losses and layers hold here too.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from fastconv.geometry import Array
from fastconv.nn.grams import LayerBytes, add_gram_gradient, check_features, gram_bytes, gram_matrix
from fastconv.nn.layers import Differentiable

UNIT = 57.6
"""Grey levels that are 1 to networks which take pixels from 0 to 1 divided by their standard deviation, 0.226.

The weights of losses in programs built on such networks are for features in this unit.
"""


RIDGE = 1e-4 * UNIT**2
"""Added to the variances: at coarse scales there are more channels than positions, so covariances are singular."""

# Fitted to what `python -m benchmarks.memory` measures.
LINEAR_ALGEBRA = 9_000_000  # bytes of the libraries that find eigenvalues
EIGENVALUES = 6  # matrices in float64, while the eigenvalues of a layer's are found


class Moments(NamedTuple):
    """First and second moments of features over the positions."""

    mean: Array
    """Mean of each channel, shape (C,)."""
    gram: Array
    """Mean product of each pair of channels, shape (C, C)."""


def feature_moments(features: Array, mask: Array | None = None) -> Moments:
    """Compute the moments of one layer's features.

    Parameters
    ----------
    features : ndarray, shape (1, C, H, W), float32 or float64
        Features of one picture.
    mask : ndarray, shape (H, W), of the features' dtype, optional
        Weights of the positions; all equal by default.

    Returns
    -------
    Moments
        Of the features' dtype.
    """
    gram = gram_matrix(features, mask)  # which checks both
    flat = features[0].reshape(features.shape[1], -1)
    mean = flat.mean(axis=1) if mask is None else flat @ (mask / mask.sum()).ravel()
    return Moments(mean, gram)


def add_moments_gradient(features: Array, slope: Moments, total: Array, mask: Array | None = None) -> None:
    """Turn the gradient of a loss with respect to `feature_moments` into that with respect to the features.

    It is added to `total`, an array of the features' shape and dtype.
    """
    add_gram_gradient(features, slope.gram, total, mask)
    if mask is None:
        total += (slope.mean[:, None, None] / features[0, 0].size).astype(features.dtype)
        return
    weights = mask / mask.sum()
    for plane, mean_slope in zip(total[0], slope.mean, strict=True):  # as large as features in float64 if done at once
        plane += (mean_slope * weights).astype(features.dtype)


class WassersteinLoss(Differentiable):
    """weight / (C u^2) * W^2: how far the Gaussian of features is from the style picture's.

    Parameters
    ----------
    target : Moments
        Of the style picture's features, which may be of any size.
    weight : float
        Factor of the loss and its gradient.

    Notes
    -----
    The module says what W is; u is `UNIT`. Matrix roots are taken in float64.
    """

    def __init__(self, target: Moments, *, weight: float = 1.0) -> None:
        channels = len(target.mean)
        if target.gram.shape != (channels, channels):
            raise ValueError(
                f"target must have a mean of shape (C,) and a gram of shape (C, C), "
                f"got {target.mean.shape} and {target.gram.shape}"
            )
        self.target = target
        self.weight = weight
        self._scale = weight / (channels * UNIT**2)
        covariance = _covariance(target)
        self._variance = float(np.trace(covariance))
        values, vectors = _eigen(covariance)
        quarter = vectors * values**0.25
        self._root = quarter @ quarter.T

    def compare(self, moments: Moments) -> tuple[float, Moments]:
        """Return the loss of a picture with those moments, and its gradient with respect to each of them.

        Both are NaN if a moment is not finite: then there are no eigenvalues.
        """
        covariance = _covariance(moments)
        if not np.isfinite(covariance).all():
            return np.nan, Moments(*(np.full_like(array, np.nan) for array in moments))
        mean_difference = moments.mean.astype(np.float64) - self.target.mean
        values, vectors = _eigen(self._root @ covariance @ self._root)
        distance = (
            mean_difference @ mean_difference
            + np.trace(covariance)
            + self._variance
            - 2 * np.sqrt(values).sum()  # the trace of the root
        )
        # Of the trace of a root, d trace(X^(1/2)) = trace(X^(-1/2) dX) / 2.
        half = self._root @ vectors * values**-0.25
        slope = np.eye(len(covariance)) - half @ half.T
        # The covariance is the Gram matrix less the mean's product with itself.
        mean_slope = 2 * mean_difference - 2 * slope @ moments.mean
        return self._scale * float(distance), Moments(self._scale * mean_slope, self._scale * slope)

    def forward(self, features: Array) -> float:
        """Return the loss of `features`, shape (1, C, H, W), of the target's dtype."""
        check_features(features, len(self.target.mean), self.target.mean.dtype)
        loss, slope = self.compare(feature_moments(features))
        self._save(slope)
        return loss

    def backward(self, features: Array, total: Array) -> None:
        """Add the gradient at the features of the last `forward` to `total`, once for each `forward`."""
        add_moments_gradient(features, self._take(), total)


def moments_bytes(channels: int, itemsize: int) -> LayerBytes:
    """Return what is held to compare moments, but for the means, which are small."""
    style, picture, _ = gram_bytes(channels, itemsize)
    matrix = 8 * channels**2
    # In float64, too: the root of each target, and the gradient.
    return LayerBytes(style + matrix, picture + matrix, EIGENVALUES * matrix)


def _covariance(moments: Moments) -> Array:
    mean = moments.mean.astype(np.float64)
    return moments.gram - np.outer(mean, mean) + RIDGE * np.eye(len(mean))


def _eigen(matrix: Array) -> tuple[Array, Array]:
    """Return eigenvalues and eigenvectors of a matrix that is positive definite but for rounding."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    # What rounding pushed to zero or below would make the root's gradient infinite.
    return np.maximum(values, 1e-12 * values[-1]), vectors


def one_blas_thread() -> AbstractContextManager[Any]:
    """Keep NumPy's linear algebra to the threads that call it, if threadpoolctl is installed.

    BLAS with two threads finds eigenvalues no faster than with one, and they spin while they wait for each other:
    twice the CPU time where nothing else runs, and without end where something does. This holds for the whole
    process, so contexts must not overlap.
    """
    controller = _blas_controller()
    return nullcontext() if controller is None else controller.limit(limits=1, user_api="blas")


@cache
def _blas_controller() -> Any:
    """Return threadpoolctl's view of the libraries in this process, or None without it."""
    try:
        from threadpoolctl import ThreadpoolController
    except ImportError:
        return None
    return ThreadpoolController()
