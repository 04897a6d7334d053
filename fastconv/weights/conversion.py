"""Weight files of any format, written as files of this package."""

from __future__ import annotations

from pathlib import Path

from fastconv.log import Log

from . import converted
from .cache import make_cache_dir
from .reading import load_file


def convert(path: Path, output: Path | None = None, *, log: Log | None = None) -> Path:
    """Read a weight file of any format and write its converted copy.

    Parameters
    ----------
    path : Path
        The file to read.
    output : Path, optional
        The file to write, or an existing folder, in which the copy gets the name that is looked for. Without
        it, the copy goes into the user's cache.
    log : callable of str, optional
        As for `load`.

    Returns
    -------
    Path
        The copy.

    Raises
    ------
    WrongFileError
        If `path` does not hold a whole VGG-19.
    OSError
        If the copy cannot be written.
    """
    weights = load_file(path, log=log)
    output = output or make_cache_dir()
    target = output / converted.name_for(weights) if output.is_dir() else output
    converted.write(weights, target)
    return target
