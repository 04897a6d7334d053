"""The painter is reproducible, sees the same scene at every size, and leaves strokes that follow it."""

import numpy as np
import pytest

pytest.importorskip("PIL")
from fastconv.style.demo.painting import paint
from fastconv.style.images import resize


@pytest.fixture(scope="module")
def painting():
    return paint(192, 192)


def luminance(picture):
    return picture.astype(np.float32) @ np.array([0.2126, 0.7152, 0.0722], np.float32)


def stroke_angle(region):
    """Main direction of the lines in a region, in degrees from horizontal, by the structure tensor."""
    slope_y, slope_x = np.gradient(luminance(region))
    across = 0.5 * np.arctan2(2 * (slope_x * slope_y).sum(), (slope_x**2 - slope_y**2).sum())
    return (np.degrees(across) + 90 + 90) % 180 - 90


def test_same_seed_same_painting(painting):
    assert painting.shape == (192, 192, 3)
    assert painting.dtype == np.uint8
    np.testing.assert_array_equal(painting, paint(192, 192, seed=0))


def test_other_seed_other_painting():
    first, second = paint(48, 48, seed=1), paint(48, 48, seed=2)
    assert np.abs(first.astype(float) - second).mean() > 5


def test_numpys_own_generator_is_not_touched():
    np.random.seed(5)  # noqa: NPY002
    expected = np.random.random()  # noqa: NPY002
    np.random.seed(5)  # noqa: NPY002
    paint(16, 16)
    assert np.random.random() == expected  # noqa: NPY002


def test_scene_does_not_depend_on_the_size(painting):
    small = paint(64, 64)
    reduced = resize(painting, (64, 64), method="area")
    for channel in range(3):
        assert np.corrcoef(small[..., channel].ravel(), reduced[..., channel].ravel())[0, 1] > 0.85


@pytest.mark.parametrize("size", [(30, 75), (61, 16)])
def test_any_shape(size):
    picture = paint(*size)
    assert picture.shape == (*size, 3)
    assert picture.std() > 20


def test_wide_painting_shows_the_square_one_in_its_middle(painting):
    wide = paint(64, 128)[:, 32:96]
    reduced = resize(painting, (64, 64), method="area")
    assert np.corrcoef(luminance(wide).ravel(), luminance(reduced).ravel())[0, 1] > 0.8


def test_bold_colours_and_contrast(painting):
    red, _, blue = np.moveaxis(painting.astype(int), -1, 0)
    assert 0.25 < (blue > red + 40).mean() < 0.75
    assert 0.15 < (red > blue + 40).mean() < 0.6
    dark, light = np.percentile(luminance(painting), (2, 98))
    assert light - dark > 150


def test_strokes_follow_the_scene(painting):
    lake = painting[122:146, 10:90]
    assert abs(stroke_angle(lake)) < 15
    ploughed = painting[172:, 30:80]
    assert abs(stroke_angle(ploughed)) > 60


def test_strokes_have_texture_at_every_scale(painting):
    fine = luminance(painting)
    for _ in range(4):
        half = resize(resize(fine, tuple(n // 2 for n in fine.shape), method="area"), fine.shape)
        assert (fine - half).std() > 3
        fine = resize(fine, tuple(n // 2 for n in fine.shape), method="area")


@pytest.mark.parametrize("size", [(15, 40), (40, 15), (0, 0)])
def test_too_small(size):
    with pytest.raises(ValueError, match=f"height and width are {size[0]} and {size[1]}; expected at least 16"):
        paint(*size)
