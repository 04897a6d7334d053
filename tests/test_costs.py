"""The model of costs: it never picks what cannot be done, and more work or fewer threads cost more."""

import dataclasses

import numpy as np
import pytest

from fastconv import costs
from fastconv.geometry import ConvGeometry

FLOAT = np.dtype(np.float32)
PASSES = pytest.mark.parametrize("pass_", ["forward", "input_grad", "weight_grad"])
PACKED = pytest.mark.parametrize("packed", [False, True])
VGG = ConvGeometry(1, 256, 56, 56, 256, 3, 3, 1, (1, 1), (1, 1, 1, 1), (1, 1), 56, 56)  # conv3_2


def every_cost(g, pass_, packed, threads=2):
    return [
        costs.direct(g, FLOAT, pass_, packed, threads),
        *(costs.winograd(g, FLOAT, pass_, packed, threads, tile) for tile in (4, 2)),
    ]


@PASSES
@PACKED
def test_vggs_layers_are_winograds(pass_, packed):
    assert costs.cheapest(VGG, FLOAT, pass_, packed, 2) == "winograd"


@PASSES
@PACKED
@pytest.mark.parametrize("changed", [{"stride": (2, 2), "out_h": 28, "out_w": 28}, {"r": 5, "out_h": 54}], ids=str)
def test_what_winograd_cannot_do_is_left_to_the_direct_method(changed, pass_, packed):
    assert costs.cheapest(dataclasses.replace(VGG, **changed), FLOAT, pass_, packed, 2) == "direct"


@PASSES
def test_three_channels_are_not_worth_the_transforms(pass_):
    few = dataclasses.replace(VGG, c=3, k=3, h=9, w=9, out_h=9, out_w=9)
    assert costs.cheapest(few, FLOAT, pass_, False, 1) == "direct"


@PASSES
@PACKED
@pytest.mark.parametrize("more", [{"n": 2}, {"k": 512}, {"c": 512}, {"h": 112, "out_h": 112}], ids=str)
def test_more_work_costs_more(more, pass_, packed):
    before, after = (every_cost(g, pass_, packed) for g in (VGG, dataclasses.replace(VGG, **more)))
    assert all(after > 1.2 * before for before, after in zip(before, after, strict=True))


@PASSES
@PACKED
def test_threads_share_it(pass_, packed):
    one, four = (every_cost(VGG, pass_, packed, threads) for threads in (1, 4))
    assert all(before / 4 <= after < before for before, after in zip(one, four, strict=True))


@pytest.mark.parametrize("pass_", ["forward", "input_grad"])
def test_packed_weights_save_work(pass_):
    packed, not_packed = (every_cost(VGG, pass_, packed) for packed in (True, False))
    assert all(less < more for less, more in zip(packed, not_packed, strict=True))


def test_depthwise_costs_less_than_a_product_a_group():
    depthwise = dataclasses.replace(VGG, groups=256)
    grouped = dataclasses.replace(VGG, groups=256, k=512)
    assert costs.direct(depthwise, FLOAT, "forward", True, 1) < 0.5 * costs.direct(grouped, FLOAT, "forward", True, 1)
