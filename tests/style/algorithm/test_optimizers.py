"""What an optimiser takes along from scale to scale."""

import numpy as np
import pytest

from fastconv.nn.optim import Adam
from fastconv.style.algorithm.optimizers import resume_moments


def test_moments_are_carried_to_the_next_scale():
    rng = np.random.default_rng(1)
    small, large = (Adam(np.zeros((1, 3, *size))) for size in ((32, 48), (48, 64)))
    small.m[...], small.t = 3.0, 17
    small.v[...] = rng.exponential(size=small.v.shape) ** 4
    resume_moments(large, small, (32, 48), (40, 60))
    # The loss is a mean, of which each of 2400 pixels has 0.64 of the share that each of 1536 had.
    np.testing.assert_allclose(large.m, 1.92, rtol=1e-6)
    assert large.v.min() >= 0
    assert large.v[..., :40, :60].mean() == pytest.approx(0.4096 * small.v.mean(), rel=0.1)
    assert large.t == 17
