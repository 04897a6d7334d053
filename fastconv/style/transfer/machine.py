"""How much memory the machine has for a transfer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil

from fastconv.style.algorithm.options import Options, parse_memory

SHARE = 0.8  # of what is free, so that the machine stays usable
CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")


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
