"""How a kernel's loops run on a CPU: kernel to kernel, the same values.

In: kernels of `lower`, whose independent loops are all PARALLEL. Out: kernels in which at most one outermost loop is
PARALLEL (threads take ranges of it), an innermost one is VECTOR where its iterations touch neighbours, and the
others are SERIAL. A loop that would be both is split in two.

A reduction runs along vectors itself where its elements are neighbours (a row); where those of neighbouring results
are (a column), the loop over results becomes VECTOR and the reduction runs down all its lanes at once.
"""

from __future__ import annotations

from dataclasses import replace

from graphc.ir.dim import Size, Symbol, bounds, is_at_most, linear, minimum, quotient, substitute
from graphc.kernel.ir import (
    Allocate,
    Apply,
    Bind,
    Check,
    Contract,
    HostCall,
    If,
    Kernel,
    Load,
    Loop,
    LoopKind,
    Panel,
    Position,
    Reduce,
    Statement,
    Store,
    nested_bodies,
)

CHUNK = 4096
"""Elements that a thread takes at once from an elementwise loop."""
COLUMN_CHUNK = 128
"""Columns that a thread reduces at once."""
TILE = 16, 64
"""Rows and columns that a thread copies at once where one side of a copy runs along rows, the other down columns: as
many rows as a cache line has elements, so that each line is used up before it leaves the cache."""
SHORT = 8
"""Iterations that fill no vector: the loop around them is the better one to run along vectors."""


def schedule(kernel: Kernel) -> Kernel:
    """The CPU policy."""
    taken = frozenset(size.name for size in kernel.sizes)
    return replace(kernel, body=tuple(_schedule_outermost(s, taken) if isinstance(s, Loop) else s for s in kernel.body))


def _schedule_outermost(loop: Loop, taken: frozenset[str]) -> Loop:
    if loop.kind is not LoopKind.PARALLEL:
        return _schedule_inner(loop)
    inner = _transposed(loop)
    if inner is not None:
        return _schedule_tiles(tile(loop, inner, *TILE))
    if _has_inner_loop(loop) or not _can_vectorize(loop):
        return replace(loop, body=_schedule_body(loop.body))
    chunk = COLUMN_CHUNK if _contains(loop.body, Reduce | Loop) else CHUNK
    if is_at_most(loop.extent, chunk):
        return replace(loop, kind=LoopKind.VECTOR)
    outer, inner = split(loop, chunk, taken)
    return replace(outer, body=(replace(inner, kind=LoopKind.VECTOR),))


def _schedule_tiles(rows: Loop) -> Loop:
    """Threads take blocks of rows; the innermost loop runs along vectors."""
    (columns,) = rows.body
    assert isinstance(columns, Loop)
    return replace(rows, kind=LoopKind.PARALLEL, body=(_schedule_inner(columns),))


def _transposed(loop: Loop) -> Loop | None:
    """The loop inside of two that do nothing else, if it strides through memory where the outer one would not."""
    inner = loop.body[0] if len(loop.body) == 1 else None
    if not isinstance(inner, Loop):
        return None
    is_independent = loop.kind is inner.kind is LoopKind.PARALLEL
    if not is_independent or not all(isinstance(s, Apply | Position | Load | Store) for s in inner.body):
        return None
    if any(is_at_most(each.extent, 2 * size) for each, size in zip((loop, inner), TILE)):
        return None
    indices = [s.index for s in inner.body if isinstance(s, Load | Store)]
    strides = [(_stride(index, loop.symbol.name), _stride(index, inner.symbol.name)) for index in indices]
    crosses = (along == 1 and across not in (0, 1) for along, across in strides)
    return inner if any(crosses) else None


def _schedule_inner(loop: Loop) -> Loop:
    if loop.kind is LoopKind.PARALLEL and not _has_inner_loop(loop) and _can_vectorize(loop):
        return replace(loop, kind=LoopKind.VECTOR)
    return replace(loop, kind=LoopKind.SERIAL, body=_schedule_body(loop.body))


def _schedule_body(body: tuple[Statement, ...]) -> tuple[Statement, ...]:
    return tuple(_schedule_inner(s) if isinstance(s, Loop) else s for s in body)


def _has_inner_loop(loop: Loop) -> bool:
    """Whether an independent loop or a contraction inside is the better one to run along vectors."""
    pending = [loop.body]
    while pending:
        for statement in pending.pop():
            if isinstance(statement, Contract) or (
                isinstance(statement, Loop) and statement.kind is not LoopKind.SERIAL
            ):
                return True
            pending.extend(nested_bodies(statement))
    return False


def _contains(body: tuple[Statement, ...], kinds: object) -> bool:
    return any(isinstance(statement, kinds) for statement in body)  # type: ignore[arg-type]  # a union of classes


def _can_vectorize(loop: Loop) -> bool:
    """Whether neighbouring iterations touch neighbouring elements rather than rows of their own.

    Elements a few places apart count as neighbours, and an inner loop too short to fill a vector as none.
    """
    if not _contains(loop.body, Reduce | Loop):
        return True
    along = across = 0
    pending: list[tuple[tuple[Statement, ...], str | None, bool]] = [(loop.body, None, False)]
    while pending:
        body, inner, is_long = pending.pop()
        for statement in body:
            if isinstance(statement, Load | Store) and inner is not None:
                along += _stride(statement.index, loop.symbol.name) in (1, 2, 3, 4)
                across += is_long and _stride(statement.index, inner) == 1
            below: tuple[str | None, bool]
            if isinstance(statement, Reduce | Loop):
                below = statement.symbol.name, bounds(statement.extent)[1] > SHORT
            else:
                below = inner, is_long
            pending.extend((nested, *below) for nested in nested_bodies(statement))
    return along > across


def _stride(index: Size, name: str) -> Size | None:
    parts = linear(index, name)
    return None if parts is None else parts[1]


def split(loop: Loop, chunk: int, taken: frozenset[str] = frozenset()) -> tuple[Loop, Loop]:
    """(outer, inner) with the outer's body the inner: `chunk` iterations a time, fewer in the last.

    The new loops don't get the names in `taken`.
    """
    name = loop.symbol.name
    while {f"{name}o", f"{name}i"} & taken:
        name += "_"
    outer = Symbol(f"{name}o", 0, quotient(loop.extent + (chunk - 1), chunk) - 1)
    start = outer.size * chunk
    extent = chunk if bounds(loop.extent)[0] == bounds(loop.extent)[1] and bounds(loop.extent)[0] % chunk == 0 else None
    inner_extent = extent if extent is not None else minimum(chunk, loop.extent - start)
    inner = Symbol(f"{name}i", 0, inner_extent - 1)
    body = replace_symbol(loop.body, loop.symbol, start + inner.size)
    inner_loop = Loop(inner, inner_extent, loop.kind, body)
    return Loop(outer, quotient(loop.extent + (chunk - 1), chunk), loop.kind, (inner_loop,)), inner_loop


def tile(outer: Loop, inner: Loop, rows: int, columns: int) -> Loop:
    """Two loops, the inner one all that the outer one holds, as loops over blocks and in them loops within a block.

    for i, for j  becomes  for io, for jo, for ii, for ji.
    """
    assert outer.body == (inner,), "only what is perfectly nested can change its order"
    column_blocks, within_columns = split(inner, columns)
    row_blocks, within_rows = split(replace(outer, body=(within_columns,)), rows)
    return replace(row_blocks, body=(replace(column_blocks, body=(within_rows,)),))


def replace_symbol(body: tuple[Statement, ...], old: Symbol, new: Size) -> tuple[Statement, ...]:
    """The statements with a symbol replaced by an expression in every index."""

    def index(size: Size) -> Size:
        return substitute(size, {old.name: new})

    result: list[Statement] = []
    for statement in body:
        match statement:
            case Apply() | Check() | HostCall():
                result.append(statement)
            case Position():
                result.append(replace(statement, index=index(statement.index)))
            case Bind():
                result.append(replace(statement, extent=index(statement.extent)))
            case Load() | Store():
                result.append(replace(statement, index=index(statement.index)))
            case Allocate(buffer=buffer):
                assert index(buffer.size) == buffer.size, "scratch of a size that varies with a loop"
                result.append(statement)
            case Loop() | Reduce():
                result.append(
                    replace(statement, extent=index(statement.extent), body=replace_symbol(statement.body, old, new))
                )
            case If():
                result.append(replace(statement, body=replace_symbol(statement.body, old, new)))
            case Contract():
                left, right = (
                    Panel(replace_symbol(panel.body, old, new), panel.element)
                    for panel in (statement.left, statement.right)
                )
                result.append(
                    replace(
                        statement,
                        rows=index(statement.rows),
                        columns=index(statement.columns),
                        depth=index(statement.depth),
                        left=left,
                        right=right,
                        epilogue=replace_symbol(statement.epilogue, old, new),
                    )
                )
    return tuple(result)
