"""The algorithms that can compute a convolution, behind one interface, and the choice among them."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from types import ModuleType
from typing import Any, Protocol, TypeAlias

import numpy as np

from fastconv import costs, jit
from fastconv.backend import backend, compiles
from fastconv.geometry import Array, ConvGeometry, Pass
from fastconv.kernels import direct, direct_weight_grad, winograd, winograd_weight_grad
from fastconv.reference import im2col, loops
from fastconv.traces import Finish, Gate

Packing: TypeAlias = tuple[Array, ...]  # weights in the form that an algorithm reads them in


class Algorithm(Protocol):
    """A way to compute a convolution.

    Arrays have 4 axes, one float dtype, and are C-contiguous, aligned and native; no axis of them is empty.
    ``out`` is allocated, with arbitrary contents, and is completely written.
    """

    def why_not(self, geometry: ConvGeometry, pass_: Pass) -> str | None:
        """Return why this can't compute a convolution, or None if it can."""

    def pack(self, weight: Array, geometry: ConvGeometry, pass_: Pass, keep: bool) -> Packing:
        """Return `weight` as "forward" or "input_grad" wants it.

        With `keep` for calls with images of any size; else for one call with this geometry.
        """

    def packed_size(self, weight_shape: tuple[int, ...]) -> int:
        """Return how many numbers a packing that is kept holds, but for what fills up vectors."""

    def forward(
        self, x: Array, packing: Packing, bias: Array | None, finish: Finish, geometry: ConvGeometry, out: Array
    ) -> None:
        """Write the convolution of `x` with the weight, plus `bias`, finished.

        If `finish` pools, `out` is (N, K, OH // 2, OW // 2).
        """

    def input_grad(
        self, grad_output: Array, packing: Packing, gate: Gate | None, geometry: ConvGeometry, out: Array
    ) -> None:
        """Write the gradient by the input.

        With a gate, `grad_output` is the gradient by what the ReLU or pooling behind the convolution gave, and may be
        overwritten.
        """

    def weight_grad(self, grad_output: Array, x: Array, geometry: ConvGeometry, out: Array) -> None:
        """Write the gradient by the weight."""


class _Separate(ABC):
    """An algorithm that knows of nothing but a ReLU: pooling, traces and gates are passes of their own."""

    def packed_size(self, weight_shape: tuple[int, ...]) -> int:
        return math.prod(weight_shape)

    @abstractmethod
    def _convolve(
        self, x: Array, packing: Packing, bias: Array | None, relu: bool, geometry: ConvGeometry, out: Array
    ) -> None:
        """Write the convolution of `x`, plus `bias`, rectified if `relu`."""

    @abstractmethod
    def _convolve_back(self, grad_output: Array, packing: Packing, geometry: ConvGeometry, out: Array) -> None:
        """Write the gradient by the input, given that by the output."""

    def forward(
        self, x: Array, packing: Packing, bias: Array | None, finish: Finish, geometry: ConvGeometry, out: Array
    ) -> None:
        y = np.empty(geometry.output_shape, out.dtype) if finish.pooled else out
        self._convolve(x, packing, bias, finish.relu, geometry, y)
        if finish.pooled:
            trace = backend().empty_trace(out.shape) if finish.trace is None else finish.trace
            backend().pool_relu(y, out, trace)
        elif finish.trace is not None:
            backend().relu_trace(y, finish.trace)

    def input_grad(
        self, grad_output: Array, packing: Packing, gate: Gate | None, geometry: ConvGeometry, out: Array
    ) -> None:
        if gate is not None:
            grad_output = _through(gate, grad_output, geometry)
        self._convolve_back(grad_output, packing, geometry, out)


def _through(gate: Gate, gradient: Array, geometry: ConvGeometry) -> Array:
    """Return the gradient by a convolution's output; that by what comes behind the gate is perhaps overwritten."""
    if gate.pooled:
        full = np.empty(geometry.output_shape, gradient.dtype)
        backend().pool_relu_backward(gradient, gate.array, full)
        return full
    if gate.array.dtype == np.uint8:
        np.copyto(gradient, 0, where=gate.array == 0)
    else:
        backend().relu_backward(gradient, gate.array, gradient)
    return gradient


class _Reference(_Separate):
    """One of the modules of `fastconv.reference` as an `Algorithm`."""

    def __init__(self, module: ModuleType):
        self._module = module

    def why_not(self, geometry: ConvGeometry, pass_: Pass) -> str | None:
        return None

    def pack(self, weight: Array, geometry: ConvGeometry, pass_: Pass, keep: bool) -> Packing:
        return (weight,)

    def _convolve(
        self, x: Array, packing: Packing, bias: Array | None, relu: bool, geometry: ConvGeometry, out: Array
    ) -> None:
        out[...] = self._module.conv2d(x, packing[0], bias, **_keywords(geometry))
        if relu:
            np.maximum(out, 0, out=out)  # NumPy's maximum keeps NaN

    def _convolve_back(self, grad_output: Array, packing: Packing, geometry: ConvGeometry, out: Array) -> None:
        out[...] = self._module.conv2d_input_grad(grad_output, packing[0], geometry.input_shape, **_keywords(geometry))

    def weight_grad(self, grad_output: Array, x: Array, geometry: ConvGeometry, out: Array) -> None:
        out[...] = self._module.conv2d_weight_grad(grad_output, x, geometry.weight_shape, **_keywords(geometry))


def _keywords(geometry: ConvGeometry) -> dict[str, Any]:
    return {
        "stride": geometry.stride,
        "padding": geometry.padding,
        "dilation": geometry.dilation,
        "groups": geometry.groups,
    }


def _not_compiled() -> str | None:
    return None if compiles() else "Numba is told not to compile (NUMBA_DISABLE_JIT)"


class _Direct(_Separate):
    """`fastconv.kernels.direct` as an `Algorithm`."""

    def why_not(self, geometry: ConvGeometry, pass_: Pass) -> str | None:
        return _not_compiled()

    def pack(self, weight: Array, geometry: ConvGeometry, pass_: Pass, keep: bool) -> Packing:
        return direct.pack(weight, geometry, pass_)

    def _convolve(
        self, x: Array, packing: Packing, bias: Array | None, relu: bool, geometry: ConvGeometry, out: Array
    ) -> None:
        direct.forward(x, packing, bias, relu, geometry, out)

    def _convolve_back(self, grad_output: Array, packing: Packing, geometry: ConvGeometry, out: Array) -> None:
        direct.input_grad(grad_output, packing, geometry, out)

    def weight_grad(self, grad_output: Array, x: Array, geometry: ConvGeometry, out: Array) -> None:
        direct_weight_grad.weight_grad(grad_output, x, geometry, out)


class _Winograd:
    """`fastconv.kernels.winograd` with tiles of `tile` by `tile` outputs as an `Algorithm`."""

    def __init__(self, tile: int):
        self._tile = tile

    def why_not(self, geometry: ConvGeometry, pass_: Pass) -> str | None:
        return winograd.why_not(geometry, pass_, self._tile) or _not_compiled()

    def pack(self, weight: Array, geometry: ConvGeometry, pass_: Pass, keep: bool) -> Packing:
        return winograd.pack(weight, geometry.groups, pass_, keep=keep)

    def packed_size(self, weight_shape: tuple[int, ...]) -> int:
        return math.prod(weight_shape)

    def forward(
        self, x: Array, packing: Packing, bias: Array | None, finish: Finish, geometry: ConvGeometry, out: Array
    ) -> None:
        winograd.forward(x, packing, bias, finish, geometry, out, self._tile)

    def input_grad(
        self, grad_output: Array, packing: Packing, gate: Gate | None, geometry: ConvGeometry, out: Array
    ) -> None:
        winograd.input_grad(grad_output, packing, gate, geometry, out, self._tile)

    def weight_grad(self, grad_output: Array, x: Array, geometry: ConvGeometry, out: Array) -> None:
        if self._tile != 4:
            raise NotImplementedError(self.why_not(geometry, "weight_grad"))
        winograd_weight_grad.weight_grad(grad_output, x, geometry, out)


ALGORITHMS: dict[str, Algorithm] = {
    "loops": _Reference(loops),
    "im2col": _Reference(im2col),
    "direct": _Direct(),
    "winograd": _Winograd(4),
    "winograd2": _Winograd(2),
}


def choose(geometry: ConvGeometry, dtype: np.dtype[Any], pass_: Pass, *, packed: bool) -> str:
    """Return the name of the algorithm that "auto" stands for: the one that `costs` reckons to be the fastest.

    It never times anything. `packed` says whether the weights are kept in packed form from call to call.
    """
    if not compiles():
        return "im2col"
    return costs.cheapest(geometry, dtype, pass_, packed, jit.get_num_threads())
