"""Writes statements one after another: what the policies for GPUs build their kernels with.

In: requests for scalar code and bodies, in order, and pieces of other kernels to copy. Out: statements, with symbols
that the kernel does not have yet.

    writer = Writer(Names(kernel))
    with writer.loop("s", 8, LoopKind.UNROLLED) as s:
        total = writer.apply("add", total, writer.load(row, s))
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Final

from graphc.ir.dim import Size, Symbol, maximum, substitute
from graphc.ir.dtype import DType, bool_, i64
from graphc.kernel.ir import (
    Allocate,
    Apply,
    Barrier,
    Bind,
    Buffer,
    Check,
    Choose,
    If,
    Kernel,
    Literal,
    Load,
    Loop,
    LoopKind,
    Operand,
    Position,
    Reduce,
    Shuffle,
    Space,
    Statement,
    Store,
    Value,
    statements_in,
)
from graphc.kernel.scalar import result_dtype

TRUE = Literal(True, bool_)


class Names:
    """Names for symbols that neither the kernel's sizes nor its loops have."""

    def __init__(self, kernel: Kernel) -> None:
        self._taken: set[str] = set()
        self.take(kernel)

    def take(self, kernel: Kernel) -> None:
        """Leave alone the names of another kernel, too."""
        self._taken.update(size.name for size in kernel.sizes)
        for statement in statements_in(kernel.body):
            if isinstance(statement, Loop | Reduce | Bind):
                self._taken.add(statement.symbol.name)

    def symbol(self, hint: str, upper: Size) -> Symbol:
        """A symbol for 0 .. upper."""
        name, count = hint, 0
        while name in self._taken:
            count += 1
            name = f"{hint}{count}"
        self._taken.add(name)
        return Symbol(name, 0, upper)


@dataclass(slots=True)
class Writer:
    """The body that is being written."""

    names: Names
    statements: list[Statement] = field(default_factory=list)

    def add(self, statement: Statement) -> None:
        """Any statement."""
        self.statements.append(statement)

    def apply(self, op: str, *operands: Operand, dtype: DType | None = None) -> Value:
        """A scalar op."""
        out = Value(op, result_dtype(op, tuple(x.dtype for x in operands), dtype))
        self.add(Apply(out, op, operands))
        return out

    def both(self, *predicates: Operand | None) -> Operand | None:
        """All of the predicates that there are; None where there is none."""
        total: Operand | None = None
        for each in predicates:
            if each is not None and each != TRUE:
                total = each if total is None else self.apply("bitwise_and", total, each)
        return total

    def position(self, index: Size, dtype: DType = i64) -> Operand:
        """An index expression as a number."""
        if isinstance(index, int):
            return Literal(index, dtype)
        out = Value("at", dtype)
        self.add(Position(out, index))
        return out

    def is_below(self, index: Size, extent: Size) -> Operand:
        """Whether the index is below the extent."""
        return self.apply("lt", self.position(index), self.position(extent))

    def equals(self, index: Size, other: Size) -> Operand:
        """Whether two indices are the same."""
        if isinstance(index, int) and isinstance(other, int):
            return Literal(index == other, bool_)
        return self.apply("eq", self.position(index), self.position(other))

    def bind(self, hint: str, extent: Size, operand: Operand) -> Size:
        """A number as an index below the extent."""
        symbol = self.names.symbol(hint, maximum(extent - 1, 0))
        self.add(Bind(symbol, extent, operand))
        return symbol.size

    def load(self, buffer: Buffer, index: Size, predicate: Operand | None = None) -> Value:
        """An element."""
        out = Value(buffer.name, buffer.dtype)
        self.add(Load(out, buffer, index, predicate))
        return out

    def store(self, buffer: Buffer, index: Size, operand: Operand, predicate: Operand | None = None) -> None:
        """Write an element."""
        self.add(Store(buffer, index, operand, predicate))

    def shuffle(self, operand: Operand, lane: int) -> Value:
        """The operand of the thread whose number differs in the bits of `lane`."""
        out = Value("other", operand.dtype)
        self.add(Shuffle(out, operand, "xor", Literal(lane, i64)))
        return out

    def barrier(self) -> None:
        """Wait for the block."""
        self.add(Barrier())

    def registers(self, hint: str, dtype: DType, count: int) -> Buffer:
        """Memory of the thread."""
        buffer = Buffer(hint, dtype, count, Space.LOCAL)
        self.add(Allocate(buffer))
        return buffer

    @contextmanager
    def loop(self, hint: str, extent: Size, kind: LoopKind) -> Iterator[Size]:
        """A loop around what is written in the context; none where it would run once."""
        if extent == 1 and kind not in (LoopKind.BLOCK, LoopKind.THREAD):
            yield 0
            return
        symbol = self.names.symbol(hint, extent - 1)
        outer, self.statements = self.statements, []
        try:
            yield symbol.size
        finally:
            outer.append(Loop(symbol, extent, kind, tuple(self.statements)))
            self.statements = outer

    @contextmanager
    def when(self, predicate: Operand | None) -> Iterator[None]:
        """What is written in the context happens only where the predicate holds."""
        if predicate is None:
            yield
            return
        outer, self.statements = self.statements, []
        try:
            yield
        finally:
            outer.append(If(predicate, tuple(self.statements)))
            self.statements = outer


COPIED: Final = (Apply, Position, Bind, Load, Store, Check, Loop, Reduce, If, Allocate, Choose, Barrier, Shuffle)
"""Statements that a `Copier` copies."""


@dataclass(slots=True)
class Copier:
    """Copies statements with other symbols and values, and scratch in other places.

    What a copied statement defines is new, so the same statements may be copied several times.
    """

    writer: Writer
    values: dict[Value, Operand] = field(default_factory=dict)
    sizes: dict[str, Size] = field(default_factory=dict)
    places: dict[Buffer, tuple[Buffer, Size]] = field(default_factory=dict)
    """Scratch that is elsewhere: in which buffer, and at which index there what is now asked for is."""
    moved: dict[Buffer, tuple[Buffer, Size]] = field(default_factory=dict)
    """Shared memory that is part of another buffer: of which one, and from where on there."""
    predicate: Operand | None = None
    """Where stores to memory that others see, too, may happen."""
    own_predicate: Operand | None = None
    """Where stores to `moved` memory may."""
    buffers: dict[Buffer, Buffer] = field(default_factory=dict)
    """Buffers that other ones take the place of."""

    def size(self, size: Size) -> Size:
        """An expression in the new symbols."""
        return substitute(size, self.sizes)

    def operand(self, operand: Operand) -> Operand:
        """The new value of an operand."""
        return self.values.get(operand, operand) if isinstance(operand, Value) else operand

    def define(self, value: Value) -> Value:
        """The new value of a definition."""
        new = Value(value.name, value.dtype)
        self.values[value] = new
        return new

    def buffer(self, buffer: Buffer) -> Buffer:
        """What takes a buffer's place: itself, unless that is known."""
        return self.buffers.get(buffer, buffer)

    def another(self, buffer: Buffer) -> Buffer:
        """A new buffer for an old one."""
        new = self.buffers[buffer] = replace(buffer, size=self.size(buffer.size))
        return new

    def symbol(self, symbol: Symbol, upper: Size) -> Symbol:
        """A new symbol for an old one."""
        new = self.writer.names.symbol(symbol.name, upper)
        self.sizes[symbol.name] = new.size
        return new

    def copy(self, body: Iterable[Statement]) -> None:
        """Copy statements into the writer's body."""
        for statement in body:
            self.statement(statement)

    def statement(self, statement: Statement) -> None:
        """Copy one statement."""
        add = self.writer.add
        match statement:
            case Apply(out, op, operands):
                taken = tuple(map(self.operand, operands))
                add(Apply(self.define(out), op, taken))
            case Position(out, index):
                add(Position(self.define(out), self.size(index)))
            case Bind(symbol, extent, operand):
                extent = self.size(extent)
                taken_operand = self.operand(operand)
                add(Bind(self.symbol(symbol, maximum(extent - 1, 0)), extent, taken_operand))
            case Load(out, buffer, index, predicate):
                index = self.size(index)
                if buffer in self.places:
                    buffer, index = self.places[buffer]
                elif buffer in self.moved:
                    buffer, index = self.moved[buffer][0], index + self.moved[buffer][1]
                held = None if predicate is None else self.operand(predicate)
                add(Load(self.define(out), self.buffer(buffer), index, held))
            case Store(buffer, index, operand, predicate):
                index, held = self.size(index), None if predicate is None else self.operand(predicate)
                if buffer in self.places:
                    buffer, index = self.places[buffer]
                elif buffer in self.moved:
                    buffer, index = self.moved[buffer][0], index + self.moved[buffer][1]
                    held = self.writer.both(self.own_predicate, held)
                elif buffer.space is not Space.LOCAL:
                    held = self.writer.both(self.predicate, held)
                add(Store(self.buffer(buffer), index, self.operand(operand), held))
            case Check(predicate, code):
                add(Check(self.operand(predicate), code))
            case Loop(symbol, extent, kind, body):
                extent = self.size(extent)
                new = self.symbol(symbol, extent - 1)
                add(Loop(new, extent, kind, self.nested(body)))
            case Reduce(out, _, symbol, extent, body, element):
                extent = self.size(extent)
                new = self.symbol(symbol, extent - 1)
                inner = self.nested(body)
                element = self.operand(element)
                out = self.define(out)
                add(replace(statement, out=out, symbol=new, extent=extent, body=inner, element=element))
            case If(predicate, body):
                add(If(self.operand(predicate), self.nested(body)))
            case Allocate(buffer):
                add(Allocate(self.buffer(buffer)))
            case Choose(operand, buffers, choices, body):
                number = self.operand(operand)
                rows = tuple(tuple(map(self.buffer, row)) for row in choices)
                names = tuple(map(self.another, buffers))
                add(Choose(number, names, rows, self.nested(body)))
            case Barrier():
                add(statement)
            case Shuffle(out, operand, mode, lane):
                taken_operand = self.operand(operand)
                add(Shuffle(self.define(out), taken_operand, mode, self.operand(lane)))
            case _:
                raise AssertionError(f"{type(statement).__name__} is not copied")

    def nested(self, body: tuple[Statement, ...]) -> tuple[Statement, ...]:
        """The copy of a body."""
        outer, self.writer.statements = self.writer.statements, []
        self.copy(body)
        inner, self.writer.statements = self.writer.statements, outer
        return tuple(inner)
