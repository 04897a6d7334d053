"""The array that is optimised, and the picture in it."""

import numpy as np

from fastconv.style.algorithm.canvas import mask_to_canvas, to_canvas, to_picture, to_uint8


def test_a_canvas_holds_the_picture_and_repeats_its_edge(pictures):
    rgb = pictures[2]
    canvas = to_canvas(rgb, "float64")
    assert canvas.shape == (1, 3, 48, 32)
    assert canvas.dtype == np.float64
    assert canvas.flags.c_contiguous
    np.testing.assert_array_equal(to_picture(canvas, rgb.shape[:2]), rgb)
    np.testing.assert_array_equal(canvas[..., 36:, :], np.broadcast_to(canvas[..., 35:36, :], (1, 3, 12, 32)))


def test_rounding_cuts_off_what_is_out_of_range():
    assert to_uint8(np.array([-3.0, 0.4, 0.6, 254.6, 300.0])).tolist() == [0, 0, 1, 255, 255]


def test_a_mask_is_averaged_over_each_pixel_and_repeats_its_edge(rng):
    mask = rng.uniform(size=(40, 60)).astype(np.float32)
    resized = mask_to_canvas(mask, (20, 30))
    assert resized.shape == (32, 32)
    np.testing.assert_allclose(resized[:20, :30], mask.reshape(20, 2, 30, 2).mean((1, 3)), atol=1e-6)
    np.testing.assert_array_equal(resized[20:, :30], np.repeat(resized[19:20, :30], 12, axis=0))
