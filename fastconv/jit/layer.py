"""Numba's threading layer: found and started."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.metadata
import os
from pathlib import Path

from numba.np.ufunc import parallel as numba_parallel


def start_layer() -> None:
    """Start its threads."""
    _preload_tbb()
    numba_parallel._launch_threads()


def _preload_tbb() -> None:
    """Load the tbb wheel's library where Numba's threading layer will look for it.

    In a virtual environment the wheel puts it outside the loader's path. A user who chose a layer is left alone.
    """
    if os.environ.get("NUMBA_THREADING_LAYER"):
        return
    with contextlib.suppress(importlib.metadata.PackageNotFoundError, OSError):
        for file in importlib.metadata.files("tbb") or ():
            if file.name == "libtbb.so.12":
                ctypes.CDLL(str(Path(str(file.locate())).resolve()), mode=ctypes.RTLD_GLOBAL)
