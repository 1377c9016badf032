"""What of a body differs by lane, whether it can run in lanes at all, and in how many.

In: statements. Out: facts that decide how loops and reductions are emitted.
"""

from __future__ import annotations

from collections.abc import Callable

from graphc.codegen.emitter import Emitter
from graphc.codegen.index import symbols_of
from graphc.codegen.target import Target
from graphc.ir.dim import Size
from graphc.ir.dtype import bool_
from graphc.kernel.ir import (
    LANES,
    Allocate,
    Apply,
    Bind,
    Check,
    Contract,
    HostCall,
    If,
    Literal,
    Load,
    Loop,
    Operand,
    Position,
    Reduce,
    Statement,
    Store,
    Value,
    nested_bodies,
)

NARROWEST_BITS = 32
"""Narrower elements fill no whole register: their masks and conversions would cost more than the lanes gain."""

WRITTEN_OUT_STATEMENTS = 40
"""How many statements a reduction's body may become where its elements are written out one by one, without a loop."""
GROUP = 8
"""Accumulators that a reduction of elements one after another keeps in registers."""
GROUPED_STATEMENTS = 6
"""Up to this size of body it does, for at most 64 elements."""
COLUMN_STATEMENTS = ((4, 8), (12, 4), (48, 2))
"""Up to how many statements a reduction down columns runs down so many registers of columns at once."""


class Variation:
    """The values and symbols of a body that differ by lane."""

    def __init__(self, symbols: set[str], is_varying: Callable[[Value], bool] = lambda value: False) -> None:
        self.symbols = symbols
        self.values: set[Value] = set()
        self.fits_lanes = True
        """Whether the body can run in lanes: no store to one place by all, no loop of another length in each."""
        self._is_varying = is_varying

    @classmethod
    def in_context(cls, e: Emitter) -> Variation:
        """What is known where the emitter stands."""
        values = e.values

        def has_lanes(value: Value) -> bool:
            register = values.get(value)
            return register is not None and register.lanes > 1

        return cls({name for name, binding in e.symbols.items() if binding.varying}, has_lanes)

    def of(self, operand: Operand | None) -> bool:
        """Whether an operand differs by lane."""
        if operand is None or isinstance(operand, Literal):
            return False
        return operand in self.values or self._is_varying(operand)

    def of_size(self, size: Size) -> bool:
        """Whether an index expression differs by lane."""
        return not isinstance(size, int) and any(s.name in self.symbols for s in symbols_of(size))

    def walk(self, body: tuple[Statement, ...]) -> None:
        """Take in the body's statements."""
        for statement in body:
            match statement:
                case Apply(out=out, operands=operands):
                    if any(map(self.of, operands)):
                        self.values.add(out)
                case Position(out=out, index=index):
                    if self.of_size(index):
                        self.values.add(out)
                case Load(out=out, index=index, predicate=predicate):
                    if self.of_size(index) or self.of(predicate):
                        self.values.add(out)
                case Bind(symbol=symbol, operand=operand, extent=extent):
                    if self.of(operand):
                        self.symbols.add(symbol.name)
                    self.fits_lanes &= not self.of_size(extent)
                case Store(index=index):
                    self.fits_lanes &= self.of_size(index)
                case Loop(extent=extent, body=inner):
                    self.fits_lanes &= not self.of_size(extent)
                    self.walk(inner)
                case Reduce(out=out, extent=extent, body=inner, element=element):
                    self.fits_lanes &= not self.of_size(extent)
                    self.walk(inner)
                    if self.of(element):
                        self.values.add(out)
                case If(body=inner):
                    self.walk(inner)
                case Allocate() | Contract() | HostCall():
                    self.fits_lanes = False
                case Check():
                    pass


def fits_lanes(body: tuple[Statement, ...], symbol: str) -> bool:
    """Whether the body of a loop over `symbol` can run for several of its values at once."""
    variation = Variation({symbol})
    variation.walk(body)
    return variation.fits_lanes


def is_straight(body: tuple[Statement, ...]) -> bool:
    """Whether the body holds no loops."""
    return all(not isinstance(s, Loop | Reduce | Contract) and all(map(is_straight, nested_bodies(s))) for s in body)


def statement_count(body: tuple[Statement, ...]) -> int:
    """How many statements the body holds, nested ones included."""
    return sum(1 + sum(map(statement_count, nested_bodies(s))) for s in body)


def lane_count(target: Target, body: tuple[Statement, ...]) -> int:
    """How many lanes fill a vector register with the widest dtype that the body computes in."""
    return target.vector_bits // max(NARROWEST_BITS, _widest(body))


def _widest(body: tuple[Statement, ...]) -> int:
    widest = 0
    for statement in body:
        match statement:
            case Apply(out=out) | Load(out=out) | Position(out=out) | Reduce(out=out):
                if out.dtype is not bool_:
                    widest = max(widest, out.dtype.bits)
            case _:
                pass
        for inner in nested_bodies(statement):
            widest = max(widest, _widest(inner))
    return widest


def is_written_out(reduce: Reduce) -> bool:
    """Whether a reduction that takes its elements one by one is few enough of them to need no loop."""
    extent = reduce.extent
    return isinstance(extent, int) and extent * max(1, statement_count(reduce.body)) <= WRITTEN_OUT_STATEMENTS


def is_grouped(reduce: Reduce) -> bool:
    """Whether such a reduction keeps a group of accumulators in registers."""
    extent = reduce.extent
    return (
        isinstance(extent, int)
        and GROUP <= extent <= LANES
        and is_straight(reduce.body)
        and statement_count(reduce.body) <= GROUPED_STATEMENTS
    )


def column_registers(body: tuple[Statement, ...]) -> int:
    """How many registers of neighbouring columns the reductions in a vector loop run down at once.

    Where a row is far from the next one in memory, they then read several cache lines for each page that they touch
    (4096 x 4096 floats: 4.4 times the speed of one register). Larger bodies would not fit the registers.
    """
    if not any(isinstance(s, Reduce) and not is_written_out(s) and not is_grouped(s) for s in body):
        return 1
    count = statement_count(body)
    return next((registers for most, registers in COLUMN_STATEMENTS if count <= most), 1)
