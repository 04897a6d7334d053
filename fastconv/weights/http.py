"""Downloads over HTTP, straight from a publisher."""

from __future__ import annotations

import sys
from pathlib import Path

from .errors import MissingWeightsError
from .registry import Source, by_hand

_ATTEMPTS = 3
_CHUNK = 1 << 18


def download_file(source: Source, folder: Path, progress: bool) -> Path:
    """Download over HTTP; a broken connection starts again from nothing."""
    import pooch
    import requests

    target = folder / source.filename
    for _ in range(_ATTEMPTS):
        try:
            with _progress_bar(source, progress) as bar:
                pooch.HTTPDownloader(progressbar=bar, chunk_size=_CHUNK)(source.url, str(target), None)
            return target
        except requests.RequestException as error:
            failure = error
            if error.response is not None:  # the server has answered, and would say the same again
                error.response.close()
                break
    raise MissingWeightsError(
        f"downloading {source.name} from {source.url} failed: {failure}. {by_hand(source)}"
    ) from failure


def _progress_bar(source: Source, progress: bool):  # type: ignore[no-untyped-def]
    from tqdm import tqdm

    return tqdm(
        desc=source.name,
        total=source.size,
        unit="B",
        unit_scale=True,
        disable=not progress,
        # A log file gets a line now and then, a terminal a moving bar.
        mininterval=0.2 if sys.stderr.isatty() else 10,
    )
