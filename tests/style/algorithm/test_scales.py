"""The sizes that a transfer runs through."""

from itertools import pairwise

import pytest

from fastconv.style import OptionError, Options
from fastconv.style.algorithm.scales import Scale, plan_scales, style_size, target_size


def test_scales_grow_by_the_square_root_of_two():
    plan = plan_scales((512, 512), min_scale=128, steps=50)
    assert [scale.long_side for scale in plan] == [128, 176, 256, 368, 512]
    assert [scale.steps for scale in plan] == [100, 50, 50, 50, 50]


def test_only_the_last_scale_has_sides_that_are_no_multiples_of_16():
    plan = plan_scales((341, 511), min_scale=128, steps=1)
    assert plan[-1].size == (341, 511)
    assert all(side % 16 == 0 for scale in plan[:-1] for side in scale.size)
    assert all(small.pixels < large.pixels for small, large in pairwise(plan))


def test_scales_with_a_short_side_under_32_are_dropped():
    assert [scale.size for scale in plan_scales((64, 512), min_scale=128, steps=1)] == [
        (32, 256),
        (48, 368),
        (64, 512),
    ]


@pytest.mark.parametrize("min_scale", [100, 128, 4000])
def test_a_small_picture_has_one_scale_of_just_the_steps(min_scale):
    assert plan_scales((60, 100), min_scale=min_scale, steps=9) == (Scale(60, 100, 9),)


def test_a_picture_is_enlarged_only_when_asked():
    assert target_size((100, 200), Options(size=512)) == (100, 200)
    assert target_size((100, 200), Options(size=512, enlarge=True)) == (256, 512)
    assert target_size((1000, 2000), Options(size=512)) == (256, 512)
    assert target_size((100, 200), Options(size="320x192")) == (192, 320)


def test_a_result_too_thin_for_the_network_is_refused():
    with pytest.raises(OptionError, match="short side"):
        target_size((100, 2000), Options(size=160))


def test_a_style_keeps_its_aspect_and_follows_the_content():
    scale = Scale(128, 256, 1)
    assert style_size((600, 300), scale, Options()) == (256, 128)
    assert style_size((600, 300), scale, Options(style_scale=0.5)) == (128, 64)
    assert style_size((200, 100), scale, Options()) == (200, 100)
    assert style_size((200, 100), scale, Options(enlarge=True)) == (256, 128)
    assert style_size((2000, 20), scale, Options()) == (256, 16)
