"""Straight-line statements as LLVM instructions, in scalar code and in the lanes of a vector loop.

In: statements of a kernel. Out: instructions. A statement whose operands are the same in all lanes stays scalar.
Memory is read and written at once for all lanes where they are neighbours, else by gather and scatter. A predicate that
differs by lane, and the end of a loop, are masks.
"""

from __future__ import annotations

from collections.abc import Callable

from graphc.codegen.emitter import (
    Emitter,
    Register,
    VectorContext,
    constant,
    memory_type,
    register_type,
    vector_type,
)
from graphc.codegen.floating import round_to
from graphc.codegen.index import depth_of, index, index_lanes, varies
from graphc.codegen.memory import address, load_lanes, load_scalar, pack, store_lanes
from graphc.codegen.scalar import emit_apply
from graphc.ir.dim import Size, bounds, substitute, symbols
from graphc.ir.dtype import DType, bool_
from graphc.kernel.ir import (
    Allocate,
    Apply,
    Bind,
    Buffer,
    Check,
    If,
    Literal,
    Load,
    Operand,
    Position,
    Statement,
    Store,
)

STACK_BYTES = 1 << 20
"""The most that one scratch buffer may take of a thread's stack."""


def emit_body(e: Emitter, statements: tuple[Statement, ...]) -> None:
    """Emit statements in order, each by the handler of its kind."""
    handlers = e.handlers
    for statement in statements:
        handlers[type(statement)](e, statement)


def emit_position(e: Emitter, statement: Position) -> None:
    """An index expression as a number."""
    dtype = statement.out.dtype
    if varies(e, statement.index):
        assert e.context is not None
        name, bits = index_lanes(e, statement.index)
        lanes = e.context.lanes
        e.set_value(statement.out, number(e, f"i{bits}", name, dtype, lanes), lanes)
    else:
        name = index(e, statement.index)
        if isinstance(statement.index, int):
            e.set_value(statement.out, constant(statement.index, register_type(dtype)))
        else:
            e.set_value(statement.out, number(e, "i64", name, dtype, 1))


def number(e: Emitter, from_: str, name: str, dtype: DType, lanes: int) -> str:
    """A signed integer register as a number of `dtype`."""
    source, target = vector_type(from_, lanes), vector_type(register_type(dtype), lanes)
    if dtype.is_floating_point:
        return round_to(e, dtype, lanes, e.emit(f"sitofp {source} {name} to {target}"))
    if dtype is bool_:
        return e.emit(f"icmp ne {source} {name}, {constant(0, from_, lanes)}")
    bits = int(from_[1:])
    if bits == dtype.bits:
        return name
    return e.emit(f"{'trunc' if bits > dtype.bits else 'sext'} {source} {name} to {target}")


def emit_bind(e: Emitter, statement: Bind) -> None:
    """A number as a symbol, clamped into its range."""
    register, dtype = e.operand(statement.operand), statement.operand.dtype
    lanes, type_ = register.lanes, vector_type("i64", register.lanes)
    name = register.name
    if dtype.bits < 64:
        name = e.emit(f"{'sext' if dtype.signed else 'zext'} {register.type} {name} to {type_}")
    # Where the extent is 0 the upper end is -1, and 0 wins.
    last = e.spread(Register(index(e, statement.extent - 1), "i64", 1, depth_of(e, statement.extent)), lanes)
    name = e.intrinsic("smin" if dtype.signed else "umin", type_, (type_, name), (type_, last))
    name = e.intrinsic("smax", type_, (type_, name), (type_, constant(0, "i64", lanes)))
    if lanes > 1:
        e.bind(statement.symbol, None, name)
    else:
        e.bind(statement.symbol, name)


def emit_load(e: Emitter, statement: Load) -> None:
    """An element, or those of all lanes; 0 where the predicate fails."""
    buffer, size, context = statement.buffer, statement.index, e.context
    if context is not None and varies(e, size):
        mask = active_lanes(e, context, statement.predicate)
        e.set_value(statement.out, load_lanes(e, context, buffer, size, mask), context.lanes)
        return
    predicate = None if statement.predicate is None else e.operand(statement.predicate)
    if predicate is None or predicate.name == "true":
        e.set_value(statement.out, load_scalar(e, buffer, address(e, buffer, size)))
        return
    # Where nobody asks for the element, zeros are read in its place.
    e.module.define_global("@zeros = private constant [8 x i8] zeroinitializer, align 8")
    wanted = predicate.name
    if predicate.lanes > 1:
        assert context is not None
        wanted = any_lane(e, predicate.lanes, active_lanes(e, context, statement.predicate))
    place = e.emit(f"select i1 {wanted}, ptr {address(e, buffer, size)}, ptr @zeros")
    value = load_scalar(e, buffer, place)
    if predicate.lanes > 1:
        scalar = register_type(buffer.dtype)
        type_ = vector_type(scalar, predicate.lanes)
        spread = e.spread(Register(value, scalar, 1, e.depth), predicate.lanes)
        value = e.emit(
            f"select {predicate.type} {predicate.name}, {type_} {spread}, "
            f"{type_} {constant(0, scalar, predicate.lanes)}"
        )
    e.set_value(statement.out, value, predicate.lanes)


def emit_store(e: Emitter, statement: Store) -> None:
    """Write an element, or those of all lanes, where the predicate holds."""
    buffer, size, context = statement.buffer, statement.index, e.context
    if context is not None and varies(e, size):
        mask = active_lanes(e, context, statement.predicate)
        name = e.vector_operand(statement.operand, context.lanes)
        store_lanes(e, context, buffer, size, pack(e, buffer.dtype, context.lanes, name), mask)
        return
    register = e.operand(statement.operand)
    assert register.lanes == 1, f"all lanes write one element of {buffer.name}"
    if statement.predicate is None:
        _store_scalar(e, buffer, size, register.name)
        return
    predicate = e.operand(statement.predicate)
    assert predicate.lanes == 1, f"all lanes write one element of {buffer.name}"
    with e.branch(predicate.name):
        _store_scalar(e, buffer, size, register.name)


def _store_scalar(e: Emitter, buffer: Buffer, size: Size, name: str) -> None:
    bits = pack(e, buffer.dtype, 1, name)
    pointer = address(e, buffer, size)
    e.line(f"store {memory_type(buffer.dtype)} {bits}, ptr {pointer}, align {buffer.dtype.itemsize}")


def emit_allocate(e: Emitter, statement: Allocate) -> None:
    """Scratch on the stack; where its size changes from iteration to iteration, as much as the largest needs."""
    buffer = statement.buffer
    size = buffer.size
    for symbol in symbols(size):
        if e.symbols[symbol.name].depth > 0:
            size = substitute(size, {symbol.name: symbol.upper})
    if not isinstance(size, int) and depth_of(e, size) > 0:
        size = bounds(size)[1]
    limit = STACK_BYTES // buffer.dtype.itemsize
    assert bounds(size)[1] <= limit, f"{buffer.name} takes up to {bounds(size)[1]} elements of the stack"
    pointer = e.allocate_stack(memory_type(buffer.dtype), index(e, size))
    e.buffers[buffer] = Register(pointer, "ptr", 1, 0)


# Control


def active_lanes(e: Emitter, context: VectorContext, predicate: Operand | None) -> str | None:
    """The mask of lanes that run and for which the predicate holds; None for all."""
    if predicate is None or (isinstance(predicate, Literal) and predicate.value):
        return context.mask
    name = e.vector_operand(predicate, context.lanes)
    if context.mask is None:
        return name
    return e.emit(f"and <{context.lanes} x i1> {context.mask}, {name}")


def any_lane(e: Emitter, lanes: int, mask: str | None) -> str:
    """Whether the mask is on in any lane."""
    if mask is None:
        return "true"
    return e.intrinsic("vector.reduce.or", "i1", (f"<{lanes} x i1>", mask), overload=f"v{lanes}i1")


def emit_if(e: Emitter, statement: If) -> None:
    """A branch; in a vector loop the body runs masked if any lane needs it."""
    predicate, context = e.operand(statement.predicate), e.context
    if predicate.lanes == 1:
        with e.branch(predicate.name):
            emit_body(e, statement.body)
        return
    assert context is not None
    mask = active_lanes(e, context, statement.predicate)
    some = any_lane(e, context.lanes, mask)
    with e.branch(some), e.vectorized(VectorContext(context.symbol, context.lanes, mask)):
        emit_body(e, statement.body)


def emit_check(e: Emitter, statement: Check) -> None:
    """Report the code where the predicate fails."""
    predicate, context = e.operand(statement.predicate), e.context
    failed = e.emit(f"xor {predicate.type} {predicate.name}, {constant(1, 'i1', predicate.lanes)}")
    if predicate.lanes > 1:
        assert context is not None
        if context.mask is not None:
            failed = e.emit(f"and {predicate.type} {failed}, {context.mask}")
        failed = any_lane(e, predicate.lanes, failed)
    with e.branch(failed):
        e.line(f"store atomic i32 {statement.code}, ptr {e.status} monotonic, align 4")


STRAIGHT: dict[type, Callable[..., None]] = {
    Apply: emit_apply,
    Position: emit_position,
    Bind: emit_bind,
    Load: emit_load,
    Store: emit_store,
    Allocate: emit_allocate,
    If: emit_if,
    Check: emit_check,
}
"""Handlers of all statements but loops, reductions and contractions."""
