"""A transfer: what it is made from, what it takes, and its run from the first step to the last."""

from fastconv.style.transfer.fitting import MemoryLimitError
from fastconv.style.transfer.results import LossRecord, Result, Step
from fastconv.style.transfer.snapshot import Snapshot
from fastconv.style.transfer.stylize import iterate, stylize
from fastconv.style.transfer.transfer import Transfer

__all__ = ["LossRecord", "MemoryLimitError", "Result", "Snapshot", "Step", "Transfer", "iterate", "stylize"]
