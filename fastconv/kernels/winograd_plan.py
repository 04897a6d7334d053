"""How the work of Winograd's method is split: blocks of tiles, scratch memory, and what can be told before a call.

Where there are many tiles, each thread takes blocks of its own, small enough that V and M stay in its cache (fused).
Where there are few, all threads share one block and split each phase: channels, then (places, rows), then channels, so
that each weight is read once. Weights that are used once only are transformed a few rows at a time by the thread that
multiplies them (fresh), so that U, four times as large as the weights, never reaches memory.
"""

from __future__ import annotations

import ctypes
import functools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from fastconv import jit
from fastconv.geometry import ConvGeometry
from fastconv.sizes import ceil_div, round_up

from .microkernel import DEPTH_BLOCK, tile_columns, tile_rows
from .winograd_jobs import TEMPORARY_BYTES, Input, Output, Places, Run, Tiles, place_size
from .winograd_kernels import Weights, WinogradJob
from .winograd_points import FAR, NEAR, TURNED, TURNED_FACTORS
from .winograd_weights import layout_of

ROW_BLOCK = 8  # row tiles of U that meet all panels of V before the next ones
FUSED_TILES = 32  # tiles in a thread's own block, about: more would push V and M out of its cache
HEAVY_TILES = 48  # the same where weights come from memory for each block
HEAVY_BYTES = 16 << 20  # transformed weights of more than this do
SHARED_BYTES = 16 << 20  # V and M of a block that all threads share
FRESH_BYTES = 1 << 20  # transformed weights that a thread makes and uses at a time
KERNEL = 9  # numbers of a kernel


class Schedule(NamedTuple):
    """How tiles are cut into blocks: each thread's own (`fused`), or one at a time for all."""

    fused: bool
    block: int
    threads: int


def schedule(tiles: int, places: int, depth: int, rows: int, dtype: np.dtype, threads: int) -> Schedule:
    """Choose the blocks for so many tiles and channels in and out."""
    columns = tile_columns(dtype)
    panels = ceil_div(tiles, columns)
    own = ceil_div(panels, threads)
    if threads == 1 or own * threads < 1.25 * panels:
        heavy = places * depth * rows * dtype.itemsize > HEAVY_BYTES
        block = min(own, ceil_div(HEAVY_TILES if heavy else FUSED_TILES, columns))
        return Schedule(True, ceil_div(own, ceil_div(own, block)) * columns, threads)
    return shared_schedule(tiles, places, depth, rows, dtype, threads)


def shared_schedule(tiles: int, places: int, depth: int, rows: int, dtype: np.dtype, threads: int) -> Schedule:
    """Choose blocks that all threads share."""
    columns = tile_columns(dtype)
    panels = ceil_div(tiles, columns)
    block = min(panels, max(1, SHARED_BYTES // (places * (depth + rows) * columns * dtype.itemsize)))
    return Schedule(False, ceil_div(panels, ceil_div(panels, block)) * columns, threads)


@dataclass(frozen=True, eq=False)
class Plan:
    """All of a :class:`WinogradJob` but where arrays lie, for one geometry: made once, used by every call.

    Attributes
    ----------
    job : WinogradJob
        To be copied; pointers to a call's arrays and scratch are 0.
    fused, fresh : bool
        How the work is split, and whether the weights come untransformed.
    threads : int
        Parts of the work.
    v_bytes, m_bytes : int
        What V and M take at the beginning of the scratch if all threads share them, else 0.
    scratch_bytes : int
        Scratch in all.
    kept : tuple of arrays
        What the job's other pointers point to.
    """

    job: WinogradJob
    fused: bool
    fresh: bool
    threads: int
    v_bytes: int
    m_bytes: int
    scratch_bytes: int
    kept: tuple[np.ndarray, ...]


@functools.lru_cache(maxsize=1024)
def make_plan(
    g: ConvGeometry, dtype: np.dtype, tile: int, max_threads: int, *, turned: bool, fresh: bool, pooled: bool = False
) -> Plan:
    """Plan the convolution of one group of channels.

    Parameters
    ----------
    g : ConvGeometry
    dtype : dtype
    tile : int
        4 or 2: outputs along a side of a tile.
    max_threads : int
    turned : bool
        Compute the input gradient: convolve with the kernels turned by 180 degrees and with filters and channels
        exchanged.
    fresh : bool
        Whether calls bring the weights rather than transformed ones.
    pooled : bool
        Whether, if `turned`, the gradient is given by the maxima of 2x2 outputs.
    """
    input, output = _pictures(g, turned, pooled)
    tiles = _tiles(g.n, output, tile)
    depth, rows, places, item = input.channels, output.channels, tiles.places, dtype.itemsize
    threads = jit.threads_for(products=tiles.end * places * depth * rows, most=max_threads)
    choose = shared_schedule if fresh else schedule
    fused, block, threads = choose(tiles.end, places, depth, rows, dtype, threads)

    pitch = block if fused else block + jit.lanes(dtype)
    v_place, m_place = place_size(depth * pitch, dtype), place_size(rows * pitch, dtype)
    v_starts, m_starts = _starts(tile, turned, v_place), _starts(tile, turned, m_place)
    v_bytes, m_bytes = places * v_place * item, places * m_place * item

    weights, row_block, offsets = _weights(g, dtype, places, turned, fresh)
    own = TEMPORARY_BYTES + block * ctypes.sizeof(Run)
    if fresh:
        own = max(own, TEMPORARY_BYTES + places * weights.layout.place * item)
    each = round_up(own + v_bytes + m_bytes if fused else own, jit.LINE)
    if fused:
        v_bytes = m_bytes = 0

    factors = _output_factors(dtype, turned)
    output.factors = jit.address_of(factors)
    job = WinogradJob(
        input=input, tiles=tiles, weights=weights, output=output,
        v=Places(distance=v_place, starts=jit.address_of(v_starts)),
        m=Places(distance=m_place, starts=jit.address_of(m_starts)),
        block=block, row_block=row_block, scratch_bytes=each,
    )  # fmt: skip
    kept = (v_starts, m_starts, offsets, factors)
    return Plan(job, fused, fresh, threads, v_bytes, m_bytes, v_bytes + m_bytes + threads * each, kept)


def _pictures(g: ConvGeometry, turned: bool, pooled: bool) -> tuple[Input, Output]:
    """Return what is read and what is written, of one group."""
    taken, given, top, left = g.input_shape, g.output_shape, g.padding[0], g.padding[2]
    if turned:
        taken, given, top, left = given, taken, 2 - top, 2 - left
    if pooled:
        taken = (*taken[:2], taken[2] // 2, taken[3] // 2)
    _, channels, height, width = taken
    _, rows, out_height, out_width = given
    plane, out_plane = height * width, out_height * out_width
    return (
        Input(
            channels=channels // g.groups, height=height, width=width, image=channels * plane, plane=plane,
            top=top, left=left,
        ),
        Output(
            channels=rows // g.groups, height=out_height, width=out_width, image=rows * out_plane, plane=out_plane
        ),
    )  # fmt: skip


def _tiles(images: int, output: Output, tile: int) -> Tiles:
    rows, columns = ceil_div(output.height, tile), ceil_div(output.width, tile)
    return Tiles(size=tile, places=(tile + 2) ** 2, rows=rows, columns=columns, end=images * rows * columns)


def _weights(
    g: ConvGeometry, dtype: np.dtype, places: int, turned: bool, fresh: bool
) -> tuple[Weights, int, np.ndarray]:
    """Return all of :class:`Weights` but where they begin, its job's `row_block`, and the offsets it points to."""
    filters, channels = g.k // g.groups, g.c // g.groups
    depth, rows = (filters, channels) if turned else (channels, filters)
    layout, row_block = layout_of(filters, channels, dtype), ROW_BLOCK
    if fresh:
        one = layout_of(tile_rows(), depth, dtype)
        most = max(1, FRESH_BYTES // (places * one.place * dtype.itemsize))
        row_block = min(ceil_div(rows, tile_rows()), most)
        layout = layout_of(row_block * tile_rows(), depth, dtype)
    offsets = _row_offsets(filters, tile_rows())
    row, term = (KERNEL, channels * KERNEL) if turned else (channels * KERNEL, KERNEL)
    weights = Weights(
        filters=filters, layout=layout, across=turned and not fresh, panels=_panels_at_once(filters),
        offsets=jit.address_of(offsets), row=row, term=term,
    )  # fmt: skip
    return weights, row_block, offsets


def _panels_at_once(filters: int) -> int:
    """Even blocks of about :data:`DEPTH_BLOCK` filters, in whole panels."""
    height = tile_rows()
    whole = filters // height
    return max(1, ceil_div(whole, ceil_div(whole * height, DEPTH_BLOCK + height))) if whole else 1


@functools.lru_cache(maxsize=256)
def _row_offsets(filters: int, height: int) -> np.ndarray:
    """Offsets of a panel's rows when it is read across: in whole panels, and in the last one."""
    rows = np.arange(height, dtype=np.intp)
    return np.concatenate([rows * height, rows * (filters % height)])


@functools.lru_cache(maxsize=256)
def _starts(tile: int, turned: bool, distance: int) -> np.ndarray:
    """Return where each place begins, row by row, if they are `distance` apart."""
    along = np.array(TURNED[tile] if turned else range(tile + 2), np.intp)
    return (along[:, np.newaxis] * (tile + 2) + along).ravel() * distance


@functools.cache
def _output_factors(dtype: np.dtype, turned: bool) -> np.ndarray:
    """Return what A^T of F(4x4) multiplies with; F(2x2) needs nothing."""
    powers = np.array([[NEAR**n for n in range(4)], [FAR**n for n in range(4)]])
    if turned:  # the place of NEAR holds the turned kernel's transform at FAR
        powers *= [[TURNED_FACTORS[4][1]], [TURNED_FACTORS[4][3]]]
    return powers.astype(dtype)
