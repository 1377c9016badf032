"""What the threads of a warp or a block do together: barriers, shuffles, background copies, tensor cores.

In: these statements. Out: intrinsics of NVPTX. What a target has no instruction for is written out where it can be.
"""

from __future__ import annotations

from graphc.codegen.emitter import Emitter, memory_type
from graphc.codegen.gpu.emitter import GpuEmitter, folded
from graphc.codegen.gpu.memory import address, condition
from graphc.ir.dim import Size
from graphc.kernel.ir import (
    Barrier,
    Buffer,
    CommitCopies,
    CopyAsync,
    LoadMatrix,
    MultiplyMatrices,
    Operand,
    Shuffle,
    WaitCopies,
)

_MODES = {"xor": ("bfly", 31), "up": ("up", 0), "down": ("down", 31), "index": ("idx", 31)}
"""PTX's name of a shuffle, and its bound: the last thread that may be asked (up: the first)."""


def call(e: Emitter, name: str, result: str, *operands: tuple[str, str]) -> str:
    """Call `llvm.nvvm.NAME`, whose name is whole, on (type, value) pairs."""
    return e.intrinsic(f"nvvm.{name}", result, *operands, overload="")


def emit_barrier(e: GpuEmitter, statement: Barrier) -> None:
    """Wait for the block's threads."""
    call(e, "barrier.cta.sync.aligned.all", "void", ("i32", "0"))


# Shuffles


def emit_shuffle(e: GpuEmitter, statement: Shuffle) -> None:
    """The operand of another thread, 32 bits at a time."""
    register = e.operand(statement.operand)
    name, scalar = register.name, register.scalar
    lane = _lane(e, statement.lane)
    if scalar in ("i64", "double"):
        pair = e.emit(f"bitcast {scalar} {name} to <2 x i32>")
        moved = "poison"
        for half in range(2):
            part = e.emit(f"extractelement <2 x i32> {pair}, i64 {half}")
            moved = e.emit(
                f"insertelement <2 x i32> {moved}, i32 {_shuffled(e, statement.mode, part, lane)}, i64 {half}"
            )
        result = e.emit(f"bitcast <2 x i32> {moved} to {scalar}")
    elif scalar == "float":
        word = _shuffled(e, statement.mode, e.emit(f"bitcast float {name} to i32"), lane)
        result = e.emit(f"bitcast i32 {word} to float")
    elif scalar == "i32":
        result = _shuffled(e, statement.mode, name, lane)
    else:
        word = _shuffled(e, statement.mode, e.emit(f"zext {scalar} {name} to i32"), lane)
        result = e.emit(f"trunc i32 {word} to {scalar}")
    e.set_value(statement.out, result)


def _lane(e: GpuEmitter, operand: Operand) -> str:
    """A thread's number in the warp as an i32."""
    register = e.operand(operand)
    if register.name[0] != "%" or register.scalar == "i32":
        return register.name
    return e.emit(f"{'trunc' if register.scalar == 'i64' else 'zext'} {register.scalar} {register.name} to i32")


def _shuffled(e: GpuEmitter, mode: str, word: str, lane: str) -> str:
    name, bound = _MODES[mode]
    everyone = ("i32", "-1")
    return call(e, f"shfl.sync.{name}.i32", "i32", everyone, ("i32", word), ("i32", lane), ("i32", str(bound)))


# Background copies


def emit_copy(e: GpuEmitter, statement: CopyAsync) -> None:
    """Copy into shared memory, behind the thread's back where the target can."""
    size = statement.count * statement.destination.dtype.itemsize
    assert size in (4, 8, 16), f"a copy of {size} bytes"
    predicate = condition(e, statement.predicate)
    source = address(e, statement.source, folded(e, statement.source_index))
    destination = address(e, statement.destination, folded(e, statement.index))
    if not e.machine.gpu.has_async_copy:
        _copy_now(e, size, destination, source, predicate)
        return
    pointers = [("ptr addrspace(3)", _cast(e, destination, 3)), ("ptr addrspace(1)", _cast(e, source, 1))]
    name = f"cp.async.{'cg' if size == 16 else 'ca'}.shared.global.{size}"
    if predicate == "true":
        call(e, name, "void", *pointers)
        return
    read = e.emit(f"select i1 {predicate}, i32 {size}, i32 0")  # the rest of the bytes become zeros
    call(e, f"{name}.s", "void", *pointers, ("i32", read))


def _copy_now(e: GpuEmitter, size: int, destination: str, source: str, predicate: str) -> None:
    type_ = "i32" if size == 4 else f"<{size // 4} x i32>"
    load = f"load {type_}, ptr {source}, align {size}"
    if predicate == "true":
        bits = e.emit(load)
    else:
        before = e.block
        with e.branch(predicate):
            loaded, inside = e.emit(load), e.block
        bits = e.fresh()
        e.block.phis.append(f"{bits} = phi {type_} [ zeroinitializer, %{before.label} ], [ {loaded}, %{inside.label} ]")
    e.line(f"store {type_} {bits}, ptr {destination}, align {size}")


def _cast(e: GpuEmitter, pointer: str, space: int) -> str:
    return e.emit(f"addrspacecast ptr {pointer} to ptr addrspace({space})")


def emit_commit(e: GpuEmitter, statement: CommitCopies) -> None:
    """End a group of copies."""
    if e.machine.gpu.has_async_copy:
        call(e, "cp.async.commit.group", "void")


def emit_wait(e: GpuEmitter, statement: WaitCopies) -> None:
    """Wait for groups of copies."""
    if e.machine.gpu.has_async_copy:
        call(e, "cp.async.wait.group", "void", ("i32", str(statement.pending)))


# Tensor cores


def emit_load_matrix(e: GpuEmitter, statement: LoadMatrix) -> None:
    """Matrices of shared memory, a part of each for every thread."""
    count = len(statement.outs)
    pointer = _cast(e, _row(e, statement.buffer, folded(e, statement.index)), 3)
    name = f"ldmatrix.sync.aligned.m8n8.x{count}{'.trans' if statement.is_transposed else ''}.b16.p3"
    type_ = "i32" if count == 1 else f"{{{', '.join(['i32'] * count)}}}"
    result = call(e, name, type_, ("ptr addrspace(3)", pointer))
    for place, out in enumerate(statement.outs):
        e.set_value(out, result if count == 1 else e.emit(f"extractvalue {type_} {result}, {place}"))


def _row(e: GpuEmitter, buffer: Buffer, index: Size) -> str:
    assert memory_type(buffer.dtype) == "i16", f"matrices of {buffer.dtype.name}"
    return address(e, buffer, index)


def emit_multiply_matrices(e: GpuEmitter, statement: MultiplyMatrices) -> None:
    """Matrices' product and sum by the tensor cores."""
    left = [e.operand(x).name for x in statement.left]
    right = [e.operand(x).name for x in statement.right]
    addend = [e.operand(x).name for x in statement.addend]
    if statement.dtype == "tf32":
        parts = _multiply(e, "m16n8k8.row.col.tf32", "i32", left + right, addend)
    elif statement.dtype == "bf16":
        parts = _multiply(e, "m16n8k16.row.col.bf16", "i32", left + right, addend)
    else:
        left, right = ([_pair(e, x) for x in words] for words in (left, right))
        if e.machine.gpu.capability >= 80:
            parts = _multiply(e, "m16n8k16.row.col.f32.f32", "<2 x half>", left + right, addend)
        else:  # half the depth at a time
            shape = "m16n8k8.row.col.f32.f32"
            parts = _multiply(e, shape, "<2 x half>", [*left[:2], right[0]], addend)
            parts = _multiply(e, shape, "<2 x half>", [*left[2:], right[1]], parts)
    for out, part in zip(statement.outs, parts):
        e.set_value(out, part)


def _pair(e: GpuEmitter, word: str) -> str:
    return e.emit(f"bitcast i32 {word} to <2 x half>")


def _multiply(e: GpuEmitter, shape: str, type_: str, factors: list[str], addend: list[str]) -> list[str]:
    result_type = "{float, float, float, float}"
    operands = [(type_, x) for x in factors] + [("float", x) for x in addend]
    result = call(e, f"mma.{shape}", result_type, *operands)
    return [e.emit(f"extractvalue {result_type} {result}, {place}") for place in range(4)]
