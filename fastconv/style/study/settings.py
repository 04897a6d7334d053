"""The settings of the study: what varies from run to run, and how the runs are arranged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from fastconv.style.algorithm.presets import PRESETS

EXPERIMENT = PRESETS["gatys"]


class Setting(NamedTuple):
    """What varies from run to run; by default as in the experiment."""

    loss: str = EXPERIMENT["loss"]
    beta: float = EXPERIMENT["beta"]
    learning_rate: float = EXPERIMENT["learning_rate"]
    steps: int = EXPERIMENT["steps"]

    def __str__(self) -> str:
        """Return a caption."""
        loss = "" if self.loss == EXPERIMENT["loss"] else f"{self.loss}, "
        return f"{loss}beta {self.beta:g}, rate {self.learning_rate:g}, {self.steps} steps"


ROWS: Mapping[str, Sequence[Setting]] = {
    "steps": [Setting(steps=steps) for steps in (20, 99, 1000)],
    "large beta": [Setting(beta=beta) for beta in (500, 50_000, 5_000_000)],
    "small beta": [Setting(beta=beta) for beta in (1e-2, 1e-3, 1e-4, 3e-5)],
    "learning rate": [Setting(learning_rate=rate) for rate in (1, 5, 10, 100)],
    "relative loss": [Setting("relative", beta, learning_rate=5) for beta in (0.1, 1, 10, 100)],
}
"""The contact sheet. A setting that stands in several rows is run once."""
