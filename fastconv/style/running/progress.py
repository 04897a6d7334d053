"""How far a run is, for people: the time left, and the line that tells it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import TextIO, TypeAlias

from fastconv.style.algorithm.scales import Scale
from fastconv.style.transfer import Step
from fastconv.style.wording import format_seconds

Work: TypeAlias = Callable[[Scale], float]

PLAIN_LINE_SECONDS = 10.0
TERMINAL_LINE_SECONDS = 0.1


class Progress:
    """Tells how far a run is: one line that renews itself on a terminal, else a plain line now and then.

    Parameters
    ----------
    plan : sequence of Scale
        What the run goes through.
    stream : text file
        Where to write.
    left : sequence of Scale, optional
        What of the plan is left, with the steps that are left, if the run goes on.
    work : callable, optional
        As for `Clock`.
    """

    def __init__(
        self,
        plan: Sequence[Scale],
        stream: TextIO,
        left: Sequence[Scale] | None = None,
        work: Work = attrgetter("pixels"),
    ) -> None:
        self._plan = plan
        self._stream = stream
        self._terminal = stream.isatty()
        self._interval = TERMINAL_LINE_SECONDS if self._terminal else PLAIN_LINE_SECONDS
        self._written = time.monotonic() if not self._terminal else -float("inf")
        self._clock = Clock(plan if left is None else left, work)
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
    """Estimates the time left from the work that is left.

    The first step that it is told of at each scale does not count, since kernels are compiled and buffers grow in it.
    When a run goes on from a checkpoint, that need not be the scale's own first step.

    Parameters
    ----------
    plan : sequence of Scale
        What is left to do.
    work : callable, optional
        Work of a step at a scale, in any unit: by default its pixels. Tiles take more for each.
    """

    def __init__(self, plan: Sequence[Scale], work: Work = attrgetter("pixels")) -> None:
        self._work = {scale.long_side: work(scale) for scale in plan}
        self._left = sum(work(scale) * scale.steps for scale in plan)
        self._seconds = 0.0
        self._done = 0.0
        self._begun: set[int] = set()

    def update(self, step: Step) -> None:
        """Take note of a step."""
        work = self._work[step.scale]
        self._left -= work
        if step.scale in self._begun:
            self._seconds += step.seconds
            self._done += work
        self._begun.add(step.scale)

    @property
    def seconds_left(self) -> float | None:
        """Estimate for the rest of the run, None as long as there is nothing to go by."""
        return self._seconds / self._done * self._left if self._done else None
