"""Winograd's matrices, made of the interpolation points alone."""

from __future__ import annotations

from math import prod
from typing import NamedTuple

import numpy as np

POINTS = {4: [0, 2 / 3, -2 / 3, 3 / 2, -3 / 2], 2: [0, 1, -1]}


class Matrices(NamedTuple):
    """A^T, G and B^T in float64."""

    outputs: np.ndarray
    kernels: np.ndarray
    inputs: np.ndarray


def matrices(size):
    """Return the matrices of F(size x size, 3x3) by the Toom-Cook construction, the last point being infinity."""
    points = POINTS[size]
    others = [[q for q in points if q != p] for p in points]
    at_infinity = np.eye(size + 2)[-1]
    outputs = np.stack([*(np.power(float(p), range(size)) for p in points), at_infinity[2:]], axis=1)
    kernels = [np.power(float(p), range(3)) / prod(p - q for q in rest) for p, rest in zip(points, others, strict=True)]
    kernels = np.stack([*kernels, at_infinity[-3:]])
    polynomials = [np.append(np.poly(rest)[::-1], 0) for rest in others]
    inputs = np.stack([*polynomials, np.poly(points)[::-1]])
    if size == 2:  # ours has 1 in G for -1 there
        kernels[0], inputs[0] = -kernels[0], -inputs[0]
    return Matrices(outputs, kernels, inputs)


def both_ways(matrix, numbers):
    """Return matrix x matrix^T for each x in the last two axes."""
    return matrix @ numbers.astype(np.float64) @ matrix.T


def close(result, expected, dtype):
    """Compare by the norm."""
    assert np.linalg.norm(result - expected) <= 4 * np.finfo(dtype).eps * np.linalg.norm(expected)
