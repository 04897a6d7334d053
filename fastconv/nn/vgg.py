"""VGG-19 with fixed weights: features of a picture, and the gradient of a loss on them.

Simonyan and Zisserman, arXiv:1409.1556, table 1, column E, without the classifier: five blocks of 3x3
convolutions, each followed by a ReLU, and a 2x2 pooling after each block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastconv.conv import PackedConv2d
from fastconv.nn.layers import Differentiable, float_dtype
from fastconv.pool import avg_pool2d, avg_pool2d_backward, max_pool2d, max_pool2d_backward

Array = NDArray[Any]
Pullback = Callable[[Array], Array]

MEAN_RGB = (123.68, 116.779, 103.939)
"""Mean pixel of the training pictures, which the network expects to be subtracted."""


class LayerSpec(NamedTuple):
    """One row of the table of layers: what it gives, and from which weights."""

    name: str
    """Of its output: "relu1_1" (a convolution and its ReLU are one layer here) or "pool1"."""
    weights: str | None
    """Key of the convolution's weights, None for a pooling."""


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


class _Record(NamedTuple):
    """What the backward pass needs to know of a layer that has run."""

    name: str
    output_shape: tuple[int, ...]
    pullback: Pullback


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
    A convolution's weights are packed when a forward pass first reaches it, and the original is then let go.
    Between `forward` and `backward` the network remembers the signs of its activations and the places of its
    maxima, never a layer's input. So one network serves one thread at a time.
    """

    def __init__(
        self,
        layers: Mapping[str, tuple[Array, Array]],
        *,
        dtype: DTypeLike = np.float32,
        pooling: str = "max",
        padding: str = "zeros",
    ) -> None:
        poolings: dict[str, Callable[[Array, bool], tuple[Array, Pullback | None]]]
        poolings = {"max": _max_pool, "average": _average_pool}
        if pooling not in poolings:
            raise ValueError(f"pooling must be one of {', '.join(poolings)}, got {pooling!r}")
        if padding not in PADDINGS:
            raise ValueError(f"padding must be one of {', '.join(PADDINGS)}, got {padding!r}")
        _check_weights(layers)
        self.dtype = float_dtype(dtype)
        self._pool = poolings[pooling]
        self._replicate = padding == "replicate"
        self._unpacked = {name: layers[name] for name in _CONVOLUTIONS if name in layers}
        self._packed: dict[str, PackedConv2d] = {}

    def forward(self, image: Array, names: Iterable[str], *, needs_gradient: bool = True) -> dict[str, Array]:
        """Compute the features of a picture, down to the deepest layer that is asked for.

        Parameters
        ----------
        image : ndarray, shape (N, 3, H, W)
            RGB, 0 to 255, any real dtype; the mean is subtracted here.
        names : iterable of str
            Layers out of `LAYER_NAMES`.
        needs_gradient : bool
            False saves time and memory where no `backward` will follow.

        Returns
        -------
        dict of str to ndarray
            The features after each layer that was asked for, shape (N, C, h, w), in the network's order and
            dtype.

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
        path = LAYERS[: 1 + max(LAYER_NAMES.index(name) for name in wanted)]
        _check_image(image, path)
        mean = np.reshape(MEAN_RGB, (3, 1, 1))
        x: Array = np.subtract(image, mean, dtype=self.dtype, casting="same_kind", order="C")
        if self._replicate:
            x = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
        features = {}
        tape = []
        for layer in path:
            x, pullback = self._run(layer, x, needs_gradient)
            if layer.name in wanted:
                features[layer.name] = x
            if pullback is not None:
                tape.append(_Record(layer.name, x.shape, pullback))
        if needs_gradient:
            self._save((tape, wanted))
        return features

    def backward(self, gradients: Mapping[str, Array | Callable[[], Array]]) -> Array:
        """Compute the gradient of a loss with respect to the picture of the last `forward`, in one pass.

        Parameters
        ----------
        gradients : mapping of str to ndarray or callable
            For each layer the loss depends on, among those asked for, the gradient with respect to its
            features: an array of their shape and the network's dtype, or a function without arguments that
            returns it. A function is called when the pass arrives there, so that not all of these arrays
            exist at once. They are not written to.

        Returns
        -------
        ndarray, shape (N, 3, H, W)
            In the network's dtype.

        Raises
        ------
        RuntimeError
            If no `forward` that needs a gradient came before, or its gradient has been taken already.
        TypeError
            If a gradient has another dtype than the network.
        ValueError
            If a layer was not asked for, none is given, or a gradient has another shape than its features.
        """
        tape, wanted = self._take()
        if not gradients or not wanted.issuperset(gradients):
            raise ValueError(
                f"gradients must be given for one or more of {', '.join(sorted(wanted))}, "
                f"got {', '.join(gradients) or 'none'}"
            )
        gradient: Array | None = None
        while tape:
            # Taken off the tape, a layer's mask or indices are freed as soon as they have served.
            record = tape.pop()
            if record.name in gradients:
                gradient = _add(gradient, self._evaluate(gradients[record.name], record))
            if gradient is not None:
                gradient = record.pullback(gradient)
        assert gradient is not None
        return _fold_border(gradient) if self._replicate else gradient

    def _run(self, layer: LayerSpec, x: Array, needs_gradient: bool) -> tuple[Array, Pullback | None]:
        if layer.weights is None:
            return self._pool(x, needs_gradient)
        return _convolve(x, self._convolution(layer.weights), needs_gradient)

    def _convolution(self, name: str) -> PackedConv2d:
        if name not in self._packed:
            if name not in self._unpacked:
                raise ValueError(f"layers has no {name!r}, which is needed for the features asked for")
            weight, bias = (np.asarray(array, self.dtype) for array in self._unpacked[name])
            padding = 0 if self._replicate and name == _CONVOLUTIONS[0] else 1
            self._packed[name] = PackedConv2d(weight, bias, padding=padding, activation="relu")
            del self._unpacked[name]
        return self._packed[name]

    def _evaluate(self, gradient: Array | Callable[[], Array], record: _Record) -> Array:
        array = gradient() if callable(gradient) else gradient
        if array.shape != record.output_shape:
            raise ValueError(
                f"gradients[{record.name!r}] must have its features' shape {record.output_shape}, got {array.shape}"
            )
        if array.dtype != self.dtype:
            raise TypeError(f"gradients[{record.name!r}] must be {self.dtype}, got {array.dtype}")
        return array


# Each layer returns its output and, if needed, a function from the gradient of the output, which it may
# overwrite, to that of the input. What that function refers to is all that stays in memory of the layer.


def _convolve(x: Array, convolution: PackedConv2d, needs_gradient: bool) -> tuple[Array, Pullback | None]:
    y = convolution.forward(x)
    if not needs_gradient:
        return y, None
    input_shape = x.shape
    blocked = y <= 0

    def pullback(gradient: Array) -> Array:
        np.copyto(gradient, 0, where=blocked)
        return convolution.input_grad(gradient, input_shape)

    return y, pullback


def _max_pool(x: Array, needs_gradient: bool) -> tuple[Array, Pullback | None]:
    if not needs_gradient:
        return max_pool2d(x, 2), None
    y, indices = max_pool2d(x, 2, return_indices=True)
    input_shape = x.shape
    return y, lambda gradient: max_pool2d_backward(gradient, indices, input_shape)


def _average_pool(x: Array, needs_gradient: bool) -> tuple[Array, Pullback | None]:
    y = avg_pool2d(x, 2, divisor_override=2)
    if not needs_gradient:
        return y, None
    input_shape = x.shape
    return y, lambda gradient: avg_pool2d_backward(gradient, input_shape, 2, divisor_override=2)


def _add(total: Array | None, gradient: Array) -> Array:
    """Add in place to the pass's own array; begin it with a copy, since pullbacks overwrite it."""
    if total is None:
        return gradient.copy()
    total += gradient
    return total


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
