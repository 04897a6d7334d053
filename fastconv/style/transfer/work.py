"""The work of a step, in floating-point operations."""

from __future__ import annotations

import math

from fastconv.nn.vgg_layers import LAYER_NAMES, LAYERS
from fastconv.style.algorithm.features import channels_of, positions
from fastconv.style.algorithm.options import Options
from fastconv.style.algorithm.tiles import layout_of
from fastconv.style.images import Size
from fastconv.weights.model import KERNEL_SHAPES


def flop_of_step(size: Size, options: Options, tile: int | None) -> int:
    """Return the floating-point operations of a step, were all convolutions done as they are defined.

    Parameters
    ----------
    size : (int, int)
        Height and width of the picture.
    options : Options
        Which layers are compared.
    tile : int or None
        As in `fastconv.style.algorithm.tiles.lay_out`.
    """
    layers = options.compared_layers()
    if not layers:
        return 0
    layout = layout_of(size, options, tile)
    path = LAYERS[: 1 + max(map(LAYER_NAMES.index, layers))]
    seen = layout.height, layout.width
    convolutions = sum(
        2 * math.prod(KERNEL_SHAPES[spec.weights]) * positions(seen, spec.name) for spec in path if spec.weights
    )
    grams = sum(2 * channels_of(name) ** 2 * positions(seen, name) for name in options.style_shares())
    # All but the last tile go forward twice, and each goes back once.
    return convolutions * (3 * layout.tiles - 1) + 2 * grams * layout.tiles
