"""Weights for Winograd's method, and how they lie in memory.

They are kept as they are, nine numbers a kernel, in the order in which they are transformed: for each panel of rows
(the columns of a tile of the product), for each term, for each of the nine numbers, those of the panel's rows. Rows
are filters and terms are channels, or the other way round for the input gradient. Transformed weights would take 36
numbers a kernel, and reading them longer than transforming them anew: on small planes little else is done.
"""

from __future__ import annotations

import numpy as np

from fastconv import jit
from fastconv.jit.records import Elements
from fastconv.sizes import ceil_div

from .microkernel import columns_of_strip, strip_columns
from .pointers import record
from .shuffles import transpose_part
from .simd import lanes_of
from .winograd_jobs import panels_of

KERNEL = 9  # numbers of a kernel


class Weights(jit.Record):
    """The weights of a convolution: (K, C, 3, 3), or packed; distances in elements."""

    first: Elements
    # of the product: filters and channels, or channels and filters
    rows: int
    terms: int
    # from the kernel of a row to that of the next row, and to that of the next term
    row: int
    term: int
    # whether they are packed, and whether kernels are turned by 180 degrees
    packed: int
    turned: int


def weights_of(filters: int, channels: int, turned: bool, packed: bool) -> Weights:
    """Return all but where the weights begin."""
    forward, back = (filters, channels * KERNEL), (channels, KERNEL)
    (rows, row), (terms, term) = (back, forward) if turned else (forward, back)
    return Weights(rows=rows, terms=terms, row=row, term=term, packed=packed, turned=turned)


@jit.inline
def panel_pitch(zero, terms):
    """Return the elements of a packed panel: there is room for a vector of numbers behind the last."""
    return (terms * KERNEL + lanes_of(zero)) * columns_of_strip(zero)


@jit.inline
def gather_kernels(zero, weights, panel, first, end, to):
    """Write the kernels of terms `first` to `end` - 1 of a panel in packed order, then perhaps a vector of zeros."""
    lanes, columns = lanes_of(zero), columns_of_strip(zero)
    # Numbers that lie one after the other: of all terms, or of one.
    together = end - first if weights.term == KERNEL else 1
    for part in range(0, columns, lanes):
        row = min(panel * columns + part, weights.rows - 1)
        rows = min(lanes, weights.rows - row)
        for term in range(first, end, together):
            source = weights.first + (row * weights.row + term * weights.term)
            for n in range(0, together * KERNEL, lanes):
                count = min(lanes, together * KERNEL - n)
                at = ((term - first) * KERNEL + n) * columns + part
                transpose_part(source + n, weights.row, rows, 0, count, to + at, columns)


class PackJob(jit.Record):
    """What :func:`pack_kernel` works on."""

    weights: Weights
    out: Elements


@jit.kernel
def pack_kernel(t, threads, zero, address):
    """Pack some panels of weights."""
    job = record(PackJob, zero, address)
    weights = job.weights
    panels = panels_of(zero, weights.rows)
    for panel in range(panels * t // threads, panels * (t + 1) // threads):
        gather_kernels(zero, weights, panel, 0, weights.terms, job.out + panel * panel_pitch(zero, weights.terms))


def pack_weights(weight: np.ndarray, turned: bool) -> np.ndarray:
    """Pack (K, C, 3, 3) weights for the forward pass, or `turned` for the input gradient.

    Returns (panels, 9 * terms and a vector's lanes, rows of a panel).
    """
    k, c, _, _ = weight.shape
    weights = weights_of(k, c, turned, packed=False)
    weights.first = jit.address_of(weight)
    columns = strip_columns(weight.dtype)
    panels = ceil_div(weights.rows, columns)
    out = np.empty((panels, weights.terms * KERNEL + jit.lanes(weight.dtype), columns), weight.dtype)
    job = PackJob(weights=weights, out=jit.address_of(out))
    pack_kernel(job, weight.dtype, jit.threads_for(elements=weight.size, most=min(jit.get_num_threads(), panels)))
    return out
