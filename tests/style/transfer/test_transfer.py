"""Transfers: what each option does to the picture, and what comes with it."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from fastconv.style import OptionError, Options, Result, Transfer
from fastconv.style.algorithm.presets import PRESETS
from fastconv.style.images.colors import luma, match_colors


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({}, (32, 48, 3)),
        ({"size": 37}, (25, 37, 3)),
        ({"size": 37, "restore_size": True}, (32, 48, 3)),
        ({"size": "40x52"}, (52, 40, 3)),
        ({"size": 60}, (32, 48, 3)),
        ({"size": 60, "enlarge": True}, (40, 60, 3)),
    ],
)
def test_the_result_has_the_size_that_was_asked_for(run, options, shape):
    result = run(**options)
    assert isinstance(result, Result)
    assert result.image.shape == shape
    assert result.image.dtype == np.uint8


def test_a_run_that_is_broken_off_gives_the_final_size(thin, pictures):
    transfer = Transfer(*pictures[:2], weights=thin, size=64, enlarge=True, min_scale=40, steps=5)
    next(iter(transfer))
    assert transfer.result().image.shape == (43, 64, 3)
    assert len(transfer.result().losses) == 1


def test_there_is_no_picture_before_the_first_step(thin, pictures):
    with pytest.raises(RuntimeError, match="before the first step"):
        Transfer(*pictures[:2], weights=thin, size=48).result()


def test_the_same_options_give_the_same_picture(run):
    first, second = (run(init="noise", seed=4).image for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert np.any(run(init="noise", seed=5).image != first)


def test_every_start_leads_somewhere_else(run, pictures):
    starts = ["content", "noise", "gray", "style", pictures[2]]
    images = [run(init=start, steps=1).image.astype(int) for start in starts]
    for i, image in enumerate(images):
        assert all(np.abs(image - other).mean() > 1 for other in images[:i])


@pytest.mark.parametrize(
    "options",
    [
        {"clip": False, "learning_rate": 60},
        {"pooling": "average"},
        {"padding": "zeros"},
        {"optimizer": "lbfgs"},
        {"preserve_colors": "luma"},
        {"preserve_colors": "match"},
        {"masks": [np.tile(np.uint8([0, 255]), (32, 24))]},
        {"preset": "best", "steps": 3},
        {"loss": "gatys"},
        {"loss": "wasserstein"},
        {"style_layers": ("relu1_1:9", "relu5_1")},
        {"average": 0.9},
        {"betas": (0.5, 0.9)},
        {"alpha": 0},
        {"beta": 0.1},
        {"total_variation": 10},
        {"style_scale": 0.5},
        {"style_layers": ("relu1_1",)},
        {"content_layers": ("relu2_2",)},
    ],
)
def test_every_option_changes_the_picture(run, options):
    common = {key: value for key, value in options.items() if key == "learning_rate"}
    assert np.any(run(**common).image != run(**options).image)


def test_coarser_scales_change_the_picture(run):
    assert np.any(run(size=64, enlarge=True).image != run(size=64, enlarge=True, min_scale=64).image)


def test_the_photograph_alone_changes_nothing(run, pictures):
    image = run(beta=0, total_variation=0, min_scale=48).image
    np.testing.assert_array_equal(image, np.rint(pictures[0]).astype(np.uint8))


def test_a_style_stays_where_its_mask_is(run, pictures):
    content, one, other = pictures
    left, right = np.zeros((2, *content.shape[:2]), np.uint8)
    left[:, :24] = right[:, 24:] = 255
    options = {"style_layers": ("relu1_1",), "alpha": 0, "total_variation": 0, "min_scale": 48, "learning_rate": 2}
    both = run(styles=[one, other], masks=[left, right], **options).image.astype(int)
    # At relu1_1 a position sees its neighbours only, so nothing crosses the border but in a column or two.
    for mask, style, inside in ((left, one, np.s_[:, :23]), (right, other, np.s_[:, 25:])):
        alone = run(styles=style, masks=[mask], **options).image.astype(int)
        assert np.abs(both - alone)[inside].mean() <= 0.2  # one flipped sign in Adam moves a pixel by grey levels
        assert np.abs(both - alone).max() > 5
        outside = mask == 0
        outside[:, 22:26] = False
        np.testing.assert_array_equal(alone[outside], np.rint(content).astype(int)[outside])


def test_a_white_mask_changes_nothing(run):
    white = np.full((16, 24), 255, np.uint8)
    difference = run(masks=[white]).image.astype(int) - run().image
    assert np.abs(difference).mean() < 0.5  # rounding, since weighted sums are added up otherwise


def test_the_colours_of_the_photograph_are_kept(run, pictures):
    result = run(preserve_colors="luma", alpha=0.01)
    chroma = [rgb - rgb.mean(axis=2, keepdims=True) for rgb in (result.rgb, pictures[0])]
    free = (result.image.min(axis=2) > 0) & (result.image.max(axis=2) < 255)  # the others were clipped
    assert free.mean() > 0.3
    np.testing.assert_allclose(chroma[0][free], chroma[1][free], atol=0.01)
    other = run(alpha=0.01)
    assert np.abs(luma(result.rgb) - luma(other.rgb))[free].max() < 0.01


def test_the_picture_on_its_way_has_the_colours_of_the_result(thin, pictures):
    transfer = Transfer(*pictures[:2], weights=thin, size=48, min_scale=48, steps=2, preserve_colors="luma")
    for step in transfer:
        np.testing.assert_array_equal(step.image(), transfer.result().image)


def test_styles_are_recoloured_to_the_photograph(run, pictures):
    matched = match_colors(pictures[1], pictures[0])
    np.testing.assert_array_equal(run(preserve_colors="match").image, run(styles=matched).image)


def test_a_start_from_the_styles_has_their_colours(thin, pictures):
    options = {"weights": thin, "size": 48, "min_scale": 48, "steps": 1, "learning_rate": 1e-6}
    transfer = Transfer(
        pictures[0], [pictures[1], pictures[2]], init="style", style_weights=(1, 0), enlarge=True, **options
    )
    next(iter(transfer))
    found, expected = (picture.reshape(-1, 3).astype(np.float64) for picture in (transfer.picture(), pictures[1]))
    spread = np.sqrt(expected.var(axis=0).sum())
    assert np.abs(found.mean(axis=0) - expected.mean(axis=0)).max() < 0.1 * spread  # some of the noise was clipped
    assert np.abs(np.cov(found.T) - np.cov(expected.T)).max() < 0.3 * spread**2


def test_opacity_is_given_back(run, pictures):
    alpha = np.linspace(0, 255, 48) * np.ones((32, 1))
    rgba = np.dstack([pictures[0], alpha]).astype(np.uint8)
    result = run(content=rgba, size=36)
    assert result.alpha.shape == result.image.shape[:2] == (24, 36)
    np.testing.assert_allclose(result.alpha[:, 1:-1], np.linspace(0, 1, 36)[1:-1] * np.ones((24, 1)), atol=0.02)
    assert run().alpha is None


def test_the_result_is_there_before_rounding(run):
    result = run()
    assert result.rgb.dtype == np.float32
    assert 0 <= result.rgb.min() < result.rgb.max() <= 255
    np.testing.assert_array_equal(np.rint(result.rgb), result.image)
    assert np.abs(result.rgb - result.image).max() > 0.1


def test_a_preset_makes_the_picture_of_its_options(run):
    np.testing.assert_array_equal(
        run(preset="gatys", size=48, steps=3).image, run(**{**PRESETS["gatys"], "size": 48, "steps": 3}).image
    )
    with pytest.raises(OptionError, match="preset must be one of"):
        run(preset="slow")


def test_a_style_of_weight_zero_does_not_count(run, pictures):
    _, one, other = pictures
    alone = run(styles=[one]).image
    np.testing.assert_array_equal(run(styles=one).image, alone)
    np.testing.assert_array_equal(run(styles=[one, other], style_weights=[2, 0]).image, alone)
    assert np.any(run(styles=[one, other]).image != alone)


def test_the_settings_tell_what_the_picture_was_made_with(run, thin, pictures):
    settings = run(beta=13, seed=3, init=pictures[2], masks=[np.full((32, 48), 255, np.uint8)]).settings
    for name, value in asdict(Options()).items():
        assert name in settings
        if name not in ("size", "min_scale", "steps", "beta", "seed", "init", "masks", "tile"):
            assert settings[name] == value
    assert (settings["preset"], settings["beta"], settings["seed"]) == ("fast", 13, 3)
    assert (settings["init"], settings["masks"]) == ("a picture of 30x36 px", ["a picture of 48x32 px"])
    assert settings["weights"] == {"source": "random", "sha256": "ab" * 32, "exact": True}
    assert settings["scales"][-1] == {"height": 32, "width": 48, "steps": 3}
    assert settings["threads"] >= 1
    assert settings["tile"] == 0
    assert settings["estimate"]["memory"] > 1e8
    assert settings["estimate"]["flop"] > 1e9
    assert set(settings["versions"]) == {"fastconv", "numba", "numpy", "python"}
    assert json.loads(json.dumps(settings))["beta"] == 13
