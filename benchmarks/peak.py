"""The machine's limit of fused multiply-adds, measured."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fastconv import jit
from fastconv.jit.records import Elements
from fastconv.kernels.pointers import record
from fastconv.kernels.simd import fma, load, store
from fastconv.sizes import ceil_div

CHAINS = 12  # independent sums: more than two units with a latency of four cycles need, few enough for 16 registers


class PeakJob(jit.Record):
    """What :func:`multiply_add_kernel` works on: for each thread a vector of factors, where its result goes, too."""

    factors: Elements
    pitch: int
    steps: int


@jit.kernel
def multiply_add_kernel(t, threads, zero, address):
    """Run multiply-adds on registers, :data:`CHAINS` a step, and store what they sum up to."""
    job = record(PeakJob, zero, address)
    factor = load(job.factors + t * job.pitch)
    a = b = c = d = e = f = g = h = i = j = k = m = factor
    for _ in range(job.steps):
        a, b, c = fma(a, factor, factor), fma(b, factor, factor), fma(c, factor, factor)
        d, e, f = fma(d, factor, factor), fma(e, factor, factor), fma(f, factor, factor)
        g, h, i = fma(g, factor, factor), fma(h, factor, factor), fma(i, factor, factor)
        j, k, m = fma(j, factor, factor), fma(k, factor, factor), fma(m, factor, factor)
    store(job.factors + t * job.pitch, a + b + c + d + e + f + g + h + i + j + k + m)


def multiply_adds(flops: int, dtype: np.dtype) -> Callable[[], None]:
    """Return a call that does at least `flops` operations from registers, on all threads that kernels use."""
    threads = jit.get_num_threads()
    factors = np.full((threads, 128 // dtype.itemsize), 0.5, dtype)  # two cache lines a thread
    steps = ceil_div(flops, 2 * CHAINS * jit.lanes(dtype) * threads)

    def call() -> None:
        job = PeakJob(factors=jit.address_of(factors), pitch=factors.shape[1], steps=steps)
        multiply_add_kernel(job, dtype, threads)

    return call
