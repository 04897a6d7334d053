"""Sizes rounded up to whole pieces."""


def ceil_div(a: int, b: int) -> int:
    """Return a / b, rounded up."""
    return -(-a // b)


def round_up(size: int, piece: int) -> int:
    """Return the smallest multiple of `piece` that is not below `size`."""
    return ceil_div(size, piece) * piece
