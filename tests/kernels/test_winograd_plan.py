"""How the work of Winograd's method is split: blocks of whole panels that are no larger than they need be."""

import itertools

import numpy as np
import pytest

from fastconv.geometry import ConvGeometry
from fastconv.kernels.microkernel import tile_columns
from fastconv.kernels.winograd_plan import make_plan, schedule, shared_schedule

PLACES = 36
SIZES = list(itertools.product([1, 40, 500, 20000], [3, 64, 512], [64, 512]))  # tiles, depth, rows


@pytest.mark.parametrize("number_of_threads", [1, 2, 3, 8])
@pytest.mark.parametrize(("tiles", "depth", "rows"), SIZES, ids=str)
def test_blocks(tiles, depth, rows, number_of_threads, dtype):
    columns = tile_columns(dtype)
    panels = -(-tiles // columns)
    for choose in (schedule, shared_schedule):
        fused, block, threads = choose(tiles, PLACES, depth, rows, dtype, number_of_threads)
        assert threads == number_of_threads
        assert block % columns == 0
        assert 0 < block <= panels * columns
        if not fused:
            assert block == columns or PLACES * (depth + rows) * block * dtype.itemsize <= 16 << 20


@pytest.mark.parametrize(
    ("panels", "number_of_threads", "fused"),
    [(1, 1, True), (1, 2, False), (8, 8, True), (9, 8, False), (100, 8, True), (3, 2, False), (11, 2, True)],
)
def test_threads_have_blocks_of_their_own_unless_some_would_be_idle_for_long(panels, number_of_threads, fused, dtype):
    tiles = panels * tile_columns(dtype)
    assert schedule(tiles, PLACES, 64, 64, dtype, number_of_threads).fused == fused
    assert not shared_schedule(tiles, PLACES, 64, 64, dtype, number_of_threads).fused


def test_what_is_read_and_written_by_hand(dtype):
    """Of a convolution from 4 channels of 9x14 pixels to 6 of 10x12, in two groups; backwards from maxima, too."""
    g = ConvGeometry(3, 4, 9, 14, 6, 3, 3, 2, (1, 1), (1, 2, 0, 0), (1, 1), 10, 12)

    def pictures(turned, pooled=False):
        job = make_plan(g, dtype, 4, 1, turned=turned, fresh=False, pooled=pooled).job
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


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize("turned", [False, True])
def test_scratch_holds_all_parts(turned, fresh, dtype):
    g = ConvGeometry(1, 64, 30, 30, 96, 3, 3, 1, (1, 1), (1, 1, 1, 1), (1, 1), 30, 30)
    plan = make_plan(g, dtype, 4, 2, turned=turned, fresh=fresh)
    assert plan.fresh == fresh
    assert plan.scratch_bytes == plan.v_bytes + plan.m_bytes + plan.threads * plan.job.scratch_bytes
    depth, rows = (96, 64) if turned else (64, 96)
    v, m = (PLACES * count * plan.job.block * np.dtype(dtype).itemsize for count in (depth, rows))
    if plan.fused:
        assert (plan.v_bytes, plan.m_bytes) == (0, 0)
        assert plan.job.scratch_bytes >= v + m
    else:
        assert plan.v_bytes >= v
        assert plan.m_bytes >= m
