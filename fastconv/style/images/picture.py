"""Pictures in memory: sRGB from 0 to 255, in floating point."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from PIL import Image

from fastconv.style.images.sizes import Size, resize


class ImageError(ValueError):
    """A picture that cannot be read, or an array that is no picture."""


class ImageWarning(UserWarning):
    """Something in a picture was ignored or dropped."""


@dataclass(frozen=True)
class Picture:
    """A picture in memory.

    Attributes
    ----------
    rgb : ndarray, shape (H, W, 3), float32
        sRGB values from 0 to 255; where the picture is transparent, on white.
    alpha : ndarray, shape (H, W), float32, or None
        Opacity from 0 to 1; None for an opaque picture.
    name : str or None
        What the settings of a result call it.
    """

    rgb: np.ndarray
    alpha: np.ndarray | None = None
    name: str | None = None

    @property
    def size(self) -> Size:
        """Height and width in pixels."""
        return self.rgb.shape[0], self.rgb.shape[1]

    def describe(self) -> dict[str, Any]:
        """Return name and size, as JSON knows them."""
        return {"name": self.name, "size": self.size}

    def resized(self, size: Size) -> Picture:
        """Return the picture at (height, width), clipped to its range where the filter overshoots."""
        alpha = None if self.alpha is None else np.clip(resize(self.alpha, size), 0, 1)
        return Picture(np.clip(resize(self.rgb, size), 0, 255), alpha)


PictureLike: TypeAlias = "str | os.PathLike[str] | Image.Image | np.ndarray | Picture"


def name_of(source: PictureLike) -> str:
    """Return what the settings of a result call a picture: a file's name, without the folder, which is private."""
    if isinstance(source, (str, os.PathLike)):
        return Path(source).name
    if isinstance(source, Picture) and source.name is not None:
        return source.name
    height, width = source.size if isinstance(source, Picture) else np.asarray(source).shape[:2]
    return f"a picture of {width}x{height} px"
