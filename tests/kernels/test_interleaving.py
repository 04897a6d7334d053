"""Planes put together from phases, against NumPy, element by element."""

import itertools

import numpy as np
import pytest

from fastconv import jit
from fastconv.kernels import interleaving

from .copies import PLANES, numbers


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("step", [(1, 1), (2, 2), (2, 1), (1, 2), (3, 3)])
@pytest.mark.parametrize("size", [(7, 9), (4, 67), (5, 1)])
def test_phases(size, step, missing, dtype, check_copy, monkeypatch):
    (height, width), (down, across) = size, step
    expected = np.zeros((*PLANES, height, width), dtype)
    phases = []
    for number, (y, x) in enumerate(itertools.product(range(down), range(across))):
        if missing and number % 2 == 0:
            phases.append(None)
            continue
        part = expected[:, :, y::down, x::across]
        # A phase's rows may be longer than what is needed of them.
        phases.append(numbers(dtype, *PLANES, part.shape[2], part.shape[3] + number))
        part[...] = phases[-1][:, :, :, : part.shape[3]]

    def interleave(out, threads):
        monkeypatch.setattr(jit, "threads_for", lambda elements: threads)
        interleaving.interleave(phases, step, out)

    check_copy(interleave, expected)
