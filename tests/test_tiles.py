"""Tiles: how pictures are divided, and that losses and gradients are those of the whole picture."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastconv import weights as vgg_weights
from fastconv.nn.vgg import LAYER_NAMES, LAYERS, VGG19
from fastconv.style import OptionError, Options, Transfer
from fastconv.style.algorithm import tiles
from fastconv.style.algorithm.canvas import to_planes
from fastconv.style.algorithm.objective import Objective, content_losses, style_targets
from fastconv.style.algorithm.options import SMALLEST_TILE
from fastconv.style.algorithm.tiles import grid_of, halo_of, lay_out, plan_tiles, stride_of
from fastconv.style.images import load
from fastconv.style.running import checkpoint
from fastconv.style.running import saved as saved_runs
from fastconv.style.transfer import cost
from fastconv.weights import converted

LARGE_TILE = 640  # four tiles for 1024 px
DEFAULT_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu4_2", "relu5_1")
sides = st.integers(16, 3000)


def thin_layers(width=4):
    """Random weights of a few channels that keep the features' variance from layer to layer."""
    rng = np.random.default_rng(7)
    layers, channels = {}, 3
    for name in (layer.weights for layer in LAYERS if layer.weights):
        weight = rng.normal(0, np.sqrt(2 / (9 * channels)), (width, channels, 3, 3)).astype(np.float32)
        layers[name] = weight, rng.normal(0, 0.1, width).astype(np.float32)
        channels = width
    return layers


def noise(height, width, seed=0):
    """A picture in which no two pixels are alike, so that poolings meet no ties."""
    return np.random.default_rng(seed).uniform(0, 255, (height, width, 3)).astype(np.float32)


def distance(a, b):
    return np.linalg.norm(a - b) / np.linalg.norm(b)


# --- geometry ------------------------------------------------------------------------------------------------


@given(height=sides, width=sides, layer=st.sampled_from(LAYER_NAMES), tile=st.integers(SMALLEST_TILE, 1200))
def test_tiles_own_all_once_and_see_a_halo(height, width, layer, tile):
    grid, halo = grid_of([layer]), halo_of([layer])
    owners = np.zeros((-(-height // grid), -(-width // grid)), int)
    for seen, owned in plan_tiles((height, width), [layer], tile):
        for outer, inner, side in zip(seen, owned, (height, width), strict=True):
            assert 0 <= outer.start <= inner.start < inner.stop <= outer.stop <= side
            assert outer.start % grid == inner.start % grid == 0
            assert inner.stop % grid == 0 or inner.stop == side
            assert outer.start == 0 or inner.start - outer.start >= halo
            assert outer.stop == side or outer.stop - inner.stop >= halo
        assert seen.of(np.empty((height, width), np.uint8)).size <= tile**2
        owners[tuple(slice(s.start // grid, -(-s.stop // grid)) for s in owned)] += 1
    assert np.all(owners == 1)


def test_a_halo_is_as_wide_as_the_features_look():
    assert halo_of(["relu5_1"]) == 80  # of which they need 70
    assert halo_of(["relu1_1", "relu2_2", "relu4_4"]) == 64
    assert halo_of(["relu5_4"]) == halo_of(["pool5"]) == 128
    assert halo_of(["relu1_1"]) == 16
    assert (grid_of(["relu1_1"]), grid_of(["pool5"])) == (16, 32)
    assert [stride_of(name) for name in ("relu1_2", "pool1", "relu5_1", "pool5")] == [1, 2, 16, 32]


@pytest.mark.parametrize("layer", ["relu2_2", "relu4_3", "relu5_1"])
def test_features_look_no_farther_than_the_halo(layer):
    network = VGG19(thin_layers(), dtype="float64")
    halo, stride = halo_of([layer]), stride_of(layer)
    picture = noise(4 * halo + 16, 32).transpose(2, 0, 1)[None]
    other = picture.copy()
    other[:, :, :halo] += 9
    other[:, :, 3 * halo + 16 :] += 9
    here, there = (network.forward(x, [layer], needs_gradient=False)[layer] for x in (picture, other))
    owned = np.s_[:, :, 2 * halo // stride : (2 * halo + 16) // stride]
    np.testing.assert_allclose(here[owned], there[owned], rtol=1e-9, atol=1e-9)
    changed = np.abs(here - there).max(axis=(0, 1, 3)) > 1e-3
    assert changed[: halo // stride].all()
    assert changed[-halo // stride :].all()


def test_a_picture_that_fits_is_one_tile():
    (whole,) = plan_tiles((400, 300), DEFAULT_LAYERS, None)
    assert plan_tiles((400, 300), DEFAULT_LAYERS, 347) == (whole,)
    assert whole.seen == whole.owned == (slice(0, 400), slice(0, 300))
    assert len(plan_tiles((400, 300), DEFAULT_LAYERS, 346)) == 2


def test_the_layout_takes_the_least_work():
    found = lay_out((1008, 1600), DEFAULT_LAYERS, 700)
    assert found.pixels <= 700**2
    for rows, columns in itertools.product(range(1, 6), repeat=2):
        # The least that so many tiles can see: what there is, and halos on both sides of each cut.
        least = (1008 + (rows - 1) * 160) * (1600 + (columns - 1) * 160)
        if least <= rows * columns * 650**2:
            assert found.tiles * found.pixels <= least * 1.05


def test_a_tile_that_is_all_halo_is_refused():
    with pytest.raises(ValueError, match=r"tile must be larger for a halo of 80 px .* got 170"):
        lay_out((1000, 1000), DEFAULT_LAYERS, 170)


# --- losses and gradients ------------------------------------------------------------------------------------


def both(options, *, masks=None, tile=SMALLEST_TILE, size=(432, 496)):
    """Losses and gradient of a picture, as a whole and in tiles."""
    content, image = (to_planes(noise(*size, seed), options.dtype) for seed in (0, 1))
    styles = [to_planes(noise(395, 371, seed), options.dtype) for seed in (2, 3)]
    network = VGG19(thin_layers(), dtype=options.dtype, pooling=options.pooling, padding=options.padding)
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


@pytest.mark.parametrize("loss", ["relative", "wasserstein"])
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


@pytest.mark.parametrize("loss", ["relative", "wasserstein"])
def test_targets_are_those_of_the_whole_pictures(loss):
    options = Options(loss=loss, content_layers=("relu2_2", "relu4_2"))
    picture = to_planes(noise(437, 491), "float64")  # rows and columns that poolings leave out
    network = VGG19(thin_layers(), dtype="float64")
    whole, found = (style_targets(network, picture, options, tile) for tile in (None, SMALLEST_TILE))
    assert whole.keys() == found.keys() == set(options.style_layers)
    for layer in whole:
        assert type(found[layer]) is type(whole[layer])
        for expected, array in zip(whole[layer], found[layer], strict=True):  # rows, or mean and Gram matrix
            np.testing.assert_allclose(array, expected, rtol=1e-11, atol=1e-11 * np.abs(expected).max())
    whole, found = (content_losses(network, picture, options, tile) for tile in (None, SMALLEST_TILE))
    for layer in options.content_layers:
        np.testing.assert_allclose(found[layer].target, whole[layer].target, rtol=1e-9, atol=1e-9)


# --- whole runs ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def thin(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "none.npz"
    return vgg_weights.VGGWeights(thin_layers(), "random", "ab" * 32, path, exact=True)


def test_a_run_in_tiles_ends_at_the_picture_of_one_without(thin):
    content, style = noise(344, 410), noise(330, 390, 1)
    mask = np.uint8(255) * (np.arange(410) > 200) * np.ones((344, 1), np.uint8)
    how = {"weights": thin, "size": 410, "min_scale": 290, "steps": 3, "masks": [mask], "learning_rate": 2}
    pictures = {}
    for tile in (0, SMALLEST_TILE):
        transfer = Transfer(content, style, tile=tile, **how)
        assert transfer.settings["tile"] == tile
        assert [scale.long_side for scale in transfer.plan.scales] == [288, 410]
        for _ in transfer:
            pass
        pictures[tile] = transfer.picture()
    assert np.abs(pictures[SMALLEST_TILE] - pictures[0]).mean() < 0.05
    assert np.any(pictures[SMALLEST_TILE] != pictures[0])


def test_a_run_in_tiles_that_was_stopped_ends_at_the_same_picture(small_network, tmp_path):
    path = tmp_path / "weights.npz"
    converted.write(vgg_weights.VGGWeights(small_network, "random", "cd" * 32, path, exact=True), path)
    content, style = (noise(360, 420, seed).round() for seed in (0, 1))
    how = {"weights": path, "size": 420, "min_scale": 290, "steps": 2}
    whole = Transfer(content, style, tile=0, **how).plan.memory
    how["max_memory"] = whole - 20_000 * int(cost.per_seen_pixel(Options()))  # of 160 000 pixels
    undisturbed = Transfer(content, style, **how)
    for _ in undisturbed:
        pass
    stopped = Transfer(content, style, **how)
    assert stopped.plan.layout(stopped.plan.scales[-1]).tiles > 1
    keeper = checkpoint.Checkpoint(tmp_path / "run.ckpt", stopped, content, [style], {})
    steps = iter(stopped)
    for _ in range(5):
        next(steps)
    keeper.note()
    assert keeper.write()

    saved = saved_runs.read(tmp_path / "run.ckpt", print)
    assert saved.document["options"]["tile"] == stopped.plan.tile  # whatever memory there is when it goes on
    resumed = saved.transfer()
    assert resumed.plan.tile == stopped.plan.tile
    assert len(list(resumed)) == 1
    np.testing.assert_array_equal(resumed.picture(), undisturbed.picture())


def test_lbfgs_is_refused_with_tiles():
    with pytest.raises(OptionError, match=r"optimizer lbfgs .* tile"):
        Options(tile=512, optimizer="lbfgs")
    assert Options(tile=0, optimizer="lbfgs").tile == 0


@pytest.mark.parametrize("tile", [SMALLEST_TILE - 1, -1, 512.0, True, "512"])
def test_a_tile_without_meaning_is_refused(tile):
    with pytest.raises(OptionError, match=f"tile must be .* at least {SMALLEST_TILE}, or 0"):
        Options(tile=tile)


# --- the real network: minutes --------------------------------------------------------------------


@pytest.fixture(scope="module")
def real_weights():
    try:
        return vgg_weights.load(offline=True)
    except vgg_weights.WeightsError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def photographs(shared_data):
    names = "coffee.png", "starry_night_google.jpg"
    return [load(shared_data / "images" / name).resized((1024, 1024)).rgb for name in names]


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


@pytest.mark.slow
def test_gram_matrices_of_a_large_picture(real_weights, photographs):
    planes = to_planes(photographs[1], "float32")
    network = VGG19(real_weights.layers, padding="replicate")
    whole, found = (style_targets(network, planes, Options(), tile) for tile in (None, LARGE_TILE))
    for layer in whole:
        print("relative distance of the Gram matrix of", layer, distance(found[layer], whole[layer]))
        assert distance(found[layer], whole[layer]) < 1e-6


@pytest.mark.slow
def test_twenty_steps(real_weights, shared_data):
    """In float32 Adam multiplies rounding: runs part by grey levels, whether or not there are tiles."""
    names = "coffee.png", "starry_night_google.jpg"
    pictures = [load(shared_data / "images" / name).resized((384, 384)).rgb for name in names]

    def picture(dtype, tile):
        transfer = Transfer(*pictures, weights=real_weights, size=384, min_scale=384, steps=20, dtype=dtype, tile=tile)
        for _ in transfer:
            pass
        return transfer.picture().astype(np.float64)

    def difference(a, b):
        return np.abs(a - b).mean()  # grey levels

    exact = picture("float64", 0)
    assert difference(picture("float64", SMALLEST_TILE), exact) < 0.05
    rounded = picture("float32", 0)
    assert difference(picture("float32", SMALLEST_TILE), rounded) < 1.5 * difference(rounded, exact)
