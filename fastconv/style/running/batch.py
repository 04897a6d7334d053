"""A folder of photographs, all repainted in the manner of the same paintings."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TextIO

from PIL import Image

from fastconv.log import Log, unheard
from fastconv.style.algorithm.options import OptionError
from fastconv.style.algorithm.presets import options_of
from fastconv.style.files import OutputError, is_there
from fastconv.style.images import FORMATS, ImageError, ImageWarning, PictureLike, load
from fastconv.style.running.marks import mark_of, named_in, remove_mark, write_mark
from fastconv.style.running.outcome import Outcome
from fastconv.style.running.outputs import Outputs
from fastconv.style.running.run import carry_out
from fastconv.style.transfer import MemoryLimitError, Step, Transfer

# Errors of one photograph, which the next one need not have.
FAILURES = (ImageError, OptionError, OutputError, MemoryLimitError, FloatingPointError)


@dataclass
class Batch:
    """What came of a folder.

    Attributes
    ----------
    failures : dict of Path to str
        The photographs that could not be repainted, and why.
    interrupted_by : int or None
        The signal that ended the work early.
    """

    failures: dict[Path, str] = field(default_factory=dict)
    interrupted_by: int | None = None


def run_folder(
    folder: Path,
    styles: Sequence[PictureLike],
    outputs: Outputs,
    *,
    show: Callable[[Outcome], None],
    log: Log | None = None,
    progress: TextIO | None = None,
    callback: Callable[[Step], None] | None = None,
    weights: str | None = None,
    offline: bool = False,
    preset: str = "fast",
    **options: Any,
) -> Batch:
    """Repaint all photographs of a folder into another one, under their own names.

    Results that are finished are skipped, unless `outputs.overwrite` is set. So a second run goes on with the first,
    and replaces what an interrupted photograph has left. Network and targets of the styles serve all photographs.

    Parameters
    ----------
    folder : Path
        Where the photographs are. Subfolders are left alone.
    styles : sequence of pictures
        The paintings.
    outputs : Outputs
        Its `picture` is the folder to write to, which is made if need be.
    show : callable
        Called with the `Outcome` of each photograph as soon as it is done.
    log, progress, callback, weights, offline, preset, **options
        As for `fastconv.style.running.run.run`.

    Returns
    -------
    Batch

    Raises
    ------
    ImageError
        If there is no picture in the folder, or a style can't be read.
    OptionError
        If an option has no meaning, or the outputs are such as a folder can't have.
    OutputError
        If the folder to write to can't be made, or is that of the photographs, or two files would get the same name.
    fastconv.weights.WeightsError
        If the weights are missing or wrong.
    """
    say = log or unheard
    photographs = _pictures_in(folder)
    # Errors in these would come with each photograph; they are raised once, before any.
    options_of(preset, options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImageWarning)  # told when they are loaded for the run
        for style in styles:
            load(style)
    _check_options(folder, outputs)
    _check_names(photographs, outputs)
    _make_folder(folder, outputs.picture)
    batch = Batch()
    how = {"weights": weights, "offline": offline, "preset": preset, **options}
    transfers = _Transfers(styles, log, how)
    for position, photograph in enumerate(photographs, start=1):
        path = outputs.picture / output_name(photograph)
        mark = mark_of(path)
        if is_there(path) and not is_there(mark) and not outputs.overwrite:
            say(f"skipped, done before: {path}")
            continue
        say(f"{position} of {len(photographs)}: {photograph}")
        try:
            own = replace(outputs, picture=path, replaceable=named_in(mark))
            own.check()
            transfer = transfers.of(photograph)
            own.check_for(transfer)
            write_mark(mark, own.replaceable | own.files_of(transfer))
            outcome = carry_out(
                transfer, photograph, styles, own, log=log, progress=progress, callback=callback, set_aside=True
            )
            show(outcome)
            if outcome.interrupted_by is not None:
                batch.interrupted_by = outcome.interrupted_by
                break
            remove_mark(mark)
        except FAILURES as error:
            say(str(error))
            batch.failures[photograph] = str(error)
    return batch


class _Transfers:
    """Makes a transfer for each photograph; all share the network and the targets of the styles."""

    def __init__(self, styles: Sequence[PictureLike], log: Log | None, how: dict[str, Any]) -> None:
        self._styles = styles
        self._log = log
        self._how = how
        self._first: Transfer | None = None

    def of(self, photograph: Path) -> Transfer:
        if self._first is not None:
            return self._first.for_content(photograph)
        self._first = Transfer(photograph, self._styles, log=self._log, **self._how)
        return self._first


def output_name(photograph: Path) -> str:
    """Return the name of the result: the photograph's own, with .png after it if nothing of its kind is written."""
    return photograph.name if photograph.suffix.lower() in FORMATS else f"{photograph.name}.png"


def _pictures_in(folder: Path) -> list[Path]:
    readable = Image.registered_extensions()
    found = sorted(_files_in(folder))
    pictures = [path for path in found if path.suffix.lower() in readable]
    if not pictures:
        raise ImageError(f"{folder} holds no pictures; its {len(found)} files have other extensions")
    return pictures


def _files_in(folder: Path) -> Iterator[Path]:
    return (path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))


def _check_options(folder: Path, outputs: Outputs) -> None:
    single = {name: getattr(outputs, name) for name in ("in_place", "checkpoint", "report", "movie", "log_file")}
    if given := [name for name, value in single.items() if value]:
        raise OptionError(f"{', '.join(given)}: only for a single picture, and {folder} is a folder")


def _check_names(photographs: Sequence[Path], outputs: Outputs) -> None:
    """Refuse photographs if what is written for one of them would get the name of another's result."""
    results: dict[Path, Path] = {}
    for photograph in photographs:
        path = outputs.picture / output_name(photograph)
        if path in results:
            raise OutputError(f"{results[path]} and {photograph} would both become {path}; rename one of them")
        results[path] = photograph
    for path, photograph in results.items():
        stem = path.stem.rpartition("-")[0]
        if not stem or (other := path.with_stem(stem)) not in results:
            continue
        own = replace(outputs, picture=other)
        if path == own.unfinished or own.is_numbered(path):
            raise OutputError(
                f"{photograph} would become {path}, and so may an unfinished picture of {results[other]}; "
                "rename one of them"
            )


def _make_folder(folder: Path, target: Path) -> None:
    if is_there(target) and not target.is_dir():
        raise OutputError(f"{target} is a file; expected a folder, since {folder} is one")
    if not is_there(target) and target.suffix.lower() in FORMATS:
        raise OutputError(f"{target} is the name of a picture; expected that of a folder, since {folder} is one")
    try:
        target.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"the folder {target} cannot be made: {error.strerror}") from error
    if target.samefile(folder):
        raise OutputError(f"{target} is the folder of the photographs; expected another one for the results")
