"""The taps of a convolution's products: where they lie in the weights and in the input, or in a padded copy of it.

A tap is a channel with a place in the kernel. Where windows often reach over edges, or do not lie side by side (stride
2 and more), the input is copied first with its padding and its columns sorted, so that neighbouring positions read
neighbouring elements.
"""

from __future__ import annotations

import functools
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from .microkernel import tile_columns
from .padding import PaddedPlane

COPY_BELOW = 8  # panels in a row of positions: in wider pictures few windows reach over an edge


@dataclass(frozen=True)
class Taps:
    """The taps of one product: where they lie in a row of weights and in the input.

    Attributes
    ----------
    weight_offsets : (depth,) intp array
    plane, row, column : (depth,) intp arrays
        Channel within the group, and displacement in pixels.
    """

    weight_offsets: np.ndarray
    plane: np.ndarray
    row: np.ndarray
    column: np.ndarray

    @property
    def depth(self) -> int:
        """Number of taps."""
        return len(self.plane)

    @staticmethod
    def joined(parts: Collection[Taps]) -> Taps:
        """Return all taps of several products."""
        fields = ("weight_offsets", "plane", "row", "column")
        return Taps(*(np.concatenate([getattr(part, field) for part in parts]) for field in fields))

    @staticmethod
    def of(
        planes: int,
        rows: list[tuple[int, int]],
        columns: list[tuple[int, int]],
        strides: tuple[int, int, int],
    ) -> Taps:
        """Combine planes with (index, displacement) of kernel rows and columns; `strides` are those of the weights."""
        plane, row, column = (axis.ravel() for axis in np.indices((planes, len(rows), len(columns)), np.intp))
        row_index, row_shift = np.array(rows, np.intp).reshape(-1, 2).T
        column_index, column_shift = np.array(columns, np.intp).reshape(-1, 2).T
        offsets = plane * strides[0] + row_index[row] * strides[1] + column_index[column] * strides[2]
        return Taps(offsets, plane, row_shift[row], column_shift[column])


@functools.lru_cache(maxsize=256)
def forward_taps(
    channels: int, kernel: tuple[int, int], padding: tuple[int, int, int, int], dilation: tuple[int, int]
) -> Taps:
    """Taps of a convolution of `channels` channels a group."""
    (r, s), (dh, dw) = kernel, dilation
    rows = [(i, i * dh - padding[0]) for i in range(r)]
    columns = [(j, j * dw - padding[2]) for j in range(s)]
    return Taps.of(channels, rows, columns, (r * s, s, 1))


@functools.lru_cache(maxsize=256)
def input_grad_taps(
    channels: int, filters: int, kernel: tuple[int, int], stride: tuple[int, int],
    padding: tuple[int, int, int, int], dilation: tuple[int, int],
) -> dict[tuple[int, int], Taps]:  # fmt: skip
    """Taps of the input gradient for each phase (first row, first column) of input pixels.

    Input pixel y meets output row o through kernel row i where ``o * stride = y + padding - i * dilation``, so only
    every stride-th pixel meets the same kernel rows. `channels` and `filters` are those of one group.
    """
    (r, s), (sh, sw), (dh, dw) = kernel, stride, dilation

    def meeting(size: int, step: int, gap: int, pad: int, phase: int) -> list[tuple[int, int]]:
        return [
            (i, (phase + pad - i * gap) // step) for i in reversed(range(size)) if (phase + pad - i * gap) % step == 0
        ]

    weight_strides = (channels * r * s, s, 1)
    return {
        (y, x): Taps.of(filters, meeting(r, sh, dh, padding[0], y), meeting(s, sw, dw, padding[2], x), weight_strides)
        for y in range(sh)
        for x in range(sw)
    }


@dataclass(frozen=True)
class Grid:
    """A product's positions in an image: their number, and how many input pixels neighbours are apart.

    Results lie side by side, (N, channels, height, width).
    """

    height: int
    width: int
    stride_y: int
    stride_x: int


def useful_copy(taps: Taps, x_shape: tuple[int, int, int, int], grid: Grid, dtype: np.dtype) -> PaddedPlane | None:
    """Return how each plane of the input had better be copied first, or None if it had better be read as it is."""
    height, width = x_shape[2:]
    row_min, row_max, column_min, column_max = extremes(taps)
    inside = row_min >= 0 and column_min >= 0 and row_max + grid.height <= height and column_max + grid.width <= width
    narrow = grid.width < COPY_BELOW * tile_columns(dtype) and not (grid.height == 1 and inside)
    useful = taps.depth and (narrow or grid.stride_y * grid.stride_x > 1)
    return copy_of(taps, x_shape, grid) if useful else None


def copy_of(taps: Taps, x_shape: tuple[int, int, int, int], grid: Grid) -> PaddedPlane:
    """Return how to copy planes such that no tap leaves them and positions of a row read neighbouring elements."""
    height, width = x_shape[2:]
    row_min, row_max, column_min, column_max = extremes(taps)
    row_step = grid.stride_y if row_min == row_max else 1
    phases = 1 if column_min == column_max else grid.stride_x
    copy_height = (grid.height - 1) * (grid.stride_y // row_step) + row_max - row_min + 1
    phase_width = grid.width + (column_max - column_min) // grid.stride_x
    return PaddedPlane(
        height=height, width=width, top=-row_min, left=-column_min, row_step=row_step, column_step=grid.stride_x,
        copy_height=copy_height, phases=phases, phase_width=phase_width,
    )  # fmt: skip


def offsets_in_copy(taps: Taps, copy: PaddedPlane) -> np.ndarray:
    """Return each tap's offset in a copy, in which a column's phase counts before its place."""
    row, column = taps.row + copy.top, taps.column + copy.left
    offsets = taps.plane * copy.size + row * copy.pitch
    return offsets + column % copy.column_step * copy.phase_width + column // copy.column_step


def extremes(taps: Taps) -> tuple[int, int, int, int]:
    """Return the least and the largest row, and the least and the largest column."""
    if not taps.depth:
        return 0, 0, 0, 0
    return int(taps.row.min()), int(taps.row.max()), int(taps.column.min()), int(taps.column.max())
