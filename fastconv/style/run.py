"""A transfer as a command runs it: watched, interruptible, and with its picture saved."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

import numpy as np

import fastconv
from fastconv.kernels import jit
from fastconv.style.images import PictureLike, check_output, demo_photograph, save
from fastconv.style.painting import paint
from fastconv.style.scales import Scale
from fastconv.style.transfer import Result, Step, Transfer

DEMO_SIZE = 384  # pixels
PLAIN_LINE_SECONDS = 10.0
TERMINAL_LINE_SECONDS = 0.1


@dataclass(frozen=True)
class Outcome:
    """What a run left behind.

    Attributes
    ----------
    path : Path
        The picture.
    result : Result
        What is in it.
    interrupted_by : int or None
        The signal that ended the run early.
    seconds : float
        Time it took, from the first step to the last.
    """

    path: Path
    result: Result
    interrupted_by: int | None
    seconds: float

    def as_json(self) -> str:
        """Everything but the pixels, for scripts."""
        height, width = self.result.image.shape[:2]
        return json.dumps(
            {
                "output": str(self.path),
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
    output: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    log: Callable[[str], None] | None = None,
    progress: TextIO | None = None,
    **arguments: Any,
) -> Outcome:
    """Run a transfer and save its picture, also when SIGINT or SIGTERM ends it early.

    Parameters
    ----------
    content, styles : pictures
        As for `fastconv.style.stylize`.
    output : path
        Where the picture goes; probed before anything else is done.
    overwrite : bool
        Whether a file that is there may be replaced.
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
        If the picture can't be written to `output`; and what `fastconv.style.stylize` raises.
    """
    path = check_output(output, overwrite=overwrite)
    transfer = Transfer(content, styles, log=log, **arguments)
    check_output(path, overwrite=overwrite, shape=transfer.output_size)
    log = log or _ignore
    log(_announcement(transfer))
    if jit.cache_is_cold():
        log("compiling kernels, first run only: the first step takes longer")
    reporter = None if progress is None else Progress(transfer.plan, progress)

    def stopping() -> None:
        if reporter is not None:
            reporter.end_line()
        log("stopping after this step; once more quits at once, without saving")

    started = time.perf_counter()
    with signals_between_steps(stopping) as interruption:
        for step in transfer:
            if reporter is not None:
                reporter.update(step)
            if interruption.signal is not None:
                break
        if reporter is not None:
            reporter.end_line()
        result = transfer.result()
        save(path, result.image, metadata=_metadata(result))
    outcome = Outcome(path, result, interruption.signal, time.perf_counter() - started)
    log(_summary(outcome))
    return outcome


def demo_pictures() -> tuple[Path, np.ndarray]:
    """Return a photograph, which comes with scikit-image, and a painting made on the spot."""
    return demo_photograph(), paint(DEMO_SIZE * 3 // 4, DEMO_SIZE)


def demo_output() -> Path:
    """Return the first free name of demo.png, demo-2.png, and so on, in the current folder."""
    names = itertools.chain(["demo.png"], (f"demo-{number}.png" for number in itertools.count(2)))
    return next(path for path in map(Path, names) if not path.exists())


def _ignore(message: str) -> None:
    pass


def _announcement(transfer: Transfer) -> str:
    weights = transfer.settings["weights"]
    scales = ", ".join(f"{scale.width}x{scale.height}" for scale in transfer.plan)
    steps = sum(scale.steps for scale in transfer.plan)
    kind = "" if weights["exact"] else ", kernels rounded to 8 bits"
    return (
        f"weights {weights['source']} (sha256 {weights['sha256'][:16]}{kind}); "
        f"{steps} steps over {scales} px; {transfer.settings['threads']} threads"
    )


def _summary(outcome: Outcome) -> str:
    height, width = outcome.result.image.shape[:2]
    state = "saved" if outcome.interrupted_by is None else "interrupted; what there was is saved"
    return f"{state}: {outcome.path} ({width}x{height}), {format_seconds(outcome.seconds)}"


def _metadata(result: Result) -> dict[str, str]:
    return {
        "Software": f"fastconv {fastconv.__version__}",
        "fastconv": json.dumps(result.settings),
    }


# --- progress -----------------------------------------------------------------------------------------------


class Progress:
    """Tells how far a run is: one line that renews itself on a terminal, else a plain line now and then.

    Parameters
    ----------
    plan : sequence of Scale
        What the run goes through.
    stream : text file
        Where to write.
    """

    def __init__(self, plan: Sequence[Scale], stream: TextIO) -> None:
        self._plan = plan
        self._stream = stream
        self._terminal = stream.isatty()
        self._interval = TERMINAL_LINE_SECONDS if self._terminal else PLAIN_LINE_SECONDS
        self._written = time.monotonic() if not self._terminal else -float("inf")
        self._clock = Clock(plan)
        self._pending: str | None = None

    def update(self, step: Step) -> None:
        """Take note of a step, and write a line if the last one is old enough."""
        self._clock.update(step)
        self._pending = self._line(step)
        if time.monotonic() - self._written >= self._interval:
            self._write()

    def end_line(self) -> None:
        """Go to a new line on a terminal, so that something else can be written."""
        if self._terminal:
            self._write()
            self._stream.write("\n")
            self._stream.flush()

    def _write(self) -> None:
        if self._pending is None:
            return
        if self._terminal:
            # A line that wraps could not be renewed. "\x1b[K" clears what a longer one left behind.
            width = shutil.get_terminal_size().columns - 1
            self._stream.write(f"\r{self._pending[:width]}\x1b[K")
        else:
            self._stream.write(f"{self._pending}\n")
        self._stream.flush()
        self._written = time.monotonic()
        self._pending = None

    def _line(self, step: Step) -> str:
        position = [scale.long_side for scale in self._plan].index(step.scale) + 1
        left = self._clock.seconds_left
        remaining = "" if left is None else f"{format_seconds(left)} left, "
        return (
            f"{step.scale} px ({position}/{len(self._plan)}), step {step.step}/{step.steps}: {remaining}"
            f"{step.seconds:.2f} s/step, loss {step.loss:.4g} (content {step.content:.3g}, style {step.style:.3g})"
        )


class Clock:
    """Estimates the time left: the work of a step is proportional to its pixels.

    The first step at each scale does not count, since kernels are compiled and buffers are grown in it.
    """

    def __init__(self, plan: Sequence[Scale]) -> None:
        self._pixels = {scale.long_side: scale.pixels for scale in plan}
        self._left = sum(scale.pixels * scale.steps for scale in plan)
        self._seconds = 0.0
        self._done = 0

    def update(self, step: Step) -> None:
        """Take note of a step."""
        pixels = self._pixels[step.scale]
        self._left -= pixels
        if step.step > 1:
            self._seconds += step.seconds
            self._done += pixels

    @property
    def seconds_left(self) -> float | None:
        """Estimate for the rest of the run, None as long as there is nothing to go by."""
        return self._seconds / self._done * self._left if self._done else None


def format_seconds(seconds: float) -> str:
    """Write a duration as 7.3 s, 1:05 or 2:00:05."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


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
