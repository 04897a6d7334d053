"""The table of the study: a line for each run."""

from __future__ import annotations

from fastconv.style.study.runs import Run, ratio_of_gradients, root_mean_square

COLUMNS = (
    f"{'loss':8} {'beta':>8} {'rate':>5} {'steps':>5}  {'alpha*content':>13} {'beta*style':>10}"
    f"  {'rms of gradients: content':>25} {'style':>8} {'style/content':>13}  {'moved':>6} {'apart':>6}"
)
"""Heads of the columns that `as_line` fills."""


def as_line(run: Run, experiment: Run | None) -> str:
    """Return a run as a line of a table; its last number is how far the picture is from the experiment's own."""
    loss, beta, rate, steps = run.setting
    end = run.trace[-1]
    apart = "-" if experiment is None else f"{root_mean_square(run.image - experiment.image.astype(float)):.1f}"
    return (
        f"{loss:8} {beta:8g} {rate:5g} {steps:5}  {end.content:13.4g} {end.style:10.4g}"
        f"  {end.content_gradient:25.3g} {end.style_gradient:8.3g} {ratio_of_gradients(end):13.3g}"
        f"  {end.moved:6.1f} {apart:>6}"
    )
