"""What a backend can do."""

from __future__ import annotations

from typing import Protocol

from fastconv.geometry import Array, PoolGeometry
from fastconv.traces import Trace


class Backend(Protocol):
    """Functions that compute, on arrays that have been checked.

    Arrays have one float dtype, are C-contiguous, aligned, native, and not empty. Those of pooling have 4 axes. ``out``
    is allocated, with arbitrary contents, and is completely written.
    """

    def max_pool(self, x: Array, geometry: PoolGeometry, out: Array, indices: Array | None) -> None:
        """Write maxima and, unless None, their int64 indices in the plane."""

    def max_pool_backward(self, grad_output: Array, indices: Array, out: Array) -> bool:
        """Write the gradient by the input; return whether every index lies within its plane, or else stop there."""

    def avg_pool(
        self, x: Array, geometry: PoolGeometry, count_include_pad: bool, divisor: int | None, out: Array
    ) -> None:
        """Write means: sums divided by `divisor`, or else by the number of places, padding's included or not."""

    def avg_pool_backward(
        self, grad_output: Array, geometry: PoolGeometry, count_include_pad: bool, divisor: int | None, out: Array
    ) -> None:
        """Write the gradient by the input of `avg_pool`."""

    def relu(self, x: Array, out: Array) -> None:
        """Write `x` where it is not negative (NaN is kept), else zero."""

    def relu_backward(self, grad_output: Array, y: Array, out: Array) -> None:
        """Write `grad_output` where `y`, the output of ReLU, is positive or NaN, else 0.

        `out` may be `grad_output`.
        """

    def bias_grad(self, grad_output: Array, out: Array) -> None:
        """Write the sums over images and pixels."""

    def empty_trace(self, shape: tuple[int, ...]) -> Trace:
        """Return an array for a trace, in a larger one: kernels read whole vectors."""

    def relu_trace(self, y: Array, trace: Trace) -> None:
        """Write to `trace`, of the shape of `y`, where a rectified `y` lets gradients pass: 1 or 0."""

    def pool_relu(self, x: Array, out: Array, trace: Trace) -> None:
        """Pool rectified `x`, (N, C, H, W), by 2x2 to `out` and `trace`, both (N, C, H // 2, W // 2)."""

    def pool_relu_backward(self, gradient: Array, trace: Trace, out: Array) -> None:
        """Write the gradient by what the ReLU before such a pooling was given.

        `gradient` and `trace` have the shape of the pooling's output, `out` that of its input: zero but at the places
        of maxima above zero.
        """

    def gram(self, features: Array, roots: Array | None, out: Array) -> None:
        """Write F F^T, or F T F^T, with `features` F, (C, M), and square roots of the positions' weights T, (M,)."""

    def add_gram_gradient(self, features: Array, slope: Array, weights: Array | None, total: Array) -> None:
        """Add S F, or S F T, to `total`, of C * M elements, with `slope` S, (C, C), and `weights` T, (M,)."""

    def adam_step(self, parameter: Array, gradient: Array, m: Array, v: Array, factors: tuple[float, ...]) -> None:
        """Change a parameter and its moments in place.

        `factors` are beta1, 1 - beta1, beta2, 1 - beta2, the factor of the root of `v`, eps, and the factor of `m`.
        """
