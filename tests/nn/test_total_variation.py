"""Total variation: values by hand, gradients against finite differences."""

import numpy as np
import pytest

from fastconv.nn import TotalVariation

from .helpers import gradient_of, numerical_gradient


def test_total_variation_is_the_mean_squared_step_to_the_next_pixels():
    image = np.array([[[[0.0, 1.0, 3.0], [2.0, 2.0, 7.0]]]])
    straight = (1 + 4 + 0 + 25) + (4 + 1 + 16)
    diagonal = (4 + 36) + (1 + 1)
    expected = 2 * (2 / 3 * straight + 1 / 6 * diagonal) / 6
    assert TotalVariation(weight=2.0).forward(image) == pytest.approx(expected, rel=1e-14)


def test_total_variation_is_the_same_in_every_direction():
    y, x = np.mgrid[:200, :200]
    waves = [np.sin(0.6 * (np.cos(angle) * x + np.sin(angle) * y)) for angle in np.linspace(0, np.pi / 2, 9)]
    values = [TotalVariation().forward(wave[None, None]) for wave in waves]
    assert np.ptp(values) < 0.01 * np.mean(values)


def test_the_gradient_of_total_variation_is_the_nine_point_laplacian(rng):
    from scipy.ndimage import correlate

    loss, image = TotalVariation(weight=3.0), rng.normal(size=(1, 1, 7, 8))
    loss.forward(image)
    stencil = np.array([[1, 4, 1], [4, -20, 4], [1, 4, 1]]) / 6
    inside = (slice(1, -1), slice(1, -1))
    expected = -2 * 3 / image.size * correlate(image[0, 0], stencil)
    np.testing.assert_allclose(gradient_of(loss, image)[0, 0][inside], expected[inside], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("shape", [(2, 3, 1, 4), (2, 3, 4, 1), (1, 1, 1, 1)])
def test_total_variation_of_thin_pictures(rng, shape):
    loss, image = TotalVariation(), rng.normal(size=shape)
    expected = numerical_gradient(loss.forward, image)
    loss.forward(image)
    np.testing.assert_allclose(gradient_of(loss, image), expected, atol=1e-9)


def test_it_says_what_is_wrong():
    with pytest.raises(TypeError, match="float32 or float64, got int64"):
        TotalVariation().forward(np.zeros((1, 3, 4, 5), np.int64))
    with pytest.raises(ValueError, match="image must have shape \\(N, C, H, W\\)"):
        TotalVariation().forward(np.zeros((3, 4, 5)))
