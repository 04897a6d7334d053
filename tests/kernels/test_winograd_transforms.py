"""Winograd's transforms, compiled, against B^T d B, G g G^T and A^T m A with matrices made of the points alone."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from fastconv import jit
from fastconv.jit.records import Bytes, Elements
from fastconv.kernels import traces
from fastconv.kernels.microkernel import tile_rows
from fastconv.kernels.pointers import elements_at, record, records_at
from fastconv.kernels.winograd_inputs import transform_inputs
from fastconv.kernels.winograd_jobs import (
    POOL_TRACE,
    RELU_OUTPUT,
    RELU_TRACE,
    TEMPORARY_BYTES,
    Input,
    InputGate,
    Output,
    Places,
    Run,
    Tiles,
    describe_block,
)
from fastconv.kernels.winograd_outputs import transform_outputs
from fastconv.kernels.winograd_weights import transform_kernels
from fastconv.traces import BLOCKED

from .toom_cook import POINTS, both_ways, close, matrices


@pytest.mark.parametrize(("outputs", "taps"), [(4, 3), (2, 3), (3, 4)])
def test_the_matrices_convolve(outputs, taps, rng):
    a, g, b = matrices(outputs, taps)
    side = outputs + taps - 1
    d, kernel = rng.standard_normal((side, side)), rng.standard_normal((taps, taps))
    windows = np.lib.stride_tricks.sliding_window_view(d, (taps, taps))
    expected = (windows * kernel).sum(axis=(2, 3))
    np.testing.assert_allclose(both_ways(a, both_ways(g, kernel) * both_ways(b, d)), expected, atol=1e-13)


# --- the compiled transforms ----------------------------------------------------------------------------------------


class PicturesJob(jit.Record):
    """What the kernels of inputs and of outputs work on here: a block of all tiles."""

    input: Input
    gate: InputGate
    tiles: Tiles
    v: Places
    m: Places
    output: Output
    pitch: int
    scratch: Bytes


@jit.kernel
def inputs_kernel(t, threads, zero, address):
    job = record(PicturesJob, zero, address)
    runs = records_at(Run, zero, job.scratch + TEMPORARY_BYTES)
    count = describe_block(zero, job.tiles, job.tiles.first, job.tiles.end, runs)
    temporary = elements_at(zero, job.scratch)
    transform_inputs(zero, job, runs, count, job.pitch, 0, job.input.channels, job.v.first, temporary)


@jit.kernel
def outputs_kernel(t, threads, zero, address):
    job = record(PicturesJob, zero, address)
    runs = records_at(Run, zero, job.scratch + TEMPORARY_BYTES)
    count = describe_block(zero, job.tiles, job.tiles.first, job.tiles.end, runs)
    temporary = elements_at(zero, job.scratch)
    transform_outputs(zero, job, runs, count, job.pitch, 0, job.output.channels, job.m.first, temporary)


class KernelsJob(jit.Record):
    """What the kernel of kernels works on here: one row tile."""

    size: int
    weight: Elements
    row_stride: int
    term_stride: int
    rows: int
    depth: int
    u: Elements
    place: int
    block: int
    block_depth: int
    scratch: Bytes


@jit.kernel
def kernels_kernel(t, threads, zero, address):
    job = record(KernelsJob, zero, address)
    transform_kernels(
        zero, job.size, job.weight, job.row_stride, job.term_stride, job.rows, job.depth, job.u, job.place, job.block,
        job.block_depth, elements_at(zero, job.scratch),
    )  # fmt: skip


def tiles_of(images, height, width, size):
    """Return the tiles of outputs of this height and width."""
    rows, columns = -(-height // size), -(-width // size)
    return Tiles(size=size, places=(size + 2) ** 2, rows=rows, columns=columns, end=images * rows * columns)


def places_for(channels, tiles, dtype):
    """Return an array (place, channel, tile) with room behind each channel for a vector, and where places begin."""
    matrices = np.full((tiles.places, channels, tiles.end + jit.lanes(dtype)), np.nan, dtype)
    return matrices, np.arange(tiles.places) * matrices[0].size


def scratch_for(tiles):
    """Return scratch memory for a block of all tiles."""
    return np.empty(TEMPORARY_BYTES + tiles.end * ctypes.sizeof(Run), np.uint8)


def run_inputs(x, size, height, width, top, left, gate=None):
    """Transform all patches of `x` for outputs of `height` and `width`; returns (image, y, x, channel, i, j)."""
    images, channels = x.shape[:2]
    tiles = tiles_of(images, height, width, size)
    v, starts = places_for(channels, tiles, x.dtype)
    memory = scratch_for(tiles)
    job = PicturesJob(
        input=Input(
            first=jit.address_of(x), channels=channels, height=x.shape[2], width=x.shape[3], image=x[0].size,
            plane=x[0, 0].size, top=top, left=left,
        ),
        gate=gate or InputGate(), tiles=tiles, v=Places(first=jit.address_of(v), starts=jit.address_of(starts)),
        pitch=v.shape[2], scratch=jit.address_of(memory),
    )  # fmt: skip
    inputs_kernel(job, x.dtype, 1)
    numbers = v[:, :, : tiles.end].reshape(size + 2, size + 2, channels, images, tiles.rows, tiles.columns)
    return numbers.transpose(3, 4, 5, 2, 0, 1)


def patches(x, size, height, width, top, left):
    """Return what each tile sees of `x`, zeros outside: (image, y, x, channel, i, j)."""
    rows, columns = -(-height // size), -(-width // size)
    below, right = (size * count + 2 - before - side for count, before, side in (
        (rows, top, x.shape[2]), (columns, left, x.shape[3])
    ))  # fmt: skip
    padded = np.pad(x, ((0, 0), (0, 0), (top, max(below, 0)), (left, max(right, 0))))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size + 2, size + 2), axis=(2, 3))
    return windows[:, :, : size * rows : size, : size * columns : size].transpose(0, 2, 3, 1, 4, 5)


BOTH_DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
BOTH_SIZES = pytest.mark.parametrize("size", [4, 2])


@BOTH_DTYPES
@BOTH_SIZES
@pytest.mark.parametrize(
    ("shape", "padding"),
    [
        pytest.param((1, 1, None, None), 0, id="one patch"),
        pytest.param((1, 1, 3, 3), 1, id="a patch with edges on all sides"),
        pytest.param((2, 3, 10, 81), 1, id="several vectors of patches"),
    ],
)
def test_inputs(size, dtype, shape, padding, rng):
    x = rng.standard_normal([side or size + 2 for side in shape]).astype(dtype)
    height, width = (side + 2 * padding - 2 for side in x.shape[2:])
    expected = both_ways(matrices(size).inputs, patches(x, size, height, width, padding, padding))
    close(run_inputs(x, size, height, width, padding, padding), expected, dtype)


@BOTH_DTYPES
@pytest.mark.parametrize("kind", [RELU_TRACE, RELU_OUTPUT])
def test_inputs_through_a_relu(dtype, kind, rng):
    x, y = rng.standard_normal((2, 2, 2, 9, 70)).astype(dtype)
    trace = traces.empty_trace(y.shape)
    trace[:] = y > 0
    known = {"trace": trace} if kind == RELU_TRACE else {"relu_output": y}
    gate = InputGate(kind=kind, **{name: jit.address_of(array) for name, array in known.items()})
    expected = both_ways(matrices(4).inputs, patches(np.where(y > 0, x, 0), 4, 9, 70, 1, 1))
    close(run_inputs(x, 4, 9, 70, 1, 1, gate), expected, dtype)


@BOTH_DTYPES
@pytest.mark.parametrize("padding", [1, 2])
def test_inputs_through_a_pooling(dtype, padding, rng):
    x = rng.standard_normal((2, 2, 5, 36)).astype(dtype)
    trace = traces.empty_trace(x.shape)
    trace[:] = rng.integers(0, BLOCKED + 1, x.shape)
    large = np.zeros((2, 2, 5, 2, 36, 2), dtype)
    for place in range(4):
        large[:, :, :, place // 2, :, place % 2] = np.where(trace == place, x, 0)
    large = large.reshape(2, 2, 10, 72)
    height, width = 8 + 2 * padding, 70 + 2 * padding
    gate = InputGate(kind=POOL_TRACE, trace=jit.address_of(trace))
    expected = both_ways(matrices(4).inputs, patches(large, 4, height, width, padding, padding))
    close(run_inputs(x, 4, height, width, padding, padding, gate), expected, dtype)


@BOTH_DTYPES
@BOTH_SIZES
@pytest.mark.parametrize("exchanged", [False, True])
@pytest.mark.parametrize("rows", range(1, tile_rows() + 1))
def test_kernels(size, dtype, exchanged, rows, rng):
    height = tile_rows()
    blocks, block_depth = 2, height
    depth = 2 * height - 3
    weight = rng.standard_normal((depth, rows, 9) if exchanged else (rows, depth, 9)).astype(dtype)
    row_stride, term_stride = (9, 9 * rows) if exchanged else (9 * depth, 9)
    u = np.full(((size + 2) ** 2, blocks, block_depth * height), np.nan, dtype)
    memory = np.empty(TEMPORARY_BYTES, np.uint8)
    job = KernelsJob(
        size=size, weight=jit.address_of(weight), row_stride=row_stride, term_stride=term_stride, rows=rows,
        depth=depth, u=jit.address_of(u), place=u[0].size, block=u[0, 0].size, block_depth=block_depth,
        scratch=jit.address_of(memory),
    )  # fmt: skip
    kernels_kernel(job, weight.dtype, 1)
    numbers = u[:, :, : block_depth * rows].reshape(size + 2, size + 2, blocks * block_depth, rows)
    numbers = numbers[:, :, :depth].transpose(3, 2, 0, 1)
    by_row = weight.swapaxes(0, 1) if exchanged else weight
    close(numbers, both_ways(matrices(size).kernels, by_row.reshape(rows, depth, 3, 3)), dtype)


def run_outputs(m, size, shape, tiles, **finish):
    """Transform products, (image, y, x, channel, i, j), to outputs of a shape, with what else `Output` may have."""
    channels, dtype = shape[1], m.dtype
    matrices, starts = places_for(channels, tiles, dtype)
    matrices[:, :, : tiles.end] = m.transpose(4, 5, 3, 0, 1, 2).reshape(tiles.places, channels, -1)
    factors = np.array([p**n for p in POINTS[6][1::2] for n in range(4)], dtype)
    out = np.full(shape, np.nan, dtype)
    memory = scratch_for(tiles)
    job = PicturesJob(
        tiles=tiles, m=Places(first=jit.address_of(matrices), starts=jit.address_of(starts)),
        output=Output(
            first=jit.address_of(out), channels=channels, height=shape[2], width=shape[3], image=out[0].size,
            plane=out[0, 0].size, factors=jit.address_of(factors), **finish,
        ),
        pitch=matrices.shape[2], scratch=jit.address_of(memory),
    )  # fmt: skip
    outputs_kernel(job, dtype, 1)
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
        pytest.param((2, 3, 9, 79), id="several vectors of patches, cut off"),
    ],
)
def test_outputs(size, dtype, shape, rng):
    shape = tuple(side or size for side in shape)
    tiles = tiles_of(shape[0], *shape[2:], size)
    m = random_products(rng, *shape[:2], tiles, dtype)
    close(run_outputs(m, size, shape, tiles), outputs_of(m, size, *shape[2:]), dtype)


@BOTH_DTYPES
@BOTH_SIZES
def test_outputs_with_bias_and_relu(size, dtype, rng):
    shape = (2, 3, 9, 79)
    tiles = tiles_of(shape[0], *shape[2:], size)
    m = random_products(rng, *shape[:2], tiles, dtype)
    bias = rng.standard_normal(shape[1]).astype(dtype)
    expected = np.maximum(outputs_of(m, size, *shape[2:]) + bias[:, np.newaxis, np.newaxis], 0)
    close(run_outputs(m, size, shape, tiles, bias=jit.address_of(bias), relu=1), expected, dtype)


@BOTH_DTYPES
def test_outputs_with_the_trace_of_a_relu(dtype, rng):
    shape = (2, 3, 9, 79)
    tiles = tiles_of(shape[0], *shape[2:], 4)
    m = random_products(rng, *shape[:2], tiles, dtype)
    trace = traces.empty_trace(shape)
    y = run_outputs(m, 4, shape, tiles, relu=1, trace=jit.address_of(trace))
    close(y, np.maximum(outputs_of(m, 4, *shape[2:]), 0), dtype)
    np.testing.assert_array_equal(trace, y > 0)


@BOTH_DTYPES
def test_outputs_pooled(dtype, rng):
    images, channels, height, width = 2, 3, 9, 79
    tiles = tiles_of(images, height, width, 4)
    m = random_products(rng, images, channels, tiles, dtype)
    shape = (images, channels, height // 2, width // 2)
    trace = traces.empty_trace(shape)
    maxima = run_outputs(m, 4, shape, tiles, relu=1, pooled=1, trace=jit.address_of(trace))
    y = np.maximum(outputs_of(m, 4, height - 1, width - 1), 0)
    windows = y.reshape(images, channels, height // 2, 2, width // 2, 2).transpose(0, 1, 2, 4, 3, 5)
    windows = windows.reshape(*shape, 4)
    close(maxima, windows.max(axis=-1), dtype)
    np.testing.assert_array_equal(trace, np.where(maxima > 0, windows.argmax(axis=-1), BLOCKED))
