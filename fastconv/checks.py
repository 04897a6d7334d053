"""Every argument check of `fastconv.conv` and `fastconv.pool`, and every message they raise.

A message names the argument, what came and what was expected. What depends on shapes and numbers alone is
computed once and remembered: the second call with the same shapes costs a look-up.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal, NamedTuple, TypeAlias, cast

import numpy as np
from numpy.typing import ArrayLike

from fastconv.geometry import Array, ConvGeometry, Pair, PoolGeometry, Sides
from fastconv.sizes import ceil_div

Word: TypeAlias = Literal["same", "valid"]
IntOrPair: TypeAlias = int | np.integer[Any] | Sequence[int]
PaddingLike: TypeAlias = IntOrPair | Sequence[Sequence[int]] | Word

_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
_LARGEST = 2**31 - 1  # of strides and the like, so that their products fit 64 bits


# --- arrays -----------------------------------------------------------------------------------------------


def float_arrays(**arguments: ArrayLike) -> list[Array]:
    """Return the arguments as arrays, all float32 or all float64, in either byte order, not copied."""
    arrays = [np.asarray(value) for value in arguments.values()]
    first = arrays[0].dtype
    if first in _FLOATS and all(array.dtype == first for array in arrays):
        return arrays
    natives = {native(array.dtype) for array in arrays}
    if len(natives) > 1 or natives.pop() not in _FLOATS:
        came = " and ".join(f"{name} {array.dtype}" for name, array in zip(arguments, arrays, strict=True))
        wanted = "be float32 or float64" if len(arrays) == 1 else "all be float32 or all be float64"
        raise TypeError(f"{' and '.join(arguments)} must {wanted}, got {came}")
    return arrays


def check_out(out: Array, shape: tuple[int, ...], native: np.dtype[Any], **inputs: Array | None) -> None:
    """Raise unless `out` is an array that a result of `shape` and dtype can be written to."""
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out must be a NumPy array or None, got {type(out).__name__}")
    if out.shape != shape:
        raise ValueError(f"out must have shape {shape}, got {out.shape}")
    if out.dtype != native:
        raise TypeError(f"out must have the native dtype {native}, got {out.dtype.str} ({out.dtype})")
    if not (out.flags.c_contiguous and out.flags.aligned):
        raise ValueError("out must be C-contiguous and aligned, got an array that is not")
    if not out.flags.writeable:
        raise ValueError("out must be writable, got a read-only array")
    for name, value in inputs.items():
        if value is not None and np.may_share_memory(out, value):
            raise ValueError(f"out must not share memory with {name}")


def native(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return a dtype in native byte order."""
    return dtype if dtype.isnative else dtype.newbyteorder("=")


def check_shape(name: str, array: Array, shape: tuple[int, ...]) -> None:
    """Raise ValueError unless `array` has `shape`."""
    if array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {array.shape}")


def check_planes(name: str, array: Array, shape: tuple[int, ...]) -> None:
    """Raise ValueError unless `array` has planes of some size for each plane of `shape`."""
    if array.ndim != len(shape) or array.shape[:-2] != shape[:-2]:
        wanted = ", ".join(map(str, (*shape[:-2], "OH", "OW")))
        raise ValueError(f"{name} must have shape ({wanted}) for input_shape {shape}, got {array.shape}")


def bias_array(bias: ArrayLike | None, weight: Array) -> Array | None:
    """Return `bias` as an array of shape (K,) and of the weight's dtype, or None."""
    if bias is None:
        return None
    bias, weight = float_arrays(bias=bias, weight=weight)
    if bias.shape != weight.shape[:1]:
        raise ValueError(
            f"bias must have shape {weight.shape[:1]}, one value for each kernel of weight, got {bias.shape}"
        )
    return bias


def index_array(indices: ArrayLike, grad_output: Array) -> Array:
    """Return `indices`, int64, of the shape of `grad_output`."""
    array = np.asarray(indices)
    if native(array.dtype) != np.int64:
        raise TypeError(f"indices must be int64, as max_pool2d returns them, got {array.dtype}")
    if array.shape != grad_output.shape:
        raise ValueError(f"indices must have the shape of grad_output {grad_output.shape}, got {array.shape}")
    return array


def index_error(indices: Array, plane: Pair) -> ValueError:
    """Return the error that says that `indices` do not all lie within a plane (H, W)."""
    return ValueError(
        f"indices must lie in 0 to {plane[0] * plane[1] - 1}, within the plane {plane} of "
        f"input_shape, got {indices.min()} to {indices.max()}"
    )


# --- numbers and words ------------------------------------------------------------------------------------


def flag(name: str, value: bool) -> bool:
    """Return `value`, a bool."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {_show(value)}")
    return bool(value)


def flags(name: str, value: Sequence[bool], count: int) -> tuple[bool, ...]:
    """Return `value`, a sequence of `count` bools."""
    wanted = f"a sequence of {count} bools"
    if not _is_sequence(value):
        raise TypeError(f"{name} must be {wanted}, got {_show(value)}")
    if len(value) != count:
        raise ValueError(f"{name} must be {wanted}, got {_show(value)}")
    return tuple(flag(name, item) for item in value)


def is_relu(activation: str | None) -> bool:
    """Return whether `activation` is "relu" rather than None."""
    if activation is None:
        return False
    if isinstance(activation, str) and activation == "relu":
        return True
    raise ValueError(f'activation must be None or "relu", got {_show(activation)}')


def algorithm_name(value: str, available: Sequence[str]) -> str:
    """Return `value`, "auto" or the name of an algorithm that is there."""
    if not isinstance(value, str):
        raise TypeError(f"algorithm must be a str, got {_show(value)}")
    if value == "auto" or value in available:
        return value
    known = ", ".join(repr(name) for name in ("auto", *available))
    raise ValueError(f"algorithm {value!r} is unknown; expected one of {known}")


def divisor(value: int | None) -> int | None:
    """Return `value`, an int other than zero, or None."""
    if value is None:
        return None
    if not _is_integer(value):
        raise TypeError(f"divisor_override must be an int or None, got {_show(value)}")
    if value == 0:
        raise ValueError("divisor_override must not be zero")
    if abs(value) > _LARGEST:
        raise ValueError(f"divisor_override must be at most {_LARGEST} in size, got {value}")
    return int(value)


def shape_like(name: str, value: Sequence[int], ranks: Sequence[int]) -> tuple[int, ...]:
    """Return `value`, a sequence of non-negative ints whose length is among `ranks`."""
    if type(value) is tuple and len(value) in ranks and {*map(type, value)} == {int} and min(value) >= 0:
        return value  # the usual case: the shape of an array
    wanted = f"a sequence of {' or '.join(map(str, ranks))} ints, each at least 0"
    if not _is_sequence(value) or not all(map(_is_integer, value)):
        raise TypeError(f"{name} must be {wanted}, got {_show(value)}")
    if len(value) not in ranks or min(value) < 0:
        raise ValueError(f"{name} must be {wanted}, got {_show(value)}")
    return tuple(int(item) for item in value)


# The first test of each of these two is the usual case; the rest costs a microsecond.
def _is_integer(value: object) -> bool:
    return type(value) is int or (isinstance(value, (int, np.integer)) and not isinstance(value, bool))


def _is_sequence(value: object) -> bool:
    return isinstance(value, (tuple, list)) or (
        value.ndim > 0
        if isinstance(value, np.ndarray)
        else isinstance(value, Sequence) and not isinstance(value, (str, bytes))
    )


def _show(value: object) -> str:
    return f"{value!r} ({type(value).__name__})"


def _pair(name: str, value: Any, minimum: int) -> Pair:
    """Return an int or a sequence of 1 or 2 ints as a pair."""
    if type(value) is int and minimum <= value <= _LARGEST:
        return value, value
    items = list(value) if _is_sequence(value) else [value]
    wanted = f"an int or a sequence of 1 or 2 ints, at least {minimum}"
    if not all(map(_is_integer, items)):
        raise TypeError(f"{name} must be {wanted}, got {_show(value)}")
    if len(items) not in (1, 2) or min(items) < minimum:
        raise ValueError(f"{name} must be {wanted}, got {_show(value)}")
    if max(items) > _LARGEST:
        raise ValueError(f"{name} must be at most {_LARGEST}, got {_show(value)}")
    return int(items[0]), int(items[-1])


def _padding(value: Any) -> tuple[Pair, Pair] | Word:
    """Return `value` as ((top, bottom), (left, right)), or as the word "same" or "valid"."""
    if isinstance(value, str):
        if value not in ("same", "valid"):
            raise ValueError(f'padding must be "same", "valid" or numbers, got {value!r}')
        return cast("Word", value)
    if _is_sequence(value) and any(map(_is_sequence, value)):
        if len(value) != 2 or not all(_is_sequence(side) and len(side) == 2 for side in value):
            raise ValueError(f"padding by sides must be ((top, bottom), (left, right)), got {_show(value)}")
        return _pair("padding", value[0], 0), _pair("padding", value[1], 0)
    high, wide = _pair("padding", value, 0)
    return (high, high), (wide, wide)


# --- shared by convolution and pooling --------------------------------------------------------------------


def batch_shape(name: str, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Return the shape (N, C, H, W) of an array that has it, or (C, H, W)."""
    if len(shape) == 3:
        return 1, shape[0], shape[1], shape[2]
    if len(shape) != 4:
        raise ValueError(f"{name} must have 4 axes (N, C, H, W), or 3 (C, H, W), got shape {shape}")
    return shape[0], shape[1], shape[2], shape[3]


def _sides(padding: tuple[Pair, Pair] | Word, kernel_size: Pair, stride: Pair, dilation: Pair) -> Sides:
    """Return `padding` as (top, bottom, left, right)."""
    if padding == "valid":
        return 0, 0, 0, 0
    if padding == "same":
        if stride != (1, 1):
            raise ValueError(f'padding "same" needs stride 1, got stride {stride}')
        high, wide = (d * (size - 1) for d, size in zip(dilation, kernel_size, strict=True))
        return high // 2, high - high // 2, wide // 2, wide - wide // 2
    (top, bottom), (left, right) = padding
    return top, bottom, left, right


def _output_size(
    x_name: str,
    plane: Pair,
    kernel_size: Pair,
    stride: Pair,
    padding: Sides,
    dilation: Pair,
    ceil_mode: bool,
) -> Pair:
    size = tuple(
        _output_length(length, size, step, before, after, d, ceil_mode)
        for length, size, step, before, after, d in zip(
            plane, kernel_size, stride, padding[::2], padding[1::2], dilation, strict=True
        )
    )
    if min(size) < 1:
        extent = [d * (size - 1) + 1 for d, size in zip(dilation, kernel_size, strict=True)]
        raise ValueError(
            f"{x_name} must hold a window: its plane is {plane[0]}x{plane[1]}, "
            f"padded to {plane[0] + padding[0] + padding[1]}x{plane[1] + padding[2] + padding[3]}, "
            f"the window {extent[0]}x{extent[1]}"
        )
    return size[0], size[1]


def _output_length(length: int, size: int, stride: int, before: int, after: int, dilation: int, ceil_mode: bool) -> int:
    room = length + before + after - dilation * (size - 1) - 1
    if not ceil_mode:
        return room // stride + 1
    positions = ceil_div(room, stride) + 1
    # A window that would start in the far padding is dropped.
    return positions - 1 if (positions - 1) * stride >= length + before else positions


# --- convolution ------------------------------------------------------------------------------------------


class ConvNumbers(NamedTuple):
    """The numbers of a convolution that do not depend on the input, as keywords of `fastconv.conv2d`."""

    stride: Pair
    padding: tuple[Pair, Pair] | Word
    dilation: Pair
    groups: int


def conv_numbers(stride: IntOrPair, padding: PaddingLike, dilation: IntOrPair, groups: int) -> ConvNumbers:
    """Return the numbers that describe a convolution, each checked by itself."""
    if not _is_integer(groups):
        raise TypeError(f"groups must be an int, got {_show(groups)}")
    if groups < 1:
        raise ValueError(f"groups must be at least 1, got {groups}")
    return ConvNumbers(_pair("stride", stride, 1), _padding(padding), _pair("dilation", dilation, 1), int(groups))


@lru_cache(maxsize=4096)
def conv_geometry(
    x_shape: tuple[int, ...],
    weight_shape: tuple[int, ...],
    numbers: ConvNumbers,
    x_name: str = "x",
    weight_name: str = "weight",
) -> ConvGeometry:
    """Check that the shapes and numbers of a convolution fit together and return what follows from them.

    Parameters
    ----------
    x_shape, weight_shape
        (N, C, H, W) or (C, H, W), and (K, C/groups, R, S).
    numbers
        From `conv_numbers`.
    x_name, weight_name
        What the caller calls the two shapes, for messages.
    """
    n, c, h, w = batch_shape(x_name, x_shape)
    check_weight_shape(weight_name, weight_shape, numbers)
    k, channels, r, s = weight_shape
    stride, _, dilation, groups = numbers
    if c != channels * groups:
        raise ValueError(
            f"{x_name} must have {channels * groups} channels, those of {weight_name} {weight_shape} "
            f"times groups={groups}, got shape {x_shape}"
        )
    if n and c and not (h and w):
        raise ValueError(f"{x_name} must have at least one row and one column, got shape {x_shape}")
    padding = _sides(numbers.padding, (r, s), stride, dilation)
    out_h, out_w = _output_size(x_name, (h, w), (r, s), stride, padding, dilation, ceil_mode=False)
    return ConvGeometry(n, c, h, w, k, r, s, groups, stride, padding, dilation, out_h, out_w)


def check_weight_shape(name: str, shape: tuple[int, ...], numbers: ConvNumbers) -> None:
    """Raise ValueError unless `shape` is (K, C/groups, R, S) and goes with `numbers`."""
    if len(shape) != 4:
        raise ValueError(f"{name} must have 4 axes (K, C/groups, R, S), got shape {shape}")
    k, _, r, s = shape
    if k < 1 or k % numbers.groups:
        raise ValueError(f"{name} must have a positive multiple of groups={numbers.groups} kernels, got shape {shape}")
    if r < 1 or s < 1:
        raise ValueError(f"{name} must have kernels of at least 1x1, got shape {shape}")
    _sides(numbers.padding, (r, s), numbers.stride, numbers.dilation)


# --- pooling ----------------------------------------------------------------------------------------------


def pool_geometry(
    x_shape: tuple[int, ...],
    kernel_size: IntOrPair,
    stride: IntOrPair | None,
    padding: PaddingLike,
    dilation: IntOrPair,
    ceil_mode: bool,
    *,
    x_name: str = "x",
) -> PoolGeometry:
    """Check the shape and numbers of a pooling and return them with what follows from them.

    The parameters are those of `fastconv.max_pool2d`; `x_name` is what the caller calls the shape.
    """
    window = _pair("kernel_size", kernel_size, 1)
    return _pool_geometry(
        x_shape,
        window,
        window if stride is None else _pair("stride", stride, 1),
        _padding(padding),
        _pair("dilation", dilation, 1),
        flag("ceil_mode", ceil_mode),
        x_name,
    )


@lru_cache(maxsize=4096)
def _pool_geometry(
    x_shape: tuple[int, ...],
    kernel_size: Pair,
    stride: Pair,
    padding: tuple[Pair, Pair] | Word,
    dilation: Pair,
    ceil_mode: bool,
    x_name: str,
) -> PoolGeometry:
    n, c, h, w = batch_shape(x_name, x_shape)
    if not (h and w):
        raise ValueError(f"{x_name} must have at least one row and one column, got shape {x_shape}")
    sides = _sides(padding, kernel_size, stride, dilation)
    limits = [(d * (size - 1) + 1) // 2 for d, size in zip(dilation, kernel_size, strict=True)]
    if max(sides[:2]) > limits[0] or max(sides[2:]) > limits[1]:
        raise ValueError(
            f"padding must be at most half of the window, {limits[0]} for rows and {limits[1]} for columns, "
            f"got {sides} (top, bottom, left, right)"
        )
    out_h, out_w = _output_size(x_name, (h, w), kernel_size, stride, sides, dilation, ceil_mode)
    return PoolGeometry(n, c, h, w, *kernel_size, stride, sides, dilation, out_h, out_w)
