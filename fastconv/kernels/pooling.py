"""What max and average pooling have in common: their job, and which columns vectors can compute.

A row of outputs falls into columns whose window lies inside the picture, which are computed a vector at a time, and
those at its sides. The last vector of a row is moved back to end where the row does, so that it repeats columns rather
than leave them to be computed one by one.
"""

from __future__ import annotations

import numpy as np

from fastconv import jit
from fastconv.geometry import PoolGeometry
from fastconv.jit.records import Elements, Words
from fastconv.sizes import ceil_div

from .shuffles import every_second
from .simd import lanes_of, load, splat, store

COUNT_PADDING, COUNT_PICTURE = 0, -(1 << 31)  # no divisor that `fastconv.checks` lets pass
EXACT_OFFSETS = 1 << 24  # integers below this are exact in float32


class Window(jit.Record):
    """A pooling's windows: how many places, how far apart windows and places are, and how far outside the first is."""

    rows: int
    columns: int
    stride_y: int
    stride_x: int
    dilation_y: int
    dilation_x: int
    top: int
    left: int


class PoolJob(jit.Record):
    """What poolings and the gradient of means work on: a window for each place of the `small` planes.

    Forward, `large` is the input and `small` the output; backward, they are the gradients by these.
    """

    window: Window
    planes: int
    large: Elements
    height: int
    width: int
    # extent of the padded plane: means count places up to here
    bottom_end: int
    right_end: int
    small: Elements
    small_height: int
    small_width: int
    # of each maximum, or nowhere
    indices: Words
    # what a sum is divided by: this number, or COUNT_PADDING the places in the padded plane, COUNT_PICTURE those in the
    # picture
    divisor: int
    # columns of the small planes from `inside` to `inside_end` - 1 may be computed by vectors
    inside: int
    inside_end: int


def pool_job(large: np.ndarray, g: PoolGeometry, small: np.ndarray) -> PoolJob:
    """Return the job for two arrays, (N, C, H, W) and (N, C, P, Q), but for what only one kind of pooling has."""
    top, bottom, left, right = g.padding
    inside, inside_end = _inside(g)
    window = Window(
        rows=g.r, columns=g.s, stride_y=g.stride[0], stride_x=g.stride[1],
        dilation_y=g.dilation[0], dilation_x=g.dilation[1], top=top, left=left,
    )  # fmt: skip
    return PoolJob(
        window=window, planes=g.n * g.c,
        large=jit.address_of(large), height=g.h, width=g.w, bottom_end=g.h + bottom, right_end=g.w + right,
        small=jit.address_of(small), small_height=g.out_h, small_width=g.out_w,
        inside=inside, inside_end=inside_end,
    )  # fmt: skip


def _inside(g: PoolGeometry) -> tuple[int, int]:
    """Columns of the small planes (first, end) that vectors can compute: their windows lie inside the picture."""
    left, step, gap = g.padding[2], g.stride[1], g.dilation[1]
    if step > 2 or g.r * g.dilation[0] * g.w >= EXACT_OFFSETS:
        return 0, 0
    return ceil_div(left, step), min(g.out_w, (g.w - 1 + left - (g.s - 1) * gap) // step + 1)


@jit.unfold
def load_places(zero, first, stride):
    """Load a place of each of a vector of windows: every element from `first` on, or every second, out of order."""
    if stride == 1:
        return load(first)
    return every_second(load(first), load(first + (lanes_of(zero) - 1)))


@jit.inline
def write_zeros(zero, to, count):
    """Write `count` zeros."""
    n = 0
    while n + lanes_of(zero) <= count:
        store(to + n, splat(zero))
        n += lanes_of(zero)
    while n < count:
        to[n] = zero
        n += 1
