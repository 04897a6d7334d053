"""The lines of the study's table."""

from fastconv.style.study import study as studies
from fastconv.style.study.settings import Setting

from .helpers import make_run


def test_a_line_tells_how_far_a_picture_is_from_the_experiment():
    same, other = make_run(0, Setting()), make_run(1, Setting(beta=1))
    same.image[...], other.image[...] = 200, 203
    other.image[::2] = 196
    assert studies.as_line(same, same).split()[-1] == "0.0"
    assert studies.as_line(other, same).split()[-1] == "3.5"  # the root of the mean of 9 and 16
