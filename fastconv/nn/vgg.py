"""VGG-19 with fixed weights: features of a picture, and the gradient of a loss on them.

Simonyan and Zisserman, arXiv:1409.1556, table 1, column E, without the classifier: five blocks of 3x3
convolutions, each followed by a ReLU, and a 2x2 pooling after each block.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastconv.arrays import LINE, aligned
from fastconv.backend import Trace, backend
from fastconv.fused import FusedConv2d
from fastconv.nn.layers import Differentiable, float_dtype
from fastconv.pool import avg_pool2d, avg_pool2d_backward, max_pool2d

Array = NDArray[Any]
AddGradient: TypeAlias = Callable[[Array, Array], None]
"""Given features and an array, adds the gradient of a loss with respect to the former to the latter."""

MEAN_RGB = (123.68, 116.779, 103.939)
"""Mean pixel of the training pictures, which the network expects to be subtracted."""


class LayerSpec(NamedTuple):
    """One row of the table of layers: what it gives, and from which weights."""

    name: str
    """Of its output: "relu1_1" (a convolution and its ReLU are one layer here) or "pool1"."""
    weights: str | None
    """Key of the convolution's weights, None for a pooling."""


POOLINGS = ("max", "average")

PADDINGS = ("zeros", "replicate")
"""Of the first convolution."""

CONVOLUTIONS_PER_BLOCK = (2, 2, 4, 4, 4)


def _table() -> tuple[LayerSpec, ...]:
    rows = []
    for block, count in enumerate(CONVOLUTIONS_PER_BLOCK, start=1):
        rows += [LayerSpec(f"relu{block}_{i}", f"conv{block}_{i}") for i in range(1, count + 1)]
        rows.append(LayerSpec(f"pool{block}", None))
    return tuple(rows)


LAYERS = _table()
"""The network, from the picture down."""

LAYER_NAMES = tuple(layer.name for layer in LAYERS)
"""What `VGG19.forward` can be asked for."""

_CONVOLUTIONS = tuple(layer.weights for layer in LAYERS if layer.weights)


def weights_for(names: Collection[str]) -> tuple[str, ...]:
    """Return the keys of the weights that a network needs for the features of these layers."""
    deepest = max(map(LAYER_NAMES.index, names), default=-1)
    return tuple(layer.weights for layer in LAYERS[: deepest + 1] if layer.weights)


class _Stage(NamedTuple):
    """What runs at once: a layer, or a convolution with the max pooling behind it."""

    name: str
    """Of the layer whose output it is."""
    weights: str | None
    """Key of the convolution's weights, None for a pooling by itself."""
    pooled: bool
    """Whether a max pooling is part of it."""
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]


class _Record(NamedTuple):
    """What the backward pass needs to know of a stage that has run."""

    stage: _Stage
    features: Array | None
    """The output, if it was asked for."""
    trace: Trace | None
    """What is left of a ReLU or a pooling else."""


class _Layout(NamedTuple):
    """How large the arrays of a pass are, in numbers, and where what lies in them."""

    turns: tuple[int, int]
    features: int
    places: dict[str, int]
    """Where in the array of features those of a layer begin."""
    traces: dict[str, tuple[int, ...]]
    """The shapes of traces, by the stages that leave them."""


def _lay_out(stages: Sequence[_Stage], wanted: Collection[str], needs_gradient: bool, itemsize: int) -> _Layout:
    sizes = [math.prod(stage.output_shape) for stage in stages]
    turns = max(sizes[0::2]), max(sizes[1::2], default=0)
    if not needs_gradient:
        return _Layout(turns, 0, {}, {})
    places, end, line = {}, 0, LINE // itemsize
    # The first layer's features are the largest and the cheapest: they are computed again.
    for stage, size in zip(stages[1:], sizes[1:], strict=True):
        if stage.name in wanted:
            places[stage.name] = end
            end += -(-size // line) * line
    # Features that are kept tell as much as the trace of a ReLU.
    traces = {
        stage.name: stage.output_shape
        for number, stage in enumerate(stages)
        if stage.pooled or (stage.weights is not None and number > 0 and stage.name not in places)
    }
    return _Layout(turns, max(sizes[0], end), places, traces)


class _Buffers:
    """The arrays of a pass, which the next pass over a picture of the same size finds again.

    Features that nobody asked for, and gradients, live in two arrays by turns: those of stage i in array i % 2.
    Features that were asked for lie in a third one, which takes those of the first layer when the others have served.
    """

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self._dtype = dtype
        self._key: object = None
        self._turns: list[Array] = []
        self._features = np.empty(0, dtype)
        self._layout = _Layout((0, 0), 0, {}, {})
        self._traces: dict[str, Trace] = {}

    def prepare(self, stages: Sequence[_Stage], wanted: Collection[str], needs_gradient: bool) -> None:
        """Begin a pass; let go of the arrays of a pass of another kind."""
        key = tuple(stages), frozenset(wanted), needs_gradient
        if key == self._key:
            return
        self._key = None
        self._turns.clear()
        self._traces.clear()
        self._features = np.empty(0, self._dtype)
        self._layout = _lay_out(stages, wanted, needs_gradient, self._dtype.itemsize)
        self._turns += [aligned(size, self._dtype) for size in self._layout.turns]
        self._features = aligned(self._layout.features, self._dtype)
        self._key = key

    def turn(self, number: int, shape: tuple[int, ...]) -> Array:
        """Return the array for stage `number`, which the stage after the next one overwrites."""
        return self._turns[number % 2][: math.prod(shape)].reshape(shape)

    def features(self, stage: _Stage) -> Array:
        """Return an array for features that were asked for, or for those of the first layer when they are done with."""
        first = self._layout.places.get(stage.name, 0)
        return self._features[first : first + math.prod(stage.output_shape)].reshape(stage.output_shape)

    def keeps(self, stage: _Stage) -> bool:
        """Tell whether the features of a stage are kept for the backward pass."""
        return stage.name in self._layout.places

    def trace(self, stage: _Stage) -> Trace | None:
        """Return an array for a stage's trace, which stays until the next pass; None if it leaves none."""
        if stage.name not in self._layout.traces:
            return None
        if stage.name not in self._traces:
            self._traces[stage.name] = backend().empty_trace(stage.output_shape)
        return self._traces[stage.name]


class PassBytes(NamedTuple):
    """Bytes of the arrays that a pass through the network works on, which it keeps for the next one."""

    turns: tuple[int, int]
    """Of the two that hold by turns what lies between layers."""
    features: int
    """Of features that were asked for."""
    traces: tuple[int, ...]
    """Of what is left of the other layers, each by itself."""

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.turns) + self.features + sum(self.traces)


def bytes_needed(
    size: tuple[int, int],
    names: Iterable[str],
    channels: Mapping[str, int],
    *,
    dtype: DTypeLike = np.float32,
    pooling: str = "max",
    needs_gradient: bool = True,
) -> PassBytes:
    """Tell how much memory `VGG19.walk`, and `backward` after it, will allocate for a picture; no weights are needed.

    Parameters
    ----------
    size : (int, int)
        Height and width of the picture.
    names : iterable of str
        Layers that will be asked for, out of `LAYER_NAMES`.
    channels : mapping of str to int
        Number of filters of each convolution, by the keys of its weights, as in `VGG19`.
    dtype, pooling
        As for `VGG19`.
    needs_gradient : bool
        As for `VGG19.walk`.

    Returns
    -------
    PassBytes
        But for the margins of a few cache lines around each array.
    """
    wanted = _check_names(names)
    stages = _stages((1, 3, *size), _path_to(wanted), wanted, channels, max_pooling=pooling == "max")
    itemsize = float_dtype(dtype).itemsize
    layout = _lay_out(stages, wanted, needs_gradient, itemsize)
    first, second = (itemsize * numbers for numbers in layout.turns)
    return PassBytes((first, second), itemsize * layout.features, tuple(map(math.prod, layout.traces.values())))


class VGG19(Differentiable):
    """The convolutional part of VGG-19, with frozen weights.

    Parameters
    ----------
    layers : mapping of str to (weight, bias)
        "conv1_1" to "conv5_4", as far down as will be asked for: weights (K, C, 3, 3), those of conv1_1 for
        channels in the order red, green, blue, and biases (K,). The channel counts may differ from VGG-19's
        as long as they fit together. Other keys are ignored.
    dtype : float32 or float64
        Of the computation, the features and the gradients.
    pooling : {"max", "average"}
        The original network's, or the one whose pictures Gatys, Ecker and Bethge preferred
        (arXiv:1508.06576, methods). Averages are doubled, since the weights were trained with maxima, which are
        about twice as large.
    padding : {"zeros", "replicate"}
        What the first convolution sees around the picture: the original network's zeros, which are the mean
        pixel and so an edge to most pictures, or the picture's outermost pixels. Deeper layers always pad with
        zeros.

    Notes
    -----
    A convolution's weights are packed when a pass first reaches it, and the original is then let go. Between
    `walk` and `backward` the network remembers the features that were asked for, and of every other layer a
    byte an output or less. Those of relu1_1, the largest, are computed again when they are needed. All of that
    memory is used again by the next pass. So one network serves one thread at a time.
    """

    def __init__(
        self,
        layers: Mapping[str, tuple[Array, Array]],
        *,
        dtype: DTypeLike = np.float32,
        pooling: str = "max",
        padding: str = "zeros",
    ) -> None:
        if pooling not in POOLINGS:
            raise ValueError(f"pooling must be one of {', '.join(POOLINGS)}, got {pooling!r}")
        if padding not in PADDINGS:
            raise ValueError(f"padding must be one of {', '.join(PADDINGS)}, got {padding!r}")
        _check_weights(layers)
        self.dtype = float_dtype(dtype)
        self._max_pooling = pooling == "max"
        self._replicate = padding == "replicate"
        self._unpacked = {name: layers[name] for name in _CONVOLUTIONS if name in layers}
        self._channels = {name: len(weight) for name, (weight, _) in self._unpacked.items()}
        self._convolutions: dict[str, FusedConv2d] = {}
        self._buffers = _Buffers(self.dtype)

    def forward(self, image: Array, names: Iterable[str], *, needs_gradient: bool = True) -> dict[str, Array]:
        """Compute the features of a picture; as `walk`, but they are returned all at once, in arrays of their own.

        Returns
        -------
        dict of str to ndarray
            The features after each layer that was asked for, shape (N, C, h, w), in the network's order and
            dtype.
        """
        walk = self.walk(image, names, needs_gradient=needs_gradient)
        return {name: features.copy() for name, features in walk}

    def walk(self, image: Array, names: Iterable[str], *, needs_gradient: bool = True) -> Iterator[tuple[str, Array]]:
        """Go over the features of a picture, down to the deepest layer that is asked for.

        Parameters
        ----------
        image : ndarray, shape (N, 3, H, W)
            RGB, 0 to 255, any real dtype; the mean is subtracted here.
        names : iterable of str
            Layers out of `LAYER_NAMES`.
        needs_gradient : bool
            False saves time and memory where no `backward` will follow.

        Yields
        ------
        name : str
            A layer that was asked for; they come in the network's order.
        features : ndarray, shape (N, C, h, w)
            Its features, in the network's dtype. Not to be written to, and overwritten after the next step of
            this iteration: copy what is needed for longer.

        Raises
        ------
        TypeError
            If `image` does not hold real numbers, or `names` is a single string.
        ValueError
            If a name is unknown or none is given, a layer's weights are missing, or the picture has another
            shape or is too small to be pooled so often.
        """
        self._saved = None
        wanted = _check_names(names)
        path = _path_to(wanted)
        _check_image(image, path)
        for layer in path:
            self._check_present(layer)
        border = 1 if self._replicate else 0
        stages = _stages(image.shape, path, wanted, self._channels, max_pooling=self._max_pooling, border=border)
        return self._walk(self._centred(image), stages, wanted, needs_gradient)

    def _walk(
        self, picture: Array, stages: Sequence[_Stage], wanted: set[str], needs_gradient: bool
    ) -> Iterator[tuple[str, Array]]:
        self._buffers.prepare(stages, wanted, needs_gradient)
        tape: list[_Record] = []
        x = picture
        for number, stage in enumerate(stages):
            kept = self._buffers.keeps(stage)
            y = self._buffers.features(stage) if kept else self._buffers.turn(number, stage.output_shape)
            trace = self._buffers.trace(stage)
            self._run(stage, x, y, trace)
            tape.append(_Record(stage, y if kept else None, trace))
            if stage.name in wanted:
                yield stage.name, y
            x = y
        if needs_gradient:
            self._save((picture, tape, wanted))

    def backward(self, gradients: Mapping[str, Array | AddGradient]) -> Array:
        """Compute the gradient of a loss with respect to the picture of the last pass, in one pass.

        Parameters
        ----------
        gradients : mapping of str to ndarray or callable
            For each layer the loss depends on, among those asked for, the gradient with respect to its
            features: an array of their shape and the network's dtype, or a function of the features and an
            array of their shape, which adds the gradient to the latter. It is called when the pass arrives
            there, so that not all of these gradients exist at once.

        Returns
        -------
        ndarray, shape (N, 3, H, W)
            In the network's dtype.

        Raises
        ------
        RuntimeError
            If no pass that needs a gradient came to its end before, or its gradient has been taken already.
        TypeError
            If a gradient has another dtype than the network.
        ValueError
            If a layer was not asked for, none is given, or a gradient has another shape than its features.
        """
        picture, tape, wanted = self._take()
        if not gradients or not wanted.issuperset(gradients):
            raise ValueError(
                f"gradients must be given for one or more of {', '.join(sorted(wanted))}, "
                f"got {', '.join(gradients) or 'none'}"
            )
        gradient: Array | None = None
        for number in reversed(range(len(tape))):
            stage, features, trace = tape[number]
            if gradient is None and stage.name not in gradients:
                continue
            if not number:
                features = self._buffers.features(stage)
                self._run(stage, picture, features, None)
            if gradient is None:
                gradient = self._buffers.turn(number, stage.output_shape)
                gradient[...] = 0
            if stage.name in gradients:
                _add(gradients[stage.name], features, gradient, stage.name)
            if number:
                out = self._buffers.turn(number - 1, stage.input_shape)
            else:
                out = np.empty(stage.input_shape, self.dtype)
            self._pull_back(stage, features if trace is None else trace, gradient, out)
            gradient = out
        assert gradient is not None
        return _fold_border(gradient) if self._replicate else gradient

    def _centred(self, image: Array) -> Array:
        """Return the picture as the first convolution takes it: less the mean, with a border if it needs one."""
        mean = np.reshape(MEAN_RGB, (3, 1, 1))
        x: Array = np.subtract(image, mean, dtype=self.dtype, casting="same_kind", order="C")
        return np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge") if self._replicate else x

    def _run(self, stage: _Stage, x: Array, y: Array, trace: Trace | None) -> None:
        if stage.weights is not None:
            self._convolution(stage.weights).forward(x, y, trace, pooled=stage.pooled)
        elif trace is not None:
            backend().pool_relu(x, y, trace)
        elif self._max_pooling:
            max_pool2d(x, 2, out=y)
        else:
            avg_pool2d(x, 2, divisor_override=2, out=y)

    def _pull_back(self, stage: _Stage, gate: Array | None, gradient: Array, out: Array) -> None:
        """Write the gradient with respect to a stage's input to `out`; `gradient` may be overwritten."""
        if stage.weights is not None:
            assert gate is not None
            self._convolution(stage.weights).input_grad(gradient, gate, out, pooled=stage.pooled)
        elif stage.pooled:
            assert gate is not None
            backend().pool_relu_backward(gradient, gate, out)
        else:
            avg_pool2d_backward(gradient, stage.input_shape, 2, divisor_override=2, out=out)

    def _convolution(self, name: str) -> FusedConv2d:
        if name not in self._convolutions:
            weight, bias = (np.ascontiguousarray(array, self.dtype) for array in self._unpacked[name])
            padding = 0 if self._replicate and name == _CONVOLUTIONS[0] else 1
            self._convolutions[name] = FusedConv2d(weight, bias, padding)
            del self._unpacked[name]
        return self._convolutions[name]

    def _check_present(self, layer: LayerSpec) -> None:
        if layer.weights is not None and layer.weights not in self._channels:
            raise ValueError(f"layers has no {layer.weights!r}, which is needed for the features asked for")


def _path_to(wanted: Collection[str]) -> tuple[LayerSpec, ...]:
    """Return the layers down to the deepest one that is wanted."""
    return LAYERS[: 1 + max(map(LAYER_NAMES.index, wanted))]


def _stages(
    shape: tuple[int, ...],
    path: Sequence[LayerSpec],
    wanted: Collection[str],
    channels: Mapping[str, int],
    *,
    max_pooling: bool,
    border: int = 0,
) -> list[_Stage]:
    """Return what will run for a picture of that shape, which gets a border of so many pixels."""
    n, planes, height, width = shape
    inputs: tuple[int, ...] = (n, planes, height + 2 * border, width + 2 * border)
    stages: list[_Stage] = []
    for layer in path:
        before = stages[-1] if stages else None
        if before is not None:
            inputs = before.output_shape
        if layer.weights is not None:
            planes = channels[layer.weights]
            stages.append(_Stage(layer.name, layer.weights, False, inputs, (n, planes, height, width)))
            continue
        assert before is not None
        height, width = height // 2, width // 2
        outputs = n, planes, height, width
        if max_pooling and before.name not in wanted:
            stages[-1] = _Stage(layer.name, before.weights, True, before.input_shape, outputs)
        else:
            stages.append(_Stage(layer.name, None, max_pooling, inputs, outputs))
    return stages


def _add(given: Array | AddGradient, features: Array | None, total: Array, name: str) -> None:
    """Add a loss's gradient with respect to a layer's features to that of what lies deeper."""
    if not isinstance(given, np.ndarray):
        assert features is not None  # they were asked for
        given(features, total)
        return
    if given.shape != total.shape:
        raise ValueError(f"gradients[{name!r}] must have its features' shape {total.shape}, got {given.shape}")
    if given.dtype != total.dtype:
        raise TypeError(f"gradients[{name!r}] must be {total.dtype}, got {given.dtype}")
    total += given


def _fold_border(gradient: Array) -> Array:
    """Add the gradient of a border of repeated pixels to that of the pixels: the transpose of `np.pad`."""
    rows = gradient[:, :, 1:-1].copy()
    rows[:, :, 0] += gradient[:, :, 0]
    rows[:, :, -1] += gradient[:, :, -1]
    columns = rows[:, :, :, 1:-1].copy()
    columns[:, :, :, 0] += rows[:, :, :, 0]
    columns[:, :, :, -1] += rows[:, :, :, -1]
    return columns


def _check_names(names: Iterable[str]) -> set[str]:
    if isinstance(names, str):
        raise TypeError(f"names must be a list of layer names, got the string {names!r}")
    wanted = set(names)
    if not wanted:
        raise ValueError("names must hold at least one layer name, got none")
    unknown = wanted.difference(LAYER_NAMES)
    if unknown:
        raise ValueError(f"names must be out of {', '.join(LAYER_NAMES)}; got {', '.join(sorted(unknown))}")
    return wanted


def _check_image(image: Array, path: tuple[LayerSpec, ...]) -> None:
    if image.dtype.kind not in "uif":
        raise TypeError(f"image must hold real numbers, got dtype {image.dtype}")
    if image.ndim != 4 or image.shape[1] != 3:
        raise ValueError(f"image must have shape (N, 3, H, W), got {image.shape}")
    smallest = 2 ** sum(layer.weights is None for layer in path)
    if min(image.shape[2:]) < smallest:
        raise ValueError(
            f"image must have at least {smallest} rows and columns to reach {path[-1].name}, "
            f"got {image.shape[2]} x {image.shape[3]}"
        )


def _check_weights(layers: Mapping[str, tuple[Array, Array]]) -> None:
    channels: int | None = 3
    for name in _CONVOLUTIONS:
        if name not in layers:
            channels = None  # nothing to compare the next one's input with
            continue
        weight, bias = layers[name]
        if weight.ndim != 4 or weight.shape[1:] != (channels or weight.shape[1], 3, 3):
            raise ValueError(
                f"layers[{name!r}] must have a weight of shape (K, {channels or 'C'}, 3, 3), got {weight.shape}"
            )
        if bias.shape != weight.shape[:1]:
            raise ValueError(f"layers[{name!r}] must have a bias of shape {weight.shape[:1]}, got {bias.shape}")
        channels = weight.shape[0]
