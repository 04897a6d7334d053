"""What is left of a ReLU or a max pooling for its backward pass: a byte an output, its trace.

For a network with fixed weights that is all there is to keep; features need not be. Gradients are changed in
place or written to an array that is given, so that a pass over a network allocates nothing.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from fastconv import jit
from fastconv.jit import address_of as _at
from fastconv.kernels import elementwise, masks
from fastconv.kernels.winograd import MARGIN
from fastconv.pool import max_pool2d

Array = NDArray[Any]
Trace = NDArray[np.uint8]


def empty(shape: tuple[int, ...]) -> Trace:
    """Return an array for a trace, in a larger one: kernels read whole vectors."""
    size = math.prod(shape)
    return np.empty(size + 2 * MARGIN, np.uint8)[MARGIN : MARGIN + size].reshape(shape)


def relu_trace(y: Array, trace: Trace) -> None:
    """Write to `trace`, of the shape of `y`, where a rectified `y` lets gradients pass: 1 or 0."""
    if numba.config.DISABLE_JIT:
        np.logical_not(y <= 0, out=trace.view(bool))  # NaN passes
    else:
        _run(masks.signs_kernel, y, masks.SignJob(_at(y), _at(trace), y.size))


def block_by_trace(gradient: Array, trace: Trace) -> None:
    """Set `gradient` to zero where a ReLU with this trace lets none pass."""
    if numba.config.DISABLE_JIT:
        np.copyto(gradient, 0, where=trace == 0)
    else:
        job = masks.SignJob(_at(gradient), _at(trace), gradient.size)
        _run(masks.block_kernel, gradient, job)


def block_by_output(gradient: Array, y: Array) -> None:
    """Set `gradient` to zero where `y`, the output of a ReLU, is not above zero."""
    if numba.config.DISABLE_JIT:
        np.copyto(gradient, 0, where=y <= 0)
    else:
        job = elementwise.ElementwiseJob(_at(gradient), _at(y), _at(gradient), y.size)
        _run(elementwise.relu_backward_kernel, y, job)


def max_pool(x: Array, out: Array, trace: Trace) -> None:
    """Pool rectified `x`, shape (N, C, H, W), by windows of 2x2.

    Parameters
    ----------
    x : ndarray, shape (N, C, H, W)
        Output of a ReLU.
    out : ndarray, shape (N, C, H // 2, W // 2)
        For the maxima, of the dtype of `x`.
    trace : ndarray of uint8, of the shape of `out`
        For `max_pool_backward`.
    """
    if numba.config.DISABLE_JIT:
        _, places = max_pool2d(x, 2, return_indices=True, out=out)
        rows, columns = np.divmod(places, x.shape[3])
        trace[...] = np.where(out <= 0, masks.BLOCKED, rows % 2 * 2 + columns % 2)
    else:
        _run(masks.max_pool_kernel, x, _window_job(x, out, trace))


def max_pool_backward(gradient: Array, trace: Trace, out: Array) -> None:
    """Write the gradient with respect to what the ReLU before a pooling was given.

    Parameters
    ----------
    gradient : ndarray, shape (N, C, H // 2, W // 2)
        With respect to the pooling's output.
    trace : ndarray of uint8, of the same shape
        Of `max_pool`.
    out : ndarray, shape (N, C, H, W)
        For the result: zero but at the places of maxima above zero.
    """
    if numba.config.DISABLE_JIT:
        out[...] = 0
        rows, columns = gradient.shape[2] * 2, gradient.shape[3] * 2
        for place in range(4):
            y, x = divmod(place, 2)
            out[:, :, y:rows:2, x:columns:2] = np.where(trace == place, gradient, 0)
    else:
        _run(masks.max_pool_backward_kernel, out, _window_job(out, gradient, trace))


def _window_job(large: Array, small: Array, trace: Trace) -> masks.WindowJob:
    n, c, height, width = large.shape
    return masks.WindowJob(n * c, height, width, _at(large), _at(small), _at(trace))


def _run(kernel: jit.Kernel, large: Array, job: jit.Record) -> None:
    kernel(job, large.dtype, jit.threads_for(elements=large.size))
