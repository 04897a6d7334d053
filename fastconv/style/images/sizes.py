"""The sizes of pictures: choosing one, and resizing a picture to it."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from PIL import Image

Size: TypeAlias = tuple[int, int]
"""Height and width, in pixels."""

FILTERS = {
    "lanczos": Image.Resampling.LANCZOS,
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "area": Image.Resampling.BOX,
}


def size_to_fit(shape: tuple[int, int], size: int, *, enlarge: bool = False) -> tuple[int, int]:
    """Say at which size a picture of a given shape is to be used, its proportions kept.

    Parameters
    ----------
    shape : (int, int)
        Height and width of the picture.
    size : int
        The long side in pixels, at least 1.
    enlarge : bool
        Whether a long side may be made longer than it is.

    Returns
    -------
    (int, int)
        Height and width.
    """
    if size < 1:
        raise ValueError(f"size is {size}; expected a number of pixels, at least 1")
    long_side = max(shape)
    if size >= long_side and not enlarge:
        return shape
    height, width = (max(1, round(side * size / long_side)) for side in shape)
    return height, width


def resize(array: np.ndarray, size: tuple[int, int], *, method: str = "lanczos") -> np.ndarray:
    """Resample an array in floating point, never rounded to 8 bits.

    Parameters
    ----------
    array : ndarray, shape (H, W) or (H, W, channels)
        Any real dtype.
    size : (int, int)
        New height and width.
    method : {"lanczos", "bicubic", "bilinear", "area"}
        The filter. The first two overshoot at edges; the last two keep the range. All of them average over
        the pixels that fall together when the picture becomes smaller.

    Returns
    -------
    ndarray, shape `size` or `size` + (channels,), float32
        A new array.
    """
    if method not in FILTERS:
        raise ValueError(f"method is {method!r}; expected one of {', '.join(FILTERS)}")
    height, width = size
    if array.shape[:2] == (height, width):
        return array.astype(np.float32)
    if array.ndim == 3:
        planes = [resize(array[..., channel], size, method=method) for channel in range(array.shape[2])]
        return np.stack(planes, axis=-1)
    plane = Image.fromarray(array.astype(np.float32))
    return np.array(plane.resize((width, height), FILTERS[method]))
