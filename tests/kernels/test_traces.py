"""Traces of ReLU and of 2x2 max pooling by hand: ties, NaN, infinities, and rows that end within a vector."""

import numpy as np
import pytest

from fastconv import jit
from fastconv.kernels import traces

from .helpers import Output, surrounded

NAN, INF = np.nan, np.inf
LANES = jit.lanes(np.dtype(np.float32))
COLUMNS = pytest.mark.parametrize("columns", [1, LANES // 2, LANES - 1, LANES, 2 * LANES + 3])

# Windows in row-major order, their maximum, and where it is: the first of equals, the last NaN; 4 if not above 0.
WINDOWS = [
    ((5, 2, 3, 4), 5, 0),
    ((1, 5, 3, 4), 5, 1),
    ((1, 2, 5, 4), 5, 2),
    ((1, 2, 3, 5), 5, 3),
    ((2, 2, 2, 2), 2, 0),
    ((0, 1, 1, 0), 1, 1),
    ((0, 0, 0, 0), 0, 4),
    ((0, -0.0, 0, -0.0), 0, 4),
    ((NAN, 1, INF, 5), NAN, 0),
    ((NAN, 1, NAN, 5), NAN, 2),
    ((NAN, NAN, NAN, NAN), NAN, 3),
    ((1, INF, INF, 2), INF, 1),
]
PLANES = (2, 3)


def windows(dtype, columns, odd):
    """Return planes of windows taken in turn, with `odd` rows and columns at the end, their maxima and places."""
    rows = 3
    count = np.prod(PLANES) * rows * columns
    chosen = [WINDOWS[n % len(WINDOWS)] for n in range(count)]
    squares = np.array([window for window, _, _ in chosen], dtype).reshape(*PLANES, rows, columns, 2, 2)
    x = np.full((*PLANES, 2 * rows + odd, 2 * columns + odd), INF, dtype)  # beyond the windows, there is more
    x[..., : 2 * rows, : 2 * columns] = squares.swapaxes(-3, -2).reshape(*PLANES, 2 * rows, 2 * columns)
    shape = (*PLANES, rows, columns)
    return x, *(np.array([window[n] for window in chosen]).reshape(shape) for n in (1, 2))


@pytest.mark.parametrize("size", [1, LANES - 1, LANES, 5 * LANES + 3])
def test_of_a_relu(size, dtype, threads):
    values = np.resize([NAN, 0, 1, -0.0, INF, 1e-40, -1, 0], size)
    trace = Output((size,), np.uint8)
    traces.relu_trace(surrounded(values.astype(dtype)), trace.array)
    trace.check(np.resize([1, 0, 1, 0, 1, 1, 0, 0], size))


@COLUMNS
@pytest.mark.parametrize("odd", [0, 1])
def test_of_a_pooling(columns, odd, dtype, threads):
    x, maxima, places = windows(dtype, columns, odd)
    out, trace = Output(maxima.shape, dtype), Output(maxima.shape, np.uint8)
    traces.pool_relu(surrounded(x), out.array, trace.array)
    out.check(maxima)
    trace.check(places)


@COLUMNS
@pytest.mark.parametrize("odd", [0, 1])
def test_gradients_go_where_the_trace_says(columns, odd, dtype, threads):
    x, maxima, places = windows(dtype, columns, odd)
    gradient = np.arange(1, 1 + maxima.size, dtype=dtype).reshape(maxima.shape)
    expected = np.zeros_like(x)
    for plane, row, column in np.ndindex(6, *maxima.shape[2:]):
        index = (*divmod(plane, PLANES[1]), row, column)
        if places[index] < 4:
            down, across = divmod(places[index], 2)
            expected[(*index[:2], 2 * row + down, 2 * column + across)] = gradient[index]
    out = Output(x.shape, dtype)
    trace = traces.empty_trace(places.shape)
    trace[...] = places
    traces.pool_relu_backward(surrounded(gradient), trace, out.array)
    out.check(expected)


def test_there_is_room_around_a_trace_for_vectors():
    trace = traces.empty_trace((2, 3, 5))
    assert (trace.shape, trace.dtype) == ((2, 3, 5), np.uint8)
    assert trace.flags.c_contiguous
    before = trace.ctypes.data - trace.base.ctypes.data
    assert before >= 64
    assert trace.base.size - before - trace.size >= 64
