"""The machine's limit of fused multiply-adds, measured."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numba import njit, prange

from fastconv import jit
from fastconv.jit.compilation import OPTIONS
from fastconv.kernels.oldmem import load, store
from fastconv.kernels.simd import fma

CHAINS = 12  # independent sums: more than two units with a latency of four cycles need, few enough for 16 registers


@njit(**OPTIONS)
def _multiply_add(zero, steps, address):
    """Run `steps` times :data:`CHAINS` multiply-adds on registers; what they sum up to is stored at `address`."""
    factor = load(zero, address)
    a = b = c = d = e = f = g = h = i = j = k = m = factor
    for _ in range(steps):
        a, b, c = fma(a, factor, factor), fma(b, factor, factor), fma(c, factor, factor)
        d, e, f = fma(d, factor, factor), fma(e, factor, factor), fma(f, factor, factor)
        g, h, i = fma(g, factor, factor), fma(h, factor, factor), fma(i, factor, factor)
        j, k, m = fma(j, factor, factor), fma(k, factor, factor), fma(m, factor, factor)
    store(address, a + b + c + d + e + f + g + h + i + j + k + m)


@njit(parallel=True, **OPTIONS)
def _multiply_add_parallel(threads, zero, steps, address, pitch):
    for t in prange(threads):
        _multiply_add(zero, steps, address + np.intp(t) * pitch)


def multiply_adds(flops: int, dtype: np.dtype) -> Callable[[], None]:
    """Return a call that does at least `flops` operations from registers, on all threads that kernels use."""
    threads = jit.get_num_threads()
    jit.threading_layer()
    steps = -(-flops // (2 * CHAINS * jit.lanes(dtype) * threads))
    values = np.full((threads, 128 // dtype.itemsize), 0.5, dtype)  # two cache lines a thread

    def call() -> None:
        _multiply_add_parallel(threads, dtype.type(0), steps, values.ctypes.data, values.strides[0])

    return call
