"""Convolution as a matrix product over unrolled windows ("im2col"), and pooling over the same windows.

The same functions as in `loops`, with the same arguments, vectorised. Unrolling copies every input value R*S
times; it is done image by image to bound the memory. Source of the method: Chellapilla, Puri and Simard,
"High performance convolutional neural networks for document processing", 2006.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from .loops import Array, Padding, Pair, conv2d_bias_grad, max_pool2d_backward, pad

__all__ = [
    "avg_pool2d",
    "avg_pool2d_backward",
    "conv2d",
    "conv2d_bias_grad",
    "conv2d_input_grad",
    "conv2d_weight_grad",
    "max_pool2d",
    "max_pool2d_backward",
]


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
    """Return the cross-correlation of ``x`` and ``weight``: one matrix product a group and image."""
    k = len(weight)
    windows = _windows(pad(x, padding), weight.shape[2:], stride, dilation)
    out = np.empty((len(x), k, *windows.shape[2:4]), x.dtype)
    for image, image_windows in zip(out, windows, strict=True):
        columns = _columns(image_windows, groups)
        image[...] = (weight.reshape(groups, k // groups, -1) @ columns).reshape(image.shape)
    if bias is not None:
        out += bias[:, np.newaxis, np.newaxis]
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
    """Return the gradient of `conv2d` by ``x``: the transposed product, its columns added up in place."""
    n_images, n_channels, h, w = input_shape
    top, bottom, left, right = padding
    k, _, r, s = weight.shape
    transposed = weight.reshape(groups, k // groups, -1).transpose(0, 2, 1)
    padded = np.zeros((n_images, n_channels, top + h + bottom, left + w + right), grad_output.dtype)
    for image, image_grad in zip(padded, grad_output, strict=True):
        columns = transposed @ image_grad.reshape(groups, k // groups, -1)
        columns = columns.reshape(n_channels, r, s, *image_grad.shape[1:])
        for row, column in np.ndindex(r, s):
            tap = _every_windows_tap(image, row, column, image_grad.shape[1:], stride, dilation)
            tap += columns[:, row, column]
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
    """Return the gradient of `conv2d` by ``weight``: output gradients times unrolled windows."""
    k, channels, r, s = weight_shape
    windows = _windows(pad(x, padding), (r, s), stride, dilation)
    grad = np.zeros((groups, k // groups, channels * r * s), x.dtype)
    for image_grad, image_windows in zip(grad_output, windows, strict=True):
        columns = _columns(image_windows, groups)
        grad += image_grad.reshape(groups, k // groups, -1) @ columns.transpose(0, 2, 1)
    return grad.reshape(weight_shape)


def max_pool2d(
    x: Array, kernel_size: Pair, *, stride: Pair, padding: Padding, dilation: Pair, output_size: Pair
) -> tuple[Array, Array]:
    """Return the maxima of the windows and their int64 indices, by arg max; see `loops.max_pool2d`."""
    h, w = x.shape[2:]
    padding = _reaching(output_size, (h, w), kernel_size, stride, padding, dilation)
    windows = _windows(pad(x, padding, -np.inf), kernel_size, stride, dilation)
    windows = windows.reshape(*windows.shape[:4], -1)
    plane = pad(np.arange(h * w, dtype=np.int64).reshape(h, w), padding, -1)
    places = _windows(plane, kernel_size, stride, dilation).reshape(*output_size, -1)

    # argmax takes the first of equal maxima, which may be padding, and the first NaN; neither is meant.
    choice = windows.argmax(axis=-1)
    maxima = np.take_along_axis(windows, choice[..., np.newaxis], axis=-1)[..., 0]
    first_inside = (places >= 0).argmax(axis=-1)
    last_nan = windows.shape[-1] - 1 - np.isnan(windows)[..., ::-1].argmax(axis=-1)
    choice = np.where(np.isneginf(maxima), first_inside, choice)
    choice = np.where(np.isnan(maxima), last_nan, choice)
    indices = np.take_along_axis(np.broadcast_to(places, windows.shape), choice[..., np.newaxis], axis=-1)
    return maxima, indices[..., 0]


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
    """Return the windows' means: their sums, over `divisor_override` or the number of places that count."""
    plane = x.shape[2:]
    reaching = _reaching(output_size, plane, kernel_size, stride, padding, (1, 1))
    sums = _windows(pad(x, reaching), kernel_size, stride, (1, 1)).sum(axis=(-2, -1))
    divisor = divisor_override or _places_counted(plane, kernel_size, stride, padding, output_size, count_include_pad)
    means: Array = sums / divisor
    return means.astype(x.dtype, copy=False)


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
    """Return the gradient of `avg_pool2d` by ``x``: each tap of the windows gets an equal share."""
    n_images, channels, h, w = input_shape
    output_size = grad_output.shape[2:]
    divisor = divisor_override or _places_counted((h, w), kernel_size, stride, padding, output_size, count_include_pad)
    shares = (grad_output / divisor).astype(grad_output.dtype, copy=False)
    top, bottom, left, right = _reaching(output_size, (h, w), kernel_size, stride, padding, (1, 1))
    padded = np.zeros((n_images, channels, top + h + bottom, left + w + right), grad_output.dtype)
    for row, column in np.ndindex(*kernel_size):
        tap = _every_windows_tap(padded, row, column, output_size, stride, (1, 1))
        tap += shares
    return padded[:, :, top : top + h, left : left + w]


def _windows(padded: Array, kernel_size: Pair, stride: Pair, dilation: Pair) -> Array:
    """Return a view (..., OH, OW, R, S) of the windows over the last two axes."""
    extent = [d * (size - 1) + 1 for d, size in zip(dilation, kernel_size, strict=True)]
    every_start = sliding_window_view(padded, extent, axis=(-2, -1))
    windows: Array = every_start[..., :: stride[0], :: stride[1], :: dilation[0], :: dilation[1]]
    return windows


def _columns(windows: Array, groups: int) -> Array:
    """Unroll the windows (C, OH, OW, R, S) of one image to (groups, C/groups * R * S, OH * OW)."""
    channels, out_h, out_w, r, s = windows.shape
    taps_first: Array = windows.transpose(0, 3, 4, 1, 2)
    return taps_first.reshape(groups, channels // groups * r * s, out_h * out_w)


def _every_windows_tap(padded: Array, row: int, column: int, output_size: Pair, stride: Pair, dilation: Pair) -> Array:
    """Return a view (..., OH, OW) of the place (`row`, `column`) of every window; no two of them coincide."""
    first_row, first_column = row * dilation[0], column * dilation[1]
    return padded[
        ...,
        first_row : first_row + stride[0] * (output_size[0] - 1) + 1 : stride[0],
        first_column : first_column + stride[1] * (output_size[1] - 1) + 1 : stride[1],
    ]


def _reaching(
    output_size: Pair, plane: Pair, kernel_size: Pair, stride: Pair, padding: Padding, dilation: Pair
) -> Padding:
    """Return `padding`, lengthened where windows in ceil mode reach beyond it."""
    top, bottom, left, right = padding
    end_row = (output_size[0] - 1) * stride[0] + dilation[0] * (kernel_size[0] - 1) + 1
    end_column = (output_size[1] - 1) * stride[1] + dilation[1] * (kernel_size[1] - 1) + 1
    return top, max(bottom, end_row - top - plane[0]), left, max(right, end_column - left - plane[1])


def _places_counted(
    plane: Pair, kernel_size: Pair, stride: Pair, padding: Padding, output_size: Pair, count_include_pad: bool
) -> Array:
    """Return how many places of each window count, (OH, OW); those beyond the far padding never do."""
    counts = pad(np.ones(plane), padding, float(count_include_pad))
    beyond = _reaching(output_size, counts.shape, kernel_size, stride, (0, 0, 0, 0), (1, 1))
    counted: Array = _windows(pad(counts, beyond), kernel_size, stride, (1, 1)).sum(axis=(-2, -1))
    return counted
