"""Copies in another layout against NumPy, element by element."""

import itertools

import numpy as np
import pytest

from fastconv import jit
from fastconv.kernels import layout
from fastconv.kernels.microkernel import tile_columns

UNTOUCHED = 99
AROUND = 64  # elements before and behind an array; kernels may read them
PLANES = 1, 5
BORDER = {"row_step": 1, "column_step": 1, "phases": 1}


def numbers(dtype, *shape):
    """Return an array of numbers other than 0 that are all different, in a larger one."""
    return placed(np.arange(1, np.prod(shape, dtype=int) + 1, dtype=dtype).reshape(shape))


def placed(array):
    around = np.full(array.size + 2 * AROUND, UNTOUCHED, array.dtype)
    place = around[AROUND : AROUND + array.size].reshape(array.shape)
    place[...] = array
    return place


@pytest.fixture
def check(monkeypatch):
    """Return a function that runs all shares of a call in both orders.

    None may write what is another's, or what is around the output.
    """

    def check(call, expected):
        for order in ((0, 1, 2), (2, 1, 0)):

            def run(share, parallel, zero, address, threads, order=order):
                assert threads == len(order)
                for t in order:
                    share(t, threads, zero, address)

            monkeypatch.setattr(jit.threads, "run", run)
            out = placed(np.full(expected.shape, UNTOUCHED, expected.dtype))
            call(out, len(order))
            np.testing.assert_array_equal(out, expected)
            around = out.base
            assert np.all(around[:AROUND] == UNTOUCHED)
            assert np.all(around[AROUND + out.size :] == UNTOUCHED)

    return check


class TestPad:
    @pytest.mark.parametrize(
        "plane",
        [
            layout.PaddedPlane(height=5, width=7, top=1, left=2, copy_height=8, phase_width=12, **BORDER),
            layout.PaddedPlane(height=6, width=50, top=0, left=0, copy_height=6, phase_width=50, **BORDER),
            layout.PaddedPlane(height=6, width=50, top=-2, left=-3, copy_height=3, phase_width=40, **BORDER),
            layout.PaddedPlane(height=1, width=1, top=3, left=40, copy_height=7, phase_width=90, **BORDER),
            layout.PaddedPlane(
                height=9, width=75, top=1, left=1, row_step=1, column_step=2, copy_height=11, phases=2, phase_width=39
            ),
            layout.PaddedPlane(
                height=9, width=75, top=1, left=0, row_step=2, column_step=2, copy_height=5, phases=1, phase_width=38
            ),
            layout.PaddedPlane(
                height=8, width=20, top=2, left=1, row_step=3, column_step=3, copy_height=4, phases=3, phase_width=8
            ),
        ],
        ids=["border", "as it is", "cropped", "one pixel", "two phases", "every second", "three phases"],
    )
    def test_planes(self, plane, dtype, check):
        x = numbers(dtype, *PLANES, plane.height, plane.width)
        expected = np.zeros((*PLANES, plane.copy_height, plane.phases, plane.phase_width), dtype)
        for r, f, j in np.ndindex(expected.shape[2:]):
            y, column = r * plane.row_step - plane.top, j * plane.column_step + f - plane.left
            if 0 <= y < plane.height and 0 <= column < plane.width:
                expected[:, :, r, f, j] = x[:, :, y, column]
        assert (plane.pitch, plane.size) == (expected[0, 0, 0].size, expected[0, 0].size)
        check(lambda out, threads: layout.pad(x, plane, out, threads), expected)


class TestInterleave:
    @pytest.mark.parametrize("missing", [False, True])
    @pytest.mark.parametrize("step", [(1, 1), (2, 2), (2, 1), (1, 2), (3, 3)])
    @pytest.mark.parametrize("size", [(7, 9), (4, 67), (5, 1)])
    def test_phases(self, size, step, missing, dtype, check, monkeypatch):
        (height, width), (down, across) = size, step
        expected = np.zeros((*PLANES, height, width), dtype)
        phases = []
        for number, (y, x) in enumerate(itertools.product(range(down), range(across))):
            if missing and number % 2 == 0:
                phases.append(None)
                continue
            part = expected[:, :, y::down, x::across]
            # A phase's rows may be longer than what is needed of them.
            phases.append(numbers(dtype, *PLANES, part.shape[2], part.shape[3] + number))
            part[...] = phases[-1][:, :, :, : part.shape[3]]

        def interleave(out, threads):
            monkeypatch.setattr(jit, "threads_for", lambda elements: threads)
            layout.interleave(phases, step, out)

        check(interleave, expected)


class TestTranspose:
    @pytest.mark.parametrize(("rows", "columns"), [(1, 1), (7, 50), (64, 32), (97, 3), (50, 33)])
    def test_panels_filled_up(self, rows, columns, dtype, check):
        panel_rows = tile_columns(dtype)
        panels = -(-rows // panel_rows)
        x = numbers(dtype, 2, rows, columns + 3)
        expected = np.zeros((2, panels * panel_rows, columns), dtype)
        expected[:, :rows] = x[:, :, :columns]
        expected = expected.reshape(2, panels, panel_rows, columns).swapaxes(2, 3).copy()
        check(lambda out, threads: layout.transpose_panels(x[:, :, :columns], out, threads), expected)

    @pytest.mark.parametrize(("rows", "columns"), [(1, 1), (7, 50), (64, 32), (97, 3), (50, 33)])
    def test_whole_matrices(self, rows, columns, dtype, check):
        x = numbers(dtype, 2, rows, columns + 3)[:, :, :columns]
        expected = x.swapaxes(1, 2).copy()
        check(lambda out, threads: layout.transpose(x, out, threads), expected)
