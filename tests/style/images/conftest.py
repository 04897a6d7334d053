"""Pixels to write and to read."""

import numpy as np
import pytest


@pytest.fixture
def noise():
    return np.random.default_rng(3).integers(0, 256, (20, 31, 3), dtype=np.uint8)


@pytest.fixture
def smooth():
    """A picture that JPEG keeps to a few grey levels."""
    rows, columns = np.mgrid[0:40, 0:64]
    return np.dstack([4 * columns, 6 * rows, 255 - 2 * columns - 2 * rows]).clip(0, 255).astype(np.uint8)
