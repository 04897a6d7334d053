"""A transfer: what it is made from, what it takes, and its run from the first step to the last."""

from fastconv.style.transfer.transfer import (
    LossRecord,
    Result,
    RunningAverage,
    State,
    Step,
    Transfer,
    iterate,
    stylize,
)

__all__ = ["LossRecord", "Result", "RunningAverage", "State", "Step", "Transfer", "iterate", "stylize"]
