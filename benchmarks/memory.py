"""The memory of a transfer: what is announced against the peak of a fresh process.

``python -m benchmarks.memory`` runs what the command ``fastconv style`` runs, on made-up pictures, each case in a
process of its own, with the weights that are found first and kernels that were compiled before. ``--list`` shows groups
of cases, ``--only GROUP ...`` runs others than those of ten minutes. Each case takes as many steps as it needs to
come to its peak: two, or a dozen with L-BFGS, whose memory fills by and by; films have all their frames.

The peak is VmHWM, Linux's own count of what the process held at most, weights, libraries and files included. It fails
if an estimate is off by more than 15 %.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

TOLERANCE = 0.15

Size = tuple[int, int]  # width, height


@dataclass(frozen=True)
class Case:
    """A transfer: sizes of the result and the pictures, its options beside size, and what it writes beside the picture.

    The style pictures, and the photograph, are as large as the result unless they are given. There is one scale unless
    `options` have a `min_scale`. With `masked`, each style has a part of the picture.
    """

    size: Size
    options: Mapping[str, Any] = field(default_factory=dict)
    styles: tuple[Size, ...] = ()
    content: Size | None = None
    outputs: Mapping[str, str] = field(default_factory=dict)
    masked: bool = False

    def __str__(self) -> str:
        """Tell what the table shows."""
        styles = self.styles or (self.size,)
        parts = [
            f"{_in_words(self.size)} px, {'masked ' if self.masked else ''}style {' '.join(map(_in_words, styles))}"
        ]
        if self.content is not None:
            parts.append(f"photograph {_in_words(self.content)}")
        parts += [f"{name} {value}" for name, value in {**self.options, **self.outputs}.items()]
        return ", ".join(parts)


def _square(side: int, **options: Any) -> Case:
    return Case((side, side), options)


LBFGS = {"optimizer": "lbfgs", "steps": 12}
BEST = {"preset": "best", "steps": 2}
SHALLOW = {"content_layers": ("relu2_2",), "style_layers": ("relu1_1", "relu2_1")}

GROUPS: dict[str, tuple[Case, ...]] = {
    "sizes": tuple(_square(side) for side in (128, 256, 512, 1024)),
    "scales": tuple(_square(side, min_scale=128) for side in (256, 512, 1024)),
    "tiles": (
        Case((1024, 768), {"tile": 512}, styles=((1600, 1200),)),
        _square(1024, max_memory="1GB"),
        _square(1024, tile=512, **BEST),
    ),
    "best": (_square(256, **BEST), _square(512, **BEST), _square(512, min_scale=128, **BEST)),
    "lbfgs": (_square(256, **LBFGS), _square(512, **LBFGS), _square(512, clip=False, **LBFGS)),
    "float64": (
        *(_square(side, dtype="float64") for side in (256, 512)),
        _square(512, dtype="float64", min_scale=128),
        _square(256, dtype="float64", **BEST),
        _square(512, dtype="float64", **LBFGS),
    ),
    "styles": (
        Case((512, 512), styles=((512, 512),) * 3),
        Case((256, 256), styles=((256, 256),) * 3, masked=True),
        Case((512, 512), styles=((512, 512),) * 3, masked=True),
        Case((512, 512), BEST, styles=((512, 512),) * 2, masked=True),
        Case((512, 512), {"style_scale": 2.0}, styles=((1024, 1024),)),
    ),
    "network": (
        *(_square(side, pooling="average") for side in (256, 512)),
        *(_square(side, **SHALLOW) for side in (256, 512)),
        _square(512, content_layers=("relu1_1",)),
        _square(256, content_layers=("relu5_2",)),
    ),
    "film": (
        Case((256, 256), {"steps": 120}, outputs={"movie": "film.mp4"}),
        Case((512, 512), {"steps": 120}, outputs={"movie": "film.mp4"}),
        Case((512, 512), {"steps": 120}, outputs={"movie": "film.gif"}),
        Case((512, 512), {"steps": 120}, outputs={"report": "report.html"}),
    ),
    "photographs": (
        Case((512, 512), content=(3000, 3000)),
        Case((512, 512), {"restore_size": True}, content=(3000, 3000)),
        Case((512, 512), {"restore_size": True, "preserve_colors": "luma"}, content=(3000, 3000)),
        Case((512, 512), content=(3000, 3000), outputs={"report": "report.html"}),
    ),
    "large": (
        Case((2048, 1536), {"max_memory": "1500M"}, styles=((1024, 1024),)),
        Case((2048, 1536), {"max_memory": "2GB"}, styles=((2048, 2048),)),
        Case((4000, 3000), {"max_memory": "4GB"}),
    ),
}
SHORT = ("sizes", "scales", "tiles")  # ten minutes on two slow cores


class Measured(NamedTuple):
    """What was announced, what came, both in bytes, and how long it took."""

    announced: int
    peak: int
    tile: int
    seconds: float


def measure(case: Case, folder: Path) -> Measured:
    """Run a case in a process of its own."""
    content = case.content or case.size
    styles = case.styles or (case.size,)
    options = {"size": max(case.size), "min_scale": max(case.size), "steps": 2, **case.options}
    if case.masked:
        options["masks"] = [str(_write_mask(folder, content, part, len(styles))) for part in range(len(styles))]
    request = {
        "content": str(_write_picture(folder, content)),
        "styles": [str(_write_picture(folder, style)) for style in styles],
        "outputs": {"picture": str(folder / "out.png")}
        | {kind: str(folder / name) for kind, name in case.outputs.items()},
        "options": options,
    }
    begin = time.perf_counter()
    command = [sys.executable, "-m", "benchmarks.memory", "--alone", json.dumps(request)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    announced, used, tile = json.loads(done.stdout)
    return Measured(announced, used, tile, time.perf_counter() - begin)


def alone(request: Mapping[str, Any]) -> None:
    """Run a transfer here, as the command does; print what was announced, this process's peak, and the tile."""
    from fastconv.style.running.outputs import Outputs
    from fastconv.style.running.run import run

    from .style import peak

    paths: dict[str, Any] = {kind: Path(path) for kind, path in request["outputs"].items()}
    outputs = Outputs(overwrite=True, **paths)
    outcome = run(request["content"], request["styles"], outputs, **request["options"])
    settings = outcome.result.settings
    print(json.dumps([settings["estimate"]["memory"], peak(), settings["tile"]]))


def _write_picture(folder: Path, size: Size) -> Path:
    from .style import picture

    width, height = size
    return _write(folder / f"{_in_words(size)}.png", picture(max(size), width + height)[:height, :width])


def _write_mask(folder: Path, size: Size, part: int, parts: int) -> Path:
    """Write a mask that is white in one of so many stripes."""
    width, height = size
    stripes = np.arange(width) * parts // width
    mask = np.broadcast_to(np.where(stripes == part, 255, 0).astype(np.uint8), (height, width))
    return _write(folder / f"{_in_words(size)}-{part}-of-{parts}.png", mask)


def _write(path: Path, pixels: np.ndarray) -> Path:
    from PIL import Image

    if not path.exists():
        Image.fromarray(pixels).save(path, compress_level=1)
    return path


def _in_words(size: Size) -> str:
    return "x".join(map(str, size))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmarks.memory", description=__doc__)
    parser.add_argument(
        "--only", nargs="+", metavar="GROUP", choices=GROUPS, default=SHORT, help=f"groups to run: {', '.join(GROUPS)}"
    )
    parser.add_argument("--list", action="store_true", help="show the cases of each group and stop")
    parser.add_argument("--alone", type=json.loads, help=argparse.SUPPRESS)
    return parser


def main() -> int:
    """Measure the cases asked for; return 1 if an estimate was off by more than the tolerance."""
    arguments = _parser().parse_args()
    if arguments.alone:
        alone(arguments.alone)
        return 0
    if arguments.list:
        for name, cases in GROUPS.items():
            print(name, *cases, sep="\n  ")
        return 0
    passed = True
    print(f"{'announced':>11} {'peak':>8} {'ratio':>6} {'tile':>5} {'time':>6}")
    with tempfile.TemporaryDirectory() as folder:
        for case in (case for group in arguments.only for case in GROUPS[group]):
            found = measure(case, Path(folder))
            ratio = found.announced / found.peak
            passed &= abs(ratio - 1) <= TOLERANCE
            print(
                f"{found.announced / 1e6:8.0f} MB {found.peak / 1e6:5.0f} MB {ratio:6.3f} {found.tile:5} "
                f"{found.seconds:4.0f} s  {case}",
                flush=True,
            )
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
