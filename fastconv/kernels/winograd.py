"""Winograd's minimal filtering: 3x3 convolution of stride 1 with a quarter (or 4/9) of the multiplications.

See :mod:`fastconv.kernels.winograd_transforms` for the algebra. Summed over input channels, the products in its middle
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
from .winograd_kernels import WinogradJob, fused_kernel, input_kernel, output_kernel, product_kernel, weights_kernel
from .winograd_plan import Plan, make_plan
from .winograd_weights import pack_weights


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


def pack(weight: np.ndarray, groups: int, pass_: Pass, *, keep: bool) -> tuple[np.ndarray, ...]:
    """Return the weights of each group, (K, C/groups, 3, 3) cut along K: packed for a pass, or as they are."""
    parts = np.split(weight, groups) if groups > 1 else [weight]
    return tuple(pack_weights(part, pass_ == "input_grad") for part in parts) if keep else tuple(parts)


def forward(
    x: np.ndarray, packing: tuple[np.ndarray, ...], bias: np.ndarray | None, finish: Finish, g: ConvGeometry,
    out: np.ndarray, tile: int,
) -> None:  # fmt: skip
    """Write the convolution of `x`, (N, C, H, W), plus `bias`, (K,), finished, to `out`; see :func:`_convolve`."""
    plan = make_plan(g, out.dtype, tile, jit.get_num_threads(), turned=False, packed=_is_packed(packing))
    for group, weight in enumerate(packing):
        _convolve(plan, x, weight, bias, finish, None, out, group)


def input_grad(
    grad_output: np.ndarray, packing: tuple[np.ndarray, ...], gate: Gate | None, g: ConvGeometry, out: np.ndarray,
    tile: int,
) -> None:  # fmt: skip
    """Write the gradient by the input, (N, C, H, W), given that by the output, or by what comes behind the gate."""
    pooled = gate is not None and gate.pooled
    threads, packed = jit.get_num_threads(), _is_packed(packing)
    plan = make_plan(g, out.dtype, tile, threads, turned=True, packed=packed, pooled=pooled)
    for group, weight in enumerate(packing):
        _convolve(plan, grad_output, weight, None, Finish(), gate, out, group)


def _is_packed(packing: tuple[np.ndarray, ...]) -> bool:
    return packing[0].ndim == 3


def _convolve(
    plan: Plan, x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, finish: Finish, gate: Gate | None,
    out: np.ndarray, group: int,
) -> None:  # fmt: skip
    """Compute one group of a planned convolution.

    Parameters
    ----------
    plan : Plan
    x : (N, groups * C, H, W) array
        Or (N, groups * K, P, Q), as planned.
    weight : array
        The group's, packed or (K, C, 3, 3), as planned.
    bias : (groups * K,) array or None
    finish : Finish
    gate : Gate or None
        Applied to `x`. Vectors of a trace's bytes are read whole: `traces.MARGIN` bytes around it must be readable.
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
    job.weights.first = jit.address_of(weight)
    if bias is not None:
        output.bias = jit.address_of(bias) + group * output.channels * item
    output.first, output.relu = jit.address_of(out) + out_before * item, finish.relu
    if finish.trace is not None:
        output.trace = jit.address_of(finish.trace) + out_before
    with scratch.borrow(plan.scratch_bytes) as memory:
        for part in (job.u, job.v, job.m):
            part.first += memory
        job.scratch += memory
        _run(plan, job, x.dtype)


def _gate_from(gate: Gate, before: int) -> InputGate:
    """Return what a job knows of a gate, from its element number `before` on."""
    first = jit.address_of(gate.array) + before * gate.array.itemsize
    if gate.array.dtype == np.uint8:
        return InputGate(kind=POOL_TRACE if gate.pooled else RELU_TRACE, trace=first)
    return InputGate(kind=RELU_OUTPUT, relu_output=first)


def _run(plan: Plan, job: WinogradJob, dtype: np.dtype) -> None:
    """Compute all tiles; `job` is changed on the way."""
    if plan.fused:
        weights_kernel(job, dtype, plan.threads)
        fused_kernel(job, dtype, plan.threads)
        return
    end = job.tiles.end
    for first in range(0, end, job.block):
        job.tiles.first, job.tiles.end = first, min(first + job.block, end)
        input_kernel(job, dtype, plan.threads)
        product_kernel(job, dtype, plan.threads)
        output_kernel(job, dtype, plan.threads)
