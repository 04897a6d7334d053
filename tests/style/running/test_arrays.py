"""Snapshots as arrays."""

import numpy as np
import pytest

from fastconv.style import Transfer
from fastconv.style.running.arrays import from_arrays, to_arrays


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("average", [None, 0.0, 0.9])
def test_a_state_goes_through_arrays_bit_for_bit(folder, random_weights, dtype, average):
    def transfer():
        options = {"size": 48, "steps": 4, "content_layers": ("relu1_2",), "style_layers": ("relu1_1",)}
        return Transfer("photo.png", "painting.png", weights=random_weights, dtype=dtype, average=average, **options)

    whole, half, other = transfer(), transfer(), transfer()
    list(whole)
    steps = iter(half)
    next(steps), next(steps)
    arrays = {name: array.copy() for name, array in to_arrays(half.snapshot()).items()}
    next(steps)  # changes the arrays of the snapshot, not the copies
    other.restore(from_arrays(arrays, half.snapshot().random))
    assert (other.snapshot().scale, other.snapshot().step) == (half.snapshot().scale, 2)
    assert len(list(other)) == 2
    np.testing.assert_array_equal(other.picture(), whole.picture())
    for name, array in to_arrays(other.snapshot()).items():
        if name == "losses":
            array, expected = (np.array(run.losses)[:, :-1] for run in (other, whole))  # but for their seconds
        else:
            expected = to_arrays(whole.snapshot())[name]
        np.testing.assert_array_equal(array, expected)
