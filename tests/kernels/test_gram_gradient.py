"""The gradient through Gram matrices against NumPy, with whole numbers: exact in any order of additions."""

import numpy as np

from fastconv.kernels import gram_gradient
from fastconv.kernels.microkernel import DEPTH_BLOCK, tile_rows

from .gram_sizes import CHANNELS, POSITIONS, WEIGHTED, WIDE
from .helpers import Output, integers, surrounded


def check(rng, dtype, channels, positions, weighted):
    features = surrounded(integers(rng, dtype, channels, positions))
    slope = integers(rng, dtype, channels, channels)  # not symmetric: rows and columns must not be exchanged
    weights = surrounded(integers(rng, dtype, positions)) if weighted else None
    before = integers(rng, dtype, channels, positions)
    total = Output((channels, positions), dtype)
    total.array[...] = before
    gram_gradient.add_gram_gradient(features, slope, weights, total.array)
    factor = weights if weighted else np.ones(positions, dtype)
    total.check(before + slope.astype(float) @ (features * factor).astype(float))


@CHANNELS
@POSITIONS
@WEIGHTED
def test_it_is_added(channels, positions, weighted, dtype, threads, rng):
    check(rng, dtype, channels, positions, weighted)


def test_more_channels_than_a_block_holds(dtype, threads, rng):
    channels = max(DEPTH_BLOCK, gram_gradient.ROW_BLOCK * tile_rows()) + 5
    check(rng, dtype, channels, 2 * WIDE + 1, False)


def test_more_positions_than_a_block_holds(dtype, threads, rng, monkeypatch):
    monkeypatch.setattr(gram_gradient, "BLOCK_BYTES", 1)
    check(rng, dtype, 5, 7 * WIDE + 3, True)


def test_by_hand(dtype, threads):
    features = np.array([[1, 2, 3], [0, -1, 1]], dtype)
    slope = np.array([[1, 10], [100, 1000]], dtype)
    total = Output((2, 3), dtype)
    total.array[...] = 7
    gram_gradient.add_gram_gradient(features, slope, np.array([1, 0, 2], dtype), total.array)
    total.check([[8, 7, 33], [107, 7, 2607]])
