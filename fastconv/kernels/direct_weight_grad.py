"""The weight gradient of the direct method.

``grad[tap, k] = sum over positions of x[tap, position] * grad_output[position, k]``, where a tap is a channel with a
place in the kernel: A's scalars are read straight from a padded copy of x, a row of positions after the other, and B is
the transposed output gradient. Sums are made in blocks, as in :mod:`fastconv.kernels.gather`.
"""

from __future__ import annotations

import numpy as np

from fastconv import jit
from fastconv.jit.records import Elements, Words

from . import layout, scratch
from .microkernel import DEPTH_BLOCK, columns_of_tile, rows_of_tile, strided_product, tile_columns
from .pointers import nowhere, record
from .sizes import ceil_div, round_up


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
                        positions.stride_x, count, positions.stride_y * input.row, times, 0,
                        nowhere(a), nowhere(offsets), 0,
                        job.gradient + row_b * columns, columns, job.out + c, job.out_row, first,
                    )  # fmt: skip
                first = 0


def weight_grad(
    grad_output: np.ndarray, x: np.ndarray, stride: tuple[int, int], padding: tuple[int, int, int, int],
    dilation: tuple[int, int], groups: int, out: np.ndarray,
) -> None:  # fmt: skip
    """Compute the gradient with respect to the weights.

    Parameters
    ----------
    grad_output : (N, K, P, Q) array
    x : (N, C, H, W) array
    stride, padding, dilation : tuples
        (vertical, horizontal), (top, bottom, left, right), (vertical, horizontal).
    groups : int
    out : (K, C / groups, R, S) array
    """
    images, filters, p, q = grad_output.shape
    _, channels, r, s = out.shape
    rows, taps = filters // groups, channels * r * s
    threads = jit.threads_for(products=images * filters * p * q * taps)

    padded_height = (p - 1) * stride[0] + (r - 1) * dilation[0] + 1
    padded_width = (q - 1) * stride[1] + (s - 1) * dilation[1] + 1
    plane = layout.PaddedPlane(
        height=x.shape[2], width=x.shape[3], top=padding[0], left=padding[2], row_step=1, column_step=1,
        copy_height=padded_height, phases=1, phase_width=padded_width,
    )  # fmt: skip
    columns, lanes = tile_columns(x.dtype), jit.lanes(x.dtype)
    panels = ceil_div(rows, columns)
    out_row = (panels | 1) * columns  # an odd number of tiles: rows must not fall on the same cache set
    sizes = [
        images * groups * channels * plane.size,
        images * groups * panels * columns * p * q,
        groups * taps * out_row,
    ]
    starts = np.cumsum([0] + [round_up(size * x.itemsize, jit.LINE) for size in sizes])
    with scratch.borrow(int(starts[-1])) as memory:
        padded, transposed, result = (memory + int(start) for start in starts[:3])
        pad_job = layout.PadJob(
            plane=plane, planes=images * groups * channels, source=jit.address_of(x), out=padded
        )  # fmt: skip
        layout.pad(pad_job, x.dtype, threads)
        transpose_job = layout.TransposeJob(
            source=jit.address_of(grad_output), matrices=images * groups, source_matrix=rows * p * q,
            rows=rows, columns=p * q, source_row=p * q, panel_rows=columns,
            out=transposed, out_matrix=panels * columns * p * q, out_panel=columns * p * q, out_row=columns, fill=True,
        )  # fmt: skip
        layout.transpose(transpose_job, x.dtype, threads)
        offsets = _weight_grad_offsets(channels, (r, s), dilation, plane)
        block_width = min(q, DEPTH_BLOCK)
        weight_job = WeightGradJob(
            input=Input(
                first=padded, image=groups * channels * plane.size, group=channels * plane.size, row=plane.pitch
            ),
            taps=Taps(count=taps, offsets=jit.address_of(offsets)),
            positions=Positions(
                images=images, height=p, width=q, stride_y=stride[0], stride_x=stride[1],
                block_height=max(1, DEPTH_BLOCK // block_width), block_width=block_width,
            ),
            groups=groups, gradient=transposed, panels=panels, out=result, out_row=out_row,
        )  # fmt: skip
        weight_grad_kernel(weight_job, x.dtype, threads)
        back_job = layout.TransposeJob(
            source=result, matrices=groups, source_matrix=taps * out_row,
            rows=taps, columns=rows, source_row=out_row, panel_rows=lanes,
            out=jit.address_of(out), out_matrix=rows * taps, out_panel=lanes, out_row=taps,
        )  # fmt: skip
        layout.transpose(back_job, x.dtype, threads)


def _weight_grad_offsets(
    channels: int, kernel: tuple[int, int], dilation: tuple[int, int], plane: layout.PaddedPlane
) -> np.ndarray:
    """Return where each tap begins in a group of padded planes."""
    c, r, s = (axis.ravel() for axis in np.indices((channels, *kernel), np.intp))
    return c * plane.size + r * dilation[0] * plane.pitch + s * dilation[1]
