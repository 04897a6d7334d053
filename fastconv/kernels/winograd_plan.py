"""How the work of Winograd's method is split: blocks of tiles, scratch memory, and what can be told before a call.

Where there are many tiles and few weights, all weights are transformed first, and each thread takes blocks of tiles of
its own, small enough that V and M stay in its cache (fused). Else all threads share one block and split each phase:
channels, then rows, whose weights each thread transforms as it multiplies them, then channels.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from fastconv import jit
from fastconv.geometry import ConvGeometry
from fastconv.sizes import ceil_div, round_up

from .microkernel import DEPTH_BLOCK, strip_columns, strip_rows
from .winograd_jobs import Input, Output, Places, Tiles, place_size
from .winograd_kernels import Transformed, WinogradJob
from .winograd_pictures import strip_elements
from .winograd_weights import KERNEL, weights_of

OWN_BYTES = 1 << 20  # V and M of a thread's own block of tiles, about: its cache
OWN_WEIGHTS = 12 << 20  # transformed weights of more than this had better be transformed as they are multiplied
SHARED_BYTES = 16 << 20  # V and M, or both transforms of the weight gradient, of a block that all threads share
SHARED_TERMS = 128  # terms whose weights a thread transforms at a time, where threads share: they stay in its cache


class Schedule(NamedTuple):
    """How tiles are cut into blocks: each thread's own (`fused`), or one at a time for all."""

    fused: bool
    block: int


def schedule(tiles: int, places: int, depth: int, rows: int, dtype: np.dtype, threads: int) -> Schedule:
    """Choose the blocks for so many tiles and channels in and out."""
    weights, each = places * depth * rows * dtype.itemsize, places * (depth + rows) * dtype.itemsize
    own = ceil_div(tiles, threads)
    if weights <= OWN_WEIGHTS and own >= strip_rows():
        block = max(strip_rows(), OWN_BYTES // each)
        return Schedule(True, ceil_div(own, ceil_div(own, block)))
    block = max(1, SHARED_BYTES // each)
    return Schedule(False, ceil_div(tiles, ceil_div(tiles, block)))


@dataclass(frozen=True, eq=False)
class Plan:
    """All of a :class:`WinogradJob` but where arrays lie, for one geometry: made once, used by every call.

    Attributes
    ----------
    job : WinogradJob
        To be copied; pointers to a call's arrays are 0, and those to scratch count from its beginning.
    fused : bool
        How the work is split.
    threads : int
        Parts of the work.
    scratch_bytes : int
        Scratch in all.
    """

    job: WinogradJob
    fused: bool
    threads: int
    scratch_bytes: int


@functools.lru_cache(maxsize=1024)
def make_plan(
    g: ConvGeometry, dtype: np.dtype, tile: int, max_threads: int, *, turned: bool, packed: bool, pooled: bool = False
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
    packed : bool
        Whether calls bring packed weights.
    pooled : bool
        Whether, if `turned`, the gradient is given by the maxima of 2x2 outputs.
    """
    input, output = _pictures(g, turned, pooled)
    tiles = tiles_of(g.n, output.height, output.width, tile)
    weights = weights_of(g.k // g.groups, g.c // g.groups, turned, packed)
    depth, rows, places = weights.terms, weights.rows, tiles.places
    lanes, columns = jit.lanes(dtype), strip_columns(dtype)
    threads = jit.threads_for(products=tiles.end * places * depth * rows, most=max_threads)
    fused, block = schedule(tiles.end, places, depth, rows, dtype, threads)

    fewest = min(ceil_div(depth, lanes), ceil_div(rows, columns))  # units that all threads share
    parts = min(ceil_div(threads, fewest), block)
    pitch = block * lanes
    v_place, m_place = (place_size(round_up(size, columns) * block, dtype) for size in (depth, rows))
    terms = min(depth, DEPTH_BLOCK if fused else SHARED_TERMS)
    u_place = place_size((ceil_div(rows, columns) * depth if fused else terms) * columns, dtype)
    v_bytes, m_bytes, u_bytes = (
        round_up(places * place * dtype.itemsize, jit.LINE) for place in (v_place, m_place, u_place)
    )
    gathered = (terms * KERNEL + lanes) * columns * dtype.itemsize
    strip = strip_elements(dtype) * dtype.itemsize
    if fused:  # each thread has a strip or gathered weights, a V and an M; all share U, behind them
        v = round_up(max(strip, gathered), jit.LINE)
        m, own, scratch = v + v_bytes, v + v_bytes + m_bytes, 0
        u, total = threads * own, threads * own + u_bytes
    else:  # each has a strip, or U and gathered weights
        v, m, scratch, u = 0, v_bytes, v_bytes + m_bytes, 0
        own = round_up(max(strip, u_bytes + gathered), jit.LINE)
        total = scratch + threads * own
    job = WinogradJob(
        input=input, tiles=tiles, weights=weights, output=output,
        u=Transformed(first=u, distance=u_place, terms=terms),
        v=Places(first=v, distance=v_place, block=pitch),
        m=Places(first=m, distance=m_place, block=pitch),
        block=block, parts=parts, scratch=scratch, scratch_bytes=own,
    )  # fmt: skip
    return Plan(job, fused, threads, total)


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


def tiles_of(images: int, height: int, width: int, size: int) -> Tiles:
    """Return the tiles of so many images, all of them to be worked on."""
    rows, columns = ceil_div(height, size), ceil_div(width, size)
    return Tiles(size=size, places=(size + 2) ** 2, rows=rows, columns=columns, end=images * rows * columns)
