"""The running average of the iterates."""

import numpy as np
import pytest

from fastconv.style import Options
from fastconv.style.algorithm.averaging import RunningAverage, average_decay


def test_the_average_of_a_constant_is_that_constant():
    average = RunningAverage(0.9, np.zeros(4))
    assert average.value.tolist() == [0, 0, 0, 0]
    for _ in range(3):
        average.update(np.full(4, 7.0))
        np.testing.assert_allclose(average.value, 7.0, rtol=1e-14)


def test_the_average_weighs_the_iterates_by_their_age():
    values, average = np.random.default_rng(0).normal(size=(5, 3)), RunningAverage(0.8, np.ones(3))
    for value in values:
        average.update(value)
    np.testing.assert_allclose(average.value, np.average(values, axis=0, weights=0.8 ** np.arange(5)[::-1]))


def test_the_average_does_not_follow_an_array_that_changes():
    value, average = np.ones(3), RunningAverage(0.0, np.zeros(3))
    average.update(value)
    value += 1
    assert average.value.tolist() == [1, 1, 1]


@pytest.mark.parametrize(("steps", "decay"), [(5, 0), (10, 0), (50, 0.8), (100, 0.9), (5000, 0.99)])
def test_the_average_lasts_a_tenth_of_the_steps(steps, decay):
    assert average_decay(Options(), steps) == pytest.approx(decay)
    assert average_decay(Options(average=0.5), steps) == 0.5
