"""Plans of the implicit matrix product; what they compute is compared in `test_gather`."""

import pytest

from fastconv.kernels.gather_plan import plan
from fastconv.kernels.taps import Grid, forward_taps


@pytest.mark.parametrize(("shape", "grid"), [((0, 2, 3, 5), (3, 5)), ((1, 2, 3, 5), (0, 5))], ids=str)
def test_nothing_to_compute(shape, grid, dtype):
    taps = forward_taps(2, (3, 3), (1, 1, 1, 1), (1, 1))
    assert plan(shape, dtype, taps, 4, 1, Grid(*grid, 1, 1), 1, None) is None
