"""The project's own file: the sixteen convolutions and their origin in an uncompressed `.npz`."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path

import numpy as np

from fastconv.files import replacing

from .errors import UnreadableFileError, WrongFileError
from .formats import readable
from .model import KERNEL_SHAPES, VGGWeights, check_layers
from .registry import SOURCES

_VERSION = 1


def name_for(weights: VGGWeights) -> str:
    """Return the file name of a conversion, which holds its original's hash: a changed file is no match."""
    label = weights.source if weights.source in SOURCES else "custom"
    return f"{label}-{weights.sha256[:16]}.npz"


def is_named_by_us(path: Path) -> bool:
    """Tell whether `path` is a file with such a name, and not a link that somebody has put there."""
    labels = "|".join(map(re.escape, [*SOURCES, "custom"]))
    return bool(re.fullmatch(rf"({labels})-[0-9a-f]{{16}}\.npz", path.name)) and not path.is_symlink()


def write(weights: VGGWeights, path: Path) -> None:
    """Write `weights` to `path`, which appears whole or not at all."""
    origin = {
        "version": _VERSION,
        "source": weights.source,
        "sha256": weights.sha256,
        "exact": weights.exact,
    }
    arrays = {"fastconv": np.array(json.dumps(origin))}
    for name, (weight, bias) in weights.layers.items():
        arrays[f"{name}.weight"] = weight
        arrays[f"{name}.bias"] = bias
    with replacing(path) as file:
        np.savez(file, allow_pickle=False, **arrays)


def read(path: Path) -> VGGWeights:
    """Read what `write` wrote.

    Raises
    ------
    WrongFileError
        If the file is truncated, damaged, or of another version.
    """
    with readable(path):
        file = path.open("rb")  # by us, since NumPy leaves a damaged file open
    try:
        with file, np.load(file, allow_pickle=False) as archive:
            origin = json.loads(archive["fastconv"].item())
            if origin["version"] != _VERSION:
                raise UnreadableFileError(f"{path}: version {origin['version']} of the format, expected {_VERSION}")
            layers = {name: (archive[f"{name}.weight"], archive[f"{name}.bias"]) for name in KERNEL_SHAPES}
            source, sha256, exact = str(origin["source"]), str(origin["sha256"]), bool(origin["exact"])
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise WrongFileError(f"{path}: a damaged or incomplete converted file ({error})") from error
    return VGGWeights(check_layers(layers, path), source, sha256, path, exact)
