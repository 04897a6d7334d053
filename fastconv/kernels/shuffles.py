"""Shuffles, which change the places of lanes: take every second one, deal two vectors by turns, transpose."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import errors
from numba.extending import intrinsic

from .ir import lanes_between_ir, load_ir, masked_load_ir, shuffle_ir, store_ir, vector_ir


@intrinsic
def evens(typingctx: Any, a: Any, b: Any) -> Any:
    """Return lanes 0, 2, 4, ... of `a` followed by `b`."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return shuffle_ir(builder, args[0], args[1], list(range(0, 2 * a.lanes, 2)))

    return a(a, a), codegen


@intrinsic
def odds(typingctx: Any, a: Any, b: Any) -> Any:
    """Return lanes 1, 3, 5, ... of `a` followed by `b`."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return shuffle_ir(builder, args[0], args[1], list(range(1, 2 * a.lanes, 2)))

    return a(a, a), codegen


def _every_second_order(lanes: int, element: Any) -> list[int]:
    """Lanes that :func:`every_second` takes: half of each quarter of 128 bits from the one vector, half from the other.

    Shuffles that stay within such quarters are the cheap ones before AVX-512.
    """
    size = 128 // element.bitwidth
    halves = [(range(q, q + size, 2), range(lanes + q + 1, lanes + q + size, 2)) for q in range(0, lanes, size)]
    return [lane for first, second in halves for lane in (*first, *second)]


@intrinsic
def every_second(typingctx: Any, a: Any, b: Any) -> Any:
    """Return every second element of two vectors, out of order; `b` begins with the element that `a` ends with.

    :func:`in_order` puts them right: once, after as much arithmetic as need be.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return shuffle_ir(builder, args[0], args[1], _every_second_order(a.lanes, a.element))

    return a(a, a), codegen


@intrinsic
def in_order(typingctx: Any, vector: Any) -> Any:
    """Put into order what :func:`every_second` gave."""
    n = vector.lanes
    places = [lane // 2 if lane < n else (lane - 1) // 2 for lane in _every_second_order(n, vector.element)]

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return shuffle_ir(builder, args[0], args[0], [places.index(lane) for lane in range(n)])

    return vector(vector), codegen


@intrinsic
def interleaved(typingctx: Any, a: Any, b: Any) -> Any:
    """Return a0, b0, a1, b1, ... as two vectors."""
    n = a.lanes

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        order = [m // 2 + m % 2 * n for m in range(2 * n)]
        halves = [shuffle_ir(builder, args[0], args[1], part) for part in (order[:n], order[n:])]
        return context.make_tuple(builder, signature.return_type, halves)

    return types.UniTuple(a, 2)(a, a), codegen


def dealt_order(lanes: int, element: Any) -> list[int]:
    """Lanes in the order of :func:`dealt`: each quarter of 128 bits has some of the first half, then of the second."""
    size = 128 // element.bitwidth // 2
    return [half + q + k for q in range(0, lanes // 2, size) for half in (0, lanes // 2) for k in range(size)]


@intrinsic
def dealt(typingctx: Any, vector: Any) -> Any:
    """Put a vector into the order in which :func:`interleaved_dealt` takes it."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return shuffle_ir(builder, args[0], args[0], dealt_order(vector.lanes, vector.element))

    return vector(vector), codegen


@intrinsic
def interleaved_dealt(typingctx: Any, a: Any, b: Any) -> Any:
    """Return a0, b0, a1, b1, ... as two vectors, of two that are dealt: shuffles within quarters, which are cheap."""
    n, size = a.lanes, 128 // a.element.bitwidth
    low = [lane for q in range(0, n, size) for k in range(q, q + size // 2) for lane in (k, n + k)]

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        halves = [shuffle_ir(builder, args[0], args[1], part) for part in (low, [lane + size // 2 for lane in low])]
        return context.make_tuple(builder, signature.return_type, halves)

    return types.UniTuple(a, 2)(a, a), codegen


def _place(builder: ir.IRBuilder, address: ir.Value, pitch: ir.Value, number: ir.Value | int, item: int) -> ir.Value:
    """Return the address of a row."""
    number = pitch.type(number * item) if isinstance(number, int) else builder.mul(number, pitch.type(item))
    return builder.add(address, builder.mul(pitch, number))


def _transposed(builder: ir.IRBuilder, rows: list[ir.Value]) -> list[ir.Value]:
    """Transpose as many vectors as each has lanes.

    Each round interleaves row i with row i + n/2: after log2(n) of them, columns have become rows.
    """
    n = len(rows)
    low = [lane for k in range(n // 2) for lane in (k, n + k)]
    high = [lane + n // 2 for lane in low]
    for _ in range(n.bit_length() - 1):
        pairs = zip(rows[: n // 2], rows[n // 2 :], strict=True)
        rows = [shuffle_ir(builder, a, b, part) for a, b in pairs for part in (low, high)]
    return rows


def _check_same(source: Any, to: Any) -> None:
    if source != to:
        raise errors.TypingError(f"a block of {source.element} cannot be transposed to {to.element}")


@intrinsic
def transpose_block(typingctx: Any, source: Any, source_pitch: Any, to: Any, to_pitch: Any) -> Any:
    """Transpose as many rows as a vector has lanes, of one vector each; pitches are elements from row to row."""
    _check_same(source, to)
    element = source.element

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        source, source_pitch, to, to_pitch = args
        kind, item = vector_ir(element), element.bitwidth // 8
        places = (_place(builder, source, source_pitch, number, item) for number in range(kind.count))
        rows = [load_ir(builder, place, kind) for place in places]
        for number, row in enumerate(_transposed(builder, rows)):
            store_ir(builder, row, _place(builder, to, to_pitch, number, item))
        return context.get_dummy_value()

    return types.void(source, types.intp, to, types.intp), codegen


@intrinsic
def transpose_part(typingctx: Any, source: Any, source_pitch: Any, rows: Any, first: Any, end: Any, to: Any,
                   to_pitch: Any) -> Any:  # fmt: skip
    """Transpose as :func:`transpose_block` what there is of a block: its first `rows`, lanes `first` to `end` - 1.

    Other lanes are zero, and their memory is not touched. In the place of other rows stands the last of `rows`.
    """
    _check_same(source, to)
    element = source.element

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        source, source_pitch, rows, first, end, to, to_pitch = args
        kind, item = vector_ir(element), element.bitwidth // 8
        intp = rows.type
        last = builder.sub(rows, intp(1))
        inside = lanes_between_ir(builder, first, end, kind.count)

        def numbered(number: int) -> ir.Value:
            return builder.select(builder.icmp_signed("<", intp(number), last), intp(number), last)

        places = (_place(builder, source, source_pitch, numbered(number), item) for number in range(kind.count))
        found = [masked_load_ir(builder, place, inside, kind) for place in places]
        for number, row in enumerate(_transposed(builder, found)):
            store_ir(builder, row, _place(builder, to, to_pitch, number, item))
        return context.get_dummy_value()

    number = types.intp
    return types.void(source, number, number, number, number, to, number), codegen
