"""Files as such: what kind they are, their digests, and writing them so that no half of one is ever seen."""

from __future__ import annotations

import contextlib
import hashlib
import re
import secrets
import shutil
import stat
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import IO

from .errors import UnreadableFileError, WrongFileError


class Kind(Enum):
    """The formats that can be read."""

    CONVERTED = "converted .npz"
    MATLAB = "MATLAB 5 .mat"
    HDF5 = "HDF5"
    TORCH = "legacy torch.save stream"
    WHEEL = "Python wheel"


#: How a legacy torch.save stream begins: a pickle, protocol 2, of the number 0x1950a86a20f9469cfc6c.
TORCH_MAGIC = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19\x2e"


def identify(path: Path) -> Kind:
    """Tell from its content, never its name, what kind of file `path` is.

    Raises
    ------
    WrongFileError
        If it is none that can be read; the message says what it is instead.
    """
    head = _head(path)
    if head.startswith(b"PK\x03\x04"):
        return _identify_zip(path)
    if head.startswith(b"MATLAB 5.0 MAT-file"):
        return Kind.MATLAB
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return Kind.HDF5
    if head.startswith(TORCH_MAGIC):
        return Kind.TORCH
    raise WrongFileError(f"{path}: {_instead(head)}, where a file of VGG-19 weights was expected")


def _head(path: Path) -> bytes:
    with readable(path), path.open("rb") as file:
        return file.read(1024)


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn a failure to read `path` into an UnreadableFileError."""
    try:
        yield
    except OSError as error:
        raise UnreadableFileError(f"{path}: cannot be read: {error.strerror}") from error


def _identify_zip(path: Path) -> Kind:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile as error:
        raise WrongFileError(f"{path}: truncated or damaged ({error})") from error
    if any(name.endswith(".dist-info/WHEEL") for name in names):
        return Kind.WHEEL
    if "fastconv.npy" in names:
        return Kind.CONVERTED
    if any(name.endswith("/data.pkl") for name in names):
        raise WrongFileError(f"{path}: a PyTorch checkpoint, which is not read; 'fastconv weights list' shows what is")
    raise WrongFileError(
        f"{path}: a zip archive without VGG-19 weights; it holds {', '.join(names[:3]) or 'nothing'}"
        f"{', ...' if len(names) > 3 else ''}"
    )


def _instead(head: bytes) -> str:
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not head:
        return "an empty file"
    if text.startswith((b"<!doctype html", b"<html")) or b"<html" in text:
        return "an HTML page (the download ended at a web page)"
    if text.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer instead of the file it points to"
    if head.startswith(b"\x1f\x8b"):
        return "a gzip archive (unpack it first)"
    if head.startswith(b"MATLAB 7.3"):
        return "a MATLAB 7.3 file (save it with -v7)"
    return f"a file of an unknown kind, which begins with {head[:16]!r}"


def digest(path: Path, algorithm: str) -> str:
    """Return the digest of the file `path` in hexadecimal; `algorithm` is "sha256" or "md5"."""
    hasher = hashlib.new(algorithm, usedforsecurity=False)
    with readable(path), path.open("rb") as file:
        while block := file.read(1 << 20):
            hasher.update(block)
    return hasher.hexdigest()


#: The names of temporary files and folders, which nobody else gives, so that what a killed process leaves can be told.
_TEMPORARY = re.compile(r"\.fastconv-([0-9a-f]{16}|[0-9a-z_]{8})\.part")
_DAY = 86_400  # seconds


@contextmanager
def written_whole(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that takes the name `path` only when the block has ended well, and else leaves nothing."""
    temporary = path.with_name(f".fastconv-{secrets.token_hex(8)}.part")
    try:
        with temporary.open("xb") as file:
            yield file
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


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
