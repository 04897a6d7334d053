"""The weight gradient of the direct method.

``grad[tap, k] = sum over positions of x[tap, position] * grad_output[position, k]``, where a tap is a channel with a
place in the kernel: A's scalars are read straight from a padded copy of x, a row of positions after the other, and B is
the transposed output gradient. Sums are made in blocks, as in :mod:`fastconv.kernels.gather`.
"""

from __future__ import annotations

import numpy as np

from fastconv import jit
from fastconv.geometry import ConvGeometry
from fastconv.jit.records import Elements, Words
from fastconv.sizes import ceil_div

from . import scratch
from .microkernel import DEPTH_BLOCK, columns_of_tile, rows_of_tile, strided_product, tile_columns
from .padding import PaddedPlane, pad
from .pointers import record
from .transposing import transpose, transpose_panels


class Input(jit.Record):
    """The padded input: (image, group, channel, row, column)."""

    first: Elements
    image: int
    group: int
    row: int


class Taps(jit.Record):
    """The taps of a group: how many, and how many elements after its first each begins."""

    count: int
    offsets: Words


class Positions(jit.Record):
    """Output rows and columns, and input pixels from one to the next."""

    images: int
    height: int
    width: int
    stride_y: int
    stride_x: int
    # those that are summed in one go: rows, or a part of one row
    block_height: int
    block_width: int


class WeightGradJob(jit.Record):
    """What :func:`weight_grad_kernel` works on.

    Fields named after a part of an array say how many elements lie from one such part to the next.
    """

    input: Input
    taps: Taps
    positions: Positions
    groups: int
    # transposed output gradient: (image, group, panel, position, tile column)
    gradient: Elements
    panels: int
    # result: (group, tap, filter)
    out: Elements
    out_row: int


@jit.kernel
def weight_grad_kernel(t, threads, zero, address):
    """Compute some tiles of the transposed weight gradient, summing over all positions."""
    job = record(WeightGradJob, zero, address)
    input, taps, positions = job.input, job.taps, job.positions
    height = rows_of_tile()
    columns = columns_of_tile(zero)
    tiles = (taps.count + height - 1) // height
    units = job.groups * job.panels * tiles
    begin = units * t // threads
    end = units * (t + 1) // threads
    plane = positions.height * positions.width
    first = 1
    for image in range(positions.images):
        for y in range(0, positions.height, positions.block_height):
            times = min(positions.block_height, positions.height - y)
            for x in range(0, positions.width, positions.block_width):
                count = min(positions.block_width, positions.width - x)
                for unit in range(begin, end):
                    panel = unit // tiles
                    tap = (unit - panel * tiles) * height
                    group = panel // job.panels
                    corner = image * input.image + group * input.group
                    corner += y * positions.stride_y * input.row + x * positions.stride_x
                    row_b = (image * job.groups * job.panels + panel) * plane + y * positions.width + x
                    c = (group * taps.count + tap) * job.out_row + (panel - group * job.panels) * columns
                    a, offsets = input.first + corner, taps.offsets + tap
                    strided_product(
                        zero, min(height, taps.count - tap), a, offsets,
                        positions.stride_x, count, positions.stride_y * input.row, times,
                        job.gradient + row_b * columns, columns, job.out + c, job.out_row, first,
                    )  # fmt: skip
                first = 0


def weight_grad(grad_output: np.ndarray, x: np.ndarray, g: ConvGeometry, out: np.ndarray) -> None:
    """Write the gradient by the weight, (K, C/groups, R, S), given that by the output, (N, K, P, Q)."""
    filters, taps = g.k // g.groups, out[0].size
    threads = jit.threads_for(products=g.n * g.k * g.out_h * g.out_w * taps)
    plane = _padded(g)
    offsets = _offsets_of_taps(g, plane)
    job = _job(g, plane, offsets, x.dtype)
    shapes = (
        (g.n, g.c, plane.size),
        (g.n * g.groups, job.panels, g.out_h * g.out_w, tile_columns(x.dtype)),
        (g.groups, taps, job.out_row),
    )
    with scratch.borrow_arrays(x.dtype, *shapes) as (padded, transposed, result):
        pad(x, plane, padded, threads)
        transpose_panels(grad_output.reshape(g.n * g.groups, filters, -1), transposed, threads)
        job.input.first, job.gradient, job.out = map(jit.address_of, (padded, transposed, result))
        weight_grad_kernel(job, x.dtype, threads)
        transpose(result[:, :, :filters], out.reshape(g.groups, filters, taps), threads)


def _padded(g: ConvGeometry) -> PaddedPlane:
    """Return how planes of the input are copied: with as much padding as windows reach into, and no more."""
    height = (g.out_h - 1) * g.stride[0] + (g.r - 1) * g.dilation[0] + 1
    width = (g.out_w - 1) * g.stride[1] + (g.s - 1) * g.dilation[1] + 1
    return PaddedPlane(
        height=g.h, width=g.w, top=g.padding[0], left=g.padding[2], row_step=1, column_step=1,
        copy_height=height, phases=1, phase_width=width,
    )  # fmt: skip


def _offsets_of_taps(g: ConvGeometry, plane: PaddedPlane) -> np.ndarray:
    """Return where each tap begins in a group of padded planes."""
    c, r, s = (axis.ravel() for axis in np.indices(g.weight_shape[1:], np.intp))
    return c * plane.size + r * g.dilation[0] * plane.pitch + s * g.dilation[1]


def _job(g: ConvGeometry, plane: PaddedPlane, offsets: np.ndarray, dtype: np.dtype) -> WeightGradJob:
    """Return all of the job but where arrays lie; it points to the taps' `offsets`."""
    columns = tile_columns(dtype)
    panels = ceil_div(g.k // g.groups, columns)
    block_width = min(g.out_w, DEPTH_BLOCK)
    return WeightGradJob(
        input=Input(image=g.c * plane.size, group=g.c // g.groups * plane.size, row=plane.pitch),
        taps=Taps(count=offsets.size, offsets=jit.address_of(offsets)),
        positions=Positions(
            images=g.n, height=g.out_h, width=g.out_w, stride_y=g.stride[0], stride_x=g.stride[1],
            block_height=max(1, DEPTH_BLOCK // block_width), block_width=block_width,
        ),
        groups=g.groups, panels=panels,
        out_row=(panels | 1) * columns,  # an odd number of tiles: rows must not fall on the same cache set
    )  # fmt: skip
