"""From coarse to fine: the sizes a transfer runs through, and how its state gets from one to the next."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastconv.nn.optim import Adam
from fastconv.style.images import resize, size_to_fit
from fastconv.style.options import SMALLEST_SIDE, OptionError, Options, parse_size

Array = NDArray[Any]
Size = tuple[int, int]  # height, width

GRID = 16  # pixels that become one position of relu5_1
SMALLEST_SHORT_SIDE = 32  # a coarser scale tells too little about a picture to help the next one


@dataclass(frozen=True)
class Scale:
    """One stage of the run from coarse to fine: height and width in pixels, and its number of steps."""

    height: int
    width: int
    steps: int

    @property
    def size(self) -> Size:
        """Height and width."""
        return self.height, self.width

    @property
    def long_side(self) -> int:
        """The larger of height and width, by which a scale is named."""
        return max(self.size)

    @property
    def pixels(self) -> int:
        """Number of pixels, to which the work of a step is proportional."""
        return self.height * self.width


def target_size(content: Size, options: Options) -> Size:
    """Return height and width of the result for a content picture of that size."""
    stretched = parse_size(options.size)
    size = stretched or size_to_fit(content, int(options.size), enlarge=options.enlarge)
    if min(size) < SMALLEST_SIDE:
        raise OptionError(
            f"size {options.size} makes the result {size[1]}x{size[0]} px; "
            f"its short side must be at least {SMALLEST_SIDE} px"
        )
    return size


def plan_scales(size: Size, *, min_scale: int, steps: int) -> tuple[Scale, ...]:
    """Plan the run from coarse to fine.

    Parameters
    ----------
    size : (int, int)
        Height and width of the last scale.
    min_scale : int
        Long side below which there is no scale.
    steps : int
        Steps at each scale; the first of several takes twice as many.

    Returns
    -------
    tuple of Scale
        Long sides a factor of the square root of 2 apart; in all scales but the last, sides rounded to
        multiples of 16.
    """
    sizes = [size]
    for number in itertools.count(1):
        factor = 2 ** (-number / 2)
        height, width = (round(side * factor / GRID) * GRID for side in size)
        # Half a pixel of tolerance: 512 / sqrt(2)**4 is 128 but for rounding.
        if max(size) * factor < min_scale - 0.5 or min(height, width) < SMALLEST_SHORT_SIDE:
            break
        if max(height, width) < max(sizes[0]):
            sizes.insert(0, (height, width))
    first = 2 * steps if len(sizes) > 1 else steps
    return tuple(Scale(*size, first if i == 0 else steps) for i, size in enumerate(sizes))


def style_size(style: Size, scale: Scale, options: Options) -> Size:
    """Return height and width of a style picture at `scale`, in its own aspect."""
    long_side = max(SMALLEST_SIDE, round(scale.long_side * options.style_scale))
    height, width = size_to_fit(style, long_side, enlarge=options.enlarge)
    return max(height, SMALLEST_SIDE), max(width, SMALLEST_SIDE)


def to_planes(rgb: Array, dtype: str) -> Array:
    """Turn a picture (H, W, 3) into what the network takes: (1, 3, H, W), contiguous."""
    return np.ascontiguousarray(rgb.transpose(2, 0, 1)[None], dtype)


def to_canvas(rgb: Array, dtype: str) -> Array:
    """Turn a picture (H, W, 3) into what is optimised: (1, 3, H', W')."""
    return pad_to_grid(to_planes(rgb, dtype))


def pad_to_grid(planes: Array) -> Array:
    """Repeat the last rows and columns until there are multiples of 16.

    Without the margin, pooling would leave the last rows and columns out, and they would be painted by the
    first layers only.
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


def resume_moments(optimizer: Adam, previous: Adam, old: Size, new: Size) -> None:
    """Let Adam go on at a larger scale with what it learnt at a smaller one.

    The gradient at a pixel falls with the number of pixels, since the losses are means over a picture.
    """
    ratio = (old[0] * old[1]) / (new[0] * new[1])
    optimizer.m[...] = ratio * resize_canvas(previous.m, old, new)
    # Bilinear interpolation overshoots nowhere, but rounding may leave zero.
    optimizer.v[...] = ratio**2 * np.maximum(resize_canvas(previous.v, old, new, "bilinear"), 0)
    optimizer.t = previous.t
