"""ReLU, its gradient, the sums of a bias gradient, and steps of Adam: each array is read or written once."""

from __future__ import annotations

import numpy as np

from fastconv import jit

from .oldmem import item_bytes, load, load_between, peek, poke, record, store, store_first
from .simd import as_type, fma, lanes, not_above, relu, root, splat, sum_of, where


class ElementwiseJob(jit.Record):
    """Addresses of the operands (0 if unused) and the number of elements."""

    a: int
    b: int
    out: int
    size: int


ELEMENTWISE_JOB = np.dtype(ElementwiseJob)


@jit.kernel
def relu_kernel(t, threads, zero, address):
    """Write `a` where it is not negative, else 0; NaN stays."""
    job = record(ELEMENTWISE_JOB, address)
    item = item_bytes(zero)
    width = lanes(zero)
    n = job.size * t // threads
    end = job.size * (t + 1) // threads
    while n + width <= end:
        store(job.out + n * item, relu(load(zero, job.a + n * item)))
        n += width
    while n < end:
        value = peek(zero, job.a + n * item)
        poke(job.out + n * item, zero if value < zero else value)
        n += 1


@jit.kernel
def relu_backward_kernel(t, threads, zero, address):
    """Write the gradient `a` where the output `b` is positive or NaN, else 0."""
    job = record(ELEMENTWISE_JOB, address)
    item = item_bytes(zero)
    width = lanes(zero)
    n = job.size * t // threads
    end = job.size * (t + 1) // threads
    none = splat(zero)
    while n + width <= end:
        value = load(zero, job.b + n * item)
        store(job.out + n * item, where(not_above(value, none), none, load(zero, job.a + n * item)))
        n += width
    while n < end:
        blocked = peek(zero, job.b + n * item) <= zero
        poke(job.out + n * item, zero if blocked else peek(zero, job.a + n * item))
        n += 1


class BiasGradJob(jit.Record):
    """What :func:`bias_grad_kernel` works on."""

    grad: int
    images: int
    filters: int
    plane: int
    out: int


BIAS_GRAD_JOB = np.dtype(BiasGradJob)
_BLOCK = 256  # vectors added up before their total joins a float64 sum


@jit.kernel
def bias_grad_kernel(t, threads, zero, address):
    """Sum some filters' planes over all images."""
    job = record(BIAS_GRAD_JOB, address)
    item = item_bytes(zero)
    width = lanes(zero)
    for k in range(job.filters * t // threads, job.filters * (t + 1) // threads):
        total = 0.0
        for image in range(job.images):
            plane = job.grad + (image * job.filters + k) * job.plane * item
            n = 0
            while n + 4 * width <= job.plane:
                stop = min(n + _BLOCK * width, job.plane - 4 * width + 1)
                # Four sums at a time: an addition waits for the one before it, not for memory.
                a = b = c = d = splat(zero)
                while n < stop:
                    here = plane + n * item
                    a = a + load(zero, here)
                    b = b + load(zero, here + width * item)
                    c = c + load(zero, here + 2 * width * item)
                    d = d + load(zero, here + 3 * width * item)
                    n += 4 * width
                total += sum_of((a + b) + (c + d))
            while n < job.plane:
                total += peek(zero, plane + n * item)
                n += 1
        poke(job.out + k * item, as_type(zero, total))


class AdamJob(jit.Record):
    """What :func:`adam_kernel` works on: addresses, and the number of elements."""

    parameter: int
    gradient: int
    m: int
    v: int
    # of the elements' type: beta1, 1 - beta1, beta2, 1 - beta2, the factor of the root of v, eps, the factor of m
    factors: int
    size: int


ADAM_JOB = np.dtype(AdamJob)


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
    job = record(ADAM_JOB, address)
    item = item_bytes(zero)
    width = lanes(zero)
    beta1, rest1 = splat(peek(zero, job.factors)), splat(peek(zero, job.factors + item))
    beta2, rest2 = splat(peek(zero, job.factors + 2 * item)), splat(peek(zero, job.factors + 3 * item))
    of_root, eps = splat(peek(zero, job.factors + 4 * item)), splat(peek(zero, job.factors + 5 * item))
    factors = (beta1, rest1, beta2, rest2, of_root, eps, splat(peek(zero, job.factors + 6 * item)))
    n = job.size * t // threads
    end = job.size * (t + 1) // threads
    while n + width <= end:
        here = n * item
        gradient, parameter = load(zero, job.gradient + here), load(zero, job.parameter + here)
        parameter, m, v = _moved(gradient, parameter, load(zero, job.m + here), load(zero, job.v + here), factors)
        store(job.parameter + here, parameter)
        store(job.m + here, m)
        store(job.v + here, v)
        n += width
    if n < end:  # in vectors too, so that rounding does not depend on where shares end
        here, count = n * item, end - n
        gradient = load_between(zero, job.gradient + here, 0, count)
        parameter = load_between(zero, job.parameter + here, 0, count)
        m, v = load_between(zero, job.m + here, 0, count), load_between(zero, job.v + here, 0, count)
        parameter, m, v = _moved(gradient, parameter, m, v, factors)
        store_first(job.parameter + here, parameter, count)
        store_first(job.m + here, m, count)
        store_first(job.v + here, v, count)
