"""The matrices of Winograd's method, made of the points alone by the Toom-Cook construction."""

from math import prod
from typing import NamedTuple

import numpy as np

POINTS = {4: [0, 1, -1], 6: [0, 2 / 3, -2 / 3, 3 / 2, -3 / 2]}  # by places a side; the last place's is infinity


class Matrices(NamedTuple):
    """A^T, G and B^T in float64."""

    outputs: np.ndarray
    kernels: np.ndarray
    inputs: np.ndarray


def matrices(outputs, taps=3):
    """Return the matrices of F(outputs x outputs, taps x taps)."""
    places = outputs + taps - 1
    points = POINTS[places]
    others = [[q for q in points if q != p] for p in points]
    at_infinity = np.eye(places)[-1]
    sums = np.stack([*(np.power(float(p), range(outputs)) for p in points), at_infinity[-outputs:]], axis=1)
    kernels = [
        np.power(float(p), range(taps)) / prod(p - q for q in rest) for p, rest in zip(points, others, strict=True)
    ]
    kernels = np.stack([*kernels, at_infinity[-taps:]])
    polynomials = [np.append(np.poly(rest)[::-1], 0) for rest in others]
    inputs = np.stack([*polynomials, np.poly(points)[::-1]])
    if places == 4:  # ours has 1 in G for -1 there
        kernels[0], inputs[0] = -kernels[0], -inputs[0]
    return Matrices(sums, kernels, inputs)


def both_ways(matrix, numbers):
    """Return matrix x matrix^T for each x in the last two axes."""
    return matrix @ numbers.astype(np.float64) @ matrix.T


def close(result, expected, dtype):
    """Compare by the norm."""
    assert np.linalg.norm(result - expected) <= 4 * np.finfo(dtype).eps * np.linalg.norm(expected)
