"""Tiles own all of a picture once, and see as far as the features look."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastconv.nn.vgg import VGG19
from fastconv.nn.vgg_layers import LAYER_NAMES
from fastconv.style.algorithm.features import stride_of
from fastconv.style.algorithm.options import SMALLEST_TILE
from fastconv.style.algorithm.tiles import grid_of, halo_of, lay_out, plan_tiles

from ..helpers import noise, thin_layers

DEFAULT_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu4_2", "relu5_1")


sides = st.integers(16, 3000)


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
    network = VGG19(thin_layers((4,) * 5), dtype="float64")
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
