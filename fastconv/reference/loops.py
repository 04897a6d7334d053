"""Convolution and pooling as a textbook writes them: one output value at a time.

Nothing here is fast, and nothing is checked: `fastconv.conv` and `fastconv.pool` do that. Shapes are
(N, C, H, W) for ``x`` and (K, C/groups, R, S) for ``weight``; ``stride``, ``dilation``, ``kernel_size`` and
``output_size`` are pairs (rows, columns) and ``padding`` is (top, bottom, left, right). Arrays of one call
share one dtype, float32 or float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Pair = tuple[int, int]
Padding = tuple[int, int, int, int]


def pad(x: Array, padding: Padding, value: float = 0.0) -> Array:
    """Return ``x`` with ``value`` around its last two axes."""
    top, bottom, left, right = padding
    width = [(0, 0)] * (x.ndim - 2) + [(top, bottom), (left, right)]
    return np.pad(x, width, constant_values=value)


def conv2d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    stride: Pair,
    padding: Padding,
    dilation: Pair,
    groups: int,
) -> Array:
    """Return the cross-correlation of ``x`` and ``weight``, (N, K, OH, OW)."""
    padded = pad(x, padding)
    kernels, channels, r, s = weight.shape
    out_h = (padded.shape[2] - dilation[0] * (r - 1) - 1) // stride[0] + 1
    out_w = (padded.shape[3] - dilation[1] * (s - 1) - 1) // stride[1] + 1
    out = np.empty((len(x), kernels, out_h, out_w), x.dtype)
    for n, k, row, column in np.ndindex(out.shape):
        group = _group_channels(k, kernels // groups, channels)
        rows = _taps(row, r, stride[0], dilation[0])
        columns = _taps(column, s, stride[1], dilation[1])
        out[n, k, row, column] = np.sum(padded[n, group, rows, columns] * weight[k])
        if bias is not None:
            out[n, k, row, column] += bias[k]
    return out


def conv2d_input_grad(
    grad_output: Array,
    weight: Array,
    input_shape: tuple[int, ...],
    *,
    stride: Pair,
    padding: Padding,
    dilation: Pair,
    groups: int,
) -> Array:
    """Return the gradient of `conv2d` by ``x``: each output value pays back to its window."""
    n_images, n_channels, h, w = input_shape
    top, bottom, left, right = padding
    kernels, channels, r, s = weight.shape
    padded = np.zeros((n_images, n_channels, top + h + bottom, left + w + right), grad_output.dtype)
    for n, k, row, column in np.ndindex(grad_output.shape):
        group = _group_channels(k, kernels // groups, channels)
        rows = _taps(row, r, stride[0], dilation[0])
        columns = _taps(column, s, stride[1], dilation[1])
        padded[n, group, rows, columns] += grad_output[n, k, row, column] * weight[k]
    return padded[:, :, top : top + h, left : left + w]


def conv2d_weight_grad(
    grad_output: Array,
    x: Array,
    weight_shape: tuple[int, ...],
    *,
    stride: Pair,
    padding: Padding,
    dilation: Pair,
    groups: int,
) -> Array:
    """Return the gradient of `conv2d` by ``weight``: windows summed, each times its output's gradient."""
    padded = pad(x, padding)
    kernels, channels, r, s = weight_shape
    grad = np.zeros(weight_shape, x.dtype)
    for n, k, row, column in np.ndindex(grad_output.shape):
        group = _group_channels(k, kernels // groups, channels)
        rows = _taps(row, r, stride[0], dilation[0])
        columns = _taps(column, s, stride[1], dilation[1])
        grad[k] += grad_output[n, k, row, column] * padded[n, group, rows, columns]
    return grad


def conv2d_bias_grad(grad_output: Array) -> Array:
    """Return the gradient of `conv2d` by ``bias``, (K,): the sum over N, H and W.

    Planes are summed first (pairwise, by NumPy), and their sums in float64: NumPy adds along the first axis
    one by one, which in float32 loses digits when N is large.
    """
    total: Array = grad_output.sum(axis=(2, 3)).sum(axis=0, dtype=np.float64)
    return total.astype(grad_output.dtype)


def max_pool2d(
    x: Array, kernel_size: Pair, *, stride: Pair, padding: Padding, dilation: Pair, output_size: Pair
) -> tuple[Array, Array]:
    """Return the maxima of the windows and their int64 indices, flat within the (H, W) plane.

    The first of equal maxima counts, but the last NaN. A window without a single element of ``x``, which
    takes a dilation larger than the plane, gives -inf and the index -1.
    """
    _, _, h, w = x.shape
    values = np.full((*x.shape[:2], *output_size), -np.inf, x.dtype)
    indices = np.full(values.shape, -1, np.int64)
    for n, c, row, column in np.ndindex(values.shape):
        rows = _taps_inside(row, kernel_size[0], stride[0], dilation[0], padding[0], h)
        columns = _taps_inside(column, kernel_size[1], stride[1], dilation[1], padding[2], w)
        window = x[n, c, rows][:, columns]
        if window.size:
            at_row, at_column = np.unravel_index(_last_nan_or_first_maximum(window.ravel()), window.shape)
            values[n, c, row, column] = window[at_row, at_column]
            indices[n, c, row, column] = rows[at_row] * w + columns[at_column]
    return values, indices


def max_pool2d_backward(grad_output: Array, indices: Array, input_shape: tuple[int, ...]) -> Array:
    """Return the gradient of `max_pool2d` by ``x``: each output value pays back to its maximum."""
    n_images, channels, h, w = input_shape
    grad = np.zeros((n_images, channels, h * w), grad_output.dtype)
    for n, c, row, column in np.ndindex(grad_output.shape):
        grad[n, c, indices[n, c, row, column]] += grad_output[n, c, row, column]
    return grad.reshape(input_shape)


def avg_pool2d(
    x: Array,
    kernel_size: Pair,
    *,
    stride: Pair,
    padding: Padding,
    output_size: Pair,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Array:
    """Return the windows' means; `_places_counted` says over how many elements."""
    _, _, h, w = x.shape
    out = np.empty((*x.shape[:2], *output_size), x.dtype)
    for n, c, row, column in np.ndindex(out.shape):
        rows = _taps_inside(row, kernel_size[0], stride[0], 1, padding[0], h)
        columns = _taps_inside(column, kernel_size[1], stride[1], 1, padding[2], w)
        high = _places_counted(row, kernel_size[0], stride[0], padding[:2], h, count_include_pad)
        wide = _places_counted(column, kernel_size[1], stride[1], padding[2:], w, count_include_pad)
        divisor = divisor_override or high * wide
        out[n, c, row, column] = np.sum(x[n, c, rows][:, columns]) / divisor
    return out


def avg_pool2d_backward(
    grad_output: Array,
    input_shape: tuple[int, ...],
    kernel_size: Pair,
    *,
    stride: Pair,
    padding: Padding,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Array:
    """Return the gradient of `avg_pool2d` by ``x``: each output value is shared out over its window."""
    _, _, h, w = input_shape
    grad = np.zeros(input_shape, grad_output.dtype)
    for n, c, row, column in np.ndindex(grad_output.shape):
        rows = _taps_inside(row, kernel_size[0], stride[0], 1, padding[0], h)
        columns = _taps_inside(column, kernel_size[1], stride[1], 1, padding[2], w)
        high = _places_counted(row, kernel_size[0], stride[0], padding[:2], h, count_include_pad)
        wide = _places_counted(column, kernel_size[1], stride[1], padding[2:], w, count_include_pad)
        divisor = divisor_override or high * wide
        grad[n, c, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] += grad_output[n, c, row, column] / divisor
    return grad


def _group_channels(kernel: int, kernels_per_group: int, channels_per_group: int) -> slice:
    """Return the input channels that one kernel reads."""
    first = kernel // kernels_per_group * channels_per_group
    return slice(first, first + channels_per_group)


def _taps(position: int, size: int, stride: int, dilation: int) -> slice:
    """Return where, along one axis of the padded input, the window of an output position lies."""
    first = position * stride
    return slice(first, first + dilation * (size - 1) + 1, dilation)


def _taps_inside(position: int, size: int, stride: int, dilation: int, pad_before: int, length: int) -> list[int]:
    """Return the places of a window along one axis, without those that lie in the padding."""
    first = position * stride - pad_before
    return [tap for tap in range(first, first + dilation * size, dilation) if 0 <= tap < length]


def _last_nan_or_first_maximum(values: Array) -> int:
    nans = np.flatnonzero(np.isnan(values))
    return int(nans[-1] if nans.size else values.argmax())


def _places_counted(
    position: int, size: int, stride: int, padding: tuple[int, ...], length: int, count_include_pad: bool
) -> int:
    """Return how many places of a window count along one axis.

    A window in ceil mode may reach beyond the far padding; what lies there never counts.
    """
    before, after = padding if count_include_pad else (0, 0)
    first = position * stride - padding[0]
    return min(first + size, length + after) - max(first, -before)
