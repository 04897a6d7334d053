"""Records, in which addresses and numbers reach compiled code: a kernel gets the address of one."""

from __future__ import annotations

import ctypes
import functools
from typing import Annotated, Any, TypeAlias, TypeVar, get_args, get_type_hints

import numpy as np

Elements: TypeAlias = Annotated[int, "elements"]
"""Address of numbers of the type that a kernel is compiled for; 0 for none."""

Words: TypeAlias = Annotated[int, np.dtype(np.intp)]
"""Address of whole numbers, intp; 0 for none."""

Bytes: TypeAlias = Annotated[int, np.dtype(np.uint8)]
"""Address of bytes; 0 for none."""

_R = TypeVar("_R", bound="Record")


def _is_record(hint: Any) -> bool:
    return isinstance(hint, _RecordType)


# Their types are ctypes' own business, which type checkers have an old idea of.
_Structure: Any = ctypes.Structure
_StructureType: Any = type(ctypes.Structure)


class _RecordType(_StructureType):
    """Makes ctypes' fields of a record's annotations."""

    def __new__(meta, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> Any:
        # Without a dictionary of its own, a record has no room for a misspelt field, which would be 0 to the kernel.
        return super().__new__(meta, name, bases, {"__slots__": (), **namespace})

    def __init__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> None:
        super().__init__(name, bases, namespace)
        hints = get_type_hints(cls)
        cls._fields_ = [(name, hint if _is_record(hint) else ctypes.c_ssize_t) for name, hint in hints.items()]


class Record(_Structure, metaclass=_RecordType):
    """Named numbers, one machine word each, which Python sets and compiled code reads.

    A subclass annotates its fields: ``int``, an address (`Elements`, `Words`, `Bytes`, or ``Annotated[int, R]`` of
    other records), or another record, which becomes a part of this one. What is not given is 0::

        class Plane(Record):
            first: Elements
            height: int
            width: int

        plane = Plane(height=5, width=7)
        plane.first = address_of(array)
    """

    def copy(self: _R) -> _R:
        """Return a record of its own with the same numbers."""
        return type(self).from_buffer_copy(self)

    @property
    def address(self) -> int:
        """Where it lies; good for as long as the record lives."""
        return ctypes.addressof(self)


@functools.cache
def fields_of(record: type[Record]) -> dict[str, Any]:
    """Return what each field is: ``int``, the type of a part, or of an address what it points to.

    The last is ``"elements"``, a dtype, or another record's type in a list.
    """
    fields: dict[str, Any] = {}
    for name, hint in get_type_hints(record, include_extras=True).items():
        pointed = get_args(hint)[1:]
        fields[name] = [pointed[0]] if pointed else hint
    return fields


def address_of(array: np.ndarray) -> int:
    """Return the address of an array's first element, several times faster than ``array.ctypes.data``.

    It is the first field of NumPy's array object, after the header of every Python object: part of the binary
    interface that all extension modules are compiled against.
    """
    return _pointer_at(id(array) + object.__basicsize__).value or 0


_pointer_at = ctypes.c_void_p.from_address
