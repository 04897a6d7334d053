"""2-D convolution and its gradients: check, choose an algorithm, allocate, run it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from fastconv import checks, jit
from fastconv.algorithms import ALGORITHMS, Packing, choose
from fastconv.arrays import prepared, result_array
from fastconv.backend import backend
from fastconv.checks import ConvNumbers, IntOrPair, PaddingLike
from fastconv.geometry import Array, ConvGeometry, Pass
from fastconv.traces import Finish

_making_packings = jit.RenewedLock()  # one for all: it happens once a layer


class _Weights(NamedTuple):
    """Weights of a convolution, and how an algorithm comes by them in the form that it reads."""

    array: Array
    packing: Callable[[str, ConvGeometry, Pass], Packing]
    """Given the algorithm's name, the geometry and the pass."""
    kept: bool
    """Whether packings are kept for later calls."""


def _resolved(name: str, geometry: ConvGeometry, dtype: np.dtype[Any], pass_: Pass, *, packed: bool) -> str:
    """Return the algorithm that runs: the named one, if it can, or the one that "auto" stands for."""
    if name == "auto":
        return choose(geometry, dtype, pass_, packed=packed)
    if why_not := ALGORITHMS[name].why_not(geometry, pass_):
        raise ValueError(f"algorithm {name!r} can't do this convolution: {why_not}")
    return name


def _weights_of_one_call(weight: Array) -> _Weights:
    def packing(algorithm: str, geometry: ConvGeometry, pass_: Pass) -> Packing:
        return ALGORITHMS[algorithm].pack(prepared(weight), geometry, pass_, keep=False)

    return _Weights(weight, packing, kept=False)


def conv2d(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    stride: IntOrPair = 1,
    padding: PaddingLike = 0,
    dilation: IntOrPair = 1,
    groups: int = 1,
    activation: str | None = None,
    algorithm: str = "auto",
    out: Array | None = None,
) -> Array:
    """Convolve images with kernels (cross-correlation, as in every deep-learning library).

    Parameters
    ----------
    x
        Images, (N, C, H, W) or (C, H, W), float32 or float64. Any strides and byte order; never written to.
    weight
        Kernels, (K, C/groups, R, S), of the dtype of `x`.
    bias
        One value a kernel, (K,), of the same dtype.
    stride, dilation
        Steps between windows and between the places of a window: an int, or (rows, columns).
    padding
        Zeros around each plane: an int, (rows, columns), ((top, bottom), (left, right)), "valid" (none), or
        "same" (output as large as the input; stride 1 only; of an odd number the larger half goes to the
        bottom or right).
    groups
        Number of independent convolutions side by side; divides C and K.
    activation
        None or "relu". The fused ReLU keeps NaN.
    algorithm
        "auto" chooses by shapes and threads. By name: "loops" and "im2col" are the references in NumPy; "direct" is
        compiled and does every convolution; "winograd" and "winograd2", compiled too, work in tiles of 4x4 and 2x2
        outputs and do 3x3 kernels with stride and dilation 1 ("winograd2": no gradient by the weight).
    out
        Array for the result: exact shape and native dtype, writable, C-contiguous, no memory shared with an
        input.

    Returns
    -------
    Array
        (N, K, OH, OW), or (K, OH, OW) for (C, H, W), of the dtype of `x` in native byte order, C-contiguous;
        `out` if given. OH = (H + top + bottom - dilation * (R - 1) - 1) // stride + 1, OW alike.

    Raises
    ------
    TypeError
        If dtypes differ or are not float32 or float64, or a number is not an int.
    ValueError
        If shapes and numbers do not fit together, or the algorithm asked for cannot do this convolution.

    Notes
    -----
    The semantics are those of ``torch.nn.functional.conv2d``. N = 0 gives an empty result, C = 0 the bias.

    Winograd's methods, which "auto" may choose, depart from this in two ways. Infinity in `x` may become NaN, and with
    "winograd" either may spread to all 16 outputs of a tile whose inputs hold it; the other algorithms give it to the
    windows that hold it and to no others. And numbers on the way to a result may be 200 times as large as `x` and the
    result, so they may overflow where these come within that factor of the dtype's largest number.
    """
    x, weight = checks.float_arrays(x=x, weight=weight)
    bias = checks.bias_array(bias, weight)
    numbers = checks.conv_numbers(stride, padding, dilation, groups)
    name = _algorithm_name(algorithm)
    return _forward(x, _weights_of_one_call(weight), bias, numbers, checks.is_relu(activation), name, out)


def _forward(
    x: Array,
    weights: _Weights,
    bias: Array | None,
    numbers: ConvNumbers,
    relu: bool,
    algorithm: str,
    out: Array | None,
) -> Array:
    geometry = checks.conv_geometry(x.shape, weights.array.shape, numbers)
    shape = geometry.output_shape[4 - x.ndim :]
    result = result_array(out, shape, x.dtype, x=x, weight=weights.array, bias=bias)
    name = _resolved(algorithm, geometry, result.dtype, "forward", packed=weights.kept)
    target = result.reshape(geometry.output_shape)
    if geometry.c == 0:
        target[...] = 0 if bias is None else bias[:, np.newaxis, np.newaxis]
        if relu:
            np.maximum(target, 0, out=target)  # NumPy's maximum keeps NaN
    elif result.size:
        ALGORITHMS[name].forward(
            prepared(x).reshape(geometry.input_shape),
            weights.packing(name, geometry, "forward"),
            None if bias is None else prepared(bias),
            Finish(relu),
            geometry,
            target,
        )
    return result


def conv2d_input_grad(
    grad_output: ArrayLike,
    weight: ArrayLike,
    input_shape: Sequence[int],
    *,
    stride: IntOrPair = 1,
    padding: PaddingLike = 0,
    dilation: IntOrPair = 1,
    groups: int = 1,
    algorithm: str = "auto",
    out: Array | None = None,
) -> Array:
    """Return the gradient of a loss by the input of `conv2d`, given its gradient by the output.

    Parameters
    ----------
    grad_output
        Gradient by the output, (N, K, OH, OW) or (K, OH, OW), float32 or float64.
    weight
        Kernels, (K, C/groups, R, S), of the same dtype.
    input_shape
        Shape of ``x``: (N, C, H, W), or (C, H, W) with a `grad_output` of three axes.
    stride, padding, dilation, groups, algorithm, out
        As in `conv2d`. A fused activation is not seen here: pass ``relu_backward(grad_output, y)``.

    Returns
    -------
    Array
        Of `input_shape`, C-contiguous; `out` if given.

    Raises
    ------
    TypeError, ValueError
        As `conv2d`.
    """
    grad_output, weight = checks.float_arrays(grad_output=grad_output, weight=weight)
    numbers = checks.conv_numbers(stride, padding, dilation, groups)
    name = _algorithm_name(algorithm)
    return _input_grad(grad_output, _weights_of_one_call(weight), input_shape, numbers, name, out)


def _input_grad(
    grad_output: Array,
    weights: _Weights,
    input_shape: Sequence[int],
    numbers: ConvNumbers,
    algorithm: str,
    out: Array | None,
) -> Array:
    shape = checks.shape_like("input_shape", input_shape, (3, 4))
    geometry = checks.conv_geometry(shape, weights.array.shape, numbers, x_name="input_shape")
    checks.check_shape("grad_output", grad_output, geometry.output_shape[4 - len(shape) :])
    result = result_array(out, shape, grad_output.dtype, grad_output=grad_output, weight=weights.array)
    name = _resolved(algorithm, geometry, result.dtype, "input_grad", packed=weights.kept)
    if result.size:
        ALGORITHMS[name].input_grad(
            prepared(grad_output).reshape(geometry.output_shape),
            weights.packing(name, geometry, "input_grad"),
            None,
            geometry,
            result.reshape(geometry.input_shape),
        )
    return result


def conv2d_weight_grad(
    grad_output: ArrayLike,
    x: ArrayLike,
    weight_shape: Sequence[int],
    *,
    stride: IntOrPair = 1,
    padding: PaddingLike = 0,
    dilation: IntOrPair = 1,
    groups: int = 1,
    algorithm: str = "auto",
    out: Array | None = None,
) -> Array:
    """Return the gradient of a loss by the weight of `conv2d`, given its gradient by the output.

    Parameters
    ----------
    grad_output
        Gradient by the output, (N, K, OH, OW), or (K, OH, OW) with an `x` of three axes; float32 or float64.
    x
        The input of the forward pass, (N, C, H, W) or (C, H, W), of the same dtype.
    weight_shape
        Shape of ``weight``, (K, C/groups, R, S).
    stride, padding, dilation, groups, algorithm, out
        As in `conv2d`.

    Returns
    -------
    Array
        Of `weight_shape`, C-contiguous, summed over the batch (zero for N = 0); `out` if given.

    Raises
    ------
    TypeError, ValueError
        As `conv2d`.
    """
    grad_output, x = checks.float_arrays(grad_output=grad_output, x=x)
    shape = checks.shape_like("weight_shape", weight_shape, (4,))
    numbers = checks.conv_numbers(stride, padding, dilation, groups)
    geometry = checks.conv_geometry(x.shape, shape, numbers, weight_name="weight_shape")
    checks.check_shape("grad_output", grad_output, geometry.output_shape[4 - x.ndim :])
    name = _algorithm_name(algorithm)
    result = result_array(out, shape, x.dtype, grad_output=grad_output, x=x)
    name = _resolved(name, geometry, result.dtype, "weight_grad", packed=False)
    if geometry.n == 0:
        result[...] = 0
    elif result.size:
        ALGORITHMS[name].weight_grad(
            prepared(grad_output).reshape(geometry.output_shape),
            prepared(x).reshape(geometry.input_shape),
            geometry,
            result,
        )
    return result


def conv2d_bias_grad(grad_output: ArrayLike, *, out: Array | None = None) -> Array:
    """Return the gradient of a loss by the bias of `conv2d`: `grad_output` summed over N, H and W.

    Parameters
    ----------
    grad_output
        Gradient by the output, (N, K, OH, OW) or (K, OH, OW), float32 or float64.
    out
        As in `conv2d`.

    Returns
    -------
    Array
        (K,); zero for N = 0; `out` if given.

    Raises
    ------
    TypeError, ValueError
        As `conv2d`.
    """
    (grad_output,) = checks.float_arrays(grad_output=grad_output)
    shape = checks.batch_shape("grad_output", grad_output.shape)
    result = result_array(out, shape[1:2], grad_output.dtype, grad_output=grad_output)
    if grad_output.size:
        backend().bias_grad(prepared(grad_output).reshape(shape), result)
    else:
        result[...] = 0
    return result


class Conv2dGradients(NamedTuple):
    """Gradients of a convolution by its three arguments; None for one that was not asked for."""

    input: Array | None
    weight: Array | None
    bias: Array | None


def conv2d_backward(
    grad_output: ArrayLike,
    x: ArrayLike,
    weight: ArrayLike,
    *,
    stride: IntOrPair = 1,
    padding: PaddingLike = 0,
    dilation: IntOrPair = 1,
    groups: int = 1,
    algorithm: str = "auto",
    needs: Sequence[bool] = (True, True, True),
) -> Conv2dGradients:
    """Return the gradients of a loss by input, weight and bias of `conv2d`.

    Parameters
    ----------
    grad_output
        Gradient by the output, (N, K, OH, OW), or (K, OH, OW) with an `x` of three axes; float32 or float64.
    x, weight, stride, padding, dilation, groups, algorithm
        Those of the forward pass.
    needs
        Which of the three to compute: (input, weight, bias).

    Returns
    -------
    Conv2dGradients
        Named tuple (input, weight, bias).

    Raises
    ------
    TypeError, ValueError
        As `conv2d`.
    """
    grad_output, x, weight = checks.float_arrays(grad_output=grad_output, x=x, weight=weight)
    numbers = checks.conv_numbers(stride, padding, dilation, groups)
    geometry = checks.conv_geometry(x.shape, weight.shape, numbers)
    checks.check_shape("grad_output", grad_output, geometry.output_shape[4 - x.ndim :])
    _algorithm_name(algorithm)
    needs_input, needs_weight, needs_bias = checks.flags("needs", needs, 3)
    grad_output = prepared(grad_output)  # here, lest each of the three copies it
    how: dict[str, Any] = {**numbers._asdict(), "algorithm": algorithm}
    return Conv2dGradients(
        conv2d_input_grad(grad_output, weight, x.shape, **how) if needs_input else None,
        conv2d_weight_grad(grad_output, x, weight.shape, **how) if needs_weight else None,
        conv2d_bias_grad(grad_output) if needs_bias else None,
    )


class PackedConv2d:
    """A convolution whose weights stay the same from call to call.

    The weights are copied, so later changes to the array are not seen. An instance is frozen, may be used by
    many threads at once, and can be pickled.

    Parameters
    ----------
    weight, bias, stride, padding, dilation, groups, activation, algorithm
        As in `conv2d`.

    Raises
    ------
    TypeError, ValueError
        As `conv2d`.
    """

    __slots__ = ("_algorithm", "_bias", "_numbers", "_packings", "_relu", "_weight")

    _packings: dict[tuple[str, str], Packing]
    _weight: Array
    _bias: Array | None
    _numbers: ConvNumbers
    _relu: bool
    _algorithm: str

    def __init__(
        self,
        weight: ArrayLike,
        bias: ArrayLike | None = None,
        *,
        stride: IntOrPair = 1,
        padding: PaddingLike = 0,
        dilation: IntOrPair = 1,
        groups: int = 1,
        activation: str | None = None,
        algorithm: str = "auto",
    ):
        (weight,) = checks.float_arrays(weight=weight)
        bias = checks.bias_array(bias, weight)
        numbers = checks.conv_numbers(stride, padding, dilation, groups)
        checks.check_weight_shape("weight", weight.shape, numbers)
        fields: dict[str, Any] = {
            "_weight": _frozen_copy(weight),
            "_bias": None if bias is None else _frozen_copy(bias),
            "_numbers": numbers,
            "_relu": checks.is_relu(activation),
            "_algorithm": _algorithm_name(algorithm),
            "_packings": {},
        }
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    def forward(self, x: ArrayLike, out: Array | None = None) -> Array:
        """Return the convolution of `x`; see `conv2d`."""
        x, weight = checks.float_arrays(x=x, weight=self._weight)
        weights = _Weights(weight, self._packing, kept=True)
        return _forward(x, weights, self._bias, self._numbers, self._relu, self._algorithm, out)

    def input_grad(self, grad_output: ArrayLike, input_shape: Sequence[int], out: Array | None = None) -> Array:
        """Return the gradient by the input; see `conv2d_input_grad`."""
        grad_output, weight = checks.float_arrays(grad_output=grad_output, weight=self._weight)
        weights = _Weights(weight, self._packing, kept=True)
        return _input_grad(grad_output, weights, input_shape, self._numbers, self._algorithm, out)

    @property
    def nbytes(self) -> int:
        """Bytes of memory held: weight, bias, and every packing made so far."""
        held = [self._weight] if self._bias is None else [self._weight, self._bias]
        for packing in list(self._packings.values()):
            held += [array for array in packing if array is not self._weight]
        return sum(array.nbytes for array in held)

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """(K, C/groups, R, S)."""
        return self._weight.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32 or float64, native."""
        return self._weight.dtype

    @property
    def algorithm(self) -> str:
        """The algorithm asked for."""
        return self._algorithm

    def _packing(self, algorithm: str, geometry: ConvGeometry, pass_: Pass) -> Packing:
        """Return a packing, made when it is first needed."""
        key = (algorithm, pass_)
        packing = self._packings.get(key)
        if packing is None:
            with _making_packings.lock:
                packing = self._packings.get(key)
                if packing is None:
                    packing = ALGORITHMS[algorithm].pack(self._weight, geometry, pass_, keep=True)
                    self._packings[key] = packing
        return packing

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a PackedConv2d is frozen: cannot set {name}")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a PackedConv2d is frozen: cannot delete {name}")

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(type(self), **self._keywords()), (self._weight, self._bias)

    def __repr__(self) -> str:
        keywords = ", ".join(f"{name}={value!r}" for name, value in self._keywords().items())
        return f"PackedConv2d(weight {self.weight_shape} {self.dtype}, {keywords})"

    def _keywords(self) -> dict[str, Any]:
        activation = "relu" if self._relu else None
        return {**self._numbers._asdict(), "activation": activation, "algorithm": self._algorithm}


def _frozen_copy(array: Array) -> Array:
    copy = np.array(array, dtype=array.dtype.newbyteorder("="), order="C")
    copy.flags.writeable = False
    return copy


def _algorithm_name(value: str) -> str:
    return checks.algorithm_name(value, tuple(ALGORITHMS))
