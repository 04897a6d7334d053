"""The formats of weight files, told apart by what they hold."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path

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
