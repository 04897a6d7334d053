"""What came of a run, and how people and scripts are told."""

from __future__ import annotations

import json
from dataclasses import dataclass

from fastconv.style.running.outputs import Outputs
from fastconv.style.transfer import Result


@dataclass(frozen=True)
class Outcome:
    """What a run left behind.

    Attributes
    ----------
    outputs : Outputs
        What was written.
    result : Result
        What is in it.
    interrupted_by : int or None
        The signal that ended the run early.
    seconds : float
        Time it took, from the first step to the last.
    """

    outputs: Outputs
    result: Result
    interrupted_by: int | None
    seconds: float

    def __str__(self) -> str:
        """Return what goes to standard output."""
        return self.as_json() if self.outputs.json else str(self.outputs.picture)

    def as_json(self) -> str:
        """Everything but the pixels, for scripts."""
        height, width = self.result.image.shape[:2]
        return json.dumps(
            {
                "output": str(self.outputs.picture),
                "width": width,
                "height": height,
                "seconds": round(self.seconds, 3),
                "interrupted": self.interrupted_by is not None,
                "settings": self.result.settings,
                "losses": [record._asdict() for record in self.result.losses],
            }
        )
