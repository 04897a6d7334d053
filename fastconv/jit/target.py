"""The machine that kernels are compiled for: Numba's target, which need not be the one they run on."""

from __future__ import annotations

import functools

import numpy as np
from numba.core.registry import cpu_target

LINE = 64
"""Bytes of a cache line, and of the widest vector."""


@functools.cache
def target() -> tuple[str, str, frozenset[str]]:
    """LLVM's triple, CPU name and enabled features of Numba's target."""
    triple, cpu, features = cpu_target.target_context.codegen().magic_tuple()
    return triple, cpu, frozenset(name[1:] for name in features.split(",") if name.startswith("+"))


@functools.cache
def vector_bytes() -> int:
    """Width of the vectors that kernels use, in bytes: 64 with AVX-512, 32 with AVX2, else 16."""
    features = target()[2]
    if "avx512f" in features:
        return 64
    return 32 if "avx2" in features else 16


@functools.cache
def has_fma() -> bool:
    """Whether a fused multiply-add is an instruction (else LLVM would call a slow library function for it)."""
    triple, _, features = target()
    return "fma" in features or triple.startswith(("aarch64", "arm64"))


def lanes(dtype: np.dtype) -> int:
    """Elements of `dtype` in one vector."""
    return vector_bytes() // dtype.itemsize
