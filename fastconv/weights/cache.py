"""Converted copies in the user's cache, so that a file is converted once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from fastconv import files
from fastconv.log import Log

from . import converted
from .errors import WrongFileError
from .model import VGGWeights


def cache_dir() -> Path:
    """Return where converted weights are kept, in `$FASTCONV_CACHE_DIR` or the user's cache.

    Raises
    ------
    OSError
        If the home directory that it would be in is unknown.
    """
    return files.cache_dir() / "weights"


def make_cache_dir() -> Path:
    """Return `cache_dir()`, which is made if need be."""
    folder = cache_dir()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def keep(weights: VGGWeights) -> VGGWeights:
    """Write a converted copy, and return the weights with its path."""
    path = make_cache_dir() / converted.name_for(weights)
    converted.write(weights, path)
    return replace(weights, path=path)


def find_copy(sha256: str, log: Log) -> VGGWeights | None:
    """Return the copy of the file with that digest, if there is a sound one."""
    for path in sorted(cache_dir().glob(f"*-{sha256[:16]}.npz")):
        try:
            weights = converted.read(path)
        except WrongFileError as error:
            log(f"{error}; it is made again")
            continue
        if weights.sha256 == sha256:
            return weights
    return None
