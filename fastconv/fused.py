"""A 3x3 convolution with fixed weights together with its ReLU and, perhaps, the max pooling behind it.

The three take one pass over memory, forward as well as backward: maxima are taken before outputs are written, and
gradients go back through pooling and ReLU while they are read. A network whose weights never change needs nothing else.
"""

from __future__ import annotations

from fastconv import checks
from fastconv.algorithms import ALGORITHMS, Packing, choose
from fastconv.backend import compiles
from fastconv.geometry import Array, ConvGeometry, Pass
from fastconv.traces import Finish, Gate, Trace

WAYS: tuple[Pass, ...] = ("forward", "input_grad")
FEW_CHANNELS = 4  # with so many or fewer, Winograd's forward pass need not be the fastest


class FusedConv2d:
    """Convolution of stride 1, ReLU, and max pooling of 2x2 where a call says so.

    Parameters
    ----------
    weight : ndarray, shape (K, C, 3, 3), float32 or float64
    bias : ndarray, shape (K,), of the same dtype
    padding : int
        Zeros around the picture.

    Notes
    -----
    Weights are kept in the two forms that Winograd's method reads, one each way. Only the few of a first layer are kept
    as they are, too. One instance serves one thread at a time.
    """

    def __init__(self, weight: Array, bias: Array, padding: int = 1) -> None:
        self._weight_shape = weight.shape
        self._numbers = checks.conv_numbers(1, padding, 1, 1)
        self._bias = bias.copy()
        self._few = weight.shape[1] <= FEW_CHANNELS
        self._packings: dict[tuple[str, Pass], Packing] = {}
        if compiles():
            some = checks.conv_geometry((1, weight.shape[1], 3, 3), weight.shape, self._numbers)
            for pass_ in WAYS:
                self._packings["winograd", pass_] = ALGORITHMS["winograd"].pack(weight, some, pass_, keep=True)
        self._weight = weight.copy() if self._few or not compiles() else None

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """(K, C, 3, 3)."""
        return self._weight_shape

    @staticmethod
    def bytes_needed(weight_shape: tuple[int, ...], itemsize: int) -> int:
        """Return what `nbytes` will be for a compiled one, but for margins and the few weights of a first layer."""
        return itemsize * len(WAYS) * ALGORITHMS["winograd"].packed_size(weight_shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the weights, in all forms that are kept."""
        kept = {id(array): array for packing in self._packings.values() for array in packing}
        if self._weight is not None:
            kept[id(self._weight)] = self._weight  # which may be a packing, too
        return sum(array.nbytes for array in kept.values())

    def forward(self, x: Array, out: Array, trace: Trace | None = None, *, pooled: bool = False) -> None:
        """Write the rectified convolution of `x`, or the maxima of its 2x2 windows.

        Parameters
        ----------
        x : ndarray, shape (N, C, H, W)
        out : ndarray, shape (N, K, P, Q), or (N, K, P // 2, Q // 2) if `pooled`
        trace : ndarray of `Backend.empty_trace`, of the shape of `out`, optional
            For `input_grad`.
        pooled : bool
            Whether to pool.
        """
        geometry = self._geometry(x.shape)
        name = self._algorithm(geometry, "forward")
        finish = Finish(relu=True, pooled=pooled, trace=trace)
        ALGORITHMS[name].forward(x, self._packing(name, geometry, "forward"), self._bias, finish, geometry, out)

    def input_grad(self, gradient: Array, gate: Trace | Array, out: Array, *, pooled: bool = False) -> None:
        """Write the gradient with respect to the input, given the one with respect to the output.

        Parameters
        ----------
        gradient : ndarray, of the shape of the output
            Perhaps overwritten.
        gate : ndarray, of the same shape
            The trace of `forward`; or its output, unless it was `pooled`.
        out : ndarray, shape (N, C, H, W)
        pooled : bool
            As for `forward`.
        """
        geometry = self._geometry(out.shape)
        name = self._algorithm(geometry, "input_grad")
        packing = self._packing(name, geometry, "input_grad")
        ALGORITHMS[name].input_grad(gradient, packing, Gate(gate, pooled), geometry, out)

    def _algorithm(self, geometry: ConvGeometry, pass_: Pass) -> str:
        if (pass_ == "forward" and self._few) or not compiles():
            return choose(geometry, self._bias.dtype, pass_, packed=True)
        return "winograd"

    def _packing(self, name: str, geometry: ConvGeometry, pass_: Pass) -> Packing:
        if (name, pass_) not in self._packings:
            assert self._weight is not None  # kept where another algorithm than Winograd's may be chosen
            self._packings[name, pass_] = ALGORITHMS[name].pack(self._weight, geometry, pass_, keep=True)
        return self._packings[name, pass_]

    def _geometry(self, shape: tuple[int, ...]) -> ConvGeometry:
        return checks.conv_geometry(shape, self._weight_shape, self._numbers)
