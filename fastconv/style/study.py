"""The study: the experiment that this package grew out of, again, and the numbers that explain it.

The experiment stretched a photograph and a painting to 320x192, and let Adam move the photograph by a grey level
a step. Whatever weight the style was given, the picture came out the same. Here it is run over a range of steps,
weights and learning rates, and at each of a few steps the two losses and their gradients are measured apart.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import numpy as np
from numpy.typing import NDArray

from fastconv.nn.vgg import VGG19
from fastconv.style import files
from fastconv.style.files import OutputError, check_writable
from fastconv.style.images import Picture, PictureLike, load
from fastconv.style.objective import Objective
from fastconv.style.options import OptionError, Options, parse_size
from fastconv.style.presets import PRESETS, options_of
from fastconv.style.progress import Progress
from fastconv.style.scales import to_canvas, to_planes
from fastconv.style.transfer import Transfer
from fastconv.weights import VGGWeights
from fastconv.weights import load as load_weights

Array = NDArray[Any]

EXPERIMENT = PRESETS["gatys"]


class Setting(NamedTuple):
    """What varies from run to run; by default as in the experiment."""

    loss: str = EXPERIMENT["loss"]
    beta: float = EXPERIMENT["beta"]
    learning_rate: float = EXPERIMENT["learning_rate"]
    steps: int = EXPERIMENT["steps"]

    def __str__(self) -> str:
        """Return a caption."""
        loss = "" if self.loss == EXPERIMENT["loss"] else f"{self.loss}, "
        return f"{loss}beta {self.beta:g}, rate {self.learning_rate:g}, {self.steps} steps"


ROWS: Mapping[str, Sequence[Setting]] = {
    "steps": [Setting(steps=steps) for steps in (20, 99, 1000)],
    "large beta": [Setting(beta=beta) for beta in (500, 50_000, 5_000_000)],
    "small beta": [Setting(beta=beta) for beta in (1e-2, 1e-3, 1e-4, 3e-5)],
    "learning rate": [Setting(learning_rate=rate) for rate in (1, 5, 10, 100)],
    "relative loss": [Setting("relative", beta, learning_rate=5) for beta in (0.1, 1, 10, 100)],
}
"""The contact sheet. A setting that stands in several rows is run once."""

MEASURED = (1, 2, 5, 10, 20, 50, 99, 200, 500, 1000)  # steps after which the gradients are measured


class Measurement(NamedTuple):
    """A picture after so many steps in numbers.

    Attributes
    ----------
    step : int
        Number of steps taken.
    content, style : float
        Both losses, alpha and beta included.
    content_gradient, style_gradient : float
        Root mean square, over all numbers of the picture, of their gradients, alpha and beta included.
    moved : float
        Root mean square of the difference from the photograph, in grey levels.
    """

    step: int
    content: float
    style: float
    content_gradient: float
    style_gradient: float
    moved: float


@dataclass(frozen=True)
class Run:
    """A run of the study.

    Attributes
    ----------
    setting : Setting
        What it was made with.
    image : ndarray, shape (H, W, 3), uint8
        The picture it came to.
    trace : list of Measurement
        On the way and, at last, of that picture.
    """

    setting: Setting
    image: NDArray[np.uint8]
    trace: list[Measurement]


# --- running and measuring ----------------------------------------------------------------------------------


class Gauge:
    """Measures a picture: both losses and their gradients, apart from each other.

    Parameters
    ----------
    network : VGG19
        Whose features are compared.
    content, style : Picture
        The photograph, and the painting, at the size of the study.
    options : Options
        Those of the run that is measured.
    """

    def __init__(self, network: VGG19, content: Picture, style: Picture, options: Options) -> None:
        self._content = to_canvas(content.rgb, options.dtype)
        styles = [to_planes(style.rgb, options.dtype)]
        alone = (replace(options, beta=0.0), replace(options, alpha=0.0))
        self._objectives = [Objective(network, self._content, styles, one) for one in alone]

    def measure(self, step: int, canvas: Array) -> Measurement:
        """Return the numbers of a picture, shape (1, 3, H, W), after so many steps."""
        (content, content_gradient), (style, style_gradient) = (objective(canvas) for objective in self._objectives)
        return Measurement(
            step,
            content.total,
            style.total,
            _rms(content_gradient),
            _rms(style_gradient),
            _rms(canvas - self._content),
        )


def _rms(x: Array) -> float:
    return float(np.sqrt(np.mean(np.square(x, dtype=np.float64))))


def carry_out(
    content: PictureLike,
    style: PictureLike,
    weights: VGGWeights,
    settings: Sequence[Setting],
    *,
    log: Callable[[str], None] | None = None,
    progress: TextIO | None = None,
    **options: Any,
) -> Iterator[Run]:
    """Run the experiment with each of some settings.

    Parameters
    ----------
    content, style : pictures
        Stretched to the size of the study.
    weights : VGGWeights
        The network.
    settings : sequence of Setting
        Those that differ in nothing but their number of steps are one run, which is looked at on its way.
    log : callable, optional
        Called with messages.
    progress : text file, optional
        Where the steps are reported.
    **options
        What else differs from the preset "gatys".

    Yields
    ------
    Run
        As soon as it is done.

    Raises
    ------
    OptionError
        If the size says nothing about one of the sides; and what `Transfer` raises.
    """
    common = options_of("gatys", options)
    size = parse_size(common.size)
    if size is None:
        raise OptionError(f"size must be WIDTHxHEIGHT, to which both pictures are stretched, got {common.size}")
    photograph = load(content, name="content").resized(size)
    painting = load(style, name="style").resized(size)
    network = VGG19(weights.layers, dtype=common.dtype, pooling=common.pooling, padding=common.padding)
    for longest, wanted in _gather(settings).items():
        own = {**options, **longest._asdict()}
        transfer = Transfer(photograph, painting, weights=weights, log=log, preset="gatys", **own)
        gauge = Gauge(network, photograph, painting, transfer.options)
        yield from _watch(transfer, gauge, wanted, progress)


def _gather(settings: Sequence[Setting]) -> dict[Setting, list[Setting]]:
    """Return, for each setting that has to be run, those it passes through; a longer run begins as a shorter one."""
    courses: dict[Setting, set[Setting]] = {}
    for setting in settings:
        courses.setdefault(setting._replace(steps=0), set()).add(setting)
    in_order = (sorted(course) for course in courses.values())
    return {course[-1]: course for course in in_order}


def _watch(transfer: Transfer, gauge: Gauge, wanted: Sequence[Setting], progress: TextIO | None) -> Iterator[Run]:
    """Run a transfer, and yield the runs that it passes through."""
    reporter = None if progress is None else Progress(transfer.plan, progress)
    due = {setting.steps: setting for setting in wanted}
    trace: list[Measurement] = []
    for step in transfer:
        if reporter is not None:
            reporter.update(step)
        if step.step in due or step.step in MEASURED:
            assert transfer.state is not None  # there has been a step
            trace.append(gauge.measure(step.step, transfer.state.optimizer.parameter))
        if step.step in due:
            if reporter is not None:
                reporter.end_line()
            yield Run(due[step.step], step.image(), list(trace))


# --- the table and the files ----------------------------------------------------------------------------------

COLUMNS = (
    f"{'loss':8} {'beta':>8} {'rate':>5} {'steps':>5}  {'alpha*content':>13} {'beta*style':>10}"
    f"  {'rms of gradients: content':>25} {'style':>8} {'style/content':>13}  {'moved':>6} {'apart':>6}"
)
"""Heads of the columns that `as_line` fills."""


def as_line(run: Run, experiment: Run | None) -> str:
    """Return a run as a line of a table; its last number is how far the picture is from the experiment's own."""
    loss, beta, rate, steps = run.setting
    end = run.trace[-1]
    apart = "-" if experiment is None else f"{_rms(run.image - experiment.image.astype(float)):.1f}"
    return (
        f"{loss:8} {beta:8g} {rate:5g} {steps:5}  {end.content:13.4g} {end.style:10.4g}"
        f"  {end.content_gradient:25.3g} {end.style_gradient:8.3g} {ratio_of_gradients(end):13.3g}"
        f"  {end.moved:6.1f} {apart:>6}"
    )


def ratio_of_gradients(measurement: Measurement) -> float:
    """Return how many times the content's gradient the style's is; infinite where the content has none."""
    content = measurement.content_gradient
    return measurement.style_gradient / content if content else float("inf")


@dataclass(frozen=True)
class StudyFiles:
    """The files of a study, in a folder of their own."""

    folder: Path

    @property
    def sheet(self) -> Path:
        """The contact sheet."""
        return self.folder / "sheet.png"

    @property
    def curves(self) -> Path:
        """Losses and gradients, step by step."""
        return self.folder / "curves.png"

    @property
    def numbers(self) -> Path:
        """All that was measured, as JSON."""
        return self.folder / "study.json"

    def prepare(self, *, overwrite: bool) -> None:
        """Make the folder and see that the files can be written.

        Raises
        ------
        OutputError
            If that can't be done.
        """
        try:
            self.folder.mkdir(exist_ok=True)
        except OSError as error:
            raise OutputError(f"the folder {self.folder} cannot be made: {error.strerror}") from error
        for path in (self.sheet, self.curves, self.numbers):
            check_writable(path, overwrite=overwrite)

    def write(self, rows: Mapping[str, Sequence[Run]], weights: VGGWeights) -> None:
        """Write them all.

        Raises
        ------
        OutputError
            If one of them can't be written.
        """
        from fastconv.style import charts

        files.write(self.sheet, charts.contact_sheet(rows))
        files.write(self.curves, charts.curves(rows))
        numbers = {
            "weights": {"source": weights.source, "sha256": weights.sha256},
            "rows": {title: list(map(_as_dict, runs)) for title, runs in rows.items()},
        }
        files.write(self.numbers, json.dumps(numbers, indent=1).encode())


def _as_dict(run: Run) -> dict[str, Any]:
    """Return what JSON can hold of a run."""
    return {**run.setting._asdict(), "trace": [measurement._asdict() for measurement in run.trace]}


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
    log: Callable[[str], None] | None = None,
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
