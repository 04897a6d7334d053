"""The algorithms that can compute a convolution, behind one interface, and the choice among them."""

from __future__ import annotations

from functools import lru_cache
from types import ModuleType
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

import numba
import numpy as np

from fastconv import costs, jit
from fastconv.checks import Array, ConvGeometry
from fastconv.kernels import (
    depthwise,
    depthwise_3x3,
    direct,
    direct_weight_grad,
    layout,
    scratch,
    winograd,
    winograd_weight_grad,
)
from fastconv.reference import im2col, loops

Pass = Literal["forward", "input_grad", "weight_grad"]
Packing: TypeAlias = tuple[Array, ...]  # weights in the form that an algorithm reads them in


class Algorithm(Protocol):
    """A way to compute a convolution.

    Arrays have 4 axes, one float dtype, and are C-contiguous, aligned and native; no axis of them is empty.
    ``out`` is allocated, with arbitrary contents, and is completely written.
    """

    one_packing: bool  # whether "forward" and "input_grad" read the same packing

    def why_not(self, geometry: ConvGeometry, pass_: Pass) -> str | None:
        """Return why this can't compute a convolution, or None if it can."""

    def pack(self, weight: Array, geometry: ConvGeometry, pass_: Pass, keep: bool) -> Packing:
        """Return `weight` as "forward" or "input_grad" wants it.

        With `keep` for calls with images of any size; else for one call with this geometry.
        """

    def forward(
        self, x: Array, packing: Packing, bias: Array | None, relu: bool, geometry: ConvGeometry, out: Array
    ) -> None:
        """Write the convolution of `x` with the weight, plus `bias`, rectified if `relu`."""

    def input_grad(self, grad_output: Array, packing: Packing, geometry: ConvGeometry, out: Array) -> None:
        """Write the gradient by the input."""

    def weight_grad(self, grad_output: Array, x: Array, geometry: ConvGeometry, out: Array) -> None:
        """Write the gradient by the weight."""


class _Reference:
    """One of the modules of `fastconv.reference` as an `Algorithm`."""

    one_packing = True

    def __init__(self, module: ModuleType):
        self._module = module

    def why_not(self, geometry: ConvGeometry, pass_: Pass) -> str | None:
        return None

    def pack(self, weight: Array, geometry: ConvGeometry, pass_: Pass, keep: bool) -> Packing:
        return (weight,)

    def forward(
        self, x: Array, packing: Packing, bias: Array | None, relu: bool, geometry: ConvGeometry, out: Array
    ) -> None:
        out[...] = self._module.conv2d(x, packing[0], bias, **_keywords(geometry))
        if relu:
            np.maximum(out, 0, out=out)  # NumPy's maximum keeps NaN

    def input_grad(self, grad_output: Array, packing: Packing, geometry: ConvGeometry, out: Array) -> None:
        out[...] = self._module.conv2d_input_grad(grad_output, packing[0], geometry.input_shape, **_keywords(geometry))

    def weight_grad(self, grad_output: Array, x: Array, geometry: ConvGeometry, out: Array) -> None:
        out[...] = self._module.conv2d_weight_grad(grad_output, x, geometry.weight_shape, **_keywords(geometry))


def _keywords(geometry: ConvGeometry) -> dict[str, Any]:
    return {
        "stride": geometry.stride,
        "padding": geometry.padding,
        "dilation": geometry.dilation,
        "groups": geometry.groups,
    }


def _not_compiled() -> str | None:
    return "Numba is told not to compile (NUMBA_DISABLE_JIT)" if numba.config.DISABLE_JIT else None


class _Direct:
    """`fastconv.kernels.direct` as an `Algorithm`."""

    one_packing = False

    def why_not(self, geometry: ConvGeometry, pass_: Pass) -> str | None:
        return _not_compiled()

    def pack(self, weight: Array, geometry: ConvGeometry, pass_: Pass, keep: bool) -> Packing:
        k, channels, r, s = weight.shape
        filters = k // geometry.groups
        group = filters * channels * r * s
        if pass_ == "forward":
            taps = _forward_taps(geometry)
            return (direct.pack(weight, filters, channels * r * s, group, geometry.groups, taps),)
        if _slides(geometry) and geometry.stride == (2, 2):
            return self.pack(weight, geometry, "forward", keep)
        return tuple(
            direct.pack(weight, channels, r * s, group, geometry.groups, taps)
            for taps in _input_grad_taps(geometry).values()
        )

    def forward(
        self, x: Array, packing: Packing, bias: Array | None, relu: bool, geometry: ConvGeometry, out: Array
    ) -> None:
        plan = _forward_plan(geometry, out.dtype, jit.get_num_threads())
        _run(plan, x, packing[0], bias, relu, jit.address_of(out))

    def input_grad(self, grad_output: Array, packing: Packing, geometry: ConvGeometry, out: Array) -> None:
        phases = _input_grad_phases(geometry, out.dtype, jit.get_num_threads())
        if len(phases) == 1:
            _run(phases[0].plan, grad_output, packing[0], None, False, jit.address_of(out))
        else:
            _interleave(phases, grad_output, packing, geometry.stride, out)

    def weight_grad(self, grad_output: Array, x: Array, geometry: ConvGeometry, out: Array) -> None:
        g = geometry
        direct_weight_grad.weight_grad(grad_output, x, g.stride, g.padding, g.dilation, g.groups, out)


class _Winograd:
    """`fastconv.kernels.winograd` with tiles of one size as an `Algorithm`."""

    one_packing = True

    def __init__(self, tile: int):
        self._tile = tile

    def why_not(self, geometry: ConvGeometry, pass_: Pass) -> str | None:
        g = geometry
        if (g.r, g.s) != (3, 3):
            return f"it needs 3x3 kernels, got {g.r}x{g.s}"
        if g.stride != (1, 1):
            return f"it needs stride 1, got {g.stride}"
        if g.dilation != (1, 1):
            return f"it needs dilation 1, got {g.dilation}"
        if pass_ == "weight_grad" and self._tile != 4:
            return "its weight gradient is that of 'winograd'"
        return _not_compiled()

    def pack(self, weight: Array, geometry: ConvGeometry, pass_: Pass, keep: bool) -> Packing:
        parts = np.split(weight, geometry.groups) if geometry.groups > 1 else [weight]
        if not keep and costs.worth_transforming_on_the_way(geometry, weight.itemsize, self._tile):
            return tuple(parts)
        return tuple(winograd.transform_weights(part, self._tile) for part in parts)

    def forward(
        self, x: Array, packing: Packing, bias: Array | None, relu: bool, geometry: ConvGeometry, out: Array
    ) -> None:
        fresh = packing[0].ndim == 4
        plan = _winograd_plan(geometry, out.dtype, self._tile, jit.get_num_threads(), turned=False, fresh=fresh)
        for group, u in enumerate(packing):
            winograd.convolve(plan, x, u, bias, relu, out, group)

    def input_grad(self, grad_output: Array, packing: Packing, geometry: ConvGeometry, out: Array) -> None:
        fresh = packing[0].ndim == 4
        plan = _winograd_plan(geometry, out.dtype, self._tile, jit.get_num_threads(), turned=True, fresh=fresh)
        for group, u in enumerate(packing):
            winograd.convolve(plan, grad_output, u, None, False, out, group)

    def weight_grad(self, grad_output: Array, x: Array, geometry: ConvGeometry, out: Array) -> None:
        g = geometry
        winograd_weight_grad.weight_grad(grad_output, x, (g.padding[0], g.padding[2]), g.groups, out)


@lru_cache(maxsize=1024)
def _winograd_plan(
    g: ConvGeometry, dtype: np.dtype[Any], tile: int, threads: int, *, turned: bool, fresh: bool
) -> winograd.Plan:
    x, out, padding = g.input_shape, g.output_shape, (g.padding[0], g.padding[2])
    if turned:
        x, out, padding = out, x, (2 - padding[0], 2 - padding[1])
    filters, channels = g.k // g.groups, g.c // g.groups
    return winograd.plan(x, out, filters, channels, padding, dtype, tile, threads, turned=turned, fresh=fresh)


def _forward_taps(g: ConvGeometry) -> direct.Taps:
    return direct.forward_taps(g.c // g.groups, (g.r, g.s), g.padding, g.dilation)


def _input_grad_taps(g: ConvGeometry) -> dict[tuple[int, int], direct.Taps]:
    kernel = (g.r, g.s)
    return direct.input_grad_taps(g.c // g.groups, g.k // g.groups, kernel, g.stride, g.padding, g.dilation)


_Plan: TypeAlias = direct.Plan | depthwise.Plan | depthwise_3x3.Plan | None


class _Phase(NamedTuple):
    """The pixels of an input whose gradient is one product: every so many rows and columns."""

    plan: _Plan  # None where no output pixel meets these, or there are none
    rows: int
    columns: int


def _run(plan: _Plan, x: Array, packed: Array, bias: Array | None, relu: bool, out: int, copy: int = 0) -> None:
    if isinstance(plan, direct.Plan):
        direct.gather(plan, x, packed, bias, relu, out, copy)
    elif isinstance(plan, depthwise_3x3.Plan):
        depthwise_3x3.convolve(plan, x, packed, bias, relu, out)
    elif plan is not None:
        depthwise.convolve(plan, x, packed, bias, relu, out)


def _interleave(phases: list[_Phase], grad: Array, packing: Packing, stride: tuple[int, int], out: Array) -> None:
    """Compute the gradient phase by phase, each in memory of its own, and put it together."""
    n, channels, height, width = out.shape
    places, size = [], 0
    for phase in phases:
        places.append(size)
        size += n * channels * phase.rows * phase.columns * out.itemsize + jit.vector_bytes()
    # All phases read the same copy of the gradient.
    copying = next((p.plan for p in phases if isinstance(p.plan, direct.Plan) and p.plan.copy is not None), None)
    with scratch.borrow(size + (copying.copy_bytes if copying else 0)) as memory:
        copy = 0
        if copying:
            copy = memory + size
            direct.copy_input(copying, grad, copy)
        table = np.zeros((len(phases), layout.PHASE_FIELDS), np.intp)
        for phase, packed, place, entry in zip(phases, packing, places, table, strict=True):
            if phase.plan is not None:
                _run(phase.plan, grad, packed, None, False, memory + place, copy)
                entry[:] = memory + place, phase.rows, phase.columns
        job = layout.InterleaveJob(jit.address_of(table), n * channels, height, width, *stride, jit.address_of(out))
        threads = jit.threads_for(elements=out.size)
        layout.interleave(job, out.dtype, threads)


def _slides(g: ConvGeometry) -> bool:
    """Whether a convolution is of the kind that `depthwise_3x3` is for."""
    return g.is_depthwise and (g.r, g.s) == (3, 3) and g.dilation == (1, 1) and g.stride in ((1, 1), (2, 2))


@lru_cache(maxsize=1024)
def _forward_plan(g: ConvGeometry, dtype: np.dtype[Any], threads: int) -> _Plan:
    x, out = _planes(g, (g.h, g.w)), _planes(g, (g.out_h, g.out_w))
    shape, taps, grid = (g.n, g.c, *x), _forward_taps(g), direct.Grid(*out, *g.stride)
    if _slides(g):
        return depthwise_3x3.plan(shape, out, (g.padding[0], g.padding[2]), g.stride[0], threads)
    if g.is_depthwise:
        return depthwise.plan(shape, dtype, taps, grid, threads)
    copy = direct.useful_copy(taps, shape, grid, dtype)
    return direct.plan(shape, dtype, taps, g.k // g.groups, g.groups, grid, threads, copy)


def _slide_back(g: ConvGeometry, threads: int) -> depthwise_3x3.Plan | None:
    grad, corner = (g.n, g.k, g.out_h, g.out_w), (g.padding[0], g.padding[2])
    if g.stride == (2, 2):
        return depthwise_3x3.plan(grad, (g.h, g.w), corner, 1, threads, spread=True)
    return depthwise_3x3.plan(grad, (g.h, g.w), (2 - corner[0], 2 - corner[1]), 1, threads)


@lru_cache(maxsize=1024)
def _input_grad_phases(g: ConvGeometry, dtype: np.dtype[Any], threads: int) -> list[_Phase]:
    (height, width), grad = _planes(g, (g.h, g.w)), _planes(g, (g.out_h, g.out_w))
    (sh, sw), shape = g.stride, (g.n, g.k, *grad)
    if _slides(g):
        return [_Phase(_slide_back(g, threads), height, width)]
    all_taps = _input_grad_taps(g)
    largest = direct.Grid(-(-height // sh), -(-width // sw), 1, 1)
    reach = direct.Taps.joined(all_taps.values())
    copy = None if g.is_depthwise else direct.useful_copy(reach, shape, largest, dtype)
    phases = []
    for (y, x), taps in all_taps.items():
        rows, columns = len(range(y, height, sh)), len(range(x, width, sw))
        grid = direct.Grid(rows, columns, 1, 1)
        if copy and rows * columns and sh * sw > 1:  # compute what is between the rows, too: then all of it is one row
            columns = copy.phase_width
            grid = direct.Grid(1, rows * columns, 1, 1)
        plan: _Plan = None
        if taps.depth and g.is_depthwise:
            plan = depthwise.plan(shape, dtype, taps, grid, threads)
        elif taps.depth:
            plan = direct.plan(shape, dtype, taps, g.c // g.groups, g.groups, grid, threads, copy)
        phases.append(_Phase(plan, rows, columns))
    return phases


def _planes(g: ConvGeometry, plane: tuple[int, int]) -> tuple[int, int]:
    """Return the size of planes, as one row if the convolution never looks beside a pixel: a row has no edges."""
    if g.r == g.s == 1 and g.stride == (1, 1) and not any(g.padding):
        return 1, plane[0] * plane[1]
    return plane


ALGORITHMS: dict[str, Algorithm] = {
    "loops": _Reference(loops),
    "im2col": _Reference(im2col),
    "direct": _Direct(),
    "winograd": _Winograd(4),
    "winograd2": _Winograd(2),
}


def choose(geometry: ConvGeometry, dtype: np.dtype[Any], pass_: Pass, *, packed: bool) -> str:
    """Return the name of the algorithm that "auto" stands for: the one that `costs` reckons to be the fastest.

    It never times anything. `packed` says whether the weights are kept in packed form from call to call.
    """
    if numba.config.DISABLE_JIT:
        return "im2col"
    return costs.cheapest(geometry, dtype, pass_, packed, jit.get_num_threads())
