"""The memory that a transfer needs, estimated before its first step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

import fastconv
from fastconv.nn.vgg import weight_bytes
from fastconv.nn.vgg_pass import PassBytes, bytes_needed
from fastconv.style.algorithm.canvas import on_grid
from fastconv.style.algorithm.features import channels_of, features_per_pixel, stride_of
from fastconv.style.algorithm.options import Options
from fastconv.style.algorithm.scales import plan_scales
from fastconv.style.algorithm.tiles import layout_of
from fastconv.style.images import Size
from fastconv.weights.model import KERNEL_SHAPES

# Fitted to the peaks (VmHWM) of fresh processes, which `python -m benchmarks.memory` measures. The network's arrays
# are not fitted but counted, see `pass_bytes`.
PROCESS = 181_000_000  # bytes: the interpreter, libraries, compiled kernels
SCIPY = 20_000_000  # bytes
SCRATCH = 6_500_000  # numbers that kernels work on

# Numbers for each pixel.
PICTURE = 3
STEP = 2 * PICTURE  # the gradient, and what is passed between optimiser, losses and network
WAY_BACK = 4 * PICTURE  # a tile's gradient with and without its border

# Bytes for each pixel.
STYLE = 48  # of a style picture, while its targets are computed
RESULT = 43  # of the result, while it is rounded and written
LUMA = 12  # of the result, while it gets the photograph's colours
RESIZING = 8  # of a picture that is resized
SEARCH = 690  # of the arrays of L-BFGS, in float64
BOUNDS = 150  # of the bounds of L-BFGS

# glibc takes smaller arrays from the heap and keeps their space when they are freed; larger ones go back to the system.
LARGEST_IN_HEAP = 32 << 20  # bytes
SEARCH_IN_HEAP = 440  # bytes for each pixel, of the arrays of L-BFGS that lie there

DOUBLE = 8  # bytes
SAMPLE = (1024, 1024)  # height and width of a tile in which each layer has whole numbers of positions


class Loaded(NamedTuple):
    """The pictures as they were read; they stay in memory to the end."""

    nbytes: int = 0
    """Of all of them."""
    largest: int = 0
    """Pixels of the largest."""
    content: int = 0
    """Pixels of the photograph."""


NOTHING = Loaded()


def estimate(size: Size, styles: Sequence[Size], options: Options, tile: int | None, loaded: Loaded = NOTHING) -> int:
    """Estimate the peak memory of a transfer, in bytes.

    Parameters
    ----------
    size : (int, int)
        Height and width of the last scale.
    styles : sequence of (int, int)
        Height and width of the style pictures at that scale.
    options : Options
    tile : int or None
        As in `fastconv.style.algorithm.tiles.lay_out`.
    loaded : Loaded
        The pictures as they were read.
    """
    seen = _seen(size, options, tile)
    held = _held(size, len(styles), options)
    step = without_tiles(size, len(styles), options) + _in_tile(seen, options)
    # Targets are computed before the first step, whose arrays do not exist yet.
    target = held + max(
        math.prod(style) * STYLE + sum(pass_bytes(_seen(style, options, tile), options).turns) for style in styles
    )
    output = loaded.content if options.restore_size else math.prod(size)
    each = RESULT + (LUMA if options.preserve_colors == "luma" else 0)
    finishing = max(output * each, loaded.largest * RESIZING)
    end = held + pass_bytes(seen, options).total + finishing
    return loaded.nbytes + _of_former_scale(size, options, tile) + max(step, target, end)


def without_tiles(size: Size, styles: int, options: Options) -> int:
    """Return the bytes that a step needs whatever the tile, without the pictures as they were read."""
    return _held(size, styles, options) + STEP * _itemsize(options) * math.prod(on_grid(size))


def per_seen_pixel(options: Options) -> float:
    """Return the bytes that a step needs for each pixel of a tile."""
    return _in_tile(SAMPLE, options) / math.prod(SAMPLE)


def pass_bytes(size: Size, options: Options) -> PassBytes:
    """Return what the network allocates for a tile of that height and width."""
    channels = {name: shape[0] for name, shape in KERNEL_SHAPES.items()}
    return bytes_needed(size, options.compared_layers(), channels, dtype=options.dtype, pooling=options.pooling)


def _in_tile(size: Size, options: Options) -> int:
    """Return the bytes that a step needs for a tile of that height and width."""
    # The content loss subtracts the photograph's features. Their difference is freed before the backward pass reaches
    # the picture, so only the larger of the two counts.
    difference = max((features_per_pixel([name]) for name in options.content_shares()), default=0.0)
    numbers = math.prod(size) * (PICTURE + max(difference, WAY_BACK))
    return pass_bytes(size, options).total + round(_itemsize(options) * numbers)


def _seen(size: Size, options: Options, tile: int | None) -> Size:
    """Return the height and width of what goes through the network at once."""
    layout = layout_of(size, options, tile)
    return layout.height, layout.width


def _held(size: Size, styles: int, options: Options) -> int:
    """Return the bytes that are held from the first step of the last scale to the end."""
    numbers = features_per_pixel(options.content_shares())
    if options.masks is not None:
        numbers += styles * sum(stride_of(name) ** -2 for name in options.style_shares())
    # The picture, its average and a copy to step back to, with Adam two moments, with L-BFGS the start of the search.
    numbers += PICTURE * (5 if options.optimizer == "adam" else 4)
    each = _itemsize(options) * numbers
    fixed = PROCESS + SCRATCH * _itemsize(options)
    if options.optimizer == "lbfgs":
        each += SEARCH + (BOUNDS if options.clip else 0)
        fixed += SCIPY
    of_pixels = round(each * math.prod(on_grid(size)))
    weights = weight_bytes(options.compared_layers(), KERNEL_SHAPES, dtype=options.dtype)
    return fixed + of_pixels + weights + _of_textures(styles, options)


def _of_textures(styles: int, options: Options) -> int:
    """Return the bytes of what style losses compare."""
    comparison = options.comparison()
    layers = [comparison.layer_bytes(channels_of(name), _itemsize(options)) for name in options.style_shares()]
    if not layers:
        return 0
    apart = styles if options.masks is not None else 1  # with masks, each style sees features of its own
    held = sum(styles * layer.style + apart * layer.picture for layer in layers)
    at_a_time = sorted(layer.work for layer in layers)[-fastconv.get_num_threads() :]
    return comparison.libraries + held + sum(at_a_time)


def _of_former_scale(size: Size, options: Options, tile: int | None) -> int:
    """Return the bytes of the heap that arrays of the scale before have left and those of the last do not fit into."""
    plan = plan_scales(size, min_scale=options.min_scale, steps=options.steps)
    if len(plan) == 1:
        return 0
    former = plan[-2]
    needed = pass_bytes(_seen(former.size, options, tile), options)
    # At all but tiny scales, the network's other arrays are too large for the heap.
    nbytes = sum(min(each, LARGEST_IN_HEAP) for each in (min(needed.turns), *needed.traces))
    if options.optimizer == "lbfgs" and PICTURE * DOUBLE * former.pixels < LARGEST_IN_HEAP:
        nbytes += SEARCH_IN_HEAP * former.pixels
    return nbytes


def _itemsize(options: Options) -> int:
    """Return the bytes of a number."""
    return np.dtype(options.dtype).itemsize
