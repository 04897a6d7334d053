"""What happens to a convolution's outputs on their way to memory, and what it leaves behind for the way back.

A trace is what a backward pass must know of ReLU and of 2x2 max pooling, in one byte an output. Of a ReLU: whether its
output is above zero. Of a pooling of rectified values: which of a window's four places held the maximum, or that no
gradient passes since the maximum is zero. That is a quarter of the features themselves, and an eighth of an int64 index
for a pooling.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fastconv.geometry import Array

Trace: TypeAlias = NDArray[np.uint8]
"""Of a ReLU 1 where its output lets gradients pass, else 0; of a pooling the place of the maximum, or BLOCKED."""

BLOCKED = 4
"""In the trace of a window whose maximum is not above zero; 0 to 3 are places in row-major order."""


class Finish(NamedTuple):
    """What becomes of a convolution's outputs before they are written."""

    relu: bool = False
    pooled: bool = False
    """Whether maxima of 2x2 rectified outputs are written in their place."""
    trace: Trace | None = None
    """Filled for the backward pass of ReLU or, if pooled, of both."""


class Gate(NamedTuple):
    """What gradients pass on their way into a convolution, backwards through the ReLU or pooling behind it."""

    array: Trace | Array
    """The trace; or, of a ReLU alone, its output."""
    pooled: bool = False
