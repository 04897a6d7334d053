"""The work of a step."""

import pytest

from fastconv.style import Options
from fastconv.style.algorithm.tiles import lay_out
from fastconv.style.transfer.work import flop_of_step


def test_the_work_of_a_step_is_that_of_its_convolutions():
    # conv1_1 there and back, in multiplications and additions, and a Gram matrix of 64 channels there and back.
    positions = 64 * 48
    only = Options(content_layers=(), style_layers=("relu1_1",))
    assert flop_of_step((64, 48), only, None) == positions * 2 * (2 * 64 * 27 + 2 * 64 * 64)
    # VGG-19 down to conv5_1, at 224 px, takes 36.2 GFLOP, and as many on the way back.
    deep = Options(content_layers=("relu5_1",), beta=0)
    assert flop_of_step((224, 224), deep, None) == pytest.approx(2 * 36.2e9, rel=0.01)


def test_tiles_go_forward_twice_but_for_the_last():
    options = Options(content_layers=("relu5_1",), beta=0)
    layout = lay_out((1024, 1024), ("relu5_1",), 640)
    one = flop_of_step((layout.height, layout.width), options, None)
    assert layout.tiles == 4
    assert flop_of_step((1024, 1024), options, 640) == pytest.approx(one / 2 * (3 * 4 - 1))
