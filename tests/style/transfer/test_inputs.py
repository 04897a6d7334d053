"""The pictures that a transfer is made from."""

import numpy as np
import pytest
from PIL import Image

from fastconv.style import ImageError, OptionError


def test_pictures_are_paths_or_pillow_images_or_arrays(run, pictures, tmp_path):
    arrays = [np.rint(picture).astype(np.uint8) for picture in pictures[:2]]
    expected = run(*arrays).image
    images = [Image.fromarray(array) for array in arrays]
    np.testing.assert_array_equal(run(*images).image, expected)
    for image, name in zip(images, ("photo.png", "painting.png"), strict=True):
        image.save(tmp_path / name)
    result = run(tmp_path / "photo.png", str(tmp_path / "painting.png"))
    np.testing.assert_array_equal(result.image, expected)
    assert result.settings["content"] == {"name": "photo.png", "size": (32, 48)}
    assert result.settings["styles"] == [{"name": "painting.png", "size": (40, 40)}]


def test_pictures_are_needed_and_must_be_large_enough(run, pictures):
    with pytest.raises(OptionError, match="styles"):
        run(styles=[])
    with pytest.raises(ImageError, match="content: 20x10 px is too small"):
        run(content=np.zeros((10, 20, 3), np.uint8))
    with pytest.raises(ImageError, match="style 2: 20x10 px is too small"):
        run(styles=[pictures[1], np.zeros((10, 20, 3), np.uint8)])
    with pytest.raises(OptionError, match="style_weights must be as many as the style pictures, 1, got 2"):
        run(style_weights=[1, 2])
    with pytest.raises(OptionError, match="masks must be as many as the style pictures, 1, got 0"):
        run(masks=[])
    with pytest.raises(ImageError, match="mask 1: 40x40 px is out of proportion"):
        run(masks=[pictures[1]])
