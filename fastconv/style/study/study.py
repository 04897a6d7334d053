"""The study: the experiment that this package grew out of, again, and the numbers that explain it.

The experiment stretched a photograph and a painting to 320x192, and let Adam move the photograph by a grey level
a step. Whatever weight the style was given, the picture came out the same. Here it is run over a range of steps,
weights and learning rates, and at each of a few steps the two losses and their gradients are measured apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from fastconv.log import Log
from fastconv.style.images import PictureLike, load
from fastconv.style.study.files import StudyFiles
from fastconv.style.study.runs import Run, carry_out
from fastconv.style.study.settings import ROWS, Setting
from fastconv.style.study.table import COLUMNS, as_line
from fastconv.weights import VGGWeights
from fastconv.weights import load as load_weights


def study(
    content: PictureLike,
    style: PictureLike,
    folder: Path,
    *,
    overwrite: bool = False,
    weights: str | VGGWeights | None = None,
    offline: bool = False,
    rows: Mapping[str, Sequence[Setting]] = ROWS,
    show: Callable[[str], None] = print,
    log: Log | None = None,
    progress: TextIO | None = None,
    **options: Any,
) -> StudyFiles:
    """Run the whole study, and draw what came out.

    Parameters
    ----------
    content, style : pictures
        The photograph and the painting, as for `fastconv.style.stylize`. Both are stretched to 320x192.
    folder : Path
        Where the files go; it is made if need be.
    overwrite : bool
        Whether files that are there may be replaced.
    weights, offline
        As for `Transfer`.
    rows : mapping of str to sequence of Setting
        What is run, as it will be arranged.
    show : callable
        Called with each line of the table, as soon as it is known.
    log : callable, optional
        Called with messages. Without it, a download has no progress bar.
    progress : text file, optional
        Where the steps are reported.
    **options
        What else differs from the preset "gatys".

    Returns
    -------
    StudyFiles
        What was written, when all runs are done.

    Raises
    ------
    ModuleNotFoundError
        If Matplotlib is missing, before anything else is done.
    ImageError
        If a picture can't be read, before anything is written.
    OutputError
        If something can't be written; and what `Transfer` raises.

    Notes
    -----
    When an exception ends the study early, such as a KeyboardInterrupt, the files are written of the runs that are
    done, if there is one, before it is raised again.
    """
    import matplotlib.figure  # noqa: F401  a study that can't be drawn at its end had better not begin

    content, style = load(content, name="content"), load(style, name="style")
    outputs = StudyFiles(folder)
    outputs.prepare(overwrite=overwrite)
    if not isinstance(weights, VGGWeights):
        weights = load_weights(weights, offline=offline, progress=log is not None, log=log)
    settings = [setting for row in rows.values() for setting in row]
    done: dict[Setting, Run] = {}
    show(COLUMNS)
    try:
        for run in carry_out(content, style, weights, settings, log=log, progress=progress, **options):
            done[run.setting] = run
            show(as_line(run, done.get(Setting())))
    finally:
        if done:
            outputs.write(_arrange(done, rows), weights)
    return outputs


def _arrange(done: Mapping[Setting, Run], rows: Mapping[str, Sequence[Setting]]) -> dict[str, list[Run]]:
    """Put what is done into rows, and leave those out in which there is nothing."""
    arranged = {title: [done[setting] for setting in row if setting in done] for title, row in rows.items()}
    return {title: runs for title, runs in arranged.items() if runs}
