"""The canvas: the array that is optimised, a picture whose last rows and columns are repeated up to a grid."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fastconv.geometry import Array
from fastconv.sizes import round_up
from fastconv.style.images import Size, resize

GRID = 16  # pixels that become one position of relu5_1


def on_grid(size: Size) -> Size:
    """Return the height and width of the canvas of a picture."""
    height, width = (round_up(side, GRID) for side in size)
    return height, width


def to_planes(rgb: Array, dtype: str) -> Array:
    """Turn a picture (H, W, 3) into what the network takes: (1, 3, H, W), contiguous."""
    return np.ascontiguousarray(rgb.transpose(2, 0, 1)[None], dtype)


def to_canvas(rgb: Array, dtype: str) -> Array:
    """Turn a picture (H, W, 3) into what is optimised: (1, 3, H', W')."""
    return pad_to_grid(to_planes(rgb, dtype))


def pad_to_grid(planes: Array) -> Array:
    """Repeat the last row and column until height and width are multiples of 16.

    Without this margin, poolings would leave out the last rows and columns, and only the first layers would see them.
    """
    height, width = planes.shape[-2:]
    margin = [(0, 0)] * (planes.ndim - 2) + [(0, -height % GRID), (0, -width % GRID)]
    return np.pad(planes, margin, mode="edge")


def to_picture(canvas: Array, size: Size) -> Array:
    """Cut the picture (H, W, 3) of that height and width out of a canvas."""
    return canvas[0, :, : size[0], : size[1]].transpose(1, 2, 0)


def to_uint8(rgb: Array) -> NDArray[np.uint8]:
    """Round to whole grey levels, cutting off what lies outside 0 to 255."""
    return np.rint(np.clip(rgb, 0, 255)).astype(np.uint8)


def resize_canvas(canvas: Array, old: Size, new: Size, method: str = "bicubic") -> Array:
    """Bring a canvas that holds a picture of `old` height and width to the `new` ones."""
    rgb = np.ascontiguousarray(to_picture(canvas, old), np.float32)
    return to_canvas(resize(rgb, new, method=method), canvas.dtype.name)


def mask_to_canvas(mask: Array, size: Size) -> Array:
    """Average a mask over the pixels of a picture of that height and width, and repeat its edge as a canvas does."""
    return pad_to_grid(resize(mask, size, method="area"))
