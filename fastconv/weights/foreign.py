"""Files in the formats of other programs."""

from __future__ import annotations

from pathlib import Path

from . import keras, matconvnet, quantized
from .errors import WeightsError, WrongFileError
from .formats import Kind, identify
from .model import VGGWeights, check_layers
from .registry import by_filename, check_published, published

_READERS = {Kind.MATLAB: matconvnet.read, Kind.HDF5: keras.read, Kind.TORCH: quantized.read}


def read(path: Path, sha256: str) -> VGGWeights:
    """Read a file, whose digest is `sha256`.

    Raises
    ------
    WrongFileError
        If it is damaged, or holds no whole VGG-19.
    """
    kind = identify(path)
    source = published(path, sha256)
    if source is None and (namesake := by_filename(path.name)) and path.stat().st_size == namesake.size:
        check_published(path, sha256, namesake)  # the right name and size with another content: damaged
    try:
        layers = check_layers(_READERS[kind](path), path)
    except (WeightsError, ImportError, MemoryError):
        raise
    except Exception as error:  # a damaged file may make a foreign reader raise anything
        raise WrongFileError(f"{path}: {_damage(path)} ({kind.value}; {error})") from error
    return VGGWeights(layers, source.name if source else path.name, sha256, path, exact=kind is not Kind.TORCH)


def _damage(path: Path) -> str:
    namesake = by_filename(path.name)
    size = path.stat().st_size
    if namesake is not None and size < namesake.size:
        return f"truncated: {size:,} of {namesake.size:,} bytes"
    return "truncated or damaged"
