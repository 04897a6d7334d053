"""The loss and its gradient in tiles are those of the whole picture."""

import numpy as np
import pytest

from fastconv.nn.losses import COMPARISONS
from fastconv.nn.vgg import VGG19
from fastconv.style import Options
from fastconv.style.algorithm import tiles
from fastconv.style.algorithm.canvas import to_planes
from fastconv.style.algorithm.objective import Objective
from fastconv.style.algorithm.options import SMALLEST_TILE
from fastconv.style.algorithm.tiles import plan_tiles

from ..helpers import distance, noise, thin_layers

LARGE_TILE = 640  # four tiles for 1024 px


def both(options, *, masks=None, tile=SMALLEST_TILE, size=(432, 496)):
    """Losses and gradient of a picture, as a whole and in tiles."""
    content, image = (to_planes(noise(*size, seed), options.dtype) for seed in (0, 1))
    styles = [to_planes(noise(395, 371, seed), options.dtype) for seed in (2, 3)]
    network = VGG19(thin_layers((4,) * 5), dtype=options.dtype, pooling=options.pooling, padding=options.padding)
    layers = [*options.content_layers, *options.style_layers]
    assert len(plan_tiles(size, layers, tile)) > 3
    return [Objective(network, content, styles, options, masks, None, side)(image) for side in (None, tile)]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"padding": "zeros", "loss": "gatys"},
        {"loss": "wasserstein"},
        {"pooling": "average", "content_layers": ("relu1_1", "relu5_2")},
        {"style_layers": ("pool1", "relu5_4")},
        {"content_layers": (), "style_layers": ("pool5",)},
        {"style_layers": ()},
    ],
)
def test_tiles_give_the_gradient_of_the_whole(changes):
    options = Options(**{"dtype": "float64", "style_weights": (1, 3), "loss": "relative", **changes})
    (whole, expected), (losses, gradient) = both(options)
    np.testing.assert_allclose(losses, whole, rtol=1e-11)
    assert distance(gradient, expected) < 1e-10


@pytest.mark.parametrize("loss", COMPARISONS)
def test_tiles_give_the_gradient_of_the_whole_under_masks(loss):
    ramp = np.linspace(0, 1, 496) * np.ones((432, 1))
    corner = np.zeros((432, 496))
    corner[3:60, 400:] = 1  # within one tile
    options = Options(dtype="float64", loss=loss)
    (whole, expected), (losses, gradient) = both(options, masks=[ramp, corner])
    np.testing.assert_allclose(losses, whole, rtol=1e-11)
    assert distance(gradient, expected) < 1e-10


def test_without_a_halo_the_gradient_is_another(monkeypatch):
    """What the other tests find would differ if tiles saw less: so they would notice."""
    (_, expected), _ = both(Options(dtype="float64"))
    monkeypatch.setattr(tiles, "halo_of", lambda layers: 48)
    _, (_, gradient) = both(Options(dtype="float64"))
    assert distance(gradient, expected) > 1e-6


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "bound"), [("float64", 1e-10), ("float32", 5e-3)])
def test_the_gradient_of_a_large_picture(real_weights, photographs, dtype, bound):
    noisy = photographs[0] + np.random.default_rng(0).normal(size=photographs[0].shape)  # flat areas make ties
    content, style, image = (to_planes(rgb, dtype) for rgb in (*photographs, noisy))
    network = VGG19(real_weights.layers, dtype=dtype, padding="replicate")
    (whole, expected), (losses, gradient) = (
        Objective(network, content, [style], Options(dtype=dtype), None, None, tile)(image)
        for tile in (None, LARGE_TILE)
    )
    np.testing.assert_allclose(losses, whole, rtol=1e-5)
    print("relative distance of the gradient:", distance(gradient, expected))
    assert distance(gradient, expected) < bound
