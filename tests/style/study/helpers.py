"""A study of the first layers and few pixels, so that a run takes a moment."""

import numpy as np

from fastconv.style.study.runs import Measurement, Run, carry_out

SMALL = {"size": "48x32", "content_layers": ("relu2_2",), "style_layers": ("relu1_1", "relu2_1")}
PICTURES = ("photo.png", "painting.png")


def run(weights, *settings, **options):
    return {result.setting: result for result in carry_out(*PICTURES, weights, settings, **SMALL, **options)}


def make_run(seed, setting, shape=(20, 30, 3)):
    image = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    return Run(setting, image, [Measurement(1, 1.0, 2.0, 0.0, 1.0, 0.5), Measurement(2, 3.0, 4.0, 1.0, 1.0, 1.0)])
