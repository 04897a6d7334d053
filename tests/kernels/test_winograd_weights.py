"""Weights transformed for Winograd's method: where each number of G g G^T lies."""

import numpy as np
import pytest

from fastconv.kernels.microkernel import tile_rows
from fastconv.kernels.winograd_weights import layout_of, transform_weights

from .toom_cook import both_ways, close, matrices


@pytest.mark.parametrize("tile", [4, 2])
@pytest.mark.parametrize(
    ("filters", "channels"), [(1, 1), (tile_rows(), 3), (2 * tile_rows() + 1, 7), (3, 300)], ids=str
)
def test_every_number_is_where_the_layout_says(tile, filters, channels, dtype, threads):
    weight = np.random.default_rng(0).standard_normal((filters, channels, 3, 3)).astype(dtype)
    u = transform_weights(weight, tile)
    layout = layout_of(filters, channels, dtype)
    assert u.shape == ((tile + 2) ** 2, layout.place)
    panel, row = np.divmod(np.arange(filters), tile_rows())
    block, term = np.divmod(np.arange(channels), layout.depth)
    rows_of_panel = np.minimum(tile_rows(), filters - panel * tile_rows())
    at = (
        (panel * layout.panel + row)[:, np.newaxis]
        + block * layout.block
        + term * rows_of_panel[:, np.newaxis]
    )  # fmt: skip
    found = u[:, at].reshape(tile + 2, tile + 2, filters, channels).transpose(2, 3, 0, 1)
    close(found, both_ways(matrices(tile).kernels, weight), dtype)


@pytest.mark.parametrize(("rows", "depth"), [(1, 1), (7, 256), (40, 257), (64, 1000)], ids=str)
def test_parts_of_the_layout_do_not_overlap(rows, depth, dtype):
    layout = layout_of(rows, depth, dtype)
    line = 64 // dtype.itemsize
    assert layout.panel >= layout.depth * tile_rows()
    assert layout.panel % (2 * line) == line  # an odd number of lines
    assert layout.block >= -(-rows // tile_rows()) * layout.panel
    assert layout.place >= -(-depth // layout.depth) * layout.block
    assert layout.depth % tile_rows() == 0
