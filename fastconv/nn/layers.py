"""Trainable layers: `forward` computes, `backward` turns the output's gradient into the input's."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fastconv.conv import conv2d, conv2d_backward
from fastconv.geometry import Array
from fastconv.pool import (
    avg_pool2d,
    avg_pool2d_backward,
    max_pool2d,
    max_pool2d_backward,
    relu,
    relu_backward,
)


class Differentiable:
    """Hands over to one backward pass what the forward pass left for it.

    What was saved is given up when the backward pass takes it, so that a large array lives no longer than
    it is needed. Not for use by several threads at once.
    """

    _saved: Any = None

    def _save(self, saved: Any) -> None:
        self._saved = saved

    def _take(self) -> Any:
        if self._saved is None:
            raise RuntimeError(
                f"{type(self).__name__}.backward() needs a forward() before it, "
                "and each forward() serves one backward()"
            )
        saved, self._saved = self._saved, None
        return saved


class Layer(Differentiable, ABC):
    """A function of one array, with its gradient. Subclasses say which."""

    @abstractmethod
    def forward(self, x: Array) -> Array:
        """Compute the layer's output for `x`, shape (N, C, H, W), and remember what `backward` will need."""

    @abstractmethod
    def backward(self, grad_output: Array) -> Array:
        """Turn the gradient with respect to the last output into the gradient with respect to its input.

        Raises
        ------
        RuntimeError
            If no `forward` came before, or its gradient has been taken already.
        """


class Conv2d(Layer):
    """2-D convolution with trainable weights.

    Parameters
    ----------
    in_channels, out_channels : int
        C and K; both divisible by `groups`.
    kernel_size : int or (int, int)
        R and S.
    stride, padding, dilation, groups
        As in `fastconv.conv2d`.
    bias : bool
        Whether to add a bias to each output channel.
    dtype : float32 or float64
        Of the weights, and so of the inputs that are accepted.
    seed : int, numpy.random.Generator or None
        Source of the initial weights, N(0, 2 / fan_in); biases start at zero.

    Attributes
    ----------
    weight : ndarray, shape (K, C / groups, R, S)
    bias : ndarray, shape (K,), or None
    weight_grad, bias_grad : ndarray or None
        Gradients left by the last `backward`, of the same shapes; each call replaces them.

    Notes
    -----
    The initial scale keeps the variance of the activations through ReLU layers: He, Zhang, Ren and Sun,
    arXiv:1502.01852, equation 10.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sequence[int],
        *,
        stride: int | Sequence[int] = 1,
        padding: Any = 0,
        dilation: int | Sequence[int] = 1,
        groups: int = 1,
        bias: bool = True,
        dtype: DTypeLike = np.float32,
        seed: int | np.random.Generator | None = None,
    ) -> None:
        for name, count in (("in_channels", in_channels), ("out_channels", out_channels), ("groups", groups)):
            if count < 1:
                raise ValueError(f"{name} must be at least 1, got {count}")
        if in_channels % groups or out_channels % groups:
            raise ValueError(
                "in_channels and out_channels must be divisible by groups, "
                f"got in_channels {in_channels}, out_channels {out_channels}, groups {groups}"
            )
        shape = (out_channels, in_channels // groups, *_rows_and_columns(kernel_size))
        spread = math.sqrt(2 / math.prod(shape[1:]))
        self.weight: Array = np.random.default_rng(seed).normal(0, spread, shape).astype(float_dtype(dtype))
        self.bias: Array | None = np.zeros(out_channels, self.weight.dtype) if bias else None
        self.weight_grad: Array | None = None
        self.bias_grad: Array | None = None
        self._options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}

    def forward(self, x: Array) -> Array:
        """Convolve `x` and remember it."""
        y = conv2d(x, self.weight, self.bias, **self._options)
        self._save(x)
        return y

    def backward(self, grad_output: Array) -> Array:
        """Return the input's gradient; leave those of the weights in `weight_grad` and `bias_grad`."""
        needs = (True, True, self.bias is not None)
        gradients = conv2d_backward(grad_output, self._take(), self.weight, needs=needs, **self._options)
        self.weight_grad, self.bias_grad = gradients.weight, gradients.bias
        assert gradients.input is not None  # it was asked for
        return gradients.input


class ReLU(Layer):
    """max(x, 0), as in `fastconv.relu`."""

    def forward(self, x: Array) -> Array:
        """Rectify `x` and remember the result."""
        y = relu(x)
        self._save(y)
        return y

    def backward(self, grad_output: Array) -> Array:
        """Pass the gradient on where the output was above zero."""
        return relu_backward(grad_output, self._take())


class MaxPool2d(Layer):
    """The largest value of each window; arguments as in `fastconv.max_pool2d`."""

    def __init__(
        self,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] | None = None,
        *,
        padding: int | Sequence[int] = 0,
        dilation: int | Sequence[int] = 1,
        ceil_mode: bool = False,
    ) -> None:
        self._window = (kernel_size, stride)
        self._options: dict[str, Any] = {"padding": padding, "dilation": dilation, "ceil_mode": ceil_mode}

    def forward(self, x: Array) -> Array:
        """Pool `x` and remember where each maximum was."""
        y, indices = max_pool2d(x, *self._window, return_indices=True, **self._options)
        self._save((indices, x.shape))
        return y

    def backward(self, grad_output: Array) -> Array:
        """Send each gradient to the position of its maximum."""
        indices, input_shape = self._take()
        return max_pool2d_backward(grad_output, indices, input_shape)


class AvgPool2d(Layer):
    """The mean of each window; arguments as in `fastconv.avg_pool2d`."""

    def __init__(
        self,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] | None = None,
        *,
        padding: int | Sequence[int] = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        self._window = (kernel_size, stride)
        self._options: dict[str, Any] = {
            "padding": padding,
            "ceil_mode": ceil_mode,
            "count_include_pad": count_include_pad,
            "divisor_override": divisor_override,
        }

    def forward(self, x: Array) -> Array:
        """Pool `x` and remember its shape."""
        y = avg_pool2d(x, *self._window, **self._options)
        self._save(x.shape)
        return y

    def backward(self, grad_output: Array) -> Array:
        """Spread each gradient evenly over its window."""
        return avg_pool2d_backward(grad_output, self._take(), *self._window, **self._options)


class Sequential(Layer):
    """Layers one after the other.

    Parameters
    ----------
    *layers : Layer
        In the order of the forward pass.

    Attributes
    ----------
    layers : tuple of Layer
    """

    def __init__(self, *layers: Layer) -> None:
        self.layers = layers

    def forward(self, x: Array) -> Array:
        """Run the layers from first to last."""
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def backward(self, grad_output: Array) -> Array:
        """Run the layers' backward passes from last to first."""
        for layer in reversed(self.layers):
            grad_output = layer.backward(grad_output)
        return grad_output


def float_dtype(dtype: DTypeLike) -> np.dtype[Any]:
    """Return `dtype` as a NumPy dtype, or raise a TypeError if it is neither float32 nor float64."""
    checked = np.dtype(dtype)
    if checked not in (np.float32, np.float64):
        raise TypeError(f"dtype must be float32 or float64, got {checked}")
    return checked


def _rows_and_columns(kernel_size: int | Sequence[int]) -> tuple[int, int]:
    sizes = (kernel_size,) * 2 if isinstance(kernel_size, (int, np.integer)) else tuple(kernel_size)
    if len(sizes) != 2 or min(sizes) < 1:
        raise ValueError(f"kernel_size must be one or two positive integers, got {kernel_size!r}")
    return sizes[0], sizes[1]
