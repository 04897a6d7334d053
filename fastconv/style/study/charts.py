"""The study's pictures: a contact sheet, and curves of its losses and gradients.

Matplotlib draws them, without a screen, and is imported when something is drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from typing import TYPE_CHECKING

from fastconv.style.study.runs import Measurement, Run, ratio_of_gradients

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 100

# Of the contact sheet, in pixels.
GAP = 12
TITLE_HEIGHT = 30
CAPTION_HEIGHT = 44

# Of each chart, in inches.
CHART_WIDTH, CHART_HEIGHT = 3.2, 2.6

QUANTITIES: Mapping[str, Callable[[Run, Measurement], float]] = {
    "alpha * content": lambda run, m: m.content,
    "style, without beta": lambda run, m: m.style / run.setting.beta,
    "style gradient / content gradient": lambda run, m: ratio_of_gradients(m),
}


def contact_sheet(rows: Mapping[str, Sequence[Run]]) -> bytes:
    """Draw the pictures of a study beside and below each other, pixel by pixel.

    Parameters
    ----------
    rows : mapping of str to sequence of Run
        Titles and pictures of the rows, all of one size.

    Returns
    -------
    bytes
        A PNG file.
    """
    height, width = next(run.image.shape[:2] for row in rows.values() for run in row)
    row_height = TITLE_HEIGHT + height + CAPTION_HEIGHT
    columns = max(map(len, rows.values()))
    figure = _figure((GAP + columns * (width + GAP)) / DPI, (len(rows) * row_height + GAP) / DPI)
    total_width, total_height = (figure.get_size_inches() * DPI).round().astype(int)
    for i, (title, row) in enumerate(rows.items()):
        top = total_height - i * row_height
        figure.text(GAP / total_width, (top - TITLE_HEIGHT + 6) / total_height, title, weight="bold", size=11)
        for j, run in enumerate(row):
            left, bottom = GAP + j * (width + GAP), top - TITLE_HEIGHT - height
            figure.figimage(run.image[::-1], left, bottom, origin="lower")
            figure.text(left / total_width, (bottom - 5) / total_height, _caption(run), va="top", size=8.5)
    return _as_png(figure)


def _caption(run: Run) -> str:
    end = run.trace[-1]
    return f"{run.setting}\nstyle/content gradient {ratio_of_gradients(end):.2g}, moved {end.moved:.1f}"


def curves(rows: Mapping[str, Sequence[Run]]) -> bytes:
    """Draw how losses and gradients go in each run of a study, from step to step.

    Parameters
    ----------
    rows : mapping of str to sequence of Run
        Titles and runs of the columns of charts.

    Returns
    -------
    bytes
        A PNG file.
    """
    figure = _figure(CHART_WIDTH * len(rows), CHART_HEIGHT * len(QUANTITIES))
    charts = figure.subplots(len(QUANTITIES), len(rows), squeeze=False, sharex="col")
    for column, (title, runs) in zip(charts.T, rows.items(), strict=True):
        column[0].set_title(title, weight="bold", size=10)
        column[-1].set_xlabel("steps")
        for chart, quantity in zip(column, QUANTITIES.values(), strict=True):
            _draw_curves(chart, runs, quantity)
        column[0].legend(fontsize=7)
    for chart, name in zip(charts[:, 0], QUANTITIES, strict=True):
        chart.set_ylabel(name)
    figure.tight_layout()
    return _as_png(figure)


def _draw_curves(chart: Axes, runs: Sequence[Run], quantity: Callable[[Run, Measurement], float]) -> None:
    for run in runs:
        steps = [measurement.step for measurement in run.trace]
        chart.loglog(steps, [quantity(run, m) for m in run.trace], marker=".", label=str(run.setting), alpha=0.8)
    chart.tick_params(labelsize=8)
    chart.grid(alpha=0.3)


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=DPI)


def _as_png(figure: Figure) -> bytes:
    file = BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()
