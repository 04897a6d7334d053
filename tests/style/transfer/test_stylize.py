"""A transfer in one call."""

import inspect
from dataclasses import fields

import numpy as np
import pytest

from fastconv.style import OptionError, Options, Step, iterate, stylize


@pytest.mark.parametrize("function", [stylize, iterate])
def test_the_defaults_are_in_the_signature(function):
    parameters = inspect.signature(function).parameters
    for field in fields(Options):
        assert parameters[field.name].default == field.default
        assert parameters[field.name].kind is inspect.Parameter.KEYWORD_ONLY
    assert list(parameters)[:2] == ["content", "styles"]


def test_steps_tell_where_the_run_is(thin, pictures):
    steps = iterate(
        pictures[0],
        pictures[1],
        weights=thin,
        size=64,
        enlarge=True,
        min_scale=40,
        steps=2,
        total_variation=1,
    )
    seen = []
    for step in steps:
        assert isinstance(step, Step)
        image = step.image()
        assert image.dtype == np.uint8
        assert max(image.shape) == step.scale
        assert step.loss > step.content + step.style > 0
        assert step.seconds > 0
        seen.append((step.scale, step.step, step.steps))
    assert seen == [(48, 1, 4), (48, 2, 4), (48, 3, 4), (48, 4, 4), (64, 1, 2), (64, 2, 2)]


def test_bad_arguments_are_found_before_the_first_step(thin, pictures):
    with pytest.raises(OptionError, match="steps"):
        iterate(pictures[0], pictures[1], weights=thin, steps=0)


def test_the_callback_sees_every_step(run):
    seen = []
    result = run(callback=seen.append)
    assert [step.loss for step in seen] == [record.loss for record in result.losses]
