"""How much work a kernel is, to decide how many threads it pays for.

In: a kernel. Out: a size in units of which a core does some sixty per nanosecond in vector code: an arithmetic
instruction on one element is about one, on the machines measured (3 GHz, AVX-512). Only the order of magnitude counts.
"""

from __future__ import annotations

from graphc.ir.dim import Size, maximum, minimum, quotient, substitute
from graphc.kernel.ir import (
    Apply,
    Bind,
    Contract,
    If,
    Kernel,
    Load,
    Loop,
    LoopKind,
    Position,
    Reduce,
    Statement,
    Store,
    nested_bodies,
)
from graphc.kernel.scalar import SCALARS

THREAD_UNITS = 200_000
"""Work that a further thread must get: four microseconds, against one or two to wake it."""
_MEMORY = 2
_EXPENSIVE = 12
_SCALAR = 8
"""How much slower code is outside of vector loops and reductions."""
_PRODUCTS_PER_UNIT = 4
_STEPS = 16
"""A loop's length counts as so much where only the run will know it."""


def most_threads(kernel: Kernel) -> Size:
    """The most threads that the kernel's parallel statement can use; 1 where it has none."""
    found: dict[str, Size] = {s.symbol.name: _STEPS for s in kernel.body if isinstance(s, Bind)}
    for statement in kernel.body:
        match statement:
            case Loop(kind=LoopKind.PARALLEL, extent=extent):
                limit: Size = extent
            case Contract(parallel=True):
                limit = 1 << 16
            case _:
                continue
        return maximum(1, minimum(limit, quotient(_work(statement, found, False), THREAD_UNITS)))
    return 1


def work(statement: Statement) -> Size:
    """The units of a statement, loops with all their iterations."""
    return _work(statement, {}, False)


def _work(statement: Statement, outer: dict[str, Size], in_lanes: bool) -> Size:
    match statement:
        case Apply(op=op):
            return _EXPENSIVE if SCALARS[op].is_expensive else 1
        case Load() | Store():
            return _MEMORY
        case Position() | Bind():
            return 1
        case Loop(extent=extent, symbol=symbol, kind=kind, body=body):
            # A loop's length that shrinks with an outer symbol counts as in the first iteration.
            inside = {**outer, symbol.name: 0}
            is_vector = in_lanes or kind is LoopKind.VECTOR
            scalar = not is_vector and not any(isinstance(s, Loop | Reduce | Contract | If) for s in body)
            each = _sum(body, inside, is_vector)
            return substitute(extent, outer) * each * (_SCALAR if scalar else 1)
        case Reduce(extent=extent, symbol=symbol, body=body):
            return substitute(extent, outer) * (_sum(body, {**outer, symbol.name: 0}, True) + 1)
        case Contract(rows=rows, columns=columns, depth=depth, epilogue=epilogue):
            products = substitute(rows * columns * depth, outer)
            return quotient(products, _PRODUCTS_PER_UNIT) + substitute(rows * columns, outer) * _sum(
                epilogue, outer, True
            )
        case _:
            return sum((_sum(body, outer, in_lanes) for body in nested_bodies(statement)), 0)


def _sum(body: tuple[Statement, ...], outer: dict[str, Size], in_lanes: bool) -> Size:
    total: Size = 0
    for statement in body:
        if isinstance(statement, Bind):
            outer = {**outer, statement.symbol.name: _STEPS}
        total = total + _work(statement, outer, in_lanes)
    return total
