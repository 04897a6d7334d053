"""A pass over VGG-19: what runs in which order for a picture, and the arrays that it works on."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from fastconv.allocation import aligned, whole_lines
from fastconv.backend import backend
from fastconv.geometry import Array
from fastconv.nn.layers import float_dtype
from fastconv.nn.vgg_layers import LayerSpec, check_names, path_to
from fastconv.traces import Trace


class Stage(NamedTuple):
    """What runs at once: a layer, or a convolution with the max pooling behind it."""

    name: str
    """Of the layer whose output it is."""
    weights: str | None
    """Key of the convolution's weights, None for a pooling by itself."""
    pooled: bool
    """Whether a max pooling is part of it."""
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]


def stages_of(
    shape: tuple[int, ...],
    path: Sequence[LayerSpec],
    wanted: Collection[str],
    channels: Mapping[str, int],
    *,
    max_pooling: bool,
    border: int = 0,
) -> list[Stage]:
    """Return what will run for a picture of that shape, which gets a border of so many pixels."""
    n, planes, height, width = shape
    inputs: tuple[int, ...] = (n, planes, height + 2 * border, width + 2 * border)
    stages: list[Stage] = []
    for layer in path:
        before = stages[-1] if stages else None
        if before is not None:
            inputs = before.output_shape
        if layer.weights is not None:
            planes = channels[layer.weights]
            stages.append(Stage(layer.name, layer.weights, False, inputs, (n, planes, height, width)))
            continue
        assert before is not None
        height, width = height // 2, width // 2
        outputs = n, planes, height, width
        if max_pooling and before.name not in wanted:
            stages[-1] = Stage(layer.name, before.weights, True, before.input_shape, outputs)
        else:
            stages.append(Stage(layer.name, None, max_pooling, inputs, outputs))
    return stages


class Layout(NamedTuple):
    """How large the arrays of a pass are, in numbers, and where what lies in them."""

    turns: tuple[int, int]
    features: int
    places: dict[str, int]
    """Where in the array of features those of a layer begin."""
    traces: dict[str, tuple[int, ...]]
    """The shapes of traces, by the stages that leave them."""


def lay_out(stages: Sequence[Stage], wanted: Collection[str], needs_gradient: bool, itemsize: int) -> Layout:
    """Say which arrays a pass needs, and where what lies in them."""
    sizes = [math.prod(stage.output_shape) for stage in stages]
    turns = max(sizes[0::2]), max(sizes[1::2], default=0)
    if not needs_gradient:
        return Layout(turns, 0, {}, {})
    places, end = {}, 0
    # The first layer's features are the largest and the cheapest: they are computed again.
    for stage, size in zip(stages[1:], sizes[1:], strict=True):
        if stage.name in wanted:
            places[stage.name] = end
            end += whole_lines(size, itemsize)
    # Features that are kept tell as much as the trace of a ReLU.
    traces = {
        stage.name: stage.output_shape
        for number, stage in enumerate(stages)
        if stage.pooled or (stage.weights is not None and number > 0 and stage.name not in places)
    }
    return Layout(turns, max(sizes[0], end), places, traces)


class Buffers:
    """The arrays of a pass, which the next pass over a picture of the same size finds again.

    Features that nobody asked for, and gradients, live in two arrays by turns: those of stage i in array i % 2.
    Features that were asked for lie in a third one, which takes those of the first layer when the others have served.
    """

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self._dtype = dtype
        self._key: object = None
        self._turns: list[Array] = []
        self._features = np.empty(0, dtype)
        self._layout = Layout((0, 0), 0, {}, {})
        self._traces: dict[str, Trace] = {}

    def prepare(self, stages: Sequence[Stage], wanted: Collection[str], needs_gradient: bool) -> None:
        """Begin a pass; let go of the arrays of a pass of another kind."""
        key = tuple(stages), frozenset(wanted), needs_gradient
        if key == self._key:
            return
        self._key = None
        self._turns.clear()
        self._traces.clear()
        self._features = np.empty(0, self._dtype)
        self._layout = lay_out(stages, wanted, needs_gradient, self._dtype.itemsize)
        self._turns += [aligned(size, self._dtype) for size in self._layout.turns]
        self._features = aligned(self._layout.features, self._dtype)
        self._key = key

    def turn(self, number: int, shape: tuple[int, ...]) -> Array:
        """Return the array for stage `number`, which the stage after the next one overwrites."""
        return self._turns[number % 2][: math.prod(shape)].reshape(shape)

    def features(self, stage: Stage) -> Array:
        """Return an array for features that were asked for, or for those of the first layer when they are done with."""
        first = self._layout.places.get(stage.name, 0)
        return self._features[first : first + math.prod(stage.output_shape)].reshape(stage.output_shape)

    def keeps(self, stage: Stage) -> bool:
        """Tell whether the features of a stage are kept for the backward pass."""
        return stage.name in self._layout.places

    def trace(self, stage: Stage) -> Trace | None:
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
    wanted = check_names(names)
    stages = stages_of((1, 3, *size), path_to(wanted), wanted, channels, max_pooling=pooling == "max")
    itemsize = float_dtype(dtype).itemsize
    layout = lay_out(stages, wanted, needs_gradient, itemsize)
    first, second = (itemsize * numbers for numbers in layout.turns)
    return PassBytes((first, second), itemsize * layout.features, tuple(map(math.prod, layout.traces.values())))
