"""Sums that losses are made of."""

from __future__ import annotations

import numpy as np

from fastconv.geometry import Array


def sum_of_squares(x: Array) -> float:
    """Sum x^2 in float64 without a float64 copy of x."""
    flat = x.ravel()
    return float(np.einsum("i,i->", flat, flat, dtype=np.float64))
