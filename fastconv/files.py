"""Files: the cache directory, files that are written whole or not at all, and digests."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

#: The names of our temporary files and folders. No other program uses such names, so what has one and is old was left
#: by a process of ours that was killed.
_TEMPORARY = re.compile(r"\.fastconv-([0-9a-f]{16}|[0-9a-z_]{8})\.part")
_DAY = 86_400  # seconds


def cache_dir() -> Path:
    """Return the user's cache directory for this package: `$FASTCONV_CACHE_DIR`, or the platform's custom.

    Raises
    ------
    OSError
        If the home directory that it would be in is unknown.
    """
    if chosen := os.environ.get("FASTCONV_CACHE_DIR"):
        try:
            return Path(chosen).expanduser()
        except RuntimeError as error:
            raise OSError(f"FASTCONV_CACHE_DIR is {chosen!r}, and there is no such home directory") from error
    from platformdirs import user_cache_path  # here, since importing the package shall stay fast

    try:
        path = user_cache_path("fastconv", appauthor=False)
    except RuntimeError as error:
        raise OSError(f"{error}; or set FASTCONV_CACHE_DIR to the directory to use") from error
    if not path.is_absolute():  # so with older versions of platformdirs; what lies in the current folder is not ours
        raise OSError(f"the cache directory would be {path}; set FASTCONV_CACHE_DIR to the one to use")
    return path


@contextlib.contextmanager
def replacing(path: Path, *, previous: Path | None = None) -> Iterator[BinaryIO]:
    """Open a temporary file that takes the place of `path` after the block, or vanishes if that fails.

    The file that was there before is kept under the name `previous`, if one is given.
    """
    target = Path(os.path.realpath(path))  # a symbolic link stays one
    temporary = target.with_name(f".fastconv-{secrets.token_hex(8)}.part")  # short: there are names of full length
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # else a power cut may leave the new name with nothing behind it
        if previous is not None and target.exists():
            target.replace(previous)
            try:
                temporary.replace(target)
            except BaseException:
                previous.replace(target)
                raise
        else:
            temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def temporary_folder(parent: Path) -> tempfile.TemporaryDirectory[str]:
    """Make a folder in `parent` that vanishes after the block."""
    return tempfile.TemporaryDirectory(prefix=".fastconv-", suffix=".part", dir=parent)


def remove_remains(folder: Path) -> None:
    """Remove the temporary files and folders that processes killed a day ago or more have left in `folder`."""
    for path in folder.iterdir():
        if _TEMPORARY.fullmatch(path.name):
            with contextlib.suppress(OSError):  # somebody else's, or gone by now: no reason to give up
                _remove_if_old(path)


def _remove_if_old(path: Path) -> None:
    status = path.lstat()
    if status.st_mtime > time.time() - _DAY:
        return
    if stat.S_ISDIR(status.st_mode):
        shutil.rmtree(path)
    elif stat.S_ISREG(status.st_mode):  # not where a link leads
        path.unlink()


def digest(path: Path, algorithm: str = "sha256") -> str:
    """Return the digest of a file in hexadecimal; `algorithm` is "sha256" or "md5"."""
    hasher = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            hasher.update(block)
    return hasher.hexdigest()
