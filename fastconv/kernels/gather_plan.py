"""Plans of the implicit matrix product of :mod:`fastconv.kernels.gather`: how the work is cut, and what a job says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastconv import jit
from fastconv.sizes import ceil_div

from . import scratch
from .gather import GatherJob, Input, Output, Positions, Tap, TapTable, Weights, gather_kernel, scratch_bytes
from .gather_weights import block_depth
from .microkernel import tile_columns, tile_rows
from .operands import operands
from .padding import PaddedPlane, pad
from .taps import Grid, Taps, extremes, offsets_in_copy

B_BLOCK_BYTES = 64 << 10  # an eighth of a small L2 cache; a block of A takes a quarter, and C what it needs
A_BLOCK_BYTES = 128 << 10
SHORT_DEPTH = 64  # sums of so few terms are over soon, and most of the time goes into writing ...
LONG_ROWS = 32  # ... so results are written for that many panels of a plane at a stretch


def _split(units: int, tiles: int, threads: int) -> int:
    """Into how many parts to cut the rows, the rest of the threads cutting the positions; whichever ends soonest."""
    packing = 0.5  # gathering a panel takes about half as long as multiplying it with one row tile

    def slowest(row_parts: int) -> float:
        return ceil_div(units, threads // row_parts) * (ceil_div(tiles, row_parts) + packing)

    return min((parts for parts in range(1, threads + 1) if threads % parts == 0), key=slowest)


def _blocks(panels: int, depth: int, dtype: np.dtype) -> tuple[int, int]:
    """Return how many of a thread's panels, and how many row tiles, a block has."""
    terms = block_depth(depth) * dtype.itemsize
    panel_block = max(1, min(panels, B_BLOCK_BYTES // (terms * tile_columns(dtype))))
    tile_block = max(1, A_BLOCK_BYTES // (tile_rows() * terms))
    if depth <= SHORT_DEPTH:
        panel_block, tile_block = min(panels, LONG_ROWS), 1
    return ceil_div(panels, ceil_div(panels, panel_block)), tile_block


@dataclass(frozen=True, eq=False)
class Plan:
    """All of a :class:`GatherJob` but its arrays, for one shape of input: made once, used by every call.

    Attributes
    ----------
    job : GatherJob
        The record without the arrays of a call.
    threads, scratch_bytes : int
        Parts of the work; scratch of all of them together.
    tables : tuple of arrays
        What the record's table of taps points to.
    copy : PaddedPlane or None
        How each plane of the input is copied first.
    copy_size : int
        Elements of the copy.
    """

    job: GatherJob
    threads: int
    scratch_bytes: int
    tables: tuple[np.ndarray, ...]
    copy: PaddedPlane | None
    copy_size: int

    def run(self, x: np.ndarray, packed: np.ndarray, bias: np.ndarray | None, relu: bool, out: np.ndarray) -> None:
        """Compute the product.

        Parameters
        ----------
        x : (N, groups * channels, H, W) array
        packed : array of :func:`fastconv.kernels.gather_weights.pack`
        bias : (groups * rows,) array or None
        relu : bool
        out : (N, groups * rows, grid.height, grid.width) array
            Or one of another shape with as many elements.
        """
        if self.copy is None:
            self.multiply(x, packed, bias, relu, out)
            return
        with scratch.borrow_arrays(x.dtype, (self.copy_size,)) as (copy,):
            self.copy_input(x, copy)
            self.multiply(copy, packed, bias, relu, out)

    def copy_input(self, x: np.ndarray, to: np.ndarray) -> None:
        """Make the plan's copy of the input, in an array of `copy_size` elements."""
        assert self.copy is not None
        pad(x, self.copy, to, self.threads)

    def multiply(
        self, source: np.ndarray, packed: np.ndarray, bias: np.ndarray | None, relu: bool, out: np.ndarray
    ) -> None:
        """Compute the product as :meth:`run` does, but of the plan's copy of the input, if there is one."""
        job = self.job.copy()
        job.operands = operands(source, packed, bias, relu, out)
        with scratch.borrow(self.scratch_bytes) as memory:
            job.scratch = memory
            gather_kernel(job, out.dtype, self.threads)


def plan(
    x_shape: tuple[int, int, int, int], dtype: np.dtype, taps: Taps, rows: int, groups: int, grid: Grid,
    max_threads: int, copy: PaddedPlane | None,
) -> Plan | None:  # fmt: skip
    """Plan one implicit matrix product.

    Parameters
    ----------
    x_shape : (int, int, int, int)
        (N, groups * channels, H, W).
    dtype : dtype
    taps : Taps
    rows : int
        Output channels a group.
    groups : int
    grid : Grid
    max_threads : int
    copy : PaddedPlane or None
        The copy of the input to read instead, which may be larger than these taps need; see
        :func:`~fastconv.kernels.taps.useful_copy`.

    Returns
    -------
    Plan or None
        None if there is nothing to compute.
    """
    images, channels, height, width = x_shape
    columns = tile_columns(dtype)
    out_plane = grid.height * grid.width
    units = groups * ceil_div(images * out_plane, columns)
    if not units:
        return None
    tiles = ceil_div(rows, tile_rows())
    threads = jit.threads_for(products=units * columns * rows * taps.depth, most=max_threads)
    row_parts = _split(units, tiles, threads)
    depth_block = block_depth(taps.depth)
    panel_block, tile_block = _blocks(ceil_div(units, threads // row_parts), taps.depth, dtype)
    if copy is None:
        plane, pitch, strides, copy_size = height * width, width, (grid.stride_y, grid.stride_x), 0
        in_input = taps.plane * plane + taps.row * pitch + taps.column
    else:
        height, plane, pitch, strides = copy.copy_height, copy.size, copy.pitch, (grid.stride_y // copy.row_step, 1)
        in_input = offsets_in_copy(taps, copy)
        # Panels may reach past the end.
        copy_size = images * channels * plane + pitch + columns
    table, tables = _tap_table(taps, plane, in_input, columns)
    each = scratch_bytes(dtype, depth_block, panel_block)
    job = GatherJob(
        input=Input(
            image=channels * plane, group=channels // groups * plane, height=height, width=pitch,
            copied=copy is not None,
        ),
        table=table,
        positions=Positions(
            images=images, height=grid.height, width=grid.width, stride_y=strides[0], stride_x=strides[1]
        ),
        weights=Weights(group=rows * taps.depth, rows=rows, groups=groups),
        output=Output(image=groups * rows * out_plane, group=rows * out_plane, row=out_plane),
        depth_block=depth_block, panel_block=panel_block, tile_block=tile_block, row_parts=row_parts,
        scratch_bytes=each,
    )  # fmt: skip
    return Plan(job, threads, threads * each, tables, copy, copy_size)


def _tap_table(
    taps: Taps, plane: int, in_input: np.ndarray, columns: int
) -> tuple[TapTable, tuple[np.ndarray, ...]]:  # fmt: skip
    """Return taps in planes of `plane` elements as a record, and the arrays it points to."""
    places: Any = np.empty(taps.depth, np.dtype(Tap))
    places["plane"], places["row"], places["column"] = taps.plane * plane, taps.row, taps.column
    in_panel = np.arange(taps.depth, dtype=np.intp) * columns
    row_min, row_max, column_min, column_max = extremes(taps)
    table = TapTable(
        taps=jit.address_of(places), in_input=jit.address_of(in_input), in_panel=jit.address_of(in_panel),
        depth=taps.depth, row_min=row_min, row_max=row_max, column_min=column_min, column_max=column_max,
    )  # fmt: skip
    return table, (places, in_input, in_panel)
