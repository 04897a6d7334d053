"""Snapshots: the state of a run, from which another run of the same inputs can go on.

They hold plain arrays and numbers, and know nothing of files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from fastconv.geometry import Array
from fastconv.nn.optim import Adam
from fastconv.style.algorithm.averaging import RunningAverage
from fastconv.style.algorithm.lbfgs import LBFGS
from fastconv.style.algorithm.optimizers import Optimizer
from fastconv.style.algorithm.scales import Scale
from fastconv.style.transfer.results import LossRecord
from fastconv.style.transfer.state import State


class AdamSnapshot(NamedTuple):
    """The fields of `fastconv.nn.Adam`."""

    parameter: Array
    m: Array
    v: Array
    learning_rate: float
    betas: tuple[float, float]
    eps: float
    t: int


class LBFGSSnapshot(NamedTuple):
    """Where a search of `LBFGS` begins; the names are those of its fields."""

    start: Array
    learning_rate: float
    bounds: tuple[float, float] | None
    factor: float | None


@dataclass(frozen=True)
class Snapshot:
    """Where a run stands after a step.

    Attributes
    ----------
    scale : Scale
    step : int
        Number of steps that were taken at this scale.
    optimizer : AdamSnapshot or LBFGSSnapshot
    average : ndarray
        `RunningAverage.sum`.
    decay, weight : float
        The other fields of the running average.
    sound : ndarray or None
        Where to go back to if the next step blows up.
    losses : tuple of LossRecord
        Of all steps of the run.
    random : mapping
        State of the generator that noise comes from, as NumPy's `bit_generator.state`.
    """

    scale: Scale
    step: int
    optimizer: AdamSnapshot | LBFGSSnapshot
    average: Array
    decay: float
    weight: float
    sound: Array | None
    losses: tuple[LossRecord, ...]
    random: Mapping[str, Any]


def can_be_taken(state: State) -> bool:
    """Tell whether a state is all there is: not so in the middle of a search by L-BFGS, whose memory is SciPy's."""
    return isinstance(state.optimizer, Adam) or state.is_done or state.optimizer.start is not None


def take(state: State, losses: list[LossRecord], random: Mapping[str, Any]) -> Snapshot:
    """Return a snapshot, whose arrays are those of the run: they change with its next step."""
    average = state.average
    return Snapshot(
        scale=state.scale,
        step=state.step,
        optimizer=_take_optimizer(state.optimizer),
        average=average.sum,
        decay=average.decay,
        weight=average.weight,
        sound=state.sound,
        losses=tuple(losses),
        random=random,
    )


def _take_optimizer(optimizer: Optimizer) -> AdamSnapshot | LBFGSSnapshot:
    if isinstance(optimizer, Adam):
        return AdamSnapshot(
            optimizer.parameter,
            optimizer.m,
            optimizer.v,
            optimizer.learning_rate,
            optimizer.betas,
            optimizer.eps,
            optimizer.t,
        )
    # At the end of a scale, after which there is no search, any point will do.
    start = optimizer.parameter if optimizer.start is None else optimizer.start
    return LBFGSSnapshot(start, optimizer.learning_rate, optimizer.bounds, optimizer.factor)


def state_of(snapshot: Snapshot, scale: Scale) -> State:
    """Return the state that a snapshot was taken of, at a scale of the same size; it takes over the arrays."""
    optimizer = _optimizer_of(snapshot)
    average = RunningAverage(snapshot.decay, optimizer.parameter)
    average.sum, average.weight = snapshot.average, snapshot.weight
    return State(scale, optimizer, average, snapshot.step, snapshot.sound)


def _optimizer_of(snapshot: Snapshot) -> Optimizer:
    saved = snapshot.optimizer
    if isinstance(saved, LBFGSSnapshot):
        dtype = snapshot.average.dtype.name  # the search's own start is in float64 whatever the run's precision
        return LBFGS(saved.start, saved.learning_rate, bounds=saved.bounds, dtype=dtype, factor=saved.factor)
    optimizer = Adam(saved.parameter, saved.learning_rate, betas=saved.betas, eps=saved.eps)
    optimizer.m, optimizer.v, optimizer.t = saved.m, saved.v, saved.t
    return optimizer
