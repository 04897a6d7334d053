"""Arrays of a call: inputs in the form that algorithms need, and the one for the result."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastconv import checks
from fastconv.allocation import empty


def result_array(
    out: NDArray[Any] | None, shape: tuple[int, ...], dtype: np.dtype[Any], **inputs: NDArray[Any] | None
) -> NDArray[Any]:
    """Return the array for a result of `shape` and the native form of `dtype`: `out`, checked, or a fresh one."""
    native = checks.native(dtype)
    if out is None:
        return empty(shape, native)
    checks.check_out(out, shape, native, **inputs)
    return out


def prepared(array: NDArray[Any]) -> NDArray[Any]:
    """Return the same values C-contiguous, aligned and in native byte order: `array` itself if it is so."""
    flags = array.flags
    if flags.c_contiguous and flags.aligned and array.dtype.isnative:
        return array
    return np.array(array, dtype=checks.native(array.dtype), order="C", copy=True)
