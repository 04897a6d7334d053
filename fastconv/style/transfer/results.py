"""What a transfer gives: a record of each step, and the picture at its end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class LossRecord(NamedTuple):
    """The losses of one step."""

    scale: int
    step: int
    loss: float
    content: float
    style: float
    seconds: float


@dataclass(frozen=True)
class Step:
    """One step of the optimisation that is done.

    Attributes
    ----------
    scale : int
        Long side of the picture at this scale, in pixels.
    step, steps : int
        Number of this step, from 1, and of all steps at this scale.
    loss, content, style : float
        The loss before the step was taken, and its parts, weights included. What the parts lack is the total
        variation.
    seconds : float
        Time the step took.
    image : callable
        Returns the picture as it is, uint8 of shape (H, W, 3), at this scale. Call it before the next step.
    """

    scale: int
    step: int
    steps: int
    loss: float
    content: float
    style: float
    seconds: float
    image: Callable[[], NDArray[np.uint8]]


@dataclass(frozen=True)
class Result:
    """A finished transfer.

    Attributes
    ----------
    image : ndarray, shape (H, W, 3), uint8
        The picture, sRGB.
    losses : list of LossRecord
        Of every step.
    settings : dict
        What the picture was made with: every option, sizes, weights and their hash, threads, versions. It
        can be written as JSON.
    rgb : ndarray, shape (H, W, 3), float32
        The picture before rounding, from 0 to 255, for files of 16 bits a channel.
    alpha : ndarray, shape (H, W), float32, or None
        The content picture's opacity from 0 to 1, None if it is opaque.
    """

    image: NDArray[np.uint8]
    losses: list[LossRecord]
    settings: dict[str, Any]
    rgb: NDArray[np.float32]
    alpha: NDArray[np.float32] | None
