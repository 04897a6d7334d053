"""What a transfer costs: the work of a step, and the memory of the whole."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import numpy as np

from fastconv.nn.vgg import LAYER_NAMES, LAYERS
from fastconv.style.options import Options
from fastconv.style.scales import GRID, Size
from fastconv.style.tiles import Layout, lay_out, stride_of
from fastconv.weights.model import KERNEL_SHAPES

# Bytes in float32. The arrays of a pass through the network are counted; the rest is fitted to the peaks (VmHWM) of
# fresh processes, which `python -m benchmarks.memory` measures.
FIXED = 419_000_000  # the interpreter, libraries, scratch memory, and the weights as packed
PER_LOADED_PIXEL = 12  # of pictures as they are read
PER_PIXEL = 102  # of the result: the picture, its gradient, moments and averages, what is passed between them
PER_SEEN_PIXEL = 70  # of a tile: the picture within the network, and what ReLU and pooling leave for the way back
PER_STYLE_PIXEL = 36  # of a style picture
PER_LBFGS_PIXEL = 360

FLOAT = 4  # bytes


def flop_of_step(size: Size, options: Options, tile: int | None) -> int:
    """Return the floating-point operations of a step, were all convolutions done as they are defined.

    Parameters
    ----------
    size : (int, int)
        Height and width of the picture.
    options : Options
        Which layers are compared.
    tile : int or None
        As in `fastconv.style.tiles.lay_out`.
    """
    layers = compared_layers(options)
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


def layout_of(size: Size, options: Options, tile: int | None) -> Layout:
    """Return how a picture of that height and width is divided; arguments as for `flop_of_step`."""
    size = _on_grid(size)
    layers = compared_layers(options)
    return lay_out(size, layers, tile) if layers else Layout(1, 1, *size)


def estimate(size: Size, styles: Sequence[Size], options: Options, tile: int | None, loaded: int = 0) -> int:
    """Estimate the peak memory of a transfer, in bytes.

    Parameters
    ----------
    size : (int, int)
        Height and width of the result.
    styles : sequence of (int, int)
        Height and width of the style pictures at its last scale.
    options : Options
    tile : int or None
        As in `fastconv.style.tiles.lay_out`.
    loaded : int
        Pixels of all pictures as they were read.
    """
    seen = layout_of(size, options, tile).pixels * per_seen_pixel(options)
    # Targets are computed before there is anything of a step.
    target = max(
        math.prod(style) * PER_STYLE_PIXEL
        + layout_of(style, options, tile).pixels * per_seen_pixel(options, way_back=False)
        for style in styles
    )
    floats = without_tiles(size, options) + max(seen, target)
    return loaded * PER_LOADED_PIXEL + floats * np.dtype(options.dtype).itemsize // FLOAT


def without_tiles(size: Size, options: Options) -> int:
    """Return what of the estimate does not depend on tiles, in bytes were it float32."""
    each = PER_PIXEL + FLOAT * features_per_pixel(options.content_shares())
    if options.masks is not None:
        each += FLOAT * len(options.masks) * sum(stride_of(name) ** -2 for name in options.style_shares())
    if options.optimizer == "lbfgs":
        each += PER_LBFGS_PIXEL
    return FIXED + round(each * math.prod(_on_grid(size)))


def per_seen_pixel(options: Options, *, way_back: bool = True) -> int:
    """Return the bytes that each pixel of a tile needs, were they float32, perhaps for a gradient, too."""
    layers = compared_layers(options)
    first = features_per_pixel(["relu1_1"])
    # What lies between layers is in two arrays by turns; a pooling that is one with its convolution leaves one small.
    fused = options.pooling == "max" and "relu1_2" not in layers
    turns = first + features_per_pixel(["pool1" if fused else "relu1_2"])
    # What is compared is kept in a third, which has to hold relu1_1 when that is computed again.
    kept = max(first, features_per_pixel(layers - {"relu1_1"})) if way_back else 0
    return PER_SEEN_PIXEL + round(FLOAT * (turns + kept))


def compared_layers(options: Options) -> set[str]:
    """Return the layers whose features are compared."""
    return {*options.content_shares(), *options.style_shares()}


def features_per_pixel(layers: Collection[str]) -> float:
    """Return how many features of these layers there are for each pixel."""
    return sum(channels_of(name) / stride_of(name) ** 2 for name in layers)


def channels_of(layer: str) -> int:
    """Return the number of channels of a layer's features."""
    path = LAYERS[: 1 + LAYER_NAMES.index(layer)]
    return KERNEL_SHAPES[[spec.weights for spec in path if spec.weights][-1]][0]


def positions(size: Size, layer: str) -> int:
    """Return the number of a layer's positions in a picture of that height and width."""
    return math.prod(side // stride_of(layer) for side in size)


def _on_grid(size: Size) -> Size:
    height, width = (-(-side // GRID) * GRID for side in size)
    return height, width
