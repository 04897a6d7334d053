"""The running average of the iterates, which is the picture that a transfer comes to."""

from __future__ import annotations

import numpy as np

from fastconv.geometry import Array
from fastconv.style.algorithm.options import Options


class RunningAverage:
    """Exponential average of the iterates, corrected for its start at zero; before the first of them, `start`.

    Attributes
    ----------
    decay : float
    sum : ndarray
        Of the iterates so far, each times its weight.
    weight : float
        Sum of these weights. With `decay`, the two are the whole state once there has been an iterate.
    """

    def __init__(self, decay: float, start: Array) -> None:
        self.decay = decay
        self._start = start
        self.sum = np.zeros_like(start)
        self.weight = 0.0

    def update(self, iterate: Array) -> None:
        """Take in the next iterate."""
        self.sum *= self.decay
        self.sum += (1 - self.decay) * iterate
        self.weight = self.decay * self.weight + (1 - self.decay)

    @property
    def value(self) -> Array:
        """The average so far."""
        return self.sum / self.weight if self.weight else self._start


def average_decay(options: Options, steps: int) -> float:
    """Return the decay of the running average over so many steps."""
    if options.optimizer == "lbfgs":
        return 0.0  # it has a best picture; the others that it tries are no approximations to anything
    if options.average is not None:
        return options.average
    return min(0.99, max(0.0, 1 - 10 / steps))
