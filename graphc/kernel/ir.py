"""The loop level: what a kernel is. The same level for CPU and GPU.

A kernel reads and writes flat buffers through index expressions, in loops over scalar code in static single assignment.
The grammar, whole:

    kernel  = name, buffers, sizes, statement*
    stmt    = Apply      value = op operand*                      scalar arithmetic
            | Position   value = index                            an index expression as a number
            | Bind       symbol = operand                         a number as an index, clamped into 0..extent
            | Load       value = buffer[index] if predicate       0 where the predicate fails
            | Store      buffer[index] = operand if predicate
            | Loop       for symbol in 0..extent, stmt*           serial, parallel, vector, unrolled, block or thread
            | Reduce     value = combine over symbol, stmt*       the fixed tree, see below
            | Contract   acc[m, n] = sum over k of a[m,k] b[k,n]  the micro-kernel's statement, with an epilogue
            | Allocate   buffer                                   scratch that lives as long as the enclosing body
            | If         predicate, stmt*
            | Choose     buffers = row of parameters, stmt*       a block's parameters among many alike
            | Check      predicate, code                          reports the code from the run where it fails
            | HostCall   function, buffers in, buffers out        Python code over whole arrays; alone in its kernel
            | Barrier                                             the block's threads wait for each other
            | Shuffle    value = operand of another thread        within a warp, 32 threads side by side
            | CopyAsync  shared[index] = global[index], n times   copied in the background until WaitCopies
            | CommitCopies, WaitCopies                            a thread's copies so far are a group; wait for groups
            | LoadMatrix values = 8 x 8 matrices of shared memory each thread of a warp gets its part
            | MultiplyMatrices  values = a b + c                  by the tensor cores, for a warp
            | MultiplyShared  sums += a b                         in the background, from shared memory, for 4 warps
            | WaitProducts, FenceShared                           wait for products; show them what threads wrote
    operand = value | literal

A symbol and a value are defined before use, in an enclosing or earlier statement. Strides are in the index expressions:
a buffer has no shape. Complex numbers are pairs of buffers' elements; the kernel level computes with real ones only.

A kernel for a GPU (`graphc.kernel.gpu`) is one loop over blocks, in it the shared memory of a block and one loop over
its threads, and in that what a thread does. Choose and the statements from Barrier on are for such kernels only; what
may stand where says `graphc.kernel.verify_grid`.

The fixed tree. `Reduce` over an extent N combines element k into accumulator k mod 64, in order of k, each accumulator
starting at the combiner's identity; then accumulator l takes in accumulator l + 32 for l below 32, then l + 16 for l
below 16, and so on down to accumulator 0. It depends on N alone: not on threads, vectors or fusion. (Long extents are
reduced in blocks of `BLOCK` by two nested reductions, which `lower` writes out.)

`Contract` sums over k in order with fused multiply-add from 0 (multiply and add for integers, and on a machine that
cannot fuse) in blocks of `CONTRACT_BLOCK`. The first block's sum is the total, to which the others are added in order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, TypeAlias

from graphc.ir.dim import Size, Symbol
from graphc.ir.dtype import DType
from graphc.ir.type import TensorType

LANES: Final = 64
"""Accumulators of a reduction."""
BLOCK: Final = 16384
"""Elements that one `Reduce` takes at most when `lower` splits a reduction."""
CONTRACT_BLOCK: Final = 256
"""Products that a contraction sums before it adds to the total."""


class Space(Enum):
    """Where a buffer lives."""

    GLOBAL = "global"
    SHARED = "shared"
    LOCAL = "local"


class LoopKind(Enum):
    """How a loop's iterations run; all but SERIAL and UNROLLED promise that they don't depend on each other.

    Threads of one block may, where a barrier stands between what one writes and another one reads or writes.
    """

    SERIAL = "serial"
    PARALLEL = "parallel"
    VECTOR = "vector"
    UNROLLED = "unrolled"
    """In order, written out: the extent is a number."""
    BLOCK = "block"
    """The blocks of a GPU's grid."""
    THREAD = "thread"
    """The threads of a block; the extent is a number, a multiple of 32."""


@dataclass(frozen=True, slots=True, eq=False)
class Buffer:
    """A flat array of `size` elements. Equal only to itself."""

    name: str
    dtype: DType
    size: Size
    space: Space = Space.GLOBAL


@dataclass(frozen=True, slots=True, eq=False)
class Value:
    """A scalar defined by one statement. Equal only to itself; the name is for reading."""

    name: str
    dtype: DType


@dataclass(frozen=True, slots=True, eq=False)
class Literal:
    """A number in the code. Floats are kept as the Python float of their exact value, bools as bool.

    Equal to a literal of the same dtype that reads the same: 0.0 is not -0.0, and nan is nan.
    """

    value: int | float | bool
    dtype: DType

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Literal) and self.dtype is other.dtype and repr(self.value) == repr(other.value)

    def __hash__(self) -> int:
        return hash((repr(self.value), self.dtype))


Operand: TypeAlias = "Value | Literal"


@dataclass(frozen=True, slots=True)
class Apply:
    """A scalar op of `graphc.kernel.scalar` (arithmetic, comparison, select, cast, bitcast, math functions)."""

    out: Value
    op: str
    operands: tuple[Operand, ...]


@dataclass(frozen=True, slots=True)
class Position:
    """An index expression as a number."""

    out: Value
    index: Size


@dataclass(frozen=True, slots=True)
class Bind:
    """An integer as a symbol for index expressions, clamped into [0, extent - 1] (0 where the extent is 0)."""

    symbol: Symbol
    extent: Size
    operand: Operand


@dataclass(frozen=True, slots=True)
class Load:
    """An element of a buffer; where the predicate fails nothing is read and the value is 0."""

    out: Value
    buffer: Buffer
    index: Size
    predicate: Operand | None = None


@dataclass(frozen=True, slots=True)
class Store:
    """Write an element of a buffer where the predicate holds."""

    buffer: Buffer
    index: Size
    operand: Operand
    predicate: Operand | None = None


@dataclass(frozen=True, slots=True)
class Loop:
    """The body for symbol = 0 .. extent - 1."""

    symbol: Symbol
    extent: Size
    kind: LoopKind
    body: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Reduce:
    """`element` for symbol = 0 .. extent - 1 combined by the fixed tree.

    Combiners: sum, prod, max, min (nan wins), any, all (bool), argmax, argmin (the first index wins, nan counts as the
    extreme; `out` is int64).
    """

    out: Value
    combiner: str
    symbol: Symbol
    extent: Size
    body: tuple[Statement, ...]
    element: Operand


@dataclass(frozen=True, slots=True)
class Panel:
    """One side of a contraction: the element at (row, k), or (k, column), as code over the contraction's symbols."""

    body: tuple[Statement, ...]
    element: Operand


@dataclass(frozen=True, slots=True)
class Contract:
    """For all m < rows, n < columns: acc = sum over k < depth of left(m, k) * right(k, n); then `epilogue` with acc.

    `m`, `n`, `k` are the symbols that the panels (m and k; k and n) and the epilogue (m and n) use. The epilogue holds
    Apply, Position, Bind, Load, Store and Check. `acc.dtype` is the accumulator's: f32, f64, i32, i64 ...
    `parallel` says that tiles may run on several threads.
    """

    m: Symbol
    n: Symbol
    k: Symbol
    rows: Size
    columns: Size
    depth: Size
    left: Panel
    right: Panel
    acc: Value
    epilogue: tuple[Statement, ...]
    parallel: bool = False


@dataclass(frozen=True, slots=True)
class Allocate:
    """Scratch memory; its contents are undefined at first."""

    buffer: Buffer


@dataclass(frozen=True, slots=True)
class If:
    """The body where the predicate holds."""

    predicate: Operand
    body: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Choose:
    """The body, in which `buffers` stand for parameters: those of row number `operand` of `choices`.

    The rows are parameters of the kernel, side by side in this order. So one piece of code serves many tensors.
    """

    operand: Operand
    buffers: tuple[Buffer, ...]
    """Names that only the body knows; their sizes may be expressions of symbols in reach."""
    choices: tuple[tuple[Buffer, ...], ...]
    body: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Check:
    """Where the predicate fails, the run reports `code` (on several threads any that failed)."""

    predicate: Operand
    code: int


@dataclass(frozen=True, slots=True)
class HostArray:
    """A whole buffer as the array that the host sees; the parts of complex elements stand one after the other."""

    buffer: Buffer
    type: TensorType


@dataclass(frozen=True, slots=True)
class HostCall:
    """Call a function of `graphc.ir.host` on arrays and write its results; `code` is reported where it raises."""

    function: str
    parameters: str
    """As `graphc.ir.host.parameters_text` writes them."""
    operands: tuple[HostArray, ...]
    results: tuple[HostArray, ...]
    code: int


@dataclass(frozen=True, slots=True)
class Barrier:
    """All threads of the block come here before one goes on; what they wrote before, all see after."""


@dataclass(frozen=True, slots=True)
class Shuffle:
    """The operand of another thread of the same warp, all of whose threads come here.

    `mode` says which, from this one's number in the warp, 0..31, and `lane`: "xor" their exclusive or, "up" so many
    before it, "down" so many behind it (both: its own where there is none), "index" that thread.
    """

    out: Value
    operand: Operand
    mode: str
    lane: Operand


@dataclass(frozen=True, slots=True)
class CopyAsync:
    """Copy `count` neighbouring elements, 4, 8 or 16 bytes at addresses that are multiples of that, into shared memory.

    Zeros are written where the predicate fails. Nobody may read or write the destination, or write the source, before
    the thread has waited for the copy; other threads not before a barrier after that, too. Buffers may differ in dtype
    where elements are as wide: the bits are copied.
    """

    destination: Buffer
    index: Size
    source: Buffer
    source_index: Size
    count: int
    predicate: Operand | None = None


@dataclass(frozen=True, slots=True)
class CommitCopies:
    """The thread's copies since the last commit become a group."""


@dataclass(frozen=True, slots=True)
class WaitCopies:
    """Wait until at most `pending` of the thread's last groups are under way."""

    pending: int


@dataclass(frozen=True, slots=True)
class LoadMatrix:
    """8 x 8 matrices of 16-bit elements from shared memory, as many as there are `outs` (1, 2 or 4), for a warp.

    Thread 8 i + r gives the index of row r of matrix i: 8 neighbouring elements, aligned to 16 bytes. Of each matrix,
    thread l gets elements (l / 4, 2 (l % 4)) and the one right of it, as the low and the high half of a u32; of the
    transposed matrix if `is_transposed`.
    """

    outs: tuple[Value, ...]
    buffer: Buffer
    index: Size
    is_transposed: bool = False


@dataclass(frozen=True, slots=True)
class MultiplyMatrices:
    """outs = left @ right + addend by the tensor cores, for a warp: 16 x depth times depth x 8, in float32.

    `dtype` is that of the factors: bf16 and f16 with a depth of 16, two elements in a u32, `left` 4 and `right` 2 of
    them; tf32 with a depth of 8, each element a u32 with the bits of a float32 of which the 10 leading ones of the
    fraction count, `left` 4 and `right` 2 of them. Thread l of the warp has, with row = l / 4 and column = l % 4:
    of the sum and addend (row, 2 column), (row, 2 column + 1), and these 8 rows below; of `left`, in pairs along the
    depth, (row, 2 column), (row + 8, 2 column), and these 8 further along the depth (tf32: single elements
    (row, column), (row + 8, column), (row, column + 4), (row + 8, column + 4)); of `right`, in pairs along the depth,
    (2 column, row) and (2 column + 8, row) (tf32: (column, row) and (column + 4, row)). The order in which products
    are summed is the machine's.
    """

    outs: tuple[Value, ...]
    left: tuple[Operand, ...]
    right: tuple[Operand, ...]
    addend: tuple[Operand, ...]
    dtype: str


@dataclass(frozen=True, slots=True)
class SharedFactor:
    """A factor of `MultiplyShared`, as the tensor cores address it: 16-bit elements in matrices of 8 x 8.

    The elements of a matrix lie one after another, 128 bytes, row by row: a row holds neighbours along the depth; if
    `is_transposed`, along the factor's rows (of a right factor, columns). The first matrix begins at `index`;
    `along_depth` is from one matrix to the next one along the depth, `across` to the next one across it. All three
    count elements, and are multiples of 8.
    """

    buffer: Buffer
    index: Size
    along_depth: int
    across: int
    is_transposed: bool = False


@dataclass(frozen=True, slots=True)
class MultiplyShared:
    """sums += left @ right by the tensor cores, for 4 warps: 64 x depth times depth x columns, in float32.

    Threads 128 w to 128 w + 127 come here together and give the same indices. `depth` is a multiple of 16; `sums` is
    memory of the thread, 4 elements for each 8 columns, of which there are up to 256. With warp = t / 32 % 4,
    row = 16 warp + t % 32 / 4 and column = 2 (t % 4), element 4 j is (row, 8 j + column), the next one is that right of
    it, and the next two these 8 rows below. The order in which products are summed is the machine's.

    The product is under way until `WaitProducts`: till then nobody may write the factors, and the thread not touch the
    sums, but other products may be added to them. What threads wrote to shared memory it sees where each of them comes
    to `FenceShared` afterwards, and then to a barrier.
    """

    sums: Buffer
    left: SharedFactor
    right: SharedFactor
    depth: int
    dtype: str

    @property
    def columns(self) -> int:
        """Of the product."""
        assert isinstance(self.sums.size, int), "sums of a fixed number"
        return 2 * self.sums.size


@dataclass(frozen=True, slots=True)
class WaitProducts:
    """Wait until at most `pending` of the last products of the thread's 4 warps are under way.

    All of them add to the same sums.
    """

    sums: Buffer
    pending: int


@dataclass(frozen=True, slots=True)
class FenceShared:
    """What the thread has written to shared memory so far, tensor cores see that read it after the next barrier."""


Statement: TypeAlias = (
    "Apply | Position | Bind | Load | Store | Loop | Reduce | Contract | Allocate | If | Choose | Check"
    " | HostCall | Barrier | Shuffle | CopyAsync | CommitCopies | WaitCopies | LoadMatrix | MultiplyMatrices"
    " | MultiplyShared | WaitProducts | FenceShared"
)


@dataclass(frozen=True, slots=True, eq=False)
class Kernel:
    """A function over global buffers and sizes.

    At most one parallel loop or contraction: beside it the body holds only what is hoisted in front of it.
    """

    name: str
    buffers: tuple[Buffer, ...]
    """Parameters, in order; those written to are in `writes`."""
    sizes: tuple[Symbol, ...]
    """Size parameters, in order."""
    body: tuple[Statement, ...]
    writes: frozenset[Buffer] = field(default=frozenset())


def parameters_chosen(kernel: Kernel) -> frozenset[Buffer]:
    """The kernel's parameters that are rows of a `Choose`."""
    chosen = (s for s in statements_in(kernel.body) if isinstance(s, Choose))
    return frozenset(buffer for each in chosen for choice in each.choices for buffer in choice)


def statements_in(body: Iterable[Statement]) -> Iterator[Statement]:
    """The statements of a body and of the bodies in it."""
    pending = [tuple(body)]
    while pending:
        for statement in pending.pop():
            yield statement
            pending += nested_bodies(statement)


def nested_bodies(statement: Statement) -> tuple[tuple[Statement, ...], ...]:
    """The statement's bodies, in order."""
    match statement:
        case Loop(body=body) | Reduce(body=body) | If(body=body) | Choose(body=body):
            return (body,)
        case Contract(left=left, right=right, epilogue=epilogue):
            return (left.body, right.body, epilogue)
        case _:
            return ()
