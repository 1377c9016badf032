"""The loop level: what a kernel is. The same level for CPU and GPU.

A kernel reads and writes flat buffers through index expressions, in loops over scalar code in static single assignment.
The grammar, whole:

    kernel  = name, buffers, sizes, statement*
    stmt    = Apply      value = op operand*                      scalar arithmetic
            | Position   value = index                            an index expression as a number
            | Bind       symbol = operand                         a number as an index, clamped into 0..extent
            | Load       value = buffer[index] if predicate       0 where the predicate fails
            | Store      buffer[index] = operand if predicate
            | Loop       for symbol in 0..extent, stmt*           serial, parallel or vector
            | Reduce     value = combine over symbol, stmt*       the fixed tree, see below
            | Contract   acc[m, n] = sum over k of a[m,k] b[k,n]  the micro-kernel's statement, with an epilogue
            | Allocate   buffer                                   scratch that lives as long as the enclosing body
            | If         predicate, stmt*
            | Check      predicate, code                          reports the code from the run where it fails
            | HostCall   function, buffers in, buffers out        Python code over whole arrays; alone in its kernel
    operand = value | literal

A symbol and a value are defined before use, in an enclosing or earlier statement. Strides are in the index expressions:
a buffer has no shape. Complex numbers are pairs of buffers' elements; the kernel level computes with real ones only.

The fixed tree. `Reduce` over an extent N combines element k into accumulator k mod 64, in order of k, each accumulator
starting at the combiner's identity; then accumulator l takes in accumulator l + 32 for l below 32, then l + 16 for l
below 16, and so on down to accumulator 0. It depends on N alone: not on threads, vectors or fusion. (Long extents are
reduced in blocks of `BLOCK` by two nested reductions, which `lower` writes out.)

`Contract` sums over k in order with fused multiply-add from 0 (multiply and add for integers, and on a machine that
cannot fuse) in blocks of `CONTRACT_BLOCK`. The first block's sum is the total, to which the others are added in order.
"""

from __future__ import annotations

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
    """How a loop's iterations run; all but SERIAL promise that they don't depend on each other."""

    SERIAL = "serial"
    PARALLEL = "parallel"
    VECTOR = "vector"


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


Statement: TypeAlias = (
    "Apply | Position | Bind | Load | Store | Loop | Reduce | Contract | Allocate | If | Check | HostCall"
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


def nested_bodies(statement: Statement) -> tuple[tuple[Statement, ...], ...]:
    """The statement's bodies, in order."""
    match statement:
        case Loop(body=body) | Reduce(body=body) | If(body=body):
            return (body,)
        case Contract(left=left, right=right, epilogue=epilogue):
            return (left.body, right.body, epilogue)
        case _:
            return ()
