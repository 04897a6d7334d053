"""Matrices transposed, whole or panel by panel."""

from __future__ import annotations

import numpy as np

from fastconv import jit
from fastconv.jit.records import Elements

from .pointers import record
from .shuffles import transpose_block
from .simd import lanes_of


class TransposeJob(jit.Record):
    """What :func:`transpose_kernel` works on: matrices cut into panels of rows, each of which is transposed.

    Fields named after a part say how many elements lie from one such part to the next.
    """

    source: Elements
    matrices: int
    source_matrix: int
    rows: int
    columns: int
    source_row: int
    panel_rows: int
    out: Elements
    out_matrix: int
    out_panel: int
    out_row: int
    # whether the last panel's missing rows become columns of 0
    fill: int


@jit.kernel
def transpose_kernel(t, threads, zero, address):
    """Transpose some panels of rows."""
    job = record(TransposeJob, zero, address)
    lanes = lanes_of(zero)
    panels = (job.rows + job.panel_rows - 1) // job.panel_rows
    for unit in range(job.matrices * panels * t // threads, job.matrices * panels * (t + 1) // threads):
        matrix = unit // panels
        panel = unit - matrix * panels
        row = panel * job.panel_rows
        rows = min(job.panel_rows, job.rows - row)
        source = job.source + (matrix * job.source_matrix + row * job.source_row)
        out = job.out + (matrix * job.out_matrix + panel * job.out_panel)
        filled = job.panel_rows if job.fill != 0 else rows
        whole_rows, whole_columns = rows // lanes * lanes, job.columns // lanes * lanes
        for column in range(0, whole_columns, lanes):
            for i in range(0, whole_rows, lanes):
                here = source + (i * job.source_row + column)
                transpose_block(here, job.source_row, out + (column * job.out_row + i), job.out_row)
        for column in range(job.columns):
            to = out + column * job.out_row
            for i in range(whole_rows if column < whole_columns else 0, rows):
                to[i] = source[i * job.source_row + column]
            for i in range(rows, filled):
                to[i] = zero


def transpose(source: np.ndarray, out: np.ndarray, threads: int) -> None:
    """Transpose matrices, (M, rows, columns), whose elements of a row lie side by side, to `out`, contiguous."""
    lanes, (_, columns, rows) = jit.lanes(out.dtype), out.shape
    job = _transpose_job(source, out, panel_rows=lanes, out_matrix=columns * rows, out_panel=lanes, out_row=rows)
    transpose_kernel(job, out.dtype, threads)


def transpose_panels(source: np.ndarray, out: np.ndarray, threads: int) -> None:
    """Cut matrices into panels of rows and transpose each; the last panel's missing rows become 0.

    Parameters
    ----------
    source : (M, rows, columns) array
        Elements of a row lie side by side.
    out : (M, panels, columns, rows of a panel) array
        Contiguous.
    threads : int
    """
    _, panels, columns, height = out.shape
    panel = columns * height
    job = _transpose_job(
        source, out, panel_rows=height, out_matrix=panels * panel, out_panel=panel, out_row=height, fill=True
    )
    transpose_kernel(job, out.dtype, threads)


def _transpose_job(source: np.ndarray, out: np.ndarray, **places: int) -> TransposeJob:
    """Return the job for matrices, with `places` in what is written."""
    matrices, rows, columns = source.shape
    matrix, row, _ = source.strides
    return TransposeJob(
        source=jit.address_of(source), matrices=matrices, source_matrix=matrix // source.itemsize, rows=rows,
        columns=columns, source_row=row // source.itemsize, out=jit.address_of(out), **places,
    )  # fmt: skip
