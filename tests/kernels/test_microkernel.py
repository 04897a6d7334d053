"""The register-tiled products against NumPy in float64, for every height of a tile."""

import numpy as np
import pytest

from fastconv import jit
from fastconv.jit.records import Elements, Words
from fastconv.kernels.microkernel import (
    FETCH_ABOVE,
    blocked_product,
    columns_of_strip,
    columns_of_tile,
    product,
    rows_of_strip,
    rows_of_tile,
    scattered_product,
    strided_product,
    strip_columns,
    strip_rows,
    strip_vectors,
    summed_product,
    tile_columns,
    tile_rows,
    tile_vectors,
)
from fastconv.kernels.pointers import record

from .helpers import call, compiled

UNTOUCHED = 99
MARGIN = 3  # rows and elements around a tile


class Job(jit.Record):
    a: Elements
    b: Elements
    c: Elements
    bias: Elements
    offsets: Words
    rows: int
    depth: int
    b_pitch: int
    pitch: int
    first: int
    relu: int
    # of strided products
    step: int
    count: int
    jump: int
    times: int


@compiled
def run_product(zero, address):
    job = record(Job, zero, address)
    product(zero, job.rows, job.a, job.b, job.b_pitch, job.depth, job.c, job.pitch, job.first)


@compiled
def run_scattered(zero, address):
    job = record(Job, zero, address)
    scattered_product(
        zero, job.rows, job.a, job.b, job.offsets, job.depth, job.c, job.pitch, job.first, job.bias, job.relu
    )


@compiled
def run_strided(zero, address):
    job = record(Job, zero, address)
    strided_product(
        zero, job.rows, job.a, job.offsets, job.step, job.count, job.jump, job.times, job.b, job.b_pitch, job.c,
        job.pitch, job.first,
    )  # fmt: skip


@pytest.fixture(params=range(1, tile_rows() + 1))
def rows(request):
    return request.param


class Tile:
    """A tile of C in a larger array, in which nothing else may change."""

    def __init__(self, rows, dtype, rng):
        columns = tile_columns(dtype)
        self.array = np.full((rows + 2 * MARGIN, columns + 2 * MARGIN), UNTOUCHED, dtype)
        self.tile = self.array[MARGIN : MARGIN + rows, MARGIN : MARGIN + columns]
        self.tile[...] = rng.standard_normal(self.tile.shape)
        self.before = self.tile.astype(float)

    def run(self, function, job, **arrays):
        job.pitch = self.array.shape[1]
        call(function, self.array.dtype, job, c=self.tile, **arrays)

    def check(self, sums, relu=False):
        """Compare with sums in float64; the bound is relative to all of them, also to those that ReLU sets to 0."""
        error = np.linalg.norm(self.tile - (np.maximum(sums, 0) if relu else sums))
        assert error <= 8 * np.finfo(self.array.dtype).eps * np.linalg.norm(sums)
        self.tile[...] = UNTOUCHED
        assert np.all(self.array == UNTOUCHED)


def normal(rng, dtype, *shape):
    return rng.standard_normal(shape).astype(dtype)


def test_constants(dtype):
    @compiled
    def run(zero, address):
        return rows_of_tile(), columns_of_tile(zero)

    @compiled
    def run_strip(zero, address):
        return rows_of_strip(), columns_of_strip(zero)

    assert call(run, dtype, Job()) == (tile_rows(), tile_columns(dtype))
    assert tile_columns(dtype) * dtype.itemsize == tile_vectors() * jit.vector_bytes()
    assert call(run_strip, dtype, Job()) == (strip_rows(), strip_columns(dtype))
    assert strip_columns(dtype) * dtype.itemsize == strip_vectors() * jit.vector_bytes()


@pytest.mark.parametrize(("rows", "vectors"), [(tile_rows(), tile_vectors()), (strip_rows(), strip_vectors())])
def test_a_step_fits_the_registers(rows, vectors):
    """Those are a tile's sums, a row of B and a scalar of A.

    Two multiply-adds begin in a cycle and take five: with fewer than ten sums, they would wait for one another.
    """
    accumulators = rows * vectors
    assert accumulators >= 10
    assert accumulators + vectors + 1 <= (32 if jit.vector_bytes() == 64 else 16)


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("depth", [0, 1, 7, FETCH_ABOVE + 6])
class TestPackedProducts:
    """A is packed: (depth, rows)."""

    def test_product(self, depth, first, rows, dtype):
        rng = np.random.default_rng(0)
        tile = Tile(rows, dtype, rng)
        a = normal(rng, dtype, depth, rows)
        b = normal(rng, dtype, depth, tile_columns(dtype) + 5)
        job = Job(rows=rows, depth=depth, b_pitch=b.shape[1], first=first)
        tile.run(run_product, job, a=a, b=b)
        exact = a.T.astype(float) @ b[:, : tile_columns(dtype)].astype(float)
        tile.check(exact if first else exact + tile.before)

    @pytest.mark.parametrize("relu", [False, True])
    def test_scattered_product(self, depth, first, relu, rows, dtype):
        rng = np.random.default_rng(0)
        tile, columns = Tile(rows, dtype, rng), tile_columns(dtype)
        a, bias, b = normal(rng, dtype, depth, rows), normal(rng, dtype, rows), normal(rng, dtype, 500)
        offsets = rng.integers(0, len(b) - columns, depth, dtype=np.intp)
        job = Job(rows=rows, depth=depth, first=first, relu=relu)
        tile.run(run_scattered, job, a=a, b=b, offsets=offsets, bias=bias)
        rows_of_b = b[offsets[:, None] + np.arange(columns)].astype(float)
        exact = a.T.astype(float) @ rows_of_b
        tile.check(exact + (bias[:, None] if first else tile.before), relu)


@pytest.mark.parametrize(("step", "count", "times"), [(1, 6, 1), (2, 5, 3), (3, 1, 2), (1, 0, 0), (1, 0, 2)])
@pytest.mark.parametrize("first", [False, True])
def test_strided_product(step, count, times, first, rows, dtype):
    rng = np.random.default_rng(0)
    tile = Tile(rows, dtype, rng)
    a, offsets = normal(rng, dtype, 300), rng.integers(0, 90, rows, dtype=np.intp)
    b = normal(rng, dtype, times * count, tile_columns(dtype))
    job = Job(rows=rows, b_pitch=b.shape[1], first=first, step=step, count=count, jump=60, times=times)
    tile.run(run_strided, job, a=a, b=b, offsets=offsets)
    along = [60 * q + step * p for q in range(times) for p in range(count)]
    read = a[offsets[:, None] + np.array(along, np.intp)]
    exact = read.astype(float) @ b.astype(float)
    tile.check(exact if first else exact + tile.before)


def test_no_bias(dtype):
    rng = np.random.default_rng(0)
    tile, columns = Tile(2, dtype, rng), tile_columns(dtype)
    a, b = normal(rng, dtype, 5, 2), normal(rng, dtype, 5, columns)
    offsets = np.arange(5, dtype=np.intp) * columns
    tile.run(run_scattered, Job(rows=2, depth=5, first=True), a=a, b=b, offsets=offsets)
    tile.check(a.T.astype(float) @ b.astype(float))


def test_nan_passes_relu(dtype):
    columns = tile_columns(dtype)
    tile = Tile(2, dtype, np.random.default_rng(0))
    a, b, offsets = np.array([[np.nan, -1]], dtype), np.ones((1, columns), dtype), np.zeros(1, np.intp)
    job = Job(rows=2, depth=1, first=True, relu=True)
    tile.run(run_scattered, job, a=a, b=b, offsets=offsets)
    assert np.isnan(tile.tile[0]).all()
    assert np.all(tile.tile[1] == 0)


# --- blocks of columns ----------------------------------------------------------------------------------------------


class BlocksJob(jit.Record):
    a: Elements
    b: Elements
    c: Elements
    rows: int
    depth: int
    a_block: int
    b_block: int
    c_block: int
    first: int


@compiled
def run_blocked(zero, address):
    job = record(BlocksJob, zero, address)
    blocked_product(zero, job.rows, job.a, job.a_block, job.depth, job.b, job.c, job.c_block, job.first)


@compiled
def run_summed(zero, address):
    job = record(BlocksJob, zero, address)
    summed_product(zero, job.rows, job.a, job.depth, job.b, job.b_block, job.c, job.c_block, job.first)


def in_blocks(matrix, margin):
    """Return (block, row, column of the block) of a (row, column) matrix, with rows that are UNTOUCHED behind."""
    rows, columns = matrix.shape
    lanes = jit.lanes(matrix.dtype)
    blocks = -(-columns // lanes)
    array = np.full((blocks, rows + margin, lanes), UNTOUCHED, matrix.dtype)
    for column in range(columns):
        array[column // lanes, :rows, column % lanes] = matrix[:, column]
    return array


def from_blocks(array, rows):
    return array[:, :rows].transpose(1, 0, 2).reshape(rows, -1).astype(float)


def check_blocks(c, rows, expected):
    """Compare, and see that nothing behind the rows was touched."""
    error = np.linalg.norm(from_blocks(c, rows) - expected)
    assert error <= 8 * np.finfo(c.dtype).eps * np.linalg.norm(expected)
    assert np.all(c[:, rows:] == UNTOUCHED)


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("depth", [1, 7, 16, 37])
@pytest.mark.parametrize("rows", range(1, strip_rows() + 1))
def test_blocked_product(rows, depth, first, dtype):
    rng = np.random.default_rng(0)
    a, b = normal(rng, dtype, rows, depth), normal(rng, dtype, depth, strip_columns(dtype))
    before = normal(rng, dtype, rows, strip_columns(dtype))
    blocks, c = in_blocks(a, MARGIN), in_blocks(before, MARGIN)
    job = BlocksJob(rows=rows, depth=depth, a_block=blocks[0].size, c_block=c[0].size, first=first)
    call(run_blocked, dtype, job, a=blocks, b=b, c=c)
    exact = a.astype(float) @ b.astype(float)
    check_blocks(c, rows, exact if first else exact + before)


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("depth", [1, 7, 37])
def test_summed_product(depth, first, dtype):
    lanes = jit.lanes(dtype)
    rng = np.random.default_rng(0)
    for rows in range(1, min(strip_rows(), lanes) + 1):
        a, b = normal(rng, dtype, depth, lanes), normal(rng, dtype, depth, strip_columns(dtype))
        before = normal(rng, dtype, rows, strip_columns(dtype))
        blocks, c, begin = in_blocks(b, MARGIN), in_blocks(before, MARGIN), lanes - rows
        job = BlocksJob(rows=rows, depth=depth, b_block=blocks[0].size, c_block=c[0].size, first=first)
        call(run_summed, dtype, job, a=a[:, begin:], b=blocks, c=c)
        exact = a[:, begin:].T.astype(float) @ b.astype(float)
        check_blocks(c, rows, exact if first else exact + before)
