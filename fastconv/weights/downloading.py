"""Published files, downloaded into the user's cache."""

from __future__ import annotations

from pathlib import Path

from fastconv import files
from fastconv.log import Log, unheard

from . import cache, foreign
from .errors import MissingWeightsError
from .fetch import fetch
from .model import VGGWeights
from .registry import SOURCES


def download(name: str, *, progress: bool = True, log: Log | None = None) -> VGGWeights:
    """Fetch the published file called `name`, check it, and keep its convolutions in the user's cache.

    Parameters and errors are those of `load`.
    """
    log = log or unheard
    source = SOURCES[name]
    log(f"fetching {name}, {source.download_size / 1e6:.1f} MB, from {source.origin}: {source.summary}")
    try:
        kept = cache.make_cache_dir()
        files.remove_remains(kept)
        with files.temporary_folder(kept) as folder:
            fetched = fetch(source, Path(folder), progress=progress)
            return cache.keep(foreign.read(fetched, files.digest(fetched)))
    except OSError as error:
        raise MissingWeightsError(
            f"downloading {name}: {cache.cache_dir()} cannot be written ({error}); "
            "FASTCONV_CACHE_DIR chooses another folder"
        ) from error
