"""The algebra of Winograd's minimal filtering, F(4x4, 3x3) and F(2x2, 3x3), and the points that it uses.

With d the inputs that a tile sees, g the kernel and Y the tile's outputs, for one pair of channels,

    Y = A^T [ (G g G^T) * (B^T d B) ] A           (* element by element)

where the matrices come from the Toom-Cook construction (Lavin and Gray, "Fast algorithms for convolutional neural
networks", arXiv:1509.09308): with interpolation points p, and infinity as the last, row i of G is (1, p, p^2) divided
by the product of (p - q) over the other finite points q; row i of B^T holds the coefficients of the product of (x - q);
column i of A^T the powers of p. F(4x4) uses 0, 2/3, -2/3, 3/2, -3/2 (:data:`NEAR` and :data:`FAR`); F(2x2) uses 0, 1,
-1, and has the first rows of G and B^T with the other sign, which makes the one (1, 0, 0).

These points keep the rounding error near that of direct convolution, five times below that of the usual 1 and 2, and
they are closed under p -> 1/p. Turning a kernel by 180 degrees takes its transform at p to p^2 times the one at 1/p,
so the input gradient, which is a convolution with turned kernels, uses the same transformed weights: the places are
renumbered (:data:`TURNED`) and the factors (:data:`TURNED_FACTORS`) go into A.

The transforms are in :mod:`fastconv.kernels.winograd_inputs` (B), :mod:`fastconv.kernels.winograd_weights` (G) and
:mod:`fastconv.kernels.winograd_outputs` (A).
"""

NEAR, FAR = 2 / 3, 3 / 2
# What G divides by at the points NEAR and -NEAR, and at FAR and -FAR, inverted.
NEAR_SCALE = 1 / (2 * NEAR * NEAR * (NEAR * NEAR - FAR * FAR))
FAR_SCALE = 1 / (2 * FAR * FAR * (FAR * FAR - NEAR * NEAR))

# Place (row or column) i of a turned kernel's transform is TURNED_FACTORS[i] times place TURNED[i] of the kernel's own.
TURNED = {4: (5, 3, 4, 1, 2, 0), 2: (3, 1, 2, 0)}
TURNED_FACTORS = {4: (1.0, -9 / 4, -9 / 4, -4 / 9, -4 / 9, 1.0), 2: (1.0, 1.0, 1.0, 1.0)}
