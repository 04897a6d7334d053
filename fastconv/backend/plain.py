"""NumPy alone as a `fastconv.backend.interface.Backend`; its methods say what each function does."""

from __future__ import annotations

import numpy as np

from fastconv.geometry import Array, PoolGeometry
from fastconv.reference import im2col
from fastconv.traces import BLOCKED, Trace


def max_pool(x: Array, geometry: PoolGeometry, out: Array, indices: Array | None) -> None:
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


def max_pool_backward(grad_output: Array, indices: Array, out: Array) -> bool:
    if indices.size and not 0 <= indices.min() <= indices.max() < out.shape[2] * out.shape[3]:
        return False
    out[...] = im2col.max_pool2d_backward(grad_output, indices, out.shape)
    return True


def avg_pool(x: Array, geometry: PoolGeometry, count_include_pad: bool, divisor: int | None, out: Array) -> None:
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
    grad_output: Array, geometry: PoolGeometry, count_include_pad: bool, divisor: int | None, out: Array
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


def relu(x: Array, out: Array) -> None:
    np.maximum(x, 0, out=out)  # NumPy's maximum keeps NaN


def relu_backward(grad_output: Array, y: Array, out: Array) -> None:
    out[...] = np.where(y <= 0, 0, grad_output)


def bias_grad(grad_output: Array, out: Array) -> None:
    out[...] = im2col.conv2d_bias_grad(grad_output)


def empty_trace(shape: tuple[int, ...]) -> Trace:
    return np.empty(shape, np.uint8)


def relu_trace(y: Array, trace: Trace) -> None:
    np.logical_not(y <= 0, out=trace.view(bool))  # NaN passes


def pool_relu(x: Array, out: Array, trace: Trace) -> None:
    values, indices = im2col.max_pool2d(
        x, (2, 2), stride=(2, 2), padding=(0, 0, 0, 0), dilation=(1, 1), output_size=out.shape[2:]
    )
    out[...] = values
    rows, columns = np.divmod(indices, x.shape[3])
    trace[...] = np.where(out <= 0, BLOCKED, rows % 2 * 2 + columns % 2)


def pool_relu_backward(gradient: Array, trace: Trace, out: Array) -> None:
    out[...] = 0
    rows, columns = gradient.shape[2] * 2, gradient.shape[3] * 2
    for place in range(4):
        y, x = divmod(place, 2)
        out[:, :, y:rows:2, x:columns:2] = np.where(trace == place, gradient, 0)


def gram(features: Array, roots: Array | None, out: Array) -> None:
    rooted = features if roots is None else features * roots
    out[...] = rooted @ rooted.T


def add_gram_gradient(features: Array, slope: Array, weights: Array | None, total: Array) -> None:
    total += (slope @ (features if weights is None else features * weights)).reshape(total.shape)


def adam_step(parameter: Array, gradient: Array, m: Array, v: Array, factors: tuple[float, ...]) -> None:
    beta1, rest1, beta2, rest2, of_root, eps, of_m = factors
    m[...] = beta1 * m + rest1 * gradient
    v[...] = beta2 * v + rest2 * np.square(gradient)
    parameter -= of_m * m / (of_root * np.sqrt(v) + eps)
