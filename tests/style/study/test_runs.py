"""The runs of the study measure what the transfer minimises."""

import numpy as np
import pytest

from fastconv.nn.vgg import VGG19
from fastconv.style import OptionError, Options
from fastconv.style.algorithm.canvas import to_canvas, to_planes
from fastconv.style.algorithm.objective import Objective
from fastconv.style.images import load
from fastconv.style.study import study as studies
from fastconv.style.study.runs import Gauge, Measurement, carry_out, ratio_of_gradients
from fastconv.style.study.settings import Setting

from .helpers import PICTURES, SMALL, run


@pytest.mark.parametrize("loss", ["gatys", "relative"])
def test_a_gauge_takes_the_objective_apart(weights, loss):
    options = Options(**SMALL, loss=loss, beta=3, alpha=2, total_variation=0)
    network = VGG19(weights.layers, padding=options.padding)
    content, style = (load(name).resized((32, 48)) for name in PICTURES)
    start = to_canvas(content.rgb, "float32")
    canvas = start + np.random.default_rng(0).normal(0, 9, start.shape).astype("float32")
    measured = Gauge(network, content, style, options).measure(7, canvas)

    objective = Objective(network, start, [to_planes(style.rgb, "float32")], options)
    losses, gradient = objective(canvas)
    assert measured.step == 7
    assert measured.content == pytest.approx(losses.content, rel=1e-4)
    assert measured.style == pytest.approx(losses.style, rel=1e-4)
    assert measured.moved == pytest.approx(9, rel=0.05)
    # The whole gradient is the sum of both, so its length lies between their difference and their sum.
    length = np.sqrt(np.mean(gradient**2))
    content_length, style_length = measured.content_gradient, measured.style_gradient
    assert abs(content_length - style_length) < length < content_length + style_length


def test_a_weight_is_a_factor_of_its_own_part_alone(weights):
    results = run(weights, Setting(beta=1, steps=1), Setting(beta=1000, steps=1))
    light, heavy = (results[Setting(beta=beta, steps=1)].trace[-1] for beta in (1, 1000))
    # After a first step of Adam, which knows but the gradient's signs, both pictures are the same.
    assert heavy.moved == pytest.approx(light.moved, rel=1e-3)
    assert heavy.content == pytest.approx(light.content, rel=1e-2)
    assert heavy.style == pytest.approx(1000 * light.style, rel=1e-2)
    assert heavy.style_gradient == pytest.approx(1000 * light.style_gradient, rel=1e-2)


def test_at_the_start_the_content_has_no_gradient():
    assert ratio_of_gradients(Measurement(1, 0.0, 1.0, 0.0, 2.0, 0.0)) == np.inf
    assert ratio_of_gradients(Measurement(1, 0.0, 1.0, 4.0, 2.0, 0.0)) == 0.5


def test_the_settings_are_those_of_the_question():
    assert [setting.steps for setting in studies.ROWS["steps"]] == [20, 99, 1000]
    betas = [setting.beta for title in ("large beta", "small beta") for setting in studies.ROWS[title]]
    assert betas == [500, 50_000, 5_000_000, 1e-2, 1e-3, 1e-4, 3e-5]
    assert [setting.learning_rate for setting in studies.ROWS["learning rate"]] == [1, 5, 10, 100]
    assert {setting.loss for setting in studies.ROWS["relative loss"]} == {"relative"}
    assert Setting() == ("gatys", 500, 1, 99)


def test_a_longer_run_passes_through_the_shorter_one(weights):
    longer = run(weights, Setting(steps=7), Setting(steps=3), Setting(steps=3))
    alone = run(weights, Setting(steps=3))[Setting(steps=3)]
    assert list(longer) == [Setting(steps=3), Setting(steps=7)]
    np.testing.assert_array_equal(longer[Setting(steps=3)].image, alone.image)
    assert longer[Setting(steps=3)].trace == alone.trace
    assert [measurement.step for measurement in longer[Setting(steps=7)].trace] == [1, 2, 3, 5, 7]
    assert alone.image.shape == (32, 48, 3)


def test_settings_are_passed_on(weights):
    settings = Setting("relative", 2, 5, 2), Setting("relative", 2, 1, 2), Setting("gatys", 2, 1, 2)
    fast, slow, gatys = run(weights, *settings).values()
    assert fast.trace[0].moved == pytest.approx(5, rel=0.01)  # the first step of Adam is its rate
    assert slow.trace[0].moved == pytest.approx(1, rel=0.01)
    assert gatys.trace[0].content != slow.trace[0].content


def test_adam_divides_a_mere_factor_out(weights):
    """The answer to the question of the study, in small: beta counts only where both gradients are alike."""
    betas = 1e6, 1e8, 1e-9
    large, larger, small = run(weights, *(Setting(beta=beta, steps=10) for beta in betas)).values()
    assert ratio_of_gradients(large.trace[-1]) > 1e3
    assert ratio_of_gradients(small.trace[-1]) < 1

    def apart(a, b):
        return np.abs(a.image.astype(float) - b.image).mean()

    assert apart(large, larger) < 0.1
    assert apart(large, small) > 1


def test_a_size_with_one_side_is_refused(weights):
    with pytest.raises(OptionError, match=r"size must be WIDTHxHEIGHT.*got 48"):
        next(carry_out(*PICTURES, weights, [Setting(steps=1)], **{**SMALL, "size": 48}))
