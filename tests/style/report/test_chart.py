"""The chart of the losses."""

import re

import numpy as np
import pytest

from fastconv.style.report.chart import log_ticks, loss_chart, step_ticks
from fastconv.style.transfer import LossRecord

from .helpers import records


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.3, 40, [0.2, 0.5, 1, 2, 5, 10, 20, 50]),
        (1, 1000, [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]),
        (1, 1, [1, 2]),
        (3, 4, [2, 5]),
        (2e-3, 5e4, [1e-3, 1e-2, 1e-1, 1, 10, 100, 1e3, 1e4, 1e5]),
        (9.999999999999999e-4, 1e-3, [5e-4, 1e-3]),
    ],
)
def test_ticks_of_losses(low, high, ticks):
    assert log_ticks(low, high) == pytest.approx(ticks, rel=1e-12)


@pytest.mark.parametrize("exponent", range(-12, 13))
def test_ticks_hold_every_range(exponent):
    rng = np.random.default_rng(exponent + 100)
    for low, ratio in zip(rng.uniform(1, 10, 20) * 10.0**exponent, 10 ** rng.uniform(0, 8, 20), strict=True):
        ticks = log_ticks(low, low * ratio)
        assert ticks[0] <= low
        assert ticks[-1] >= low * ratio
        assert 2 <= len(ticks) <= 13
        assert ticks == sorted(ticks)


@pytest.mark.parametrize(
    ("steps", "ticks"),
    [
        (1, [1]),
        (7, [1, 2, 3, 4, 5, 6, 7]),
        (30, [1, 5, 10, 15, 20, 25, 30]),
        (120, [1, 20, 40, 60, 80, 100, 120]),
        (3000, [1, 500, 1000, 1500, 2000, 2500, 3000]),
    ],
)
def test_ticks_of_steps(steps, ticks):
    assert step_ticks(steps) == ticks


def test_curves_go_where_the_losses_are():
    chart = loss_chart(records(30))
    curves = re.findall(r'<polyline class="(\w+)" points="([^"]+)"/>', chart)
    assert [name for name, _ in curves] == ["total", "content", "style"]
    points = {name: np.array([point.split(",") for point in text.split()], float) for name, text in curves}
    assert {len(array) for array in points.values()} == {60}
    # 100 to 100/30 and back: equal losses lie at equal heights, larger ones higher up; steps at even distances.
    np.testing.assert_array_equal(points["total"][:30, 1], points["total"][30:, 1])
    assert (np.diff(points["total"][:30, 1]) > 0).all()
    np.testing.assert_allclose(np.diff(points["total"][:, 0]), np.diff(points["total"][:, 0]).mean(), atol=0.11)
    # On a logarithmic axis the content's curve is the total's, a constant lower.
    drop = points["content"][:, 1] - points["total"][:, 1]
    np.testing.assert_allclose(drop, drop.mean(), atol=0.11)
    assert chart.count('<line class="scale"') == 1
    assert all(f">{scale} px<" in chart for scale in (64, 96))


def test_a_loss_that_is_zero_has_no_curve():
    losses = [LossRecord(64, i, 9.0 / i, 0.0 if i == 1 else 3.0 / i, 0.0, 0.1) for i in range(1, 9)]
    chart = loss_chart(losses)
    assert re.findall(r'<polyline class="(\w+)"', chart) == ["total", "content"]
    assert chart.count("nan") == chart.count("inf") == 0
