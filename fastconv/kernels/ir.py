"""Pieces of LLVM IR that intrinsics are made of."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils

from fastconv import jit


def scalar_ir(element: types.Type) -> ir.Type:
    """LLVM type of a Numba float type."""
    return ir.FloatType() if element.bitwidth == 32 else ir.DoubleType()


def vector_ir(element: types.Type) -> ir.VectorType:
    """LLVM type of one register of a Numba float type."""
    return ir.VectorType(scalar_ir(element), jit.vector_bytes() * 8 // element.bitwidth)


def load_ir(builder: ir.IRBuilder, address: ir.Value, kind: ir.Type) -> ir.Value:
    """Load from an integer address that is aligned to elements only."""
    value = builder.load(builder.inttoptr(address, kind.as_pointer()))
    value.align = element_bytes(kind)
    return value


def store_ir(builder: ir.IRBuilder, value: ir.Value, address: ir.Value) -> None:
    """Store to an integer address that is aligned to elements only."""
    instruction = builder.store(value, builder.inttoptr(address, value.type.as_pointer()))
    instruction.align = element_bytes(value.type)


def splat_ir(builder: ir.IRBuilder, scalar: ir.Value, kind: ir.VectorType) -> ir.Value:
    """Repeat a scalar in every lane."""
    first = builder.insert_element(ir.Constant(kind, ir.Undefined), scalar, ir.IntType(32)(0))
    return shuffle_ir(builder, first, first, [0] * kind.count)


def shuffle_ir(builder: ir.IRBuilder, a: ir.Value, b: ir.Value, lanes: list[int]) -> ir.Value:
    """Pick lanes of `a` (0, 1, ...) and `b` (continuing where those of `a` end)."""
    index = ir.Constant(ir.VectorType(ir.IntType(32), len(lanes)), lanes)
    return builder.shuffle_vector(a, b, index)


def fma_ir(builder: ir.IRBuilder, a: ir.Value, b: ir.Value, c: ir.Value) -> ir.Value:
    """Return a * b + c, rounded once where the target has the instruction."""
    kind = a.type
    name = f"llvm.{'fma' if jit.has_fma() else 'fmuladd'}.v{kind.count}{_letter(kind)}"
    function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(kind, [kind] * 3), name)
    return builder.call(function, [a, b, c])


def prefetch_ir(builder: ir.IRBuilder, address: ir.Value) -> None:
    """Ask for the line at an address to be brought into the nearest cache, to be written."""
    number = ir.IntType(32)
    pointer = builder.inttoptr(address, ir.IntType(8).as_pointer())
    kind = ir.FunctionType(ir.VoidType(), [pointer.type, number, number, number])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    builder.call(function, [pointer, number(1), number(3), number(1)])  # to write, keep, data


def relu_ir(builder: ir.IRBuilder, value: ir.Value) -> ir.Value:
    """Return 0 where `value` < 0; NaN stays, since it is not less."""
    zero = ir.Constant(value.type, None)
    return builder.select(builder.fcmp_ordered("<", value, zero), zero, value)


def element_bytes(kind: ir.Type) -> int:
    """Bytes of a scalar, or of a vector's elements."""
    element = kind.element if isinstance(kind, ir.VectorType) else kind
    if isinstance(element, ir.IntType):
        return max(element.width // 8, 1)
    return 4 if isinstance(element, ir.FloatType) else 8


def lanes_between_ir(builder: ir.IRBuilder, first: ir.Value, end: ir.Value, count: int) -> ir.Value:
    """Return a mask of `count` lanes, true from `first` to `end` - 1 (both of 32 bits)."""
    numbers = ir.VectorType(ir.IntType(32), count)
    lane = ir.Constant(numbers, list(range(count)))

    def bound(value: ir.Value) -> ir.Value:
        return splat_ir(builder, builder.trunc(value, ir.IntType(32)), numbers)

    return builder.and_(builder.icmp_signed(">=", lane, bound(first)), builder.icmp_signed("<", lane, bound(end)))


def masked_load_ir(builder: ir.IRBuilder, address: ir.Value, mask: ir.Value, kind: ir.VectorType) -> ir.Value:
    """Load the lanes where `mask` is true; the others are zero, and their memory is not touched."""
    pointer = builder.inttoptr(address, kind.as_pointer())
    arguments = [pointer.type, ir.IntType(32), mask.type, kind]
    name = f"llvm.masked.load.v{kind.count}{_letter(kind)}.p0"
    function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(kind, arguments), name)
    return builder.call(function, [pointer, ir.IntType(32)(element_bytes(kind)), mask, ir.Constant(kind, None)])


def masked_store_ir(builder: ir.IRBuilder, value: ir.Value, address: ir.Value, mask: ir.Value) -> None:
    """Store the lanes where `mask` is true; the memory of the others is not touched."""
    kind = value.type
    pointer = builder.inttoptr(address, kind.as_pointer())
    parameters = [kind, pointer.type, ir.IntType(32), mask.type]
    name = f"llvm.masked.store.v{kind.count}{_letter(kind)}.p0"
    function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(ir.VoidType(), parameters), name)
    builder.call(function, [value, pointer, ir.IntType(32)(element_bytes(kind)), mask])


def _letter(kind: ir.VectorType) -> str:
    """Return what the names of LLVM's functions call an element."""
    return "f32" if element_bytes(kind) == 4 else "f64"
