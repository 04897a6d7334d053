"""The frames of a run."""

import numpy as np
import pytest

from fastconv.style.report.film import Film
from fastconv.style.transfer import Step

from .helpers import frame


def take_frames(steps, number_of_frames=()):
    film = Film(steps, number_of_frames)
    for number in range(len(number_of_frames) + 1, steps + 1):
        film.update(number, Step(64, number, steps, 1.0, 1.0, 1.0, 0.1, lambda: np.zeros((20, 30, 3), np.uint8)))
    return film.frames


@pytest.mark.parametrize(("steps", "numbers"), [(1, [1]), (5, [1, 2, 3, 4, 5]), (250, [1, *range(3, 250, 3), 250])])
def test_frames_are_taken_at_even_distances(steps, numbers):
    assert [frame.number for frame in take_frames(steps)] == numbers
    assert len(numbers) <= 120 + 2


def test_frames_are_kept_when_a_run_goes_on():
    before = [frame(1), frame(2)]
    frames = take_frames(4, before)
    assert frames[:2] == before
    assert [frame.number for frame in frames] == [1, 2, 3, 4]


def test_large_frames_are_made_smaller():
    film = Film(1)
    film.update(1, Step(2000, 1, 1, 1.0, 1.0, 1.0, 0.1, lambda: np.zeros((1000, 2000, 3), np.uint8)))
    assert film.frames[0].image().size == (720, 360)
