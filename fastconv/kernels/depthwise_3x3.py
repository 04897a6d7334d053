"""Depthwise convolution with 3x3 kernels at stride 1 or 2, the case that networks are made of.

A thread slides down a column of vectors, reads each row of the input once, and multiplies it with all the kernel rows
that meet it: the sums of outputs that are still waiting for rows below stay in registers. So an output costs nine
multiply-adds and, at stride 1, three loads, where :mod:`fastconv.kernels.depthwise` needs nine and a padded copy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fastconv import jit

from .depthwise import write_outputs
from .operands import Operands, operands
from .pointers import record
from .shuffles import every_second, in_order, interleaved
from .simd import fma, lanes_of, load, load_between, splat, store, store_first

STRIP = 32  # rows; more would walk out of the first cache before the next column comes by


class SlideJob(jit.Record):
    """What :func:`slide_kernel` and :func:`spread_kernel` work on."""

    # weights are (channel, 9)
    operands: Operands
    # input planes, and the padding above and on the left
    planes: int
    height: int
    width: int
    top: int
    left: int
    stride: int
    channels: int
    # output planes
    out_height: int
    out_width: int


@jit.unfold
def _three(zero, row, column, columns, stride, edge):
    """Load what the three taps of a kernel row meet, beginning at a column of an input row of `columns` elements.

    At stride 2 out of order. With `edge`, what lies beside the row is 0.
    """
    at = row + column
    if stride == 1:
        if edge:
            a = load_between(at, -column, columns - column)
            b = load_between(at + 1, -column - 1, columns - column - 1)
            c = load_between(at + 2, -column - 2, columns - column - 2)
        else:
            a, b, c = load(at), load(at + 1), load(at + 2)
        return a, b, c
    more = lanes_of(zero) - 1
    if edge:
        low, high = -column, columns - column
        far_low, far_high = low - more, high - more
        a = load_between(at, low, high)
        b = load_between(at + 1, low - 1, high - 1)
        c = load_between(at + 2, low - 2, high - 2)
        d = load_between(at + more, far_low, far_high)
        e = load_between(at + (more + 1), far_low - 1, far_high - 1)
        f = load_between(at + (more + 2), far_low - 2, far_high - 2)
    else:
        a, b, c = load(at), load(at + 1), load(at + 2)
        d, e, f = load(at + more), load(at + (more + 1)), load(at + (more + 2))
    return every_second(a, d), every_second(b, e), every_second(c, f)


@jit.unfold
def _row(zero, job, plane, y, column, stride, edge):
    """As :func:`_three` for row `y` of a plane, which may lie above or below it."""
    if y < 0 or y >= job.height:
        nothing = splat(zero)
        return nothing, nothing, nothing
    return _three(zero, plane + y * job.width, column, job.width, stride, edge)


@jit.unfold
def _nine(zero, weights):
    """Load a kernel, each of its weights in all lanes."""
    return (
        splat(weights[0]), splat(weights[1]), splat(weights[2]),
        splat(weights[3]), splat(weights[4]), splat(weights[5]),
        splat(weights[6]), splat(weights[7]), splat(weights[8]),
    )  # fmt: skip


@jit.unfold
def _slide(zero, job, plane, out, end, weights, bias, x, y_begin, y_end, stride, edge):
    """Compute a vector of each output row from `y_begin` to `y_end` - 1, at column `x`."""
    count = min(lanes_of(zero), job.out_width - x)
    column = x * stride - job.left
    to = out + (y_begin * job.out_width + x)
    w0, w1, w2, w3, w4, w5, w6, w7, w8 = _nine(zero, weights)
    y = y_begin * stride - job.top
    a, b, c = _row(zero, job, plane, y, column, stride, edge)
    begun = fma(w2, c, fma(w1, b, fma(w0, a, bias)))
    if stride == 1:
        a, b, c = _row(zero, job, plane, y + 1, column, stride, edge)
        nearly = begun + fma(w5, c, fma(w4, b, w3 * a))
        begun = fma(w2, c, fma(w1, b, fma(w0, a, bias)))
        y += 2
        for _ in range(y_begin, y_end):
            a, b, c = _row(zero, job, plane, y, column, stride, edge)
            write_outputs(zero, job.operands.relu, to, nearly + fma(w8, c, fma(w7, b, w6 * a)), count, end)
            nearly = begun + fma(w5, c, fma(w4, b, w3 * a))
            begun = fma(w2, c, fma(w1, b, fma(w0, a, bias)))
            to += job.out_width
            y += 1
    else:
        for _ in range(y_begin, y_end):
            a, b, c = _row(zero, job, plane, y + 1, column, stride, edge)
            nearly = begun + fma(w5, c, fma(w4, b, w3 * a))
            a, b, c = _row(zero, job, plane, y + 2, column, stride, edge)
            write_outputs(zero, job.operands.relu, to, in_order(nearly + fma(w8, c, fma(w7, b, w6 * a))), count, end)
            begun = fma(w2, c, fma(w1, b, fma(w0, a, bias)))
            to += job.out_width
            y += 2


@jit.kernel
def slide_kernel(t, threads, zero, address):
    """Convolve some planes."""
    job = record(SlideJob, zero, address)
    lanes = lanes_of(zero)
    for number in range(job.planes * t // threads, job.planes * (t + 1) // threads):
        channel = number % job.channels
        plane = job.operands.x + number * job.height * job.width
        out = job.operands.out + number * job.out_height * job.out_width
        end = out + job.out_height * job.out_width
        weights = job.operands.weights + channel * 9
        bias = splat(zero)
        if job.operands.bias:
            bias = splat(job.operands.bias[channel])
        for y in range(0, job.out_height, STRIP):
            y_end = min(y + STRIP, job.out_height)
            x = 0
            while x < job.out_width:
                column = x * job.stride - job.left
                inside = column >= 0 and column + (lanes - 1) * job.stride + 3 <= job.width
                if job.stride == 1:
                    if inside:
                        _slide(zero, job, plane, out, end, weights, bias, x, y, y_end, 1, False)
                    else:
                        _slide(zero, job, plane, out, end, weights, bias, x, y, y_end, 1, True)
                elif inside:
                    _slide(zero, job, plane, out, end, weights, bias, x, y, y_end, 2, False)
                else:
                    _slide(zero, job, plane, out, end, weights, bias, x, y, y_end, 2, True)
                x += lanes
                if x < job.out_width and x > job.out_width - lanes:
                    x = job.out_width - lanes  # again whole vectors, some of whose outputs are computed twice


# --- the gradient by the input at stride 2 -----------------------------------------------------------------------


@jit.unfold
def _two(zero, job, plane, y, column, edge):
    """Load a vector of gradients from a column of row `y`, and that from the column before; outside they are 0."""
    if y < 0 or y >= job.height:
        nothing = splat(zero)
        return nothing, nothing
    at = plane + (y * job.width + column)
    if edge:
        here = load_between(at, -column, job.width - column)
        return here, load_between(at - 1, 1 - column, job.width - column + 1)
    return load(at), load(at - 1)


@jit.unfold
def _write_pair(zero, to, first, second, count, spill, end):
    """Write two vectors' elements by turns, up to `count` of them; the rest if it may `spill` and is before `end`."""
    lanes = lanes_of(zero)
    low, high = interleaved(first, second)
    if count == 2 * lanes or (spill and to + 2 * lanes <= end):
        store(to, low)
        store(to + lanes, high)
    else:
        store_first(to, low, min(count, lanes))
        if count > lanes:
            store_first(to + lanes, high, count - lanes)


@jit.unfold
def _spread(zero, job, plane, out, end, weights, x, y_begin, y_end, edge):
    """Compute two vectors' columns of input rows `y_begin` (even) to `y_end` - 1, from column `x` (even) on.

    With padding counted in, even rows and columns meet the kernel's first and last, odd ones the middle.
    """
    count = min(2 * lanes_of(zero), job.out_width - x)
    spill = job.out_width <= 2 * lanes_of(zero)
    odd_column, odd_row = job.left % 2 != 0, job.top % 2 != 0
    column = (x + job.left + 1) // 2
    y = (y_begin + job.top + 1) // 2
    to = out + (y_begin * job.out_width + x)
    w0, w1, w2, w3, w4, w5, w6, w7, w8 = _nine(zero, weights)
    above, above_left = _two(zero, job, plane, y - 1, column, edge)
    for row in range(y_begin, y_end, 2):
        here, here_left = _two(zero, job, plane, y, column, edge)
        corners = fma(w8, above_left, w6 * above) + fma(w2, here_left, w0 * here)
        rows = fma(w7, above_left, w1 * here_left) if odd_column else fma(w7, above, w1 * here)
        if odd_row:
            columns = fma(w5, above_left, w3 * above)
            centre = w4 * (above_left if odd_column else above)
        else:
            columns = fma(w5, here_left, w3 * here)
            centre = w4 * (here_left if odd_column else here)
        even_pair = (rows, corners) if odd_column else (corners, rows)
        odd_pair = (centre, columns) if odd_column else (columns, centre)
        first, second = (odd_pair, even_pair) if odd_row else (even_pair, odd_pair)
        _write_pair(zero, to, first[0], first[1], count, spill, end)
        to += job.out_width
        if row + 1 < y_end:
            _write_pair(zero, to, second[0], second[1], count, spill, end)
        to += job.out_width
        above, above_left = here, here_left
        y += 1


@jit.kernel
def spread_kernel(t, threads, zero, address):
    """Compute the gradient of some planes; the job's input is the gradient of the output."""
    job = record(SlideJob, zero, address)
    wide = 2 * lanes_of(zero)
    for number in range(job.planes * t // threads, job.planes * (t + 1) // threads):
        plane = job.operands.x + number * job.height * job.width
        out = job.operands.out + number * job.out_height * job.out_width
        end = out + job.out_height * job.out_width
        weights = job.operands.weights + number % job.channels * 9
        for y in range(0, job.out_height, STRIP):
            y_end = min(y + STRIP, job.out_height)
            x = 0
            while x < job.out_width:
                column = (x + job.left + 1) // 2
                if column > 0 and column + lanes_of(zero) <= job.width:
                    _spread(zero, job, plane, out, end, weights, x, y, y_end, False)
                else:
                    _spread(zero, job, plane, out, end, weights, x, y, y_end, True)
                x += wide
                if x < job.out_width - 1 and x > job.out_width - wide:
                    x = (job.out_width - wide) // 2 * 2  # again whole vectors; an odd row's last pixel comes alone


# --- plans -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Plan:
    """All of a :class:`SlideJob` but its arrays, for one shape of input, and in how many parts it is done."""

    job: SlideJob
    threads: int
    spread: bool = False  # whether it is the gradient by the input at stride 2

    def run(self, x: np.ndarray, packed: np.ndarray, bias: np.ndarray | None, relu: bool, out: np.ndarray) -> None:
        """Compute the convolution; arguments as those of :meth:`fastconv.kernels.gather_plan.Plan.run`."""
        job = self.job.copy()
        job.operands = operands(x, packed, bias, relu, out)
        kernel = spread_kernel if self.spread else slide_kernel
        kernel(job, x.dtype, self.threads)


def plan(
    x_shape: tuple[int, int, int, int], out_plane: tuple[int, int], corner: tuple[int, int], stride: int,
    max_threads: int, *, spread: bool = False,
) -> Plan | None:  # fmt: skip
    """Plan a convolution with 3x3 kernels, or with `spread` the gradient by the input of one at stride 2.

    Parameters
    ----------
    x_shape : (int, int, int, int)
        (N, C, H, W) of what is read: the input, or the gradient of the output.
    out_plane : (int, int)
        Rows and columns of what is written.
    corner : (int, int)
        Row and column of the output's first pixel in the input with its padding: the padding above and on the left.
    stride : {1, 2}
    max_threads : int

    Returns
    -------
    Plan or None
        None if there is nothing to compute.
    """
    images, channels, height, width = x_shape
    planes, outputs = images * channels, math.prod(out_plane)
    if not planes * outputs:
        return None
    threads = jit.threads_for(products=planes * outputs * 9, most=max_threads)
    job = SlideJob(
        planes=planes, height=height, width=width, top=corner[0], left=corner[1], stride=stride, channels=channels,
        out_height=out_plane[0], out_width=out_plane[1],
    )  # fmt: skip
    return Plan(job, threads, spread)
