"""Depthwise convolution: every channel has a kernel of its own, so there is no matrix product to speak of.

A thread takes one plane after the other, copies it with its padding (columns sorted by the phase of the stride, see
:mod:`fastconv.kernels.layout`) to where it stays in cache, and slides the kernel over it: a few vectors of outputs at a
time, one multiply-add for each tap. What it costs is reading each vector of the copy once for each tap.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fastconv import jit

from . import layout, scratch
from .oldmem import item_bytes, load, peek, record, store, store_first
from .simd import fma, lanes, rectified, splat
from .taps import Grid, Taps, copy_of, offsets_in_copy


class DepthwiseJob(jit.Record):
    """What :func:`depthwise_kernel` works on: addresses in bytes, everything else in elements."""

    # input planes, and how each is copied: see layout.PadJob
    source: int
    planes: int
    height: int
    width: int
    top: int
    left: int
    row_step: int
    column_step: int
    out_height: int
    phases: int
    phase_width: int
    # taps: their offsets in a copy; weights: (channel, tap)
    offsets: int
    depth: int
    weights: int
    channels: int
    bias: int
    relu: int
    # output
    out: int
    grid_h: int
    grid_w: int
    stride_y: int
    # memory
    scratch: int
    scratch_bytes: int


DEPTHWISE_JOB = np.dtype(DepthwiseJob)


@jit.unfold
def write_outputs(zero, job, to, value, count, end):
    """Write up to a vector of outputs; the rest may fall on the next row, which is written later, up to `end`."""
    if job.relu != 0:
        value = rectified(value)
    if count == lanes(zero) or to + lanes(zero) * item_bytes(zero) <= end:
        store(to, value)
    else:
        store_first(to, value, count)


@jit.kernel
def depthwise_kernel(t, threads, zero, address):
    """Convolve some planes."""
    job = record(DEPTHWISE_JOB, address)
    word = 8
    item = item_bytes(zero)
    width = lanes(zero)
    vector = width * item
    pitch = job.phases * job.phase_width * item
    copy = job.scratch + t * job.scratch_bytes
    out_plane = job.grid_h * job.grid_w
    for plane in range(job.planes * t // threads, job.planes * (t + 1) // threads):
        channel = plane % job.channels
        layout.pad_plane(zero, job, job.source + plane * job.height * job.width * item, copy)
        weights = job.weights + channel * job.depth * item
        bias = splat(zero)
        if job.bias != 0:
            bias = splat(peek(zero, job.bias + channel * item))
        end = job.out + (plane + 1) * out_plane * item
        for y in range(job.grid_h):
            row = copy + y * job.stride_y * pitch
            to = job.out + (plane * out_plane + y * job.grid_w) * item
            x = 0
            while x < job.grid_w:
                here = row + x * item
                a, b, c, d = bias, bias, bias, bias
                if x + 3 * width < job.grid_w:
                    for p in range(job.depth):
                        weight = splat(peek(zero, weights + p * item))
                        at = here + peek(0, job.offsets + p * word) * item
                        a = fma(weight, load(zero, at), a)
                        b = fma(weight, load(zero, at + vector), b)
                        c = fma(weight, load(zero, at + 2 * vector), c)
                        d = fma(weight, load(zero, at + 3 * vector), d)
                    write_outputs(zero, job, to, a, width, end)
                    to += vector
                    write_outputs(zero, job, to, b, width, end)
                    to += vector
                    write_outputs(zero, job, to, c, width, end)
                    to += vector
                    write_outputs(zero, job, to, d, min(width, job.grid_w - x - 3 * width), end)
                    to += vector
                    x += 4 * width
                else:
                    for p in range(job.depth):
                        weight = splat(peek(zero, weights + p * item))
                        at = here + peek(0, job.offsets + p * word) * item
                        a = fma(weight, load(zero, at), a)
                        b = fma(weight, load(zero, at + vector), b)
                    write_outputs(zero, job, to, a, min(width, job.grid_w - x), end)
                    to += vector
                    x += width
                    if x < job.grid_w:
                        write_outputs(zero, job, to, b, min(width, job.grid_w - x), end)
                        to += vector
                        x += width


@dataclass(frozen=True, eq=False)
class Plan:
    """All of a :class:`DepthwiseJob` but its addresses, for one shape of input.

    Attributes
    ----------
    job : DepthwiseJob
        The record, with 0 for addresses.
    threads, scratch_bytes : int
        Parts of the work; scratch of all of them together.
    offsets : array
        What the record's `offsets` points to.
    """

    job: DepthwiseJob
    threads: int
    scratch_bytes: int
    offsets: np.ndarray

    def run(
        self, x: np.ndarray, packed: np.ndarray, bias: np.ndarray | None, relu: bool, out: int, copy: int = 0
    ) -> None:
        """Compute the convolution; arguments as those of :meth:`fastconv.kernels.gather.Plan.run`, `copy` unused."""
        job = self.job.copy()
        job.source = jit.address_of(x)
        job.weights = jit.address_of(packed)
        if bias is not None:
            job.bias = jit.address_of(bias)
        job.relu = relu
        job.out = out
        with scratch.borrow(self.scratch_bytes) as memory:
            job.scratch = memory
            depthwise_kernel(job, x.dtype, self.threads)


def plan(x_shape: tuple[int, int, int, int], dtype: np.dtype, taps: Taps, grid: Grid, max_threads: int) -> Plan | None:
    """Plan a depthwise convolution; arguments and result as those of :func:`fastconv.kernels.gather.plan`."""
    images, channels, _, _ = x_shape
    planes = images * channels
    outputs = grid.height * grid.width
    if not planes * outputs:
        return None
    threads = jit.threads_for(products=planes * outputs * taps.depth, most=max_threads)
    copy = copy_of(taps, x_shape, grid)
    offsets = offsets_in_copy(taps, copy)
    copied = copy.out_height * copy.phases * copy.phase_width + 4 * jit.lanes(dtype)  # vectors may reach past the end
    each = -(-copied * dtype.itemsize // scratch.ALIGNMENT) * scratch.ALIGNMENT
    job = DepthwiseJob(
        0, planes, copy.height, copy.width, copy.top, copy.left, copy.row_step, copy.column_step,
        copy.out_height, copy.phases, copy.phase_width,
        offsets.ctypes.data, taps.depth, 0, channels, 0, 0,
        0, grid.height, grid.width,
        grid.stride_y // copy.row_step, 0, each,
    )  # fmt: skip
    return Plan(job, threads, threads * each, offsets)
