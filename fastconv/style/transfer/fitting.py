"""A transfer fitted into memory: cut into tiles where it is too large, or refused before hours of work."""

from __future__ import annotations

import math
from collections.abc import Sequence

from fastconv.style.algorithm.options import SMALLEST_TILE, Options
from fastconv.style.images import Size
from fastconv.style.transfer import memory
from fastconv.style.transfer.machine import limit_of
from fastconv.style.transfer.memory import NOTHING, Loaded

TILE_STEP = 16  # pixels; finer steps seldom change a layout


class MemoryLimitError(MemoryError):
    """The run would need more memory than there is."""


def choose_tile(size: Size, styles: Sequence[Size], options: Options, loaded: Loaded = NOTHING) -> int:
    """Return the largest tile with which a transfer fits into memory; 0 if it does as a whole.

    Parameters
    ----------
    size, styles, options, loaded
        As for `fastconv.style.transfer.memory.estimate`. A tile among the options is the only one to be tried.

    Raises
    ------
    MemoryLimitError
        If nothing fits. The message names a size that does.
    """
    limit = limit_of(options)
    tile = _largest_tile(size, styles, options, loaded, limit)
    if tile is not None:
        return tile
    least = memory.estimate(size, styles, options, _smallest_tile(options) or None, loaded)
    smaller = _largest_long_side(size, styles, options, loaded, limit)
    how = " even in tiles" if options.tile is None and _smallest_tile(options) else ""
    raise MemoryLimitError(
        f"a result of {size[1]}x{size[0]} px needs about {least / 1e9:.1f} GB of memory{how}, "
        f"{limit / 1e9:.1f} GB can be used: " + (f"size {smaller} fits" if smaller else "no size fits")
    )


def _smallest_tile(options: Options) -> int:
    """Return the smallest tile that may be used, 0 if none may."""
    if options.tile is not None:
        return options.tile
    return 0 if options.optimizer == "lbfgs" else SMALLEST_TILE


def _largest_tile(size: Size, styles: Sequence[Size], options: Options, loaded: Loaded, limit: int) -> int | None:
    """Return the largest tile that fits, 0 for the whole, None if nothing fits."""

    def fits(tile: int) -> bool:
        return memory.estimate(size, styles, options, tile or None, loaded) <= limit

    smallest = _smallest_tile(options)
    if options.tile is not None or smallest == 0:
        return smallest if fits(smallest) else None
    if fits(0):
        return 0
    # No tile has more pixels than a square with this side.
    spare = limit - loaded.nbytes - memory.without_tiles(size, len(styles), options)
    side = math.isqrt(max(0, int(spare / memory.per_seen_pixel(options)))) // TILE_STEP * TILE_STEP
    # Style pictures may need a smaller one; a layout may need less than its square.
    return next((tile for tile in range(max(side, smallest), smallest - 1, -TILE_STEP) if fits(tile)), None)


def _largest_long_side(size: Size, styles: Sequence[Size], options: Options, loaded: Loaded, limit: int) -> int | None:
    """Return the largest multiple of 16, as a long side, with which everything fits; None if nothing does."""
    for long_side in range(max(size) // 16 * 16, 15, -16):
        factor = long_side / max(size)
        scaled = [(round(factor * height), round(factor * width)) for height, width in [size, *styles]]
        if memory.estimate(scaled[0], scaled[1:], options, _smallest_tile(options) or None, loaded) <= limit:
            return long_side
    return None
