"""The steps of a transfer, watched and interruptible, and all that it makes kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TextIO

from fastconv import jit
from fastconv.log import Log, unheard
from fastconv.style.files import free_name
from fastconv.style.images import PictureLike
from fastconv.style.report.film import Frame
from fastconv.style.running.interruption import Interruption, signals_between_steps
from fastconv.style.running.keeping import Keeper
from fastconv.style.running.messages import announcement, estimate, summary
from fastconv.style.running.outcome import Outcome
from fastconv.style.running.outputs import Outputs
from fastconv.style.running.progress import Progress
from fastconv.style.transfer import Step, Transfer


def carry_out(
    transfer: Transfer,
    content: PictureLike,
    styles: Sequence[PictureLike],
    outputs: Outputs,
    *,
    frames: Sequence[Frame] = (),
    log: Log | None = None,
    progress: TextIO | None = None,
    callback: Callable[[Step], None] | None = None,
    set_aside: bool = False,
) -> Outcome:
    """Run a transfer that was made from `content` and `styles`, from where it stands, and write its `outputs`.

    With `set_aside`, an interrupted run's picture gets the name of an unfinished one.
    """
    say = log or unheard
    _announce(transfer, say)
    keeper = Keeper(transfer, content, styles, outputs, frames, say)
    reporter = None if progress is None else _reporter(transfer, progress)
    watchers = [callback, None if reporter is None else reporter.update, keeper.after]
    started = time.perf_counter()
    with signals_between_steps(lambda: _tell_of_stopping(reporter, say)) as interruption:
        try:
            _take_steps(transfer, [watcher for watcher in watchers if watcher is not None], interruption)
        except Exception:  # even one of the stream that progress goes to: steps may have taken hours
            keeper.rescue()
            raise
        _end_line(reporter)
        seconds = time.perf_counter() - started
        if set_aside and interruption.signal is not None:
            outputs = replace(outputs, picture=free_name(outputs.unfinished))
        outcome = Outcome(outputs, transfer.result(), interruption.signal, seconds)
        keeper.at_the_end(outcome)
    say(summary(outcome))
    return outcome


def _announce(transfer: Transfer, say: Log) -> None:
    say(announcement(transfer))
    say(estimate(transfer))
    if jit.cache_is_cold():
        say("compiling kernels, first run only: the first step takes longer")


def _reporter(transfer: Transfer, stream: TextIO) -> Progress:
    plan = transfer.plan
    return Progress(plan.scales, stream, transfer.scales_left, work=plan.flop)


def _tell_of_stopping(reporter: Progress | None, say: Log) -> None:
    _end_line(reporter)
    say("stopping after this step; once more quits at once, without saving")


def _end_line(reporter: Progress | None) -> None:
    if reporter is not None:
        reporter.end_line()


def _take_steps(transfer: Transfer, watchers: Sequence[Callable[[Step], None]], interruption: Interruption) -> None:
    """Take steps until the last one or a signal; each watcher is told of each step, in their order."""
    for step in transfer:
        for watcher in watchers:
            watcher(step)
        if interruption.signal is not None:
            break
