"""Files that a run writes: whether they can be written is known beforehand, and they are whole or not there."""

from __future__ import annotations

import hashlib
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


class OutputError(OSError):
    """A result that cannot be written where it was asked for."""


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
        If it is a folder, the folder is missing or cannot be written to, or the file exists.
    """
    path = Path(path)
    if path.is_dir():
        raise OutputError(f"{path} is a folder; expected the name of a file")
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists already; choose another name, or allow it to be overwritten")
    if not path.parent.is_dir():
        raise OutputError(f"{path}: the folder {path.parent} does not exist")
    try:
        # Permission bits don't tell: read-only mounts, quotas and access lists show only when one writes.
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise OutputError(f"{path}: the folder {path.parent} cannot be written to: {error.strerror}") from error
    return path


@contextmanager
def replacing(path: Path, *, previous: Path | None = None) -> Iterator[BinaryIO]:
    """Open a temporary file that takes the place of `path` after the block, or vanishes if that fails.

    The file that was there before is kept under the name `previous`, if one is given.
    """
    target = path.resolve()  # a symbolic link stays one
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if previous is not None and target.exists():
            target.replace(previous)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


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


def sha256(path: Path) -> str:
    """Return the SHA-256 digest of a file in hexadecimal."""
    hasher = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            hasher.update(block)
    return hasher.hexdigest()
