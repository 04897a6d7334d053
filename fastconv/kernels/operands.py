"""What differs from call to call of a planned convolution: its arrays."""

from __future__ import annotations

import numpy as np

from fastconv import jit
from fastconv.jit.records import Elements


class Operands(jit.Record):
    """Part of a plan's job: where the arrays of a call begin, and whether its outputs are rectified."""

    # the input, or a copy of it
    x: Elements
    # packed
    weights: Elements
    # of each row, or nowhere
    bias: Elements
    relu: int
    out: Elements


def operands(x: np.ndarray, packed: np.ndarray, bias: np.ndarray | None, relu: bool, out: np.ndarray) -> Operands:
    """Return the arrays of a call as its job wants them."""
    return Operands(
        x=jit.address_of(x), weights=jit.address_of(packed), bias=0 if bias is None else jit.address_of(bias),
        relu=relu, out=jit.address_of(out),
    )  # fmt: skip
