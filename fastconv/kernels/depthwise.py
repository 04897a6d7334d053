"""Depthwise convolution: every channel has a kernel of its own, so there is no matrix product to speak of.

A thread takes one plane after the other, copies it with its padding (columns sorted by the phase of the stride, see
:mod:`fastconv.kernels.padding`) to where it stays in cache, and slides the kernel over it: a few vectors of outputs at
a time, one multiply-add for each tap. What it costs is reading each vector of the copy once for each tap.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fastconv import jit
from fastconv.jit.records import Elements, Words
from fastconv.sizes import round_up

from . import scratch
from .operands import Operands, operands
from .padding import PaddedPlane, pad_plane
from .pointers import record
from .simd import fma, lanes_of, load, rectified, splat, store, store_first
from .taps import Grid, Taps, copy_of, offsets_in_copy


class DepthwiseJob(jit.Record):
    """What :func:`depthwise_kernel` works on."""

    operands: Operands
    # input planes, and how each is copied
    planes: int
    plane: PaddedPlane
    # where each tap reads in a copy; weights are (channel, tap)
    taps: Words
    depth: int
    channels: int
    # output planes, and rows of a copy from one of their rows to the next
    out_height: int
    out_width: int
    stride_y: int
    # a copy, for each thread
    scratch: Elements
    scratch_size: int


@jit.unfold
def write_outputs(zero, relu, to, value, count, end):
    """Write up to a vector of outputs; the rest may fall on the next row, which is written later, up to `end`."""
    if relu != 0:
        value = rectified(value)
    if count == lanes_of(zero) or to + lanes_of(zero) <= end:
        store(to, value)
    else:
        store_first(to, value, count)


@jit.unfold
def _four_vectors(zero, job, weights, bias, here, to, left, end):
    """Compute four vectors of a row; `left` outputs are left of the row, more than three vectors."""
    lanes = lanes_of(zero)
    a, b, c, d = bias, bias, bias, bias
    for p in range(job.depth):
        weight = splat(weights[p])
        at = here + job.taps[p]
        a = fma(weight, load(at), a)
        b = fma(weight, load(at + lanes), b)
        c = fma(weight, load(at + 2 * lanes), c)
        d = fma(weight, load(at + 3 * lanes), d)
    write_outputs(zero, job.operands.relu, to, a, lanes, end)
    write_outputs(zero, job.operands.relu, to + lanes, b, lanes, end)
    write_outputs(zero, job.operands.relu, to + 2 * lanes, c, lanes, end)
    write_outputs(zero, job.operands.relu, to + 3 * lanes, d, min(lanes, left - 3 * lanes), end)


@jit.unfold
def _two_vectors(zero, job, weights, bias, here, to, left, end):
    """Compute two vectors of a row, or the last one; `left` outputs are left of the row."""
    lanes = lanes_of(zero)
    a, b = bias, bias
    for p in range(job.depth):
        weight = splat(weights[p])
        at = here + job.taps[p]
        a = fma(weight, load(at), a)
        b = fma(weight, load(at + lanes), b)
    write_outputs(zero, job.operands.relu, to, a, min(lanes, left), end)
    if left > lanes:
        write_outputs(zero, job.operands.relu, to + lanes, b, min(lanes, left - lanes), end)


@jit.kernel
def depthwise_kernel(t, threads, zero, address):
    """Convolve some planes."""
    job = record(DepthwiseJob, zero, address)
    lanes = lanes_of(zero)
    pitch = job.plane.phases * job.plane.phase_width
    copy = job.scratch + t * job.scratch_size
    out_plane = job.out_height * job.out_width
    for plane in range(job.planes * t // threads, job.planes * (t + 1) // threads):
        channel = plane % job.channels
        pad_plane(zero, job.plane, job.operands.x + plane * job.plane.height * job.plane.width, copy)
        weights = job.operands.weights + channel * job.depth
        bias = splat(zero)
        if job.operands.bias:
            bias = splat(job.operands.bias[channel])
        end = job.operands.out + (plane + 1) * out_plane
        for y in range(job.out_height):
            row = copy + y * job.stride_y * pitch
            to = job.operands.out + (plane * out_plane + y * job.out_width)
            x = 0
            while x < job.out_width:
                left = job.out_width - x
                if left > 3 * lanes:
                    _four_vectors(zero, job, weights, bias, row + x, to + x, left, end)
                    x += 4 * lanes
                else:
                    _two_vectors(zero, job, weights, bias, row + x, to + x, left, end)
                    x += 2 * lanes


@dataclass(frozen=True, eq=False)
class Plan:
    """All of a :class:`DepthwiseJob` but its arrays, for one shape of input.

    Attributes
    ----------
    job : DepthwiseJob
        The record without the arrays of a call.
    threads, scratch_bytes : int
        Parts of the work; scratch of all of them together.
    taps : array
        What the record's `taps` points to.
    """

    job: DepthwiseJob
    threads: int
    scratch_bytes: int
    taps: np.ndarray

    def run(self, x: np.ndarray, packed: np.ndarray, bias: np.ndarray | None, relu: bool, out: np.ndarray) -> None:
        """Compute the convolution; arguments as those of :meth:`fastconv.kernels.gather_plan.Plan.run`."""
        job = self.job.copy()
        job.operands = operands(x, packed, bias, relu, out)
        with scratch.borrow(self.scratch_bytes) as memory:
            job.scratch = memory
            depthwise_kernel(job, x.dtype, self.threads)


def plan(x_shape: tuple[int, int, int, int], dtype: np.dtype, taps: Taps, grid: Grid, max_threads: int) -> Plan | None:
    """Plan a depthwise convolution; arguments and result as those of :func:`fastconv.kernels.gather_plan.plan`."""
    images, channels, _, _ = x_shape
    planes = images * channels
    outputs = grid.height * grid.width
    if not planes * outputs:
        return None
    threads = jit.threads_for(products=planes * outputs * taps.depth, most=max_threads)
    copy = copy_of(taps, x_shape, grid)
    offsets = offsets_in_copy(taps, copy)
    size = copy.size + 4 * jit.lanes(dtype)  # vectors may reach past the end
    each = round_up(size * dtype.itemsize, jit.LINE)
    job = DepthwiseJob(
        planes=planes, plane=copy, taps=jit.address_of(offsets), depth=taps.depth, channels=channels,
        out_height=grid.height, out_width=grid.width, stride_y=grid.stride_y // copy.row_step,
        scratch_size=each // dtype.itemsize,
    )  # fmt: skip
    return Plan(job, threads, threads * each, offsets)
