"""Colours of pictures: their statistics, and how a result keeps those of the photograph."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fastconv.geometry import Array

LUMA = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in brightness: ITU-R BT.601, which is that of JPEG's Y, Cb and Cr."""

SMALLEST_VARIANCE = 1e-5 * 255**2
"""Least variance, in squared grey levels, along any direction of colours: a grey picture has none along most."""


def luma(rgb: Array) -> Array:
    """Return the brightness Y, shape (H, W), of a picture of shape (H, W, 3)."""
    return rgb @ np.array(LUMA, rgb.dtype)


def with_luma(rgb: Array, bright: Array) -> Array:
    """Give a picture the brightness of another, and leave it its colours.

    Parameters
    ----------
    rgb, bright : ndarray, shape (H, W, 3)
        The picture with the colours, Cb and Cr, and that with the brightness, Y; 0 to 255.

    Returns
    -------
    ndarray, shape (H, W, 3)
        Values from 0 to 255: what is too bright or too dark for its colour is clipped.
    """
    # Cb and Cr are multiples of B - Y and R - Y: adding one number to all three channels leaves them alone.
    return np.clip(rgb + (luma(bright) - luma(rgb))[..., None], 0, 255)


def color_moments(pictures: Sequence[Array], weights: Sequence[float]) -> tuple[Array, Array]:
    """Return mean, shape (3,), and covariance, (3, 3), of the colours of a mixture of pictures.

    Parameters
    ----------
    pictures : sequence of ndarray, shape (H, W, 3)
        Of any sizes.
    weights : sequence of float
        Share of each picture in the mixture; their sum is 1.
    """
    mean, second = np.zeros(3), np.zeros((3, 3))
    for picture, weight in zip(pictures, weights, strict=True):
        pixels = picture.reshape(-1, 3).astype(np.float64)
        mean += weight * pixels.mean(axis=0)
        second += weight * (pixels.T @ pixels) / len(pixels)
    return mean, second - np.outer(mean, mean)


def match_colors(rgb: Array, target: Array) -> Array:
    """Recolour a picture so that mean and covariance of its colours become those of another.

    Parameters
    ----------
    rgb, target : ndarray, shape (H, W, 3)
        The picture, and that with the colours; 0 to 255.

    Returns
    -------
    ndarray, shape (H, W, 3), float32
        Values from 0 to 255; the moments agree but for what had to be clipped.

    Notes
    -----
    Gatys, Bethge, Hertzmann and Shechtman, arXiv:1606.05897, section 4, with the symmetric roots of the
    covariances.
    """
    mean, covariance = color_moments([rgb], [1])
    target_mean, target_covariance = color_moments([target], [1])
    recolor = symmetric_power(covariance, -0.5) @ symmetric_power(target_covariance, 0.5)
    matched = (rgb - mean) @ recolor + target_mean
    return np.clip(matched, 0, 255).astype(np.float32)


def color_noise(mean: Array, covariance: Array, size: tuple[int, int], random: np.random.Generator) -> Array:
    """Draw a picture, shape (H, W, 3), whose pixels have that mean and covariance, clipped to 0 to 255."""
    noise = random.standard_normal((*size, 3)) @ symmetric_power(covariance, 0.5)
    return np.clip(noise + mean, 0, 255)


def symmetric_power(covariance: Array, exponent: float) -> Array:
    """Return a power of a covariance matrix of colours, whose variances are raised to the least one first."""
    variances, directions = np.linalg.eigh(covariance)
    powers: Array = (directions * np.maximum(variances, SMALLEST_VARIANCE) ** exponent) @ directions.T
    return powers
