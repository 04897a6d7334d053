"""Sizes in whole pieces."""

import pytest

from fastconv.sizes import ceil_div, round_up


@pytest.mark.parametrize(("a", "b", "pieces"), [(0, 4, 0), (1, 4, 1), (4, 4, 1), (5, 4, 2), (8, 4, 2), (7, 1, 7)])
def test_pieces_and_their_size(a, b, pieces):
    assert ceil_div(a, b) == pieces
    assert round_up(a, b) == pieces * b
