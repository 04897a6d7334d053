"""What, beside the settings, decides the last digits of a result."""

from __future__ import annotations

from importlib import metadata

import fastconv
from fastconv import jit

LIBRARIES = ("numpy", "numba", "llvmlite", "scipy", "Pillow")  # whose versions may show in the last digits


def environment() -> dict[str, str]:
    """Return these facts by their names."""
    facts = jit.describe()
    versions = {f"{library} version": metadata.version(library) for library in LIBRARIES}
    return {
        "number of threads": str(fastconv.get_num_threads()),
        "processor": facts["target"],
        "vector lanes": facts["lanes"],
        "fastconv version": fastconv.__version__,
        **versions,
    }
