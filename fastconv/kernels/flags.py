"""Vectors of bytes: what a ReLU or a pooling lets pass, and small whole numbers; and the maximum that they tell of."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastconv import jit

from .ir import load_ir, store_ir, vector_ir
from .simd import Mask, Vector, greater_or_nan, where

BLOCKED = 4  # the code of a window whose maximum is not above zero; 0 to 3 are places in row-major order


@intrinsic
def store_codes(typingctx: Any, address: Any, vector: Any) -> Any:
    """Store each lane, a small whole number, as a byte."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        narrow = ir.VectorType(ir.IntType(8), vector.lanes)
        store_ir(builder, builder.fptosi(args[1], narrow), args[0])
        return context.get_dummy_value()

    return types.void(types.intp, vector), codegen


@intrinsic
def load_codes(typingctx: Any, zero: Any, address: Any) -> Any:
    """Load a vector of bytes as numbers."""
    vector = Vector(zero)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        codes = load_ir(builder, args[1], ir.VectorType(ir.IntType(8), vector.lanes))
        return builder.sitofp(codes, vector_ir(zero))

    return vector(zero, types.intp), codegen


@intrinsic
def store_flags(typingctx: Any, address: Any, blocked: Any) -> Any:
    """Store a byte a lane: 0 where `blocked`, else 1."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        narrow = ir.VectorType(ir.IntType(8), blocked.lanes)
        store_ir(builder, builder.zext(builder.not_(args[1]), narrow), args[0])
        return context.get_dummy_value()

    return types.void(types.intp, blocked), codegen


@intrinsic
def load_flags(typingctx: Any, zero: Any, address: Any) -> Any:
    """Load a vector of bytes; true where one is not 0."""
    count = Vector(zero).lanes

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        narrow = ir.VectorType(ir.IntType(8), count)
        return builder.icmp_unsigned("!=", load_ir(builder, args[1], narrow), ir.Constant(narrow, None))

    return Mask(count)(zero, types.intp), codegen


@jit.unfold
def challenge(value, place, best, best_place):
    """Let `value` and its place take those of the best so far where it is greater, or NaN."""
    wins = greater_or_nan(value, best)
    return where(wins, value, best), where(wins, place, best_place)
