"""Sizes of pictures, and resampling."""

import numpy as np
import pytest

from fastconv.style.images import resize, size_to_fit


@pytest.mark.parametrize(
    ("shape", "size", "enlarge", "expected"),
    [
        ((400, 600), 384, False, (256, 384)),
        ((600, 400), 384, False, (384, 256)),
        ((400, 600), 600, False, (400, 600)),
        ((400, 600), 900, False, (400, 600)),
        ((400, 600), 900, True, (600, 900)),
        ((1, 1000), 10, False, (1, 10)),
    ],
)
def test_size_to_fit(shape, size, enlarge, expected):
    assert size_to_fit(shape, size, enlarge=enlarge) == expected


def test_size_to_fit_needs_a_pixel():
    with pytest.raises(ValueError, match="size is 0; expected"):
        size_to_fit((400, 600), 0)


@pytest.mark.parametrize("method", ["lanczos", "bicubic", "bilinear", "area"])
@pytest.mark.parametrize("size", [(7, 11), (30, 50), (20, 31)])
def test_resize_keeps_constants_and_range_of_dtype(method, size):
    flat = resize(np.full((20, 31, 3), 12.25), size, method=method)
    assert flat.shape == (*size, 3)
    assert flat.dtype == np.float32
    np.testing.assert_allclose(flat, 12.25, rtol=1e-6)


def test_resize_does_not_round():
    ramp = np.tile(np.linspace(100, 101, 64, dtype=np.float32), (8, 1))
    half = resize(ramp, (4, 32), method="area")
    np.testing.assert_allclose(half, ramp.reshape(4, 2, 32, 2).mean((1, 3)), atol=1e-4)


def test_resize_to_the_same_size_is_a_copy(noise):
    array = noise.astype(np.float32)
    same = resize(array, (20, 31))
    assert not np.shares_memory(same, array)
    np.testing.assert_array_equal(same, array)


def test_resize_names_a_wrong_method(noise):
    with pytest.raises(ValueError, match=r"method is 'nearest'; expected one of lanczos"):
        resize(noise, (5, 5), method="nearest")
