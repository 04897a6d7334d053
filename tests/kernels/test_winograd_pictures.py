"""Between pictures and Winograd's tiles: what is read and written of planes of any width, gated, pooled, and traced."""

from __future__ import annotations

import numpy as np
import pytest

from fastconv import jit
from fastconv.jit.records import Elements
from fastconv.kernels import traces
from fastconv.kernels.pointers import record
from fastconv.kernels.winograd_jobs import (
    POOL_TRACE,
    RELU_OUTPUT,
    RELU_TRACE,
    Input,
    InputGate,
    Output,
    Places,
    Tiles,
)
from fastconv.kernels.winograd_pictures import read_gradients, read_tiles, strip_elements, write_tiles
from fastconv.traces import BLOCKED

from .helpers import call, compiled
from .toom_cook import both_ways, close, matrices

BOTH_DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
BOTH_SIZES = pytest.mark.parametrize("size", [4, 2])


class Job(jit.Record):
    input: Input
    gate: InputGate
    gradient: Input
    tiles: Tiles
    v: Places
    e: Places
    m: Places
    output: Output
    patches: Elements
    blocks: int
    temporary: Elements


@compiled
def run_read(zero, address):
    job = record(Job, zero, address)
    for block in range(job.blocks):
        to = job.patches + block * job.v.block
        read_tiles(zero, job, block, job.tiles.first, job.tiles.end, to, job.temporary)


@compiled
def run_gradients(zero, address):
    job = record(Job, zero, address)
    for block in range(job.blocks):
        to = job.patches + block * job.e.block
        read_gradients(zero, job, block, job.tiles.first, job.tiles.end, to, job.temporary)


@compiled
def run_write(zero, address):
    job = record(Job, zero, address)
    for block in range(job.blocks):
        source = job.patches + block * job.m.block
        write_tiles(zero, job, block, job.tiles.first, job.tiles.end, source, job.temporary)


def tiles_of(images, height, width, size):
    """Return the tiles of outputs of this height and width."""
    rows, columns = -(-height // size), -(-width // size)
    return Tiles(size=size, places=(size + 2) ** 2, rows=rows, columns=columns, end=images * rows * columns)


class Blocks:
    """Patches as jobs know them: (place, block of channels, tile, channel of the block)."""

    def __init__(self, channels, tiles, dtype):
        self.channels, self.tiles = channels, tiles
        lanes = jit.lanes(np.dtype(dtype))
        self.array = np.full((tiles.places, -(-channels // lanes), tiles.end, lanes), np.nan, dtype)
        self.places = Places(distance=self.array[0].size, block=self.array[0, 0].size)

    def numbers(self):
        """Return (image, y, x, channel, i, j)."""
        tiles, side = self.tiles, int(self.tiles.places**0.5)
        by_channel = self.array.swapaxes(1, 2).reshape(tiles.places, tiles.end, -1)[:, :, : self.channels]
        images = tiles.end // (tiles.rows * tiles.columns)
        shape = side, side, images, tiles.rows, tiles.columns, self.channels
        return by_channel.reshape(shape).transpose(2, 3, 4, 5, 0, 1)

    def fill(self, numbers):
        places = numbers.transpose(4, 5, 3, 0, 1, 2).reshape(self.tiles.places, self.channels, self.tiles.end)
        lanes = self.array.shape[-1]
        for channel in range(self.channels):
            self.array[:, channel // lanes, :, channel % lanes] = places[:, channel]


def input_of(x, top=0, left=0):
    return Input(
        first=jit.address_of(x), channels=x.shape[1], height=x.shape[2], width=x.shape[3], image=x[0].size,
        plane=x[0, 0].size, top=top, left=left,
    )  # fmt: skip


def run_on(function, dtype, job, blocks):
    dtype = np.dtype(dtype)
    job.blocks = blocks.array.shape[1]
    call(function, dtype, job, patches=blocks.array, temporary=np.empty(strip_elements(dtype), dtype))


# --- from pictures --------------------------------------------------------------------------------------------------


def read(x, size, height, width, padding, gate=None):
    """Transform all patches of `x` for outputs of `height` and `width`; returns (image, y, x, channel, i, j)."""
    tiles = tiles_of(x.shape[0], height, width, size)
    blocks = Blocks(x.shape[1], tiles, x.dtype)
    job = Job(input=input_of(x, padding, padding), gate=gate or InputGate(), tiles=tiles, v=blocks.places)
    run_on(run_read, x.dtype, job, blocks)
    return blocks.numbers()


def patches(x, size, height, width, padding):
    """Return what each tile sees of `x`, zeros outside: (image, y, x, channel, i, j)."""
    rows, columns = -(-height // size), -(-width // size)
    below, right = (size * count + 2 - padding - side for count, side in ((rows, x.shape[2]), (columns, x.shape[3])))
    padded = np.pad(x, ((0, 0), (0, 0), (padding, max(below, 0)), (padding, max(right, 0))))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size + 2, size + 2), axis=(2, 3))
    return windows[:, :, : size * rows : size, : size * columns : size].transpose(0, 2, 3, 1, 4, 5)


@BOTH_DTYPES
@BOTH_SIZES
@pytest.mark.parametrize(
    ("shape", "padding"),
    [
        pytest.param((1, 1, None, None), 0, id="one patch"),
        pytest.param((1, 1, 3, 3), 1, id="a patch with edges on all sides"),
        pytest.param((2, 37, 10, 81), 1, id="several segments and blocks of channels"),
        pytest.param((2, 16, 9, 67), 2, id="wide padding"),
    ],
)
def test_inputs(size, dtype, shape, padding, rng):
    x = rng.standard_normal([side or size + 2 for side in shape]).astype(dtype)
    height, width = (side + 2 * padding - 2 for side in x.shape[2:])
    expected = both_ways(matrices(size).inputs, patches(x, size, height, width, padding))
    close(read(x, size, height, width, padding), expected, dtype)


@BOTH_DTYPES
def test_some_tiles_only(dtype, rng):
    x = rng.standard_normal((2, 3, 9, 81)).astype(dtype)
    tiles = tiles_of(2, 9, 81, 4)
    blocks = Blocks(3, tiles, dtype)
    expected = read(x, 4, 9, 81, 1)
    tiles.first, tiles.end = 17, 70
    job = Job(input=input_of(x, 1, 1), tiles=tiles, v=blocks.places)
    run_on(run_read, dtype, job, blocks)
    flat = expected.reshape(-1, *expected.shape[3:])[17:70]
    found = blocks.array[:, 0, :53, :3].transpose(1, 2, 0).reshape(flat.shape)
    np.testing.assert_array_equal(found, flat)
    assert np.isnan(blocks.array[:, :, 53:]).all()


@BOTH_DTYPES
@BOTH_SIZES
@pytest.mark.parametrize("kind", [RELU_TRACE, RELU_OUTPUT])
def test_inputs_through_a_relu(size, dtype, kind, rng):
    x, y = rng.standard_normal((2, 2, 19, 9, 70)).astype(dtype)
    trace = traces.empty_trace(y.shape)
    trace[:] = y > 0
    known = {"trace": trace} if kind == RELU_TRACE else {"relu_output": y}
    gate = InputGate(kind=kind, **{name: jit.address_of(array) for name, array in known.items()})
    expected = both_ways(matrices(size).inputs, patches(np.where(y > 0, x, 0), size, 9, 70, 1))
    close(read(x, size, 9, 70, 1, gate), expected, dtype)


@BOTH_DTYPES
@BOTH_SIZES
@pytest.mark.parametrize("odd", [0, 1])
@pytest.mark.parametrize("padding", [1, 2])
def test_inputs_through_a_pooling(padding, odd, size, dtype, rng):
    x = rng.standard_normal((2, 19, 5, 36)).astype(dtype)
    trace = traces.empty_trace(x.shape)
    trace[:] = rng.integers(0, BLOCKED + 1, x.shape)
    large = np.zeros((2, 19, 5, 2, 36, 2), dtype)
    for place in range(4):
        large[:, :, :, place // 2, :, place % 2] = np.where(trace == place, x, 0)
    large = np.pad(large.reshape(2, 19, 10, 72), ((0, 0), (0, 0), (0, odd), (0, odd)))
    height, width = 8 + odd + 2 * padding, 70 + odd + 2 * padding
    gate = InputGate(kind=POOL_TRACE, trace=jit.address_of(trace))
    expected = both_ways(matrices(size).inputs, patches(large, size, height, width, padding))
    close(read(x, size, height, width, padding, gate), expected, dtype)


@BOTH_DTYPES
def test_gradients(dtype, rng):
    dy = rng.standard_normal((2, 19, 9, 67)).astype(dtype)
    tiles = tiles_of(2, 9, 67, 4)
    blocks = Blocks(19, tiles, dtype)
    run_on(run_gradients, dtype, Job(gradient=input_of(dy), tiles=tiles, e=blocks.places), blocks)
    g = matrices(3, taps=4).kernels
    padded = np.pad(dy, ((0, 0), (0, 0), (0, 3), (0, 1)))
    squares = padded.reshape(2, 19, 3, 4, 17, 4).transpose(0, 2, 4, 1, 3, 5)
    close(blocks.numbers(), both_ways(g, squares), dtype)


# --- to pictures ----------------------------------------------------------------------------------------------------


def write(m, size, shape, tiles, **finish):
    """Transform products, (image, y, x, channel, i, j), to outputs of a shape, with what else `Output` may have."""
    dtype = m.dtype
    blocks = Blocks(shape[1], tiles, dtype)
    blocks.fill(m)
    out = np.full(shape, np.nan, dtype)
    output = Output(
        first=jit.address_of(out), channels=shape[1], height=shape[2], width=shape[3], image=out[0].size,
        plane=out[0, 0].size, **finish,
    )  # fmt: skip
    run_on(run_write, dtype, Job(tiles=tiles, m=blocks.places, output=output), blocks)
    return out


def outputs_of(m, size, height, width):
    """Return A^T m A for each tile, put together."""
    images, rows, columns, channels = m.shape[:4]
    tiles = both_ways(matrices(size).outputs, m).transpose(0, 3, 1, 4, 2, 5)
    return tiles.reshape(images, channels, rows * size, columns * size)[:, :, :height, :width]


def random_products(rng, images, channels, tiles, dtype):
    side = tiles.size + 2
    return rng.standard_normal((images, tiles.rows, tiles.columns, channels, side, side)).astype(dtype)


@BOTH_DTYPES
@BOTH_SIZES
@pytest.mark.parametrize(
    "shape",
    [
        pytest.param((1, 1, None, None), id="one patch"),
        pytest.param((2, 35, 9, 79), id="several segments and blocks of channels, cut off"),
        pytest.param((1, 16, 8, 64), id="whole vectors"),
    ],
)
def test_outputs(size, dtype, shape, rng):
    shape = tuple(side or size for side in shape)
    tiles = tiles_of(shape[0], *shape[2:], size)
    m = random_products(rng, *shape[:2], tiles, dtype)
    close(write(m, size, shape, tiles), outputs_of(m, size, *shape[2:]), dtype)


@BOTH_DTYPES
@BOTH_SIZES
def test_outputs_with_bias_and_relu(size, dtype, rng):
    shape = (2, 19, 9, 79)
    tiles = tiles_of(shape[0], *shape[2:], size)
    m = random_products(rng, *shape[:2], tiles, dtype)
    bias = rng.standard_normal(shape[1]).astype(dtype)
    expected = np.maximum(outputs_of(m, size, *shape[2:]) + bias[:, np.newaxis, np.newaxis], 0)
    close(write(m, size, shape, tiles, bias=jit.address_of(bias), relu=1), expected, dtype)


@BOTH_DTYPES
@BOTH_SIZES
def test_outputs_with_the_trace_of_a_relu(size, dtype, rng):
    shape = (2, 19, 9, 79)
    tiles = tiles_of(shape[0], *shape[2:], size)
    m = random_products(rng, *shape[:2], tiles, dtype)
    trace = traces.empty_trace(shape)
    y = write(m, size, shape, tiles, relu=1, trace=jit.address_of(trace))
    close(y, np.maximum(outputs_of(m, size, *shape[2:]), 0), dtype)
    np.testing.assert_array_equal(trace, y > 0)


@BOTH_DTYPES
@BOTH_SIZES
@pytest.mark.parametrize("traced", [False, True])
def test_outputs_pooled(traced, size, dtype, rng):
    images, channels, height, width = 2, 19, 9, 79
    tiles = tiles_of(images, height, width, size)
    m = random_products(rng, images, channels, tiles, dtype)
    shape = (images, channels, height // 2, width // 2)
    trace = traces.empty_trace(shape)
    maxima = write(m, size, shape, tiles, relu=1, pooled=1, trace=jit.address_of(trace) if traced else 0)
    y = np.maximum(outputs_of(m, size, height - 1, width - 1), 0)
    windows = y.reshape(images, channels, height // 2, 2, width // 2, 2).transpose(0, 1, 2, 4, 3, 5)
    windows = windows.reshape(*shape, 4)
    close(maxima, windows.max(axis=-1), dtype)
    if traced:
        np.testing.assert_array_equal(trace, np.where(maxima > 0, windows.argmax(axis=-1), BLOCKED))
