"""Writing what a run makes, on the way and at the end: one file that fails does not stop the others."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import fastconv
from fastconv.log import Log
from fastconv.style import files
from fastconv.style.files import OutputError, free_name
from fastconv.style.images import PictureLike, format_of, save
from fastconv.style.report.film import Film, Frame
from fastconv.style.report.movie import write_movie
from fastconv.style.report.page import write_report
from fastconv.style.running.checkpoint import Checkpoint
from fastconv.style.running.outcome import Outcome
from fastconv.style.running.outputs import Outputs
from fastconv.style.transfer import Result, Step, Transfer


class Keeper:
    """Writes what is to be kept of a run, on the way and at the end."""

    def __init__(
        self,
        transfer: Transfer,
        content: PictureLike,
        styles: Sequence[PictureLike],
        outputs: Outputs,
        frames: Sequence[Frame],
        say: Log,
    ) -> None:
        self._transfer = transfer
        self._outputs = outputs
        self._say = say
        kind = format_of(outputs.picture)
        if transfer.inputs.content.alpha is not None and not kind.transparent:
            say(f"{outputs.picture}: {kind.name} has no transparency; it is dropped")
        self._film = Film(transfer.steps_in_all, frames) if outputs.movie or outputs.report else None
        self._checkpoint = None
        if outputs.checkpoint is not None:
            own = replace(outputs, replaceable=outputs.replaceable | outputs.files_of(transfer))
            self._checkpoint = Checkpoint(outputs.checkpoint, transfer, content, styles, own.for_checkpoint())

    def after(self, step: Step) -> None:
        """Write what is due after a step. Failures are told, and no reason to lose the run."""
        number = len(self._transfer.losses)
        if self._film is not None:
            self._film.update(number, step)
        if self._checkpoint is not None:
            self._checkpoint.note(self._frames)
        is_time_to_save = self._outputs.save_every is not None and number % self._outputs.save_every == 0
        try:
            if is_time_to_save:
                path = self._outputs.picture if self._outputs.in_place else self._outputs.numbered(number)
                self._save_picture(path, self._transfer.result())
            if self._checkpoint is not None and (is_time_to_save or self._checkpoint.is_due()):
                self._checkpoint.write(self._frames)
        except OutputError as error:
            self._say(f"{error}; the run goes on")

    def rescue(self) -> None:
        """Write what there is of a run that cannot go on: its checkpoint, and the picture under another name."""
        if not self._transfer.has_begun:
            return
        try:
            if self._checkpoint is not None:
                self._checkpoint.note(self._frames)  # there may have been a step since the last time
                self._checkpoint.write(self._frames)
        except (OutputError, MemoryError) as error:
            self._say(f"the checkpoint could not be written: {error}")
        picture = free_name(self._outputs.unfinished)
        try:
            self._save_picture(picture, self._transfer.result())
        except (OutputError, MemoryError) as error:
            self._say(f"the unfinished picture could not be saved: {error}")
        else:
            self._say(f"the picture as far as it came: {picture}")

    def at_the_end(self, outcome: Outcome) -> None:
        """Write everything, as much as can be written.

        Raises
        ------
        OutputError
            About all that could not.
        """
        failures = []
        for write in (
            self._write_checkpoint,
            self._write_picture,
            self._write_log,
            self._write_movie,
            self._write_report,
        ):
            try:
                write(outcome)
            except (OutputError, MemoryError) as error:
                failures.append(str(error) or "out of memory")
        if failures:
            raise OutputError("; ".join(failures))

    @property
    def _frames(self) -> Sequence[Frame]:
        return () if self._film is None else self._film.frames

    def _write_checkpoint(self, outcome: Outcome) -> None:
        if self._checkpoint is not None:
            is_there = self._checkpoint.write(self._frames)
            if outcome.interrupted_by is not None:
                way = f"to go on: fastconv style --resume {self._outputs.checkpoint}"
                self._say(way if is_there else "no checkpoint: the first search of L-BFGS had not ended")

    def _write_picture(self, outcome: Outcome) -> None:
        self._save_picture(outcome.outputs.picture, outcome.result)

    def _save_picture(self, path: Path, result: Result) -> None:
        bits = self._outputs.bits
        save(
            path,
            result.image if bits == 8 else result.rgb,
            alpha=result.alpha if format_of(path).transparent else None,
            metadata=_metadata(result) if self._outputs.metadata else None,
            bits=bits,
        )

    def _write_movie(self, outcome: Outcome) -> None:
        if self._outputs.movie is not None:
            write_movie(self._outputs.movie, self._frames)

    def _write_report(self, outcome: Outcome) -> None:
        if self._outputs.report is not None:
            photograph = self._transfer.inputs.content.resized(self._transfer.plan.output_size)
            write_report(self._outputs.report, photograph.rgb, outcome.result, self._frames)

    def _write_log(self, outcome: Outcome) -> None:
        if self._outputs.log_file is not None:
            files.write(self._outputs.log_file, outcome.as_json().encode())


def _metadata(result: Result) -> dict[str, str]:
    return {
        "Software": f"fastconv {fastconv.__version__}",
        "fastconv": json.dumps(result.settings),
    }
