"""Winograd's transforms of vectors against B^T d B, G g G^T and A^T m A with matrices made of the points alone."""

from __future__ import annotations

import numpy as np
import pytest

from fastconv import jit
from fastconv.jit.records import Elements
from fastconv.kernels.pointers import record
from fastconv.kernels.winograd_transforms import (
    PATCH_VECTORS,
    transform_gradient,
    transform_patch,
    transform_products,
    transform_sums,
    transform_weights,
)

from .helpers import call, compiled
from .toom_cook import both_ways, close, matrices

BOTH_DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
BOTH_SIZES = pytest.mark.parametrize("size", [4, 2])
FAR_APART = 3  # vectors between neighbours that need not lie side by side


@BOTH_SIZES
def test_the_matrices_convolve(size, rng):
    a, g, b = matrices(size)
    d, kernel = rng.standard_normal((size + 2, size + 2)), rng.standard_normal((3, 3))
    windows = np.lib.stride_tricks.sliding_window_view(d, (3, 3))
    expected = (windows * kernel).sum(axis=(2, 3))
    np.testing.assert_allclose(both_ways(a, both_ways(g, kernel) * both_ways(b, d)), expected, atol=1e-13)


def test_the_matrices_give_the_weight_gradient(rng):
    """The same points: 4x4 gradients take the place of kernels, and there are 3x3 outputs."""
    a, g, b = matrices(3, taps=4)
    d, e = rng.standard_normal((6, 6)), rng.standard_normal((4, 4))
    windows = np.lib.stride_tricks.sliding_window_view(d, (4, 4))
    expected = (windows * e).sum(axis=(2, 3))
    np.testing.assert_allclose(both_ways(a, both_ways(g, e) * both_ways(b, d)), expected, atol=1e-13)


class Job(jit.Record):
    source: Elements
    pitch: int
    to: Elements
    place: int
    spare: Elements
    size: int


@compiled
def run_patch(zero, address):
    job = record(Job, zero, address)
    transform_patch(zero, job.size, job.source, job.pitch, job.to, job.place, job.spare)


@compiled
def run_weights(zero, address):
    job = record(Job, zero, address)
    transform_weights(zero, job.size, job.source, job.pitch, job.to, job.place)


@compiled
def run_products(zero, address):
    job = record(Job, zero, address)
    transform_products(zero, job.size, job.source, job.place, job.to, job.pitch, job.spare)


@compiled
def run_gradient(zero, address):
    job = record(Job, zero, address)
    transform_gradient(zero, job.source, job.pitch, job.to, job.place, job.spare)


@compiled
def run_sums(zero, address):
    job = record(Job, zero, address)
    transform_sums(zero, job.source, job.place, job.to, job.pitch, job.spare)


def spread(numbers, step):
    """Return (row, column, lane) numbers with `step` vectors from each row to the next, and 99 between them."""
    rows, columns, lanes = numbers.shape
    array = np.full((rows, step, lanes), 99, numbers.dtype)
    array[:, :columns] = numbers
    return array


def run(function, size, source, to, pitch, place):
    spare = np.empty((PATCH_VECTORS, source.shape[-1]), source.dtype)
    job = Job(size=size, pitch=pitch * source.shape[-1], place=place * source.shape[-1])
    call(function, source.dtype, job, source=source, to=to, spare=spare)


def lanes_last(numbers):
    """Return (lane, row, column) of (row, column, lane)."""
    return np.moveaxis(numbers, -1, 0)


@BOTH_DTYPES
@BOTH_SIZES
def test_patch(size, dtype, rng):
    side, lanes = size + 2, jit.lanes(np.dtype(dtype))
    d = rng.standard_normal((side, side, lanes)).astype(dtype)
    to = np.full((side, side, FAR_APART, lanes), 99, dtype)
    run(run_patch, size, spread(d, side + FAR_APART), to, side + FAR_APART, FAR_APART)
    close(lanes_last(to[:, :, 0]), both_ways(matrices(size).inputs, lanes_last(d)), dtype)
    assert np.all(to[:, :, 1:] == 99)


@BOTH_DTYPES
@BOTH_SIZES
@pytest.mark.parametrize("turned", [False, True])
def test_weights(turned, size, dtype, rng):
    side, lanes = size + 2, jit.lanes(np.dtype(dtype))
    g = rng.standard_normal((3, 3, lanes)).astype(dtype)
    to = np.full((side, side, FAR_APART, lanes), 99, dtype)
    source = spread(g.reshape(9, 1, lanes), FAR_APART)
    run(run_weights, size, source[-1:] if turned else source, to, -FAR_APART if turned else FAR_APART, FAR_APART)
    expected = both_ways(matrices(size).kernels, lanes_last(g[::-1, ::-1] if turned else g))
    close(lanes_last(to[:, :, 0]), expected, dtype)
    assert np.all(to[:, :, 1:] == 99)


@BOTH_DTYPES
@BOTH_SIZES
def test_products(size, dtype, rng):
    side, lanes = size + 2, jit.lanes(np.dtype(dtype))
    m = rng.standard_normal((side, side, lanes)).astype(dtype)
    to = np.full((size, size + FAR_APART, lanes), 99, dtype)
    run(run_products, size, spread(m.reshape(side * side, 1, lanes), FAR_APART), to, size + FAR_APART, FAR_APART)
    close(lanes_last(to[:, :size]), both_ways(matrices(size).outputs, lanes_last(m)), dtype)
    assert np.all(to[:, size:] == 99)


@BOTH_DTYPES
def test_gradient(dtype, rng):
    lanes = jit.lanes(np.dtype(dtype))
    e = rng.standard_normal((4, 4, lanes)).astype(dtype)
    to = np.full((6, 6, FAR_APART, lanes), 99, dtype)
    run(run_gradient, 4, spread(e, 4 + FAR_APART), to, 4 + FAR_APART, FAR_APART)
    close(lanes_last(to[:, :, 0]), both_ways(matrices(3, taps=4).kernels, lanes_last(e)), dtype)


@BOTH_DTYPES
def test_sums(dtype, rng):
    lanes = jit.lanes(np.dtype(dtype))
    m = rng.standard_normal((6, 6, lanes)).astype(dtype)
    to = np.full((9, FAR_APART, lanes), 99, dtype)
    run(run_sums, 4, spread(m.reshape(36, 1, lanes), FAR_APART), to, FAR_APART, FAR_APART)
    close(lanes_last(to[:, 0].reshape(3, 3, lanes)), both_ways(matrices(3, taps=4).outputs, lanes_last(m)), dtype)
    assert np.all(to[:, 1:] == 99)
