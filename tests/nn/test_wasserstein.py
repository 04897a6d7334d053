"""The Wasserstein loss: against SciPy's matrix root, finite differences and PyTorch."""

import numpy as np
import pytest
from scipy.linalg import sqrtm

from fastconv.nn import WassersteinLoss, feature_moments
from fastconv.nn.wasserstein import Moments, add_moments_gradient

from .helpers import gradient_of

UNIT = 57.6  # 0.226 of 255 grey levels
RIDGE = 0.331776  # a ten-thousandth of its square


def features_like(rng, shape=(1, 3, 4, 5)):
    """Features as large as real ones: correlated, of mean and deviation some tens."""
    channels = shape[1]
    mixed = np.einsum("ij,njhw->nihw", rng.normal(size=(channels, channels)), rng.normal(size=shape))
    return 40 * mixed + rng.uniform(0, 80, (channels, 1, 1))


def gaussian(features, mask=None):
    flat = features[0].reshape(features.shape[1], -1)
    weights = None if mask is None else mask.ravel()
    covariance = np.cov(flat, aweights=weights, bias=True) + RIDGE * np.eye(len(flat))
    return np.average(flat, axis=1, weights=weights), covariance


def written_out(features, target, mask=None):
    (m1, s1), (m2, s2) = gaussian(features, mask), gaussian(target)
    root = sqrtm(s2)
    distance = np.sum((m1 - m2) ** 2) + np.trace(s1 + s2 - 2 * sqrtm(root @ s1 @ root).real)
    return distance / (len(m1) * UNIT**2)


def test_the_distance_of_two_gaussians_of_one_channel():
    # Means of 20 and 70; variances of 100 and 400, and the ridge:
    # (50^2 + (sqrt 400.331776 - sqrt 100.331776)^2) / 57.6^2.
    target, f = np.array([[[[10.0, 30.0]]]]), np.array([[[[50.0, 90.0]]]])
    loss = WassersteinLoss(feature_moments(target))
    assert loss.forward(f) == pytest.approx(0.78361135855, rel=1e-10)


@pytest.mark.parametrize("masked", [False, True])
def test_the_loss_is_the_formula(rng, masked):
    target, f = features_like(rng, (1, 3, 6, 4)), features_like(rng)
    mask = rng.uniform(size=(4, 5)) if masked else None
    value, _ = WassersteinLoss(feature_moments(target), weight=3.0).compare(feature_moments(f, mask))
    assert value == pytest.approx(3 * written_out(f, target, mask), rel=1e-9)


def test_moments_of_masked_features_are_weighted(rng):
    f, mask = features_like(rng), rng.uniform(size=(4, 5))
    moments = feature_moments(f, mask)
    np.testing.assert_allclose(moments.mean, gaussian(f, mask)[0], rtol=1e-12)
    np.testing.assert_allclose(moments.gram, np.einsum("hw,ihw,jhw", mask, f[0], f[0]) / mask.sum(), rtol=1e-12)


def test_shifted_features_are_as_far_as_they_are_shifted(rng):
    target = features_like(rng)
    loss = WassersteinLoss(feature_moments(target))
    assert loss.forward(target) == pytest.approx(0, abs=1e-9)
    assert loss.forward(target + UNIT) == pytest.approx(1, rel=1e-9)


@pytest.mark.parametrize("masked", [False, True])
def test_the_gradient_agrees_with_finite_differences(rng, masked):
    mask = rng.uniform(size=(4, 5)) if masked else None
    loss = WassersteinLoss(feature_moments(features_like(rng)), weight=1.7)
    f = features_like(rng)
    gradient, expected = np.zeros_like(f), np.empty_like(f)
    _, slope = loss.compare(feature_moments(f, mask))
    add_moments_gradient(f, slope, gradient, mask)
    for index in np.ndindex(f.shape):
        above, below = f.copy(), f.copy()
        above[index] += 1e-3
        below[index] -= 1e-3
        (high, _), (low, _) = (loss.compare(feature_moments(x, mask)) for x in (above, below))
        expected[index] = (high - low) / 2e-3
    np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-7 * np.abs(expected).max())


def test_the_gradient_agrees_with_pytorch(rng):
    torch = pytest.importorskip("torch")
    target, f = features_like(rng, (1, 16, 9, 8)), features_like(rng, (1, 16, 7, 6))
    m2, s2 = map(torch.from_numpy, gaussian(target))
    root = torch.from_numpy(sqrtm(s2.numpy()))
    variable = torch.from_numpy(f).requires_grad_()
    flat = variable[0].flatten(1)
    s1 = torch.cov(flat, correction=0) + RIDGE * torch.eye(16, dtype=torch.float64)
    values = torch.linalg.eigvalsh(root @ s1 @ root)
    total = (flat.mean(1) - m2).square().sum() + s1.trace() + s2.trace() - 2 * values.sqrt().sum()
    (total / (16 * UNIT**2)).backward()
    loss = WassersteinLoss(feature_moments(target))
    assert loss.forward(f) == pytest.approx(total.item() / (16 * UNIT**2), rel=1e-10)
    expected = variable.grad.numpy()
    assert np.linalg.norm(gradient_of(loss, f) - expected) < 1e-9 * np.linalg.norm(expected)


def test_fewer_positions_than_channels_and_dead_channels_give_finite_gradients(rng):
    target, f = (np.maximum(features_like(rng, (1, 12, 3, 2)), 0).astype(np.float32) for _ in range(2))
    f[:, 3:5] = 0
    target[:, 4:6] = 0
    loss = WassersteinLoss(feature_moments(target))
    value, gradient = loss.forward(f), gradient_of(loss, f)
    assert value > 0
    assert gradient.dtype == np.float32
    assert np.isfinite(gradient).all()
    assert loss.forward(f - 1e-2 * gradient / np.abs(gradient).max()) < value


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_what_has_blown_up_has_a_loss_that_is_not_a_number(rng, wrong):
    loss, f = WassersteinLoss(feature_moments(features_like(rng))), features_like(rng)
    f[0, 1, 2, 3] = wrong
    with np.errstate(invalid="ignore"):
        assert np.isnan(loss.forward(f))
        assert np.isnan(gradient_of(loss, f)).all()


def test_float32_agrees_with_float64(rng):
    target, f = features_like(rng, (1, 8, 40, 30)), features_like(rng, (1, 8, 40, 30))
    found = {}
    for dtype in (np.float32, np.float64):
        loss = WassersteinLoss(feature_moments(target.astype(dtype)))
        found[dtype] = loss.forward(f.astype(dtype)), gradient_of(loss, f.astype(dtype))
    (value, gradient), (exact, exact_gradient) = found.values()
    assert value == pytest.approx(exact, rel=1e-4)
    assert np.linalg.norm(gradient - exact_gradient) < 1e-3 * np.linalg.norm(exact_gradient)


def test_what_is_wrong_is_said(rng):
    moments = feature_moments(features_like(rng))
    with pytest.raises(ValueError, match=r"mask must have the features' shape \(4, 5\), got \(5, 4\)"):
        feature_moments(features_like(rng), np.ones((5, 4)))
    with pytest.raises(ValueError, match="mean of shape"):
        WassersteinLoss(Moments(moments.mean, moments.gram[:2]))
    with pytest.raises(ValueError, match="3 channels and dtype float64, got 2 and float64"):
        WassersteinLoss(moments).forward(np.ones((1, 2, 4, 5)))
    with pytest.raises(RuntimeError, match="needs a forward"):
        gradient_of(WassersteinLoss(moments), features_like(rng))
