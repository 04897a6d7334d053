"""The compiled kernels as a `fastconv.backend.interface.Backend`."""

from fastconv.kernels.avg_pooling import avg_pool, avg_pool_backward
from fastconv.kernels.elementwise import adam_step, bias_grad, relu, relu_backward
from fastconv.kernels.gram import gram
from fastconv.kernels.gram_gradient import add_gram_gradient
from fastconv.kernels.max_pooling import max_pool, max_pool_backward
from fastconv.kernels.traces import empty_trace, pool_relu, pool_relu_backward, relu_trace

__all__ = [
    "adam_step",
    "add_gram_gradient",
    "avg_pool",
    "avg_pool_backward",
    "bias_grad",
    "empty_trace",
    "gram",
    "max_pool",
    "max_pool_backward",
    "pool_relu",
    "pool_relu_backward",
    "relu",
    "relu_backward",
    "relu_trace",
]
