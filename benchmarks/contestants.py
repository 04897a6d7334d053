"""One convolution or pooling layer as each library computes it: closures without arguments, ready to be timed.

The output is allocated inside the call in every one. PyTorch's channels_last ("NHWC") gets its arrays in that layout
already; ONNX Runtime gets weights that it may pack beforehand.
"""

from __future__ import annotations

import copy
import importlib.util
import math
from typing import TYPE_CHECKING, Any

import numpy as np

import fastconv
from fastconv.nn import Adam

from .contest import Call
from .shapes import Layer

if TYPE_CHECKING:
    import torch

OURS = "fastconv"
TORCH_NCHW, TORCH_NHWC, ONNX = "PyTorch NCHW", "PyTorch NHWC", "ONNX Runtime"
COPY = "NumPy copy"
NEEDS = {TORCH_NCHW: ("torch",), TORCH_NHWC: ("torch",), ONNX: ("onnxruntime", "onnx")}  # modules


def missing(peer: str) -> list[str]:
    """Return the modules that `peer` needs and that are not installed."""
    return [module for module in NEEDS[peer] if importlib.util.find_spec(module) is None]


def set_threads(threads: int) -> None:
    """Let fastconv and PyTorch use `threads`; ONNX Runtime is told with each session."""
    fastconv.set_num_threads(threads)
    if not missing(TORCH_NCHW):
        import torch

        torch.set_num_threads(threads)


class Data:
    """Arrays for a layer, seeded: normal images and gradients, and weights that keep their variance.

    With `uniform`, images are uniform on [0, 1], as the original report had them.
    """

    def __init__(self, layer: Layer, dtype: Any = np.float32, *, uniform: bool = False):
        rng = np.random.default_rng(0)
        self.layer = layer
        fan_in = math.prod(layer.weight_shape[1:])
        self.x = (rng.random if uniform else rng.standard_normal)(layer.input_shape).astype(dtype)
        self.weight = (rng.standard_normal(layer.weight_shape) / math.sqrt(fan_in)).astype(dtype)
        self.bias = rng.standard_normal(layer.k).astype(dtype)
        self.grad = rng.standard_normal(layer.output_shape).astype(dtype)

    def in_float64(self) -> Data:
        """Return the same numbers as float64."""
        same = copy.copy(self)
        for name in ("x", "weight", "bias", "grad"):
            setattr(same, name, getattr(self, name).astype(np.float64))
        return same


# --- convolution, forward -------------------------------------------------------------------------------------------


def packed(data: Data, algorithm: str = "auto") -> Call:
    """Return our convolution, with weights packed beforehand."""
    layer = fastconv.PackedConv2d(data.weight, data.bias, **data.layer.numbers, algorithm=algorithm)
    return lambda: layer.forward(data.x)


def unpacked(data: Data, algorithm: str = "auto") -> Call:
    """Return our convolution, with plain weights."""
    return lambda: fastconv.conv2d(data.x, data.weight, data.bias, **data.layer.numbers, algorithm=algorithm)


def forward_peer(peer: str, data: Data) -> Call:
    """Return a peer's convolution."""
    if peer == ONNX:
        return _onnx_forward(data)
    import torch

    x, weight = (_tensor(array, peer) for array in (data.x, data.weight))
    bias = torch.from_numpy(data.bias)
    return lambda: torch.nn.functional.conv2d(x, weight, bias, **data.layer.numbers)


def _tensor(array: np.ndarray, peer: str) -> torch.Tensor:
    import torch

    layout = torch.channels_last if peer == TORCH_NHWC else torch.contiguous_format
    return torch.from_numpy(array).contiguous(memory_format=layout)


def _onnx_forward(data: Data) -> Call:
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    layer = data.layer
    node = helper.make_node(
        "Conv", ["x", "weight", "bias"], ["y"], strides=layer.stride, pads=layer.padding * 2,
        dilations=layer.dilation, group=layer.groups,
    )  # fmt: skip
    kind = TensorProto.FLOAT if data.x.dtype == np.float32 else TensorProto.DOUBLE
    constants = [numpy_helper.from_array(data.weight, "weight"), numpy_helper.from_array(data.bias, "bias")]
    graph = helper.make_graph(
        [node],
        "layer",
        [helper.make_tensor_value_info("x", kind, layer.input_shape)],
        [helper.make_tensor_value_info("y", kind, layer.output_shape)],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = fastconv.get_num_threads()
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"x": data.x})


# --- convolution, gradients -----------------------------------------------------------------------------------------


def input_grad(data: Data, algorithm: str = "auto") -> Call:
    """Return our gradient by the input, with weights packed beforehand."""
    layer = fastconv.PackedConv2d(data.weight, **data.layer.numbers, algorithm=algorithm)
    return lambda: layer.input_grad(data.grad, data.layer.input_shape)


def weight_grad(data: Data, algorithm: str = "auto") -> Call:
    """Return our gradient by the weight."""
    layer = data.layer
    return lambda: fastconv.conv2d_weight_grad(
        data.grad, data.x, layer.weight_shape, **layer.numbers, algorithm=algorithm
    )


def input_grad_peer(peer: str, data: Data) -> Call:
    """Return PyTorch's gradient by the input."""
    return _torch_backward(peer, data, 0)


def weight_grad_peer(peer: str, data: Data) -> Call:
    """Return PyTorch's gradient by the weight."""
    return _torch_backward(peer, data, 1)


def _torch_backward(peer: str, data: Data, which: int) -> Call:
    import torch

    grad, x, weight = (_tensor(array, peer) for array in (data.grad, data.x, data.weight))
    layer = data.layer
    mask = [number == which for number in range(3)]

    def call() -> torch.Tensor:
        return torch.ops.aten.convolution_backward(
            grad, x, weight, None, layer.stride, layer.padding, layer.dilation, False, [0, 0], layer.groups, mask
        )[which]

    return call


# --- pooling --------------------------------------------------------------------------------------------------------


def max_pool(data: Data) -> Call:
    """Return our max pooling with indices."""
    layer = data.layer
    return lambda: fastconv.max_pool2d(data.x, layer.kernel, layer.stride, padding=layer.padding, return_indices=True)


def max_pool_peer(peer: str, data: Data) -> Call:
    """Return PyTorch's max pooling with indices."""
    import torch

    x, layer = _tensor(data.x, peer), data.layer
    return lambda: torch.nn.functional.max_pool2d(
        x, layer.kernel, layer.stride, padding=layer.padding, return_indices=True
    )


def max_pool_backward(data: Data) -> Call:
    """Return our gradient of max pooling."""
    _, indices = max_pool(data)()
    return lambda: fastconv.max_pool2d_backward(data.grad, indices, data.layer.input_shape)


def max_pool_backward_peer(peer: str, data: Data) -> Call:
    """Return PyTorch's gradient of max pooling."""
    import torch

    layer = data.layer
    _, indices = max_pool_peer(peer, data)()
    grad, x = _tensor(data.grad, peer), _tensor(data.x, peer)
    return lambda: torch.ops.aten.max_pool2d_with_indices_backward(
        grad, x, layer.kernel, layer.stride, layer.padding, (1, 1), False, indices
    )


# --- elementwise ----------------------------------------------------------------------------------------------------


def elementwise(data: Data) -> dict[str, tuple[Call, Call, int]]:
    """Return our passes over a layer's input, each with NumPy's copy of as much, and the bytes that both move.

    A copy's target is allocated in the call if our pass allocates one of its size.
    """
    x, grad = data.x, np.flip(data.x).copy()
    adam = Adam(x.copy())
    passes = {
        "relu": (lambda: fastconv.relu(x), 2, True),
        "relu_backward": (lambda: fastconv.relu_backward(grad, x), 3, True),
        "conv2d_bias_grad": (lambda: fastconv.conv2d_bias_grad(grad), 1, False),
        "Adam.step": (lambda: adam.step(grad), 7, False),
    }
    return {
        name: (_without_result(call), _copy(arrays * x.nbytes, fresh), arrays * x.nbytes)
        for name, (call, arrays, fresh) in passes.items()
    }


def _without_result(call: Call) -> Call:
    """Return `call` without its result: contestants that give none are not compared."""

    def run() -> None:
        call()

    return run


def _copy(count: int, fresh: bool) -> Call:
    """Return a copy that reads and writes `count` bytes together."""
    source, target = np.ones(count // 2, np.uint8), np.empty(count // 2, np.uint8)
    return _without_result(source.copy) if fresh else lambda: np.copyto(target, source)
