"""What code needs of the code in front of it: for policies that do parts of a kernel in kernels of their own.

In: statements, and those in front of them. Out: which of these define what the former refer to, directly or not.

    needed = needed_by((loop,), kernel.body[:-1])
"""

from __future__ import annotations

from collections.abc import Iterable

from graphc.ir.dim import Size, symbols
from graphc.kernel.ir import (
    Allocate,
    Apply,
    Bind,
    Check,
    Contract,
    If,
    Load,
    Loop,
    Position,
    Reduce,
    Statement,
    Store,
    Value,
    statements_in,
)


def needed_by(
    statements: Iterable[Statement], before: Iterable[Statement], known: frozenset[Value] = frozenset()
) -> list[Statement]:
    """What the statements need of those before, in order; nothing that `known` reductions are made of."""
    values, names = uses_of(statements)
    found: list[Statement] = []
    for statement in reversed(list(before)):
        match statement:
            case Apply(out=out) | Position(out=out) | Load(out=out) if out in values:
                _add_uses(statement, values, names)
                found.append(statement)
            case Bind(symbol=symbol) if symbol.name in names:
                _add_uses(statement, values, names)
                found.append(statement)
            case Reduce(out=out) if out in values:
                if out not in known:
                    _add_uses(statement, values, names)
                found.append(statement)
            case _:
                pass
    return found[::-1]


def uses_of(statements: Iterable[Statement]) -> tuple[set[Value], set[str]]:
    """The values and the names of symbols that statements, and those in them, refer to."""
    values: set[Value] = set()
    names: set[str] = set()
    for statement in statements:
        _add_uses(statement, values, names)
    return values, names


def _add_uses(statement: Statement, values: set[Value], names: set[str]) -> None:
    """Add the values and symbols that the statement and those in it refer to."""
    for each in statements_in((statement,)):
        operands: tuple[object, ...] = ()
        sizes: tuple[Size, ...] = ()
        match each:
            case Apply():
                operands = each.operands
            case Position(index=index):
                sizes = (index,)
            case Bind(extent=extent, operand=operand):
                operands, sizes = (operand,), (extent,)
            case Load(index=index, predicate=predicate):
                operands, sizes = (predicate,), (index,)
            case Store(index=index, operand=operand, predicate=predicate):
                operands, sizes = (operand, predicate), (index,)
            case Check(predicate=predicate) | If(predicate=predicate):
                operands = (predicate,)
            case Loop(extent=extent):
                sizes = (extent,)
            case Reduce(extent=extent, element=element):
                operands, sizes = (element,), (extent,)
            case Contract(rows=rows, columns=columns, depth=depth, left=left, right=right):
                operands, sizes = (left.element, right.element), (rows, columns, depth)
            case Allocate():
                pass
            case _:
                raise AssertionError(f"{type(each).__name__} in a kernel that is yet to be scheduled")
        values.update(x for x in operands if isinstance(x, Value))
        names.update(s.name for size in sizes for s in symbols(size))
