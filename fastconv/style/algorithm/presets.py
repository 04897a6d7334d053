"""Presets: sets of options that belong together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastconv.style.algorithm.options import OptionError, Options

PRESETS: Mapping[str, Mapping[str, Any]] = {
    # The defaults of `Options`: a good picture of 512 px in about a minute.
    "fast": {},
    # The defaults of Katherine Crowson's style-transfer-pytorch (2023), for pixels from 0 to 255, but for two. They are
    # for another training of VGG-19; with the original's features, larger the deeper, they leave too much of the
    # photograph and a fine grain. So style counts 1.3 times as much, and smoothness 2.5 times.
    "best": {
        "steps": 500,
        "loss": "wasserstein",
        "alpha": 0.015,
        "beta": 1.3,
        "total_variation": 5 / 255**2,
        "style_layers": ("relu1_1:256", "relu2_1:64", "relu3_1:16", "relu4_1:4", "relu5_1:1"),
        "learning_rate": 0.02 * 255,
        "betas": (0.9, 0.99),
        "average": 0.99,
    },
    # The experiment that this package grew out of: losses as first published, one scale, nothing added.
    "gatys": {
        "size": "320x192",
        "min_scale": 320,
        "steps": 99,
        "loss": "gatys",
        "alpha": 1.0,
        "beta": 500.0,
        "total_variation": 0.0,
        "padding": "zeros",
        "learning_rate": 1.0,
        "betas": (0.9, 0.999),
        "clip": False,
        "average": 0.0,
    },
}
"""For each preset, the options in which it differs from the defaults."""


def options_of(preset: str, changes: Mapping[str, Any]) -> Options:
    """Return the options of a preset, with changes.

    Raises
    ------
    OptionError
        If there is no such preset, or an option has no meaning.
    """
    if preset not in PRESETS:
        raise OptionError(f"preset must be one of {', '.join(PRESETS)}, got {preset!r}")
    return Options(**{**PRESETS[preset], **changes})
