"""What only kernels for a GPU hold, for lowering rules that write such kernels with the builder.

In: a builder whose innermost body is a thread's, and operands. Out: statements of `graphc.kernel.ir` in that body.
"""

from __future__ import annotations

from graphc.ir.dim import Size
from graphc.ir.dtype import f32, i32, u32
from graphc.ir.lowering import Scalar
from graphc.kernel.builder import KernelBuilder, Pair, literal
from graphc.kernel.ir import (
    Barrier,
    Buffer,
    CommitCopies,
    CopyAsync,
    LoadMatrix,
    MultiplyMatrices,
    Operand,
    Shuffle,
    Value,
    WaitCopies,
)


def barrier(b: KernelBuilder) -> None:
    """All threads of the block come here before one goes on."""
    b.here(Barrier)


def shuffle(b: KernelBuilder, x: Operand, mode: str, lane: int) -> Value:
    """The operand of another thread of the warp."""
    (out,) = b.here(lambda out: Shuffle(out, x, mode, literal(lane, i32)), (x.dtype,), operands=(x,))
    return out


def load_matrices(
    b: KernelBuilder, count: int, buffer: Buffer, index: Size, is_transposed: bool = False
) -> tuple[Value, ...]:
    """This thread's parts of `count` matrices in shared memory; `index` is where a row of one begins."""
    return b.here(
        lambda *outs: LoadMatrix(outs, buffer, index, is_transposed), (u32,) * count, sizes=(index,), buffers=(buffer,)
    )


def multiply_matrices(
    b: KernelBuilder, left: tuple[Operand, ...], right: tuple[Operand, ...], addend: tuple[Operand, ...], dtype: str
) -> tuple[Value, ...]:
    """left @ right + addend for the warp; `dtype` is that of the factors."""
    return b.here(
        lambda *outs: MultiplyMatrices(outs, left, right, addend, dtype),
        (f32,) * len(addend),
        operands=(*left, *right, *addend),
    )


def copy_async(
    b: KernelBuilder, to: Buffer, index: Size, source: Buffer, source_index: Size, count: int, predicate: Operand | None
) -> None:
    """Copy neighbouring elements into shared memory in the background; zeros where the predicate fails."""
    b.here(
        lambda: CopyAsync(to, index, source, source_index, count, predicate),
        operands=() if predicate is None else (predicate,),
        sizes=(index, source_index),
        buffers=(to, source),
    )


def commit_copies(b: KernelBuilder) -> None:
    """The thread's copies since the last commit become a group."""
    b.here(CommitCopies)


def wait_copies(b: KernelBuilder, pending: int) -> None:
    """Wait until at most `pending` of the thread's last groups are under way."""
    b.here(lambda: WaitCopies(pending))


def real(x: Scalar) -> Operand:
    """A scalar that is no complex number: a condition, say."""
    assert not isinstance(x, Pair), "real numbers and conditions have one part"
    return x  # type: ignore[return-value]  # a builder's scalars are operands and pairs of them


def both(b: KernelBuilder, first: Scalar, second: Scalar) -> Operand:
    """Whether both conditions hold."""
    return real(b.apply("bitwise_and", first, second))
