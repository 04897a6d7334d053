"""How contestants are timed against each other: interleaved, each warmed by an untimed call of its own."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

SHORTEST_SAMPLE = 1e-3  # seconds; shorter calls are repeated within a sample
SETTLE = 0.1  # seconds; workers of other libraries were seen to spin for up to 50 ms after their last region
LONG_CALL = 1.0  # seconds; a longer call is timed once, the second, since a first one may compile
TOLERANCE = {"float32": 1e-4, "float64": 1e-9}  # relative L2; only tells a right kernel from a wrong one

Call = Callable[[], Any]


@dataclass(frozen=True)
class Contestant:
    """What is timed: `call`, after `rest` seconds of idling since an untimed call."""

    call: Call
    rest: float = 0.0


@dataclass(frozen=True)
class Case:
    """One row of a table: the first of `contestants` (by name) is the one whose speed-up is asked for.

    `work` is what each of them does: floating-point operations, or bytes moved.
    """

    name: str
    work: int
    contestants: dict[str, Contestant]


@dataclass(frozen=True)
class Row:
    """Median seconds of a case's contestants, by name."""

    name: str
    work: int
    medians: dict[str, float]

    @property
    def ratio(self) -> float:
        """Time of the fastest rival over that of the first contestant; NaN without rivals."""
        first, *rivals = self.medians.values()
        return min(rivals) / first if rivals else math.nan


class WrongResultError(AssertionError):
    """A contestant computed something else than its rival."""


def run(case: Case, repeat: int, settle: float = SETTLE) -> Row:
    """Time the contestants in turn, `repeat` rounds, after comparing their results.

    Before each sample the contestant is called once untimed, and again until `settle` seconds have passed.

    Raises
    ------
    WrongResultError
        If a contestant's result differs from that of the first.
    """
    _compare(case, {name: contestant.call() for name, contestant in case.contestants.items()})
    trials = {name: _timed(contestant, 1) for name, contestant in case.contestants.items()}
    samples = {name: [seconds] if seconds > LONG_CALL else [] for name, seconds in trials.items()}
    racing = {name: case.contestants[name] for name in samples if not samples[name]}
    for _ in range(repeat):
        for name, contestant in racing.items():
            # Untimed: until then the threads of the one before may still spin, and this one's sleep.
            ready = time.perf_counter() + settle
            contestant.call()
            while time.perf_counter() < ready:
                contestant.call()
            calls = 1 if contestant.rest else max(1, math.ceil(SHORTEST_SAMPLE / trials[name]))
            samples[name].append(_timed(contestant, calls))
    return Row(case.name, case.work, {name: statistics.median(times) for name, times in samples.items()})


def _timed(contestant: Contestant, calls: int) -> float:
    """Return seconds a call."""
    if contestant.rest:  # sleeping for no time, too, would give the core away
        time.sleep(contestant.rest)
    begin = time.perf_counter()
    for _ in range(calls):
        contestant.call()
    return (time.perf_counter() - begin) / calls


def _compare(case: Case, results: dict[str, Any]) -> None:
    arrays = {name: _array(result) for name, result in results.items() if result is not None}
    names = list(arrays)
    for name in names[1:]:
        mine, other = arrays[names[0]], arrays[name]
        if mine.shape != other.shape:
            raise WrongResultError(f"{case.name}: {names[0]} gives shape {mine.shape}, {name} {other.shape}")
        error = np.linalg.norm((mine - other).ravel()) / max(np.linalg.norm(other.ravel()), 1e-30)
        if not error <= TOLERANCE[mine.dtype.name]:
            raise WrongResultError(f"{case.name}: {names[0]} and {name} differ by {error:.1e} of the result's norm")


def _array(result: Any) -> np.ndarray:
    return np.asarray(result[0] if isinstance(result, (tuple, list)) else result)


def geometric_mean(values: Iterable[float]) -> float:
    """Return the geometric mean."""
    return math.exp(statistics.fmean(map(math.log, values)))
