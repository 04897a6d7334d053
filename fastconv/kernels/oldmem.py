"""Raw memory access by integer addresses."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .ir import element_bytes, load_ir, prefetch_ir, shuffle_ir, splat_ir, store_ir, vector_ir
from .simd import Vector


@intrinsic
def item_bytes(typingctx: Any, zero: Any) -> Any:
    """Return the bytes of an element, a constant of the compiled code."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return context.get_constant(types.intp, zero.bitwidth // 8)

    return types.intp(zero), codegen


@intrinsic
def load(typingctx: Any, zero: Any, address: Any) -> Any:
    """Load a vector."""
    vector = Vector(zero)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return load_ir(builder, args[1], vector_ir(zero))

    return vector(zero, types.intp), codegen


@intrinsic
def store(typingctx: Any, address: Any, vector: Any) -> Any:
    """Store a vector."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        store_ir(builder, args[1], args[0])
        return context.get_dummy_value()

    return types.void(types.intp, vector), codegen


@intrinsic
def load_between(typingctx: Any, zero: Any, address: Any, first: Any, end: Any) -> Any:
    """Load lanes `first` to `end` - 1 (both of 32 bits); the others are zero, and their memory is not touched."""
    vector = Vector(zero)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _, address, first, end = args
        kind = vector_ir(zero)
        numbers = ir.VectorType(ir.IntType(32), kind.count)
        lane = ir.Constant(numbers, list(range(kind.count)))

        def bound(value: Any) -> Any:
            return splat_ir(builder, builder.trunc(value, ir.IntType(32)), numbers)

        inside = builder.and_(builder.icmp_signed(">=", lane, bound(first)), builder.icmp_signed("<", lane, bound(end)))
        pointer = builder.inttoptr(address, kind.as_pointer())
        letter = "f32" if zero.bitwidth == 32 else "f64"
        arguments = [pointer.type, ir.IntType(32), inside.type, kind]
        name = f"llvm.masked.load.v{kind.count}{letter}.p0"
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(kind, arguments), name)
        align = ir.IntType(32)(zero.bitwidth // 8)
        return builder.call(function, [pointer, align, inside, ir.Constant(kind, None)])

    return vector(zero, types.intp, types.intp, types.intp), codegen


@intrinsic
def record(typingctx: Any, dtype: Any, address: Any) -> Any:
    """Return the record of a structured dtype that lies at an address."""
    kind = dtype.dtype

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[1], context.get_value_type(kind))

    return kind(dtype, types.intp), codegen


def _prefetch(write: bool) -> Any:
    @intrinsic
    def prefetch(typingctx: Any, address: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            prefetch_ir(builder, args[0], write)
            return context.get_dummy_value()

        return types.void(types.intp), codegen

    return prefetch


# Bring the line at an address into cache, to be read or to be written; any address will do.
prefetch_to_read, prefetch_to_write = _prefetch(False), _prefetch(True)


@intrinsic
def peek(typingctx: Any, zero: Any, address: Any) -> Any:
    """Load a scalar of the type of `zero`, which may be an integer too."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = context.get_value_type(zero)
        return load_ir(builder, args[1], kind)

    return zero(zero, types.intp), codegen


@intrinsic
def poke(typingctx: Any, address: Any, value: Any) -> Any:
    """Store a scalar."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        store_ir(builder, args[1], args[0])
        return context.get_dummy_value()

    return types.void(types.intp, value), codegen


@intrinsic
def transpose_block(typingctx: Any, zero: Any, source: Any, source_step: Any, to: Any, to_step: Any) -> Any:
    """Transpose as many rows as a vector has lanes, of one vector each, from one address to another; steps in bytes."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _, source, source_step, to, to_step = args
        kind = vector_ir(zero)
        n = kind.count

        def place(address: ir.Value, step: ir.Value, number: int) -> ir.Value:
            return builder.add(address, builder.mul(step, step.type(number)))

        rows = [load_ir(builder, place(source, source_step, number), kind) for number in range(n)]
        # Each round interleaves row i with row i + n/2: after log2(n) of them, columns have become rows.
        low = [lane for k in range(n // 2) for lane in (k, n + k)]
        for _ in range(n.bit_length() - 1):
            pairs = zip(rows[: n // 2], rows[n // 2 :], strict=True)
            rows = [shuffle_ir(builder, a, b, part) for a, b in pairs for part in (low, [x + n // 2 for x in low])]
        for number, row in enumerate(rows):
            store_ir(builder, row, place(to, to_step, number))
        return context.get_dummy_value()

    return types.void(zero, *[types.intp] * 4), codegen


@intrinsic
def store_first(typingctx: Any, address: Any, vector: Any, count: Any) -> Any:
    """Store the first `count` lanes of a vector; the memory of the others is not touched."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        address, value, count = args
        kind = value.type
        numbers = ir.VectorType(ir.IntType(32), kind.count)
        lane = ir.Constant(numbers, list(range(kind.count)))
        bound = splat_ir(builder, builder.trunc(count, ir.IntType(32)), numbers)
        mask = builder.icmp_signed("<", lane, bound)
        pointer = builder.inttoptr(address, kind.as_pointer())
        letter = "f32" if element_bytes(kind) == 4 else "f64"
        name = f"llvm.masked.store.v{kind.count}{letter}.p0"
        parameters = [kind, pointer.type, ir.IntType(32), mask.type]
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(ir.VoidType(), parameters), name)
        builder.call(function, [value, pointer, ir.IntType(32)(element_bytes(kind)), mask])
        return context.get_dummy_value()

    return types.void(types.intp, vector, types.intp), codegen
