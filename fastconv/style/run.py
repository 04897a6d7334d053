"""A transfer as a command runs it: watched, interruptible, resumable, and with all that it makes kept."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

import fastconv
from fastconv import jit
from fastconv.style import checkpoint, files
from fastconv.style.checkpoint import Checkpoint
from fastconv.style.files import OutputError, check_writable, free_name, target_of
from fastconv.style.images import (
    Picture,
    PictureLike,
    check_output,
    demo_photograph,
    has_transparency,
    load,
    save,
)
from fastconv.style.movie import Film, Frame, check_movie, write_movie
from fastconv.style.options import OptionError
from fastconv.style.painting import paint
from fastconv.style.progress import Progress, format_seconds
from fastconv.style.report import write_report
from fastconv.style.scales import Scale
from fastconv.style.transfer import Result, Step, Transfer

DEMO_SIZE = 384  # pixels

Log = Callable[[str], None]


@dataclass(frozen=True)
class Outputs:
    """What a run writes.

    Parameters
    ----------
    picture : Path
        The result, and what an interrupted run has come to.
    overwrite : bool
        Whether files that are there may be replaced.
    save_every : int, optional
        Number of steps after which the picture is saved on the way, at the size of the result: numbered, or, with
        `in_place`, as `picture` itself.
    in_place : bool
    checkpoint : Path, optional
        Where the state of the run is kept, each time that the picture is saved on the way, once a minute without
        `save_every`, and at the end.
    report : Path, optional
        A page about the run, see `fastconv.style.report`.
    movie : Path, optional
        A film of the picture on its way, .gif or .mp4.
    log_file : Path, optional
        Settings and losses as JSON.
    json : bool
        Whether standard output gets these, too, instead of the picture's path.
    bits : {8, 16}
        Bits a channel of the pictures; 16 for PNG and TIFF only.
    metadata : bool
        Whether the pictures hold the settings that made them.
    replaceable : frozenset of Path
        Files that may be replaced in any case, as `fastconv.style.files.target_of` names them: an interrupted run,
        with which this one goes on, has written them, or was to write them.

    Raises
    ------
    OptionError
        If they contradict each other.
    """

    picture: Path
    overwrite: bool = False
    save_every: int | None = None
    in_place: bool = False
    checkpoint: Path | None = None
    report: Path | None = None
    movie: Path | None = None
    log_file: Path | None = None
    json: bool = False
    bits: int = 8
    metadata: bool = True
    replaceable: frozenset[Path] = frozenset()

    def __post_init__(self) -> None:
        if self.save_every is not None and (type(self.save_every) is not int or self.save_every < 1):
            raise OptionError(f"save_every must be a whole number of at least 1, got {self.save_every!r}")
        if self.in_place and self.save_every is None:
            raise OptionError("in_place needs save_every, the number of steps after which the picture is saved")
        names = [target_of(path) for path in self.all_but_numbered()]
        for name in names:
            if names.count(name) > 1:
                raise OptionError(f"each output must have a name of its own, got {name} {names.count(name)} times")
            if self.is_numbered(name):
                raise OptionError(
                    f"each output must have a name of its own, and save_every may give {name} to a picture"
                )

    def _paths(self) -> dict[str, Path]:
        return {name: value for name, value in vars(self).items() if isinstance(value, Path)}

    def all_but_numbered(self) -> list[Path]:
        """Return the files that are written, other than the numbered pictures."""
        before = [] if self.checkpoint is None else [checkpoint.previous(self.checkpoint)]
        return [*self._paths().values(), *before]

    def check(self) -> None:
        """Raise `OutputError` if something can't be written."""
        check_output(self.picture, overwrite=self._may_replace(self.picture), bits=self.bits)
        check_writable(free_name(self.unfinished))
        for path in self.all_but_numbered():
            if path not in (self.picture, self.movie):  # which have checks of their own
                check_writable(path, overwrite=self._may_replace(path))
        if self.movie is not None:
            check_movie(self.movie, overwrite=self._may_replace(self.movie))

    def check_for(self, transfer: Transfer) -> None:
        """Raise `OutputError` if what a transfer makes can't be written, now that its size and steps are known."""
        check_output(self.picture, overwrite=self._may_replace(self.picture), shape=transfer.output_size)
        for path in self._numbered_ahead(transfer):
            check_writable(path, overwrite=self._may_replace(path))

    def _may_replace(self, path: Path) -> bool:
        return self.overwrite or target_of(path) in self.replaceable

    def files_of(self, transfer: Transfer) -> frozenset[Path]:
        """Return all files that a transfer will write from where it stands, as `replaceable` has them."""
        return frozenset(map(target_of, [*self.all_but_numbered(), *self._numbered_ahead(transfer)]))

    def _numbered_ahead(self, transfer: Transfer) -> list[Path]:
        if self.save_every is None or self.in_place:
            return []
        done, every = len(transfer.losses), self.save_every
        return [self.numbered(n) for n in range(done - done % every + every, steps_in_all(transfer) + 1, every)]

    def is_numbered(self, path: Path) -> bool:
        """Tell whether a picture on the way may get that name."""
        number = re.search(r"-([0-9]{4,})$", path.stem)
        if self.save_every is None or self.in_place or number is None:
            return False
        steps = int(number[1])
        return steps > 0 and steps % self.save_every == 0 and target_of(self.numbered(steps)) == target_of(path)

    def numbered(self, number: int) -> Path:
        """Return where the picture after so many steps goes."""
        return self.picture.with_stem(f"{self.picture.stem}-{number:04}")

    @property
    def unfinished(self) -> Path:
        """Where the picture goes instead, if it is free, so as not to be taken for a finished one."""
        return self.picture.with_stem(f"{self.picture.stem}-unfinished")

    def for_checkpoint(self) -> dict[str, Any]:
        """Return the fields as JSON knows them, valid in any folder."""
        return {
            **vars(self),
            **{name: str(path.absolute()) for name, path in self._paths().items()},
            "replaceable": sorted(map(str, self.replaceable)),
        }

    @classmethod
    def from_checkpoint(cls, saved: Mapping[str, Any]) -> Outputs:
        """Undo `for_checkpoint`."""
        names = ("picture", "checkpoint", "report", "movie", "log_file")
        paths = {name: Path(saved[name]) for name in names if saved[name] is not None}
        return cls(**{**saved, **paths, "replaceable": frozenset(map(Path, saved.get("replaceable", ())))})


@dataclass(frozen=True)
class Outcome:
    """What a run left behind.

    Attributes
    ----------
    outputs : Outputs
        What was written.
    result : Result
        What is in it.
    interrupted_by : int or None
        The signal that ended the run early.
    seconds : float
        Time it took, from the first step to the last.
    """

    outputs: Outputs
    result: Result
    interrupted_by: int | None
    seconds: float

    def __str__(self) -> str:
        """Return what goes to standard output."""
        return self.as_json() if self.outputs.json else str(self.outputs.picture)

    def as_json(self) -> str:
        """Everything but the pixels, for scripts."""
        height, width = self.result.image.shape[:2]
        return json.dumps(
            {
                "output": str(self.outputs.picture),
                "width": width,
                "height": height,
                "seconds": round(self.seconds, 3),
                "interrupted": self.interrupted_by is not None,
                "settings": self.result.settings,
                "losses": [record._asdict() for record in self.result.losses],
            }
        )


def run(
    content: PictureLike,
    styles: Sequence[PictureLike],
    outputs: Outputs,
    *,
    log: Log | None = None,
    progress: TextIO | None = None,
    **arguments: Any,
) -> Outcome:
    """Run a transfer and save its picture, also when SIGINT or SIGTERM ends it early.

    Parameters
    ----------
    content, styles : pictures
        As for `fastconv.style.stylize`.
    outputs : Outputs
        What is written, and where; probed before anything else is done.
    log : callable, optional
        Called with each message.
    progress : text file, optional
        Where the steps are reported.
    **arguments
        Everything else that `fastconv.style.stylize` takes.

    Returns
    -------
    Outcome

    Raises
    ------
    OutputError
        If something can't be written; and what `fastconv.style.stylize` raises.
    """
    outputs.check()
    transfer = Transfer(content, styles, log=log, **arguments)
    outputs.check_for(transfer)
    return carry_out(transfer, content, styles, outputs, log=log, progress=progress)


def resume(
    path: Path,
    *,
    picture: Path | None = None,
    steps: int | None = None,
    save_every: int | None = None,
    log: Log | None = None,
    progress: TextIO | None = None,
) -> Outcome:
    """Go on with a run from a checkpoint, and keep writing to it.

    With the same number of threads, vector lanes and versions, the picture is, bit for bit, that of a run that
    never stopped. What differs is told.

    Parameters
    ----------
    path : Path
        The checkpoint.
    picture : Path, optional
        Where the picture goes; by default where it was to go. The files of the interrupted run are replaced
        without asking, and no others.
    steps : int, optional
        Another number of steps a scale.
    save_every : int, optional
        Another number of steps after which the picture is saved on the way.
    log, progress
        As for `run`.

    Raises
    ------
    fastconv.style.checkpoint.CheckpointError
        If the checkpoint can't be read or its pictures have changed; and what `run` raises.
    """
    say = log or _ignore
    saved = checkpoint.read(path, say)
    own = replace(Outputs.from_checkpoint(saved.outputs), checkpoint=path)
    outputs = replace(
        own,
        picture=picture or own.picture,
        overwrite=False,
        save_every=save_every or own.save_every,
        replaceable=own.replaceable.union(map(target_of, own.all_but_numbered())),
    )
    outputs.check()
    with suppress(ValueError):  # fewer are there than were, which is told with the other differences
        fastconv.set_num_threads(saved.threads)
    for difference in saved.differences():
        say(f"the result may differ from that of an undisturbed run in its last digits: {difference}")
    transfer = saved.transfer(steps=steps, log=log)
    outputs.check_for(transfer)
    frames = saved.frames()
    return carry_out(transfer, saved.content, saved.styles, outputs, frames=frames, log=log, progress=progress)


def carry_out(
    transfer: Transfer,
    content: PictureLike,
    styles: Sequence[PictureLike],
    outputs: Outputs,
    *,
    frames: Sequence[Frame] = (),
    log: Log | None = None,
    progress: TextIO | None = None,
    set_aside: bool = False,
) -> Outcome:
    """Run a transfer that was made from `content` and `styles`, from where it stands, and write its `outputs`.

    With `set_aside`, an interrupted run's picture gets the name of an unfinished one.
    """
    say = log or _ignore
    say(_announcement(transfer))
    say(_estimate(transfer))
    if jit.cache_is_cold():
        say("compiling kernels, first run only: the first step takes longer")
    keeper = _Keeper(transfer, content, styles, outputs, frames, say)
    reporter = (
        None if progress is None else Progress(transfer.plan, progress, _scales_left(transfer), work=transfer.flop)
    )

    def stopping() -> None:
        if reporter is not None:
            reporter.end_line()
        say("stopping after this step; once more quits at once, without saving")

    started = time.perf_counter()
    with signals_between_steps(stopping) as interruption:
        try:
            for step in transfer:
                if reporter is not None:
                    reporter.update(step)
                keeper.after(step)
                if interruption.signal is not None:
                    break
        except Exception:  # even one of the stream that progress goes to: steps may have taken hours
            keeper.rescue()
            raise
        if reporter is not None:
            reporter.end_line()
        seconds = time.perf_counter() - started
        if set_aside and interruption.signal is not None:
            outputs = replace(outputs, picture=free_name(outputs.unfinished))
        outcome = Outcome(outputs, transfer.result(), interruption.signal, seconds)
        keeper.at_the_end(outcome)
    say(_summary(outcome))
    return outcome


class _Keeper:
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
        if transfer.content.alpha is not None and not has_transparency(outputs.picture):
            say(f"{outputs.picture}: JPEG has no transparency; it is dropped")
        self._film = Film(steps_in_all(transfer), frames) if outputs.movie or outputs.report else None
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
        if self._transfer.state is None:
            return
        try:
            if self._checkpoint is not None:
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
            alpha=result.alpha if has_transparency(path) else None,
            metadata=_metadata(result) if self._outputs.metadata else None,
            bits=bits,
        )

    def _write_movie(self, outcome: Outcome) -> None:
        if self._outputs.movie is not None:
            write_movie(self._outputs.movie, self._frames)

    def _write_report(self, outcome: Outcome) -> None:
        if self._outputs.report is not None:
            photograph = self._transfer.content.resized(self._transfer.output_size)
            write_report(self._outputs.report, photograph.rgb, outcome.result, self._frames)

    def _write_log(self, outcome: Outcome) -> None:
        if self._outputs.log_file is not None:
            files.write(self._outputs.log_file, outcome.as_json().encode())


def _scales_left(transfer: Transfer) -> tuple[Scale, ...]:
    """Return the scales still to be run through, with the steps that are left at each."""
    state = transfer.state
    if state is None:
        return transfer.plan
    left = max(0, state.scale.steps - state.step)
    later = transfer.plan[transfer.plan.index(state.scale) + 1 :]
    return replace(state.scale, steps=left), *later


def steps_in_all(transfer: Transfer) -> int:
    """Return the number of steps from the beginning to the end of a run, wherever it stands."""
    return len(transfer.losses) + sum(scale.steps for scale in _scales_left(transfer))


def demo_pictures() -> tuple[Path, Picture]:
    """Return a photograph, which comes with scikit-image, and a painting made on the spot."""
    painting = load(paint(DEMO_SIZE * 3 // 4, DEMO_SIZE))
    return demo_photograph(), replace(painting, name="the demo's painting")


def demo_output() -> Path:
    """Return the first free name of demo.png, demo-2.png, and so on, in the current folder."""
    return free_name(Path("demo.png"))


def _ignore(message: str) -> None:
    pass


def _announcement(transfer: Transfer) -> str:
    weights = transfer.settings["weights"]
    scales = ", ".join(f"{scale.width}x{scale.height}" for scale in transfer.plan)
    number = steps_in_all(transfer)
    steps = f"{number} {'step' if number == 1 else 'steps'}"
    if transfer.losses:
        steps += f", {len(transfer.losses)} of them done,"
    kind = "" if weights["exact"] else ", kernels rounded to 8 bits"
    return (
        f"weights {weights['source']} (sha256 {weights['sha256'][:16]}{kind}); "
        f"{steps} over {scales} px; {transfer.settings['threads']} threads"
    )


def _estimate(transfer: Transfer) -> str:
    last = transfer.plan[-1]
    layout = transfer.layout(last)
    tiles = "" if layout.tiles == 1 else f", in {layout.tiles} tiles of {layout.width}x{layout.height} px"
    return (
        f"at {last.width}x{last.height} px a step takes about {_in_digits(transfer.flop(last) / 1e9)} GFLOP{tiles}; "
        f"the run needs about {_in_digits(transfer.memory_needed / 1e9)} GB of memory"
    )


def _in_digits(number: float) -> str:
    """Write an estimate: no more than two digits are worth anything."""
    if number < 10:
        return f"{number:.2f}" if number < 1 else f"{number:.1f}"
    return f"{float(f'{number:.2g}'):.0f}"


def _summary(outcome: Outcome) -> str:
    height, width = outcome.result.image.shape[:2]
    state = "saved" if outcome.interrupted_by is None else "interrupted; what there was is saved"
    return f"{state}: {outcome.outputs.picture} ({width}x{height}), {format_seconds(outcome.seconds)}"


def _metadata(result: Result) -> dict[str, str]:
    return {
        "Software": f"fastconv {fastconv.__version__}",
        "fastconv": json.dumps(result.settings),
    }


# --- interruption -------------------------------------------------------------------------------------------


@dataclass
class Interruption:
    """Which signal has asked for an end, if any."""

    signal: int | None = None


@contextmanager
def signals_between_steps(notice: Callable[[], None]) -> Iterator[Interruption]:
    """Let the first SIGINT or SIGTERM be noted instead of raised; a second one ends the process at once.

    `notice` is called for the first one. So no step is broken off half-way, and the picture is whole when it is
    saved. Outside the main thread, where Python allows no handlers, signals keep their usual effect.
    """
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return

    def handle(number: int, frame: FrameType | None) -> None:
        if interruption.signal is not None:
            os._exit(128 + number)
        interruption.signal = number
        with suppress(RuntimeError):  # the signal may have come in the middle of a write to the stream
            notice()

    previous = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interruption
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
