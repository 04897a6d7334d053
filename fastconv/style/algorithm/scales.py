"""From coarse to fine: the sizes that a transfer runs through."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from fastconv.style.algorithm.canvas import GRID
from fastconv.style.algorithm.options import SMALLEST_SIDE, OptionError, Options, parse_size
from fastconv.style.images import Size, size_to_fit

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
