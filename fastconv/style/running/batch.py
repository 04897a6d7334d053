"""A folder of photographs, all repainted in the manner of the same paintings."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TextIO

from fastconv.log import Log, unheard
from fastconv.style.algorithm.options import OptionError
from fastconv.style.algorithm.presets import options_of
from fastconv.style.files import OutputError
from fastconv.style.images import ImageError, ImageWarning, PictureLike, load
from fastconv.style.running.execution import carry_out
from fastconv.style.running.marks import is_finished, mark_of, named_in, remove_mark, write_mark
from fastconv.style.running.outcome import Outcome
from fastconv.style.running.outputs import Outputs
from fastconv.style.running.photographs import check_names, check_options, make_folder, output_name, pictures_in
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
    photographs = pictures_in(folder)
    # Errors in these would come with each photograph; they are raised once, before any.
    options_of(preset, options)
    _check_styles(styles)
    check_options(folder, outputs)
    check_names(photographs, outputs)
    make_folder(outputs.picture, folder)
    transfers = _Transfers(styles, log, {"weights": weights, "offline": offline, "preset": preset, **options})
    watchers = {"log": log, "progress": progress, "callback": callback}
    batch = Batch()
    for photograph, its_outputs in _unfinished(photographs, outputs, say):
        try:
            batch.interrupted_by = _repaint(photograph, transfers, its_outputs, show, watchers)
        except FAILURES as error:
            say(str(error))
            batch.failures[photograph] = str(error)
        if batch.interrupted_by is not None:
            break
    return batch


def _check_styles(styles: Sequence[PictureLike]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImageWarning)  # told when they are loaded for the run
        for style in styles:
            load(style)


def _unfinished(photographs: Sequence[Path], outputs: Outputs, say: Log) -> Iterator[tuple[Path, Outputs]]:
    """Yield each photograph that is still to be repainted, with its own outputs; tell where in the folder we are."""
    for position, photograph in enumerate(photographs, start=1):
        path = outputs.picture / output_name(photograph)
        if is_finished(path) and not outputs.overwrite:
            say(f"skipped, done before: {path}")
            continue
        say(f"{position} of {len(photographs)}: {photograph}")
        yield photograph, replace(outputs, picture=path)


class _Transfers:
    """Makes a transfer for each photograph; all share the network and the targets of the styles."""

    def __init__(self, styles: Sequence[PictureLike], log: Log | None, how: dict[str, Any]) -> None:
        self.styles = styles
        self._log = log
        self._how = how
        self._first: Transfer | None = None

    def of(self, photograph: Path) -> Transfer:
        if self._first is not None:
            return self._first.for_content(photograph)
        self._first = Transfer(photograph, self.styles, log=self._log, **self._how)
        return self._first


def _repaint(
    photograph: Path,
    transfers: _Transfers,
    outputs: Outputs,
    show: Callable[[Outcome], None],
    watchers: dict[str, Any],
) -> int | None:
    """Repaint one photograph, and return the signal that ended the work early, if one did.

    As long as the result is not finished, a mark beside it names the files that a second run may replace.
    """
    mark = mark_of(outputs.picture)
    outputs = replace(outputs, replaceable=named_in(mark))
    outputs.check()
    transfer = transfers.of(photograph)
    outputs.check_for(transfer)
    write_mark(mark, outputs.replaceable | outputs.files_of(transfer))
    outcome = carry_out(transfer, photograph, transfers.styles, outputs, set_aside=True, **watchers)
    show(outcome)
    if outcome.interrupted_by is None:
        remove_mark(mark)
    return outcome.interrupted_by
