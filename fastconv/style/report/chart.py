"""The losses of a run as a chart, in SVG."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from fastconv.style.transfer import LossRecord

CHART_WIDTH, CHART_HEIGHT = 960, 400
MARGIN_LEFT, MARGIN_RIGHT, MARGIN_TOP, MARGIN_BOTTOM = 70, 20, 50, 45
INNER_WIDTH, INNER_HEIGHT = CHART_WIDTH - MARGIN_LEFT - MARGIN_RIGHT, CHART_HEIGHT - MARGIN_TOP - MARGIN_BOTTOM
CURVES = {"total": "loss", "content": "content", "style": "style"}  # name in the legend -> field of a LossRecord


def loss_chart(losses: Sequence[LossRecord]) -> str:
    """Draw the losses over the steps as an SVG image, the axis of the losses logarithmic.

    What is zero, such as the style loss where beta is, has no place on it and is left out.
    """
    curves = {name: [getattr(record, field) for record in losses] for name, field in CURVES.items()}
    curves = {name: values for name, values in curves.items() if max(values) > 0}
    positive = [value for values in curves.values() for value in values if value > 0]
    if not positive:
        return ""
    axes = _Axes(len(losses), log_ticks(min(positive), max(positive)))
    parts = [
        f'<svg class="chart" viewBox="0 0 {CHART_WIDTH} {CHART_HEIGHT}" role="img" aria-label="Losses by step">',
        *axes.draw(),
        *_draw_scales(losses, axes),
        *_draw_curves(curves, axes),
        *_draw_legend(curves),
        "</svg>",
    ]
    return "\n".join(parts)


@dataclass(frozen=True)
class _Axes:
    """Where steps and losses have their places in the chart."""

    steps: int
    ticks: Sequence[float]  # of the losses

    def x(self, number: float) -> float:
        return MARGIN_LEFT + INNER_WIDTH * (number - 1) / max(1, self.steps - 1)

    def y(self, value: float) -> float:
        bottom, top = math.log10(self.ticks[0]), math.log10(self.ticks[-1])
        return MARGIN_TOP + INNER_HEIGHT * (top - math.log10(value)) / (top - bottom)

    def draw(self) -> Iterator[str]:
        for tick in self.ticks:
            yield _line("grid", MARGIN_LEFT, self.y(tick), CHART_WIDTH - MARGIN_RIGHT, self.y(tick))
            yield _text(f"{tick:g}", MARGIN_LEFT - 8, self.y(tick) + 4, anchor="end")
        for tick in step_ticks(self.steps):
            yield _text(str(tick), self.x(tick), CHART_HEIGHT - MARGIN_BOTTOM + 20, anchor="middle")
        yield _text("step", MARGIN_LEFT + INNER_WIDTH / 2, CHART_HEIGHT - 6, anchor="middle")


def _draw_scales(losses: Sequence[LossRecord], axes: _Axes) -> Iterator[str]:
    for first, scale in _starts(losses):
        if first > 1:
            yield _line("scale", axes.x(first), MARGIN_TOP, axes.x(first), CHART_HEIGHT - MARGIN_BOTTOM)
        yield _text(f"{scale} px", axes.x(first) + 4, MARGIN_TOP - 6)


def _draw_curves(curves: Mapping[str, Sequence[float]], axes: _Axes) -> Iterator[str]:
    for name, values in curves.items():
        places = [(axes.x(number), axes.y(value)) for number, value in enumerate(values, start=1) if value > 0]
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        yield f'<polyline class="{name}" points="{points}"/>'


def _draw_legend(curves: Mapping[str, Sequence[float]]) -> Iterator[str]:
    for position, (name, values) in enumerate(curves.items()):
        left = MARGIN_LEFT + 210 * position
        yield _line(name, left, 14, left + 24, 14, width=3)
        yield _text(f"{name}, {values[-1]:.3g} at the end", left + 32, 18, style="legend")


def _starts(losses: Sequence[LossRecord]) -> Iterable[tuple[int, int]]:
    """Yield the number of the first step at each scale, with the scale."""
    first = 1
    for scale, group in itertools.groupby(losses, key=lambda record: record.scale):
        yield first, scale
        first += len(list(group))


def log_ticks(low: float, high: float) -> list[float]:
    """Choose round numbers for a logarithmic axis: the first is at most `low`, the last at least `high`.

    They are powers of ten, or, where those would be few, 1, 2 and 5 times them.
    """
    mantissas = (1,) if high / low > 1e3 else (1, 2, 5)
    exponents = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 2)  # one to spare at each end
    candidates = [float(f"{mantissa}e{exponent}") for exponent in exponents for mantissa in mantissas]
    first = max(i for i, tick in enumerate(candidates) if tick <= low)
    last = min(i for i, tick in enumerate(candidates) if tick >= high)
    return candidates[first : max(last, first + 1) + 1]


def step_ticks(steps: int) -> list[int]:
    """Choose the first step, and round numbers up to the last, about ten of them, for an axis."""
    rough = max(1.0, steps / 10)
    power = 10 ** math.floor(math.log10(rough))
    distance = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    return [1, *range(max(2, distance), steps + 1, distance)]


def _line(style: str, x1: float, y1: float, x2: float, y2: float, width: int = 1) -> str:
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line class="{style}" stroke-width="{width}" {ends}/>'


def _text(text: str, x: float, y: float, *, anchor: str = "start", style: str = "") -> str:
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>'
