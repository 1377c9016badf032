"""The rules that kernels for a GPU obey besides the others: where their loops and statements stand, and what they take.

In: a kernel, or one statement. Out: what is wrong, in words, if anything is; `graphc.kernel.verify` raises it. The
rules:

- one loop over blocks, last at the top, over an extent in the kernel's sizes; one loop over threads, last in it, over a
  number of them; in front of either only what each block or thread may compute for itself, and shared memory;
- what threads do together, and asynchronous copies, stand in a thread or in its conditions, choices and serial loops;
- a scheduled kernel has no parallel loop and no contraction in its threads.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from graphc.ir.dim import symbols
from graphc.ir.dtype import bf16, f16, f32, u32
from graphc.kernel.gpu import CAPABILITIES, MOST_THREADS, WARP, WARPGROUP, GpuTarget, shared_bytes
from graphc.kernel.ir import (
    Allocate,
    Apply,
    Barrier,
    Bind,
    Buffer,
    Check,
    Choose,
    CommitCopies,
    Contract,
    CopyAsync,
    FenceShared,
    If,
    Kernel,
    Literal,
    Load,
    LoadMatrix,
    Loop,
    LoopKind,
    MultiplyMatrices,
    MultiplyShared,
    Operand,
    Position,
    Reduce,
    Shuffle,
    Space,
    Statement,
    Value,
    WaitCopies,
    WaitProducts,
    nested_bodies,
)

Fault: TypeAlias = "tuple[str, Statement]"

SHUFFLES: Final = ("xor", "up", "down", "index")
FACTORS: Final = ("bf16", "f16", "tf32")
SHARED_FACTORS: Final = {"bf16": bf16, "f16": f16}
MOST_COLUMNS: Final = 256
"""Of a product of matrices in shared memory."""
MOST_APART: Final = (1 << 18) // 2
"""Elements, 16 bits each, below which the matrices of a factor in shared memory are apart: a field of 18 bits."""

_OF_THREADS: Final = (
    Barrier, Shuffle, CopyAsync, CommitCopies, WaitCopies, LoadMatrix, MultiplyMatrices, MultiplyShared, WaitProducts,
    FenceShared,
)  # fmt: skip
_IN_FRONT: Final = (Apply, Position, Bind, Load, Check, Reduce)
_MOST_SHARED_BYTES: Final = max(GpuTarget(each).most_shared_bytes for each in CAPABILITIES)


def place_fault(kernel: Kernel, *, is_scheduled: bool) -> Fault | None:
    """The first statement that stands where it may not, and why."""
    sizes = {symbol.name for symbol in kernel.sizes}
    for position, statement in enumerate(kernel.body):
        if not isinstance(statement, Loop) or statement.kind is not LoopKind.BLOCK:
            continue
        if position != len(kernel.body) - 1:
            return "the loop over blocks is the last statement at the top", statement
        if any(symbol.name not in sizes for symbol in symbols(statement.extent)):
            return "the number of blocks is an expression of the kernel's sizes", statement
        found = _front_fault(kernel.body[:-1], is_block=False) or _block_fault(statement, is_scheduled=is_scheduled)
        return found or _inner_fault(kernel.body[:-1], is_scheduled=False)
    return _inner_fault(kernel.body, is_scheduled=False)


def _block_fault(blocks: Loop, *, is_scheduled: bool) -> Fault | None:
    """What is wrong with the body of a loop over blocks."""
    threads = blocks.body[-1] if blocks.body else None
    if not isinstance(threads, Loop) or threads.kind is not LoopKind.THREAD:
        return "a loop over blocks ends with one over threads", blocks
    extent = threads.extent
    if not isinstance(extent, int) or extent % WARP or not 0 < extent <= MOST_THREADS:
        return f"the number of threads is a multiple of {WARP} up to {MOST_THREADS}, not {extent}", threads
    found = _front_fault(blocks.body[:-1], is_block=True)
    if found is None and shared_bytes(blocks) > _MOST_SHARED_BYTES:
        return f"{shared_bytes(blocks)} bytes of shared memory are more than any GPU has", blocks
    if found is None:
        found = _thread_fault(threads)
    if found is None and extent % WARPGROUP and _multiplies_shared(threads):
        return f"to multiply in shared memory takes groups of {WARPGROUP} threads, not {extent}", threads
    if found is None:
        found = _inner_fault(threads.body, is_scheduled=is_scheduled, in_thread=True)
    return found


def _front_fault(body: tuple[Statement, ...], *, is_block: bool) -> Fault | None:
    """What may not stand in front of a loop over blocks, or over threads."""
    pending = [body]
    while pending:
        for statement in pending.pop():
            if is_block and isinstance(statement, Allocate):
                if statement.buffer.space is not Space.SHARED:
                    return "a block's memory is shared; a thread's stands in the loop over threads", statement
                if not isinstance(statement.buffer.size, int):
                    return "shared memory has a fixed size", statement
            elif not isinstance(statement, _IN_FRONT):
                loop = "threads" if is_block else "blocks"
                return (
                    f"in front of the loop over {loop} nothing is done but computing what all of them need",
                    statement,
                )
            pending += nested_bodies(statement)
    return None


def _thread_fault(threads: Loop) -> Fault | None:
    """A statement of threads that stands in a body whose iterations have no order."""
    pending = [(threads.body, True)]
    while pending:
        body, is_ordered = pending.pop()
        for statement in body:
            if isinstance(statement, _OF_THREADS) and not is_ordered:
                return "what threads do together stands in conditions and serial loops at most", statement
            is_serial = isinstance(statement, If | Choose) or (
                isinstance(statement, Loop) and statement.kind in (LoopKind.SERIAL, LoopKind.UNROLLED)
            )
            pending += ((nested, is_ordered and is_serial) for nested in nested_bodies(statement))
    return None


def _multiplies_shared(threads: Loop) -> bool:
    pending = [threads.body]
    while pending:
        for statement in pending.pop():
            if isinstance(statement, MultiplyShared | WaitProducts):
                return True
            pending += nested_bodies(statement)
    return False


def _inner_fault(body: tuple[Statement, ...], *, is_scheduled: bool, in_thread: bool = False) -> Fault | None:
    """What may not stand in a thread; or, not in one, in a kernel that is for no GPU."""
    pending = [body]
    while pending:
        for statement in pending.pop():
            match statement:
                case Loop(kind=LoopKind.BLOCK):
                    return "the loop over blocks is the last statement at the top", statement
                case Loop(kind=LoopKind.THREAD):
                    return "the loop over threads is the last statement of the one over blocks", statement
                case Loop(kind=LoopKind.UNROLLED, extent=extent) if not isinstance(extent, int):
                    return f"an unrolled loop has a fixed extent, not {extent}", statement
                case Loop(kind=LoopKind.PARALLEL) | Contract() if is_scheduled:
                    return "what runs in parallel on a GPU are blocks and threads alone", statement
                case Allocate(buffer) if buffer.space is Space.SHARED:
                    return "shared memory is allocated in front of the loop over threads", statement
                case _ if isinstance(statement, (*_OF_THREADS, Choose)) and not in_thread:
                    return "this stands in a loop over threads alone", statement
                case _:
                    pending += nested_bodies(statement)
    return None


def choose_fault(statement: Choose, kernel: Kernel) -> str | None:
    """What is wrong with the operand of a choice and its rows of parameters."""
    buffers, choices = statement.buffers, statement.choices
    if not statement.operand.dtype.is_integer:
        return f"a choice is by an integer, not {statement.operand.dtype.name}"
    if not buffers or not choices or any(len(row) != len(buffers) for row in choices):
        return f"each row of a choice has a parameter for each of {len(buffers)} buffers"
    for buffer, column in zip(buffers, zip(*choices)):
        if buffer.space is not Space.GLOBAL:
            return f"buffer {buffer.name} stands for parameters, yet is {buffer.space.value}"
        if any(each.dtype is not buffer.dtype for each in column):
            return f"buffer {buffer.name} is {buffer.dtype.name}, and not all that it may stand for"
    first = choices[0][0]
    chosen = tuple(each for row in choices for each in row)
    start = kernel.buffers.index(first) if first in kernel.buffers else 0
    if kernel.buffers[start : start + len(chosen)] != chosen:
        return "the rows of a choice are parameters of the kernel side by side"
    return None


def shuffle_fault(statement: Shuffle) -> str | None:
    """What is wrong with the dtypes and the mode of a shuffle."""
    lane = statement.lane
    if statement.mode not in SHUFFLES:
        return f"there is no shuffle {statement.mode!r}; there are {', '.join(SHUFFLES)}"
    if not lane.dtype.is_integer:
        return f"the number of a thread is an integer, not {lane.dtype.name}"
    if isinstance(lane, Literal) and not 0 <= lane.value < WARP:
        return f"thread {lane.value} is none of a warp's {WARP}"
    if statement.out.dtype is not statement.operand.dtype:
        return f"a shuffle of {statement.operand.dtype.name} gives no {statement.out.dtype.name}"
    return None


def copy_fault(statement: CopyAsync) -> str | None:
    """What is wrong with the buffers and the count of an asynchronous copy."""
    destination, source = statement.destination, statement.source
    if destination.space is not Space.SHARED or source.space is not Space.GLOBAL:
        spaces = f"{source.space.value} to {destination.space.value}"
        return f"an asynchronous copy goes from global to shared memory, not from {spaces}"
    if destination.dtype.itemsize != source.dtype.itemsize:
        return f"elements of {source.dtype.name} and {destination.dtype.name} are not equally wide"
    if statement.count * source.dtype.itemsize not in (4, 8, 16):
        return f"an asynchronous copy takes 4, 8 or 16 bytes, not {statement.count * source.dtype.itemsize}"
    return None


def load_matrix_fault(statement: LoadMatrix) -> str | None:
    """What is wrong with the buffer and the results of a load of matrices."""
    if len(statement.outs) not in (1, 2, 4):
        return f"1, 2 or 4 matrices are loaded, not {len(statement.outs)}"
    buffer = statement.buffer
    if buffer.space is not Space.SHARED or buffer.dtype.itemsize != 2:
        return (
            f"matrices of 16-bit elements are loaded from shared memory, not from {buffer.dtype.name} in {buffer.name}"
        )
    return _dtype_fault("a part of a matrix", statement.outs, u32.name)


def multiply_matrices_fault(statement: MultiplyMatrices) -> str | None:
    """What is wrong with the operands and results of a product of matrices."""
    if statement.dtype not in FACTORS:
        return f"there are no products of {statement.dtype!r} matrices; there are of {', '.join(FACTORS)}"
    counts = tuple(map(len, (statement.outs, statement.left, statement.right, statement.addend)))
    if counts != (4, 4, 2, 4):
        return f"a product has 4 results, 4 left and 2 right factors and 4 addends, not {', '.join(map(str, counts))}"
    factors = (*statement.left, *statement.right)
    return (
        _dtype_fault("a pair of factors", factors, u32.name)
        or _dtype_fault("an addend", statement.addend, f32.name)
        or _dtype_fault("a sum", statement.outs, f32.name)
    )


def multiply_shared_fault(statement: MultiplyShared) -> str | None:
    """What is wrong with the buffers and sizes of a product of matrices in shared memory."""
    dtype = SHARED_FACTORS.get(statement.dtype)
    if dtype is None:
        known = ", ".join(SHARED_FACTORS)
        return f"there are no products of {statement.dtype!r} matrices in shared memory; there are of {known}"
    if statement.depth % 16 or statement.depth <= 0:
        return f"the depth of such a product is a multiple of 16, not {statement.depth}"
    for factor in (statement.left, statement.right):
        if factor.buffer.space is not Space.SHARED or factor.buffer.dtype is not dtype:
            found = f"{factor.buffer.dtype.name} in {factor.buffer.space.value} memory"
            return f"the factors are {dtype.name} in shared memory, not {found}"
        for apart in (factor.along_depth, factor.across):
            if apart % 8 or not 0 < apart < MOST_APART:
                return f"matrices are a multiple of 8 elements below {MOST_APART} apart, not {apart}"
    return _sums_fault(statement.sums)


def wait_products_fault(statement: WaitProducts) -> str | None:
    """What is wrong with the sums and the count of a wait for products."""
    if statement.pending < 0:
        return f"{statement.pending} products can't be under way"
    return _sums_fault(statement.sums)


def _sums_fault(sums: Buffer) -> str | None:
    if sums.space is not Space.LOCAL or sums.dtype is not f32 or not isinstance(sums.size, int):
        return f"products add to float32 in a thread's own memory of fixed size, not to {sums.name}"
    if sums.size % 4 or not 0 < sums.size <= MOST_COLUMNS // 2:
        return f"such a product has a multiple of 4 sums in each thread up to {MOST_COLUMNS // 2}, not {sums.size}"
    return None


def _dtype_fault(what: str, operands: tuple[Operand, ...] | tuple[Value, ...], name: str) -> str | None:
    wrong = next((x.dtype.name for x in operands if x.dtype.name != name), None)
    return None if wrong is None else f"{what} is {name}, not {wrong}"
