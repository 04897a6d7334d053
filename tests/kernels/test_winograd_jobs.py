"""What Winograd's jobs are made of: runs of tiles, and how far apart places lie."""

from typing import Annotated

import numpy as np
import pytest

from fastconv import jit
from fastconv.kernels.pointers import record
from fastconv.kernels.winograd_jobs import Run, Tiles, describe_block, place_size

from .helpers import call, compiled


class Job(jit.Record):
    tiles: Tiles
    runs: Annotated[int, Run]


@compiled
def run(zero, address):
    job = record(Job, zero, address)
    return describe_block(zero, job.tiles, job.tiles.first, job.tiles.end, job.runs)


def runs_of(dtype, rows, columns, first, end):
    """Return (image, y, x, number, length) of each run of tiles."""
    table = np.full(end - first + 1, -1, np.dtype(Run))
    count = call(run, dtype, Job(tiles=Tiles(rows=rows, columns=columns, first=first, end=end)), runs=table)
    assert table[count]["length"] == -1  # not written
    return [tuple(map(int, found)) for found in table[:count]]


def test_runs_by_hand(dtype):
    """Two images of 2x3 tiles: from the last of a row on, over the next one, into the second image."""
    assert runs_of(dtype, 2, 3, 2, 8) == [(0, 0, 2, 0, 1), (0, 1, 0, 1, 3), (1, 0, 0, 4, 2)]


def test_a_run_is_no_longer_than_a_vector(dtype):
    lanes = jit.lanes(dtype)
    found = runs_of(dtype, 1, 2 * lanes + 1, 1, 2 * lanes + 1)
    assert found == [(0, 0, 1, 0, lanes), (0, 0, 1 + lanes, lanes, lanes)]


def test_no_tiles_no_runs(dtype):
    assert runs_of(dtype, 2, 3, 4, 4) == []


@pytest.mark.parametrize("elements", [1, 15, 16, 17, 100, 1000, 4096])
def test_places_are_an_odd_number_of_lines_apart_and_leave_one_over(elements, dtype):
    line = 64 // dtype.itemsize
    size = place_size(elements, dtype)
    assert size % line == 0
    assert size // line % 2 == 1
    assert elements + line <= size <= elements + 4 * line
