"""How far a run is."""

import time

import pytest

from fastconv.style import Step
from fastconv.style.algorithm.scales import Scale
from fastconv.style.running.progress import Clock, Progress

PLAN = (Scale(10, 20, 2), Scale(20, 40, 3))


def step(scale, number, seconds):
    return Step(scale, number, 3, 1.5, 0.5, 1.0, seconds, lambda: None)


class Stream:
    """Text that is written, on a terminal or not."""

    def __init__(self, terminal):
        self.text = ""
        self.isatty = lambda: terminal
        self.flush = lambda: None

    def write(self, text):
        self.text += text


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test sets."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_time_left_goes_by_pixels_and_leaves_out_first_steps():
    clock = Clock(PLAN)
    clock.update(step(20, 1, 100.0))  # compiles
    assert clock.seconds_left is None
    clock.update(step(20, 2, 2.0))  # 200 pixels
    assert clock.seconds_left == pytest.approx(3 * 4 * 2.0)
    clock.update(step(40, 1, 50.0))
    clock.update(step(40, 2, 8.0))
    assert clock.seconds_left == pytest.approx(8.0)
    clock.update(step(40, 3, 8.0))
    assert clock.seconds_left == 0


def test_a_run_that_goes_on_has_first_steps_of_its_own():
    clock = Clock((Scale(10, 20, 8), PLAN[1]))
    clock.update(step(20, 3, 100.0))  # compiles, though it is not the scale's first step
    assert clock.seconds_left is None
    clock.update(step(20, 4, 2.0))
    assert clock.seconds_left == pytest.approx(6 * 2.0 + 3 * 4 * 2.0)


def test_time_left_can_go_by_the_work_of_tiles():
    clock = Clock(PLAN, work=lambda scale: 1000 * scale.long_side)
    for number in (1, 2):
        clock.update(step(20, number, 1.0))
    assert clock.seconds_left == pytest.approx(3 * 2 * 1.0)


def test_a_terminal_has_one_line_that_renews_itself(clock, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    stream = Stream(terminal=True)
    progress = Progress(PLAN, stream)
    for number in (1, 2, 3):
        progress.update(step(40, number, 0.5))
        clock[0] += 1
    progress.end_line()
    assert stream.text.count("\r") == 3
    assert stream.text.count("\n") == 1
    assert stream.text.endswith("\n")
    assert "40 px (2/2), step 3/3: 0.2 s left, 0.50 s/step, loss 1.5 (content 0.5, style 1)" in stream.text


def test_a_line_is_cut_to_a_narrow_terminal(clock, monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    stream = Stream(terminal=True)
    Progress(PLAN, stream).update(step(40, 1, 0.5))
    assert stream.text == "\r40 px (2/2), step 1\x1b[K"


def test_elsewhere_there_is_a_plain_line_every_ten_seconds(clock):
    stream = Stream(terminal=False)
    progress = Progress(PLAN, stream)
    for second in range(1, 26):
        clock[0] = 1000.0 + second
        progress.update(step(20, min(second, 2), 1.0))
    progress.end_line()
    assert stream.text.count("\n") == 2
    assert "\r" not in stream.text
    assert "\x1b" not in stream.text
