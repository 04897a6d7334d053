"""Smoothness: a loss of the picture itself, with `forward` and `backward` as those of :mod:`fastconv.nn.losses`."""

from __future__ import annotations

from fastconv.geometry import Array
from fastconv.nn.layers import float_dtype
from fastconv.nn.sums import sum_of_squares


class TotalVariation:
    """weight * (2/3 of the mean square step to the side or down + 1/6 of that along both diagonals).

    Parameters
    ----------
    weight : float
        Factor of the loss and its gradient.

    Notes
    -----
    Of the quadratic forms on the eight neighbours of a pixel this one is the same in every direction, to the
    fourth order in the pixels' distance; its gradient is the nine-point Laplacian of Patra and Karttunen
    (Numerical Methods for Partial Differential Equations 22, 2006, 936), (1 4 1; 4 -20 4; 1 4 1) / 6. With
    neighbours to the sides alone slanted lines cost more than upright ones.

    It is a mean, so that a weight means the same for every size of picture. For pixels in 0 to 255 it is
    65025 times what it is for the same picture in 0 to 1.
    """

    def __init__(self, *, weight: float = 1.0) -> None:
        self.weight = weight

    def forward(self, image: Array) -> float:
        """Return the loss of `image`, shape (N, C, H, W), float32 or float64."""
        float_dtype(image.dtype)
        if image.ndim != 4 or image.size == 0:
            raise ValueError(f"image must have shape (N, C, H, W) and not be empty, got {image.shape}")
        steps = (share * sum_of_squares(image[b] - image[a]) for share, a, b in _NEIGHBOURS)
        return self.weight / image.size * sum(steps)

    def backward(self, image: Array, total: Array) -> None:
        """Add the gradient at `image`, shape (N, C, H, W), float32 or float64, to `total`."""
        for share, a, b in _NEIGHBOURS:
            step = image[b] - image[a]
            step *= 2 * share * self.weight / image.size
            total[b] += step
            total[a] -= step


_FIRST, _LAST, _ALL = slice(None, -1), slice(1, None), slice(None)
_NEIGHBOURS = tuple(
    (share, (..., *here), (..., *there))
    for share, here, there in (
        (2 / 3, (_FIRST, _ALL), (_LAST, _ALL)),  # down
        (2 / 3, (_ALL, _FIRST), (_ALL, _LAST)),  # to the right
        (1 / 6, (_FIRST, _FIRST), (_LAST, _LAST)),  # along the diagonals
        (1 / 6, (_FIRST, _LAST), (_LAST, _FIRST)),
    )
)
"""For each pair of neighbours: its share, and where the one and the other are."""
