"""With Numba told not to compile, everything runs on NumPy."""

from fastconv.algorithms import ALGORITHMS

from .processes import run_python


def test_without_the_compiler_everything_runs_on_the_references():
    code = """
import json
import numpy as np
import fastconv
x, weight = np.random.default_rng(0).standard_normal((2, 2, 4, 5, 5)).astype(np.float32)
weight = np.ascontiguousarray(weight[:, :, :3, :3])
y = fastconv.conv2d(x, weight)
same = np.array_equal(y, fastconv.conv2d(x, weight, algorithm="im2col"))
packed = fastconv.PackedConv2d(weight)
same &= np.array_equal(y, packed.forward(x))
values, indices = fastconv.max_pool2d(x, 2, return_indices=True)
spread = fastconv.max_pool2d_backward(values, indices, x.shape)
same &= np.array_equal(np.sort(spread[spread != 0]), np.sort(values, axis=None))
gradients = fastconv.conv2d_backward(y, x, weight)
same &= np.array_equal(gradients.bias, fastconv.conv2d_bias_grad(y)) and gradients.input.shape == x.shape
told = {}
from fastconv.algorithms import ALGORITHMS
for algorithm in ALGORITHMS:
    try:
        fastconv.conv2d(x, weight, algorithm=algorithm)
    except ValueError as error:
        told[algorithm] = str(error)
print(json.dumps([bool(same), told]))
"""
    same, told = run_python(code, NUMBA_DISABLE_JIT="1")
    assert same
    assert set(told) == set(ALGORITHMS) - {"loops", "im2col"}
    assert all("NUMBA_DISABLE_JIT" in reason for reason in told.values())
