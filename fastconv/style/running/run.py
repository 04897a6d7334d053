"""A transfer as a command runs it, from its beginning or from a checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

import fastconv
from fastconv.log import Log, unheard
from fastconv.style.files import target_of
from fastconv.style.images import PictureLike
from fastconv.style.running import saved as checkpoints
from fastconv.style.running.execution import carry_out
from fastconv.style.running.outcome import Outcome
from fastconv.style.running.outputs import Outputs
from fastconv.style.running.saved import Saved
from fastconv.style.transfer import Step, Transfer


def run(
    content: PictureLike,
    styles: Sequence[PictureLike],
    outputs: Outputs,
    *,
    log: Log | None = None,
    progress: TextIO | None = None,
    callback: Callable[[Step], None] | None = None,
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
    callback : callable, optional
        Called with the `Step` after each one, before it is reported or anything is saved. What it raises ends the run
        as an error in a step does: what there is is saved first.
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
    return carry_out(transfer, content, styles, outputs, log=log, progress=progress, callback=callback)


def resume(
    path: Path,
    *,
    picture: Path | None = None,
    steps: int | None = None,
    save_every: int | None = None,
    log: Log | None = None,
    progress: TextIO | None = None,
    callback: Callable[[Step], None] | None = None,
) -> Outcome:
    """Go on with a run from a checkpoint, and keep writing to it.

    With the same number of threads, vector lanes and versions, the picture is, bit for bit, that of a run that
    never stopped. Differences are told.

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
    log, progress, callback
        As for `run`.

    Raises
    ------
    fastconv.style.running.saved.CheckpointError
        If the checkpoint can't be read or its pictures have changed; and what `run` raises.
    """
    say = log or unheard
    saved = checkpoints.read(path, say)
    outputs = _outputs_again(saved, path, picture, save_every)
    outputs.check()
    with suppress(ValueError):  # fewer are there than were, which is told with the other differences
        fastconv.set_num_threads(saved.threads)
    for difference in saved.differences():
        say(f"the result may differ from that of an undisturbed run in its last digits: {difference}")
    transfer = saved.transfer(steps=steps, log=log)
    outputs.check_for(transfer)
    frames = saved.frames()
    return carry_out(
        transfer, saved.content, saved.styles, outputs, frames=frames, log=log, progress=progress, callback=callback
    )


def _outputs_again(saved: Saved, checkpoint: Path, picture: Path | None, save_every: int | None) -> Outputs:
    """Return what the run wrote and may write again, changed as asked."""
    own = replace(Outputs.from_checkpoint(saved.outputs), checkpoint=checkpoint)
    return replace(
        own,
        picture=picture or own.picture,
        overwrite=False,
        save_every=save_every or own.save_every,
        replaceable=own.replaceable.union(map(target_of, own.all_but_numbered())),
    )
