"""fastconv against PyTorch and ONNX Runtime, and against the machine's limits.

``python -m benchmarks.peers`` runs everything, ``--only GROUP ...`` parts of it, ``--list`` names the groups.
Peers that are not installed are left out with a message: ``pip install torch onnxruntime onnx``.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import fastconv

from . import contestants, machine, shapes
from .contest import SETTLE, Call, Case, Contestant, Row, geometric_mean, run
from .contestants import COPY, ONNX, OURS, TORCH_NCHW, TORCH_NHWC, Data
from .peak import multiply_adds
from .shapes import Layer

TORCH = (TORCH_NCHW, TORCH_NHWC)


@dataclass(frozen=True)
class Settings:
    """What the command line says."""

    threads: int
    repeat: int
    settle: float
    algorithm: str
    peers: tuple[str, ...]
    tiny: bool

    def scaled(self, layer: Layer) -> Layer:
        """Return the layer to time: itself, or a small one for a run that only shows that the code works."""
        return layer.tiny() if self.tiny else layer


Cases = Callable[[Settings], Iterator[Case]]


@dataclass(frozen=True)
class Group:
    """A table of cases with a bar for its ratios.

    Attributes
    ----------
    title : str
        What is compared.
    cases : callable
        Generates the cases, given `Settings`.
    mean, least : float
        Bars for the geometric mean of the ratios and for each of them.
    peers : tuple of str
        Libraries that take part.
    unit : str
        Of a case's work a second, in thousand millions.
    environment : mapping
        Variables that must be set before the process starts.
    processes : int
        How many processes a peer is timed in, its best counting: PyTorch's NCHW is bistable between processes.
    """

    title: str
    cases: Cases
    mean: float
    least: float
    peers: tuple[str, ...] = ()
    unit: str = "GF/s"
    environment: Mapping[str, str] = field(default_factory=dict)
    processes: int = 1


def _against_peers(
    layers: Callable[[], Sequence[Layer]],
    ours: Callable[..., Call],
    theirs: Callable[[str, Data], Call],
    dtype: type = np.float32,
) -> Cases:
    """Return cases of one function of ours, which may take an algorithm, against its counterpart in other libraries."""

    def cases(settings: Settings) -> Iterator[Case]:
        for layer in map(settings.scaled, layers()):
            data = Data(layer, dtype)
            mine = ours(data) if ours in POOLINGS else ours(data, settings.algorithm)
            rivals = {peer: Contestant(theirs(peer, data)) for peer in settings.peers}
            work = layer.pooling_bytes if ours in POOLINGS else layer.flops
            yield Case(layer.name, work, {OURS: Contestant(mine), **rivals})

    return cases


POOLINGS = (contestants.max_pool, contestants.max_pool_backward)


def _against_peak(settings: Settings) -> Iterator[Case]:
    layers = shapes.vgg19(224)
    for layer in (settings.scaled(layers[name]) for name in ("conv2_2", "conv3_2", "conv4_2")):
        direct = contestants.packed(Data(layer), "direct")
        limit = multiply_adds(layer.flops, np.dtype(np.float32))
        yield Case(layer.name, layer.flops, {f"{OURS} direct": Contestant(direct), "FMA peak": Contestant(limit)})


def _against_one_thread(settings: Settings) -> Iterator[Case]:
    for layer in map(settings.scaled, shapes.vgg19_heavy(224)):
        call = contestants.packed(Data(layer), settings.algorithm)

        def alone(call: Call = call) -> Any:
            fastconv.set_num_threads(1)
            try:
                return call()
            finally:
                fastconv.set_num_threads(settings.threads)

        racing = {f"{settings.threads} threads": Contestant(call), "1 thread": Contestant(alone)}
        yield Case(layer.name, layer.flops, racing)


def _after_idling(settings: Settings) -> Iterator[Case]:
    layer = settings.scaled(shapes.vgg19(224)["conv3_2"])
    call = contestants.packed(Data(layer), settings.algorithm)
    yield Case(layer.name, layer.flops, {"after 50 ms": Contestant(call, rest=0.05), "warm": Contestant(call)})


def _against_references(settings: Settings) -> Iterator[Case]:
    data = Data(settings.scaled(shapes.REPORT_CONV))
    for reference in ("im2col", "loops"):
        racing = {OURS: contestants.packed(data, settings.algorithm), reference: contestants.packed(data, reference)}
        yield Case(f"against {reference}", data.layer.flops, {name: Contestant(call) for name, call in racing.items()})


def _against_copies(settings: Settings) -> Iterator[Case]:
    for size in (224, 512):
        data = Data(settings.scaled(shapes.vgg19(size)["conv1_2"]))
        for name, (ours, copy, count) in contestants.elementwise(data).items():
            yield Case(f"{name} 64x{size}x{size}", count, {OURS: Contestant(ours), COPY: Contestant(copy)})


def _forward(layers: Callable[[], Sequence[Layer]], ours: Callable[..., Call] = contestants.packed) -> Cases:
    return _against_peers(layers, ours, contestants.forward_peer)


def _input_grad(layers: Callable[[], Sequence[Layer]]) -> Cases:
    return _against_peers(layers, contestants.input_grad, contestants.input_grad_peer)


def _vgg(size: int, n: int = 1) -> Callable[[], Sequence[Layer]]:
    return lambda: shapes.vgg19_heavy(size, n)


AVX2 = {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx2,+fma", "ONEDNN_MAX_CPU_ISA": "AVX2"}
NO_BAR = 0.0

GROUPS = {
    "vgg224": Group("VGG-19 at 224 px, packed, forward", _forward(_vgg(224)), 2.3, 1.4, (*TORCH, ONNX)),
    "vgg512": Group("VGG-19 at 512 px, packed, forward", _forward(_vgg(512)), 2.8, 2.0, (*TORCH, ONNX)),
    "input_grad224": Group("VGG-19 at 224 px, packed, input gradient", _input_grad(_vgg(224)), 2.3, NO_BAR, TORCH),
    "input_grad512": Group("VGG-19 at 512 px, packed, input gradient", _input_grad(_vgg(512)), 2.8, NO_BAR, TORCH),
    "weight_grad224": Group(
        "VGG-19 at 224 px, weight gradient",
        _against_peers(_vgg(224), contestants.weight_grad, contestants.weight_grad_peer),
        1.8,
        NO_BAR,
        TORCH,
    ),
    "batch8": Group("VGG-19 at 224 px, batch 8, packed, forward", _forward(_vgg(224, 8)), 2.3, NO_BAR, (*TORCH, ONNX)),
    "conv1_1": Group(
        "VGG-19's first convolution, packed, forward",
        _forward(shapes.vgg19_first),
        1.0,
        1.0,
        (*TORCH, ONNX),
    ),
    "unpacked": Group(
        "VGG-19 at 224 px, plain weights, forward",
        _forward(_vgg(224), contestants.unpacked),
        1.4,
        1.0,
        (TORCH_NCHW,),
        processes=3,
    ),
    "networks": Group(
        "Layers of other networks, packed, forward",
        _forward(lambda: shapes.NETWORKS),
        1.2,
        0.8,
        (TORCH_NCHW,),
        processes=3,
    ),
    "networks_input_grad": Group(
        "Layers of other networks, packed, input gradient",
        _input_grad(lambda: shapes.NETWORKS),
        1.2,
        0.8,
        (TORCH_NCHW,),
        processes=3,
    ),
    "float64": Group(
        "VGG-19 at 112 px, float64, packed, forward",
        _against_peers(_vgg(112), contestants.packed, contestants.forward_peer, np.float64),
        4.0,
        2.5,
        TORCH,
    ),
    "pooling": Group(
        "Max pooling with indices, forward",
        _against_peers(lambda: shapes.POOLS, contestants.max_pool, contestants.max_pool_peer),
        8.0,
        5.0,
        (TORCH_NCHW,),
        "GB/s",
        processes=3,
    ),
    "pooling_backward": Group(
        "Max pooling, backward",
        _against_peers(lambda: shapes.POOLS, contestants.max_pool_backward, contestants.max_pool_backward_peer),
        1.3,
        NO_BAR,
        (TORCH_NCHW,),
        "GB/s",
        processes=3,
    ),
    "elementwise": Group(
        "Passes over arrays against a copy that moves as many bytes", _against_copies, 1.0, 1.0, unit="GB/s"
    ),
    "avx2": Group(
        "AVX2 builds, VGG-19 at 224 px, packed, forward", _forward(_vgg(224)), 1.5, NO_BAR, TORCH, environment=AVX2
    ),
    "peak": Group("The direct method against the measured FMA peak", _against_peak, 0.9, 0.9),
    "threads": Group("All threads against one, VGG-19 at 224 px, packed, forward", _against_one_thread, 1.8, NO_BAR),
    "idle": Group("conv3_2 at 224 px after idling", _after_idling, 1 / 1.3, 1 / 1.3),
    "small": Group(
        "A small convolution (1x8x16x16, 8 channels out; the bar is 25 us)",
        _forward(lambda: [shapes.SMALL]),
        NO_BAR,
        NO_BAR,
        TORCH,
    ),
    "report": Group("The original report's case", _against_references, NO_BAR, NO_BAR),
}


def measure(name: str, settings: Settings) -> Iterator[Row]:
    """Time a group's cases in this process, one after the other."""
    for case in GROUPS[name].cases(settings):
        yield run(case, settings.repeat, settings.settle)


def measure_in_child(name: str, settings: Settings) -> list[Row]:
    """Time a group in a process of its own, started with the environment that the group asks for."""
    command = [sys.executable, "-m", "benchmarks.peers", "--as-child", name, json.dumps(dataclasses.asdict(settings))]
    environment = {**os.environ, **GROUPS[name].environment}
    child = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return [Row(**row) for row in json.loads(child.stdout)]


def _be_child(name: str, settings: str) -> None:
    values = json.loads(settings)
    received = Settings(**{**values, "peers": tuple(values["peers"])})
    contestants.set_threads(received.threads)
    json.dump([dataclasses.asdict(row) for row in measure(name, received)], sys.stdout)


def compete(name: str, settings: Settings, processes: int | None = None) -> Iterator[Row]:
    """Time a group as it asks to be timed.

    Parameters
    ----------
    name : str
        Of a group.
    settings : Settings
        From the command line; peers that the group does not ask for are left out.
    processes : int or None
        How many processes to time the peers in, instead of the group's own number.

    Yields
    ------
    Row
        One a case. Of several processes, it has the best medians of the peers and this process's own of the first.
    """
    group = GROUPS[name]
    settings = dataclasses.replace(settings, peers=tuple(peer for peer in group.peers if peer in settings.peers))
    if group.environment:
        yield from measure_in_child(name, settings)
        return
    more = (processes or group.processes) - 1 if settings.peers else 0
    others = [measure_in_child(name, settings) for _ in range(more)]
    for row, *versions in zip(measure(name, settings), *others, strict=True):
        best = {peer: min(version.medians[peer] for version in (row, *versions)) for peer in settings.peers}
        yield dataclasses.replace(row, medians=row.medians | best)


# --- tables ---------------------------------------------------------------------------------------------------------


def show(name: str, settings: Settings, processes: int | None = None) -> bool:
    """Time a group, print its table, and return whether it passed its bars (or has none to pass)."""
    group = GROUPS[name]
    variables = "".join(f" {key}={value}" for key, value in group.environment.items())
    print(f"\n{name}: {group.title}{variables}", flush=True)
    ratios: list[float] = []
    for row in compete(name, settings, processes):
        if not ratios:
            print(f"{'':34}" + "".join(f"{each:>22}" for each in row.medians) + f"{'ratio':>9}")
        ratios.append(row.ratio)
        print(
            f"  {row.name:32}"
            + "".join(map(_cell, row.medians.values(), itertools.repeat(row.work), itertools.repeat(group.unit))),
            end="",
        )
        print(f"{row.ratio:8.2f}x", flush=True)
    mean, least = geometric_mean(ratios), min(ratios)
    passed = not (mean < group.mean or least < group.least)  # NaN, for want of peers, is no failure
    bars = f"bars {group.mean:.2f}x and {group.least:.2f}x: " + ("passed" if passed else "MISSED")
    told = bars if group.mean and not settings.tiny and not math.isnan(mean) else "no bar"
    print(f"  {'geometric mean':32}{mean:.2f}x, least {least:.2f}x; {told}", flush=True)
    return passed


def _cell(seconds: float, work: int, unit: str) -> str:
    return f"{_duration(seconds):>11} {work / seconds / 1e9:5.0f} {unit}"


def _duration(seconds: float) -> str:
    if seconds < 1e-3:
        return f"{seconds * 1e6:.1f} us"
    return f"{seconds * 1e3:.2f} ms" if seconds < 1 else f"{seconds:.2f} s"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmarks.peers", description=__doc__)
    parser.add_argument(
        "--only", nargs="+", metavar="GROUP", choices=GROUPS, default=list(GROUPS), help="groups to run"
    )
    parser.add_argument("--list", action="store_true", help="name the groups and stop")
    parser.add_argument("--threads", type=int, default=fastconv.get_num_threads(), help="threads of every library")
    parser.add_argument("--repeat", type=int, default=9, help="timed samples of each contestant (default: %(default)s)")
    parser.add_argument(
        "--settle",
        type=float,
        default=SETTLE,
        help="seconds of untimed calls before each sample, at least one call (default: %(default)s)",
    )
    parser.add_argument("--algorithm", default="auto", help="fastconv's algorithm (default: %(default)s)")
    parser.add_argument("--no-peers", action="store_true", help="time fastconv alone")
    parser.add_argument("--processes", type=int, help="processes to time a peer in, its best counting")
    parser.add_argument("--tiny", action="store_true", help="small layers: shows that the code works, nothing else")
    parser.add_argument("--as-child", nargs=2, help=argparse.SUPPRESS)
    return parser


def _installed(peers: Sequence[str]) -> tuple[str, ...]:
    for peer in peers:
        if modules := contestants.missing(peer):
            print(f"{peer} does not take part: pip install {' '.join(modules)}")
    return tuple(peer for peer in peers if not contestants.missing(peer))


def main() -> int:
    """Run the groups asked for; return 1 if one missed its bar."""
    arguments = _parser().parse_args()
    if arguments.as_child:
        _be_child(*arguments.as_child)
        return 0
    if arguments.list:
        for name, group in GROUPS.items():
            print(f"{name:20} {group.title}")
        return 0
    if complaint := machine.throttled_blas("python -m benchmarks.peers"):
        sys.exit(complaint)
    contestants.set_threads(arguments.threads)
    for fact, value in machine.describe().items():
        print(f"{fact}: {value}")
    peers = () if arguments.no_peers else _installed((*TORCH, ONNX))
    settings = Settings(
        arguments.threads, arguments.repeat, arguments.settle, arguments.algorithm, peers, arguments.tiny
    )
    passed = [show(name, settings, arguments.processes) for name in arguments.only]
    return 0 if arguments.tiny or all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
