"""The cases of :mod:`benchmarks.fingerprint`: all public functions, on shapes that reach every kernel.

A case is a function of :class:`Inputs` that returns its results. Each gets inputs of its own, so that a case more
changes no other. Nothing here depends on the machine: no time, no free memory, no random bits but NumPy's.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import fastconv
from fastconv import checks, nn, style
from fastconv.algorithms import ALGORITHMS
from fastconv.geometry import ConvGeometry, Pass
from fastconv.nn.losses import COMPARISONS
from fastconv.weights import VGGWeights

Array = NDArray[Any]


class Inputs:
    """Random arrays of one dtype."""

    def __init__(self, dtype: str) -> None:
        self.dtype = np.dtype(dtype)
        self.random = np.random.default_rng(0)

    def __call__(self, *shape: int) -> Array:
        """Return numbers from -1 to 1: differences of uniform ones, which are exact on every machine."""
        numbers = self.random.random(shape, self.dtype.type)
        return np.asarray(2 * numbers - 1)

    def picture(self, height: int, width: int) -> Array:
        """Return a picture, (height, width, 3), of 4 x 4 coarse colours with noise."""
        coarse = np.kron(255 * self.random.random((4, 4, 3)), np.ones((-(-height // 4), -(-width // 4), 1)))
        noise = 8 * self.random.random((height, width, 3)) - 4
        return np.clip(coarse[:height, :width] + noise, 0, 255).astype(np.float32)


SLOW_FROM = {"loops": 1 << 14, "im2col": 1 << 24}
"""Multiply-adds from which a reference takes too long."""

Compute = Callable[[Inputs], Iterable[Any]]
Named = Iterator[tuple[str, Compute]]


# --- convolution ----------------------------------------------------------------------------------------------------


class Convolution(NamedTuple):
    """A layer: the shapes of its arrays, and the keywords of `fastconv.conv2d`."""

    x: tuple[int, int, int, int]
    weight: tuple[int, int, int, int]
    options: dict[str, Any]

    @property
    def geometry(self) -> ConvGeometry:
        """What algorithms know of it."""
        usual = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}
        return checks.conv_geometry(self.x, self.weight, checks.conv_numbers(**{**usual, **self.options}))

    def algorithms(self, passes: Iterable[Pass]) -> Iterator[str]:
        """Return the names of what can compute these passes of it, and is not too slow for that."""
        images, _, height, width = self.x
        products = images * height * width * math.prod(self.weight)
        yield "auto"
        for name, algorithm in ALGORITHMS.items():
            able = all(algorithm.why_not(self.geometry, pass_) is None for pass_ in passes)
            if able and products < SLOW_FROM.get(name, math.inf):
                yield name


def _conv(x: tuple[int, int, int, int], weight: tuple[int, int, int, int], **options: Any) -> Convolution:
    return Convolution(x, weight, options)


CONVOLUTIONS = {
    "tiny": _conv((1, 2, 5, 6), (3, 2, 3, 3), padding=1),
    "tiny, strided, dilated, grouped": _conv(
        (2, 4, 7, 6), (6, 2, 3, 2), stride=(2, 1), dilation=(1, 2), padding=((1, 0), (2, 1)), groups=2
    ),
    "1x1": _conv((2, 16, 20, 24), (24, 16, 1, 1)),
    "1x1, large": _conv((1, 40, 64, 64), (36, 40, 1, 1)),
    "1x1, stride 2": _conv((1, 16, 31, 30), (24, 16, 1, 1), stride=2),
    "1x1, padded": _conv((1, 16, 12, 12), (8, 16, 1, 1), padding=1),
    "1x7": _conv((1, 8, 17, 40), (12, 8, 1, 7), padding=(0, 3)),
    "7x1": _conv((1, 8, 40, 17), (12, 8, 7, 1), padding=(3, 0)),
    "7x7, stride 2": _conv((1, 3, 64, 66), (16, 3, 7, 7), stride=2, padding=3),
    "5x5": _conv((2, 6, 30, 28), (10, 6, 5, 5), padding=2),
    "3x3, wide": _conv((1, 3, 20, 260), (16, 3, 3, 3), padding=1),
    "3x3, few channels out": _conv((1, 20, 20, 150), (2, 20, 3, 3), padding=1),
    "3x3, narrow": _conv((2, 16, 14, 14), (24, 16, 3, 3), padding=1),
    "3x3, no padding": _conv((1, 12, 23, 26), (14, 12, 3, 3)),
    "3x3, same": _conv((1, 12, 23, 26), (14, 12, 3, 3), padding="same"),
    "3x3, asymmetric padding": _conv((1, 12, 17, 19), (18, 12, 3, 3), padding=((2, 0), (1, 3))),
    "3x3, stride 2": _conv((2, 16, 41, 44), (20, 16, 3, 3), stride=2, padding=1),
    "3x3, stride 2, large": _conv((1, 24, 80, 82), (24, 24, 3, 3), stride=2, padding=1),
    "3x3, stride 3": _conv((1, 10, 40, 43), (12, 10, 3, 3), stride=3, padding=1),
    "2x2, stride 3": _conv((1, 10, 31, 32), (12, 10, 2, 2), stride=3),
    "3x3, stride (1, 2)": _conv((1, 10, 20, 31), (12, 10, 3, 3), stride=(1, 2), padding=1),
    "3x3, dilation 2": _conv((1, 10, 24, 29), (12, 10, 3, 3), dilation=2, padding=2),
    "3x3, dilation 2, stride 2": _conv((1, 10, 24, 29), (12, 10, 3, 3), dilation=2, stride=2, padding=2),
    "3x3, 4 groups": _conv((2, 16, 18, 21), (24, 4, 3, 3), padding=1, groups=4),
    "5x5, 2 groups, stride 2": _conv((2, 8, 21, 24), (12, 4, 5, 5), padding=2, groups=2, stride=2),
    "depthwise 3x3": _conv((2, 5, 9, 11), (5, 1, 3, 3), padding=1, groups=5),
    "depthwise 3x3, large": _conv((1, 16, 45, 70), (16, 1, 3, 3), padding=1, groups=16),
    "depthwise 3x3, asymmetric padding": _conv((1, 16, 45, 47), (16, 1, 3, 3), padding=((0, 2), (1, 0)), groups=16),
    "depthwise 3x3, stride 2": _conv((2, 5, 9, 11), (5, 1, 3, 3), padding=1, groups=5, stride=2),
    "depthwise 3x3, stride 2, large": _conv((1, 20, 80, 150), (20, 1, 3, 3), padding=1, groups=20, stride=2),
    "depthwise 3x3, dilation 2": _conv((1, 16, 45, 47), (16, 1, 3, 3), padding=2, groups=16, dilation=2),
    "depthwise 5x5": _conv((1, 24, 30, 33), (24, 1, 5, 5), padding=2, groups=24),
    "depthwise 5x5, stride 2": _conv((1, 24, 60, 63), (24, 1, 5, 5), padding=2, groups=24, stride=2),
    "depthwise 5x5, small": _conv((1, 3, 10, 9), (3, 1, 5, 5), padding=2, groups=3),
    "two filters a channel": _conv((1, 12, 20, 22), (24, 1, 3, 3), padding=1, groups=12),
    # Winograd's tiles in one panel, which all threads share; in three; in many; and in blocks of two
    "3x3, few tiles": _conv((1, 96, 5, 4), (100, 96, 3, 3), padding=1),
    "3x3, three panels": _conv((1, 24, 40, 44), (20, 24, 3, 3), padding=1),
    "3x3, three panels of AVX2": _conv((1, 24, 24, 28), (20, 24, 3, 3), padding=1),
    "3x3, many tiles": _conv((1, 16, 98, 96), (20, 16, 3, 3), padding=1),
    "3x3, two images of many tiles": _conv((2, 12, 63, 66), (9, 12, 3, 3), padding=1),
    "3x3, blocks of panels": _conv((1, 512, 40, 44), (512, 512, 3, 3), padding=1),
    # weights so many that one call had better transform them on the way
    "3x3, large weights": _conv((1, 200, 10, 9), (190, 200, 3, 3), padding=1),
    "3x3, larger weights": _conv((1, 288, 6, 7), (256, 288, 3, 3), padding=1),
    "3x3, large weights, 2 groups": _conv((1, 400, 6, 5), (380, 200, 3, 3), padding=1, groups=2),
    "3x3, large weights, 324 tiles": _conv((1, 192, 70, 71), (192, 192, 3, 3), padding=1),  # two blocks in float32
    "3x3, large weights, 169 tiles": _conv((1, 192, 50, 51), (192, 192, 3, 3), padding=1),  # and in float64
    "3x3, weights beyond the cache": _conv((1, 352, 12, 13), (356, 352, 3, 3), padding=1),
}


class Arrays(NamedTuple):
    """What the passes of a layer take."""

    x: Array
    weight: Array
    bias: Array
    grad_output: Array


def _arrays(layer: Convolution, make: Inputs) -> Arrays:
    x, weight, bias = make(*layer.x), make(*layer.weight), make(layer.weight[0])
    return Arrays(x, weight, bias, make(*fastconv.conv2d(x, weight, **layer.options).shape))


def _forward(layer: Convolution, algorithm: str, make: Inputs) -> Iterator[Any]:
    x, weight, bias, _ = _arrays(layer, make)
    options = {**layer.options, "algorithm": algorithm}
    yield fastconv.conv2d(x, weight, **options)
    yield fastconv.conv2d(x, weight, bias, activation="relu", **options)


def _input_grad(layer: Convolution, algorithm: str, make: Inputs) -> Iterator[Any]:
    x, weight, _, grad_output = _arrays(layer, make)
    yield fastconv.conv2d_input_grad(grad_output, weight, x.shape, algorithm=algorithm, **layer.options)


def _weight_grad(layer: Convolution, algorithm: str, make: Inputs) -> Iterator[Any]:
    x, weight, _, grad_output = _arrays(layer, make)
    yield fastconv.conv2d_weight_grad(grad_output, x, weight.shape, algorithm=algorithm, **layer.options)


def _packed(layer: Convolution, algorithm: str, make: Inputs) -> Iterator[Any]:
    x, weight, bias, grad_output = _arrays(layer, make)
    packed = fastconv.PackedConv2d(weight, bias, activation="relu", algorithm=algorithm, **layer.options)
    yield packed.forward(x)
    yield packed.input_grad(grad_output, x.shape)


def _backward(layer: Convolution, make: Inputs) -> Iterator[Any]:
    x, weight, _, grad_output = _arrays(layer, make)
    yield from fastconv.conv2d_backward(grad_output, x, weight, **layer.options)


class Calls(NamedTuple):
    """Calls that an algorithm is named in."""

    passes: tuple[Pass, ...]
    """What it must be able to compute."""
    run: Callable[[Convolution, str, Inputs], Iterator[Any]]


CALLS = {
    "forward": Calls(("forward",), _forward),
    "input_grad": Calls(("input_grad",), _input_grad),
    "weight_grad": Calls(("weight_grad",), _weight_grad),
    "packed": Calls(("forward", "input_grad"), _packed),
}


def _convolutions() -> Named:
    for name, layer in CONVOLUTIONS.items():
        for title, calls in CALLS.items():
            for algorithm in layer.algorithms(calls.passes):
                yield f"conv2d {name}: {algorithm} {title}", functools.partial(calls.run, layer, algorithm)
        yield f"conv2d {name}: backward", functools.partial(_backward, layer)


def _unusual_arrays(make: Inputs) -> Iterator[Any]:
    """Arrays that are no plain ones: strided, of foreign byte order, one image, empty, with an `out`."""
    x, weight, bias = make(2, 12, 14, 8), make(9, 8, 3, 3), make(9)
    turned = x.transpose(0, 3, 1, 2)[:, :, ::-1]
    out = np.zeros((2, 9, 12, 14), x.dtype)
    yield fastconv.conv2d(turned, weight, bias, padding=1, out=out)
    yield fastconv.conv2d(turned.astype(x.dtype.newbyteorder()), weight, padding=1)
    yield fastconv.conv2d(turned[0], weight, bias, padding=1)
    yield fastconv.conv2d(turned[:0], weight, padding=1)
    yield fastconv.conv2d(turned[:, :0], weight[:, :0], bias, padding=1, activation="relu")
    yield fastconv.conv2d_weight_grad(out[:0], turned[:0], weight.shape, padding=1)
    yield fastconv.conv2d_bias_grad(out[:0])


def _large_results(make: Inputs) -> Iterator[Any]:
    """Results of 38 MB or more, of which the second is given the memory of the first."""
    x, weight = make(1, 2, 1024, 1024), make(9, 2, 1, 1)
    for sign in (1, -1):
        yield fastconv.conv2d(x, sign * weight)


def _not_finite(make: Inputs) -> Iterator[Any]:
    """NaN and infinity in the input, which a fused ReLU lets pass."""
    layer = _conv((1, 8, 20, 24), (8, 8, 3, 3), padding=1)
    x, weight, bias = make(*layer.x), make(*layer.weight), make(8)
    x[0, 2, 5, 7], x[0, 3, 15, 20] = np.nan, np.inf
    for algorithm in layer.algorithms(["forward"]):
        if algorithm != "auto" and algorithm not in SLOW_FROM:
            yield fastconv.conv2d(x, weight, bias, activation="relu", algorithm=algorithm, **layer.options)


def _bias_grad(shape: tuple[int, int, int, int], make: Inputs) -> Iterator[Any]:
    yield fastconv.conv2d_bias_grad(make(*shape))


# --- pooling and ReLU -----------------------------------------------------------------------------------------------

Pooling = tuple[tuple[int, int, int, int], dict[str, Any]]

SHARED_POOLINGS: dict[str, Pooling] = {
    "2x2": ((2, 3, 16, 70), {"kernel_size": 2}),
    "2x2, large": ((2, 16, 64, 66), {"kernel_size": 2}),
    "2x2, odd plane": ((2, 3, 31, 75), {"kernel_size": 2}),
    "2x2, odd plane, ceil mode": ((2, 3, 31, 75), {"kernel_size": 2, "ceil_mode": True}),
    "2x2, small": ((2, 3, 6, 7), {"kernel_size": 2}),
    "2x2, overlapping": ((1, 3, 20, 41), {"kernel_size": 2, "stride": 1}),
    "3x3, stride 2": ((1, 3, 33, 101), {"kernel_size": 3, "stride": 2}),
    "3x3, stride 2, padded, large": ((1, 16, 66, 80), {"kernel_size": 3, "stride": 2, "padding": 1}),
    "3x3, stride 2, padded, ceil mode": (
        (1, 4, 34, 81),
        {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True},
    ),
    "3x3, overlapping": ((1, 4, 30, 50), {"kernel_size": 3, "stride": 1, "padding": 1}),
    "3x3, overlapping, large": ((1, 24, 50, 60), {"kernel_size": 3, "stride": 1, "padding": 1}),
    "3x3, stride 3": ((1, 4, 32, 61), {"kernel_size": 3, "stride": 3}),
    "2x5, stride (3, 2)": ((1, 4, 32, 91), {"kernel_size": (2, 5), "stride": (3, 2)}),
    "4x4, stride 2, asymmetric padding": ((1, 4, 32, 91), {"kernel_size": 4, "stride": 2, "padding": ((1, 2), (0, 1))}),
    "2x2, stride 3, large": ((1, 16, 66, 80), {"kernel_size": 2, "stride": 3}),
}

MAX_POOLINGS: dict[str, Pooling] = {
    **SHARED_POOLINGS,
    "2x2, dilation 2": ((1, 4, 30, 60), {"kernel_size": 2, "stride": 2, "dilation": 2}),
    "3x3, dilation (2, 3), padded": ((1, 4, 30, 60), {"kernel_size": 3, "stride": 1, "dilation": (2, 3), "padding": 1}),
}

AVERAGE_POOLINGS: dict[str, Pooling] = {
    **SHARED_POOLINGS,
    "3x3, picture counted": ((1, 4, 30, 50), {"kernel_size": 3, "stride": 1, "padding": 1, "count_include_pad": False}),
    "3x3, stride 2, picture counted, large": (
        (1, 16, 66, 80),
        {"kernel_size": 3, "stride": 2, "padding": 1, "count_include_pad": False, "ceil_mode": True},
    ),
    "2x2, divisor 2": ((1, 4, 30, 51), {"kernel_size": 2, "divisor_override": 2}),
    "3x3, divisor 5": ((1, 4, 30, 51), {"kernel_size": 3, "stride": 2, "padding": 1, "divisor_override": 5}),
}


def _with_holes(x: Array) -> Array:
    """Set some numbers to NaN, some to infinities, and a corner of each plane to minus infinity."""
    flat = x.reshape(-1)
    flat[5::97], flat[8::131], flat[11::61] = np.nan, np.inf, -np.inf
    x[:, :, :4, :6] = -np.inf
    return x


def _max_pool(pooling: Pooling, holes: bool, make: Inputs) -> Iterator[Any]:
    shape, options = pooling
    x = _with_holes(make(*shape)) if holes else np.round(4 * make(*shape))  # many are equal
    yield fastconv.max_pool2d(x, **options)
    values, indices = fastconv.max_pool2d(x, return_indices=True, **options)
    yield from (values, indices)
    yield fastconv.max_pool2d_backward(make(*values.shape), indices, x.shape)


def _scattered(make: Inputs) -> Iterator[Any]:
    """Scatter to indices that no pooling gave: the first plane's lie in their tiles, the others' anywhere."""
    shape = 2, 8, 40, 66
    _, indices = fastconv.max_pool2d(make(*shape), 2, return_indices=True)
    indices[0, 1:] = make.random.integers(0, 40 * 66, indices[0, 1:].shape)
    indices[1] = indices[1, :, ::-1, ::-1]
    yield fastconv.max_pool2d_backward(make(*indices.shape), indices, shape)


def _avg_pool(pooling: Pooling, holes: bool, make: Inputs) -> Iterator[Any]:
    shape, options = pooling
    x = _with_holes(make(*shape)) if holes else make(*shape)
    y = fastconv.avg_pool2d(x, **options)
    yield y
    yield fastconv.avg_pool2d_backward(make(*y.shape), x.shape, **options)


def _relu(shape: tuple[int, ...], make: Inputs) -> Iterator[Any]:
    x = make(*shape)
    x.reshape(-1)[3::7] = np.nan
    y = fastconv.relu(x)
    yield y
    yield fastconv.relu_backward(make(*shape), y)


def _pools() -> Named:
    for name, pooling in MAX_POOLINGS.items():
        yield f"max_pool2d {name}", functools.partial(_max_pool, pooling, False)
        yield f"max_pool2d {name}, NaN and infinity", functools.partial(_max_pool, pooling, True)
    yield "max_pool2d_backward of any indices", _scattered
    for name, pooling in AVERAGE_POOLINGS.items():
        yield f"avg_pool2d {name}", functools.partial(_avg_pool, pooling, False)
        yield f"avg_pool2d {name}, NaN and infinity", functools.partial(_avg_pool, pooling, True)
    for shape in ((5, 7), (2, 3, 17, 19), (1, 20, 60, 61)):
        yield f"relu {shape}", functools.partial(_relu, shape)


# --- layers, losses, optimiser --------------------------------------------------------------------------------------


def _layers(make: Inputs) -> Iterator[Any]:
    convolutions = [
        nn.Conv2d(3, 8, 3, padding=1, dtype=make.dtype, seed=1),
        nn.Conv2d(8, 12, (3, 5), stride=2, padding=(1, 2), groups=4, bias=False, dtype=make.dtype, seed=2),
    ]
    network = nn.Sequential(
        convolutions[0], nn.ReLU(), nn.MaxPool2d(2), convolutions[1], nn.AvgPool2d(3, 2, padding=1), nn.ReLU()
    )
    y = network.forward(make(2, 3, 50, 62))
    yield y
    yield network.backward(make(*y.shape))
    for convolution in convolutions:
        yield convolution.weight_grad
    yield convolutions[0].bias_grad


FEATURES = {"small": (1, 5, 7, 9), "few": (1, 6, 70, 81), "many": (1, 70, 30, 33), "more": (1, 270, 12, 13)}


def _moments(shape: tuple[int, int, int, int], make: Inputs) -> Iterator[Any]:
    """Gram matrices and means, with and without a mask, of features and of a part of some."""
    features, mask = make(*shape), np.abs(make(*shape[2:]))
    for given in (features, make(1, *shape[1:3], shape[3] + 3)[..., 1:-2]):
        yield nn.gram_matrix(given)
        yield nn.gram_matrix(given, mask)
        yield from nn.feature_moments(given)
        yield from nn.feature_moments(given, mask)


def _losses(shape: tuple[int, int, int, int], name: str, make: Inputs) -> Iterator[Any]:
    """Content and style loss, and their gradients."""
    features, other = 60 * make(*shape), 60 * make(1, shape[1], 20, 22)
    comparison = COMPARISONS[name]
    losses: list[Any] = [
        nn.ContentLoss(60 * make(*shape), name, weight=2.0),
        comparison.style_loss(comparison.texture.summarize(other, None), weight=3.0),
    ]
    for loss in losses:
        total = make(*shape)
        yield loss.forward(features)
        loss.backward(features, total)
        yield total


def _total_variation(make: Inputs) -> Iterator[Any]:
    picture, total = make(2, 3, 30, 41), make(2, 3, 30, 41)
    loss = nn.TotalVariation(weight=5.0)
    yield loss.forward(picture)
    loss.backward(picture, total)
    yield total


def _adam(shape: tuple[int, ...], make: Inputs) -> Iterator[Any]:
    for parameter in (make(*shape), make(*shape)[..., ::-1]):
        adam = nn.Adam(parameter, 0.5, betas=(0.9, 0.99))
        for _ in range(3):
            adam.step(make(*shape))
        yield from (parameter, adam.m, adam.v)


def _parts() -> Named:
    yield "nn layers", _layers
    for name, shape in FEATURES.items():
        yield f"moments of {name} features", functools.partial(_moments, shape)
        for comparison in COMPARISONS:
            yield f"losses of {name} features: {comparison}", functools.partial(_losses, shape, comparison)
    yield "total variation", _total_variation
    for sizes in ((7,), (3, 20, 21), (3, 90, 91)):
        yield f"adam {sizes}", functools.partial(_adam, sizes)


# --- VGG-19 ---------------------------------------------------------------------------------------------------------

WIDTHS = {"thin": (4, 4, 8, 6, 5), "wide": (12, 20, 40, 56, 64)}  # channels of each block
CONVOLUTIONS_OF_BLOCKS = (2, 2, 4, 4, 4)

ASKED = {
    "poolings fused": ("relu1_1", "relu2_1", "relu3_1", "relu4_2"),
    "poolings alone": ("relu1_2", "pool1", "relu2_2", "relu3_4", "relu4_4", "pool5"),
    "first": ("relu1_1",),
}


def _weights(widths: tuple[int, ...], dtype: Any) -> dict[str, tuple[Array, Array]]:
    """Return random weights that keep the size of features from layer to layer, about."""
    make, layers, channels = Inputs(dtype), {}, 3
    for block, (width, count) in enumerate(zip(widths, CONVOLUTIONS_OF_BLOCKS, strict=True), start=1):
        for number in range(1, count + 1):
            spread = math.sqrt(6 / (9 * channels))
            weight = (make(width, channels, 3, 3) * spread).astype(dtype)
            layers[f"conv{block}_{number}"] = weight, make(width) / 8
            channels = width
    return layers


def _vgg(widths: str, shape: tuple[int, int, int], names: str, options: dict[str, str], make: Inputs) -> Iterator[Any]:
    """Features of pictures, and gradients of all of these, and of those of the first layer asked for alone."""
    network = nn.VGG19(_weights(WIDTHS[widths], make.dtype), dtype=make.dtype, **options)
    images, height, width = shape
    pictures = np.stack([make.picture(height, width).transpose(2, 0, 1) for _ in range(images)])
    for _, features in network.walk(pictures, ASKED[names], needs_gradient=False):
        yield features
    outputs = network.forward(pictures, ASKED[names])
    yield from outputs.values()
    yield network.backward({name: make(*features.shape) for name, features in outputs.items()})
    network.forward(pictures, ASKED[names])
    yield network.backward({ASKED[names][0]: _add_features})


def _add_features(features: Array, total: Array) -> None:
    total += features


def _networks() -> Named:
    for pooling, padding in itertools.product(("max", "average"), ("zeros", "replicate")):
        options = {"pooling": pooling, "padding": padding}
        for widths, shape in (("thin", (2, 38, 50)), ("thin", (1, 150, 141)), ("wide", (1, 64, 90))):
            for names in ASKED:
                title = f"VGG19 {widths}, {shape}, {pooling}, {padding}: {names}"
                yield title, functools.partial(_vgg, widths, shape, names, options)


# --- style transfer -------------------------------------------------------------------------------------------------

TRANSFERS: dict[str, dict[str, Any]] = {
    "fast": {},
    "best": {"preset": "best"},
    "gatys": {"preset": "gatys", "size": "48x40", "min_scale": 40},
    "gram": {"loss": "gram", "beta": 1e4, "pooling": "average"},
    "lbfgs": {"optimizer": "lbfgs"},
    "noise": {"init": "noise", "seed": 3, "average": 0.5},
    "style's colours": {"init": "style", "preserve_colors": "luma"},
    "matched colours": {"preserve_colors": "match", "style_scale": 0.5},
    "steps back": {"learning_rate": 1e4, "clip": False, "steps": 5},
    "stretched, enlarged, restored": {"size": "60x52", "enlarge": True, "restore_size": True},
    "layers": {"content_layers": ("relu3_2", "relu4_1:2"), "style_layers": ("relu1_2", "pool2:3", "pool4")},
}


def _transfer(options: dict[str, Any], make: Inputs) -> Iterator[Any]:
    """Paint at two scales."""
    yield from _stylize([make.picture(52, 44)], options, make)


def _from_picture(make: Inputs) -> Iterator[Any]:
    """Begin with another picture."""
    yield from _stylize([make.picture(52, 44)], {"init": make.picture(30, 40)}, make)


def _masked(preset: str, make: Inputs) -> Iterator[Any]:
    """Paint with two styles, each on a part of the picture."""
    mask = np.zeros((48, 64), np.uint8)
    mask[8:40, :30], mask[:, 30:40] = 255, 100
    options = {"preset": preset, "masks": [mask, 255 - mask], "style_weights": (1.0, 2.0)}
    yield from _stylize([make.picture(52, 44), make.picture(40, 70)], options, make)


def _tiled(preset: str, make: Inputs) -> Iterator[Any]:
    """Paint in tiles, of which none may be smaller than 320 px."""
    options = {"preset": preset, "size": 440, "min_scale": 440, "steps": 1, "tile": 320, "enlarge": True}
    yield from _stylize([make.picture(60, 80)], options, make)


def _stylize(styles: list[Array], options: dict[str, Any], make: Inputs) -> Iterator[Any]:
    weights = VGGWeights(_weights(WIDTHS["thin"], np.float32), "random", "0" * 64, Path("none.npz"), exact=True)
    # The tile is given, since without it free memory decides.
    usual = {"size": 56, "min_scale": 40, "steps": 3, "tile": 0, "dtype": make.dtype.name}
    result = style.stylize(make.picture(48, 64), styles, weights=weights, log=_be_silent, **{**usual, **options})
    yield from (result.image, result.rgb)
    for record in result.losses:
        yield from (record.loss, record.content, record.style)


def _be_silent(message: str) -> None:
    """Print no message: the run that goes back a step would say so."""


def _transfers() -> Named:
    for name, options in TRANSFERS.items():
        yield f"style {name}", functools.partial(_transfer, options)
    for name in ("fast", "best"):
        yield f"style {name}, masks", functools.partial(_masked, name)
        yield f"style {name}, tiles", functools.partial(_tiled, name)
    yield "style from another picture", _from_picture


def cases() -> dict[str, Compute]:
    """Return all cases by name."""
    others: list[tuple[str, Compute]] = [
        ("conv2d of unusual arrays", _unusual_arrays),
        ("conv2d of NaN and infinity", _not_finite),
        ("conv2d with large results", _large_results),
        ("conv2d_bias_grad", functools.partial(_bias_grad, (2, 5, 9, 11))),
        ("conv2d_bias_grad, large", functools.partial(_bias_grad, (2, 10, 60, 61))),
    ]
    return dict(itertools.chain(_convolutions(), others, _pools(), _parts(), _networks(), _transfers()))
