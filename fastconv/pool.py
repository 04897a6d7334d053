"""2-D pooling and ReLU with their gradients: check, allocate, run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, overload

import numpy as np
from numpy.typing import ArrayLike

from fastconv import checks
from fastconv.arrays import prepared, result_array
from fastconv.backend import backend
from fastconv.checks import IntOrPair, PaddingLike
from fastconv.geometry import Array


@overload
def max_pool2d(
    x: ArrayLike,
    kernel_size: IntOrPair,
    stride: IntOrPair | None = None,
    *,
    padding: PaddingLike = 0,
    dilation: IntOrPair = 1,
    ceil_mode: bool = False,
    return_indices: Literal[False] = False,
    out: Array | None = None,
) -> Array: ...


@overload
def max_pool2d(
    x: ArrayLike,
    kernel_size: IntOrPair,
    stride: IntOrPair | None = None,
    *,
    padding: PaddingLike = 0,
    dilation: IntOrPair = 1,
    ceil_mode: bool = False,
    return_indices: Literal[True],
    out: Array | None = None,
) -> tuple[Array, Array]: ...


def max_pool2d(
    x: ArrayLike,
    kernel_size: IntOrPair,
    stride: IntOrPair | None = None,
    *,
    padding: PaddingLike = 0,
    dilation: IntOrPair = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    out: Array | None = None,
) -> Array | tuple[Array, Array]:
    """Return the maximum of each window.

    Parameters
    ----------
    x
        Images, (N, C, H, W) or (C, H, W), float32 or float64. Any strides and byte order; never written to.
    kernel_size
        Size of the window: an int, or (rows, columns).
    stride, dilation
        Steps between windows (`kernel_size` if None) and between the places of a window.
    padding
        Minus infinity around each plane, at most half a (dilated) window: an int, (rows, columns),
        ((top, bottom), (left, right)), "valid" (none) or "same" (stride 1 only).
    ceil_mode
        Round the output size up rather than down. A window that would start in the far padding is dropped.
    return_indices
        Return the places of the maxima too.
    out
        Array for the maxima: exact shape and native dtype, writable, C-contiguous, no memory shared with `x`.

    Returns
    -------
    values
        (N, C, OH, OW), or (C, OH, OW) for (C, H, W), of the dtype of `x`, native; `out` if given.
    indices
        Only with `return_indices`: int64, flat within the (H, W) plane. The first of equal maxima in
        row-major order counts, but the last NaN; a window of nothing but minus infinity gives its first place
        inside the plane (-1 if it has none, which takes a dilation larger than the plane).

    Raises
    ------
    TypeError
        If `x` is not float32 or float64, or a number is not an int.
    ValueError
        If shape and numbers do not fit together.

    Notes
    -----
    The semantics are those of ``torch.nn.functional.max_pool2d``.
    """
    (x,) = checks.float_arrays(x=x)
    geometry = checks.pool_geometry(x.shape, kernel_size, stride, padding, dilation, ceil_mode)
    with_indices = checks.flag("return_indices", return_indices)
    shape = geometry.output_shape[4 - x.ndim :]
    values = result_array(out, shape, x.dtype, x=x)
    indices = np.empty(shape, np.int64) if with_indices else None
    if values.size:
        backend().max_pool(
            prepared(x).reshape(geometry.input_shape),
            geometry,
            values.reshape(geometry.output_shape),
            None if indices is None else indices.reshape(geometry.output_shape),
        )
    return values if indices is None else (values, indices)


def max_pool2d_backward(
    grad_output: ArrayLike, indices: ArrayLike, input_shape: Sequence[int], *, out: Array | None = None
) -> Array:
    """Return the gradient of a loss by the input of `max_pool2d`, given its gradient by the output.

    Parameters
    ----------
    grad_output
        Gradient by the output, (N, C, OH, OW) or (C, OH, OW), float32 or float64.
    indices
        What `max_pool2d` returned with ``return_indices=True``: int64, of the shape of `grad_output`.
    input_shape
        Shape of ``x``: (N, C, H, W), or (C, H, W) with a `grad_output` of three axes.
    out
        As in `max_pool2d`.

    Returns
    -------
    Array
        Of `input_shape`; `out` if given. Gradients of windows with the same maximum are added.

    Raises
    ------
    TypeError, ValueError
        As `max_pool2d`; ValueError too if an index lies outside the plane.
    """
    (grad_output,) = checks.float_arrays(grad_output=grad_output)
    shape = checks.shape_like("input_shape", input_shape, (3, 4))
    checks.check_planes("grad_output", grad_output, shape)
    indices = checks.index_array(indices, grad_output)
    result = result_array(out, shape, grad_output.dtype, grad_output=grad_output, indices=indices)
    if result.size:
        batch = (-1, *shape[-3:])
        done = backend().max_pool_backward(
            prepared(grad_output).reshape(-1, *grad_output.shape[-3:]),
            prepared(indices).reshape(-1, *grad_output.shape[-3:]),
            result.reshape(batch),
        )
        if not done:
            raise checks.index_error(indices, (shape[-2], shape[-1]))
    return result


def avg_pool2d(
    x: ArrayLike,
    kernel_size: IntOrPair,
    stride: IntOrPair | None = None,
    *,
    padding: PaddingLike = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    out: Array | None = None,
) -> Array:
    """Return the mean of each window.

    Parameters
    ----------
    x, kernel_size, stride, ceil_mode, out
        As in `max_pool2d`.
    padding
        Zeros around each plane; otherwise as in `max_pool2d`.
    count_include_pad
        Whether padding counts in the number of elements that a sum is divided by. What a window in ceil mode
        covers beyond the padding never counts.
    divisor_override
        Divide by this number instead.

    Returns
    -------
    Array
        (N, C, OH, OW), or (C, OH, OW) for (C, H, W), of the dtype of `x`, native; `out` if given.

    Raises
    ------
    TypeError, ValueError
        As `max_pool2d`.

    Notes
    -----
    The semantics are those of ``torch.nn.functional.avg_pool2d``.
    """
    (x,) = checks.float_arrays(x=x)
    geometry = checks.pool_geometry(x.shape, kernel_size, stride, padding, 1, ceil_mode)
    include = checks.flag("count_include_pad", count_include_pad)
    divisor = checks.divisor(divisor_override)
    result = result_array(out, geometry.output_shape[4 - x.ndim :], x.dtype, x=x)
    if result.size:
        backend().avg_pool(
            prepared(x).reshape(geometry.input_shape),
            geometry,
            include,
            divisor,
            result.reshape(geometry.output_shape),
        )
    return result


def avg_pool2d_backward(
    grad_output: ArrayLike,
    input_shape: Sequence[int],
    kernel_size: IntOrPair,
    stride: IntOrPair | None = None,
    *,
    padding: PaddingLike = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    out: Array | None = None,
) -> Array:
    """Return the gradient of a loss by the input of `avg_pool2d`, given its gradient by the output.

    Parameters
    ----------
    grad_output
        Gradient by the output, (N, C, OH, OW) or (C, OH, OW), float32 or float64.
    input_shape
        Shape of ``x``: (N, C, H, W), or (C, H, W) with a `grad_output` of three axes.
    kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
        Those of the forward pass.
    out
        As in `max_pool2d`.

    Returns
    -------
    Array
        Of `input_shape`; `out` if given.

    Raises
    ------
    TypeError, ValueError
        As `max_pool2d`.
    """
    (grad_output,) = checks.float_arrays(grad_output=grad_output)
    shape = checks.shape_like("input_shape", input_shape, (3, 4))
    geometry = checks.pool_geometry(shape, kernel_size, stride, padding, 1, ceil_mode, x_name="input_shape")
    checks.check_shape("grad_output", grad_output, geometry.output_shape[4 - len(shape) :])
    include = checks.flag("count_include_pad", count_include_pad)
    divisor = checks.divisor(divisor_override)
    result = result_array(out, shape, grad_output.dtype, grad_output=grad_output)
    if result.size:
        backend().avg_pool_backward(
            prepared(grad_output).reshape(geometry.output_shape),
            geometry,
            include,
            divisor,
            result.reshape(geometry.input_shape),
        )
    return result


def relu(x: ArrayLike, *, out: Array | None = None) -> Array:
    """Return `x` where it is not negative, else zero. NaN is kept.

    Parameters
    ----------
    x
        Array of any shape, float32 or float64.
    out
        As in `max_pool2d`.

    Returns
    -------
    Array
        Of the shape and dtype of `x`; `out` if given.

    Raises
    ------
    TypeError, ValueError
        As `max_pool2d`.
    """
    (x,) = checks.float_arrays(x=x)
    result = result_array(out, x.shape, x.dtype, x=x)
    if result.size:
        backend().relu(prepared(x), result)
    return result


def relu_backward(grad_output: ArrayLike, y: ArrayLike, *, out: Array | None = None) -> Array:
    """Return the gradient of a loss by the input of `relu`, given its gradient by the output.

    Parameters
    ----------
    grad_output
        Gradient by the output, of any shape, float32 or float64.
    y
        What `relu`, or a convolution with a fused ReLU, returned; same shape and dtype.
    out
        As in `max_pool2d`.

    Returns
    -------
    Array
        `grad_output` where `y` is positive (or NaN), else zero; `out` if given.

    Raises
    ------
    TypeError, ValueError
        As `max_pool2d`; ValueError too if the shapes differ.
    """
    grad_output, y = checks.float_arrays(grad_output=grad_output, y=y)
    checks.check_shape("y", y, grad_output.shape)
    result = result_array(out, y.shape, y.dtype, grad_output=grad_output, y=y)
    if result.size:
        backend().relu_backward(prepared(grad_output), prepared(y), result)
    return result
