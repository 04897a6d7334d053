"""VGG-19 with fixed weights: features of a picture, and the gradient of a loss on them.

Simonyan and Zisserman, arXiv:1409.1556, table 1, column E, without the classifier: five blocks of 3x3
convolutions, each followed by a ReLU, and a 2x2 pooling after each block.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import DTypeLike

from fastconv.backend import backend
from fastconv.fused import FusedConv2d
from fastconv.geometry import Array
from fastconv.nn.layers import Differentiable, float_dtype
from fastconv.nn.vgg_layers import (
    CONVOLUTIONS,
    MEAN_RGB,
    PADDINGS,
    POOLINGS,
    LayerSpec,
    check_names,
    path_to,
    weights_for,
)
from fastconv.nn.vgg_pass import Buffers, Stage, stages_of
from fastconv.pool import avg_pool2d, avg_pool2d_backward, max_pool2d
from fastconv.traces import Trace

AddGradient: TypeAlias = Callable[[Array, Array], None]
"""Given features and an array, adds the gradient of a loss with respect to the former to the latter."""


class _Record(NamedTuple):
    """What the backward pass needs to know of a stage that has run."""

    stage: Stage
    features: Array | None
    """The output, if it was asked for."""
    trace: Trace | None
    """What is left of a ReLU or a pooling else."""


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
        self._unpacked = {name: layers[name] for name in CONVOLUTIONS if name in layers}
        self._channels = {name: len(weight) for name, (weight, _) in self._unpacked.items()}
        self._convolutions: dict[str, FusedConv2d] = {}
        self._buffers = Buffers(self.dtype)

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
        wanted = check_names(names)
        path = path_to(wanted)
        _check_image(image, path)
        for layer in path:
            self._check_present(layer)
        border = 1 if self._replicate else 0
        stages = stages_of(image.shape, path, wanted, self._channels, max_pooling=self._max_pooling, border=border)
        return self._walk(self._centred(image), stages, wanted, needs_gradient)

    def _walk(
        self, picture: Array, stages: Sequence[Stage], wanted: set[str], needs_gradient: bool
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

    def _run(self, stage: Stage, x: Array, y: Array, trace: Trace | None) -> None:
        if stage.weights is not None:
            self._convolution(stage.weights).forward(x, y, trace, pooled=stage.pooled)
        elif trace is not None:
            backend().pool_relu(x, y, trace)
        elif self._max_pooling:
            max_pool2d(x, 2, out=y)
        else:
            avg_pool2d(x, 2, divisor_override=2, out=y)

    def _pull_back(self, stage: Stage, gate: Array | None, gradient: Array, out: Array) -> None:
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
            padding = 0 if self._replicate and name == CONVOLUTIONS[0] else 1
            self._convolutions[name] = FusedConv2d(weight, bias, padding)
            del self._unpacked[name]
        return self._convolutions[name]

    def _check_present(self, layer: LayerSpec) -> None:
        if layer.weights is not None and layer.weights not in self._channels:
            raise ValueError(f"layers has no {layer.weights!r}, which is needed for the features asked for")


def weight_bytes(names: Collection[str], shapes: Mapping[str, tuple[int, ...]], *, dtype: DTypeLike) -> int:
    """Tell how much memory a `VGG19` keeps its weights in when it has reached these layers; no weights are needed.

    Parameters
    ----------
    names : collection of str
        Layers that will be asked for, out of `LAYER_NAMES`.
    shapes : mapping of str to (K, C, 3, 3)
        Of the convolutions' weights, by their keys.
    dtype
        As for `VGG19`.
    """
    itemsize = float_dtype(dtype).itemsize
    return sum(FusedConv2d.bytes_needed(shapes[name], itemsize) for name in weights_for(names))


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
    for name in CONVOLUTIONS:
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
