"""Vectors as values in Numba code: load, store, arithmetic, comparison, shuffles.

A vector has as many elements as one register of the target holds (:func:`fastconv.jit.lanes`). Code written with these
reads like scalar code; `x`, `out` and `weight` are pointers (:mod:`fastconv.kernels.pointers`)::

    store(out, fma(splat(weight[0]), load(x), bias))
"""

from __future__ import annotations

import operator
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils, errors
from numba.extending import intrinsic, models, overload, register_model

from fastconv import jit

from .ir import (
    element_bytes,
    fma_ir,
    lanes_between_ir,
    load_ir,
    masked_load_ir,
    masked_store_ir,
    relu_ir,
    splat_ir,
    store_ir,
    vector_ir,
)
from .pointers import Pointer


class Vector(types.Type):
    """Numba type of one register of `element`."""

    def __init__(self, element: types.Type):
        self.element = element
        self.lanes = jit.vector_bytes() * 8 // element.bitwidth
        super().__init__(name=f"Vector({element} x {self.lanes})")


class Mask(types.Type):
    """Numba type of a truth value for each lane of a :class:`Vector`."""

    def __init__(self, lanes: int):
        self.lanes = lanes
        super().__init__(name=f"Mask({lanes})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Vector):
        super().__init__(dmm, fe_type, vector_ir(fe_type.element))


@register_model(Mask)
class _MaskModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Mask):
        super().__init__(dmm, fe_type, ir.VectorType(ir.IntType(1), fe_type.lanes))


@intrinsic
def lanes_of(typingctx: Any, zero: Any) -> Any:
    """Return the elements of a vector, a constant of the compiled code."""
    count = jit.vector_bytes() * 8 // zero.bitwidth

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return context.get_constant(types.intp, count)

    return types.intp(zero), codegen


# --- memory ---------------------------------------------------------------------------------------------------------


@intrinsic
def load(typingctx: Any, pointer: Any) -> Any:
    """Load a vector."""
    vector = Vector(pointer.element)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return load_ir(builder, args[0], vector_ir(pointer.element))

    return vector(pointer), codegen


@intrinsic
def store(typingctx: Any, pointer: Any, vector: Any) -> Any:
    """Store a vector."""
    _check_elements(pointer, vector)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        store_ir(builder, args[1], args[0])
        return context.get_dummy_value()

    return types.void(pointer, vector), codegen


@intrinsic
def load_between(typingctx: Any, pointer: Any, first: Any, end: Any) -> Any:
    """Load lanes `first` to `end` - 1 (both of 32 bits); the others are zero, and their memory is not touched."""
    element = pointer.element

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        address, first, end = args
        kind = vector_ir(element)
        inside = lanes_between_ir(builder, first, end, kind.count)
        return masked_load_ir(builder, address, inside, kind)

    return Vector(element)(pointer, types.intp, types.intp), codegen


@intrinsic
def store_first(typingctx: Any, pointer: Any, vector: Any, count: Any) -> Any:
    """Store the first `count` lanes of a vector; the memory of the others is not touched."""
    _check_elements(pointer, vector)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        address, value, count = args
        numbers = ir.VectorType(ir.IntType(32), value.type.count)
        lane = ir.Constant(numbers, list(range(value.type.count)))
        bound = splat_ir(builder, builder.trunc(count, ir.IntType(32)), numbers)
        masked_store_ir(builder, value, address, builder.icmp_signed("<", lane, bound))
        return context.get_dummy_value()

    return types.void(pointer, vector, types.intp), codegen


@intrinsic
def load_bytes(typingctx: Any, zero: Any, pointer: Any) -> Any:
    """Load a vector of bytes as numbers of the type of `zero`."""
    vector = Vector(zero)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.sitofp(load_ir(builder, args[1], _bytes_ir(vector)), vector_ir(zero))

    return vector(zero, pointer), codegen


@intrinsic
def store_bytes(typingctx: Any, pointer: Any, vector: Any) -> Any:
    """Store each lane, a small whole number, as a byte."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        store_ir(builder, builder.fptosi(args[1], _bytes_ir(vector)), args[0])
        return context.get_dummy_value()

    return types.void(pointer, vector), codegen


@intrinsic
def load_truths(typingctx: Any, zero: Any, pointer: Any) -> Any:
    """Load a vector of bytes; true where one is not 0."""
    mask = Mask(Vector(zero).lanes)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = _bytes_ir(mask)
        return builder.icmp_unsigned("!=", load_ir(builder, args[1], kind), ir.Constant(kind, None))

    return mask(zero, pointer), codegen


def _bytes_ir(lanes_of: Any) -> ir.VectorType:
    """LLVM type of a byte for each lane of a vector or mask."""
    return ir.VectorType(ir.IntType(8), lanes_of.lanes)


def _check_elements(pointer: Any, vector: Any) -> None:
    if not isinstance(pointer, Pointer) or pointer.element != vector.element:
        raise errors.TypingError(f"{vector} cannot be stored at {pointer}")


# --- arithmetic -----------------------------------------------------------------------------------------------------


@intrinsic
def splat(typingctx: Any, scalar: Any) -> Any:
    """Repeat a scalar in every lane."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return splat_ir(builder, args[0], vector_ir(scalar))

    return Vector(scalar)(scalar), codegen


@intrinsic
def fma(typingctx: Any, a: Any, b: Any, c: Any) -> Any:
    """Return a * b + c."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return fma_ir(builder, *args)

    return a(a, a, a), codegen


@intrinsic
def rectified(typingctx: Any, vector: Any) -> Any:
    """Return 0 where less than 0; NaN stays."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return relu_ir(builder, args[0])

    return vector(vector), codegen


@intrinsic
def root(typingctx: Any, vector: Any) -> Any:
    """Return the square root."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = args[0].type
        name = f"llvm.sqrt.v{kind.count}{'f32' if element_bytes(kind) == 4 else 'f64'}"
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(kind, [kind]), name)
        return builder.call(function, [args[0]])

    return vector(vector), codegen


@intrinsic
def greater_or_nan(typingctx: Any, a: Any, b: Any) -> Any:
    """Return a > b or a is NaN: whether `a` takes the place of `b` as a maximum."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        greater = builder.fcmp_ordered(">", *args)
        return builder.or_(greater, builder.fcmp_unordered("uno", args[0], args[0]))

    return Mask(a.lanes)(a, a), codegen


@intrinsic
def not_above(typingctx: Any, a: Any, b: Any) -> Any:
    """Return a <= b; false for NaN."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fcmp_ordered("<=", *args)

    return Mask(a.lanes)(a, a), codegen


@intrinsic
def equal(typingctx: Any, a: Any, b: Any) -> Any:
    """Return a == b; false for NaN."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fcmp_ordered("==", *args)

    return Mask(a.lanes)(a, a), codegen


@intrinsic
def either(typingctx: Any, a: Any, b: Any) -> Any:
    """Return where one of two masks is true."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.or_(*args)

    return a(a, a), codegen


@intrinsic
def everywhere(typingctx: Any, mask: Any) -> Any:
    """Return whether a mask is true in every lane."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        bits = ir.IntType(mask.lanes)
        return builder.icmp_unsigned("==", builder.bitcast(args[0], bits), bits(-1))

    return types.boolean(mask), codegen


@intrinsic
def sum_of(typingctx: Any, vector: Any) -> Any:
    """Return the sum of all lanes in float64."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        total = ir.DoubleType()(0)
        for lane in range(vector.lanes):
            value = builder.extract_element(args[0], ir.IntType(32)(lane))
            if vector.element.bitwidth == 32:
                value = builder.fpext(value, ir.DoubleType())
            total = builder.fadd(total, value)
        return total

    return types.float64(vector), codegen


@intrinsic
def as_type(typingctx: Any, zero: Any, value: Any) -> Any:
    """Convert a number to the type of `zero`."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return context.cast(builder, args[1], value, zero)

    return zero(zero, value), codegen


@intrinsic
def where(typingctx: Any, mask: Any, a: Any, b: Any) -> Any:
    """Return `a` where `mask` is true, else `b`."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.select(*args)

    return a(mask, a, a), codegen


@jit.unfold
def challenge(value, place, best, best_place):
    """Let `value` and its place take those of the best so far where it is greater, or NaN."""
    wins = greater_or_nan(value, best)
    return where(wins, value, best), where(wins, place, best_place)


def _binary(instruction: str) -> Any:
    @intrinsic
    def operate(typingctx: Any, a: Any, b: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return getattr(builder, instruction)(*args)

        return a(a, b), codegen

    return operate


_add, _sub, _mul, _div = _binary("fadd"), _binary("fsub"), _binary("fmul"), _binary("fdiv")


def _both_vectors(a: Any, b: Any) -> bool:
    return isinstance(a, Vector) and a == b


@overload(operator.add)
def _overload_add(a, b):
    if _both_vectors(a, b):
        return lambda a, b: _add(a, b)


@overload(operator.sub)
def _overload_sub(a, b):
    if _both_vectors(a, b):
        return lambda a, b: _sub(a, b)


@overload(operator.mul)
def _overload_mul(a, b):
    if _both_vectors(a, b):
        return lambda a, b: _mul(a, b)


@overload(operator.truediv)
def _overload_div(a, b):
    if _both_vectors(a, b):
        return lambda a, b: _div(a, b)
