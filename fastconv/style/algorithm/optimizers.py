"""The optimisers of a canvas: how one is made, and how it goes on from one scale to the next."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from fastconv.geometry import Array
from fastconv.nn.optim import Adam
from fastconv.style.algorithm.canvas import resize_canvas
from fastconv.style.algorithm.lbfgs import LBFGS
from fastconv.style.algorithm.options import Options
from fastconv.style.images import Size

Optimizer: TypeAlias = Adam | LBFGS


def optimizer_of(options: Options, canvas: Array, learning_rate: float) -> Optimizer:
    """Return the optimiser that the options name, at the start of its way; Adam changes `canvas` itself."""
    if options.optimizer == "lbfgs":
        return LBFGS(canvas, learning_rate, bounds=(0, 255) if options.clip else None)
    return Adam(canvas, learning_rate, betas=options.betas)


def resume_moments(optimizer: Adam, previous: Adam, old: Size, new: Size) -> None:
    """Let Adam go on at a larger scale with what it learnt at a smaller one.

    The gradient at a pixel falls with the number of pixels, since the losses are means over a picture.
    """
    ratio = (old[0] * old[1]) / (new[0] * new[1])
    optimizer.m[...] = ratio * resize_canvas(previous.m, old, new)
    # Bilinear interpolation overshoots nowhere, but rounding may leave zero.
    optimizer.v[...] = ratio**2 * np.maximum(resize_canvas(previous.v, old, new, "bilinear"), 0)
    optimizer.t = previous.t
