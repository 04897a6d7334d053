"""Gram matrices against NumPy, with whole numbers: exact in any order of additions."""

import numpy as np

from fastconv.kernels import gram

from .gram_sizes import CHANNELS, POSITIONS, WEIGHTED, WIDE
from .helpers import Output, integers, surrounded


@CHANNELS
@POSITIONS
@WEIGHTED
def test_all_products_of_channels(channels, positions, weighted, dtype, threads, rng):
    features = surrounded(integers(rng, dtype, channels, positions))
    roots = surrounded(integers(rng, dtype, positions)) if weighted else None
    weights = roots**2 if weighted else np.ones(positions, dtype)
    out = Output((channels, channels), dtype)
    gram.gram(features, roots, out.array)
    out.check((features * weights).astype(float) @ features.T.astype(float))


def test_by_hand(dtype, threads):
    features = np.array([[1, 2, 3], [0, -1, 1]], dtype)
    out = Output((2, 2), dtype)
    gram.gram(features, None, out.array)
    out.check([[14, 1], [1, 2]])
    gram.gram(features, np.array([1, 0, 2], dtype), out.array)
    out.check([[37, 12], [12, 4]])


def test_symmetric_to_the_last_bit(dtype, threads, rng):
    features = rng.standard_normal((2 * WIDE + 3, 500)).astype(dtype)
    out = np.empty((len(features), len(features)), dtype)
    gram.gram(features, None, out)
    np.testing.assert_array_equal(out, out.T)
    exact = features.astype(float) @ features.T.astype(float)
    assert np.linalg.norm(out - exact) <= 8 * np.finfo(dtype).eps * np.linalg.norm(exact)
