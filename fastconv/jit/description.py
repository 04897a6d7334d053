"""What the kernels are built for and how they run, in words."""

from __future__ import annotations

import numba
import numpy as np

from .cache import cache_dir
from .target import lanes, target, vector_bytes
from .threads import get_num_threads, threading_layer


def describe() -> dict[str, str]:
    """Facts about the kernels' build, for ``fastconv info`` and the benchmarks."""
    triple, cpu, _ = target()
    bits = 8 * vector_bytes()
    directory = cache_dir()
    return {
        "target": f"{cpu} ({triple})",
        "lanes": f"{lanes(np.dtype(np.float32))} float32, {lanes(np.dtype(np.float64))} float64 ({bits}-bit vectors)",
        "threads": f"{get_num_threads()} of {numba.config.NUMBA_NUM_THREADS}",
        "threading layer": threading_layer(),
        "kernel cache": "none (no safe, writable directory)" if directory is None else str(directory),
    }
