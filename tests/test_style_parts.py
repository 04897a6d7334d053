"""The parts of a transfer that stand alone: masks, colours, L-BFGS, presets, layers with weights."""

import gc
import threading

import numpy as np
import pytest
from PIL import Image
from scipy.optimize import minimize, rosen, rosen_der

from fastconv.nn.vgg import LAYER_NAMES
from fastconv.style import ImageError, OptionError, Options
from fastconv.style.algorithm import lbfgs as lbfgs_module
from fastconv.style.algorithm.canvas import mask_to_canvas
from fastconv.style.algorithm.lbfgs import LBFGS
from fastconv.style.algorithm.options import layer_weights
from fastconv.style.algorithm.presets import PRESETS, options_of
from fastconv.style.algorithm.textures import mask_at_layer
from fastconv.style.images import Picture
from fastconv.style.images.colors import (
    LUMA,
    SMALLEST_VARIANCE,
    color_moments,
    color_noise,
    luma,
    match_colors,
    symmetric_power,
    with_luma,
)
from fastconv.style.images.masks import load_mask


@pytest.fixture
def rng():
    return np.random.default_rng(0)


# --- masks -------------------------------------------------------------------------------------------------


def test_a_mask_is_white_where_it_applies():
    picture = np.zeros((20, 30, 3), np.uint8)
    picture[:, 10:20] = 128
    picture[:, 20:] = 255
    mask = load_mask(picture, (40, 60), name="mask 1")
    assert mask.dtype == np.float32
    np.testing.assert_allclose(mask, np.repeat([[0, 128 / 255, 1]], 20, axis=0).repeat(10, axis=1), rtol=1e-6)


def test_what_is_transparent_in_a_mask_is_black():
    alpha = np.linspace(0, 1, 600, dtype=np.float32).reshape(20, 30)
    mask = load_mask(Picture(np.full((20, 30, 3), 255, np.float32), alpha), (20, 30), name="mask")
    np.testing.assert_allclose(mask, alpha, atol=1e-6)


@pytest.mark.parametrize(
    ("rgba", "expected"),
    [
        ((255, 255, 255, 255), 1),
        ((0, 0, 0, 255), 0),
        ((255, 255, 255, 0), 0),
        ((90, 200, 10, 0), 0),
        ((255, 255, 255, 128), 128 / 255),
        ((0, 0, 0, 128), 0),
        ((255, 0, 0, 128), 0.299 * 128 / 255),
    ],
)
def test_a_mask_is_its_own_brightness_times_its_opacity(tmp_path, rgba, expected):
    picture = np.full((20, 30, 4), rgba, np.uint8)
    picture[0] = 255  # so that something is white
    Image.fromarray(picture).save(tmp_path / "mask.png")
    for source in (picture, tmp_path / "mask.png"):
        mask = load_mask(source, (20, 30), name="mask")
        np.testing.assert_allclose(mask[1:], expected, atol=1e-6)


@pytest.mark.parametrize("grey", [0, 77, 255])
def test_a_mask_that_is_transparent_all_over_is_black(grey):
    picture = np.full((20, 30, 4), grey, np.uint8)
    picture[..., 3] = 0
    with pytest.raises(ImageError, match="black all over"):
        load_mask(picture, (20, 30), name="mask")


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.zeros((20, 30, 3), np.uint8), "mask 2 is black all over"),
        (np.full((30, 20, 3), 255, np.uint8), "mask 2: 20x30 px is out of proportion to the content picture's 60x40"),
        ("nowhere.png", "nowhere.png does not exist"),
    ],
)
def test_a_mask_that_is_none_is_refused(mask, message):
    with pytest.raises(ImageError, match=message):
        load_mask(mask, (40, 60), name="mask 2")


def test_a_mask_is_averaged_over_each_pixel_and_repeats_its_edge(rng):
    mask = rng.uniform(size=(40, 60)).astype(np.float32)
    resized = mask_to_canvas(mask, (20, 30))
    assert resized.shape == (32, 32)
    np.testing.assert_allclose(resized[:20, :30], mask.reshape(20, 2, 30, 2).mean((1, 3)), atol=1e-6)
    np.testing.assert_array_equal(resized[20:, :30], np.repeat(resized[19:20, :30], 12, axis=0))


@pytest.mark.parametrize(
    ("layer", "side"), [("relu1_1", 1), ("relu1_2", 1), ("pool1", 2), ("relu3_4", 4), ("relu5_1", 16), ("pool5", 32)]
)
def test_a_mask_is_averaged_over_each_position_of_a_layer(rng, layer, side):
    mask = rng.uniform(size=(48, 80))
    found = mask_at_layer(mask, layer)
    assert found.shape == (48 // side, 80 // side)
    assert found[0, 1] == pytest.approx(mask[:side, side : 2 * side].mean())
    assert found[-1, 0] == pytest.approx(mask[found.shape[0] * side - side : found.shape[0] * side, :side].mean())


# --- colours -----------------------------------------------------------------------------------------------


def test_luma_is_that_of_jpeg(rng):
    from PIL import Image

    rgb = rng.integers(0, 256, (9, 7, 3), dtype=np.uint8)
    y = np.asarray(Image.fromarray(rgb).convert("YCbCr"))[..., 0]
    assert sum(LUMA) == pytest.approx(1)
    assert np.abs(luma(rgb.astype(np.float32)) - y).max() < 1  # Pillow rounds down


def test_the_brightness_of_one_and_the_colours_of_the_other(rng):
    from PIL import Image

    colored, bright = rng.uniform(90, 160, (2, 12, 9, 3)).astype(np.float32)
    found = with_luma(colored, bright)
    np.testing.assert_allclose(luma(found), luma(bright), atol=1e-3)
    ycbcr = [
        np.asarray(Image.fromarray(np.rint(x).astype(np.uint8)).convert("YCbCr")).astype(int) for x in (found, colored)
    ]
    assert np.abs(ycbcr[0][..., 1:] - ycbcr[1][..., 1:]).max() <= 2


def test_what_has_no_room_for_its_brightness_is_clipped():
    found = with_luma(np.array([[[255.0, 0, 0]]]), np.array([[[255.0, 255, 255]]]))
    assert found.max() == 255
    assert found.min() > 100


def test_matched_colours_have_mean_and_covariance_of_the_target(rng):
    mixing = rng.normal(size=(3, 3))
    style = np.clip(128 + 12 * rng.normal(size=(60, 50, 3)), 0, 255)
    target = 120 + 8 * rng.normal(size=(40, 30, 3)) @ mixing
    found = match_colors(style, target)
    assert found.dtype == np.float32
    for ours, expected in zip(color_moments([found], [1]), color_moments([target], [1]), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("grey", ["style", "target", "both"])
def test_grey_and_flat_pictures_are_matched_without_nan(rng, grey):
    colored = rng.uniform(0, 255, (20, 30, 3))
    flat = np.full((20, 30, 3), 99.0)
    style = colored if grey == "target" else np.repeat(colored[..., :1], 3, axis=2)
    found = match_colors(style, colored if grey == "style" else flat)
    assert np.isfinite(found).all()
    if grey != "style":
        assert np.abs(found - 99).max() < 4 * np.sqrt(SMALLEST_VARIANCE)


def test_moments_of_a_mixture_are_those_of_its_pixels(rng):
    pictures = rng.uniform(0, 255, (2, 30, 20, 3))
    mean, covariance = color_moments(pictures, [0.25, 0.75])
    pixels = np.concatenate([pictures[0].reshape(-1, 3)] + 3 * [pictures[1].reshape(-1, 3)])
    np.testing.assert_allclose(mean, pixels.mean(axis=0))
    np.testing.assert_allclose(covariance, np.cov(pixels.T, bias=True), rtol=1e-9)


def test_noise_has_the_colours_it_is_asked_for(rng):
    mean = np.array([100.0, 120, 140])
    covariance = np.array([[90.0, 40, 0], [40, 80, -20], [0, -20, 70]])
    found = color_moments([color_noise(mean, covariance, (200, 300), rng)], [1])
    np.testing.assert_allclose(found[0], mean, atol=0.3)
    np.testing.assert_allclose(found[1], covariance, atol=2)


def test_powers_of_a_covariance_undo_each_other(rng):
    a = 20 * rng.normal(size=(3, 3))
    covariance = a @ a.T + np.eye(3)
    root, inverse = symmetric_power(covariance, 0.5), symmetric_power(covariance, -0.5)
    np.testing.assert_allclose(root @ root, covariance, rtol=1e-9)
    np.testing.assert_allclose(root @ inverse, np.eye(3), atol=1e-9)


# --- L-BFGS ------------------------------------------------------------------------------------------------


def descend(optimizer, steps, function=rosen, gradient=rosen_der):
    losses = []
    for _ in range(steps):
        losses.append(function(optimizer.parameter))
        optimizer.step(losses[-1], gradient(optimizer.parameter))
    return losses


def test_lbfgs_finds_the_minimum_step_by_step():
    optimizer = LBFGS(np.array([-1.2, 1.0, 0.5, -0.3]), 0.1)
    losses = descend(optimizer, 120)
    assert rosen(optimizer.best) == min(losses) < 1e-12
    assert rosen(optimizer.best) <= minimize(rosen, [-1.2, 1, 0.5, -0.3], jac=rosen_der, method="L-BFGS-B").fun


def test_the_first_move_of_lbfgs_is_as_long_as_the_learning_rate():
    start = np.full((1, 3, 4, 5), 100.0)
    optimizer = LBFGS(start, 7.0, bounds=(0, 255))
    gradient = np.random.default_rng(0).normal(size=start.shape)
    optimizer.step(1e9, 1e-9 * gradient)
    move = optimizer.parameter - start
    assert np.sqrt(np.mean(move**2)) == pytest.approx(7)
    assert np.vdot(move, gradient) == pytest.approx(-np.linalg.norm(move) * np.linalg.norm(gradient))
    assert start.min() == 100


def test_lbfgs_keeps_within_its_bounds():
    optimizer = LBFGS(np.array([0.2, 0.1]), 0.5, bounds=(0, 0.7))
    seen = []
    descend(optimizer, 60, lambda x: seen.append(x.copy()) or rosen(x))
    assert min(map(np.min, seen)) >= 0
    assert max(map(np.max, seen)) <= 0.7
    np.testing.assert_allclose(optimizer.best, [0.7, 0.49], atol=1e-5)


def test_lbfgs_goes_on_where_a_noisy_gradient_ends_the_search(monkeypatch):
    monkeypatch.setattr(lbfgs_module, "RESTART_EVERY", 15)
    rng = np.random.default_rng(3)
    scales = np.logspace(0, 3, 40)

    def noisy(x):  # as float32 makes it: a loss that jumps, and a gradient that is not quite the loss's
        return float(np.sum(scales * x**2) * (1 + 1e-5 * rng.normal()))

    optimizer = LBFGS(np.ones(40, np.float32), 0.1)
    losses = descend(optimizer, 200, noisy, lambda x: 2 * scales * x * (1 + 1e-3 * rng.normal(size=40)))
    assert len(losses) == 200
    assert optimizer.parameter.dtype == np.float32
    assert noisy(optimizer.best) < 1e-4 * losses[0]


def test_lbfgs_at_a_minimum_stays_there():
    optimizer = LBFGS(np.ones(3), 1.0)
    descend(optimizer, 5)
    np.testing.assert_array_equal(optimizer.best, np.ones(3))


def test_the_thread_of_lbfgs_ends_with_it():
    before = set(threading.enumerate())
    optimizer = LBFGS(np.zeros(3), 0.1)
    descend(optimizer, 3)
    (thread,) = set(threading.enumerate()) - before
    del optimizer
    gc.collect()
    thread.join(timeout=5)
    assert not thread.is_alive()


def test_what_goes_wrong_in_the_thread_of_lbfgs_is_raised(monkeypatch):
    def fail(function, start, **options):
        function(start)
        raise ArithmeticError("inside")

    monkeypatch.setattr("scipy.optimize.fmin_l_bfgs_b", fail)
    optimizer = LBFGS(np.zeros(3), 0.1)
    with pytest.raises(ArithmeticError, match="inside"):
        optimizer.step(1.0, np.ones(3))


def test_lbfgs_says_what_is_wrong_with_a_gradient():
    with pytest.raises(ValueError, match=r"gradient must have the parameter's shape \(3,\), got \(2,\)"):
        LBFGS(np.zeros(3), 0.1).step(1.0, np.ones(2))


# --- options -----------------------------------------------------------------------------------------------


def test_layers_share_the_weight_of_their_kind():
    assert layer_weights(["relu1_1", "relu2_1:3"]) == {"relu1_1": 0.25, "relu2_1": 0.75}
    assert layer_weights(["relu1_1:5", "relu2_1:0"]) == {"relu1_1": 1}
    assert layer_weights([]) == {}


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (["relu1_1:x"], "weights of at least 0, one above it"),
        (["relu1_1:"], "weights of at least 0, one above it"),
        (["relu1_1:-1", "relu2_1"], "weights of at least 0, one above it"),
        (["relu1_1:nan"], "weights of at least 0, one above it"),
        (["relu1_1:0"], "weights of at least 0, one above it"),
        (["relu1_1", "relu1_1:2"], "name a layer once, got 'relu1_1' 2 times"),
        (["conv1_1:2"], "layers of VGG-19 such as relu4_2, got 'conv1_1'"),
    ],
)
def test_layers_without_meaning_are_refused(layers, message):
    with pytest.raises(OptionError, match=f"style_layers must .*{message}"):
        Options(style_layers=layers)


def test_a_preset_changes_defaults_and_nothing_that_is_given():
    assert options_of("fast", {}) == Options()
    best = options_of("best", {"beta": 7.0})
    assert (best.loss, best.steps, best.beta) == ("wasserstein", 500, 7.0)
    assert options_of("gatys", {"size": 512}).size == 512
    assert options_of("gatys", {}).clip is False
    assert set(layer_weights(best.style_layers)) < set(LAYER_NAMES)
    for name in PRESETS:
        options_of(name, {})
    with pytest.raises(OptionError, match="preset must be one of fast, best, gatys, got 'slow'"):
        options_of("slow", {})
