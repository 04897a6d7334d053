"""The numbers of a convolution or a pooling, under the names that every part of the package uses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
Pair: TypeAlias = tuple[int, int]  # rows, columns
Sides: TypeAlias = tuple[int, int, int, int]  # top, bottom, left, right
Pass: TypeAlias = Literal["forward", "input_grad", "weight_grad"]


@dataclass(frozen=True, slots=True)
class ConvGeometry:
    """All the numbers of one convolution, checked.

    ``x`` is (n, c, h, w), ``weight`` (k, c // groups, r, s), the output (n, k, out_h, out_w); `padding` is
    (top, bottom, left, right).
    """

    n: int
    c: int
    h: int
    w: int
    k: int
    r: int
    s: int
    groups: int
    stride: Pair
    padding: Sides
    dilation: Pair
    out_h: int
    out_w: int

    @property
    def input_shape(self) -> tuple[int, int, int, int]:
        """(N, C, H, W)."""
        return self.n, self.c, self.h, self.w

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        """(K, C/groups, R, S)."""
        return self.k, self.c // self.groups, self.r, self.s

    @property
    def output_shape(self) -> tuple[int, int, int, int]:
        """(N, K, OH, OW)."""
        return self.n, self.k, self.out_h, self.out_w

    @property
    def is_depthwise(self) -> bool:
        """Whether each channel has one kernel of its own."""
        return self.c == self.k == self.groups


@dataclass(frozen=True, slots=True)
class PoolGeometry:
    """All the numbers of one pooling, checked: as `ConvGeometry`, with a window of `r` by `s` places."""

    n: int
    c: int
    h: int
    w: int
    r: int
    s: int
    stride: Pair
    padding: Sides
    dilation: Pair
    out_h: int
    out_w: int

    @property
    def input_shape(self) -> tuple[int, int, int, int]:
        """(N, C, H, W)."""
        return self.n, self.c, self.h, self.w

    @property
    def output_shape(self) -> tuple[int, int, int, int]:
        """(N, C, OH, OW)."""
        return self.n, self.c, self.out_h, self.out_w
