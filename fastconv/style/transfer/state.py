"""The state of a run at a scale, and how a step changes it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fastconv.geometry import Array
from fastconv.style.algorithm.averaging import RunningAverage
from fastconv.style.algorithm.lbfgs import LBFGS
from fastconv.style.algorithm.objective import Losses
from fastconv.style.algorithm.optimizers import Optimizer
from fastconv.style.algorithm.scales import Scale


@dataclass
class State:
    """What the optimisation knows at a scale after so many steps; the next scale, too, starts from it."""

    scale: Scale
    optimizer: Optimizer
    average: RunningAverage
    step: int = 0
    sound: Array | None = None
    """Where to go back to if the next step blows up."""

    @property
    def is_done(self) -> bool:
        """Whether no step is left at this scale."""
        return self.step >= self.scale.steps

    def advance(self, losses: Losses, gradient: Array, *, clip: bool) -> None:
        """Take a step, given the losses of `optimizer.parameter` and their gradient."""
        if isinstance(self.optimizer, LBFGS):
            self.optimizer.step(losses.total, gradient)
            self.sound = self.optimizer.best
            self.average.update(self.optimizer.best)
        else:
            self.sound = self.optimizer.parameter.copy()
            self.optimizer.step(gradient)
            if clip:
                np.clip(self.optimizer.parameter, 0, 255, out=self.optimizer.parameter)
            self.average.update(self.optimizer.parameter)
        self.step += 1
