"""The weight gradient by Winograd's method: the whole, whatever the blocks; its transforms have tests of their own."""

import numpy as np
import pytest

import fastconv
from fastconv.geometry import ConvGeometry
from fastconv.kernels.winograd_weight_grad import make_plan

from .helpers import surrounded


def test_sums_of_several_blocks_of_tiles_are_kept(dtype):
    """A block has 256 tiles at most: their products are added up in registers in one go."""

    def plan(side):
        g = ConvGeometry(1, 20, side, side, 40, 3, 3, 1, (1, 1), (1, 1, 1, 1), (1, 1), side, side)
        return make_plan(g, dtype, 1)

    one, several = plan(64), plan(68)
    assert (one.block, one.job.sums.distance) == (256, 0)
    assert several.block == -(-17 * 17 // 2)
    assert several.job.sums.distance > 0
    sums = 36 * 40 * 20 * dtype.itemsize
    assert several.scratch_bytes >= one.scratch_bytes // 2 + sums


@pytest.mark.parametrize(
    ("shape", "filters", "padding", "groups"),
    [
        pytest.param((1, 1, 6, 6), 1, (0, 0), 1, id="one tile"),
        pytest.param((2, 3, 9, 14), 5, (1, 1), 1, id="tiles cut off"),
        pytest.param((1, 2, 70, 71), 3, (1, 2), 1, id="several blocks of tiles"),
        pytest.param((2, 6, 11, 7), 9, (2, 0), 3, id="groups"),
        pytest.param((1, 37, 11, 7), 40, (1, 1), 1, id="blocks of channels and panels of filters, cut off"),
    ],
)
def test_the_whole(shape, filters, padding, groups, dtype, threads, rng):
    x = surrounded(rng.standard_normal(shape).astype(dtype))
    padded = np.pad(x.astype(float), ((0, 0), (0, 0), *((side, side) for side in padding)))
    height, width = (side - 2 for side in padded.shape[2:])
    grad = surrounded(rng.standard_normal((shape[0], filters, height, width)).astype(dtype))
    channels = shape[1] // groups
    expected = np.empty((filters, channels, 3, 3))
    for i, j in np.ndindex(3, 3):
        seen = padded[:, :, i : i + height, j : j + width]
        products = np.einsum("nkyx,ncyx->kc", grad, seen)
        for k in range(filters):
            group = k // (filters // groups)
            expected[k, :, i, j] = products[k, group * channels : (group + 1) * channels]
    found = fastconv.conv2d_weight_grad(
        grad, x, expected.shape, padding=padding, groups=groups, algorithm="winograd"
    )  # fmt: skip
    assert np.linalg.norm(found - expected) <= 30 * np.finfo(dtype).eps * np.linalg.norm(expected)
