"""Write the results of ``pytest --benchmark-only --benchmark-json FILE`` into the README, as a table.

``python -m benchmarks.readme FILE`` replaces what stands between the two marks in README.md.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fastconv.files import replacing

README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- benchmarks -->", "<!-- end of benchmarks -->"
REFERENCES = ("loops", "im2col")


def table(results: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of a Markdown table: a row a case, a column an algorithm, then the speed-up of our own."""
    cases: dict[str, dict[str, dict[str, Any]]] = {}
    for each in results["benchmarks"]:
        cases.setdefault(each["group"], {})[each["extra_info"]["algorithm"]] = each
    names = list(dict.fromkeys(name for racing in cases.values() for name in racing))
    yield from (f"- {fact}: {value}" for fact, value in results["machine_info"]["fastconv"].items())
    yield ""
    yield f"| median, ms | {' | '.join(names)} | {' | '.join(f'times {each}' for each in REFERENCES)} | MSE |"
    yield "|---|" + "---:|" * (len(names) + len(REFERENCES) + 1)
    for case, racing in cases.items():
        medians = {name: each["stats"]["median"] for name, each in racing.items()}
        ours = "auto" if "auto" in medians else "kernels"
        times = [f"{medians[name] * 1e3:.3g}" if name in medians else "" for name in names]
        ratios = [f"{medians[each] / medians[ours]:.3g}" if each in medians else "" for each in REFERENCES]
        yield f"| {case} | {' | '.join(times)} | {' | '.join(ratios)} | {racing[ours]['extra_info']['mse']:.1e} |"


def insert(text: str, lines: list[str]) -> str:
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


def main() -> None:
    """Read the command line, and write."""
    parser = argparse.ArgumentParser("python -m benchmarks.readme", description=__doc__)
    parser.add_argument("results", type=Path, help="what --benchmark-json wrote")
    lines = list(table(json.loads(parser.parse_args().results.read_text())))
    text = insert(README.read_text("utf-8"), lines)
    with replacing(README) as file:
        file.write(text.encode())


if __name__ == "__main__":
    main()
