"""Output files: checked before the work begins, and then written whole or not at all."""

from __future__ import annotations

import itertools
import os
import tempfile
from pathlib import Path

from fastconv.files import replacing


class OutputError(OSError):
    """A result that cannot be written where it was asked for."""


def target_of(path: str | os.PathLike[str]) -> Path:
    """Return the absolute path of the file that is written under a name: where symbolic links lead."""
    return Path(os.path.realpath(path))


def is_there(path: Path) -> bool:
    """Tell whether a file or folder exists; none does under a name too long, for which `Path.exists` raises."""
    try:
        return path.exists()
    except OSError:
        return False


def is_folder(path: Path) -> bool:
    """Tell whether a folder exists, see `is_there`."""
    return is_there(path) and path.is_dir()


def free_name(path: Path) -> Path:
    """Return the first of NAME.png, NAME-2.png, and so on, that is not there."""
    others = (path.with_stem(f"{path.stem}-{number}") for number in itertools.count(2))
    return next(name for name in itertools.chain([path], others) if not is_there(name))


def check_writable(path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Make sure, before any work is done, that a file can be written.

    Parameters
    ----------
    path : path
        Where the file is to go.
    overwrite : bool
        Whether a file that is there may be replaced.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    OutputError
        If it is a folder or a device, the folder is missing or cannot be written to, the file exists, or there can
        be none of that name.
    """
    path = Path(path)
    target = target_of(path)
    exists = is_there(target)
    if is_folder(target):
        raise OutputError(f"{path} is a folder; expected the name of a file")
    if exists and not overwrite:
        raise OutputError(f"{path} exists already; choose another name, or set overwrite to replace it")
    if exists and not target.is_file():
        raise OutputError(f"{path} is a device or a pipe; expected the name of a file")
    if not is_folder(target.parent):
        raise OutputError(f"{path}: the folder {target.parent} does not exist")
    try:
        # Permission bits don't tell: read-only mounts, quotas and access lists show only when one writes.
        with tempfile.TemporaryFile(dir=target.parent):
            pass
    except OSError as error:
        raise OutputError(f"{path}: the folder {target.parent} cannot be written to: {error.strerror}") from error
    if not exists:
        _check_name(path, target)
    return path


def _check_name(path: Path, target: Path) -> None:
    """Make a file and remove it: which names a file system takes shows only when one makes them."""
    try:
        target.touch(exist_ok=False)
        target.unlink()
    except OSError as error:
        raise OutputError(f"{path} cannot be made: {error.strerror}") from error


def write(path: Path, data: bytes) -> None:
    """Write a file, all of it or nothing.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    try:
        with replacing(path) as file:
            file.write(data)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error}") from error
