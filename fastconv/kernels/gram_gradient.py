"""The gradient through a Gram matrix of :mod:`fastconv.kernels.gram`.

It adds S F, with a small symmetric S, to an array of the features' shape, tile by tile as the product is made: it is
never stored by itself. If positions have weights T, it is S (F T).
"""

from __future__ import annotations

import numpy as np

from fastconv import jit
from fastconv.jit.records import Elements
from fastconv.sizes import round_up

from . import scratch
from .microkernel import DEPTH_BLOCK, columns_of_tile, product, rows_of_tile, tile_columns, tile_rows
from .pointers import prefetch_to_write, record
from .simd import as_type, lanes_of, load, store

BLOCK_BYTES = 256 << 10  # features that a thread packs at a time: half a small L2 cache
ROW_BLOCK = 8  # row tiles of the gradient's matrix that meet all packed panels before the next ones


class GramGradientJob(jit.Record):
    """What :func:`gram_gradient_kernel` works on."""

    # (channels, positions)
    features: Elements
    channels: int
    positions: int
    # of the positions, or nowhere
    weights: Elements
    # S, a row tile after the other, and for each term the tile's rows
    slope: Elements
    # what is added to, (channels, positions)
    total: Elements
    # panels of positions packed at a time
    panels: int
    # of each thread, a tile and then the panels
    scratch: Elements
    scratch_size: int


@jit.inline
def _pack_positions(zero, job, position, count, to):
    """Copy `count` panels of positions: for each panel, for each channel, a tile's columns; 0 beyond the last."""
    lanes = lanes_of(zero)
    columns = columns_of_tile(zero)
    for channel in range(job.channels):
        source = job.features + channel * job.positions
        for panel in range(count):
            for part in range(0, columns, lanes):
                at = position + panel * columns + part
                here = to + ((panel * job.channels + channel) * columns + part)
                if at + lanes <= job.positions:
                    value = load(source + at)
                    if job.weights:
                        value = value * load(job.weights + at)
                    store(here, value)
                else:
                    for i in range(lanes):
                        value = zero
                        if at + i < job.positions:
                            value = source[at + i]
                            if job.weights:
                                value = as_type(zero, value * job.weights[at + i])
                        here[i] = value


@jit.inline
def _add_cut_tile(zero, job, rows, a, b, length, total, count, temporary):
    """Add a product to a tile that only has `count` columns."""
    columns = columns_of_tile(zero)
    product(zero, rows, a, b, columns, length, temporary, columns, 1)
    for i in range(rows):
        for j in range(count):
            total[i * job.positions + j] += temporary[i * columns + j]


@jit.kernel
def gram_gradient_kernel(t, threads, zero, address):
    """Add S F at some panels of positions."""
    job = record(GramGradientJob, zero, address)
    height = rows_of_tile()
    columns = columns_of_tile(zero)
    temporary = job.scratch + t * job.scratch_size
    packed = temporary + height * columns
    panels = (job.positions + columns - 1) // columns
    end = panels * (t + 1) // threads
    for first in range(panels * t // threads, end, job.panels):
        count = min(job.panels, end - first)
        _pack_positions(zero, job, first * columns, count, packed)
        for depth in range(0, job.channels, DEPTH_BLOCK):
            length = min(DEPTH_BLOCK, job.channels - depth)
            for block in range(0, job.channels, ROW_BLOCK * height):
                for panel in range(count):
                    b = packed + (panel * job.channels + depth) * columns
                    position = (first + panel) * columns
                    for row in range(block, min(block + ROW_BLOCK * height, job.channels), height):
                        rows = min(height, job.channels - row)
                        a = job.slope + (row * job.channels + depth * rows)
                        total = job.total + row * job.positions + position
                        for i in range(rows):
                            prefetch_to_write(total + i * job.positions)
                        if position + columns <= job.positions:
                            product(zero, rows, a, b, columns, length, total, job.positions, 0)
                        else:
                            left = job.positions - position
                            _add_cut_tile(zero, job, rows, a, b, length, total, left, temporary)


def add_gram_gradient(features: np.ndarray, slope: np.ndarray, weights: np.ndarray | None, total: np.ndarray) -> None:
    """Add S F, or S F T, to an array.

    Parameters
    ----------
    features : (C, M) array
        F, contiguous.
    slope : (C, C) array
        S.
    weights : (M,) array or None
        The positions' weights T.
    total : array of C * M elements
        What is added to, contiguous.
    """
    channels, positions = features.shape
    item = features.itemsize
    threads = jit.threads_for(products=channels * channels * positions)
    columns = tile_columns(features.dtype)
    panels = max(1, BLOCK_BYTES // (channels * columns * item))
    packed = _row_tiles(slope)
    each = round_up((tile_rows() + panels * channels) * columns * item, jit.LINE)
    with scratch.borrow(threads * each) as memory:
        job = GramGradientJob(
            features=jit.address_of(features), channels=channels, positions=positions,
            weights=0 if weights is None else jit.address_of(weights),
            slope=jit.address_of(packed), total=jit.address_of(total), panels=panels,
            scratch=memory, scratch_size=each // item,
        )  # fmt: skip
        gram_gradient_kernel(job, features.dtype, threads)


def _row_tiles(matrix: np.ndarray) -> np.ndarray:
    """Cut a matrix into tiles of rows, each stored column by column; the last may have fewer rows."""
    rows, height = len(matrix), tile_rows()
    whole = rows // height * height
    tiles = matrix[:whole].reshape(-1, height, matrix.shape[1]).transpose(0, 2, 1)
    return np.concatenate([tiles.ravel(), matrix[whole:].T.ravel()])
