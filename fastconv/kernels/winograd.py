"""Winograd's minimal filtering: 3x3 convolution of stride 1 with a quarter (or 4/9) of the multiplications.

See :mod:`fastconv.kernels.winograd_points` for the algebra. Summed over input channels, the products in its middle
are, for each of the 36 (or 16) places of a transformed patch, a matrix product: (filters x channels) times (channels x
tiles). Work is done a block of tiles at a time: transform the inputs of all channels (V), multiply with the transformed
weights (M = U V), transform the outputs. :mod:`fastconv.kernels.winograd_plan` tells how threads split it.
"""

from __future__ import annotations

import numpy as np

from fastconv import jit
from fastconv.geometry import ConvGeometry, Pass
from fastconv.traces import Finish, Gate

from . import scratch
from .winograd_jobs import POOL_TRACE, RELU_OUTPUT, RELU_TRACE, InputGate
from .winograd_kernels import WinogradJob, fresh_kernel, fused_kernel, input_kernel, output_kernel, product_kernel
from .winograd_plan import Plan, make_plan
from .winograd_weights import transform_weights


def why_not(g: ConvGeometry, pass_: Pass, tile: int) -> str | None:
    """Return why F(tile x tile) can't compute a convolution, or None if it can."""
    if (g.r, g.s) != (3, 3):
        return f"it needs 3x3 kernels, got {g.r}x{g.s}"
    if g.stride != (1, 1):
        return f"it needs stride 1, got {g.stride}"
    if g.dilation != (1, 1):
        return f"it needs dilation 1, got {g.dilation}"
    if pass_ == "weight_grad" and tile != 4:
        return "its weight gradient is that of 'winograd'"
    return None


def pack(weight: np.ndarray, groups: int, tile: int, *, fresh: bool) -> tuple[np.ndarray, ...]:
    """Return the weights of each group, (K, C/groups, 3, 3) cut along K: transformed, or `fresh`, as they are."""
    parts = np.split(weight, groups) if groups > 1 else [weight]
    return tuple(parts if fresh else (transform_weights(part, tile) for part in parts))


def packed_size(weight_shape: tuple[int, ...], tile: int) -> int:
    """Return how many numbers :func:`pack` makes of a weight, without those that fill up rows of tiles."""
    k, c, _, _ = weight_shape
    return (tile + 2) ** 2 * k * c


def forward(
    x: np.ndarray, packing: tuple[np.ndarray, ...], bias: np.ndarray | None, finish: Finish, g: ConvGeometry,
    out: np.ndarray, tile: int,
) -> None:  # fmt: skip
    """Write the convolution of `x`, (N, C, H, W), plus `bias`, (K,), finished, to `out`; see :func:`_convolve`."""
    plan = make_plan(g, out.dtype, tile, jit.get_num_threads(), turned=False, fresh=packing[0].ndim == 4)
    for group, u in enumerate(packing):
        _convolve(plan, x, u, bias, finish, None, out, group)


def input_grad(
    grad_output: np.ndarray, packing: tuple[np.ndarray, ...], gate: Gate | None, g: ConvGeometry, out: np.ndarray,
    tile: int,
) -> None:  # fmt: skip
    """Write the gradient by the input, (N, C, H, W), given that by the output, or by what comes behind the gate."""
    pooled = gate is not None and gate.pooled
    threads, fresh = jit.get_num_threads(), packing[0].ndim == 4
    plan = make_plan(g, out.dtype, tile, threads, turned=True, fresh=fresh, pooled=pooled)
    for group, u in enumerate(packing):
        _convolve(plan, grad_output, u, None, Finish(), gate, out, group)


def _convolve(
    plan: Plan, x: np.ndarray, u: np.ndarray, bias: np.ndarray | None, finish: Finish, gate: Gate | None,
    out: np.ndarray, group: int,
) -> None:  # fmt: skip
    """Compute one group of a planned convolution.

    Parameters
    ----------
    plan : Plan
    x : (N, groups * C, H, W) array
        Or (N, groups * K, P, Q), as planned.
    u : array
        Of :func:`transform_weights`; or the group's (K, C, 3, 3) weights, if the plan is `fresh`.
    bias : (groups * K,) array or None
    finish : Finish
        All but the ReLU with F(4x4) only.
    gate : Gate or None
        Applied to `x`; with F(4x4) only. Vectors of a trace's bytes are read whole: so many bytes around it must be
        readable as :func:`~fastconv.kernels.traces.empty_trace` leaves.
    out : array
        As planned; or (N, groups * K, P // 2, Q // 2), if `finish` pools.
    group : int
    """
    job, item = plan.job.copy(), x.itemsize
    input, output = job.input, job.output
    if finish.pooled:
        output.height, output.width = out.shape[2:]
        output.plane, output.image, output.pooled = out[0, 0].size, out[0].size, 1
    x_before, out_before = group * input.channels * input.plane, group * output.channels * output.plane
    input.first = jit.address_of(x) + x_before * item
    if gate is not None:
        job.gate = _gate_from(gate, x_before)
    job.weights.first = jit.address_of(u)
    if bias is not None:
        output.bias = jit.address_of(bias) + group * output.channels * item
    output.first, output.relu = jit.address_of(out) + out_before * item, finish.relu
    if finish.trace is not None:
        output.trace = jit.address_of(finish.trace) + out_before
    with scratch.borrow(plan.scratch_bytes) as memory:
        _run(plan, job, memory, x.dtype)


def _gate_from(gate: Gate, before: int) -> InputGate:
    """Return what a job knows of a gate, from its element number `before` on."""
    first = jit.address_of(gate.array) + before * gate.array.itemsize
    if gate.array.dtype == np.uint8:
        return InputGate(kind=POOL_TRACE if gate.pooled else RELU_TRACE, trace=first)
    return InputGate(kind=RELU_OUTPUT, relu_output=first)


def _run(plan: Plan, job: WinogradJob, memory: int, dtype: np.dtype) -> None:
    """Compute all tiles with the plan's scratch at an address; `job` is changed on the way."""
    job.scratch = memory + plan.v_bytes + plan.m_bytes
    if plan.fused:
        fused_kernel(job, dtype, plan.threads)
        return
    job.v.first, job.m.first = memory, memory + plan.v_bytes
    multiply = fresh_kernel if plan.fresh else product_kernel
    end = job.tiles.end
    for first in range(0, end, job.block):
        job.tiles.first, job.tiles.end = first, min(first + job.block, end)
        input_kernel(job, dtype, plan.threads)
        multiply(job, dtype, plan.threads)
        output_kernel(job, dtype, plan.threads)
