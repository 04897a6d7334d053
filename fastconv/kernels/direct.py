"""The direct method: which products a convolution of any kernel, stride, padding, dilation and groups comes down to.

Forward it is one product. The input gradient is one for each phase of the stride: input pixels of each row and column
modulo the stride meet other places of the kernel. All read one copy of the output gradient, write planes of their own,
and these are put together in the end. Depthwise convolutions have kernels of their own.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple, TypeAlias

import numpy as np

from fastconv import jit
from fastconv.geometry import ConvGeometry, Pass
from fastconv.sizes import ceil_div

from . import depthwise, depthwise_3x3, gather_plan, gather_weights, scratch
from .interleaving import interleave
from .taps import Grid, Taps, forward_taps, input_grad_taps, useful_copy

Plan: TypeAlias = gather_plan.Plan | depthwise.Plan | depthwise_3x3.Plan


class Phase(NamedTuple):
    """The pixels of an input whose gradient is one product: every so many rows and columns."""

    plan: Plan | None  # None where no output pixel meets these, or there are none
    rows: int
    columns: int


def pack(weight: np.ndarray, g: ConvGeometry, pass_: Pass) -> tuple[np.ndarray, ...]:
    """Return weights, (K, C/groups, R, S), as a pass reads them, for images of any size."""
    k, channels, r, s = weight.shape
    filters = k // g.groups
    group = filters * channels * r * s
    if pass_ == "forward":
        return (gather_weights.pack(weight, filters, channels * r * s, group, g.groups, _forward_taps(g)),)
    if _slides(g) and g.stride == (2, 2):
        return pack(weight, g, "forward")
    return tuple(
        gather_weights.pack(weight, channels, r * s, group, g.groups, taps) for taps in _input_grad_taps(g).values()
    )  # fmt: skip


def forward(
    x: np.ndarray, packing: tuple[np.ndarray, ...], bias: np.ndarray | None, relu: bool, g: ConvGeometry,
    out: np.ndarray,
) -> None:  # fmt: skip
    """Write the convolution of `x`, (N, C, H, W), plus `bias`, (K,), rectified if `relu`, to `out`, (N, K, P, Q)."""
    plan = _forward_plan(g, out.dtype, jit.get_num_threads())
    if plan is not None:
        plan.run(x, packing[0], bias, relu, out)


def input_grad(grad_output: np.ndarray, packing: tuple[np.ndarray, ...], g: ConvGeometry, out: np.ndarray) -> None:
    """Write the gradient by the input, (N, C, H, W), given that by the output, (N, K, P, Q)."""
    phases = _input_grad_phases(g, out.dtype, jit.get_num_threads())
    if len(phases) > 1:
        _interleave(phases, grad_output, packing, g.stride, out)
    elif phases[0].plan is not None:
        phases[0].plan.run(grad_output, packing[0], None, False, out)


def _interleave(
    phases: list[Phase], grad: np.ndarray, packing: tuple[np.ndarray, ...], stride: tuple[int, int], out: np.ndarray
) -> None:
    """Compute the gradient phase by phase, each in memory of its own, and put it together."""
    n, channels = out.shape[:2]
    shapes = [(n, channels, phase.rows, phase.columns) for phase in phases]
    # All phases read the same copy of the gradient.
    copying = next((p.plan for p in phases if isinstance(p.plan, gather_plan.Plan) and p.plan.copy is not None), None)
    copy_size = copying.copy_size if copying else 0
    with scratch.borrow_arrays(out.dtype, *shapes, (copy_size,)) as (*planes, copy):
        if copying:
            copying.copy_input(grad, copy)
        source = copy if copying else grad
        for phase, packed, result in zip(phases, packing, planes, strict=True):
            if isinstance(phase.plan, gather_plan.Plan):
                phase.plan.multiply(source, packed, None, False, result)
            elif phase.plan is not None:
                phase.plan.run(grad, packed, None, False, result)
        known = [result if phase.plan else None for phase, result in zip(phases, planes, strict=True)]
        interleave(known, stride, out)


# --- plans ----------------------------------------------------------------------------------------------------------


def _forward_taps(g: ConvGeometry) -> Taps:
    return forward_taps(g.c // g.groups, (g.r, g.s), g.padding, g.dilation)


def _input_grad_taps(g: ConvGeometry) -> dict[tuple[int, int], Taps]:
    return input_grad_taps(g.c // g.groups, g.k // g.groups, (g.r, g.s), g.stride, g.padding, g.dilation)


def _slides(g: ConvGeometry) -> bool:
    """Whether a convolution is of the kind that `depthwise_3x3` is for."""
    return g.is_depthwise and (g.r, g.s) == (3, 3) and g.dilation == (1, 1) and g.stride in ((1, 1), (2, 2))


def _planes(g: ConvGeometry, plane: tuple[int, int]) -> tuple[int, int]:
    """Return the size of planes, as one row if the convolution never looks beside a pixel: a row has no edges."""
    if g.r == g.s == 1 and g.stride == (1, 1) and not any(g.padding):
        return 1, plane[0] * plane[1]
    return plane


@lru_cache(maxsize=1024)
def _forward_plan(g: ConvGeometry, dtype: np.dtype, threads: int) -> Plan | None:
    x, out = _planes(g, (g.h, g.w)), _planes(g, (g.out_h, g.out_w))
    shape, taps, grid = (g.n, g.c, *x), _forward_taps(g), Grid(*out, *g.stride)
    if _slides(g):
        return depthwise_3x3.plan(shape, out, (g.padding[0], g.padding[2]), g.stride[0], threads)
    if g.is_depthwise:
        return depthwise.plan(shape, dtype, taps, grid, threads)
    copy = useful_copy(taps, shape, grid, dtype)
    return gather_plan.plan(shape, dtype, taps, g.k // g.groups, g.groups, grid, threads, copy)


def _slide_back(g: ConvGeometry, threads: int) -> depthwise_3x3.Plan | None:
    grad, corner = (g.n, g.k, g.out_h, g.out_w), (g.padding[0], g.padding[2])
    if g.stride == (2, 2):
        return depthwise_3x3.plan(grad, (g.h, g.w), corner, 1, threads, spread=True)
    return depthwise_3x3.plan(grad, (g.h, g.w), (2 - corner[0], 2 - corner[1]), 1, threads)


@lru_cache(maxsize=1024)
def _input_grad_phases(g: ConvGeometry, dtype: np.dtype, threads: int) -> list[Phase]:
    (height, width), grad = _planes(g, (g.h, g.w)), _planes(g, (g.out_h, g.out_w))
    (sh, sw), shape = g.stride, (g.n, g.k, *grad)
    if _slides(g):
        return [Phase(_slide_back(g, threads), height, width)]
    all_taps = _input_grad_taps(g)
    largest = Grid(ceil_div(height, sh), ceil_div(width, sw), 1, 1)
    reach = Taps.joined(all_taps.values())
    copy = None if g.is_depthwise else useful_copy(reach, shape, largest, dtype)
    phases = []
    for (y, x), taps in all_taps.items():
        rows, columns = len(range(y, height, sh)), len(range(x, width, sw))
        grid = Grid(rows, columns, 1, 1)
        if copy and rows * columns and sh * sw > 1:  # compute what is between the rows, too: then all of it is one row
            columns = copy.phase_width
            grid = Grid(1, rows * columns, 1, 1)
        plan: Plan | None = None
        if taps.depth and g.is_depthwise:
            plan = depthwise.plan(shape, dtype, taps, grid, threads)
        elif taps.depth:
            plan = gather_plan.plan(shape, dtype, taps, g.c // g.groups, g.groups, grid, threads, copy)
        phases.append(Phase(plan, rows, columns))
    return phases
