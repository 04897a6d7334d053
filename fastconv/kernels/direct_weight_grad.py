"""The weight gradient of the direct method.

``grad[tap, k] = sum over positions of x[tap, position] * grad_output[position, k]``, where a tap is a channel with a
place in the kernel: A's scalars are read straight from a padded copy of x, a row of positions after the other, and B is
the transposed output gradient. Sums are made in blocks, as in :mod:`fastconv.kernels.gather`.
"""

from __future__ import annotations

import numpy as np

from fastconv import jit

from . import layout, scratch
from .gather import DEPTH_BLOCK
from .microkernel import columns_of_tile, rows_of_tile, strided_product, tile_columns
from .oldmem import item_bytes, record
from .sizes import ceil_div


class WeightGradJob(jit.Record):
    """What :func:`weight_grad_kernel` works on."""

    # padded input, and where each tap of a group begins in it
    x: int
    x_image: int
    x_group: int
    x_row: int
    offsets: int
    taps: int
    groups: int
    images: int
    # output rows and columns, and input pixels from one to the next
    height: int
    width: int
    stride_y: int
    stride_x: int
    # transposed output gradient: (image, group, panel, position, tile column)
    b: int
    panels: int
    # result: (group, tap, filter), rows `out_row` elements apart
    out: int
    out_row: int
    # positions summed in one go: rows, or part of one row
    block_height: int
    block_width: int


WEIGHT_GRAD_JOB = np.dtype(WeightGradJob)


@jit.kernel
def weight_grad_kernel(t, threads, zero, address):
    """Compute some tiles of the transposed weight gradient, summing over all positions."""
    word = 8
    job = record(WEIGHT_GRAD_JOB, address)
    item = item_bytes(zero)
    height = rows_of_tile()
    columns = columns_of_tile(zero)
    tiles = (job.taps + height - 1) // height
    units = job.groups * job.panels * tiles
    begin = units * t // threads
    end = units * (t + 1) // threads
    positions = job.height * job.width
    first = 1
    for image in range(job.images):
        for y in range(0, job.height, job.block_height):
            times = min(job.block_height, job.height - y)
            for x in range(0, job.width, job.block_width):
                count = min(job.block_width, job.width - x)
                for unit in range(begin, end):
                    panel = unit // tiles
                    tap = (unit - panel * tiles) * height
                    group = panel // job.panels
                    corner = image * job.x_image + group * job.x_group
                    corner += y * job.stride_y * job.x_row + x * job.stride_x
                    row_b = (image * job.groups * job.panels + panel) * positions + y * job.width + x
                    c = (group * job.taps + tap) * job.out_row + (panel - group * job.panels) * columns
                    strided_product(
                        zero, min(height, job.taps - tap), job.x + corner * item, job.offsets + tap * word,
                        job.stride_x, count, job.stride_y * job.x_row, times, 0, 0, 0, 0,
                        job.b + row_b * columns * item, columns, job.out + c * item, job.out_row, first,
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
    item = x.itemsize
    threads = jit.threads_for(products=images * filters * p * q * taps)

    padded_height = (p - 1) * stride[0] + (r - 1) * dilation[0] + 1
    padded_width = (q - 1) * stride[1] + (s - 1) * dilation[1] + 1
    plane = padded_height * padded_width
    columns = tile_columns(x.dtype)
    panels = ceil_div(rows, columns)
    out_row = (panels | 1) * columns  # an odd number of tiles: rows must not fall on the same cache set
    sizes = [
        images * groups * channels * plane,
        images * groups * panels * columns * p * q,
        groups * taps * out_row,
    ]
    starts = np.cumsum([0] + [ceil_div(size * item, scratch.ALIGNMENT) * scratch.ALIGNMENT for size in sizes])
    with scratch.borrow(int(starts[-1])) as memory:
        padded, transposed, result = (memory + int(start) for start in starts[:3])
        pad_job = layout.PadJob(
            x.ctypes.data, images * groups * channels, x.shape[2], x.shape[3], padding[0], padding[2], 1, 1,
            padded, padded_height, 1, padded_width,
        )  # fmt: skip
        layout.pad(pad_job, x.dtype, threads)
        transpose_job = layout.TransposeJob(
            grad_output.ctypes.data, images * groups, rows * p * q, rows, p * q, p * q, columns,
            transposed, panels * columns * p * q, columns * p * q, columns, 1,
        )  # fmt: skip
        layout.transpose(transpose_job, x.dtype, threads)
        offsets = _weight_grad_offsets(channels, (r, s), dilation, padded_width, plane)
        block_width = min(q, DEPTH_BLOCK)
        weight_job = WeightGradJob(
            padded, groups * channels * plane, channels * plane, padded_width, offsets.ctypes.data, taps, groups,
            images, p, q, *stride, transposed, panels, result, out_row, max(1, DEPTH_BLOCK // block_width), block_width,
        )  # fmt: skip
        weight_grad_kernel(weight_job, x.dtype, threads)
        back_job = layout.TransposeJob(
            result, groups, taps * out_row, taps, rows, out_row, jit.lanes(x.dtype),
            out.ctypes.data, rows * taps, jit.lanes(x.dtype), taps, 0,
        )  # fmt: skip
        layout.transpose(back_job, x.dtype, threads)


def _weight_grad_offsets(
    channels: int, kernel: tuple[int, int], dilation: tuple[int, int], row: int, plane: int
) -> np.ndarray:
    c, r, s = (axis.ravel() for axis in np.indices((channels, *kernel), np.intp))
    return c * plane + r * dilation[0] * row + s * dilation[1]
