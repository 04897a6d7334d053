"""The runs of the study; on the way, each loss and its gradient is measured by itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TextIO

import numpy as np
from numpy.typing import NDArray

from fastconv.geometry import Array
from fastconv.log import Log
from fastconv.nn.vgg import VGG19
from fastconv.style.algorithm.canvas import to_canvas, to_planes
from fastconv.style.algorithm.objective import Objective
from fastconv.style.algorithm.options import OptionError, Options, parse_size
from fastconv.style.algorithm.presets import options_of
from fastconv.style.images import Picture, PictureLike, load
from fastconv.style.running.progress import Progress
from fastconv.style.study.settings import Setting
from fastconv.style.transfer import Transfer
from fastconv.weights import VGGWeights

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
            root_mean_square(content_gradient),
            root_mean_square(style_gradient),
            root_mean_square(canvas - self._content),
        )


def root_mean_square(x: Array) -> float:
    """Return the root of the mean of squares, in float64."""
    return float(np.sqrt(np.mean(np.square(x, dtype=np.float64))))


def carry_out(
    content: PictureLike,
    style: PictureLike,
    weights: VGGWeights,
    settings: Sequence[Setting],
    *,
    log: Log | None = None,
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
    reporter = None if progress is None else Progress(transfer.plan.scales, progress)
    due = {setting.steps: setting for setting in wanted}
    trace: list[Measurement] = []
    for step in transfer:
        if reporter is not None:
            reporter.update(step)
        if step.step in due or step.step in MEASURED:
            trace.append(gauge.measure(step.step, transfer.canvas()))
        if step.step in due:
            if reporter is not None:
                reporter.end_line()
            yield Run(due[step.step], step.image(), list(trace))


def ratio_of_gradients(measurement: Measurement) -> float:
    """Return how many times the content's gradient the style's is; infinite where the content has none."""
    content = measurement.content_gradient
    return measurement.style_gradient / content if content else float("inf")
