"""Marks of unfinished results in a folder.

While a photograph is worked on, a hidden file beside its result, the mark, names all files that the run may write. A
later run that finds a mark knows that this result is not finished, and which files it may replace.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from fastconv.style import files
from fastconv.style.files import OutputError, is_there, target_of


def mark_of(path: Path) -> Path:
    """Return the name of the file that is there as long as a result is not finished."""
    return path.with_name(f".{path.name}.begun")


def is_finished(path: Path) -> bool:
    """Tell whether a result is there, and not one that an interrupted run has left."""
    return is_there(path) and not is_there(mark_of(path))


def write_mark(mark: Path, names: Iterable[Path]) -> None:
    """Write a mark that names these files, which may be there already or come."""
    relative = (os.path.relpath(name, target_of(mark).parent) for name in names)  # the folder may be moved
    files.write(mark, b"\0".join(sorted(map(os.fsencode, relative))))


def named_in(mark: Path) -> frozenset[Path]:
    """Return the files that an interrupted photograph may have left behind."""
    if not is_there(mark):
        return frozenset()
    try:
        names = mark.read_bytes().split(b"\0")
    except OSError as error:
        raise OutputError(f"{mark} cannot be read, which names what an interrupted run has left: {error}") from error
    return frozenset(target_of(mark.parent / os.fsdecode(name)) for name in names)


def remove_mark(mark: Path) -> None:
    """Remove the mark of a result that is finished."""
    try:
        mark.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{mark} cannot be removed, so the next run will repaint its picture: {error}") from error
