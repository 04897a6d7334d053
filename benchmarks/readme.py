"""Write the results of ``pytest --benchmark-only --benchmark-json FILE`` into the README and docs/benchmarks.md.

``python -m benchmarks.readme FILE`` replaces what stands between the two marks of either page: in the README a table of
`README_CASES`, in docs/benchmarks.md one of every case and every algorithm.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from fastconv.files import replacing

ROOT = Path(__file__).parents[1]
README, PAGE = ROOT / "README.md", ROOT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- benchmarks -->", "<!-- end of benchmarks -->"
REFERENCES = ("loops", "im2col")
README_CASES = (
    "VGG-19 conv1_1, weight_grad",  # where we gain least
    "VGG-19 conv1_2, forward",
    "VGG-19 conv4_2, forward",
    "report float32, forward",
    "report float32, input_grad",
    "report float32, weight_grad",
    "report float64, forward",
    "pooling VGG-19 2x2/2 64x224, max",
    "pooling VGG-19 2x2/2 64x224, max gradient",
    "pooling report float32, average gradient",
)

Racing: TypeAlias = dict[str, dict[str, Any]]  # what pytest-benchmark stores of a case, by algorithm


def cases_of(results: dict[str, Any]) -> dict[str, Racing]:
    """Return the results of each case."""
    cases: dict[str, Racing] = {}
    for each in results["benchmarks"]:
        cases.setdefault(each["group"], {})[each["extra_info"]["algorithm"]] = each
    return cases


def facts(results: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of a list of what the figures depend on."""
    yield from (f"- {fact}: {value}" for fact, value in results["machine_info"]["fastconv"].items())


def short_table(cases: dict[str, Racing], names: Sequence[str]) -> Iterator[str]:
    """Yield the lines of a table of the named cases: ours against the references."""
    yield f"| median, ms | {' | '.join(REFERENCES)} | fastconv | {_ratio_titles()} | MSE |"
    yield "|---|" + "---:|" * (2 * len(REFERENCES) + 2)
    for name in names:
        racing = cases[name]
        yield _row(name, [*_times(racing, [*REFERENCES, _ours(racing)]), *_judgement(racing)])


def full_table(cases: dict[str, Racing]) -> Iterator[str]:
    """Yield the lines of a table of all cases: a column an algorithm, then how ours compares with the references."""
    algorithms = list(dict.fromkeys(algorithm for racing in cases.values() for algorithm in racing))
    yield f"| median, ms | {' | '.join(algorithms)} | {_ratio_titles()} | MSE |"
    yield "|---|" + "---:|" * (len(algorithms) + len(REFERENCES) + 1)
    for name, racing in cases.items():
        yield _row(name, [*_times(racing, algorithms), *_judgement(racing)])


def _ratio_titles() -> str:
    return " | ".join(f"times {each}" for each in REFERENCES)


def _ours(racing: Racing) -> str:
    return "auto" if "auto" in racing else "kernels"


def _times(racing: Racing, algorithms: Sequence[str]) -> Iterator[str]:
    for each in algorithms:
        yield _rounded(_median(racing, each) * 1e3) if each in racing else ""


def _judgement(racing: Racing) -> Iterator[str]:
    """Yield how many times faster than the references ours is, and its error."""
    ours = _ours(racing)
    for each in REFERENCES:
        yield _rounded(_median(racing, each) / _median(racing, ours)) if each in racing else ""
    yield f"{racing[ours]['extra_info']['mse']:.1e}"


def _median(racing: Racing, algorithm: str) -> float:
    return float(racing[algorithm]["stats"]["median"])


def _rounded(number: float) -> str:
    """Return three digits of a number, without an exponent."""
    return f"{float(f'{number:.3g}'):g}"


def _row(name: str, cells: Sequence[str]) -> str:
    return f"| {name} | {' | '.join(cells)} |"


def insert(text: str, lines: Sequence[str]) -> str:
    """Return `text` with `lines` between the marks.

    Raises
    ------
    ValueError
        If the marks are not there, once and in order.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"text must hold {BEGIN!r} and then {END!r}")
    return "\n".join([before + begin, "", *lines, "", end + after])


def write(results: dict[str, Any], readme: Path = README, page: Path = PAGE) -> None:
    """Write both tables."""
    cases = cases_of(results)
    tables = {readme: short_table(cases, README_CASES), page: full_table(cases)}
    texts = {
        path: insert(path.read_text("utf-8"), [*facts(results), "", *table]) for path, table in tables.items()
    }  # both, before either is written
    for path, text in texts.items():
        with replacing(path) as file:
            file.write(text.encode())


def main() -> None:
    """Read the command line, and write."""
    parser = argparse.ArgumentParser("python -m benchmarks.readme", description=__doc__)
    parser.add_argument("results", type=Path, help="what --benchmark-json wrote")
    write(json.loads(parser.parse_args().results.read_text()))


if __name__ == "__main__":
    main()
