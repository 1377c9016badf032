"""Kernels as LLVM IR for NVIDIA GPUs: one module, an entry point for each.

In: kernels that are scheduled for a GPU, by the names of their entry points. Out: the text of a module. An entry point
takes the address of each buffer, a multiple of 16; each size as an i64; and the address of the status word, to which a
check that fails writes its code. Where a `Choose` asks for addresses by number, all of these are one parameter, an
array of such words: a launch by pointers to words that lie side by side fits both. The launch is as
`graphc.kernel.gpu.grid_of` says. A block of more than `STATIC_SHARED_BYTES` has all its shared memory as the launch's
dynamic memory, of `Grid.shared_bytes`.

    text = emit_module({"add": kernel}, parse_target("sm_90"))
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from graphc.codegen.body import emit_check, emit_if
from graphc.codegen.emitter import Module, Register, memory_type
from graphc.codegen.gpu.emitter import GpuEmitter
from graphc.codegen.gpu.loops import emit_loop
from graphc.codegen.gpu.memory import (
    emit_allocate,
    emit_bind,
    emit_choose,
    emit_load,
    emit_position,
    emit_store,
    read_pointer,
)
from graphc.codegen.gpu.reduce import emit_reduce
from graphc.codegen.gpu.scalar import RULES
from graphc.codegen.gpu.support import check_support
from graphc.codegen.gpu.target import NvptxTarget
from graphc.codegen.gpu.warp import (
    emit_barrier,
    emit_commit,
    emit_copy,
    emit_load_matrix,
    emit_multiply_matrices,
    emit_shuffle,
    emit_wait,
)
from graphc.codegen.gpu.warpgroup import emit_fence_shared, emit_multiply_shared, emit_wait_products
from graphc.codegen.scalar import emit_apply
from graphc.ir.dim import Size, bounds
from graphc.kernel.expand import expand
from graphc.kernel.gpu import STATIC_SHARED_BYTES, GpuTarget, Grid, grid_of
from graphc.kernel.ir import (
    Allocate,
    Apply,
    Barrier,
    Bind,
    Buffer,
    Check,
    Choose,
    CommitCopies,
    CopyAsync,
    FenceShared,
    If,
    Kernel,
    Load,
    LoadMatrix,
    Loop,
    LoopKind,
    MultiplyMatrices,
    MultiplyShared,
    Position,
    Reduce,
    Shuffle,
    Space,
    Store,
    WaitCopies,
    WaitProducts,
    parameters_chosen,
    statements_in,
)

HANDLERS: dict[type, Callable[..., None]] = {
    Apply: emit_apply,
    Position: emit_position,
    Bind: emit_bind,
    Load: emit_load,
    Store: emit_store,
    Allocate: emit_allocate,
    If: emit_if,
    Check: emit_check,
    Choose: emit_choose,
    Loop: emit_loop,
    Reduce: emit_reduce,
    Barrier: emit_barrier,
    Shuffle: emit_shuffle,
    CopyAsync: emit_copy,
    CommitCopies: emit_commit,
    WaitCopies: emit_wait,
    LoadMatrix: emit_load_matrix,
    MultiplyMatrices: emit_multiply_matrices,
    MultiplyShared: emit_multiply_shared,
    WaitProducts: emit_wait_products,
    FenceShared: emit_fence_shared,
}
ENTRY_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
"""What PTX takes for a name."""

RESIDENT_THREADS = 512
"""Threads that keep a multiprocessor busy while others wait for memory."""
REGISTERS = 65536
"""Of a multiprocessor, 4 bytes each."""
MUCH_SHARED = 24 * 1024
"""Shared memory of a block that keeps its data there."""
FEW_REGISTERS = 24
"""Registers of a thread that keeps its data elsewhere."""
OWN_REGISTERS = 40
"""What a thread takes for addresses and intermediate results, beside what it keeps."""


def emit_module(kernels: Mapping[str, Kernel], target: GpuTarget) -> str:
    """The text of a module that defines the kernels; raises a GraphcError for what the target cannot do."""
    machine = NvptxTarget(target)
    module = Module(machine)
    module.define_global("!0 = !{}")  # what marks loads of constant memory
    for name, kernel in kernels.items():
        assert ENTRY_NAME.fullmatch(name), f"{name!r} is no name of PTX"
        add_kernel(module, machine, kernel, name)
    return module.text


def add_kernel(module: Module, machine: NvptxTarget, kernel: Kernel, name: str) -> None:
    """Define the kernel's entry point in a module."""
    grid = grid_of(kernel)
    assert grid is not None, f"{kernel.name} is not scheduled for a GPU"
    expanded = expand(kernel)
    check_support(expanded, machine.gpu)
    overwritten = possibly_overwritten(kernel)
    read, written = buffers_read(kernel), buffers_written(kernel)
    constant = frozenset(b for b in read if b.space is Space.GLOBAL and b not in written and b not in overwritten)
    # What the threads of a block tell each other through such memory, LLVM must not move across a barrier.
    told = written & read
    chosen = parameters_chosen(kernel)
    parameters = []
    for place, buffer in enumerate(kernel.buffers):
        is_alone = buffer not in overwritten and buffer not in told
        words = ["ptr addrspace(1)", *(["noalias"] if is_alone else [])]
        words += ["readonly"] if buffer in constant else []
        parameters.append(f"{' '.join(words)} align 16 %buffer{place}")
    parameters += [f"i64 %size{place}" for place in range(len(kernel.sizes))]
    parameters.append("ptr addrspace(1) align 4 %status")
    if chosen:
        parameters = [f"ptr byval([{len(parameters)} x i64]) align 8 %words"]
    resident = _resident_blocks(expanded, grid, machine.gpu)
    e = GpuEmitter(
        module,
        name,
        ", ".join(parameters),
        linkage="ptx_kernel ",
        attributes=f' "nvvm.maxntid"="{grid.threads}" "nvvm.minctasm"="{resident}"',
        handlers=HANDLERS,
        rules=RULES,
        machine=machine,
        constant_buffers=constant,
    )
    if chosen:
        _read_words(e, kernel, chosen)
    else:
        for place, buffer in enumerate(kernel.buffers):
            pointer = e.emit(f"addrspacecast ptr addrspace(1) %buffer{place} to ptr")
            e.buffers[buffer] = Register(pointer, "ptr", 1, 0)
        for place, size in enumerate(kernel.sizes):
            e.bind(size, f"%size{place}")
        e.status = e.emit("addrspacecast ptr addrspace(1) %status to ptr")
    _share(e, expanded, grid.shared_bytes > STATIC_SHARED_BYTES)
    for statement in expanded.body:
        HANDLERS[type(statement)](e, statement)
    e.finish()


def _read_words(e: GpuEmitter, kernel: Kernel, chosen: frozenset[Buffer]) -> None:
    """Take the parameters out of the array of words; those that are chosen by number are taken where they are."""
    used = buffers_read(kernel) | buffers_written(kernel)
    for place, buffer in enumerate(kernel.buffers):
        if buffer in chosen:
            e.words[buffer] = place
        if buffer in used:
            e.buffers[buffer] = Register(read_pointer(e, str(place)), "ptr", 1, 0)
    count = len(kernel.buffers)
    for place, size in enumerate(kernel.sizes, count):
        word = e.emit(f"getelementptr i64, ptr %words, i64 {place}")
        e.bind(size, e.emit(f"load i64, ptr {word}, align 8"))
    e.status = read_pointer(e, str(count + len(kernel.sizes)))


def _resident_blocks(kernel: Kernel, grid: Grid, target: GpuTarget) -> int:
    """How many blocks a multiprocessor should have room for, which says how many registers a thread may have.

    Unasked, ptxas spills registers to make room for more blocks than are needed to hide what memory takes. Blocks that
    keep their data in shared memory take turns with memory: as many as that has room for should be there.
    """
    threads = grid.threads
    registers = OWN_REGISTERS
    for statement in statements_in(kernel.body):
        if isinstance(statement, Allocate) and statement.buffer.space is Space.LOCAL:
            registers += bounds(statement.buffer.size)[1] * statement.buffer.dtype.itemsize // 4
    if grid.shared_bytes >= MUCH_SHARED and registers < OWN_REGISTERS + FEW_REGISTERS:
        return max(1, min(2 * RESIDENT_THREADS // threads, target.most_shared_bytes // grid.shared_bytes))
    blocks = max(1, min(RESIDENT_THREADS, REGISTERS // registers) // threads)
    is_tight = blocks * threads * registers > REGISTERS * 9 // 10
    return blocks - 1 if blocks > 2 and is_tight else blocks  # a third or fourth block is not worth a spill


def _share(e: GpuEmitter, kernel: Kernel, is_dynamic: bool) -> None:
    """Place the shared memory of a block, as `graphc.kernel.gpu.shared_bytes` counts it."""
    offset = 0
    blocks = next(s for s in kernel.body if isinstance(s, Loop) and s.kind is LoopKind.BLOCK)
    for statement in blocks.body:
        if not isinstance(statement, Allocate) or statement.buffer.space is not Space.SHARED:
            continue
        buffer = statement.buffer
        assert isinstance(buffer.size, int), "shared memory has a fixed size"
        offset = (offset + 15) // 16 * 16
        if is_dynamic:
            e.module.define_global("@dynamic = external addrspace(3) global [0 x i8], align 16")
            place = f"getelementptr (i8, ptr addrspace(3) @dynamic, i64 {offset})"
        else:
            place = f"@{e.name}_shared{offset}"
            array = f"[{buffer.size} x {memory_type(buffer.dtype)}]"
            e.module.define_global(f"{place} = internal addrspace(3) global {array} undef, align 16")
        e.buffers[buffer] = Register(e.emit(f"addrspacecast ptr addrspace(3) {place} to ptr"), "ptr", 1, 0)
        offset += buffer.size * buffer.dtype.itemsize


def buffers_read(kernel: Kernel) -> frozenset[Buffer]:
    """Buffers that a statement reads."""
    found: set[Buffer] = set()
    for statement in statements_in(kernel.body):
        if isinstance(statement, Load | LoadMatrix):
            found.add(statement.buffer)
        elif isinstance(statement, CopyAsync):
            found.add(statement.source)
    return frozenset(found)


def buffers_written(kernel: Kernel) -> frozenset[Buffer]:
    """Buffers that a statement writes to."""
    found: set[Buffer] = set()
    for statement in statements_in(kernel.body):
        if isinstance(statement, Store):
            found.add(statement.buffer)
    return frozenset(found)


def possibly_overwritten(kernel: Kernel) -> frozenset[Buffer]:
    """Buffers that may lie where another one is written to, and these others.

    `graphc.passes.memory` lets a kernel run in place where it reads an element only right before it writes it: each
    load of the one has the index of a store of the other.
    """
    loads: dict[Buffer, set[Size]] = {}
    stores: dict[Buffer, set[Size]] = {}
    for statement in statements_in(kernel.body):
        if isinstance(statement, Load):
            loads.setdefault(statement.buffer, set()).add(statement.index)
        elif isinstance(statement, Store):
            stores.setdefault(statement.buffer, set()).add(statement.index)
    found: set[Buffer] = set()
    for written, indices in stores.items():
        for read, own in loads.items():
            is_parameter = read.space is Space.GLOBAL and written.space is Space.GLOBAL and read is not written
            if is_parameter and read.dtype is written.dtype and own <= indices:
                found |= {read, written}
    return frozenset(found)
