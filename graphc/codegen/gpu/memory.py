"""Loads, stores and allocations of a thread, and which of many buffers they go to.

In: a buffer and index expressions. Out: instructions on generic pointers, whose memory LLVM finds out. An access to
neighbours is one instruction of up to 16 bytes where their place is known to be a multiple of that: the first element
of a buffer is at such an address.
"""

from __future__ import annotations

from graphc.codegen.body import emit_body, number
from graphc.codegen.emitter import Register, constant, memory_type, register_type
from graphc.codegen.gpu.emitter import (
    GpuEmitter,
    fits_narrow,
    folded,
    known_factor,
    narrow_index,
    split_constant,
    wide_index,
)
from graphc.codegen.index import depth_of, fits_int32, index_in_32_bits
from graphc.codegen.memory import pack, unpack
from graphc.ir.dim import Size, bounds, is_at_least
from graphc.ir.dtype import DType, i64, u64
from graphc.kernel.ir import Allocate, Bind, Buffer, Choose, Load, Operand, Position, Space, Store

ACCESS_BYTES = 16
"""The widest access of a thread, and what the address of a buffer is a multiple of."""
LOCAL_BYTES = 1 << 16
"""The most that one buffer of a thread may take."""


def emit_position(e: GpuEmitter, statement: Position) -> None:
    """An index expression as a number."""
    size, dtype = folded(e, statement.index), statement.out.dtype
    if isinstance(size, int):
        e.set_value(statement.out, constant(size, register_type(dtype)))
        return
    name, bits = narrow_index(e, size)
    if bits == 32 and dtype in (i64, u64):
        e.set_value(statement.out, e.widen(name, not is_at_least(size, 0)))
    else:
        e.set_value(statement.out, number(e, f"i{bits}", name, dtype, 1))


def emit_bind(e: GpuEmitter, statement: Bind) -> None:
    """A number as a symbol, clamped into its range."""
    register, dtype = e.operand(statement.operand), statement.operand.dtype
    name, extent = register.name, folded(e, statement.extent)
    narrow = fits_narrow(e, name) if dtype is i64 else None
    if narrow is not None and fits_int32(extent):
        last = index_in_32_bits(e, extent - 1)
        narrow = e.intrinsic("smin", "i32", ("i32", narrow), ("i32", last))
        e.bind_narrow(statement.symbol, e.intrinsic("smax", "i32", ("i32", narrow), ("i32", "0")))
        return
    if dtype.bits < 64:
        name = e.emit(f"{'sext' if dtype.signed else 'zext'} {register.type} {name} to i64")
    # Where the extent is 0 the upper end is -1, and 0 wins.
    last = wide_index(e, extent - 1)
    name = e.intrinsic("smin" if dtype.signed else "umin", "i64", ("i64", name), ("i64", last))
    name = e.intrinsic("smax", "i64", ("i64", name), ("i64", "0"))
    e.bind(statement.symbol, name)


def emit_choose(e: GpuEmitter, statement: Choose) -> None:
    """A body whose buffers are a row of the parameters: their addresses lie side by side."""
    register, dtype = e.operand(statement.operand), statement.operand.dtype
    number = register.name
    if dtype.bits < 64:
        number = e.emit(f"{'sext' if dtype.signed else 'zext'} {register.type} {number} to i64")
    start, width = e.words[statement.choices[0][0]], len(statement.buffers)
    row = e.emit(f"mul nsw i64 {number}, {width}")
    with e.scope():
        for place, buffer in enumerate(statement.buffers, start):
            word = e.emit(f"add nsw i64 {row}, {place}")
            e.buffers[buffer] = Register(read_pointer(e, word), "ptr", 1, e.depth)
        emit_body(e, statement.body)


def read_pointer(e: GpuEmitter, word: str) -> str:
    """The address in a word of the parameters."""
    place = e.emit(f"getelementptr i64, ptr %words, i64 {word}")
    pointer = e.emit(f"load ptr addrspace(1), ptr {place}, align 8")
    return e.emit(f"addrspacecast ptr addrspace(1) {pointer} to ptr")


def emit_load(e: GpuEmitter, statement: Load) -> None:
    """An element; 0 where the predicate fails."""
    e.set_value(statement.out, load(e, statement.buffer, folded(e, statement.index), predicate_of(e, statement)))


def emit_store(e: GpuEmitter, statement: Store) -> None:
    """Write an element where the predicate holds."""
    name = e.operand(statement.operand).name
    store(e, statement.buffer, folded(e, statement.index), [name], predicate_of(e, statement))


def predicate_of(e: GpuEmitter, statement: Load | Store) -> str:
    """The i1 that says whether the element is read or written; "true" where nothing asks."""
    return condition(e, statement.predicate)


def condition(e: GpuEmitter, predicate: Operand | None) -> str:
    """A predicate as an i1."""
    return "true" if predicate is None else e.operand(predicate).name


def address(e: GpuEmitter, buffer: Buffer, size: Size) -> str:
    """A pointer to the element. What does not change within a loop is computed outside; the constant comes last.

    So neighbouring accesses share a register, and the constant goes into the instruction.
    """
    base, element = e.buffers[buffer], memory_type(buffer.dtype)
    variable, offset = split_constant(size)
    pointer = base.name
    if variable != 0:
        depth = max(base.depth, depth_of(e, variable))
        pointer = e.computed(depth, f"getelementptr {element}, ptr {pointer}, i64 {wide_index(e, variable)}")
    if offset:
        pointer = e.emit(f"getelementptr {element}, ptr {pointer}, i64 {offset}")
    return pointer


def load(e: GpuEmitter, buffer: Buffer, size: Size, predicate: str) -> str:
    """The element as a register of its dtype."""
    return load_run(e, buffer, size, 1, predicate)[0]


def load_run(e: GpuEmitter, buffer: Buffer, size: Size, count: int, predicate: str) -> list[str]:
    """That many neighbours from `size` on by one instruction; zeros where the predicate fails."""
    scalar = register_type(buffer.dtype)
    zero = constant(0, scalar)
    if predicate == "false":
        return [zero] * count
    if predicate == "true":
        return _load(e, buffer, size, count)
    before = e.block
    with e.branch(predicate):
        values = _load(e, buffer, size, count)
        inside = e.block
    results = []
    for value in values:
        result = e.fresh()
        e.block.phis.append(f"{result} = phi {scalar} [ {zero}, %{before.label} ], [ {value}, %{inside.label} ]")
        results.append(result)
    return results


def _load(e: GpuEmitter, buffer: Buffer, size: Size, count: int) -> list[str]:
    element, dtype = memory_type(buffer.dtype), buffer.dtype
    pointer = address(e, buffer, size)
    type_ = element if count == 1 else f"<{count} x {element}>"
    suffix = ", !invariant.load !0" if buffer in e.constant_buffers else ""
    run = e.emit(f"load {type_}, ptr {pointer}, align {count * dtype.itemsize}{suffix}")
    if count == 1:
        return [unpack(e, dtype, 1, run)]
    return [unpack(e, dtype, 1, e.emit(f"extractelement {type_} {run}, i64 {i}")) for i in range(count)]


def store(e: GpuEmitter, buffer: Buffer, size: Size, values: list[str], predicate: str) -> None:
    """Write neighbours from `size` on by one instruction where the predicate holds."""
    if predicate == "true":
        _store(e, buffer, size, values)
    elif predicate != "false":
        with e.branch(predicate):
            _store(e, buffer, size, values)


def _store(e: GpuEmitter, buffer: Buffer, size: Size, values: list[str]) -> None:
    element, count = memory_type(buffer.dtype), len(values)
    pointer = address(e, buffer, size)
    parts = [pack(e, buffer.dtype, 1, value) for value in values]
    run, type_ = parts[0], element
    if count > 1:
        run, type_ = "poison", f"<{count} x {element}>"
        for i, part in enumerate(parts):
            run = e.emit(f"insertelement {type_} {run}, {element} {part}, i64 {i}")
    e.line(f"store {type_} {run}, ptr {pointer}, align {count * buffer.dtype.itemsize}")


def widest_run(dtype: DType, size: Size, count: int) -> int:
    """How many of `count` neighbours from `size` on one instruction may take: a power of two."""
    factor, run = known_factor(size), 1
    while 2 * run <= count and 2 * run * dtype.itemsize <= ACCESS_BYTES and factor % (2 * run) == 0:
        run *= 2
    return run


def emit_allocate(e: GpuEmitter, statement: Allocate) -> None:
    """Memory of the thread, which becomes registers where every index is a number. Shared memory is the kernel's."""
    buffer = statement.buffer
    if buffer.space is Space.SHARED:
        assert buffer in e.buffers, f"{buffer.name} is not allocated in the loop over blocks"
        return
    count = bounds(folded(e, buffer.size))[1]
    limit = LOCAL_BYTES // buffer.dtype.itemsize
    assert count <= limit, f"{buffer.name} takes up to {count} elements of a thread's memory"
    pointer = e.allocate_stack(f"[{count} x {memory_type(buffer.dtype)}]", align=ACCESS_BYTES)
    e.buffers[buffer] = Register(pointer, "ptr", 1, 0)
