"""ReLU, its gradient, the sums of a bias gradient, and steps of Adam: each array is read or written once."""

from __future__ import annotations

import numpy as np

from fastconv import jit
from fastconv.jit.records import Elements

from .pointers import record
from .simd import (
    as_type,
    fma,
    lanes_of,
    load,
    load_between,
    not_above,
    rectified,
    root,
    splat,
    store,
    store_first,
    sum_of,
    where,
)

_BLOCK = 256  # vectors added up before their total joins a float64 sum


class ReluJob(jit.Record):
    """What the ReLU kernels work on: `gradient` is that by the output `y`, of which there are `size` elements."""

    x: Elements
    y: Elements
    gradient: Elements
    out: Elements
    size: int


@jit.kernel
def relu_kernel(t, threads, zero, address):
    """Write `x` where it is not negative, else 0; NaN stays."""
    job = record(ReluJob, zero, address)
    n = job.size * t // threads
    end = job.size * (t + 1) // threads
    while n + lanes_of(zero) <= end:
        store(job.out + n, rectified(load(job.x + n)))
        n += lanes_of(zero)
    while n < end:
        value = job.x[n]
        job.out[n] = zero if value < zero else value
        n += 1


@jit.kernel
def relu_backward_kernel(t, threads, zero, address):
    """Write the gradient where the output `y` is positive or NaN, else 0."""
    job = record(ReluJob, zero, address)
    n = job.size * t // threads
    end = job.size * (t + 1) // threads
    none = splat(zero)
    while n + lanes_of(zero) <= end:
        store(job.out + n, where(not_above(load(job.y + n), none), none, load(job.gradient + n)))
        n += lanes_of(zero)
    while n < end:
        job.out[n] = zero if job.y[n] <= zero else job.gradient[n]
        n += 1


def relu(x: np.ndarray, out: np.ndarray) -> None:
    """Write `x` where it is not negative (NaN is kept), else zero."""
    job = ReluJob(x=jit.address_of(x), out=jit.address_of(out), size=x.size)
    relu_kernel(job, x.dtype, jit.threads_for(elements=x.size))


def relu_backward(grad_output: np.ndarray, y: np.ndarray, out: np.ndarray) -> None:
    """Write `grad_output` where `y`, the output of ReLU, is positive or NaN, else zero; `out` may be `grad_output`."""
    job = ReluJob(
        y=jit.address_of(y), gradient=jit.address_of(grad_output), out=jit.address_of(out), size=y.size
    )  # fmt: skip
    relu_backward_kernel(job, y.dtype, jit.threads_for(elements=y.size))


class BiasGradJob(jit.Record):
    """What :func:`bias_grad_kernel` works on: the gradient by the output, and how large it is."""

    gradient: Elements
    images: int
    filters: int
    plane: int
    out: Elements


@jit.kernel
def bias_grad_kernel(t, threads, zero, address):
    """Sum some filters' planes over all images."""
    job = record(BiasGradJob, zero, address)
    lanes = lanes_of(zero)
    for k in range(job.filters * t // threads, job.filters * (t + 1) // threads):
        total = 0.0
        for image in range(job.images):
            plane = job.gradient + (image * job.filters + k) * job.plane
            n = 0
            while n + 4 * lanes <= job.plane:
                stop = min(n + _BLOCK * lanes, job.plane - 4 * lanes + 1)
                # Four sums at a time: an addition waits for the one before it, not for memory.
                a = b = c = d = splat(zero)
                while n < stop:
                    here = plane + n
                    a = a + load(here)
                    b = b + load(here + lanes)
                    c = c + load(here + 2 * lanes)
                    d = d + load(here + 3 * lanes)
                    n += 4 * lanes
                total += sum_of((a + b) + (c + d))
            while n < job.plane:
                total += plane[n]
                n += 1
        job.out[k] = as_type(zero, total)


def bias_grad(grad_output: np.ndarray, out: np.ndarray) -> None:
    """Write the sums of `grad_output`, (N, K, P, Q), over images and pixels to `out`, (K,)."""
    images, filters, height, width = grad_output.shape
    job = BiasGradJob(
        gradient=jit.address_of(grad_output), images=images, filters=filters, plane=height * width,
        out=jit.address_of(out),
    )  # fmt: skip
    bias_grad_kernel(job, out.dtype, jit.threads_for(elements=grad_output.size))


class AdamJob(jit.Record):
    """What :func:`adam_kernel` works on: four arrays of `size` elements, and the factors of a step."""

    parameter: Elements
    gradient: Elements
    m: Elements
    v: Elements
    # beta1, 1 - beta1, beta2, 1 - beta2, the factor of the root of v, eps, the factor of m
    factors: Elements
    size: int


@jit.unfold
def _moved(gradient, parameter, m, v, factors):
    """Return the parameter and both moments after a step."""
    beta1, rest1, beta2, rest2, of_root, eps, of_m = factors
    m = fma(beta1, m, rest1 * gradient)
    v = fma(beta2, v, rest2 * (gradient * gradient))
    return parameter - of_m * m / fma(of_root, root(v), eps), m, v


@jit.kernel
def adam_kernel(t, threads, zero, address):
    """Update some elements of the parameter and of both moments (Kingma and Ba, arXiv:1412.6980, algorithm 1)."""
    job = record(AdamJob, zero, address)
    beta1, rest1 = splat(job.factors[0]), splat(job.factors[1])
    beta2, rest2 = splat(job.factors[2]), splat(job.factors[3])
    of_root, eps, of_m = splat(job.factors[4]), splat(job.factors[5]), splat(job.factors[6])
    factors = (beta1, rest1, beta2, rest2, of_root, eps, of_m)
    n = job.size * t // threads
    end = job.size * (t + 1) // threads
    while n + lanes_of(zero) <= end:
        gradient, parameter = load(job.gradient + n), load(job.parameter + n)
        parameter, m, v = _moved(gradient, parameter, load(job.m + n), load(job.v + n), factors)
        store(job.parameter + n, parameter)
        store(job.m + n, m)
        store(job.v + n, v)
        n += lanes_of(zero)
    if n < end:  # in vectors too, so that rounding does not depend on where shares end
        count = end - n
        gradient, parameter = load_between(job.gradient + n, 0, count), load_between(job.parameter + n, 0, count)
        m, v = load_between(job.m + n, 0, count), load_between(job.v + n, 0, count)
        parameter, m, v = _moved(gradient, parameter, m, v, factors)
        store_first(job.parameter + n, parameter, count)
        store_first(job.m + n, m, count)
        store_first(job.v + n, v, count)


def adam_step(
    parameter: np.ndarray, gradient: np.ndarray, m: np.ndarray, v: np.ndarray, factors: tuple[float, ...]
) -> None:
    """Change a parameter and its moments in place; arrays of one dtype and size.

    `factors` are beta1, 1 - beta1, beta2, 1 - beta2, the factor of the root of `v`, eps, and the factor of `m`.
    """
    numbers = np.array(factors, parameter.dtype)
    job = AdamJob(
        parameter=jit.address_of(parameter), gradient=jit.address_of(gradient), m=jit.address_of(m),
        v=jit.address_of(v), factors=jit.address_of(numbers), size=parameter.size,
    )  # fmt: skip
    adam_kernel(job, parameter.dtype, jit.threads_for(elements=4 * parameter.size))  # four arrays are read
