"""Pictures in memory."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fastconv.style.images import Picture, name_of, resize


def test_resized_picture_stays_in_range():
    edge = np.zeros((40, 40, 3), np.float32)
    edge[:, 20:] = 255
    picture = Picture(edge, edge[..., 0] / 255).resized((60, 60))
    assert resize(edge, (60, 60)).max() > 255
    assert (picture.rgb.min(), picture.rgb.max()) == (0, 255)
    assert (picture.alpha.min(), picture.alpha.max()) == (0, 1)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("folder/photo.png", "photo.png"),
        (Path("photo.png"), "photo.png"),
        (np.zeros((20, 30), np.uint8), "a picture of 30x20 px"),
        (Image.new("RGB", (30, 20)), "a picture of 30x20 px"),
        (Picture(np.zeros((20, 30, 3), np.float32)), "a picture of 30x20 px"),
        (Picture(np.zeros((20, 30, 3), np.float32), name="my painting"), "my painting"),
    ],
)
def test_what_pictures_are_called(source, name):
    assert name_of(source) == name
