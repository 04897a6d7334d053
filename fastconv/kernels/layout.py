"""Copies of arrays in another layout: with a border of zeros, or transposed panel by panel."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import prange

from . import jit
from .simd import item_bytes, peek, poke, record


class PadJob(NamedTuple):
    """What :func:`pad_share` works on."""

    source: int
    planes: int
    height: int
    width: int
    top: int
    left: int
    out: int
    out_height: int
    out_width: int


PAD_JOB = jit.record_type(PadJob)


@jit.share
def pad_share(t, threads, zero, address):
    """Copy planes into larger ones whose border is 0."""
    job = record(PAD_JOB, address)
    item = item_bytes(zero)
    begin = min(job.left, job.out_width)
    end = min(job.left + job.width, job.out_width)
    for plane in range(job.planes * t // threads, job.planes * (t + 1) // threads):
        for y in range(job.out_height):
            to = job.out + (plane * job.out_height + y) * job.out_width * item
            row = y - job.top
            if row < 0 or row >= job.height:
                for x in range(job.out_width):
                    poke(to + x * item, zero)
                continue
            source = job.source + ((plane * job.height + row) * job.width - job.left) * item
            for x in range(begin):
                poke(to + x * item, zero)
            for x in range(begin, end):
                poke(to + x * item, peek(zero, source + x * item))
            for x in range(end, job.out_width):
                poke(to + x * item, zero)


@jit.parallel
def pad_parallel(threads, zero, address):
    """Run all shares of a :class:`PadJob`."""
    for t in prange(threads):
        pad_share(np.intp(t), threads, zero, address)


class TransposeJob(NamedTuple):
    """What :func:`transpose_share` works on: matrices cut into panels of rows, each of which is transposed."""

    source: int
    matrices: int
    source_matrix: int
    rows: int
    columns: int
    source_row: int
    panel_rows: int
    out: int
    out_matrix: int
    out_panel: int
    out_row: int
    fill: int


TRANSPOSE_JOB = jit.record_type(TransposeJob)


@jit.share
def transpose_share(t, threads, zero, address):
    """Transpose panels of rows; if `fill`, the last panel's missing rows become columns of 0."""
    job = record(TRANSPOSE_JOB, address)
    item = item_bytes(zero)
    panels = (job.rows + job.panel_rows - 1) // job.panel_rows
    for unit in range(job.matrices * panels * t // threads, job.matrices * panels * (t + 1) // threads):
        matrix = unit // panels
        panel = unit - matrix * panels
        row = panel * job.panel_rows
        rows = min(job.panel_rows, job.rows - row)
        source = job.source + (matrix * job.source_matrix + row * job.source_row) * item
        out = job.out + (matrix * job.out_matrix + panel * job.out_panel) * item
        filled = job.panel_rows if job.fill != 0 else rows
        for column in range(job.columns):
            for i in range(rows):
                poke(out + i * item, peek(zero, source + (i * job.source_row + column) * item))
            for i in range(rows, filled):
                poke(out + i * item, zero)
            out += job.out_row * item


@jit.parallel
def transpose_parallel(threads, zero, address):
    """Run all shares of a :class:`TransposeJob`."""
    for t in prange(threads):
        transpose_share(np.intp(t), threads, zero, address)


def pad(job: PadJob, zero: np.generic, threads: int) -> None:
    """Copy planes into larger (or cropped) ones."""
    jit.run(pad_share, pad_parallel, zero, jit.record_of(job), threads)


def transpose(job: TransposeJob, zero: np.generic, threads: int) -> None:
    """Transpose panels of rows."""
    jit.run(transpose_share, transpose_parallel, zero, jit.record_of(job), threads)
