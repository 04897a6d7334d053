"""What computes pooling and ReLU: the NumPy reference and the compiled kernels, behind one interface."""

from __future__ import annotations

from typing import Protocol

import numba
import numpy as np

from fastconv import jit
from fastconv.checks import Array, PoolGeometry
from fastconv.kernels import elementwise, pooling
from fastconv.reference import im2col


class Engine(Protocol):
    """What computes. Arrays have one float dtype, are C-contiguous, aligned, native, and not empty.

    Those of pooling have 4 axes, those of ReLU any number. ``out`` is allocated, with arbitrary contents, and is
    completely written.
    """

    def max_pool(self, x: Array, geometry: PoolGeometry, out: Array, indices: Array | None) -> None:
        """Write maxima and, unless None, their int64 indices in the plane."""

    def max_pool_backward(self, grad_output: Array, indices: Array, out: Array) -> bool:
        """Write the gradient by the input; return whether every index lies within its plane, or else stop there."""

    def avg_pool(
        self, x: Array, geometry: PoolGeometry, count_include_pad: bool, divisor: int | None, out: Array
    ) -> None:
        """Write means."""

    def avg_pool_backward(
        self,
        grad_output: Array,
        geometry: PoolGeometry,
        count_include_pad: bool,
        divisor: int | None,
        out: Array,
    ) -> None:
        """Write the gradient by the input."""

    def relu(self, x: Array, out: Array) -> None:
        """Write `x` where it is not negative (NaN is kept), else zero."""

    def relu_backward(self, grad_output: Array, y: Array, out: Array) -> None:
        """Write `grad_output` where `y`, the output of ReLU, is positive or NaN, else zero."""

    def bias_grad(self, grad_output: Array, out: Array) -> None:
        """Write the sums over images and pixels."""


class _Reference:
    """The NumPy functions as an `Engine`."""

    def max_pool(self, x: Array, geometry: PoolGeometry, out: Array, indices: Array | None) -> None:
        values, where = im2col.max_pool2d(
            x,
            (geometry.r, geometry.s),
            stride=geometry.stride,
            padding=geometry.padding,
            dilation=geometry.dilation,
            output_size=(geometry.out_h, geometry.out_w),
        )
        out[...] = values
        if indices is not None:
            indices[...] = where

    def max_pool_backward(self, grad_output: Array, indices: Array, out: Array) -> bool:
        if indices.size and not 0 <= indices.min() <= indices.max() < out.shape[2] * out.shape[3]:
            return False
        out[...] = im2col.max_pool2d_backward(grad_output, indices, out.shape)
        return True

    def avg_pool(
        self, x: Array, geometry: PoolGeometry, count_include_pad: bool, divisor: int | None, out: Array
    ) -> None:
        out[...] = im2col.avg_pool2d(
            x,
            (geometry.r, geometry.s),
            stride=geometry.stride,
            padding=geometry.padding,
            output_size=(geometry.out_h, geometry.out_w),
            count_include_pad=count_include_pad,
            divisor_override=divisor,
        )

    def avg_pool_backward(
        self,
        grad_output: Array,
        geometry: PoolGeometry,
        count_include_pad: bool,
        divisor: int | None,
        out: Array,
    ) -> None:
        out[...] = im2col.avg_pool2d_backward(
            grad_output,
            geometry.input_shape,
            (geometry.r, geometry.s),
            stride=geometry.stride,
            padding=geometry.padding,
            count_include_pad=count_include_pad,
            divisor_override=divisor,
        )

    def relu(self, x: Array, out: Array) -> None:
        np.maximum(x, 0, out=out)  # NumPy's maximum keeps NaN

    def relu_backward(self, grad_output: Array, y: Array, out: Array) -> None:
        out[...] = np.where(y <= 0, 0, grad_output)

    def bias_grad(self, grad_output: Array, out: Array) -> None:
        out[...] = im2col.conv2d_bias_grad(grad_output)


class _Kernels:
    """The compiled kernels as an `Engine`."""

    def max_pool(self, x: Array, geometry: PoolGeometry, out: Array, indices: Array | None) -> None:
        job = _pool_job(x, geometry, out, indices, 0)
        _run(pooling.max_pool_kernel, x, x.size, job)

    def max_pool_backward(self, grad_output: Array, indices: Array, out: Array) -> bool:
        n, c, h, w = out.shape
        fault = np.zeros(1, np.intp)
        arrays = map(jit.address_of, (grad_output, indices, out, fault))
        job = pooling.ScatterJob(n * c, h, w, *grad_output.shape[2:], *arrays)
        _run(pooling.max_pool_backward_kernel, out, out.size, job)
        return not fault[0]

    def avg_pool(
        self, x: Array, geometry: PoolGeometry, count_include_pad: bool, divisor: int | None, out: Array
    ) -> None:
        job = _pool_job(x, geometry, out, None, _divisor_code(count_include_pad, divisor))
        _run(pooling.avg_pool_kernel, x, x.size, job)

    def avg_pool_backward(
        self,
        grad_output: Array,
        geometry: PoolGeometry,
        count_include_pad: bool,
        divisor: int | None,
        out: Array,
    ) -> None:
        job = _pool_job(out, geometry, grad_output, None, _divisor_code(count_include_pad, divisor))
        _run(pooling.avg_pool_backward_kernel, out, out.size, job)

    def relu(self, x: Array, out: Array) -> None:
        job = elementwise.ElementwiseJob(jit.address_of(x), 0, jit.address_of(out), x.size)
        _run(elementwise.relu_kernel, x, x.size, job)

    def relu_backward(self, grad_output: Array, y: Array, out: Array) -> None:
        job = elementwise.ElementwiseJob(jit.address_of(grad_output), jit.address_of(y), jit.address_of(out), y.size)
        _run(elementwise.relu_backward_kernel, y, y.size, job)

    def bias_grad(self, grad_output: Array, out: Array) -> None:
        n, k, h, w = grad_output.shape
        job = elementwise.BiasGradJob(jit.address_of(grad_output), n, k, h * w, jit.address_of(out))
        _run(elementwise.bias_grad_kernel, grad_output, grad_output.size, job)


def _run(kernel: jit.Kernel, like: Array, elements: int, job: jit.Record) -> None:
    kernel(job, like.dtype, jit.threads_for(elements=elements))


def _divisor_code(count_include_pad: bool, divisor: int | None) -> int:
    if divisor is not None:
        return divisor
    return pooling.COUNT_PADDING if count_include_pad else pooling.COUNT_PICTURE


def _pool_job(x: Array, geometry: PoolGeometry, out: Array, indices: Array | None, divisor: int) -> pooling.PoolJob:
    g = geometry
    top, bottom, left, right = g.padding
    inside, inside_end = _inside(g)
    return pooling.PoolJob(
        jit.address_of(x), g.n * g.c, g.h, g.w, g.r, g.s, *g.stride, top, left, *g.dilation, g.h + bottom, g.w + right,
        jit.address_of(out), g.out_h, g.out_w, 0 if indices is None else jit.address_of(indices), divisor,
        inside, inside_end,
    )  # fmt: skip


def _inside(g: PoolGeometry) -> tuple[int, int]:
    """Output columns (first, end) that vectors can compute: their windows lie inside the picture."""
    left, step, gap = g.padding[2], g.stride[1], g.dilation[1]
    if step > 2 or g.r * g.dilation[0] * g.w >= pooling.EXACT_OFFSETS:
        return 0, 0
    return -(-left // step), min(g.out_w, (g.w - 1 + left - (g.s - 1) * gap) // step + 1)


_REFERENCE, _KERNELS = _Reference(), _Kernels()


def engine() -> Engine:
    """Return the engine that runs: the kernels, unless Numba is told not to compile."""
    return _REFERENCE if numba.config.DISABLE_JIT else _KERNELS
