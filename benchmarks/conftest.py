"""How the benchmarks are run, checked and reported."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from . import machine
from .contest import Call
from .shapes import Layer

ROUNDS = {"loops": 1, "im2col": 3}
DEFAULT_ROUNDS = 10
REPORT_MSE = 0.003  # the pass mark of the original report


@dataclass(frozen=True)
class Result:
    """One line of the table: seconds a call, mean squared error, and the largest error that passes."""

    group: str
    algorithm: str
    seconds: float
    mse: float
    allowed: float


RESULTS = pytest.StashKey[list[Result]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[RESULTS] = []


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run either the tests or the benchmarks, without a thousand lines about what was skipped."""
    benchmarks = [item for item in items if "benchmark" in getattr(item, "fixturenames", ())]
    if config.option.benchmark_only:
        if complaint := machine.throttled_blas("pytest --benchmark-only"):
            raise pytest.UsageError(complaint)
        dropped = [item for item in items if item not in benchmarks]
    else:
        dropped = benchmarks if config.option.benchmark_skip else []
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        gone = set(dropped)
        items[:] = [item for item in items if item not in gone]


@pytest.fixture(scope="session")
def scaled(pytestconfig: pytest.Config) -> Callable[[Layer], Layer]:
    """Return what makes layers small when nothing is timed, so that a smoke run takes seconds."""
    return Layer.tiny if pytestconfig.option.benchmark_disable else lambda layer: layer


@pytest.fixture
def judge(benchmark: Any, pytestconfig: pytest.Config) -> Callable[..., None]:
    """Return what times a call and then, so that a wrong kernel cannot win, compares its result."""

    def judge(group: str, algorithm: str, call: Call, expected: np.ndarray, allowed: float) -> None:
        """Time `call`; fail if its root mean squared error, over the root mean square of `expected`, is too large."""
        rounds = ROUNDS.get(algorithm, DEFAULT_ROUNDS)
        benchmark.group = group
        got = benchmark.pedantic(call, rounds=rounds, warmup_rounds=min(rounds - 1, 1))
        got = got[0] if isinstance(got, tuple) else got
        mse = float(np.mean(np.square(got.astype(np.float64) - expected)))
        allowed_mse = allowed**2 * float(np.mean(np.square(expected)))
        benchmark.extra_info.update(algorithm=algorithm, mse=mse, allowed_mse=allowed_mse)
        if benchmark.stats is not None:
            seconds = benchmark.stats.stats.median
            pytestconfig.stash[RESULTS].append(Result(group, algorithm, seconds, mse, allowed_mse))
        assert got.shape == expected.shape
        assert mse <= allowed_mse

    return judge


def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict[str, Any]) -> None:
    """Store what the figures were measured on with them."""
    machine_info["fastconv"] = machine.describe()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the ratios and errors, below pytest-benchmark's own table."""
    if config.stash[RESULTS]:
        terminalreporter.section("speed-up over the references, and errors")
        for line in _table(config.stash[RESULTS]):
            terminalreporter.write_line(line)


def _table(results: list[Result]) -> Iterator[str]:
    for fact, value in machine.describe().items():
        yield f"{fact}: {value}"
    yield f"MSE: against im2col in float64; above the bound fails. Last, the original report's mark, {REPORT_MSE}."
    yield ""
    yield f"{'':44}{'median':>12}{'x loops':>10}{'x im2col':>10}{'MSE':>10}{'bound':>10}{'report':>8}"
    seconds = {(result.group, result.algorithm): result.seconds for result in results}
    group = None
    for result in results:
        if result.group != group:
            group = result.group
            yield group
        ratios = (seconds.get((result.group, name), math.nan) / result.seconds for name in ("loops", "im2col"))
        told = "".join(f"{'-':>10}" if math.isnan(ratio) else f"{ratio:10.3g}" for ratio in ratios)
        mark = "pass" if result.mse < REPORT_MSE else "FAIL"
        yield (
            f"    {result.algorithm:40}{result.seconds * 1e3:9.3f} ms{told}"
            f"{result.mse:10.1e}{result.allowed:10.1e}{mark:>8}"
        )
