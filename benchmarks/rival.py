"""The preset `best` against the program whose quality it is after: picture against picture, CPU second against second.

``python -m benchmarks.rival CONTENT STYLE`` paints one pair of pictures twice, each side in a process of its own, then
scores both results by the rival's own objective and compares the CPU seconds, user and system, of the two processes.

The rival is Katherine Crowson's style-transfer-pytorch (2023) with its defaults, described anew here after its source:

- pixels from 0 to 1; 0.015 of the mean square difference of relu4_2's features; the Wasserstein distance between the
  Gaussians of five layers' features, a mean over channels, weighted 256:64:16:4:1; 2 of a nine-point total variation;
- Adam at 0.02 with decay rates 0.9 and 0.99, pixels clamped after each step, a running average of 0.99 as the result;
- scales from 128 px in steps of sqrt(2), 1000 steps at the first and 500 at each later one; Adam's moments are resized
  from scale to scale; replicate padding in the first convolution;
- matrix roots by 12 Newton-Schulz iterations, and their gradients by 12 more for the Lyapunov equation.

Both sides have the same weights. The rival's are for pixels divided by their standard deviation, so the network's input
and its biases are divided by `UNIT` here, and with them all features.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image

from fastconv.nn.wasserstein import UNIT

from .style import BLOCKS, CONTENT_LAYER, MEAN, STYLE_LAYERS

if TYPE_CHECKING:
    import torch

OURS, RIVAL = "fastconv", "PyTorch"
SCORE_BAR, TIME_BAR = 1.05, 1 / 3

MIN_SCALE, STEPS = 128, 500  # and twice as many at the first scale
LEARNING_RATE, BETAS, AVERAGE = 0.02, (0.9, 0.99), 0.99
CONTENT_WEIGHT, SMOOTHNESS = 0.015, 2.0
LAYER_WEIGHTS = (256, 64, 16, 4, 1)
RIDGE = 1e-4  # on the diagonal of covariances
ITERATIONS = 12  # for a matrix root, and for its gradient


class Run(NamedTuple):
    """What one side's process did: CPU seconds and steps taken."""

    cpu: float
    steps: int


# --- the rival's objective ------------------------------------------------------------------------------------------


class Network:
    """VGG-19 down to relu5_1, for pixels from 0 to 1."""

    def __init__(self, weights: Path) -> None:
        import torch

        self.mean = torch.tensor(MEAN)[:, None, None]
        with np.load(weights) as archive:
            self.blocks = [
                [
                    (
                        torch.from_numpy(archive[f"conv{block}_{n}.weight"]),
                        torch.from_numpy(archive[f"conv{block}_{n}.bias"] / np.float32(UNIT)),
                    )
                    for n in range(1, count + 1)
                ]
                for block, count in enumerate(BLOCKS, start=1)
            ]

    def features(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the compared features of an image (1, 3, H, W), by layer."""
        from torch.nn.functional import conv2d, max_pool2d, pad

        found = {}
        x = pad((255 * image - self.mean) / UNIT, (1, 1, 1, 1), "replicate")
        for block, convolutions in enumerate(self.blocks, start=1):
            if block > 1:
                x = max_pool2d(x, 2)
            for n, (weight, bias) in enumerate(convolutions, start=1):
                layer = f"relu{block}_{n}"
                x = conv2d(x, weight, bias, padding=0 if layer == "relu1_1" else 1).relu_()
                if layer in (*STYLE_LAYERS, CONTENT_LAYER):
                    found[layer] = x
        return found


class Gaussian(NamedTuple):
    """Mean (C,) and covariance (C, C) of features over the positions."""

    mean: torch.Tensor
    covariance: torch.Tensor


def gaussian(features: torch.Tensor) -> Gaussian:
    """Fit a Gaussian to features (1, C, H, W)."""
    import torch

    flat = features.flatten(2)[0]
    mean = flat.mean(dim=1)
    second_moment = flat @ flat.T / flat.shape[1]
    return Gaussian(mean, second_moment - torch.outer(mean, mean) + RIDGE * torch.eye(len(mean), dtype=mean.dtype))


def root(matrix: torch.Tensor) -> torch.Tensor:
    """Take the root of a positive definite matrix, as exactly as so few iterations do.

    Newton-Schulz iteration; the gradient by an iteration for the Lyapunov equation, Lin and Maji, "Improved Bilinear
    Pooling with CNNs", arXiv:1707.06772.
    """
    import torch

    class Root(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, a: torch.Tensor) -> torch.Tensor:
            size = a.norm()
            identity = torch.eye(len(a), dtype=a.dtype)
            y, z = a / size, identity
            for _ in range(ITERATIONS):
                correction = 1.5 * identity - 0.5 * (z @ y)
                y, z = y @ correction, correction @ z
            y = y * size.sqrt()
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
            (y,) = ctx.saved_tensors
            size = y.norm()
            a, q = y / size, gradient / size
            for _ in range(ITERATIONS):
                correction = 3 * torch.eye(len(a), dtype=a.dtype) - a @ a
                q = (q @ correction - a.T @ (a.T @ q - q @ a)) / 2
                a = a @ correction / 2
            return q / 2

    return Root.apply(matrix)


def exact_root(matrix: torch.Tensor) -> torch.Tensor:
    """Take the root of a positive definite matrix by its eigenvalues."""
    import torch

    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T


def nine_point_variation(image: torch.Tensor) -> torch.Tensor:
    """Give the mean square step between neighbours, sideways, down and along both diagonals."""
    from torch.nn.functional import pad

    x = pad(image, (1, 1, 1, 1), "replicate")
    right, down = x[..., 1:-1, 1:] - x[..., 1:-1, :-1], x[..., 1:, 1:-1] - x[..., :-1, 1:-1]
    falling, rising = x[..., 1:, 1:] - x[..., :-1, :-1], x[..., 1:, :-1] - x[..., :-1, 1:]
    straight = right.square().sum() / image.numel() + down.square().sum() / image.numel()
    slanted = falling.square().mean() + rising.square().mean()
    return 2 / 3 * straight + slanted / 6


class Objective:
    """What the rival minimises at one scale."""

    def __init__(self, network: Network, content: torch.Tensor, style: torch.Tensor, take_root: Any = root) -> None:
        import torch

        self.network = network
        self.take_root = take_root
        self.shape = (content.shape[2], content.shape[3])
        with torch.no_grad():
            self.content = network.features(content)[CONTENT_LAYER]
            features = network.features(style)
            self.style = {layer: gaussian(features[layer]) for layer in STYLE_LAYERS}
            self.roots = {layer: take_root(target.covariance) for layer, target in self.style.items()}

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        """Return the loss of an image (1, 3, H, W)."""
        features = self.network.features(image)
        loss = CONTENT_WEIGHT * (features[CONTENT_LAYER] - self.content).square().mean()
        for layer, weight in zip(STYLE_LAYERS, LAYER_WEIGHTS, strict=True):
            loss = loss + weight / sum(LAYER_WEIGHTS) * self._distance(layer, gaussian(features[layer]))
        return loss + SMOOTHNESS * nine_point_variation(image)

    def _distance(self, layer: str, found: Gaussian) -> torch.Tensor:
        target, target_root = self.style[layer], self.roots[layer]
        cross = self.take_root(target_root @ found.covariance @ target_root)
        spread = (target.covariance + found.covariance - 2 * cross).diagonal().mean()
        return (found.mean - target.mean).square().mean() + spread


# --- the rival's run ------------------------------------------------------------------------------------------------


def scales(size: int) -> list[int]:
    """Return the long sides that the rival goes through up to `size`."""
    sides = [size]
    while (smaller := round(size / 2 ** (len(sides) / 2))) >= MIN_SCALE:
        sides.append(smaller)
    return sides[::-1]


def read(path: Path) -> Image.Image:
    """Open a picture file as RGB."""
    with Image.open(path) as picture:
        return picture.convert("RGB")


def tensor(picture: Image.Image, long_side: int, *, enlarge: bool) -> torch.Tensor:
    """Resize a picture as the rival does and return it as (1, 3, H, W), from 0 to 1."""
    import torch

    width, height = picture.size
    factor = long_side / max(width, height)
    if enlarge or factor < 1:
        picture = picture.resize((round(width * factor), round(height * factor)), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.asarray(picture, np.float32) / 255).permute(2, 0, 1)[None].contiguous()


def objective_at(network: Network, content: Path, style: Path, long_side: int, take_root: Any = root) -> Objective:
    """Return the rival's objective for two files at a scale."""
    return Objective(
        network,
        tensor(read(content), long_side, enlarge=True),
        tensor(read(style), long_side, enlarge=False),
        take_root,
    )


def paint_with_torch(content: Path, style: Path, size: int, weights: Path, steps: int) -> tuple[np.ndarray, int]:
    """Run the rival; return its picture, uint8, and the number of steps it took."""
    import torch
    from torch.nn.functional import interpolate

    network = Network(weights)
    sides = scales(size)
    image = tensor(read(content), sides[0], enlarge=True)
    previous: torch.optim.Adam | None = None
    taken = 0
    for side in sides:
        objective = objective_at(network, content, style, side)
        image = interpolate(image, objective.shape, mode="bicubic").clamp(0, 1).requires_grad_()
        optimizer = torch.optim.Adam([image], lr=LEARNING_RATE, betas=BETAS)
        if previous is not None:
            optimizer.load_state_dict(resized_moments(previous, objective.shape))
        average, left = (1 - AVERAGE) * image.detach(), AVERAGE
        for _ in range(2 * steps if side == sides[0] else steps):
            optimizer.zero_grad()
            objective(image).backward()
            optimizer.step()
            with torch.no_grad():
                image.clamp_(0, 1)
                average = AVERAGE * average + (1 - AVERAGE) * image
            left *= AVERAGE
            taken += 1
        image, previous = average / (1 - left), optimizer
    pixels = image[0].permute(1, 2, 0).clamp(0, 1).numpy()
    return np.rint(255 * pixels).astype(np.uint8), taken


def resized_moments(optimizer: torch.optim.Adam, shape: tuple[int, int]) -> dict[str, Any]:
    """Return Adam's state for an image of another height and width."""
    from torch.nn.functional import interpolate

    state = optimizer.state_dict()
    for moments in state["state"].values():
        moments["exp_avg"] = interpolate(moments["exp_avg"], shape, mode="bicubic")
        moments["exp_avg_sq"] = interpolate(moments["exp_avg_sq"], shape, mode="bilinear").relu()
    return state


# --- the comparison -------------------------------------------------------------------------------------------------


def paint_with_fastconv(content: Path, style: Path, size: int, weights: Path, steps: int) -> tuple[np.ndarray, int]:
    """Run the preset `best`; return its picture, uint8, and the number of steps it took."""
    from fastconv.style import Transfer

    if len(scales(size)) == 1:
        steps *= 2  # which the rival gives to its first scale even if it is the only one
    transfer = Transfer(content, style, weights=weights, preset="best", size=size, enlarge=True, steps=steps)
    for _ in transfer:
        pass
    return transfer.result().image, len(transfer.losses)


def run_alone(side: str, arguments: argparse.Namespace) -> None:
    """Paint with one side in this process; write the picture, and beside it the record of what it took."""
    if side == OURS:
        import fastconv

        fastconv.set_num_threads(arguments.threads)
        paint = paint_with_fastconv
    else:
        import torch

        torch.set_num_threads(arguments.threads)
        paint = paint_with_torch
    pixels, steps = paint(arguments.content, arguments.style, arguments.size, arguments.weights, arguments.steps)
    cpu = time.process_time()  # of all threads, from the process's start
    Image.fromarray(pixels).save(picture_of(side, arguments))
    keep_record(Run(cpu, steps), side, arguments)


def keep_record(run: Run, side: str, arguments: argparse.Namespace) -> None:
    """Write what one side took, and under which conditions."""
    from fastconv.style.files import write

    record = {"run": run._asdict(), "conditions": conditions(side, arguments)}
    write(record_of(side, arguments), json.dumps(record, indent=1).encode())


def picture_of(side: str, arguments: argparse.Namespace) -> Path:
    """Return where one side's picture belongs."""
    name = f"{arguments.content.stem}-{arguments.style.stem}-{arguments.size}-{side.lower()}.png"
    return arguments.folder / name


def record_of(side: str, arguments: argparse.Namespace) -> Path:
    """Return where the record of one side's run belongs."""
    return picture_of(side, arguments).with_suffix(".json")


def conditions(side: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what one side's result depends on, as JSON knows it, and the digest of its picture."""
    from fastconv.files import digest
    from fastconv.style.algorithm.presets import options_of

    inputs = {"content": arguments.content, "style": arguments.style, "weights": arguments.weights}
    result = picture_of(side, arguments)
    package = importlib.import_module("fastconv" if side == OURS else "torch")
    return {
        **{name: getattr(arguments, name) for name in ("size", "threads", "steps")},
        **({"preset": str(options_of("best", {}))} if side == OURS else {}),
        **{name: digest(path) for name, path in inputs.items()},
        "version": package.__version__,
        "result": digest(result) if result.exists() else None,
    }


def ensure_painted(side: str, arguments: argparse.Namespace) -> Run:
    """Let one side paint, unless what it made is there, under the same conditions; return what it took."""
    record = record_of(side, arguments)
    stored = json.loads(record.read_text()) if record.exists() else {}
    before, now = stored.get("conditions", {}), conditions(side, arguments)
    differing = [name for name, value in now.items() if before.get(name) != value]
    if differing:
        if stored:
            print(f"  {side} paints again, since these differ from {record}: {', '.join(differing)}", flush=True)
        command = [sys.executable, "-m", "benchmarks.rival", str(arguments.content), str(arguments.style)]
        for option in ("size", "threads", "weights", "folder", "steps"):
            command += [f"--{option}", str(getattr(arguments, option))]
        subprocess.run([*command, "--alone", side], check=True)
    return Run(**json.loads(record.read_text())["run"])


def scores(arguments: argparse.Namespace) -> Mapping[str, Mapping[str, float]]:
    """Score both pictures by the rival's objective at the last scale: with its own roots, and with exact ones."""
    import torch

    network = Network(arguments.weights)
    found = {}
    for name, take_root in (("its own", root), ("exact", exact_root)):
        objective = objective_at(network, arguments.content, arguments.style, arguments.size, take_root)
        with torch.no_grad():
            found[name] = {
                side: objective(tensor(read(picture_of(side, arguments)), arguments.size, enlarge=False)).item()
                for side in (OURS, RIVAL)
            }
    return found


def compare(arguments: argparse.Namespace) -> bool:
    """Paint, score, print, and return whether both bars were passed."""
    runs = {side: ensure_painted(side, arguments) for side in (OURS, RIVAL)}
    for side, run in runs.items():
        print(f"  {side:9} {run.cpu:7.0f} CPU seconds, {run.steps} steps, {picture_of(side, arguments)}")
    ratios = {}
    for name, values in scores(arguments).items():
        ratios[name] = values[OURS] / values[RIVAL]
        print(f"  objective with {name:7} roots: {values[OURS]:.5f} against {values[RIVAL]:.5f}, {ratios[name]:.3f}x")
    time_ratio = runs[OURS].cpu / runs[RIVAL].cpu
    passed = ratios["its own"] <= SCORE_BAR and time_ratio <= TIME_BAR
    print(f"  CPU time {time_ratio:.2f}x; bars {SCORE_BAR}x and {TIME_BAR:.2f}x: " + ("passed" if passed else "MISSED"))
    return passed


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmarks.rival", description=__doc__.partition("\n")[0])
    parser.add_argument("content", type=Path, help="the photograph")
    parser.add_argument("style", type=Path, help="the painting")
    parser.add_argument("--size", type=int, default=512, help="long side of the result (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="threads of each (default: %(default)s)")
    parser.add_argument("--weights", type=Path, help="a converted .npz (default: the weights that are found first)")
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path(),
        help="for the pictures; what is there is not painted again, unless by other settings, files or versions",
    )
    parser.add_argument("--steps", type=int, default=STEPS, help="at each scale but the first (default: %(default)s)")
    parser.add_argument("--alone", choices=(OURS, RIVAL), help=argparse.SUPPRESS)
    return parser


def main() -> int:
    """Run what the command line asks for; return 1 if a bar was missed."""
    arguments = _parser().parse_args()
    if importlib.util.find_spec("torch") is None:
        print("skipped: the rival needs PyTorch (pip install torch)")
        return 0
    from fastconv import weights as vgg_weights

    from . import machine

    arguments.weights = arguments.weights or vgg_weights.load(progress=False).path
    if arguments.alone:
        run_alone(arguments.alone, arguments)
        return 0
    if complaint := machine.throttled_blas("python -m benchmarks.rival"):
        sys.exit(complaint)
    for fact, value in machine.describe().items():
        print(f"{fact}: {value}")
    return 0 if compare(arguments) else 1


if __name__ == "__main__":
    sys.exit(main())
