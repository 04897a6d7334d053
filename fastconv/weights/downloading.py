"""Published files, downloaded into the user's cache."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fastconv import files
from fastconv.log import Log, unheard

from . import cache, foreign
from .errors import MissingWeightsError
from .fetch import fetch
from .model import VGGWeights
from .registry import SOURCES, by_hand


def download(name: str, *, progress: bool = True, log: Log | None = None) -> VGGWeights:
    """Fetch the published file called `name`, check it, and keep its convolutions in the user's cache.

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
        fetched = fetch(source, folder, progress=progress)
        return foreign.read(fetched, files.digest(fetched))
    except OSError as error:  # of any cause: a full disk, or a file that something else has taken away
        raise MissingWeightsError(f"downloading {name} failed: {error}. {by_hand(source)}") from error
