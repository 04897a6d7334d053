"""The weight gradient by Winograd's F(3x3, 4x4): a correlation of 6x6 inputs with 4x4 output gradients.

The same points as in :mod:`fastconv.kernels.winograd` and so the same transform of the inputs; with E the output
gradients of a tile,

    grad = A^T [ sum over tiles of (G E G^T) * (B^T d B) ] A

where G is now 6x4 and A^T 3x6. For each of the 36 places the sum is a matrix product (channels x tiles) times
(tiles x filters). The output gradients are transposed first, so that a vector holds neighbouring filters.
"""

from __future__ import annotations

import functools

import numpy as np

from fastconv import jit

from . import layout, scratch
from .microkernel import columns_of_tile, rows_of_tile, strided_product, tile_columns, tile_rows
from .oldmem import item_bytes, load, record, store
from .simd import as_type, fma, lanes, splat
from .winograd import place_size
from .winograd_transforms import GROUP_FIELDS, LINE, NO_GATE, TEMPORARY_BYTES, A, B, describe_block, transform_inputs

TILE, PATCH, PLACES = 4, 6, 36
BLOCK = 256  # tiles summed in registers in one go
SHARED_BYTES = 16 << 20  # transformed inputs and gradients of one block


class WeightGradJob(jit.Record):
    """What the kernels work on: addresses in bytes, everything else in elements."""

    # input, as in WinogradJob
    x: int
    x_image: int
    x_plane: int
    gate_kind: int
    gate: int
    channels: int
    height: int
    width: int
    top: int
    left: int
    tile: int
    images: int
    tiles_y: int
    tiles_x: int
    v_places: int
    # transposed output gradient: (image, panel, pixel, tile column)
    grad: int
    grad_image: int
    out_height: int
    out_width: int
    panels: int
    # tiles of the block; V (place, channel, tile), E (place, panel, tile, column), sums (place, channel, filter)
    first_tile: int
    end_tile: int
    pitch: int
    offsets: int
    v: int
    v_place: int
    e: int
    e_place: int
    sums: int
    sums_place: int
    sums_row: int
    # result: (channel and place in the kernel, filter), rows as far apart as those of the sums
    result: int
    scratch: int
    scratch_bytes: int


WEIGHT_GRAD_JOB = np.dtype(WeightGradJob)


@jit.inline
def _gradient_row(zero, e0, e1, e2, e3):
    """Return G e."""
    na, nb = 1 / (2 * A * A * (A * A - B * B)), 1 / (2 * B * B * (B * B - A * A))
    even_a = fma(splat(as_type(zero, na * A * A)), e2, splat(as_type(zero, na)) * e0)
    odd_a = fma(splat(as_type(zero, na * A * A * A)), e3, splat(as_type(zero, na * A)) * e1)
    even_b = fma(splat(as_type(zero, nb * B * B)), e2, splat(as_type(zero, nb)) * e0)
    odd_b = fma(splat(as_type(zero, nb * B * B * B)), e3, splat(as_type(zero, nb * B)) * e1)
    return e0, even_a + odd_a, even_a - odd_a, even_b + odd_b, even_b - odd_b, e3


@jit.inline
def _kernel_row(zero, m0, m1, m2, m3, m4, m5):
    """Return A^T m."""
    a, aa = splat(as_type(zero, A)), splat(as_type(zero, A * A))
    b, bb = splat(as_type(zero, B)), splat(as_type(zero, B * B))
    sum_a, sum_b = m1 + m2, m3 + m4
    return m0 + sum_a + sum_b, fma(a, m1 - m2, b * (m3 - m4)), fma(aa, sum_a, fma(bb, sum_b, m5))


@jit.inline
def _pixel(zero, job, plane, y, x):
    """Load a vector of filters of one pixel of the output gradient; 0 outside."""
    if y < job.out_height and x < job.out_width:
        return load(zero, plane + (y * job.out_width + x) * columns_of_tile(zero) * item_bytes(zero))
    return splat(zero)


@jit.inline
def _transform_gradients(zero, job, first, end, temporary):
    """Transform the output gradients of a block's tiles for units `first` to `end` - 1: a unit is a panel's tile."""
    item = item_bytes(zero)
    width = lanes(zero)
    vector = width * item
    columns = columns_of_tile(zero)
    count = job.end_tile - job.first_tile
    for unit in range(first, end):
        panel = unit // count
        tile = job.first_tile + unit - panel * count
        image = tile // (job.tiles_y * job.tiles_x)
        rest = tile - image * job.tiles_y * job.tiles_x
        y = rest // job.tiles_x * TILE
        x = (rest - rest // job.tiles_x * job.tiles_x) * TILE
        plane = job.grad + (image * job.grad_image + panel * job.out_height * job.out_width * columns) * item
        to = job.e + (panel * job.pitch + tile - job.first_tile) * columns * item
        for n in range(0, columns, width):
            here = plane + n * item
            for j in range(TILE):
                t0, t1, t2, t3, t4, t5 = _gradient_row(
                    zero, _pixel(zero, job, here, y, x + j), _pixel(zero, job, here, y + 1, x + j),
                    _pixel(zero, job, here, y + 2, x + j), _pixel(zero, job, here, y + 3, x + j),
                )  # fmt: skip
                store(temporary + j * vector, t0)
                store(temporary + (TILE + j) * vector, t1)
                store(temporary + (2 * TILE + j) * vector, t2)
                store(temporary + (3 * TILE + j) * vector, t3)
                store(temporary + (4 * TILE + j) * vector, t4)
                store(temporary + (5 * TILE + j) * vector, t5)
            for i in range(PATCH):
                row = temporary + i * TILE * vector
                t0, t1, t2, t3, t4, t5 = _gradient_row(
                    zero, load(zero, row), load(zero, row + vector), load(zero, row + 2 * vector),
                    load(zero, row + 3 * vector),
                )  # fmt: skip
                place = to + (i * PATCH * job.e_place + n) * item
                store(place, t0)
                store(place + job.e_place * item, t1)
                store(place + 2 * job.e_place * item, t2)
                store(place + 3 * job.e_place * item, t3)
                store(place + 4 * job.e_place * item, t4)
                store(place + 5 * job.e_place * item, t5)


@jit.kernel
def transform_kernel(t, threads, zero, address):
    """Transform a block's inputs for some channels, and its output gradients for some panels and tiles."""
    job = record(WEIGHT_GRAD_JOB, address)
    own = job.scratch + t * job.scratch_bytes
    table = own + TEMPORARY_BYTES
    groups = describe_block(zero, job, job.first_tile, job.end_tile, table)
    begin, end = job.channels * t // threads, job.channels * (t + 1) // threads
    transform_inputs(zero, job, table, groups, job.pitch, begin, end, job.v, own)
    units = job.panels * (job.end_tile - job.first_tile)
    _transform_gradients(zero, job, units * t // threads, units * (t + 1) // threads, own)


@jit.kernel
def sum_kernel(t, threads, zero, address):
    """Add a block's products to the sums of some places, panels of filters and tiles of channels."""
    job = record(WEIGHT_GRAD_JOB, address)
    item = item_bytes(zero)
    height = rows_of_tile()
    columns = columns_of_tile(zero)
    tiles = (job.channels + height - 1) // height
    units = PLACES * job.panels * tiles
    first = 1 if job.first_tile == 0 else 0
    for unit in range(units * t // threads, units * (t + 1) // threads):
        panel = unit // tiles
        channel = (unit - panel * tiles) * height
        place = panel // job.panels
        panel -= place * job.panels
        strided_product(
            zero, min(height, job.channels - channel), job.v + (place * job.v_place + channel * job.pitch) * item,
            job.offsets, 1, job.end_tile - job.first_tile, 0, 1, 0, 0, 0, 0,
            job.e + (place * job.e_place + panel * job.pitch * columns) * item, columns,
            job.sums + (place * job.sums_place + channel * job.sums_row + panel * columns) * item, job.sums_row, first,
        )  # fmt: skip


@jit.kernel
def filter_kernel(t, threads, zero, address):
    """Transform the sums of some channels to kernels."""
    job = record(WEIGHT_GRAD_JOB, address)
    item = item_bytes(zero)
    vector = lanes(zero) * item
    temporary = job.scratch + t * job.scratch_bytes
    for channel in range(job.channels * t // threads, job.channels * (t + 1) // threads):
        for n in range(0, job.panels * columns_of_tile(zero), lanes(zero)):
            source = job.sums + (channel * job.sums_row + n) * item
            for j in range(PATCH):
                at = source + j * job.sums_place * item
                down = PATCH * job.sums_place * item
                y0, y1, y2 = _kernel_row(
                    zero, load(zero, at), load(zero, at + down), load(zero, at + 2 * down), load(zero, at + 3 * down),
                    load(zero, at + 4 * down), load(zero, at + 5 * down),
                )  # fmt: skip
                store(temporary + j * vector, y0)
                store(temporary + (PATCH + j) * vector, y1)
                store(temporary + (2 * PATCH + j) * vector, y2)
            for i in range(3):
                row = temporary + i * PATCH * vector
                y0, y1, y2 = _kernel_row(
                    zero, load(zero, row), load(zero, row + vector), load(zero, row + 2 * vector),
                    load(zero, row + 3 * vector), load(zero, row + 4 * vector), load(zero, row + 5 * vector),
                )  # fmt: skip
                to = job.result + ((channel * 9 + i * 3) * job.sums_row + n) * item
                store(to, y0)
                store(to + job.sums_row * item, y1)
                store(to + 2 * job.sums_row * item, y2)


@functools.lru_cache(maxsize=256)
def _places(distance: int) -> np.ndarray:
    return np.arange(PLACES, dtype=np.intp) * distance


@functools.lru_cache(maxsize=256)
def _row_offsets(pitch: int, height: int) -> np.ndarray:
    return np.arange(height, dtype=np.intp) * pitch


def weight_grad(grad_output: np.ndarray, x: np.ndarray, padding: tuple[int, int], groups: int, out: np.ndarray) -> None:
    """Compute the gradient with respect to the weights of a 3x3 convolution of stride 1.

    Parameters
    ----------
    grad_output : (N, K, P, Q) array
    x : (N, C, H, W) array
    padding : (int, int)
        Zeros above and to the left; those below and to the right follow from the shape of `grad_output`.
    groups : int
    out : (K, C / groups, 3, 3) array
    """
    for group in range(groups):
        _weight_grad_of_group(grad_output, x, padding, group, out)


def _weight_grad_of_group(
    grad_output: np.ndarray, x: np.ndarray, padding: tuple[int, int], group: int, out: np.ndarray
) -> None:
    images, all_filters, p, q = grad_output.shape
    all_channels, height, width = x.shape[1:]
    channels = out.shape[1]
    filters = all_filters * channels // all_channels
    item = x.itemsize
    columns = tile_columns(x.dtype)
    panels = -(-filters // columns)
    tiles_y, tiles_x = -(-p // TILE), -(-q // TILE)
    tiles = images * tiles_y * tiles_x
    threads = jit.get_num_threads()

    tile_bytes = PLACES * (channels + panels * columns) * item
    block = max(columns, min(tiles, BLOCK, SHARED_BYTES // tile_bytes))
    block = -(-tiles // -(-tiles // block))
    pitch = block + jit.lanes(x.dtype)
    row = (panels | 1) * columns
    v_place, e_place = place_size(channels * pitch, x.dtype), place_size(panels * pitch * columns, x.dtype)
    sums_place = place_size(channels * row, x.dtype)
    own = -(-(TEMPORARY_BYTES + block * GROUP_FIELDS * 8) // LINE) * LINE
    sizes = (
        images * panels * p * q * columns,
        PLACES * v_place,
        PLACES * e_place,
        PLACES * sums_place,
        9 * channels * row,
    )
    starts = np.cumsum([0, *(-(-size * item // LINE) * LINE for size in sizes)])
    with scratch.borrow(int(starts[-1]) + threads * own) as memory:
        transposed, v, e, sums, result, each = (memory + int(start) for start in starts)
        layout.transpose(
            layout.TransposeJob(
                grad_output.ctypes.data + group * filters * p * q * item, images, all_filters * p * q, filters, p * q,
                p * q, columns, transposed, panels * p * q * columns, p * q * columns, columns, 1,
            ), x.dtype, threads,
        )  # fmt: skip
        job = WeightGradJob(
            x.ctypes.data + group * channels * height * width * item, all_channels * height * width, height * width,
            NO_GATE, 0, channels, height, width, *padding, TILE, images, tiles_y, tiles_x,
            _places(v_place * item).ctypes.data,
            transposed, panels * p * q * columns, p, q, panels,
            0, tiles, pitch, _row_offsets(pitch, tile_rows()).ctypes.data, v, v_place, e, e_place,
            sums, sums_place, row, result, each, own,
        )  # fmt: skip
        for first in range(0, tiles, block):
            job.first_tile, job.end_tile = first, min(first + block, tiles)
            transform_kernel(job, x.dtype, threads)
            sum_kernel(job, x.dtype, threads)
        filter_kernel(job, x.dtype, threads)
        layout.transpose(
            layout.TransposeJob(
                result, 1, 0, 9 * channels, filters, row, jit.lanes(x.dtype),
                out.ctypes.data + group * filters * channels * 9 * item, 0, jit.lanes(x.dtype), 9 * channels, 0,
            ), x.dtype, threads,
        )  # fmt: skip
