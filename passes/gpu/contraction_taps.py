"""Convolutions on tensor cores: another order of the products, in which windows are cheap to take.

In: a `Problem` whose depth runs over channels and, in each, the taps of a filter: k = taps * channel + tap. Out: the
same with the taps outside, k = channels * tap + channel, and a kernel that brings the filter into that order first. All
elements of a tile then belong to one tap, so where they lie, and whether that is outside the image, is computed once
for all of them; and neighbours of the filter stay neighbours in memory.

Tensor cores sum in an order of their own in any case. Where bits count (`contraction_tiles`) the order stays.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from graphc.ir.dim import Quotient, Remainder, Size, Symbol, quotient, remainder, symbols
from graphc.kernel.ir import Apply, Buffer, Kernel, Load, LoopKind, Panel, Position, Value, statements_in
from graphc.passes.gpu.contraction_block import finish_kernel
from graphc.passes.gpu.contraction_plan import Problem, find_access
from graphc.passes.gpu.writer import Copier, Names, Writer
from graphc.passes.schedule import replace_symbol

MOST_TAPS: Final = 128
"""Elements of a filter's window that count as such."""
THREADS: Final = 256
"""Of the blocks that bring the filter into its new order."""


@dataclass(frozen=True, slots=True)
class Reordered:
    """The contraction in its new order, and the kernel that must run before it."""

    problem: Problem
    filter: Buffer
    """The filter in its new order."""
    first: Kernel


def reorder_taps(problem: Problem, steps: int) -> Reordered | None:
    """The problem with the taps outside, if it has taps, and channels enough for tiles of so many steps."""
    contract = problem.contract
    sides = ((contract.left, contract.m, contract.rows), (contract.right, contract.n, contract.columns))
    for place, (windows, other) in enumerate((sides, sides[::-1])):
        taps = _count_taps(windows[0], contract.k)
        depth = contract.depth
        if taps is None or not isinstance(depth, int) or depth % (taps * steps) != 0:
            continue
        access = find_access(problem.kernel, windows[0], windows[1:], (contract.k, depth), 2)
        if access.runs_along_depth or access.width > 1 or not _is_filter(problem, other, windows[2]):
            continue
        return _reordered(problem, taps, other[0], other[1], other[2], is_left=place == 1)
    return None


def _count_taps(panel: Panel, k: Symbol) -> int | None:
    """The greatest number of elements along the depth that make up a channel."""
    found = [
        atom.divisor
        for statement in statements_in(panel.body)
        if isinstance(statement, Load | Position)
        for atom in _divisions(statement.index)
        if isinstance(atom, Quotient) and atom.dividend == k.size and isinstance(atom.divisor, int)
    ]
    return max((divisor for divisor in found if divisor <= MOST_TAPS), default=None)


def _divisions(size: Size) -> Iterator[Quotient | Remainder]:
    """The quotients and remainders in an expression, and in what they divide."""
    pending = [size]
    while pending:
        current = pending.pop()
        if isinstance(current, int):
            continue
        for monomial, _ in current.terms:
            for atom in monomial:
                if isinstance(atom, Quotient | Remainder):
                    yield atom
                    pending.append(atom.dividend)


def _is_filter(problem: Problem, side: tuple[Panel, Symbol, Size], windows: Size) -> bool:
    """Whether the factor is small beside the windows, and the same for all of them."""
    panel, _, extent = side
    if not isinstance(extent, int) or (isinstance(windows, int) and windows < 4 * extent):
        return False
    around = None if problem.around is None else problem.around.symbol
    body = tuple(statements_in(panel.body))
    if problem.inside or any(not isinstance(s, Apply | Load | Position) for s in body):
        return False
    indices = [s.index for s in body if isinstance(s, Load | Position)]
    return all(around not in symbols(index) for index in indices)


def _last_cast(panel: Panel) -> Apply | None:
    """The statement that widens the panel's element, if it ends so."""
    last = panel.body[-1] if panel.body else None
    return last if isinstance(last, Apply) and last.op == "cast" and last.out is panel.element else None


def _reordered(problem: Problem, taps: int, panel: Panel, cross: Symbol, extent: Size, is_left: bool) -> Reordered:
    contract = problem.contract
    k, depth = contract.k, contract.depth
    channels = quotient(depth, taps)

    def old(position: Size) -> Size:
        return taps * remainder(position, channels) + quotient(position, channels)

    cast = _last_cast(panel)
    element = panel.element if cast is None else cast.operands[0]
    buffer = Buffer("filter", element.dtype, extent * depth)

    w = Writer(Names(problem.kernel))
    for statement in problem.before:
        w.add(statement)
    count = extent * depth
    blocks = quotient(count + THREADS - 1, THREADS)
    with w.loop("b", blocks, LoopKind.BLOCK) as block, w.loop("t", THREADS, LoopKind.THREAD) as thread:
        position = block * THREADS + thread
        with w.when(w.is_below(position, count)):
            row, place = quotient(position, depth), remainder(position, depth)
            copier = Copier(w, {}, {cross.name: row, k.name: old(place)})
            copier.copy(panel.body if cast is None else panel.body[:-1])
            w.store(buffer, position, copier.operand(element))
    first = finish_kernel(problem.kernel, w, (buffer,), frozenset((buffer,)))

    loaded = Value("filter", buffer.dtype)
    body: tuple[Load | Apply, ...] = (Load(loaded, buffer, cross.size * depth + k.size),)
    out = loaded
    if cast is not None:
        out = Value("filter", panel.element.dtype)
        body = (*body, Apply(out, "cast", (loaded,)))
    packed = Panel(body, out)
    other = contract.right if is_left else contract.left
    windows = Panel(replace_symbol(other.body, k, old(k.size)), other.element)
    new = replace(contract, left=packed if is_left else windows, right=windows if is_left else packed)
    kernel = replace(problem.kernel, buffers=(*problem.kernel.buffers, buffer))
    return Reordered(replace(problem, kernel=kernel, contract=new), buffer, first)
