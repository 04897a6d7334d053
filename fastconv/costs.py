"""What the algorithms cost: the model by which "auto" chooses, without timing anything.

A cost is a number of cycles: those of the arithmetic, shared among the threads, or those of moving what does not fit
the cache, whichever is larger. The arithmetic is counted as the kernels do it, with their tiles and with what tiles
waste at edges. The few constants were measured on one machine (``docs/kernels.md`` says how). Only their ratios matter.
Machines with vectors of another width behave alike, if costs are counted in vectors.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from fastconv import jit
from fastconv.geometry import ConvGeometry, Pass
from fastconv.kernels.microkernel import (
    strip_columns,
    strip_rows,
    strip_vectors,
    tile_columns,
    tile_rows,
    tile_vectors,
)
from fastconv.kernels.winograd import why_not as why_not_winograd
from fastconv.sizes import ceil_div

PRODUCT_EFFICIENCY = 0.9  # of two multiply-adds a cycle
FEWEST_CYCLES = 4.0  # a step of a small row tile: the latency of a multiply-add
PACK_INSIDE, PACK_EDGE = 3.0, 12.0  # gathering a tap of a panel: within the picture, across rows or edges
PACK_WEIGHT = 2.0  # a weight
DEPTHWISE_TAP, DEPTHWISE_VECTOR = 0.7, 6.0  # a tap of a vector of outputs; copying and writing it
COPY_ELEMENT = 2.0  # padding or transposing an element
TRANSFORM_INPUT = {4: 210.0, 2: 100.0}  # a vector of channels of a patch
TRANSFORM_OUTPUT = {4: 175.0, 2: 80.0}  # a vector of channels of a tile
TRANSFORM_KERNELS = {4: 75.0, 2: 40.0}  # a vector of 3x3 kernels
GATHER_KERNELS = 40.0  # a vector of 3x3 kernels that are not packed
GROUP = 5000.0  # starting Winograd's phases, anew for each group of channels
BYTES_PER_CYCLE = 5.0  # from memory, all threads together
CACHE_BYTES = 16 << 20  # weights of more than this are read from memory at each call


@lru_cache(maxsize=4096)
def cheapest(g: ConvGeometry, dtype: np.dtype[Any], pass_: Pass, packed: bool, threads: int) -> str:
    """Return the name of the algorithm with the lowest cost."""
    estimates = {"direct": direct(g, dtype, pass_, packed, threads)}
    for name, tile in {"winograd": 4, "winograd2": 2}.items():
        if why_not_winograd(g, pass_, tile) is None:
            estimates[name] = winograd(g, dtype, pass_, packed, threads, tile)
    return min(estimates, key=lambda name: estimates[name])


def direct(g: ConvGeometry, dtype: np.dtype[Any], pass_: Pass, packed: bool, threads: int) -> float:
    """Return the cost of the direct method."""
    filters, channels, kernel = g.k // g.groups, g.c // g.groups, g.r * g.s
    weights = g.k * channels * kernel
    if pass_ == "weight_grad":
        positions = g.n * g.out_h * g.out_w
        steps = positions * _panels(filters, dtype) * g.groups
        copies = COPY_ELEMENT * (g.n * g.c * g.h * g.w + g.n * g.k * g.out_h * g.out_w + 2 * weights)
        return (steps * _step(channels * kernel) + copies) / threads
    depth: float
    width: float
    if pass_ == "forward":
        rows, depth, positions, width = filters, channels * kernel, g.n * g.out_h * g.out_w, g.out_w
    else:
        phases = g.stride[0] * g.stride[1]
        rows, depth, positions, width = channels, filters * kernel / phases, g.n * g.h * g.w, g.w / g.stride[1]
    if g.is_depthwise:
        vectors = positions * math.ceil(width / jit.lanes(dtype)) / max(width, 1)
        return g.groups * vectors * (kernel * DEPTHWISE_TAP + DEPTHWISE_VECTOR) / threads
    inside = kernel == 1 or width >= 4 * tile_columns(dtype)
    packing = PACK_INSIDE if inside else PACK_EDGE
    cycles = g.groups * _panels(positions, dtype) * depth * (_step(rows) + packing)
    if not packed:
        cycles += PACK_WEIGHT * weights
    return _slower(cycles / threads, weights * dtype.itemsize)


def winograd(g: ConvGeometry, dtype: np.dtype[Any], pass_: Pass, packed: bool, threads: int, tile: int) -> float:
    """Return the cost of Winograd's method with tiles of `tile` outputs a side."""
    filters, channels = g.k // g.groups, g.c // g.groups
    depth, rows, (height, width) = channels, filters, (g.out_h, g.out_w)
    if pass_ == "input_grad":
        depth, rows, (height, width) = filters, channels, (g.h, g.w)
    lanes, row_vectors = jit.lanes(dtype), _row_vectors(rows, dtype)
    tiles = g.n * ceil_div(height, tile) * ceil_div(width, tile)
    products = (tile + 2) ** 2 * depth * _strips(tiles) * row_vectors
    kernels = depth * row_vectors * TRANSFORM_KERNELS[tile]
    if not packed and pass_ != "weight_grad":
        kernels += depth * row_vectors * GATHER_KERNELS
    patches = ceil_div(depth, lanes) * TRANSFORM_INPUT[tile] + row_vectors * TRANSFORM_OUTPUT[tile]
    cycles = g.groups * (products + kernels + tiles * patches + GROUP * threads)
    return _slower(cycles / threads, g.groups * filters * channels * 9 * dtype.itemsize)


def _row_vectors(rows: int, dtype: np.dtype[Any]) -> int:
    """Return the vectors of rows that Winograd's products have, in whole panels."""
    return ceil_div(rows, strip_columns(dtype)) * strip_vectors()


def _strips(tiles: int) -> float:
    """Return the cycles that one term of the sums costs for all tiles and a vector of rows."""
    strips = ceil_div(tiles, strip_rows())
    return max(tiles / 2, strips * FEWEST_CYCLES / strip_vectors()) / PRODUCT_EFFICIENCY


def _panels(columns: float, dtype: np.dtype[Any]) -> int:
    return ceil_div(int(columns), tile_columns(dtype))


def _step(rows: int) -> float:
    """Return the cycles that one term of the sums costs for all rows of a panel."""
    tiles = ceil_div(rows, tile_rows())
    return max(rows * tile_vectors() / 2, tiles * FEWEST_CYCLES) / PRODUCT_EFFICIENCY


def _slower(cycles: float, nbytes: float) -> float:
    """Return the larger of the cycles of arithmetic and those of reading from memory what no cache holds."""
    return max(cycles, nbytes / BYTES_PER_CYCLE if nbytes > CACHE_BYTES else 0.0)
