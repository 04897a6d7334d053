"""Pooling, forward and backward, by the references and the kernels: VGG-19's layers and the original report's case."""

from __future__ import annotations

import functools
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import fastconv
from fastconv.reference import im2col, loops

from . import shapes
from .contest import Call
from .contestants import Data
from .shapes import Layer

CASES = {layer.name: (layer, "float32") for layer in shapes.POOLS if layer.name.startswith("VGG-19")} | {
    f"report {dtype}": (shapes.REPORT_POOL, dtype) for dtype in ("float32", "float64")
}
PASSES = ("max", "max gradient", "average", "average gradient")
REFERENCES = {"loops": loops, "im2col": im2col}
LOOPS_PLANE = 28
ROUNDING = {"float32": 1e-6, "float64": 1e-13}  # of means; maxima are exact


def _reference_call(reference: ModuleType, pass_: str, data: Data) -> Call:
    layer = data.layer
    no_padding = (0, 0, 0, 0)
    window: dict[str, Any] = {"stride": layer.stride, "padding": no_padding}
    maxima = {**window, "dilation": (1, 1), "output_size": layer.output_shape[2:]}
    means = {**window, "count_include_pad": True, "divisor_override": None}
    if pass_ == "max":
        return lambda: reference.max_pool2d(data.x, layer.kernel, **maxima)
    if pass_ == "max gradient":
        _, indices = im2col.max_pool2d(data.x, layer.kernel, **maxima)
        return lambda: reference.max_pool2d_backward(data.grad, indices, layer.input_shape)
    if pass_ == "average":
        return lambda: reference.avg_pool2d(data.x, layer.kernel, **means, output_size=layer.output_shape[2:])
    return lambda: reference.avg_pool2d_backward(data.grad, layer.input_shape, layer.kernel, **means)


def _kernel_call(pass_: str, data: Data) -> Call:
    x, grad, layer = data.x, data.grad, data.layer
    if pass_ == "max":
        return lambda: fastconv.max_pool2d(x, layer.kernel, layer.stride, return_indices=True)
    if pass_ == "max gradient":
        _, indices = fastconv.max_pool2d(x, layer.kernel, layer.stride, return_indices=True)
        return lambda: fastconv.max_pool2d_backward(grad, indices, layer.input_shape)
    if pass_ == "average":
        return lambda: fastconv.avg_pool2d(x, layer.kernel, layer.stride)
    return lambda: fastconv.avg_pool2d_backward(grad, layer.input_shape, layer.kernel, layer.stride)


@functools.lru_cache(maxsize=1)
def _data(layer: Layer, dtype: str) -> Data:
    return Data(layer, dtype, uniform=layer is shapes.REPORT_POOL)


@functools.lru_cache(maxsize=1)
def _expected(layer: Layer, dtype: str, pass_: str) -> np.ndarray:
    result = _reference_call(im2col, pass_, _data(layer, dtype).in_float64())()
    return result[0] if isinstance(result, tuple) else result


def _races() -> list[tuple[str, str, str]]:
    return [
        (case, pass_, algorithm)
        for case, (layer, _) in CASES.items()
        for pass_ in PASSES
        for algorithm in (*REFERENCES, "kernels")
        if algorithm != "loops" or layer.h <= LOOPS_PLANE
    ]


@pytest.mark.parametrize(("case", "pass_", "algorithm"), _races())
def test_pooling(judge, scaled, case, pass_, algorithm):
    layer, dtype = CASES[case]
    layer = scaled(layer)
    data = _data(layer, dtype)
    reference = REFERENCES.get(algorithm)
    call = _kernel_call(pass_, data) if reference is None else _reference_call(reference, pass_, data)
    allowed = 0.0 if pass_.startswith("max") else ROUNDING[dtype]
    judge(f"pooling {case}, {pass_}", algorithm, call, _expected(layer, dtype, pass_), allowed)
