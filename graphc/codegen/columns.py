"""Reductions whose elements come one after another: down columns, in the lanes of the vector loop around them.

In: a `Reduce` inside a vector loop, or one with loops inside. Out: blocks that follow the fixed tree, by accumulators
in memory. Few elements are written out without a loop; up to 64 are combined in groups that stay in registers.
"""

from __future__ import annotations

from graphc.codegen.accumulators import Accumulators, place_of
from graphc.codegen.body import emit_body
from graphc.codegen.combine import Combiner, Parts, normalized
from graphc.codegen.emitter import Emitter
from graphc.codegen.index import index
from graphc.codegen.lanes import GROUP, is_grouped, is_written_out
from graphc.ir.dim import is_at_least
from graphc.kernel.ir import LANES, Reduce


def in_turn(e: Emitter, reduce: Reduce, combiner: Combiner, lanes: int) -> Parts:
    """Elements one by one, each in the lanes of the vector loop around (or one)."""
    extent = reduce.extent
    if isinstance(extent, int) and is_written_out(reduce):
        return _written_out(e, reduce, combiner, lanes, extent)
    if isinstance(extent, int) and lanes > 1 and is_grouped(reduce):
        return _in_groups(e, reduce, combiner, lanes, extent)
    count = 1 << (extent - 1).bit_length() if isinstance(extent, int) and extent < LANES else LANES
    array = Accumulators(e, combiner, lanes)
    wide = min(count, e.target.vector_bits // 64) if lanes == 1 else 1
    used = str(count)
    if lanes > 1 and not isinstance(extent, int):
        used = _accumulators_in_use(e, index(e, extent))
    if lanes == 1:
        array.clear(count, wide)
    else:
        with e.loop("0", used, known_nonempty=True) as place:
            array.store(place, combiner.identity(lanes))
    with e.loop("0", index(e, extent), known_nonempty=is_at_least(extent, 1)) as i:
        place = e.emit(f"and i64 {i}, {LANES - 1}")
        with e.scope():
            element = _element(e, reduce, combiner, i, lanes)
            array.store(place, combiner.combine(e, lanes, array.load(place), element))
    if lanes == 1:
        parts = combiner.tree(e, wide, [array.load(str(place), wide) for place in range(0, count, wide)])
    else:
        _tree_in_memory(e, combiner, array, used)
        parts = array.load("0")
    array.release()
    return parts


def _element(e: Emitter, reduce: Reduce, combiner: Combiner, position: str, lanes: int) -> Parts:
    """One element for each lane of the context around."""
    e.bind(reduce.symbol, position)
    emit_body(e, reduce.body)
    parts: Parts = (e.vector_operand(reduce.element, lanes),)
    return (*parts, place_of(e, reduce, combiner, lanes)) if combiner.is_arg else parts


def _written_out(e: Emitter, reduce: Reduce, combiner: Combiner, lanes: int, extent: int) -> Parts:
    elements = []
    for place in range(extent):
        with e.scope():
            elements.append(_element(e, reduce, combiner, str(place), lanes))
    return normalized(e, combiner, lanes, combiner.tree_of_vectors(e, lanes, elements))


def _in_groups(e: Emitter, reduce: Reduce, combiner: Combiner, lanes: int, extent: int) -> Parts:
    """Up to 64 elements: accumulators l, l + 8, ..., l + 56, which have one element each, together in registers.

    The tree's first three levels stay within such a group: it leaves one of eight accumulators for the last three.
    """
    array = Accumulators(e, combiner, lanes, GROUP)
    count, more = divmod(extent, GROUP)  # the first groups have one element more
    for first, after, members in ((0, more, count + 1), (more, GROUP, count)):
        if first == after:
            continue
        with e.loop(str(first), str(after), known_nonempty=True) as start:
            group = []
            for member in range(members):
                position = e.emit(f"add nuw nsw i64 {start}, {member * GROUP}")
                with e.scope():
                    group.append(_element(e, reduce, combiner, position, lanes))
            array.store(start, combiner.tree_of_vectors(e, lanes, group))
    parts = combiner.tree_of_vectors(e, lanes, [array.load(str(place)) for place in range(GROUP)])
    array.release()
    return normalized(e, combiner, lanes, parts)


def _accumulators_in_use(e: Emitter, extent: str) -> str:
    """The least power of two that is at least the extent, and at most 64."""
    limited = e.intrinsic("umin", "i64", ("i64", extent), ("i64", str(LANES)))
    limited = e.intrinsic("umax", "i64", ("i64", limited), ("i64", "1"))
    zeros = e.intrinsic("ctlz", "i64", ("i64", e.emit(f"sub i64 {limited}, 1")), ("i1", "false"))
    return e.emit(f"shl i64 1, {e.emit(f'sub i64 64, {zeros}')}")


def _tree_in_memory(e: Emitter, combiner: Combiner, array: Accumulators, count: str) -> None:
    """The tree over the first `count` accumulators of an array, a power of two."""
    levels = e.emit(f"call i64 @llvm.cttz.i64(i64 {count}, i1 false)")
    e.module.declare("i64 @llvm.cttz.i64(i64, i1)")
    with e.loop("0", levels) as level:
        shift = e.emit(f"add i64 {level}, 1")
        half = e.emit(f"lshr i64 {count}, {shift}")
        with e.loop("0", half, known_nonempty=True) as place:
            other = e.emit(f"add i64 {place}, {half}")
            array.store(place, combiner.combine(e, array.lanes, array.load(place), array.load(other)))
