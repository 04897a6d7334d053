"""Gram matrices and the gradient through them against NumPy, with whole numbers: exact in any order of additions."""

import numpy as np
import pytest

from fastconv import jit
from fastconv.kernels import gram
from fastconv.kernels.microkernel import DEPTH_BLOCK, tile_columns, tile_rows

from .helpers import Output, integers, surrounded

WIDE = tile_columns(np.dtype(np.float32))
LONG = jit.lanes(np.dtype(np.float32))
CHANNELS = pytest.mark.parametrize("channels", [1, tile_rows() + 1, WIDE - 1, WIDE, 3 * WIDE + 5])
POSITIONS = pytest.mark.parametrize("positions", [1, LONG - 1, 2 * WIDE, 2 * WIDE + 1, gram.POSITIONS_BLOCK + 3])
WEIGHTED = pytest.mark.parametrize("weighted", [False, True])


class TestMatrix:
    @CHANNELS
    @POSITIONS
    @WEIGHTED
    def test_all_products_of_channels(self, channels, positions, weighted, dtype, threads, rng):
        features = surrounded(integers(rng, dtype, channels, positions))
        roots = surrounded(integers(rng, dtype, positions)) if weighted else None
        weights = roots**2 if weighted else np.ones(positions, dtype)
        out = Output((channels, channels), dtype)
        gram.gram(features, roots, out.array)
        out.check((features * weights).astype(float) @ features.T.astype(float))

    def test_by_hand(self, dtype, threads):
        features = np.array([[1, 2, 3], [0, -1, 1]], dtype)
        out = Output((2, 2), dtype)
        gram.gram(features, None, out.array)
        out.check([[14, 1], [1, 2]])
        gram.gram(features, np.array([1, 0, 2], dtype), out.array)
        out.check([[37, 12], [12, 4]])

    def test_symmetric_to_the_last_bit(self, dtype, threads, rng):
        features = rng.standard_normal((2 * WIDE + 3, 500)).astype(dtype)
        out = np.empty((len(features), len(features)), dtype)
        gram.gram(features, None, out)
        np.testing.assert_array_equal(out, out.T)
        exact = features.astype(float) @ features.T.astype(float)
        assert np.linalg.norm(out - exact) <= 8 * np.finfo(dtype).eps * np.linalg.norm(exact)


class TestGradient:
    def check(self, rng, dtype, channels, positions, weighted):
        features = surrounded(integers(rng, dtype, channels, positions))
        slope = integers(rng, dtype, channels, channels)  # not symmetric: rows and columns must not be exchanged
        weights = surrounded(integers(rng, dtype, positions)) if weighted else None
        before = integers(rng, dtype, channels, positions)
        total = Output((channels, positions), dtype)
        total.array[...] = before
        gram.add_gram_gradient(features, slope, weights, total.array)
        factor = weights if weighted else np.ones(positions, dtype)
        total.check(before + slope.astype(float) @ (features * factor).astype(float))

    @CHANNELS
    @POSITIONS
    @WEIGHTED
    def test_it_is_added(self, channels, positions, weighted, dtype, threads, rng):
        self.check(rng, dtype, channels, positions, weighted)

    def test_more_channels_than_a_block_holds(self, dtype, threads, rng):
        channels = max(DEPTH_BLOCK, gram.ROW_BLOCK * tile_rows()) + 5
        self.check(rng, dtype, channels, 2 * WIDE + 1, False)

    def test_more_positions_than_a_block_holds(self, dtype, threads, rng, monkeypatch):
        monkeypatch.setattr(gram, "BLOCK_BYTES", 1)
        self.check(rng, dtype, 5, 7 * WIDE + 3, True)

    def test_by_hand(self, dtype, threads):
        features = np.array([[1, 2, 3], [0, -1, 1]], dtype)
        slope = np.array([[1, 10], [100, 1000]], dtype)
        total = Output((2, 3), dtype)
        total.array[...] = 7
        gram.add_gram_gradient(features, slope, np.array([1, 0, 2], dtype), total.array)
        total.check([[8, 7, 33], [107, 7, 2607]])
