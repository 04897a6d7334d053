"""The register-tiled matrix product that everything heavy ends in.

It computes ``C = A @ B`` for a tile of C that lives in registers: :func:`tile_rows` rows of :func:`tile_vectors`
vectors. Each step along the depth loads a row of B (vectors), and for each row of A one scalar, repeated in all lanes,
that is multiplied and added into the row's accumulators. The tile is chosen so that the multiply-adds of one step, two
a cycle on today's cores, take longer than its loads, and that accumulators, a row of B and the repeated scalar fit the
register file: 6 x 2 in 16 registers, 8 x 3 in 32 (Goto and van de Geijn, "Anatomy of high-performance matrix
multiplication", ACM TOMS 34(3), 2008, is the classic account).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fastconv import jit

from .ir import fma_ir, load_ir, prefetch_ir, relu_ir, scalar_ir, splat_ir, store_ir, vector_ir
from .pointers import WORD, Pointer

DEPTH_BLOCK = 256  # terms that callers let it add up at a time: longer chains of additions lose accuracy
FETCH_ABOVE = 64  # terms: shorter sums are done before a line has come, and asking takes longer


def tile_rows() -> int:
    """Rows of a full tile."""
    return 8 if jit.vector_bytes() == 64 else 6


def tile_vectors() -> int:
    """Vectors in a row of a tile."""
    return 3 if jit.vector_bytes() == 64 else 2


def tile_columns(dtype: np.dtype) -> int:
    """Elements in a row of a tile."""
    return tile_vectors() * jit.lanes(dtype)


def strip_rows() -> int:
    """Rows of a full tile of :func:`blocked_product`."""
    return 28 if jit.vector_bytes() == 64 else 6


def strip_vectors() -> int:
    """Vectors in its rows."""
    return 1 if jit.vector_bytes() == 64 else 2


def strip_columns(dtype: np.dtype) -> int:
    """Elements in its rows."""
    return strip_vectors() * jit.lanes(dtype)


def _rows_in_code(rows: Callable[[], int]) -> Any:
    @intrinsic
    def constant(typingctx: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return context.get_constant(types.intp, rows())

        return types.intp(), codegen

    return constant


def _columns_in_code(vectors: Callable[[], int]) -> Any:
    @intrinsic
    def constant(typingctx: Any, zero: Any) -> Any:
        columns = vectors() * jit.vector_bytes() * 8 // zero.bitwidth

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return context.get_constant(types.intp, columns)

        return types.intp(zero), codegen

    return constant


# The same in compiled code, as constants; those of columns take a zero of the element type.
rows_of_tile, columns_of_tile = _rows_in_code(tile_rows), _columns_in_code(tile_vectors)
rows_of_strip, columns_of_strip = _rows_in_code(strip_rows), _columns_in_code(strip_vectors)


@contextlib.contextmanager
def _plain_loop(builder: ir.IRBuilder, count: ir.Value) -> Iterator[ir.Value]:
    """Loop from 0 to `count` - 1, not unrolled: LLVM would spill accumulators to hoist a second step's loads."""
    intp = count.type
    before = builder.block
    body, after = builder.append_basic_block("step"), builder.append_basic_block("done")
    builder.cbranch(builder.icmp_signed(">", count, intp(0)), body, after)
    builder.position_at_end(body)
    index = builder.phi(intp)
    index.add_incoming(intp(0), before)
    yield index
    following = builder.add(index, intp(1))
    index.add_incoming(following, builder.block)
    back = builder.cbranch(builder.icmp_signed("<", following, count), body, after)
    no_unrolling = builder.module.add_metadata([ir.MetaDataString(builder.module, "llvm.loop.unroll.disable")])
    loop = builder.module.add_metadata([no_unrolling])
    loop.operands = (loop, no_unrolling)  # LLVM wants the node to name itself first
    back.set_metadata("llvm.loop", loop)
    builder.position_at_end(after)


class _Tile:
    """Emits the parts of a product: accumulators of `rows` rows, steps along the depth, and the way into C."""

    def __init__(self, builder: ir.IRBuilder, element: Any, rows: int, vectors: int):
        self.builder = builder
        self.vector, self.scalar = vector_ir(element), scalar_ir(element)
        self.item = element.bitwidth // 8
        self.rows, self.wide = rows, vectors
        self.row_bytes = self.wide * self.vector.count * self.item
        self.cells = [(i, j) for i in range(rows) for j in range(self.wide)]
        zero = ir.Constant(self.vector, None)
        self.total = {cell: cgutils.alloca_once_value(builder, zero) for cell in self.cells}

    def plus(self, address: ir.Value, amount: int) -> ir.Value:
        return self.builder.add(address, address.type(amount))

    def times(self, value: ir.Value, factor: int) -> ir.Value:
        return self.builder.mul(value, value.type(factor))

    def _vector_at(self, address: ir.Value, j: int) -> ir.Value:
        return load_ir(self.builder, self.plus(address, j * self.vector.count * self.item), self.vector)

    def _repeated(self, address: ir.Value) -> ir.Value:
        return splat_ir(self.builder, load_ir(self.builder, address, self.scalar), self.vector)

    def packed_row(self, a: ir.Value, p: ir.Value) -> list[ir.Value]:
        """Return the addresses of the scalars of step `p` in a packed panel of A."""
        row = self.builder.add(a, self.times(p, self.rows * self.item))
        return [self.plus(row, i * self.item) for i in range(self.rows)]

    def step(self, scalars: list[ir.Value], row_b: ir.Value) -> None:
        """Add the products of one scalar a row of A (by address) with a row of B."""
        vector_bytes = self.vector.count * self.item
        self.step_blocks(scalars, [self.plus(row_b, j * vector_bytes) for j in range(self.wide)])

    def step_blocks(self, scalars: list[ir.Value], row_b: list[ir.Value]) -> None:
        """Add the same, with each vector of the row of B by address."""
        vectors = [load_ir(self.builder, address, self.vector) for address in row_b]
        for i, address in enumerate(scalars):
            factor = self._repeated(address)
            for j in range(self.wide):
                total = self.total[i, j]
                self.builder.store(fma_ir(self.builder, factor, vectors[j], self.builder.load(total)), total)

    def fetch(self, c: ir.Value, pitch: ir.Value) -> None:
        """Ask for the tile of C, which is needed when the sums are done."""
        for i in range(self.rows):
            row_c = self.builder.add(c, self.times(pitch, i * self.item))
            for last in (0, self.row_bytes - self.item):
                prefetch_ir(self.builder, self.plus(row_c, last))

    def begin(self, first: ir.Value, bias: ir.Value) -> None:
        """Let the sums begin with the bias, if there is one and C is to be set."""
        builder, none = self.builder, first.type(0)
        biased = builder.and_(builder.icmp_signed("!=", first, none), builder.icmp_signed("!=", bias, none))
        with builder.if_then(biased):
            self._update(lambda i, j, value: self._repeated(self.plus(bias, i * self.item)))

    def finish(self, c: ir.Value, pitch: ir.Value, first: ir.Value, relu: ir.Value) -> None:
        """Set C or add to it; see :func:`scattered_product`."""
        builder, none = self.builder, first.type(0)
        row_c = [builder.add(c, self.times(pitch, i * self.item)) for i in range(self.rows)]
        with builder.if_then(builder.icmp_signed("==", first, none)):
            self._update(lambda i, j, value: builder.fadd(value, self._vector_at(row_c[i], j)))
        with builder.if_then(builder.icmp_signed("!=", relu, none)):
            self._update(lambda i, j, value: relu_ir(builder, value))
        for i, j in self.cells:
            at = self.plus(row_c[i], j * self.vector.count * self.item)
            store_ir(builder, builder.load(self.total[i, j]), at)

    def finish_blocks(self, c: ir.Value, block: ir.Value, first: ir.Value) -> None:
        """Set C or add to it, whose columns come in blocks of a vector; see :func:`blocked_product`."""
        builder, vector_bytes = self.builder, self.vector.count * self.item
        blocks = [builder.add(c, self.times(block, j * self.item)) for j in range(self.wide)]

        def place(i: int, j: int) -> ir.Value:
            return self.plus(blocks[j], i * vector_bytes)

        with builder.if_then(builder.icmp_signed("==", first, first.type(0))):
            self._update(lambda i, j, value: builder.fadd(value, load_ir(builder, place(i, j), self.vector)))
        for i, j in self.cells:
            store_ir(builder, builder.load(self.total[i, j]), place(i, j))

    def _update(self, function: Callable[[int, int, ir.Value], ir.Value]) -> None:
        for i, j in self.cells:
            self.builder.store(function(i, j, self.builder.load(self.total[i, j])), self.total[i, j])


def _argument_types(zero: types.Type) -> tuple[types.Type, types.Type, types.Type]:
    """Return the types of a number, of a pointer to numbers, and of one to elements."""
    return types.intp, Pointer(types.intp), Pointer(zero)


def _for_any_height(builder: ir.IRBuilder, rows: ir.Value, most: int, emit: Callable[[int], None]) -> None:
    """Emit a product for each height that a tile may have, and the choice among them by `rows`."""
    after = builder.append_basic_block("multiplied")
    choice = builder.switch(rows, after)
    for height in range(1, most + 1):
        block = builder.append_basic_block(f"rows_{height}")
        choice.add_case(height, block)
        builder.position_at_end(block)
        emit(height)
        builder.branch(after)
    builder.position_at_end(after)


@intrinsic
def _product(typingctx: Any, zero: Any, rows: Any, a: Any, b: Any, b_pitch: Any, depth: Any, c: Any, pitch: Any,
             first: Any) -> Any:  # fmt: skip
    """Emit :func:`product`."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _, rows, a, b, b_pitch, depth, c, pitch, first = args

        def emit(height: int) -> None:
            tile = _Tile(builder, zero, height, tile_vectors())
            line = tile.times(b_pitch, tile.item)
            with _plain_loop(builder, depth) as p:
                tile.step(tile.packed_row(a, p), builder.add(b, builder.mul(p, line)))
            tile.finish(c, pitch, first, first.type(0))

        _for_any_height(builder, rows, tile_rows(), emit)
        return context.get_dummy_value()

    number, _, elements = _argument_types(zero)
    return types.void(zero, number, elements, elements, number, number, elements, number, number), codegen


@intrinsic
def _scattered_product(typingctx: Any, zero: Any, rows: Any, a: Any, b: Any, offsets: Any, depth: Any, c: Any,
                       pitch: Any, first: Any, bias: Any, relu: Any) -> Any:  # fmt: skip
    """Emit :func:`scattered_product`."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _, rows, a, b, offsets, depth, c, pitch, first, bias, relu = args

        def emit(height: int) -> None:
            tile = _Tile(builder, zero, height, tile_vectors())
            tile.begin(first, bias)
            with builder.if_then(builder.icmp_signed(">", depth, depth.type(FETCH_ABOVE))):
                tile.fetch(c, pitch)
            with _plain_loop(builder, depth) as p:
                offset = load_ir(builder, builder.add(offsets, tile.times(p, WORD)), a.type)
                tile.step(tile.packed_row(a, p), builder.add(b, tile.times(offset, tile.item)))
            tile.finish(c, pitch, first, relu)

        _for_any_height(builder, rows, tile_rows(), emit)
        return context.get_dummy_value()

    number, numbers, elements = _argument_types(zero)
    arguments = (number, elements, elements, numbers, number, elements, number, number, elements, number)
    return types.void(zero, *arguments), codegen


@intrinsic
def _strided_product(typingctx: Any, zero: Any, rows: Any, a: Any, offsets: Any, step: Any, count: Any, jump: Any,
                     times: Any, b: Any, b_pitch: Any, c: Any, pitch: Any, first: Any) -> Any:  # fmt: skip
    """Emit :func:`strided_product`."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _, rows, a, offsets, step, count, jump, times, b, b_pitch, c, pitch, first = args
        intp = a.type
        item = zero.bitwidth // 8
        step, jump, b_pitch = (builder.mul(value, intp(item)) for value in (step, jump, b_pitch))

        def emit(height: int) -> None:
            tile = _Tile(builder, zero, height, tile_vectors())
            numbers = [load_ir(builder, tile.plus(offsets, i * WORD), intp) for i in range(height)]
            starts = [builder.add(a, tile.times(number, item)) for number in numbers]
            with _plain_loop(builder, times) as q:
                moved = builder.mul(q, jump)
                begins = [builder.add(start, moved) for start in starts]
                begin_b = builder.add(b, builder.mul(builder.mul(q, count), b_pitch))
                with _plain_loop(builder, count) as p:
                    along = builder.mul(p, step)
                    scalars = [builder.add(begin, along) for begin in begins]
                    tile.step(scalars, builder.add(begin_b, builder.mul(p, b_pitch)))
            tile.finish(c, pitch, first, intp(0))

        _for_any_height(builder, rows, tile_rows(), emit)
        return context.get_dummy_value()

    number, numbers, elements = _argument_types(zero)
    along_a = (number, elements, numbers, number, number, number, number)
    return types.void(zero, *along_a, elements, number, elements, number, number), codegen


@intrinsic
def _blocked_product(typingctx: Any, zero: Any, rows: Any, a: Any, a_block: Any, depth: Any, b: Any, c: Any,
                     c_block: Any, first: Any) -> Any:  # fmt: skip
    """Emit :func:`blocked_product`."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _, rows, a, a_block, depth, b, c, c_block, first = args
        intp = a.type

        def emit(height: int) -> None:
            tile = _Tile(builder, zero, height, strip_vectors())
            lanes = tile.vector.count
            blocks = builder.sdiv(builder.add(depth, intp(lanes - 1)), intp(lanes))
            with _plain_loop(builder, blocks) as block:
                a_here = builder.add(a, builder.mul(block, tile.times(a_block, tile.item)))
                b_here = builder.add(b, tile.times(block, lanes * tile.row_bytes))
                left = builder.sub(depth, tile.times(block, lanes))
                count = builder.select(builder.icmp_signed("<", left, intp(lanes)), left, intp(lanes))
                with _plain_loop(builder, count) as p:
                    column = builder.add(a_here, tile.times(p, tile.item))
                    scalars = [tile.plus(column, i * lanes * tile.item) for i in range(height)]
                    tile.step(scalars, builder.add(b_here, tile.times(p, tile.row_bytes)))
            tile.finish_blocks(c, c_block, first)

        _for_any_height(builder, rows, strip_rows(), emit)
        return context.get_dummy_value()

    number, _, elements = _argument_types(zero)
    return types.void(zero, number, elements, number, number, elements, elements, number, number), codegen


@intrinsic
def _summed_product(typingctx: Any, zero: Any, rows: Any, a: Any, depth: Any, b: Any, b_block: Any, c: Any,
                    c_block: Any, first: Any) -> Any:  # fmt: skip
    """Emit :func:`summed_product`."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _, rows, a, depth, b, b_block, c, c_block, first = args

        def emit(height: int) -> None:
            tile = _Tile(builder, zero, height, strip_vectors())
            vector_bytes = tile.vector.count * tile.item
            blocks = [builder.add(b, tile.times(b_block, j * tile.item)) for j in range(tile.wide)]
            with _plain_loop(builder, depth) as p:
                along = tile.times(p, vector_bytes)
                row = builder.add(a, along)
                scalars = [tile.plus(row, i * tile.item) for i in range(height)]
                tile.step_blocks(scalars, [builder.add(block, along) for block in blocks])
            tile.finish_blocks(c, c_block, first)

        most = min(strip_rows(), vector_ir(zero).count)
        _for_any_height(builder, rows, most, emit)
        return context.get_dummy_value()

    number, _, elements = _argument_types(zero)
    return types.void(zero, number, elements, number, elements, number, elements, number, number), codegen


@jit.inline
def product(zero, rows, a, b, b_pitch, depth, c, pitch, first):
    """Multiply a packed panel of A with one of B into a tile of C.

    Parameters
    ----------
    zero : float32 or float64
        Gives the element type.
    rows : intp
        Rows of the tile, from 1 to :func:`tile_rows`.
    a : pointer to elements
        A's panel, (depth, rows), contiguous.
    b, b_pitch : pointer to elements, intp
        B's panel, (depth, tile columns), and elements from one of its rows to the next.
    depth : intp
        Terms of each sum, 0 or more; callers keep it to a few hundred, since one chain of additions loses accuracy.
    c, pitch : pointer to elements, intp
        The tile of C, and elements from one of its rows to the next.
    first : intp
        If not 0, C is set; else the product is added to it.
    """
    _product(zero, rows, a, b, b_pitch, depth, c, pitch, first)


@jit.inline
def scattered_product(zero, rows, a, b, offsets, depth, c, pitch, first, bias, relu):
    """Multiply as :func:`product`, with rows of B that lie anywhere, a bias, and a ReLU.

    Parameters
    ----------
    zero, rows, a, depth, c, pitch, first
        As in :func:`product`.
    b, offsets : pointer to elements, pointer to words
        B, and how many elements after it each of its rows begins.
    bias : pointer to elements
        A number for each of the `rows`, added to it when `first`; or nowhere.
    relu : intp
        If not 0, negative results become 0 (NaN stays).
    """
    _scattered_product(zero, rows, a, b, offsets, depth, c, pitch, first, bias, relu)


@jit.inline
def strided_product(zero, rows, a, offsets, step, count, jump, times, b, b_pitch, c, pitch, first):
    """Multiply rows that lie anywhere in memory with a packed panel of B into a tile of C.

    Row i of A begins `offsets[i]` elements after `a` and is read in `times` runs of `count` elements.

    Parameters
    ----------
    zero, rows, b, b_pitch, c, pitch, first
        As in :func:`product`; the depth is ``times * count``.
    a, offsets : pointer to elements, pointer to words
        A, and how many elements after it each of the `rows` begins.
    step : intp
        Elements from one element of a run to the next.
    count, jump, times : intp
        Elements in a run; elements from the start of one run to that of the next; runs.
    """
    _strided_product(zero, rows, a, offsets, step, count, jump, times, b, b_pitch, c, pitch, first)


@jit.inline
def blocked_product(zero, rows, a, a_block, depth, b, c, c_block, first):
    """Multiply a strip of A with a packed panel of B into a tile of C, where A and C come in blocks of columns.

    A block has as many columns as a vector has lanes: (block, row, column of the block). What is a block of columns of
    C to one product can so be a block of terms of A to the next, with any number of rows.

    Parameters
    ----------
    zero, depth, first
        As in :func:`product`.
    rows : intp
        Rows of the tile, from 1 to :func:`strip_rows`.
    a, a_block : pointer to elements, intp
        The first term of A's first row, and elements from one block to the next.
    b : pointer to elements
        B's panel, (depth, :func:`strip_columns`), contiguous.
    c, c_block : pointer to elements, intp
        Likewise for C.
    """
    _blocked_product(zero, rows, a, a_block, depth, b, c, c_block, first)


@jit.inline
def summed_product(zero, rows, a, depth, b, b_block, c, c_block, first):
    """Multiply some columns of one block of A, transposed, with blocks of columns of B.

    Parameters
    ----------
    zero, first
        As in :func:`product`.
    rows, c, c_block
        As in :func:`blocked_product`; no more rows than a vector has lanes.
    a : pointer to elements
        The first of the columns that are C's rows, in A's first row.
    depth : intp
        Rows of A and B: terms of each sum.
    b, b_block : pointer to elements, intp
        The first row of the first of :func:`strip_vectors` blocks of B, and elements from one block to the next.
    """
    _summed_product(zero, rows, a, depth, b, b_block, c, c_block, first)
