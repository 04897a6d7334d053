"""Colours of pictures."""

import numpy as np
import pytest
from PIL import Image

from fastconv.style.images.colors import (
    LUMA,
    color_moments,
    color_noise,
    luma,
    match_colors,
    symmetric_power,
    with_luma,
)


def moments(picture):
    """Mean and covariance of a picture's colours, as NumPy has them."""
    pixels = picture.reshape(-1, 3).astype(np.float64)
    return pixels.mean(axis=0), np.cov(pixels.T, bias=True)


def test_luma_is_that_of_jpeg(rng):

    rgb = rng.integers(0, 256, (9, 7, 3), dtype=np.uint8)
    y = np.asarray(Image.fromarray(rgb).convert("YCbCr"))[..., 0]
    assert sum(LUMA) == pytest.approx(1)
    assert np.abs(luma(rgb.astype(np.float32)) - y).max() < 1  # Pillow rounds down


def test_the_brightness_of_one_and_the_colours_of_the_other(rng):

    colored, bright = rng.uniform(90, 160, (2, 12, 9, 3)).astype(np.float32)
    found = with_luma(colored, bright)
    np.testing.assert_allclose(luma(found), luma(bright), atol=1e-3)
    ycbcr = [
        np.asarray(Image.fromarray(np.rint(x).astype(np.uint8)).convert("YCbCr")).astype(int) for x in (found, colored)
    ]
    assert np.abs(ycbcr[0][..., 1:] - ycbcr[1][..., 1:]).max() <= 2


def test_what_has_no_room_for_its_brightness_is_clipped():
    found = with_luma(np.array([[[255.0, 0, 0]]]), np.array([[[255.0, 255, 255]]]))
    assert found.max() == 255
    assert found.min() > 100


def test_matched_colours_have_mean_and_covariance_of_the_target(rng):
    mixing = rng.normal(size=(3, 3))
    style = np.clip(128 + 12 * rng.normal(size=(60, 50, 3)), 0, 255)
    target = 120 + 8 * rng.normal(size=(40, 30, 3)) @ mixing
    found = match_colors(style, target)
    assert found.dtype == np.float32
    for ours, expected in zip(moments(found), moments(target), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("grey", ["style", "target", "both"])
def test_grey_and_flat_pictures_are_matched_without_nan(rng, grey):
    colored = rng.uniform(0, 255, (20, 30, 3))
    flat = np.full((20, 30, 3), 99.0)
    style = colored if grey == "target" else np.repeat(colored[..., :1], 3, axis=2)
    found = match_colors(style, colored if grey == "style" else flat)
    assert np.isfinite(found).all()
    if grey != "style":
        assert np.abs(found - 99).max() < 3.3  # four deviations of the least variance, 0.65 square grey levels


def test_moments_of_a_mixture_are_those_of_its_pixels(rng):
    pictures = rng.uniform(0, 255, (2, 30, 20, 3))
    mean, covariance = color_moments(pictures, [0.25, 0.75])
    pixels = np.concatenate([pictures[0].reshape(-1, 3)] + 3 * [pictures[1].reshape(-1, 3)])
    np.testing.assert_allclose(mean, pixels.mean(axis=0))
    np.testing.assert_allclose(covariance, np.cov(pixels.T, bias=True), rtol=1e-9)


def test_noise_has_the_colours_it_is_asked_for(rng):
    mean = np.array([100.0, 120, 140])
    covariance = np.array([[90.0, 40, 0], [40, 80, -20], [0, -20, 70]])
    found = moments(color_noise(mean, covariance, (200, 300), rng))
    np.testing.assert_allclose(found[0], mean, atol=0.3)
    np.testing.assert_allclose(found[1], covariance, atol=2)


def test_powers_of_a_covariance_undo_each_other(rng):
    a = 20 * rng.normal(size=(3, 3))
    covariance = a @ a.T + np.eye(3)
    root, inverse = symmetric_power(covariance, 0.5), symmetric_power(covariance, -0.5)
    np.testing.assert_allclose(root @ root, covariance, rtol=1e-9)
    np.testing.assert_allclose(root @ inverse, np.eye(3), atol=1e-9)
