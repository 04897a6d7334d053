"""A 3x3 convolution with fixed weights together with its ReLU and, perhaps, the max pooling behind it.

Both ways the three are one kernel: maxima are taken before outputs reach memory, and gradients pass a ReLU and a
pooling while they are read. A network that never changes needs no more of a layer than that.
"""

from __future__ import annotations

import functools
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from fastconv import jit
from fastconv.conv import PackedConv2d
from fastconv.kernels import winograd
from fastconv.kernels.winograd_transforms import FLAGS, PLACES, VALUES
from fastconv.nn import traces
from fastconv.nn.traces import Trace

Array = NDArray[Any]

TILE = 4  # outputs along a side of a tile of Winograd's method
FEW_CHANNELS = 4  # with so many or fewer, the direct method's forward pass is faster


class FrozenConvolution:
    """Convolution of stride 1, ReLU, and max pooling of 2x2 where a call says so.

    Parameters
    ----------
    weight : ndarray, shape (K, C, 3, 3), float32 or float64
    bias : ndarray, shape (K,), of the same dtype
    padding : int
        Zeros around the picture.

    Notes
    -----
    Weights are kept in the form that kernels read, and in no other, if it serves both directions.
    """

    def __init__(self, weight: Array, bias: Array, padding: int = 1) -> None:
        self._filters, self._channels = weight.shape[:2]
        self._padding = padding
        plain = numba.config.DISABLE_JIT or self._channels <= FEW_CHANNELS
        self._packed = PackedConv2d(weight, bias, padding=padding, activation="relu") if plain else None
        self._bias = bias.copy()
        self._transformed = None if numba.config.DISABLE_JIT else winograd.transform_weights(weight, TILE)

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        """(K, C, 3, 3)."""
        return self._filters, self._channels, 3, 3

    def forward(self, x: Array, out: Array, trace: Trace | None = None, *, pooled: bool = False) -> None:
        """Write the rectified convolution of `x`, or the maxima of its 2x2 windows.

        Parameters
        ----------
        x : ndarray, shape (N, C, H, W)
        out : ndarray, shape (N, K, P, Q), or (N, K, P // 2, Q // 2) if `pooled`
        trace : ndarray of `traces.empty`, of the shape of `out`, optional
            For `input_grad`.
        pooled : bool
            Whether to pool.
        """
        if self._packed is not None:
            y = self._packed.forward(x, out=None if pooled else out)
            if pooled:
                traces.max_pool(y, out, traces.empty(out.shape) if trace is None else trace)
            elif trace is not None:
                traces.relu_trace(y, trace)
            return
        assert self._transformed is not None
        plan = self._plan(x.shape, (*x.shape[:1], self._filters, *self._grown(x.shape, 2 * self._padding - 2)), False)
        winograd.convolve(plan, x, self._transformed, self._bias, True, out, 0, pooled=pooled, codes=trace)

    def input_grad(self, gradient: Array, gate: Trace | Array, out: Array, *, pooled: bool = False) -> None:
        """Write the gradient with respect to the input, given the one with respect to the output.

        Parameters
        ----------
        gradient : ndarray, of the shape of the output
            Perhaps overwritten.
        gate : ndarray, of the same shape
            The trace of `forward`; or its output, unless it was `pooled`.
        out : ndarray, shape (N, C, H, W)
        pooled : bool
            As for `forward`.
        """
        if self._transformed is not None:
            kind = PLACES if pooled else FLAGS if gate.dtype == np.uint8 else VALUES
            plan = self._plan(gradient.shape, out.shape, True)
            winograd.convolve(plan, gradient, self._transformed, None, False, out, 0, gate=winograd.Gate(kind, gate))
            return
        assert self._packed is not None
        if pooled:
            full = np.empty((*out.shape[:1], self._filters, *self._grown(out.shape, 2 * self._padding - 2)), out.dtype)
            traces.max_pool_backward(gradient, gate, full)
            gradient = full
        elif gate.dtype == np.uint8:
            traces.block_by_trace(gradient, gate)
        else:
            traces.block_by_output(gradient, gate)
        self._packed.input_grad(gradient, out.shape, out=out)

    def _plan(self, shape: tuple[int, ...], out_shape: tuple[int, ...], turned: bool) -> winograd.Plan:
        padding = 2 - self._padding if turned else self._padding
        dtype = self._bias.dtype
        return _plan(
            shape, out_shape, self._filters, self._channels, padding, dtype, jit.get_num_threads(), turned=turned
        )

    @staticmethod
    def _grown(shape: tuple[int, ...], by: int) -> tuple[int, int]:
        return shape[2] + by, shape[3] + by


@functools.lru_cache(maxsize=256)
def _plan(
    shape: tuple[int, ...], out_shape: tuple[int, ...], filters: int, channels: int, padding: int,
    dtype: np.dtype[Any], threads: int, *, turned: bool,
) -> winograd.Plan:  # fmt: skip
    return winograd.plan(
        shape, out_shape, filters, channels, (padding, padding), dtype, TILE, threads, turned=turned, fresh=False
    )
