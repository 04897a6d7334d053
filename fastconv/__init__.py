"""2-D convolution and pooling on the CPU, compiled by Numba."""

from fastconv.conv import (
    Conv2dGradients,
    PackedConv2d,
    conv2d,
    conv2d_backward,
    conv2d_bias_grad,
    conv2d_input_grad,
    conv2d_weight_grad,
)
from fastconv.jit import get_num_threads, set_num_threads
from fastconv.pool import (
    avg_pool2d,
    avg_pool2d_backward,
    max_pool2d,
    max_pool2d_backward,
    relu,
    relu_backward,
)

__version__ = "0.1.0"

__all__ = [
    "Conv2dGradients",
    "PackedConv2d",
    "avg_pool2d",
    "avg_pool2d_backward",
    "conv2d",
    "conv2d_backward",
    "conv2d_bias_grad",
    "conv2d_input_grad",
    "conv2d_weight_grad",
    "get_num_threads",
    "max_pool2d",
    "max_pool2d_backward",
    "relu",
    "relu_backward",
    "set_num_threads",
]
