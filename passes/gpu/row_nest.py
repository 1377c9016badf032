"""What the rows of a kernel are, and rewrites of them that leave their values as they are.

In: a kernel of `lower` that reduces. Out: a `RowNest`: independent rows, each of them scalar code, reductions over the
row and loops along it. The rewrites: `flattened` makes one loop of nested ones, `without_scratch` computes again what
a row keeps in memory, `with_kept_loads` has a row keep what it would read several times.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from graphc.ir.dim import Size, Symbol, bounds, linear, substitute, symbols
from graphc.kernel.ir import (
    Allocate,
    Apply,
    Bind,
    Buffer,
    Check,
    If,
    Kernel,
    Load,
    Loop,
    LoopKind,
    Operand,
    Position,
    Reduce,
    Space,
    Statement,
    Store,
    Value,
    statements_in,
)
from graphc.passes.gpu.writer import Copier, Names, Writer

SHORT: Final = 16
"""Elements up to which a reduction within an element's code is that thread's own affair."""
_SCALAR: Final = (Apply, Position, Bind, Load, Check)


@dataclass(frozen=True, slots=True)
class RowNest:
    """Rows that don't depend on each other."""

    kernel: Kernel
    names: Names
    prefix: tuple[Statement, ...]
    """Scalar code that all rows share."""
    symbol: Symbol
    """The row's number in the body."""
    rows: Size
    body: tuple[Statement, ...]


def find_rows(kernel: Kernel) -> RowNest | None:
    """The rows of a kernel, None if its reductions are not along rows of their own."""
    names = Names(kernel)
    last = kernel.body[-1] if kernel.body else None
    prefix = kernel.body[:-1]
    if isinstance(last, Loop) and last.kind is LoopKind.PARALLEL and all(isinstance(s, _SCALAR) for s in prefix):
        found = _merged_rows(names, last)
        nest = RowNest(kernel, names, prefix, *found)
    else:
        nest = RowNest(kernel, names, (), names.symbol("row", 0), 1, kernel.body)
    nest = replace(nest, body=flattened(names, nest.body))
    return nest if _is_row(nest.body) else None


def _merged_rows(names: Names, loop: Loop) -> tuple[Symbol, Size, tuple[Statement, ...]]:
    """The outermost loops down to the one whose body reduces, as one: symbol, extent and body."""
    loops = [loop]
    scalars: list[Statement] = []
    while True:
        *before, last = loops[-1].body or (None,)
        is_outer = isinstance(last, Loop) and last.kind is LoopKind.PARALLEL and _reduces(last.body)
        if not is_outer or not all(isinstance(s, _SCALAR) for s in before):
            break
        assert isinstance(last, Loop)
        if any(name == each.symbol.name for each in loops for name in _names(last.extent)) or last.extent == 0:
            break
        scalars += before
        loops.append(last)
    innermost = loops[-1]
    if len(loops) == 1:
        return loop.symbol, loop.extent, loop.body
    rows: Size = 1
    for each in loops:
        rows = rows * each.extent
    row = names.symbol("row", rows - 1)
    copier = Copier(Writer(names))
    rest: Size = row.size
    for each in reversed(loops[1:]):
        copier.sizes[each.symbol.name] = rest % each.extent
        rest = rest // each.extent
    copier.sizes[loop.symbol.name] = rest
    copier.copy((*scalars, *innermost.body))
    return row, rows, tuple(copier.writer.statements)


def _names(size: Size) -> tuple[str, ...]:
    return tuple(each.name for each in symbols(size))


def _reduces(body: Iterable[Statement]) -> bool:
    return any(isinstance(s, Reduce) for s in statements_in(body))


def _is_row(body: tuple[Statement, ...]) -> bool:
    """Whether the body reduces, and holds what a team of threads can share."""
    if not any(isinstance(s, Reduce) for s in body):
        return False
    for statement in body:
        match statement:
            case Reduce():
                if not _is_shareable(statement):
                    return False
            case Loop(kind=kind, body=inner):
                if kind is not LoopKind.PARALLEL or not _is_element(inner, has_stores=True):
                    return False
            case If(body=inner):
                if not _is_element(inner, has_stores=True):
                    return False
            case Allocate(buffer):
                if buffer.space is not Space.LOCAL:
                    return False
            case Apply() | Position() | Bind() | Load() | Check() | Store():
                pass
            case _:
                return False
    return True


def inner_reductions(reduce: Reduce) -> tuple[Reduce, ...]:
    """The long reductions that the elements of a reduction are made of."""
    return tuple(s for s in reduce.body if isinstance(s, Reduce) and bounds(s.extent)[1] > SHORT)


def _is_shareable(reduce: Reduce) -> bool:
    inner = inner_reductions(reduce)
    if not inner:
        return _is_element(reduce.body, has_stores=False)
    return all(isinstance(s, _SCALAR) or s in inner for s in reduce.body) and all(
        _is_element(each.body, has_stores=False) for each in inner
    )


def _is_element(body: tuple[Statement, ...], *, has_stores: bool) -> bool:
    """Whether one thread does this for one element, soon enough."""
    for statement in statements_in(body):
        match statement:
            case Apply() | Position() | Bind() | Load() | Check():
                pass
            case Reduce(extent=extent) if bounds(extent)[1] <= SHORT:
                pass
            case Store() | If() if has_stores:
                pass
            case _:
                return False
    return True


def flattened(names: Names, body: tuple[Statement, ...]) -> tuple[Statement, ...]:
    """The body with each loop of loops along the row as one loop."""
    return tuple(_flattened_loop(names, s) if isinstance(s, Loop) else s for s in body)


def _flattened_loop(names: Names, loop: Loop) -> Loop:
    *before, inner = loop.body or (None,)
    is_nest = loop.kind is LoopKind.PARALLEL and isinstance(inner, Loop) and inner.kind is LoopKind.PARALLEL
    if not is_nest or not all(isinstance(s, _SCALAR) for s in before):
        return loop
    assert isinstance(inner, Loop)
    if loop.symbol.name in _names(inner.extent) or bounds(inner.extent)[0] < 1:
        return loop
    inner = _flattened_loop(names, inner)
    extent = loop.extent * inner.extent
    symbol = names.symbol(loop.symbol.name, extent - 1)
    at = symbol.size
    copier = Copier(Writer(names), sizes={loop.symbol.name: at // inner.extent, inner.symbol.name: at % inner.extent})
    copier.copy((*before, *inner.body))
    return Loop(symbol, extent, loop.kind, tuple(copier.writer.statements))


# Scratch of a row


@dataclass(frozen=True, slots=True)
class Scratch:
    """What a row keeps: the loop that writes it, and how many elements there are."""

    buffer: Buffer
    producer: Loop
    value: Operand


def scratch_of(body: tuple[Statement, ...]) -> dict[Buffer, Scratch] | None:
    """The scratch of a row, each written by one loop, in order; None where it is written in other ways."""
    found: dict[Buffer, Scratch] = {}
    allocated = {s.buffer for s in body if isinstance(s, Allocate)}
    for statement in body:
        for store in (s for s in statements_in((statement,)) if isinstance(s, Store) and s.buffer in allocated):
            is_plain = (
                isinstance(statement, Loop)
                and store in statement.body
                and store.index == statement.symbol.size
                and store.predicate is None
                and store.buffer not in found
            )
            if not is_plain:
                return None
            assert isinstance(statement, Loop)
            found[store.buffer] = Scratch(store.buffer, statement, store.operand)
    return found


def without_scratch(nest: RowNest, gone: Iterable[Buffer]) -> RowNest:
    """The rows with what is kept in these buffers computed where it is wanted."""
    gone = set(gone)
    if not gone:
        return nest
    found = scratch_of(nest.body)
    assert found is not None, "only scratch that one loop writes is computed again"
    copier = _Recomputing(Writer(nest.names), scratch={buffer: found[buffer] for buffer in gone})
    copier.copy(nest.body)
    return replace(nest, body=tuple(copier.writer.statements))


class _Recomputing(Copier):
    """Copies the code that computes an element of scratch in place of loading it."""

    def __init__(self, writer: Writer, scratch: dict[Buffer, Scratch]) -> None:
        super().__init__(writer)
        self.scratch = scratch

    def statement(self, statement: Statement) -> None:
        match statement:
            case Allocate(buffer) if buffer in self.scratch:
                pass
            case Store(buffer=buffer) if buffer in self.scratch:
                pass
            case Loop() if any(kept.producer is statement for kept in self.scratch.values()):
                pass
            case Load(out, buffer, index, _) if buffer in self.scratch:
                kept = self.scratch[buffer]
                symbol = kept.producer.symbol.name
                outer = self.sizes.get(symbol)
                self.sizes[symbol] = self.size(index)
                self.copy(kept.producer.body)
                self.values[out] = self.operand(kept.value)
                if outer is None:
                    del self.sizes[symbol]
                else:
                    self.sizes[symbol] = outer
            case _:
                super().statement(statement)


def with_kept_loads(nest: RowNest) -> RowNest:
    """The rows with scratch for elements that several loops and reductions along the row would read from memory.

    What all rows read, weights say, is in the caches and need not take a row's place.
    """
    users: dict[tuple[Buffer, Size, int], dict[int, None]] = {}
    at = Symbol("at.element", 0)
    visible = {nest.symbol.name, *(s.name for s in nest.kernel.sizes)}
    for number, statement in enumerate(nest.body):
        for key in _loads_along(nest.kernel, statement, at, visible):
            if nest.rows == 1 or nest.symbol.name in _names(key[1]):
                users.setdefault(key, {})[number] = None
    kept = {key: numbers for key, numbers in users.items() if len(numbers) > 1}
    if not kept:
        return nest
    body: list[Statement] = []
    buffers: dict[tuple[Buffer, Size, int], Buffer] = {}
    for number, statement in enumerate(nest.body):
        for key, numbers in kept.items():
            if number == next(iter(numbers)):
                source, index, extent = key
                buffers[key] = Buffer(f"kept_{source.name}", source.dtype, extent, Space.LOCAL)
                symbol = nest.names.symbol("i", extent - 1)
                out = Value(source.name, source.dtype)
                load = Load(out, source, substitute(index, {at.name: symbol.size}))
                body.append(Allocate(buffers[key]))
                store = Store(buffers[key], symbol.size, out)
                body.append(Loop(symbol, extent, LoopKind.PARALLEL, (load, store)))
        body.append(_reading_kept(statement, at, buffers))
    return replace(nest, body=tuple(body))


def _loads_along(kernel: Kernel, statement: Statement, at: Symbol, visible: set[str]) -> list[tuple[Buffer, Size, int]]:
    """What a loop or reduction along the row reads for each element, with a common symbol for its number."""
    if not isinstance(statement, Loop | Reduce) or not isinstance(statement.extent, int):
        return []
    found = []
    for each in statement.body:
        if isinstance(each, Load) and each.predicate is None and each.buffer not in kernel.writes:
            index = each.index
            parts = linear(index, statement.symbol.name)
            if each.buffer.space is not Space.GLOBAL or parts is None or parts[1] == 0:
                continue
            if all(name in visible or name == statement.symbol.name for name in _names(index)):
                found.append((each.buffer, substitute(index, {statement.symbol.name: at.size}), statement.extent))
    return found


def _reading_kept(statement: Statement, at: Symbol, buffers: dict[tuple[Buffer, Size, int], Buffer]) -> Statement:
    if not isinstance(statement, Loop | Reduce) or not isinstance(statement.extent, int):
        return statement
    own = statement.symbol
    body = tuple(
        replace(each, buffer=buffers[key], index=own.size)
        if isinstance(each, Load)
        and each.predicate is None
        and (key := (each.buffer, substitute(each.index, {own.name: at.size}), statement.extent)) in buffers
        else each
        for each in statement.body
    )
    return replace(statement, body=body)
