"""What the figures were measured on, and a guard against figures that flatter."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import numba
import numpy as np
import threadpoolctl

import fastconv
from fastconv import jit

THROTTLES = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")


def describe() -> dict[str, str]:
    """Return the facts that a figure depends on, by name."""
    np.dot(np.ones((2, 2)), np.ones((2, 2)))  # NumPy's BLAS counts as loaded only then
    pools = [pool for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]
    blas = "; ".join(
        f"{pool['internal_api']} {pool.get('version')}, {pool.get('architecture')}, {pool['num_threads']} threads"
        for pool in pools
    )
    versions = f"fastconv {fastconv.__version__}, NumPy {np.__version__}, Numba {numba.__version__}"
    return {
        "CPU": f"{_cpu_model()}, {os.cpu_count()} CPUs",
        "software": f"{versions}, Python {platform.python_version()}, {platform.system()}",
        **{fact: value for fact, value in jit.describe().items() if fact != "kernel cache"},
        "BLAS": blas or "none that threadpoolctl knows",
    }


def _cpu_model() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def throttled_blas(command: str) -> str | None:
    """Return what to run instead if the environment slows NumPy's matrix product down, which flatters every ratio.

    Unsetting the variables here would come too late: OpenBLAS has read them.
    """
    found = [name for name in THROTTLES if name in os.environ]
    if not found:
        return None
    unset = " ".join(f"-u {name}" for name in THROTTLES)
    return f"{' and '.join(found)} would slow NumPy's product down. Run: env {unset} {command}"
