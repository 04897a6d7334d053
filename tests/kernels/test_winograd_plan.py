"""How the work of Winograd's method is split: blocks of tiles that are no larger than they need be, and scratch."""

import itertools

import numpy as np
import pytest

from fastconv import jit
from fastconv.geometry import ConvGeometry
from fastconv.kernels.microkernel import strip_columns
from fastconv.kernels.winograd_plan import make_plan, schedule

PLACES = 36
SIZES = list(itertools.product([1, 40, 500, 20000], [3, 64, 512], [64, 512]))  # tiles, depth, rows


@pytest.mark.parametrize("number_of_threads", [1, 2, 3, 8])
@pytest.mark.parametrize(("tiles", "depth", "rows"), SIZES, ids=str)
def test_blocks(tiles, depth, rows, number_of_threads, dtype):
    fused, block = schedule(tiles, PLACES, depth, rows, dtype, number_of_threads)
    each = PLACES * (depth + rows) * dtype.itemsize
    if fused:
        assert 0 < block <= -(-tiles // number_of_threads)
        assert block <= 28 or each * block <= 1 << 20
    else:
        assert 0 < block <= tiles
        assert block == 1 or each * block <= 16 << 20


@pytest.mark.parametrize(
    ("tiles", "channels", "number_of_threads", "fused"),
    [(3136, 64, 2, True), (784, 128, 2, True), (49, 512, 2, False), (16, 64, 1, False), (200, 64, 8, False)],
)
def test_threads_have_blocks_of_their_own_where_tiles_are_many_and_weights_few(
    tiles, channels, number_of_threads, fused
):
    dtype = np.dtype(np.float32)
    assert schedule(tiles, PLACES, channels, channels, dtype, number_of_threads).fused == fused


def test_what_is_read_and_written_by_hand(dtype):
    """Of a convolution from 4 channels of 9x14 pixels to 6 of 10x12, in two groups; backwards from maxima, too."""
    g = ConvGeometry(3, 4, 9, 14, 6, 3, 3, 2, (1, 1), (1, 2, 0, 0), (1, 1), 10, 12)

    def pictures(turned, pooled=False):
        job = make_plan(g, dtype, 4, 1, turned=turned, packed=False, pooled=pooled).job
        taken, given, tiles = job.input, job.output, job.tiles
        return (
            (taken.channels, taken.height, taken.width, taken.top, taken.left),
            (taken.image, taken.plane),
            (given.channels, given.height, given.width),
            (given.image, given.plane),
            (tiles.rows, tiles.columns, tiles.end, tiles.places),
        )

    forward = ((2, 9, 14, 1, 0), (504, 126), (3, 10, 12), (720, 120), (3, 3, 27, 36))
    backward = ((3, 10, 12, 1, 2), (720, 120), (2, 9, 14), (504, 126), (3, 4, 36, 36))
    assert pictures(turned=False) == forward
    assert pictures(turned=True) == backward
    assert pictures(turned=True, pooled=True) == ((3, 5, 6, 1, 2), (180, 30), *backward[2:])


@pytest.mark.parametrize("side", [18, 90])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("turned", [False, True])
def test_parts_of_scratch_do_not_overlap(turned, packed, side, dtype):
    g = ConvGeometry(1, 64, side, side, 96, 3, 3, 1, (1, 1), (1, 1, 1, 1), (1, 1), side, side)
    plan = make_plan(g, dtype, 4, 2, turned=turned, packed=packed)
    job = plan.job
    depth, rows = (96, 64) if turned else (64, 96)
    v, m = (PLACES * channels * job.block * dtype.itemsize for channels in (depth, rows))
    assert plan.fused == (side == 90)
    assert job.m.first - job.v.first >= v
    if plan.fused:
        u = PLACES * depth * rows * dtype.itemsize
        assert job.scratch_bytes - job.m.first >= m
        assert job.u.first >= plan.threads * job.scratch_bytes
        assert plan.scratch_bytes - job.u.first >= u
    else:
        u = PLACES * job.u.terms * strip_columns(dtype) * dtype.itemsize
        assert job.scratch - job.m.first >= m
        assert job.scratch_bytes >= u
        assert plan.scratch_bytes - job.scratch >= plan.threads * job.scratch_bytes


def test_tiles_are_cut_where_threads_are_many(dtype):
    """So few channels make one block of a vector, or little more, and would leave seven threads idle."""
    g = ConvGeometry(1, 16, 60, 60, 16, 3, 3, 1, (1, 1), (1, 1, 1, 1), (1, 1), 60, 60)
    plan = make_plan(g, dtype, 4, 16, turned=False, packed=True)
    blocks = -(-16 // max(jit.lanes(dtype), strip_columns(dtype)))
    assert not plan.fused
    assert plan.job.parts * blocks >= 16
