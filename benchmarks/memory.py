"""The memory of a transfer: what is announced against the peak of a fresh process.

``python -m benchmarks.memory`` runs the command ``fastconv style`` on made-up pictures at several sizes, as a whole and
in tiles, a step each, with the weights that are found first and kernels that were compiled before. The peak is VmHWM,
Linux's own count of what the process held at most, weights, libraries and files included.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

TOLERANCE = 0.15
STEPS = 2


class Case(NamedTuple):
    """Width and height of the result, of the painting, and how the command is told about memory."""

    size: tuple[int, int]
    style: tuple[int, int]
    options: tuple[str, ...] = ()


CASES = (
    Case((256, 256), (256, 256)),
    Case((512, 512), (512, 512)),
    Case((1024, 1024), (1024, 1024)),
    Case((1024, 768), (1600, 1200), ("--tile", "512")),
    Case((1024, 1024), (1024, 1024), ("--max-memory", "1GB")),
    Case((2048, 1536), (1024, 1024), ("--max-memory", "1500M")),
    Case((2048, 1536), (2048, 2048), ("--max-memory", "2GB")),
    Case((4000, 3000), (4000, 3000), ("--max-memory", "4GB")),
)


class Measured(NamedTuple):
    """What was announced, what came, both in bytes, and how long it took."""

    announced: int
    peak: int
    tile: int
    seconds: float


def measure(case: Case, folder: Path, steps: int) -> Measured:
    """Run a case in a process of its own."""
    pictures = [_write(folder / f"{width}x{height}.png", width, height) for width, height in (case.size, case.style)]
    long_side = str(max(case.size))
    arguments = [*map(str, pictures), "-o", str(folder / "out.png"), "--overwrite", "--size", long_side]
    arguments += ["--min-scale", long_side, "--steps", str(steps), "--quiet", *case.options]
    begin = time.perf_counter()
    command = [sys.executable, "-m", "benchmarks.memory", "--alone", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    told, peak = done.stdout.splitlines()
    settings = json.loads(told)["settings"]
    return Measured(settings["estimate"]["memory"], int(peak), settings["tile"], time.perf_counter() - begin)


def alone(arguments: list[str]) -> int:
    """Run ``fastconv style`` here; it prints its settings, and then comes its peak."""
    from fastconv.cli import main

    from .style import peak

    code = main(["style", *arguments, "--json"])
    print(peak())
    return code


def _write(path: Path, width: int, height: int) -> Path:
    from PIL import Image

    from .style import picture

    if not path.exists():
        pixels: np.ndarray = picture(max(width, height), width + height)[:height, :width]
        Image.fromarray(pixels).save(path, compress_level=1)
    return path


def main() -> int:
    """Measure all cases; return 1 if an estimate was off by more than the tolerance."""
    if sys.argv[1:2] == ["--alone"]:
        return alone(sys.argv[2:])
    parser = argparse.ArgumentParser("python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--cases", type=int, nargs="+", default=range(len(CASES)), help="numbers of some, from 0")
    parser.add_argument("--steps", type=int, default=STEPS, help="of each run (default: %(default)s)")
    chosen = parser.parse_args()
    passed = True
    with tempfile.TemporaryDirectory() as folder:
        for number in chosen.cases:
            case = CASES[number]
            found = measure(case, Path(folder), chosen.steps)
            ratio = found.announced / found.peak
            passed &= abs(ratio - 1) <= TOLERANCE
            width, height = case.size
            print(
                f"  {number}  {width}x{height} px, style {case.style[0]}x{case.style[1]}, "
                f"{' '.join(case.options) or 'no limit'}: tile {found.tile}, announced {found.announced / 1e6:.0f} MB, "
                f"peak {found.peak / 1e6:.0f} MB, ratio {ratio:.3f}; {found.seconds:.0f} s",
                flush=True,
            )
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
