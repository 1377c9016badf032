"""How a kernel is called: the one place that says what lies where in an argument block.

A kernel is a function `void (ptr block, i64 thread, i64 threads)`. Its block is an array of 8-byte slots:

    the address of each buffer, in the kernel's order; the value of each size, in its order;
    the address of the status word (an i32, into which a failed check writes its code);
    the address of the workspace: `workspace_bytes` for each thread, one after another, aligned to 64 bytes
    (kernels without a contraction do not look at it).

A kernel with a parallel statement is called once for each `thread` of `threads`, with one block for all; any other is
called with thread 0 of 1. A kernel whose `is_parallel` holds may be called so as well.
"""

from __future__ import annotations

from collections.abc import Sequence

from graphc.kernel.ir import Contract, Kernel, Loop, LoopKind


def status_slot(kernel: Kernel) -> int:
    """The slot that holds the address of the status word."""
    return len(kernel.buffers) + len(kernel.sizes)


def workspace_slot(kernel: Kernel) -> int:
    """The slot that holds the address of the workspace."""
    return status_slot(kernel) + 1


def argument_block(
    kernel: Kernel, buffers: Sequence[int], sizes: Sequence[int], status: int, workspace: int = 0
) -> list[int]:
    """The slots' contents, from addresses and sizes in the kernel's order."""
    assert len(buffers) == len(kernel.buffers)
    assert len(sizes) == len(kernel.sizes)
    return [*buffers, *sizes, status, workspace]


def is_parallel(kernel: Kernel) -> bool:
    """Whether several threads share the kernel's work."""
    return any(
        statement.kind is LoopKind.PARALLEL if isinstance(statement, Loop) else statement.parallel
        for statement in kernel.body
        if isinstance(statement, Loop | Contract)
    )
