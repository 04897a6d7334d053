"""Pointers and records as values in Numba code.

A :class:`Pointer` knows what it points to: ``p + n`` is `n` elements further on, ``p[n]`` reads and writes, ``if p``
asks whether it points anywhere. A record of :class:`fastconv.jit.Record` is read and, where it lies in scratch memory,
written field by field; a field that is an address is a pointer. So kernels never multiply by the size of an element::

    job = record(ScaleJob, zero, address)
    for n in range(job.count):
        job.out[n] = job.factor * job.x[n]

Nothing checks an address: a kernel that counts wrongly reads and writes memory beyond its arrays.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import errors
from numba.core.imputils import lower_constant
from numba.core.typing.templates import AbstractTemplate, AttributeTemplate, infer_getattr, infer_global, signature
from numba.extending import (
    intrinsic,
    lower_builtin,
    lower_getattr_generic,
    lower_setattr_generic,
    models,
    register_model,
    typeof_impl,
)
from numba.np.numpy_support import from_dtype

from fastconv.jit.records import Record, fields_of

from .ir import load_ir, prefetch_ir, store_ir

WORD = np.dtype(np.intp).itemsize


# --- types ----------------------------------------------------------------------------------------------------------


class Pointer(types.Type):
    """Numba type of the address of numbers or records, `element`, that lie one after the other."""

    def __init__(self, element: types.Type):
        self.element = element
        self.step = element.size if isinstance(element, Struct) else element.bitwidth // 8
        super().__init__(name=f"Pointer({element})")


class Struct(types.Type):
    """Numba type of a record, by its address; `element` is what its `Elements` are."""

    def __init__(self, record: type[Record], element: types.Type):
        self.record, self.element = record, element
        self.size = np.dtype(record).itemsize
        fields = " ".join(fields_of(record))  # else a class that is defined anew would be taken for the old one
        super().__init__(name=f"{record.__module__}.{record.__qualname__}({element}: {fields})")

    def has(self, name: str) -> bool:
        """Whether there is a field of this name."""
        return name in fields_of(self.record)

    def field(self, name: str) -> tuple[int, types.Type]:
        """Return at which byte a field lies, and its type."""
        return getattr(self.record, name).offset, self._type_of(fields_of(self.record)[name])

    def _type_of(self, field: Any) -> types.Type:
        if field is int:
            return types.intp
        if not isinstance(field, list):
            return Struct(field, self.element)
        (pointed,) = field
        if isinstance(pointed, type):
            return Pointer(Struct(pointed, self.element))
        return Pointer(self.element if isinstance(pointed, str) else from_dtype(pointed))


class RecordType(types.Dummy):
    """Numba type of a subclass of :class:`fastconv.jit.Record`, the argument of :func:`record`."""

    def __init__(self, record: type[Record]):
        self.record = record
        super().__init__(name=f"type {record.__module__}.{record.__qualname__}")


@register_model(Pointer)
@register_model(Struct)
class _AddressModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: types.Type):
        super().__init__(dmm, fe_type, ir.IntType(8 * WORD))


register_model(RecordType)(models.OpaqueModel)


@typeof_impl.register(type(Record))
def _type_of_record(value: type[Record], context: Any) -> RecordType:
    return RecordType(value)


@lower_constant(RecordType)
def _constant_record(context: Any, builder: Any, kind: Any, value: Any) -> Any:
    return context.get_dummy_value()


# --- from one kind of address to another ----------------------------------------------------------------------------


@intrinsic
def record(typingctx: Any, kind: Any, zero: Any, address: Any) -> Any:
    """Return the record at an address: `kind` is its class, `zero` a scalar of the type of its elements."""
    return Struct(kind.record, zero)(kind, zero, types.intp), _same_address(2)


@intrinsic
def elements_at(typingctx: Any, zero: Any, pointer: Any) -> Any:
    """Return a pointer to numbers of the type of `zero` that begin where `pointer` points to."""
    return Pointer(zero)(zero, _checked(pointer)), _same_address(1)


@intrinsic
def words_at(typingctx: Any, pointer: Any) -> Any:
    """Return a pointer to whole numbers (intp) that begin where `pointer` points to."""
    return Pointer(types.intp)(_checked(pointer)), _same_address(0)


@intrinsic
def bytes_at(typingctx: Any, pointer: Any) -> Any:
    """Return a pointer to bytes that begin where `pointer` points to."""
    return Pointer(types.uint8)(_checked(pointer)), _same_address(0)


@intrinsic
def records_at(typingctx: Any, kind: Any, zero: Any, pointer: Any) -> Any:
    """Return a pointer to records of class `kind` that begin where `pointer` points to; see :func:`record`."""
    return Pointer(Struct(kind.record, zero))(kind, zero, _checked(pointer)), _same_address(2)


@intrinsic
def nowhere(typingctx: Any, pointer: Any) -> Any:
    """Return a pointer of the type of another that points nowhere."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return ir.IntType(8 * WORD)(0)

    return _checked(pointer)(pointer), codegen


def _same_address(argument: int) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return args[argument]

    return codegen


def _checked(pointer: Any) -> Pointer:
    if not isinstance(pointer, Pointer):
        raise errors.TypingError(f"a pointer is expected, got {pointer}")
    return pointer


@intrinsic
def prefetch_to_write(typingctx: Any, pointer: Any) -> Any:
    """Bring the line that a pointer points to into cache, to be written; it may point anywhere."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        prefetch_ir(builder, args[0])
        return context.get_dummy_value()

    return types.void(_checked(pointer)), codegen


# --- fields ---------------------------------------------------------------------------------------------------------


@infer_getattr
class _FieldTemplate(AttributeTemplate):
    key = Struct

    def generic_resolve(self, struct: Struct, name: str) -> types.Type | None:
        return struct.field(name)[1] if struct.has(name) else None


@lower_getattr_generic(Struct)
def _get_field(context: Any, builder: Any, struct: Struct, address: Any, name: str) -> Any:
    offset, kind = struct.field(name)
    place = builder.add(address, address.type(offset))
    return place if isinstance(kind, Struct) else load_ir(builder, place, address.type)


@lower_setattr_generic(Struct)
def _set_field(context: Any, builder: Any, sig: Any, args: Any, name: str) -> None:
    struct, given = sig.args
    offset, kind = struct.field(name)
    address, value = args
    store_ir(builder, context.cast(builder, value, given, kind), builder.add(address, address.type(offset)))


# --- operators ------------------------------------------------------------------------------------------------------


def _operator(function: Any, resolve: Any) -> None:
    """Let Numba type calls of `function` by `resolve`, which returns the signature for its arguments, or None."""

    class _Template(AbstractTemplate):
        def generic(self, args: Any, kws: Any) -> Any:
            return resolve(*args)

    infer_global(function)(_Template)


def _moved(pointer: Any, count: Any) -> Any:
    if isinstance(pointer, Pointer) and isinstance(count, types.Integer):
        return signature(pointer, pointer, types.intp)
    return None


def _compared(a: Any, b: Any) -> Any:
    return signature(types.boolean, a, b) if isinstance(a, Pointer) and a == b else None


def _asked(pointer: Any) -> Any:
    return signature(types.boolean, pointer) if isinstance(pointer, Pointer) else None


def _element(pointer: Any, index: Any) -> Any:
    if isinstance(pointer, Pointer) and isinstance(index, types.Integer):
        return signature(pointer.element, pointer, types.intp)
    return None


def _set_element(pointer: Any, index: Any, value: Any) -> Any:
    if isinstance(pointer, Pointer) and isinstance(index, types.Integer) and not isinstance(pointer.element, Struct):
        return signature(types.none, pointer, types.intp, pointer.element)
    return None


def _place(builder: Any, pointer: Pointer, address: Any, count: Any) -> Any:
    return builder.add(address, builder.mul(count, count.type(pointer.step)))


for _add in (operator.add, operator.iadd):
    _operator(_add, _moved)

    @lower_builtin(_add, Pointer, types.intp)
    def _lower_add(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _place(builder, sig.args[0], *args)


for _sub in (operator.sub, operator.isub):
    _operator(_sub, _moved)

    @lower_builtin(_sub, Pointer, types.intp)
    def _lower_sub(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _place(builder, sig.args[0], args[0], builder.neg(args[1]))


for _comparison, _sign in {
    operator.eq: "==",
    operator.ne: "!=",
    operator.lt: "<",
    operator.le: "<=",
    operator.gt: ">",
    operator.ge: ">=",
}.items():
    _operator(_comparison, _compared)

    def _lower_comparison(context: Any, builder: Any, sig: Any, args: Any, sign: str = _sign) -> Any:
        return builder.icmp_unsigned(sign, *args)

    lower_builtin(_comparison, Pointer, Pointer)(_lower_comparison)


for _question, _sign in {bool: "!=", operator.not_: "=="}.items():
    _operator(_question, _asked)

    def _lower_question(context: Any, builder: Any, sig: Any, args: Any, sign: str = _sign) -> Any:
        return builder.icmp_unsigned(sign, args[0], args[0].type(0))

    lower_builtin(_question, Pointer)(_lower_question)


_operator(operator.getitem, _element)
_operator(operator.setitem, _set_element)


@lower_builtin(operator.getitem, Pointer, types.intp)
def _lower_getitem(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    pointer = sig.args[0]
    place = _place(builder, pointer, *args)
    if isinstance(pointer.element, Struct):
        return place
    return load_ir(builder, place, context.get_value_type(pointer.element))


@lower_builtin(operator.setitem, Pointer, types.intp, types.Any)
def _lower_setitem(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    address, index, value = args
    store_ir(builder, value, _place(builder, sig.args[0], address, index))
    return context.get_dummy_value()
