"""How much memory there is, so that a transfer is cut into tiles or refused before hours of work."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil

from fastconv.style.algorithm.options import SMALLEST_TILE, Options, parse_memory
from fastconv.style.images import Size
from fastconv.style.transfer import cost
from fastconv.style.transfer.cost import NOTHING, Loaded

SHARE = 0.8  # of what is free, so that the machine stays usable
CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")

TILE_STEP = 16  # pixels; finer steps seldom change a layout


class MemoryLimitError(MemoryError):
    """The run would need more memory than there is."""


def available() -> int:
    """Bytes that a new process could use without swapping, or fewer where a control group allows fewer."""
    return min([psutil.virtual_memory().available, *_left_in_cgroups()])


def limit_of(options: Options) -> int:
    """Return how many bytes a transfer may use: what its options say, or most of what is free."""
    given = parse_memory(options.max_memory)
    if given is not None:
        return given
    # What this process holds serves the next picture of a folder.
    return int(SHARE * (available() + psutil.Process().memory_info().rss))


def choose_tile(size: Size, styles: Sequence[Size], options: Options, loaded: Loaded = NOTHING) -> int:
    """Return the largest tile with which a transfer fits into memory; 0 if it does as a whole.

    Parameters
    ----------
    size, styles, options, loaded
        As for `fastconv.style.transfer.cost.estimate`. A tile among the options is the only one to be tried.

    Raises
    ------
    MemoryLimitError
        If nothing fits. The message names a size that does.
    """
    limit = limit_of(options)
    tile = _largest_tile(size, styles, options, loaded, limit)
    if tile is not None:
        return tile
    least = cost.estimate(size, styles, options, _smallest_tile(options) or None, loaded)
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
        return cost.estimate(size, styles, options, tile or None, loaded) <= limit

    smallest = _smallest_tile(options)
    if options.tile is not None or smallest == 0:
        return smallest if fits(smallest) else None
    if fits(0):
        return 0
    # No tile has more pixels than a square with this side.
    spare = limit - loaded.nbytes - cost.without_tiles(size, len(styles), options)
    side = math.isqrt(max(0, int(spare / cost.per_seen_pixel(options)))) // TILE_STEP * TILE_STEP
    # Style pictures may need a smaller one; a layout may need less than its square.
    return next((tile for tile in range(max(side, smallest), smallest - 1, -TILE_STEP) if fits(tile)), None)


def _largest_long_side(size: Size, styles: Sequence[Size], options: Options, loaded: Loaded, limit: int) -> int | None:
    """Return the largest multiple of 16, as a long side, with which everything fits; None if nothing does."""
    for long_side in range(max(size) // 16 * 16, 15, -16):
        factor = long_side / max(size)
        scaled = [(round(factor * height), round(factor * width)) for height, width in [size, *styles]]
        if cost.estimate(scaled[0], scaled[1:], options, _smallest_tile(options) or None, loaded) <= limit:
            return long_side
    return None


def _left_in_cgroups() -> Iterator[int]:
    """Bytes left below each limit that Linux control groups, version 1 or 2, set to this process."""
    for folder, limit_file, usage_file in _cgroup_folders():
        try:
            limit = int((folder / limit_file).read_text())
            used = int((folder / usage_file).read_text())
            statistics = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        except (OSError, ValueError):
            continue  # not visible from inside a container, or "max": no limit
        # Cached files count as used, but are given up when memory is needed.
        cached = int(statistics.get("total_inactive_file", statistics.get("inactive_file", 0)))
        yield max(0, limit - used + cached)


def _cgroup_folders() -> Iterator[tuple[Path, str, str]]:
    """Folders of this process's control group for memory and of those around it, with their files' names."""
    try:
        lines = OWN_CGROUPS.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if controllers == "":
            root, files = CGROUPS, ("memory.max", "memory.current")
        elif "memory" in controllers.split(","):
            root, files = CGROUPS / "memory", ("memory.limit_in_bytes", "memory.usage_in_bytes")
        else:
            continue
        folder = root / group.lstrip("/")
        for parent in [folder, *folder.parents]:
            yield parent, *files
            if parent == root:
                break
