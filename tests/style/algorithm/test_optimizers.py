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
    ratio = 32 * 48 / (40 * 60)
    np.testing.assert_allclose(large.m, 3 * ratio, rtol=1e-6)
    assert large.v.min() >= 0
    assert large.v[..., :40, :60].mean() == pytest.approx(small.v.mean() * ratio**2, rel=0.1)
    assert large.t == 17
