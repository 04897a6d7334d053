"""Masks: where in a picture a style applies, white where it does."""

from __future__ import annotations

import numpy as np

from fastconv.geometry import Array
from fastconv.style.images.colors import luma
from fastconv.style.images.picture import ImageError, Picture, PictureLike
from fastconv.style.images.reading import load
from fastconv.style.images.sizes import Size

ASPECT_TOLERANCE = 0.02  # a mask that was resized to whole pixels is not exactly in proportion any more


def load_mask(source: PictureLike, content: Size, *, name: str) -> Array:
    """Read a mask.

    Parameters
    ----------
    source : picture
        White where the style applies, black where it does not, grey in between. What is transparent is black
        whatever its colour: a value is brightness times opacity.
    content : (int, int)
        Height and width of the content picture, whose proportions the mask must have.
    name : str
        What error messages call it.

    Returns
    -------
    ndarray, shape (h, w), float32
        Values from 0 to 1.

    Raises
    ------
    ImageError
        If the picture can't be read, has other proportions, or is black all over.
    """
    picture = load(source, name=name)
    height, width = picture.size
    if abs(height * content[1] / (width * content[0]) - 1) > ASPECT_TOLERANCE:
        raise ImageError(
            f"{name}: {width}x{height} px is out of proportion to the content picture's {content[1]}x{content[0]} px"
        )
    mask = _brightness(picture)
    if not mask.any():
        raise ImageError(f"{name} is black all over; expected white where the style applies")
    return mask


def _brightness(picture: Picture) -> Array:
    """Return luma times opacity, shape (H, W), from 0 to 1."""
    if picture.alpha is None:
        return luma(picture.rgb) / 255
    # The colours are on white: less what it shines through, they are the picture's own, times their opacity.
    white = 255 * (1 - picture.alpha[..., None])
    return np.clip(luma(picture.rgb - white) / 255, 0, 1)
