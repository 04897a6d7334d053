"""How much memory a transfer needs and how much there is, so that it is refused before hours of work."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import psutil

Size = tuple[int, int]  # height, width

# Bytes in float32. Measured as the peak (VmHWM) of fresh processes: 394, 472 and 813 MB for 128x96, 256x176 and
# 512x352 px, weights converted before. FIXED is mostly the weights, as loaded and as packed for both directions.
FIXED = 370_000_000
PER_PIXEL = 2600
PER_STYLE_PIXEL = 1500  # a forward pass whose features of the style layers are kept

SHARE = 0.8  # of what is free, so that the machine stays usable
CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")


class MemoryLimitError(MemoryError):
    """The run would need more memory than there is."""


def estimate(size: Size, styles: Sequence[Size], dtype: str = "float32") -> int:
    """Estimate the peak memory of a transfer, in bytes.

    Parameters
    ----------
    size : (int, int)
        Height and width of the result.
    styles : sequence of (int, int)
        Height and width of the style pictures.
    dtype : {"float32", "float64"}
        Precision.
    """
    step = PER_PIXEL * math.prod(size)
    # Features of a style picture live while its Gram matrices are computed, before the first step.
    targets = PER_STYLE_PIXEL * max(math.prod(style) for style in styles)
    return (FIXED + max(step, targets)) * np.dtype(dtype).itemsize // 4


def available() -> int:
    """Bytes that a new process could use without swapping, or fewer where a control group allows fewer."""
    return min([psutil.virtual_memory().available, *_left_in_cgroups()])


def check(size: Size, styles: Sequence[Size], dtype: str = "float32") -> None:
    """Raise `MemoryLimitError`, which names a size that fits, if a run needs over 80 % of what is free."""
    needed = estimate(size, styles, dtype)
    limit = int(SHARE * available())
    if needed <= limit:
        return
    smaller = _largest_long_side(size, styles, dtype, limit)
    advice = f"size {smaller} fits" if smaller else "no size fits"
    raise MemoryLimitError(
        f"a result of {size[1]}x{size[0]} px needs about {needed / 1e9:.1f} GB of memory, "
        f"{limit / 1e9:.1f} GB can be used: {advice}"
    )


def _largest_long_side(size: Size, styles: Sequence[Size], dtype: str, limit: int) -> int | None:
    """Return the largest multiple of 16, as a long side, with which everything fits; None if nothing does."""
    for long_side in range(max(size) // 16 * 16, 15, -16):
        factor = long_side / max(size)
        scaled = [(round(factor * height), round(factor * width)) for height, width in [size, *styles]]
        if estimate(scaled[0], scaled[1:], dtype) <= limit:
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
