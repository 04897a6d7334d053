"""Convolution, forward and backward, by every algorithm: VGG-19's layers at 224 px, and the original report's case."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import pytest

from fastconv import checks
from fastconv.algorithms import ALGORITHMS, Pass

from . import contestants, shapes
from .contest import Call
from .contestants import Data
from .shapes import Layer

PASSES: dict[Pass, Callable[[Data, str], Call]] = {
    "forward": contestants.packed,
    "input_grad": contestants.input_grad,
    "weight_grad": contestants.weight_grad,
}
CASES = {f"VGG-19 {name}": (layer, "float32") for name, layer in shapes.vgg19(224).items()} | {
    f"report {dtype}": (shapes.REPORT_CONV, dtype) for dtype in ("float32", "float64")
}
LOOPS_PLANE = 28  # the loops take minutes on larger planes of VGG-19
ROUNDING = {"direct": 1e-6, "winograd": 3e-6, "winograd2": 1e-6}  # root mean square, relative, float32, C <= 512
FLOAT64_ROUNDING = 1e-13
REFERENCE_ROUNDING = 1e-5


def _races() -> list[tuple[str, Pass, str]]:
    return [
        (case, pass_, algorithm)
        for case, (layer, _) in CASES.items()
        for pass_ in PASSES
        for algorithm in (*_able(layer, pass_), "auto")
        if algorithm != "loops" or layer.h <= LOOPS_PLANE
    ]


def _able(layer: Layer, pass_: Pass) -> list[str]:
    numbers = checks.conv_numbers(**layer.numbers)
    geometry = checks.conv_geometry(layer.input_shape, layer.weight_shape, numbers)
    return [name for name, algorithm in ALGORITHMS.items() if algorithm.why_not(geometry, pass_) is None]


def _allowed(algorithm: str, pass_: Pass, dtype: str) -> float:
    if dtype == "float64":
        return FLOAT64_ROUNDING
    if algorithm in ("loops", "im2col"):
        return REFERENCE_ROUNDING
    if pass_ == "weight_grad" and algorithm != "direct":
        return 1e-5  # sums over tiles, whose largest error is bounded by 4e-5
    return ROUNDING.get(algorithm, max(ROUNDING.values()))


@functools.lru_cache(maxsize=1)
def _data(layer: Layer, dtype: str, uniform: bool) -> Data:
    return Data(layer, dtype, uniform=uniform)


@functools.lru_cache(maxsize=1)
def _expected(layer: Layer, dtype: str, uniform: bool, pass_: Pass) -> np.ndarray:
    return PASSES[pass_](_data(layer, dtype, uniform).in_float64(), "im2col")()


@pytest.mark.parametrize(("case", "pass_", "algorithm"), _races())
def test_convolution(judge, scaled, case, pass_, algorithm):
    layer, dtype = CASES[case]
    arrays = scaled(layer), dtype, layer is shapes.REPORT_CONV
    call = PASSES[pass_](_data(*arrays), algorithm)
    judge(f"{case}, {pass_}", algorithm, call, _expected(*arrays, pass_), _allowed(algorithm, pass_, dtype))
