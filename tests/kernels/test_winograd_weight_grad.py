"""The weight gradient's transforms and sums against G e G^T, B^T d B and A^T m A with matrices made of the points."""

import ctypes

import numpy as np
import pytest

import fastconv
from fastconv import jit
from fastconv.kernels.microkernel import tile_columns, tile_rows
from fastconv.kernels.winograd_jobs import TEMPORARY_BYTES, Input, Places, Run, Tiles
from fastconv.kernels.winograd_weight_grad import (
    Gradient,
    WeightGradJob,
    filter_kernel,
    sum_kernel,
    transform_kernel,
)

from .helpers import integers, surrounded
from .toom_cook import both_ways, close, matrices

TILE, PATCH, PLACES = 4, 6, 36


@pytest.fixture
def scratch(threads):
    """Memory for each of the threads, and how much each has."""
    each = TEMPORARY_BYTES + 64 * ctypes.sizeof(Run)
    memory = np.empty(threads * each, np.uint8)
    yield {"scratch": jit.address_of(memory), "scratch_bytes": each}
    del memory  # not before the test is over


def cut(pictures, size, step, rows, columns):
    """Return patches of `size` that begin every `step` pixels, 0 outside: (tile, channel, i, j)."""
    images, channels, height, width = pictures.shape
    below, right = ((count - 1) * step + size for count in (rows, columns))
    padded = np.pad(pictures, ((0, 0), (0, 0), (0, max(below - height, 0)), (0, max(right - width, 0))))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(2, 3))
    chosen = windows[:, :, : rows * step : step, : columns * step : step]
    return chosen.transpose(0, 2, 3, 1, 4, 5).reshape(images * rows * columns, channels, size, size)


@pytest.mark.parametrize("block", [(0, 12), (0, 7), (5, 11)], ids=["all tiles", "the first", "some in the middle"])
def test_transforms(block, scratch, dtype, threads, rng):
    """Of two images of 2x3 tiles each, whose last row and column are cut off, and two panels of filters."""
    images, channels, panels, columns = 2, 5, 2, tile_columns(dtype)
    rows, across, height, width = 2, 3, 7, 10  # of tiles; of output gradients
    x = rng.standard_normal((images, channels, height, width)).astype(dtype)  # padded by 1, the output has its size
    gradient = rng.standard_normal((images, panels * columns, height, width)).astype(dtype)
    in_panels = gradient.reshape(images, panels, columns, height * width).swapaxes(2, 3).copy()
    tiles = Tiles(size=TILE, places=PLACES, rows=rows, columns=across, first=block[0], end=block[1])
    count = tiles.end - tiles.first
    pitch = count + jit.lanes(dtype)
    v = np.full((PLACES, channels * pitch + jit.lanes(dtype)), np.nan, dtype)
    e = np.full((PLACES, panels, pitch, columns), np.nan, dtype)
    starts = np.arange(PLACES) * v[0].size
    job = WeightGradJob(
        input=Input(
            first=jit.address_of(x), channels=channels, height=height, width=width, image=x[0].size,
            plane=x[0, 0].size, top=1, left=1,
        ),
        tiles=tiles,
        gradient=Gradient(
            first=jit.address_of(in_panels), image=in_panels[0].size, height=height, width=width, panels=panels
        ),
        v=Places(first=jit.address_of(v), distance=v[0].size, starts=jit.address_of(starts)),
        e=Places(first=jit.address_of(e), distance=e[0].size), pitch=pitch, **scratch,
    )  # fmt: skip
    transform_kernel(job, dtype, threads)

    _, g, b = matrices(3, 4)
    chosen = slice(*block)
    padded = np.pad(x, ((0, 0), (0, 0), (1, 0), (1, 0)))
    inputs = both_ways(b, cut(padded, PATCH, TILE, rows, across)[chosen])
    found = v[:, : channels * pitch].reshape(PATCH, PATCH, channels, pitch)[..., :count]
    close(found.transpose(3, 2, 0, 1), inputs, dtype)
    gradients = both_ways(g, cut(gradient, TILE, TILE, rows, across)[chosen])
    found = e.reshape(PATCH, PATCH, panels, pitch, columns)[:, :, :, :count]
    close(found.transpose(3, 2, 4, 0, 1).reshape(gradients.shape), gradients, dtype)


@pytest.mark.parametrize("first", [0, 3], ids=["the first block sets", "others add"])
@pytest.mark.parametrize("channels", [1, tile_rows(), 2 * tile_rows() + 1])
def test_sums_of_products_over_a_blocks_tiles(channels, first, dtype, threads, rng):
    """With whole numbers, that is exactly."""
    panels, columns, count = 2, tile_columns(dtype), 5
    pitch, row = count + 3, 3 * columns
    v = integers(rng, dtype, PLACES, channels, pitch)
    e = integers(rng, dtype, PLACES, panels, pitch, columns)
    sums = integers(rng, dtype, PLACES, channels, row)
    offsets = np.arange(tile_rows(), dtype=np.intp) * pitch
    expected = np.einsum("pct,pntf->pcnf", v[..., :count], e[:, :, :count]).reshape(PLACES, channels, -1)
    if first:
        expected += sums[..., : panels * columns]
    expected = np.concatenate([expected, sums[..., panels * columns :]], axis=2)
    job = WeightGradJob(
        input=Input(channels=channels), tiles=Tiles(first=first, end=first + count), gradient=Gradient(panels=panels),
        v=Places(first=jit.address_of(v), distance=v[0].size), e=Places(first=jit.address_of(e), distance=e[0].size),
        pitch=pitch, offsets=jit.address_of(offsets),
        sums=Places(first=jit.address_of(sums), distance=sums[0].size), row=row,
    )  # fmt: skip
    sum_kernel(job, dtype, threads)
    np.testing.assert_array_equal(sums, expected)


@pytest.mark.parametrize("panels", [1, 2])
def test_kernels_from_sums(panels, scratch, dtype, threads, rng):
    channels, filters = 4, panels * tile_columns(dtype)
    row = filters + 8
    sums = rng.standard_normal((PLACES, channels, row)).astype(dtype)
    result = np.full((channels, 3, 3, row), np.nan, dtype)
    job = WeightGradJob(
        input=Input(channels=channels), gradient=Gradient(panels=panels),
        sums=Places(first=jit.address_of(sums), distance=sums[0].size), row=row, result=jit.address_of(result),
        **scratch,
    )  # fmt: skip
    filter_kernel(job, dtype, threads)
    m = sums[..., :filters].reshape(PATCH, PATCH, channels, filters).transpose(2, 3, 0, 1)
    close(result[..., :filters].transpose(0, 3, 1, 2), both_ways(matrices(3, 4).outputs, m), dtype)
    assert np.isnan(result[..., filters:]).all()


@pytest.mark.parametrize(
    ("shape", "filters", "padding", "groups"),
    [
        pytest.param((1, 1, 6, 6), 1, (0, 0), 1, id="one tile"),
        pytest.param((2, 3, 9, 14), 5, (1, 1), 1, id="tiles cut off"),
        pytest.param((1, 2, 70, 71), 3, (1, 2), 1, id="several blocks of tiles"),
        pytest.param((2, 6, 11, 7), 9, (2, 0), 3, id="groups"),
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
