"""Masks as they are read."""

import numpy as np
import pytest
from PIL import Image

from fastconv.style import ImageError
from fastconv.style.images import Picture
from fastconv.style.images.masks import load_mask


def test_a_mask_is_white_where_it_applies():
    picture = np.zeros((20, 30, 3), np.uint8)
    picture[:, 10:20] = 128
    picture[:, 20:] = 255
    mask = load_mask(picture, (40, 60), name="mask 1")
    assert mask.dtype == np.float32
    np.testing.assert_allclose(mask, np.repeat([[0, 128 / 255, 1]], 20, axis=0).repeat(10, axis=1), rtol=1e-6)


def test_what_is_transparent_in_a_mask_is_black():
    alpha = np.linspace(0, 1, 600, dtype=np.float32).reshape(20, 30)
    mask = load_mask(Picture(np.full((20, 30, 3), 255, np.float32), alpha), (20, 30), name="mask")
    np.testing.assert_allclose(mask, alpha, atol=1e-6)


@pytest.mark.parametrize(
    ("rgba", "expected"),
    [
        ((255, 255, 255, 255), 1),
        ((0, 0, 0, 255), 0),
        ((255, 255, 255, 0), 0),
        ((90, 200, 10, 0), 0),
        ((255, 255, 255, 128), 128 / 255),
        ((0, 0, 0, 128), 0),
        ((255, 0, 0, 128), 0.299 * 128 / 255),
    ],
)
def test_a_mask_is_its_own_brightness_times_its_opacity(tmp_path, rgba, expected):
    picture = np.full((20, 30, 4), rgba, np.uint8)
    picture[0] = 255  # so that something is white
    Image.fromarray(picture).save(tmp_path / "mask.png")
    for source in (picture, tmp_path / "mask.png"):
        mask = load_mask(source, (20, 30), name="mask")
        np.testing.assert_allclose(mask[1:], expected, atol=1e-6)


@pytest.mark.parametrize("grey", [0, 77, 255])
def test_a_mask_that_is_transparent_all_over_is_black(grey):
    picture = np.full((20, 30, 4), grey, np.uint8)
    picture[..., 3] = 0
    with pytest.raises(ImageError, match="black all over"):
        load_mask(picture, (20, 30), name="mask")


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.zeros((20, 30, 3), np.uint8), "mask 2 is black all over"),
        (np.full((30, 20, 3), 255, np.uint8), "mask 2: 20x30 px is out of proportion to the content picture's 60x40"),
        ("nowhere.png", "nowhere.png does not exist"),
    ],
)
def test_a_mask_that_is_none_is_refused(mask, message):
    with pytest.raises(ImageError, match=message):
        load_mask(mask, (40, 60), name="mask 2")
