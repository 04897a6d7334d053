"""A step of style transfer against the same step in eager PyTorch: seconds, and the peak memory of a fresh process.

``python -m benchmarks.style`` races at 256, 512 and 1024 px, ``--size N ...`` at others; ``--parts`` shows instead what
our step spends its time on. A square picture, one style
picture, one scale, Adam, the losses of `fastconv.nn.losses` ("relative"), the weights that are found first. PyTorch's
loop is as lean as it can be without a compiler: ReLU in place, targets computed beforehand, no gradients of weights,
convolutions down to conv5_1 and no further. It counts with the faster of its two layouts.

This module loads neither library when it is imported, so that the memory of each is its own.
"""

from __future__ import annotations

import argparse
import functools
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .contest import LONG_CALL, SETTLE

if TYPE_CHECKING:
    import torch

OURS = "fastconv"
RIVALS = ("PyTorch NCHW", "PyTorch NHWC")
BLOCKS = (2, 2, 4, 4, 1)  # convolutions, down to conv5_1
STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
CONTENT_LAYER = "relu4_2"
ALPHA, BETA, LEARNING_RATE, BETAS = 1.0, 100.0, 5.0, (0.9, 0.99)
MEAN = (123.68, 116.779, 103.939)

WARM = 2  # untimed steps of each contestant before the first timed one
SAME = 2e-3  # relative difference of the losses of the second step; the first starts at the same picture
SPEED_BARS = {256: 2.5, 512: 3.5, 1024: 3.5}
MEMORY_BARS = {512: 0.6, 1024: 0.5}
PEAK_STEPS = 3
ENDLESS = 1_000_000  # steps


def picture(size: int, seed: int) -> np.ndarray:
    """Return patches of colour with noise, (size, size, 3), uint8: nothing is flat, as in a photograph."""
    rng = np.random.default_rng(seed)
    side = 32
    patches = np.kron(rng.uniform(40, 215, (-(-size // side),) * 2 + (3,)), np.ones((side, side, 1)))
    return (patches[:size, :size] + rng.normal(0, 12, (size, size, 3))).clip(0, 255).astype(np.uint8)


def our_losses(size: int, weights: Path, steps: int) -> Iterator[float]:
    """Run our transfer; yield the loss of each step when it is done."""
    from fastconv.style import Transfer

    transfer = Transfer(
        picture(size, 1), picture(size, 2), weights=weights, size=size, min_scale=size, steps=steps, alpha=ALPHA,
        beta=BETA, total_variation=0.0, loss="relative", padding="zeros", learning_rate=LEARNING_RATE, betas=BETAS,
    )  # fmt: skip
    return (step.loss for step in transfer)


def torch_losses(size: int, weights: Path, steps: int, *, channels_last: bool) -> Iterator[float]:
    """Run PyTorch's transfer; yield the loss of each step when it is done."""
    import torch

    layout = torch.channels_last if channels_last else torch.contiguous_format
    content = _torch_picture(size, 1, layout)
    objective = _TorchObjective(_TorchNetwork(weights, layout), content, _torch_picture(size, 2, layout))
    image = content.clone(memory_format=torch.preserve_format).requires_grad_()
    optimizer = torch.optim.Adam([image], lr=LEARNING_RATE, betas=BETAS)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = objective.loss(image)
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            image.clamp_(0, 255)
        yield loss.item()


def _torch_picture(size: int, seed: int, layout: torch.memory_format) -> torch.Tensor:
    import torch

    planes = torch.from_numpy(picture(size, seed).transpose(2, 0, 1)[None].astype(np.float32))
    return planes.contiguous(memory_format=layout)


class _TorchNetwork:
    """VGG-19 down to the last layer that a loss needs."""

    def __init__(self, weights: Path, layout: torch.memory_format) -> None:
        import torch

        self.layout = layout
        self._mean = torch.tensor(MEAN)[:, None, None]
        with np.load(weights) as archive:
            self._blocks = [
                [
                    (
                        torch.from_numpy(archive[f"conv{block}_{n}.weight"]).contiguous(memory_format=layout),
                        torch.from_numpy(archive[f"conv{block}_{n}.bias"]),
                    )
                    for n in range(1, count + 1)
                ]
                for block, count in enumerate(BLOCKS, start=1)
            ]

    def features(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        from torch.nn.functional import conv2d, max_pool2d

        found, x = {}, image - self._mean
        for block, convolutions in enumerate(self._blocks, start=1):
            if block > 1:
                x = max_pool2d(x, 2)
            for n, (weight, bias) in enumerate(convolutions, start=1):
                x = conv2d(x, weight, bias, padding=1).relu_()
                if f"relu{block}_{n}" in (*STYLE_LAYERS, CONTENT_LAYER):
                    found[f"relu{block}_{n}"] = x
        return found

    def gram(self, feature: torch.Tensor) -> torch.Tensor:
        import torch

        if self.layout == torch.channels_last:  # a view in either layout
            flat = feature.permute(0, 2, 3, 1).reshape(-1, feature.shape[1])
            return flat.T @ flat / len(flat)
        flat = feature.reshape(feature.shape[1], -1)
        return flat @ flat.T / flat.shape[1]


class _TorchObjective:
    """The loss of an image, with targets that are computed beforehand."""

    def __init__(self, network: _TorchNetwork, content: torch.Tensor, style: torch.Tensor) -> None:
        import torch

        self._network = network
        with torch.no_grad():
            self._target = network.features(content)[CONTENT_LAYER].clone()
            features = network.features(style)
            self._grams = {name: network.gram(features[name]) for name in STYLE_LAYERS}
        self._content_scale = ALPHA / self._target.square().sum()
        self._style_scales = {name: BETA / len(STYLE_LAYERS) / a.square().sum() for name, a in self._grams.items()}

    def loss(self, image: torch.Tensor) -> torch.Tensor:
        found = self._network.features(image)
        loss = self._content_scale * (found[CONTENT_LAYER] - self._target).square().sum()
        for name, a in self._grams.items():
            loss = loss + self._style_scales[name] * (self._network.gram(found[name]) - a).square().sum()
        return loss


def losses(name: str, size: int, weights: Path, steps: int, threads: int) -> Iterator[float]:
    """Start a contestant."""
    if name == OURS:
        import fastconv

        fastconv.set_num_threads(threads)
        return our_losses(size, weights, steps)
    import torch

    torch.set_num_threads(threads)
    return torch_losses(size, weights, steps, channels_last=name == RIVALS[1])


# --- time -----------------------------------------------------------------------------------------------------------


def race(names: list[str], size: int, weights: Path, rounds: int, threads: int) -> dict[str, list[float]]:
    """Time steps of the contestants in turn; return the seconds of each one's.

    Raises
    ------
    AssertionError
        If the losses of two of them differ: they did not do the same work.
    """
    runs = {name: losses(name, size, weights, ENDLESS, threads) for name in names}
    seconds: dict[str, list[float]] = {name: [] for name in names}
    begun = {name: [next(run) for _ in range(WARM)] for name, run in runs.items()}
    _compare(begun)
    quick = {name: _timed(run) < LONG_CALL for name, run in runs.items()}
    for _ in range(rounds):
        for name, run in runs.items():
            time.sleep(SETTLE)  # the threads of the one before may still spin
            if quick[name]:
                next(run)  # and this one's sleep
            seconds[name].append(_timed(run))
    return seconds


def _timed(run: Iterator[float]) -> float:
    begin = time.perf_counter()
    next(run)
    return time.perf_counter() - begin


def _compare(begun: Mapping[str, list[float]]) -> None:
    (first, *_), *rest = ((values, name) for name, values in begun.items())
    for values, name in rest:
        if not all(math.isclose(a, b, rel_tol=SAME) for a, b in zip(first, values, strict=True)):
            raise AssertionError(f"{name} has losses {values}, {next(iter(begun))} has {first}")


# --- parts ----------------------------------------------------------------------------------------------------------


@dataclass
class Part:
    """Calls of one kind in the steps that were timed."""

    seconds: float = 0.0
    calls: int = 0
    multiply_adds: float = 0.0  # as the method does them, Winograd's a quarter
    nbytes: float = 0.0  # of the arrays that must be read and written, each once


class Parts:
    """A stopwatch for the parts of a step: it takes the place of the functions that it times."""

    def __init__(self) -> None:
        self.on = False
        self.parts: dict[str, Part] = defaultdict(Part)

    def watch(self, owner: Any, name: str, label: str, work: Callable[..., tuple[float, float]]) -> None:
        """Time calls of ``owner.name``; `work` tells the multiply-adds and bytes of one from its arguments."""
        function = getattr(owner, name)

        @functools.wraps(function)
        def timed(*args: Any, **keywords: Any) -> Any:
            if not self.on:
                return function(*args, **keywords)
            begin = time.perf_counter()
            result = function(*args, **keywords)
            part = self.parts[label]
            part.seconds += time.perf_counter() - begin
            part.calls += 1
            multiply_adds, nbytes = work(*args)
            part.multiply_adds += multiply_adds
            part.nbytes += nbytes
            return result

        setattr(owner, name, timed)


def _convolution_work(convolution: Any, x: Any, second: Any, third: Any, **_: Any) -> tuple[float, float]:
    """Work of a :class:`FusedConv2d` in either direction: (x, out, trace) or (gradient, gate, out)."""
    arrays = [array for array in (x, second, third) if array is not None]
    k, c = convolution.weight_shape[:2]
    full = max(array.shape[2] * array.shape[3] for array in arrays)
    direct = 9.0 * k * c * full
    return (direct if c == 3 else direct / 4), sum(array.nbytes for array in arrays)


def _gram_work(features: Any, *_: Any) -> tuple[float, float]:
    c, positions = features.shape
    return c * (c + 1) / 2 * positions, features.nbytes


def _gram_gradient_work(features: Any, *_: Any) -> tuple[float, float]:
    c, positions = features.shape
    return float(c) * c * positions, 3 * features.nbytes


def watched() -> Parts:
    """Put the stopwatch in: from now on, steps of ours are timed by parts."""
    from fastconv.backend import compiled
    from fastconv.fused import FusedConv2d
    from fastconv.nn import losses, optim

    parts = Parts()
    parts.watch(FusedConv2d, "forward", "convolution, ReLU, pooling: forward", _convolution_work)
    parts.watch(FusedConv2d, "input_grad", "convolution, ReLU, pooling: backward", _convolution_work)
    parts.watch(compiled, "gram", "Gram matrices", _gram_work)
    parts.watch(compiled, "add_gram_gradient", "gradient of Gram matrices", _gram_gradient_work)
    parts.watch(losses.ContentLoss, "forward", "content loss", lambda loss, x: (0.0, 2.0 * x.nbytes))
    parts.watch(losses.ContentLoss, "backward", "content gradient", lambda loss, x, total: (0.0, 4.0 * x.nbytes))
    parts.watch(optim.Adam, "step", "Adam", lambda adam, gradient: (0.0, 7.0 * gradient.nbytes))
    return parts


def show_parts(size: int, weights: Path, rounds: int, threads: int) -> None:
    """Time the parts of our step; print a table with the limits of arithmetic and of memory beside each."""
    from fastconv import jit

    from .peak import multiply_adds

    parts = watched()
    run = losses(OURS, size, weights, ENDLESS, threads)
    for _ in range(WARM):
        next(run)
    parts.on = True
    steps = sum(_timed(run) for _ in range(rounds))
    flops = 40_000_000_000
    call = multiply_adds(flops, np.dtype(np.float32))
    call()
    begin = time.perf_counter()
    call()
    per_second = flops / 2 / (time.perf_counter() - begin)
    print(f"  {size} px, {jit.get_num_threads()} threads, {2e-9 * per_second:.0f} GFLOP/s at most; ms a step:")
    print(f"  {'':40} {'ms':>8} {'share':>6} {'calls':>6} {'arithmetic':>11} {'MB moved':>9}")
    rest = steps
    for label, part in sorted(parts.parts.items(), key=lambda item: -item[1].seconds):
        rest -= part.seconds
        print(
            f"  {label:40} {part.seconds / rounds * 1e3:8.1f} {part.seconds / steps:6.1%} {part.calls / rounds:6.0f} "
            f"{part.multiply_adds / per_second / rounds * 1e3:11.1f} {part.nbytes / rounds / 1e6:9.0f}"
        )
    print(f"  {'everything else':40} {rest / rounds * 1e3:8.1f} {rest / steps:6.1%}")
    print(f"  {'a step':40} {steps / rounds * 1e3:8.1f}", flush=True)


# --- memory ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Alone:
    """A contestant in a process of its own."""

    name: str
    size: int
    weights: Path
    threads: int

    def run(self) -> None:
        """Take a few steps and print this process's peak memory in bytes."""
        for _ in losses(self.name, self.size, self.weights, PEAK_STEPS, self.threads):
            pass
        print(peak())

    def peak(self, environment: Mapping[str, str] | None = None) -> int:
        """Return the peak memory of a fresh process, in bytes."""
        command = [sys.executable, "-m", "benchmarks.style", "--size", str(self.size), "--threads", str(self.threads)]
        command += ["--weights", str(self.weights), "--alone", self.name]
        done = subprocess.run(
            command, stdout=subprocess.PIPE, text=True, check=True, env={**os.environ, **(environment or {})}
        )
        return int(done.stdout)


def peak() -> int:
    """Return the most memory that this process has held, in bytes (Linux)."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def cold_peak(alone: Alone) -> int:
    """Return the peak memory when all kernels must be compiled first."""
    with tempfile.TemporaryDirectory() as folder:
        return alone.peak({"FASTCONV_CACHE_DIR": folder})


# --- tables ---------------------------------------------------------------------------------------------------------


def show_times(names: list[str], size: int, weights: Path, arguments: argparse.Namespace) -> bool:
    """Race, print the result, and return whether the bar was passed."""
    seconds = race(names, size, weights, arguments.rounds, arguments.threads)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    for name, values in seconds.items():
        print(f"  {size:5} px  {name:14} {medians[name]:8.3f} s a step, least {min(values):.3f} s", flush=True)
    if len(medians) == 1:
        return True
    return _judge(size, "speed", min(medians[name] for name in names[1:]) / medians[OURS], SPEED_BARS.get(size), 1)


def show_peaks(names: list[str], size: int, weights: Path, arguments: argparse.Namespace) -> bool:
    """Measure memory, print the result, and return whether the bar was passed."""
    peaks = {name: Alone(name, size, weights, arguments.threads).peak() for name in names}
    for name, nbytes in peaks.items():
        print(f"  {size:5} px  {name:14} {nbytes / 1e6:8.0f} MB at the peak", flush=True)
    if arguments.cold:
        cold = cold_peak(Alone(OURS, size, weights, arguments.threads))
        print(f"  {size:5} px  {OURS:14} {cold / 1e6:8.0f} MB when kernels are compiled", flush=True)
    if len(peaks) == 1:
        return True
    return _judge(size, "memory", peaks[OURS] / min(peaks[name] for name in names[1:]), MEMORY_BARS.get(size), -1)


def _judge(size: int, what: str, ratio: float, bar: float | None, sense: int) -> bool:
    passed = bar is None or sense * ratio >= sense * bar
    told = "no bar" if bar is None else f"bar {bar:.2f}x: " + ("passed" if passed else "MISSED")
    print(f"  {size:5} px  {what} {ratio:.2f}x; {told}", flush=True)
    return passed


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmarks.style", description=__doc__)
    parser.add_argument("--size", type=int, nargs="+", default=[256, 512, 1024], help="sides of the square picture")
    parser.add_argument("--rounds", type=int, default=10, help="timed steps of each contestant (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="threads of each (default: %(default)s)")
    parser.add_argument("--weights", type=Path, help="a converted .npz (default: the weights that are found first)")
    parser.add_argument("--no-peers", action="store_true", help="run fastconv alone")
    parser.add_argument("--no-memory", action="store_true", help="measure time only")
    parser.add_argument("--no-time", action="store_true", help="measure memory only")
    parser.add_argument("--parts", action="store_true", help="time the parts of our step, and nothing else")
    parser.add_argument("--cold", action="store_true", help="also measure memory with nothing compiled beforehand")
    parser.add_argument("--alone", choices=(OURS, *RIVALS), help=argparse.SUPPRESS)
    return parser


def main() -> int:
    """Run what the command line asks for; return 1 if a bar was missed."""
    arguments = _parser().parse_args()
    if arguments.alone:
        Alone(arguments.alone, arguments.size[0], arguments.weights, arguments.threads).run()
        return 0
    from fastconv import weights as vgg_weights

    from . import contestants, machine

    if complaint := machine.throttled_blas("python -m benchmarks.style"):
        sys.exit(complaint)
    for fact, value in machine.describe().items():
        print(f"{fact}: {value}")
    weights = arguments.weights or vgg_weights.load(progress=False).path
    peers = [] if arguments.no_peers else [name for name in RIVALS if not contestants.missing(name)]
    passed = []
    for size in arguments.size:
        if arguments.parts:
            show_parts(size, weights, arguments.rounds, arguments.threads)
            continue
        if not arguments.no_time:
            passed.append(show_times([OURS, *peers], size, weights, arguments))
        if not arguments.no_memory:
            passed.append(show_peaks([OURS, *peers], size, weights, arguments))
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
