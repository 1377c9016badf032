"""Products of matrices in shared memory: Hopper's `wgmma`, which 4 warps issue together.

In: `MultiplyShared`, `WaitProducts`, `FenceShared`. Out: inline assembler, since LLVM has no intrinsics for it. A
thread's sums are operands of all of it, in and out: so nothing moves code that touches them to where they are not there
yet.

Factors are given by descriptors (PTX ISA, "Matrix descriptor" of wgmma; the same bits in NVIDIA/cutlass,
include/cute/arch/mma_sm90_desc.hpp), in units of 16 bytes: bits 0 to 13 where the first matrix begins, 16 to 29 the
leading and 32 to 45 the stride byte offset, which `graphc.kernel.products` explains; above them 0, for no swizzle.
"""

from __future__ import annotations

from collections.abc import Sequence

from graphc.codegen.gpu.emitter import GpuEmitter, folded
from graphc.codegen.gpu.memory import address, load, store
from graphc.kernel.ir import Buffer, FenceShared, MultiplyShared, SharedFactor, WaitProducts

UNIT = 16
"""Bytes that the fields of a descriptor count."""
FIELD = 0x3FFF
STEP = 16
"""Products that one instruction sums."""


def emit_fence_shared(e: GpuEmitter, statement: FenceShared) -> None:
    """Show what was written to shared memory to the tensor cores."""
    e.line('call void asm sideeffect "fence.proxy.async.shared::cta;", "~{memory}"() nounwind')


def emit_multiply_shared(e: GpuEmitter, statement: MultiplyShared) -> None:
    """Begin a product: an instruction for each step along the depth, which are a group to wait for."""
    left, right = (_descriptor(e, factor) for factor in (statement.left, statement.right))
    count = statement.columns // 2
    sums = "{" + ", ".join(f"${place}" for place in range(count)) + "}"
    name = f"wgmma.mma_async.sync.aligned.m64n{statement.columns}k{STEP}.f32.{statement.dtype}.{statement.dtype}"
    lines, operands = ["wgmma.fence.sync.aligned;"], list[str]()
    for step in range(statement.depth // STEP):
        factors = []
        for descriptor, factor in ((left, statement.left), (right, statement.right)):
            factors.append(f"${2 * count + len(operands)}")
            operands.append(_moved(e, descriptor, 2 * step * factor.along_depth * factor.buffer.dtype.itemsize))
        orders = ", ".join(str(int(factor.is_transposed)) for factor in (statement.left, statement.right))
        lines.append(f"{name} {sums}, {', '.join(factors)}, 1, 1, 1, {orders};")  # added, and both as they are
    lines.append("wgmma.commit_group.sync.aligned;")
    _with_sums(e, statement.sums, lines, operands)


def emit_wait_products(e: GpuEmitter, statement: WaitProducts) -> None:
    """Wait for groups of products."""
    _with_sums(e, statement.sums, [f"wgmma.wait_group.sync.aligned {statement.pending};"], ())


def _descriptor(e: GpuEmitter, factor: SharedFactor) -> str:
    """Where a factor is, as an i64."""
    pointer = address(e, factor.buffer, folded(e, factor.index))
    shared = e.emit(f"addrspacecast ptr {pointer} to ptr addrspace(3)")
    start = e.emit(f"ptrtoint ptr addrspace(3) {shared} to i32")
    start = e.emit(f"and i32 {e.emit(f'lshr i32 {start}, 4')}, {FIELD}")
    leading, stride = (each * factor.buffer.dtype.itemsize // UNIT for each in (factor.along_depth, factor.across))
    return e.emit(f"or i64 {e.emit(f'zext i32 {start} to i64')}, {leading << 16 | stride << 32}")


def _moved(e: GpuEmitter, descriptor: str, by: int) -> str:
    """The descriptor of what begins so many bytes further."""
    return descriptor if by == 0 else e.emit(f"add i64 {descriptor}, {by // UNIT}")


def _with_sums(e: GpuEmitter, sums: Buffer, lines: list[str], operands: Sequence[str]) -> None:
    """Assembler whose operands are the thread's sums, in and out, and i64 registers."""
    count = sums.size
    assert isinstance(count, int), "sums of a fixed number"
    given = [load(e, sums, place, "true") for place in range(count)]
    type_ = "{" + ", ".join(["float"] * count) + "}"
    constraints = ["=f"] * count + [str(place) for place in range(count)] + ["l"] * len(operands) + ["~{memory}"]
    arguments = [f"float {name}" for name in given] + [f"i64 {name}" for name in operands]
    text = "\\0A".join(lines)
    # All threads come to it together: LLVM must not give each side of a branch its own.
    call = f'call {type_} asm sideeffect "{text}", "{",".join(constraints)}"({", ".join(arguments)})'
    made = e.emit(f"{call} convergent nounwind")
    for place in range(count):
        store(e, sums, place, [e.emit(f"extractvalue {type_} {made}, {place}")], "true")
