"""The transforms of Winograd's minimal filtering, F(4x4, 3x3) and F(2x2, 3x3): inputs, kernels and outputs.

With d the inputs that a tile sees, g the kernel and Y the tile's outputs, for one pair of channels,

    Y = A^T [ (G g G^T) * (B^T d B) ] A           (* element by element)

where the matrices come from the Toom-Cook construction (Lavin and Gray, "Fast algorithms for convolutional neural
networks", arXiv:1509.09308): with interpolation points p, and infinity as the last, row i of G is (1, p, p^2) divided
by the product of (p - q) over the other finite points q; row i of B^T holds the coefficients of the product of (x - q);
column i of A^T the powers of p. F(4x4) uses 0, 2/3, -2/3, 3/2, -3/2 (:data:`NEAR` and :data:`FAR`), which keep the
rounding error near that of direct convolution, five times below that of the usual 1 and 2; F(2x2) uses 0, 1, -1, and
has the first rows of G and B^T with the other sign, which makes the one (1, 0, 0).

The weight gradient is Winograd's, too: a correlation of the same 6x6 patches with E, 4x4 gradients by outputs,

    grad g = A^T [ sum over tiles of (G E G^T) * (B^T d B) ] A

where G is now 6x4 and A^T 3x6, of the same points.

A vector holds the same number of neighbouring channels. The functions go from memory to memory: `pitch` is what lies
between neighbouring rows, columns or numbers, as each tells.
"""

from __future__ import annotations

from fastconv import jit

from .simd import as_type, fma, lanes_of, load, splat, store

NEAR, FAR = 2 / 3, 3 / 2
# What G divides by at the points NEAR and -NEAR, and at FAR and -FAR, inverted.
NEAR_SCALE = 1 / (2 * NEAR * NEAR * (NEAR * NEAR - FAR * FAR))
FAR_SCALE = 1 / (2 * FAR * FAR * (FAR * FAR - NEAR * NEAR))

PATCH_VECTORS = 36  # the most numbers of a patch on its way


@jit.inline
def _scaled(zero, factor, vector):
    return splat(as_type(zero, factor)) * vector


@jit.inline
def _added(zero, factor, vector, term):
    return fma(splat(as_type(zero, factor)), vector, term)


# --- one dimension --------------------------------------------------------------------------------------------------


@jit.inline
def _input_4(zero, d0, d1, d2, d3, d4, d5):
    """Return B^T d."""
    even_near, odd_near = _added(zero, -FAR * FAR, d2, d4), _added(zero, -FAR * FAR, d1, d3)
    even_far, odd_far = _added(zero, -NEAR * NEAR, d2, d4), _added(zero, -NEAR * NEAR, d1, d3)
    both = -(NEAR * NEAR + FAR * FAR)
    return (
        _added(zero, both, d2, d0 + d4),
        _added(zero, NEAR, odd_near, even_near),
        _added(zero, -NEAR, odd_near, even_near),
        _added(zero, FAR, odd_far, even_far),
        _added(zero, -FAR, odd_far, even_far),
        _added(zero, both, d3, d1 + d5),
    )


@jit.inline
def _kernel_4(zero, g0, g1, g2):
    """Return G g."""
    even_near = _added(zero, NEAR_SCALE * NEAR * NEAR, g2, _scaled(zero, NEAR_SCALE, g0))
    even_far = _added(zero, FAR_SCALE * FAR * FAR, g2, _scaled(zero, FAR_SCALE, g0))
    odd_near, odd_far = _scaled(zero, NEAR_SCALE * NEAR, g1), _scaled(zero, FAR_SCALE * FAR, g1)
    return g0, even_near + odd_near, even_near - odd_near, even_far + odd_far, even_far - odd_far, g2


@jit.inline
def _output_4(zero, m0, m1, m2, m3, m4, m5):
    """Return A^T m."""
    sum_near, difference_near = m1 + m2, m1 - m2
    sum_far, difference_far = m3 + m4, m3 - m4
    return (
        m0 + sum_near + sum_far,
        _added(zero, FAR, difference_far, _scaled(zero, NEAR, difference_near)),
        _added(zero, FAR * FAR, sum_far, _scaled(zero, NEAR * NEAR, sum_near)),
        _added(zero, FAR * FAR * FAR, difference_far, _added(zero, NEAR * NEAR * NEAR, difference_near, m5)),
    )


@jit.inline
def _gradient_4(zero, e0, e1, e2, e3):
    """Return G e, for the weight gradient."""
    even_near = _added(zero, NEAR_SCALE * NEAR * NEAR, e2, _scaled(zero, NEAR_SCALE, e0))
    odd_near = _added(zero, NEAR_SCALE * NEAR * NEAR * NEAR, e3, _scaled(zero, NEAR_SCALE * NEAR, e1))
    even_far = _added(zero, FAR_SCALE * FAR * FAR, e2, _scaled(zero, FAR_SCALE, e0))
    odd_far = _added(zero, FAR_SCALE * FAR * FAR * FAR, e3, _scaled(zero, FAR_SCALE * FAR, e1))
    return e0, even_near + odd_near, even_near - odd_near, even_far + odd_far, even_far - odd_far, e3


@jit.inline
def _sum_4(zero, m0, m1, m2, m3, m4, m5):
    """Return A^T m, for the weight gradient."""
    sum_near, sum_far = m1 + m2, m3 + m4
    return (
        m0 + sum_near + sum_far,
        _added(zero, NEAR, m1 - m2, _scaled(zero, FAR, m3 - m4)),
        _added(zero, NEAR * NEAR, sum_near, _added(zero, FAR * FAR, sum_far, m5)),
    )


@jit.inline
def _kernel_2(zero, g0, g1, g2):
    """Return G g."""
    even, odd = _scaled(zero, 0.5, g0 + g2), _scaled(zero, 0.5, g1)
    return g0, even + odd, even - odd, g2


@jit.inline
def _load_6(source, pitch):
    return (
        load(source), load(source + pitch), load(source + 2 * pitch), load(source + 3 * pitch),
        load(source + 4 * pitch), load(source + 5 * pitch),
    )  # fmt: skip


@jit.inline
def _store_6(to, pitch, t):
    store(to, t[0])
    store(to + pitch, t[1])
    store(to + 2 * pitch, t[2])
    store(to + 3 * pitch, t[3])
    store(to + 4 * pitch, t[4])
    store(to + 5 * pitch, t[5])


# --- two dimensions, F(4x4, 3x3) ------------------------------------------------------------------------------------


@jit.inline
def _patch_4(zero, source, pitch, to, place, spare):
    lanes = lanes_of(zero)
    for j in range(6):
        d0, d1, d2, d3, d4, d5 = _load_6(source + j * lanes, pitch)
        _store_6(spare + j * lanes, 6 * lanes, _input_4(zero, d0, d1, d2, d3, d4, d5))
    for i in range(6):
        d0, d1, d2, d3, d4, d5 = _load_6(spare + i * 6 * lanes, lanes)
        _store_6(to + i * 6 * place, place, _input_4(zero, d0, d1, d2, d3, d4, d5))


@jit.inline
def _weights_4(zero, g, pitch, to, place):
    a = _kernel_4(zero, load(g), load(g + 3 * pitch), load(g + 6 * pitch))
    g += pitch
    b = _kernel_4(zero, load(g), load(g + 3 * pitch), load(g + 6 * pitch))
    g += pitch
    c = _kernel_4(zero, load(g), load(g + 3 * pitch), load(g + 6 * pitch))
    _store_6(to, place, _kernel_4(zero, a[0], b[0], c[0]))
    _store_6(to + 6 * place, place, _kernel_4(zero, a[1], b[1], c[1]))
    _store_6(to + 12 * place, place, _kernel_4(zero, a[2], b[2], c[2]))
    _store_6(to + 18 * place, place, _kernel_4(zero, a[3], b[3], c[3]))
    _store_6(to + 24 * place, place, _kernel_4(zero, a[4], b[4], c[4]))
    _store_6(to + 30 * place, place, _kernel_4(zero, a[5], b[5], c[5]))


@jit.inline
def _products_4(zero, m, place, to, pitch, spare):
    lanes = lanes_of(zero)
    for j in range(6):
        m0, m1, m2, m3, m4, m5 = _load_6(m + j * place, 6 * place)
        y0, y1, y2, y3 = _output_4(zero, m0, m1, m2, m3, m4, m5)
        store(spare + j * lanes, y0)
        store(spare + (6 + j) * lanes, y1)
        store(spare + (12 + j) * lanes, y2)
        store(spare + (18 + j) * lanes, y3)
    for i in range(4):
        m0, m1, m2, m3, m4, m5 = _load_6(spare + i * 6 * lanes, lanes)
        y0, y1, y2, y3 = _output_4(zero, m0, m1, m2, m3, m4, m5)
        row = to + i * pitch
        store(row, y0)
        store(row + lanes, y1)
        store(row + 2 * lanes, y2)
        store(row + 3 * lanes, y3)


# --- two dimensions, F(2x2, 3x3) ------------------------------------------------------------------------------------


@jit.inline
def _patch_2(zero, source, pitch, to, place, spare):
    lanes = lanes_of(zero)
    for j in range(4):
        d = source + j * lanes
        d0, d1, d2, d3 = load(d), load(d + pitch), load(d + 2 * pitch), load(d + 3 * pitch)
        store(spare + j * lanes, d0 - d2)
        store(spare + (4 + j) * lanes, d1 + d2)
        store(spare + (8 + j) * lanes, d2 - d1)
        store(spare + (12 + j) * lanes, d3 - d1)
    for i in range(4):
        d = spare + i * 4 * lanes
        d0, d1, d2, d3 = load(d), load(d + lanes), load(d + 2 * lanes), load(d + 3 * lanes)
        row = to + i * 4 * place
        store(row, d0 - d2)
        store(row + place, d1 + d2)
        store(row + 2 * place, d2 - d1)
        store(row + 3 * place, d3 - d1)


@jit.inline
def _store_4(to, pitch, t):
    store(to, t[0])
    store(to + pitch, t[1])
    store(to + 2 * pitch, t[2])
    store(to + 3 * pitch, t[3])


@jit.inline
def _weights_2(zero, g, pitch, to, place):
    a = _kernel_2(zero, load(g), load(g + 3 * pitch), load(g + 6 * pitch))
    g += pitch
    b = _kernel_2(zero, load(g), load(g + 3 * pitch), load(g + 6 * pitch))
    g += pitch
    c = _kernel_2(zero, load(g), load(g + 3 * pitch), load(g + 6 * pitch))
    _store_4(to, place, _kernel_2(zero, a[0], b[0], c[0]))
    _store_4(to + 4 * place, place, _kernel_2(zero, a[1], b[1], c[1]))
    _store_4(to + 8 * place, place, _kernel_2(zero, a[2], b[2], c[2]))
    _store_4(to + 12 * place, place, _kernel_2(zero, a[3], b[3], c[3]))


@jit.inline
def _products_2(zero, m, place, to, pitch, spare):
    lanes = lanes_of(zero)
    for j in range(4):
        column = m + j * place
        m0, m1 = load(column), load(column + 4 * place)
        m2, m3 = load(column + 8 * place), load(column + 12 * place)
        store(spare + j * lanes, m0 + m1 + m2)
        store(spare + (4 + j) * lanes, m1 - m2 + m3)
    for i in range(2):
        row = spare + i * 4 * lanes
        m0, m1, m2, m3 = load(row), load(row + lanes), load(row + 2 * lanes), load(row + 3 * lanes)
        store(to + i * pitch, m0 + m1 + m2)
        store(to + (i * pitch + lanes), m1 - m2 + m3)


# --- of both sizes --------------------------------------------------------------------------------------------------


@jit.inline
def transform_patch(zero, size, source, pitch, to, place, spare):
    """Transform a patch of inputs: B^T d B.

    Parameters
    ----------
    zero : float32 or float64
    size : intp
        4 or 2: outputs along a side of a tile.
    source, pitch : pointer, intp
        The patch, neighbouring vectors along its rows, and elements from row to row.
    to, place : pointer, intp
        The first number of the transform, and elements from one to the next.
    spare : pointer
        To :data:`PATCH_VECTORS` vectors.
    """
    if size == 4:
        _patch_4(zero, source, pitch, to, place, spare)
    else:
        _patch_2(zero, source, pitch, to, place, spare)


@jit.inline
def transform_weights(zero, size, g, pitch, to, place):
    """Transform kernels: G g G^T.

    Parameters
    ----------
    zero, size, to, place
        As in :func:`transform_patch`.
    g, pitch : pointer, intp
        The first of a kernel's nine numbers, and elements from each to the next; negative for a kernel that is turned
        by 180 degrees.
    """
    if size == 4:
        _weights_4(zero, g, pitch, to, place)
    else:
        _weights_2(zero, g, pitch, to, place)


@jit.inline
def transform_products(zero, size, m, place, to, pitch, spare):
    """Transform products to outputs: A^T m A.

    Parameters
    ----------
    zero, size, spare
        As in :func:`transform_patch`.
    m, place : pointer, intp
        The first product of the tile, and elements from one to the next.
    to, pitch : pointer, intp
        The tile: neighbouring vectors along its rows, and elements from row to row.
    """
    if size == 4:
        _products_4(zero, m, place, to, pitch, spare)
    else:
        _products_2(zero, m, place, to, pitch, spare)


# --- of the weight gradient -----------------------------------------------------------------------------------------


@jit.inline
def transform_gradient(zero, source, pitch, to, place, spare):
    """Transform a tile of 4x4 output gradients: G E G^T; the parameters are those of :func:`transform_patch`."""
    lanes = lanes_of(zero)
    for j in range(4):
        e = source + j * lanes
        t = _gradient_4(zero, load(e), load(e + pitch), load(e + 2 * pitch), load(e + 3 * pitch))
        _store_6(spare + j * lanes, 4 * lanes, t)
    for i in range(6):
        e = spare + i * 4 * lanes
        t = _gradient_4(zero, load(e), load(e + lanes), load(e + 2 * lanes), load(e + 3 * lanes))
        _store_6(to + i * 6 * place, place, t)


@jit.inline
def transform_sums(zero, m, place, to, pitch, spare):
    """Transform sums to gradients of kernels: A^T m A; nine numbers that lie `pitch` elements apart."""
    lanes = lanes_of(zero)
    for j in range(6):
        m0, m1, m2, m3, m4, m5 = _load_6(m + j * place, 6 * place)
        y0, y1, y2 = _sum_4(zero, m0, m1, m2, m3, m4, m5)
        store(spare + j * lanes, y0)
        store(spare + (6 + j) * lanes, y1)
        store(spare + (12 + j) * lanes, y2)
    for i in range(3):
        m0, m1, m2, m3, m4, m5 = _load_6(spare + i * 6 * lanes, lanes)
        y0, y1, y2 = _sum_4(zero, m0, m1, m2, m3, m4, m5)
        store(to + i * 3 * pitch, y0)
        store(to + (i * 3 + 1) * pitch, y1)
        store(to + (i * 3 + 2) * pitch, y2)
