"""Loads and stores of elements, one or in lanes, and their forms in memory.

In: a buffer, an index expression, a mask. Out: instructions. Neighbours are moved at once. Elements a few places apart,
or in reverse, are moved as one masked run and put in order within registers: several times quicker than a gather.
"""

from __future__ import annotations

from graphc.codegen.emitter import Emitter, VectorContext, constant, memory_type, type_suffix, vector_type
from graphc.codegen.floating import from_memory, to_memory
from graphc.codegen.index import depth_of, index, index_lanes, lane_stride
from graphc.ir.dim import Size
from graphc.ir.dtype import DType, bf16, bool_, f16
from graphc.kernel.ir import Buffer

WIDEST_RUN = 4
"""Elements that are at most this many places apart are moved as a run."""


def address(e: Emitter, buffer: Buffer, size: Size) -> str:
    """A pointer to the element (in a vector loop, to that of lane 0)."""
    base = e.buffers[buffer]
    depth = max(base.depth, depth_of(e, size))
    return e.computed(depth, f"getelementptr {memory_type(buffer.dtype)}, ptr {base.name}, i64 {index(e, size)}")


def addresses(e: Emitter, context: VectorContext, buffer: Buffer, size: Size) -> str:
    """Pointers to the elements of all lanes."""
    offsets, bits = index_lanes(e, size)
    base, type_ = e.buffers[buffer], memory_type(buffer.dtype)
    depth = max(base.depth, depth_of(e, size))
    return e.computed(depth, f"getelementptr {type_}, ptr {base.name}, <{context.lanes} x i{bits}> {offsets}")


def load_scalar(e: Emitter, buffer: Buffer, pointer: str) -> str:
    """The element at a pointer, as a register of its dtype."""
    bits = e.emit(f"load {memory_type(buffer.dtype)}, ptr {pointer}, align {buffer.dtype.itemsize}")
    return unpack(e, buffer.dtype, 1, bits)


def load_lanes(e: Emitter, context: VectorContext, buffer: Buffer, size: Size, mask: str | None) -> str:
    """The elements of all lanes, 0 where the mask is off; as a register of the dtype."""
    element, lanes, align = memory_type(buffer.dtype), context.lanes, buffer.dtype.itemsize
    type_ = vector_type(element, lanes)
    stride = lane_stride(e, size)
    if stride == 1:
        bits = _load_run(e, element, lanes, align, address(e, buffer, size), mask)
    elif stride == -1:
        run_mask = None if mask is None else _reversed(e, "i1", lanes, mask)
        bits = _load_run(e, element, lanes, align, _last_lane(e, buffer, size, lanes), run_mask)
        bits = _reversed(e, element, lanes, bits)
    elif _is_run(e, stride, mask):
        assert isinstance(stride, int)
        run = _load_run(e, element, lanes * stride, align, address(e, buffer, size), _every(stride, lanes))
        places = ", ".join([f"i32 {lane * stride}" for lane in range(lanes)])
        wide = vector_type(element, lanes * stride)
        bits = e.emit(f"shufflevector {wide} {run}, {wide} poison, <{lanes} x i32> <{places}>")
    else:
        pointers = addresses(e, context, buffer, size)
        name = f"llvm.masked.gather.{type_suffix(element, lanes)}.v{lanes}p0"
        e.module.declare(f"{type_} @{name}(<{lanes} x ptr>, <{lanes} x i1>, {type_})")
        bits = e.emit(
            f"call {type_} @{name}(<{lanes} x ptr> align {align} {pointers}, "
            f"<{lanes} x i1> {mask or 'splat (i1 true)'}, {type_} zeroinitializer)"
        )
    return unpack(e, buffer.dtype, lanes, bits)


def store_lanes(e: Emitter, context: VectorContext, buffer: Buffer, size: Size, bits: str, mask: str | None) -> None:
    """Write the elements of the lanes that the mask admits, given in their form in memory."""
    element, lanes, align = memory_type(buffer.dtype), context.lanes, buffer.dtype.itemsize
    type_ = vector_type(element, lanes)
    stride = lane_stride(e, size)
    if stride == 1:
        _store_run(e, element, lanes, align, address(e, buffer, size), bits, mask)
    elif stride == -1:
        run_mask = None if mask is None else _reversed(e, "i1", lanes, mask)
        pointer = _last_lane(e, buffer, size, lanes)
        _store_run(e, element, lanes, align, pointer, _reversed(e, element, lanes, bits), run_mask)
    elif _is_run(e, stride, mask):
        assert isinstance(stride, int)
        places = ", ".join([f"i32 {lane // stride}" for lane in range(lanes * stride)])
        wide = e.emit(f"shufflevector {type_} {bits}, {type_} poison, <{lanes * stride} x i32> <{places}>")
        _store_run(e, element, lanes * stride, align, address(e, buffer, size), wide, _every(stride, lanes))
    else:
        pointers = addresses(e, context, buffer, size)
        name = f"llvm.masked.scatter.{type_suffix(element, lanes)}.v{lanes}p0"
        e.module.declare(f"void @{name}({type_}, <{lanes} x ptr>, <{lanes} x i1>)")
        e.line(
            f"call void @{name}({type_} {bits}, <{lanes} x ptr> align {align} {pointers}, "
            f"<{lanes} x i1> {mask or 'splat (i1 true)'})"
        )


def _load_run(e: Emitter, element: str, lanes: int, align: int, pointer: str, mask: str | None) -> str:
    type_ = vector_type(element, lanes)
    if mask is None:
        return e.emit(f"load {type_}, ptr {pointer}, align {align}")
    name = f"llvm.masked.load.{type_suffix(element, lanes)}.p0"
    e.module.declare(f"{type_} @{name}(ptr, <{lanes} x i1>, {type_})")
    return e.emit(f"call {type_} @{name}(ptr align {align} {pointer}, <{lanes} x i1> {mask}, {type_} zeroinitializer)")


def _store_run(e: Emitter, element: str, lanes: int, align: int, pointer: str, bits: str, mask: str | None) -> None:
    type_ = vector_type(element, lanes)
    if mask is None:
        e.line(f"store {type_} {bits}, ptr {pointer}, align {align}")
        return
    name = f"llvm.masked.store.{type_suffix(element, lanes)}.p0"
    e.module.declare(f"void @{name}({type_}, ptr, <{lanes} x i1>)")
    e.line(f"call void @{name}({type_} {bits}, ptr align {align} {pointer}, <{lanes} x i1> {mask})")


def _is_run(e: Emitter, stride: Size | None, mask: str | None) -> bool:
    """Whether elements with this stride are moved as a run, without what lies between them."""
    return mask is None and isinstance(stride, int) and 2 <= stride <= WIDEST_RUN and e.target.has_avx512


def _every(stride: int, lanes: int) -> str:
    """The mask of every so many lanes; nothing behind the last of them is touched."""
    return f"<{', '.join([f'i1 {str(place % stride == 0).lower()}' for place in range(stride * lanes)])}>"


def _reversed(e: Emitter, element: str, lanes: int, name: str) -> str:
    type_ = vector_type(element, lanes)
    places = ", ".join([f"i32 {lane}" for lane in reversed(range(lanes))])
    return e.emit(f"shufflevector {type_} {name}, {type_} poison, <{lanes} x i32> <{places}>")


def _last_lane(e: Emitter, buffer: Buffer, size: Size, lanes: int) -> str:
    """A pointer to the element of the last lane, where indices fall from lane to lane."""
    return e.emit(f"getelementptr {memory_type(buffer.dtype)}, ptr {address(e, buffer, size)}, i64 {1 - lanes}")


def unpack(e: Emitter, dtype: DType, lanes: int, bits: str) -> str:
    """A register of the dtype from its form in memory."""
    if dtype is bool_:
        return e.emit(f"icmp ne {vector_type('i8', lanes)} {bits}, {constant(0, 'i8', lanes)}")
    return from_memory(e, dtype, lanes, bits) if dtype in (f16, bf16) else bits


def pack(e: Emitter, dtype: DType, lanes: int, name: str) -> str:
    """A register's form in memory."""
    if dtype is bool_:
        return e.emit(f"zext {vector_type('i1', lanes)} {name} to {vector_type('i8', lanes)}")
    return to_memory(e, dtype, lanes, name) if dtype in (f16, bf16) else name
