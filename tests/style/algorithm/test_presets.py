"""Presets: sets of options."""

import pytest

from fastconv.nn.vgg_layers import LAYER_NAMES
from fastconv.style import OptionError, Options
from fastconv.style.algorithm.options import layer_weights
from fastconv.style.algorithm.presets import PRESETS, options_of


def test_a_preset_changes_defaults_and_nothing_that_is_given():
    assert options_of("fast", {}) == Options()
    best = options_of("best", {"beta": 7.0})
    assert (best.loss, best.steps, best.beta) == ("wasserstein", 500, 7.0)
    assert options_of("gatys", {"size": 512}).size == 512
    assert options_of("gatys", {}).clip is False
    assert set(layer_weights(best.style_layers)) < set(LAYER_NAMES)
    for name in PRESETS:
        options_of(name, {})
    with pytest.raises(OptionError, match="preset must be one of fast, best, gatys, got 'slow'"):
        options_of("slow", {})
