"""Reductions of one thread, by the fixed tree of `graphc.kernel.ir`, with accumulators in registers.

In: a `Reduce`. Out: blocks. The tree is walked depth first, so that only one accumulator for each of its levels is
alive: first accumulator 0 takes in its elements, then accumulator 32, which it takes in, and so on. Few elements are
written out; otherwise each level is a loop of two iterations, and an accumulator's elements a loop around them all.
"""

from __future__ import annotations

from graphc.codegen.body import emit_body
from graphc.codegen.combine import Combiner, Parts, normalized
from graphc.codegen.emitter import Carried
from graphc.codegen.gpu.emitter import GpuEmitter, folded
from graphc.codegen.gpu.loops import counted, emit_at
from graphc.codegen.index import fits_int32
from graphc.codegen.lanes import is_straight, statement_count
from graphc.codegen.reduce import reduction_result
from graphc.ir.dim import Size
from graphc.kernel.ir import LANES, Reduce

WRITTEN_OUT_STATEMENTS = 256
"""How many statements a reduction's body may become where its elements are written out one by one."""
WRITTEN_OUT_LOOPS = 16
"""The same where there are loops among them."""


def emit_reduce(e: GpuEmitter, reduce: Reduce) -> None:
    """A reduction, in the way that its extent asks for."""
    extent = folded(e, reduce.extent)
    combiner = Combiner(reduce.combiner, reduce.element.dtype, 32 if fits_int32(extent) else 64)
    if extent == 0:
        parts = combiner.identity(1)
    elif isinstance(extent, int) and extent * max(1, statement_count(reduce.body)) <= _most_statements(reduce):
        parts = normalized(e, combiner, 1, _written_out(e, reduce, combiner, extent, 0, 1))
    else:
        parts = _in_loops(e, reduce, combiner, extent, "0", 1)
    e.set_value(reduce.out, reduction_result(e, reduce, combiner, 1, parts))


def _most_statements(reduce: Reduce) -> int:
    return WRITTEN_OUT_STATEMENTS if is_straight(reduce.body) else WRITTEN_OUT_LOOPS


def _written_out(e: GpuEmitter, reduce: Reduce, combiner: Combiner, extent: int, first: int, step: int) -> Parts:
    """What accumulator `first` holds once it and its neighbours at multiples of `step` are combined."""
    if step == LANES:
        parts = _element(e, reduce, combiner, first)
        for position in range(first + LANES, extent, LANES):
            parts = combiner.combine(e, 1, parts, _element(e, reduce, combiner, position))
        return parts
    parts = _written_out(e, reduce, combiner, extent, first, 2 * step)
    if first + step >= extent:  # that accumulator holds the identity
        return parts
    return combiner.combine(e, 1, parts, _written_out(e, reduce, combiner, extent, first + step, 2 * step))


def _element(e: GpuEmitter, reduce: Reduce, combiner: Combiner, position: int) -> Parts:
    emit_at(e, reduce, position)
    parts: Parts = (e.operand(reduce.element).name,)
    return (*parts, str(position)) if combiner.is_arg else parts


def _in_loops(e: GpuEmitter, reduce: Reduce, combiner: Combiner, extent: Size, first: str, step: int) -> Parts:
    """The same by loops, where the accumulator's number is a register."""
    if step == LANES:
        return _chain(e, reduce, combiner, extent, first)
    carried = _carried(combiner)
    with e.loop("0", "2", carried=carried, known_nonempty=True, type_="i32") as i:
        offset = e.emit(f"mul nuw nsw i32 {i}, {step}")
        own = offset if first == "0" else e.emit(f"add nuw nsw i32 {first}, {offset}")
        parts = _in_loops(e, reduce, combiner, extent, own, 2 * step)
        # The first takes the identity's place: none of them changes it, as it has taken in the identity before.
        combined = combiner.combine(e, 1, tuple([x.current for x in carried]), parts)
        for value, part in zip(carried, combined):
            value.next = part
    return tuple([x.result for x in carried])


def _chain(e: GpuEmitter, reduce: Reduce, combiner: Combiner, extent: Size, first: str) -> Parts:
    """An accumulator: the elements at `first` and at multiples of `LANES` from there."""
    carried = _carried(combiner)
    with counted(e, reduce.symbol, first, extent, LANES, carried) as position:
        emit_body(e, reduce.body)
        element: Parts = (e.operand(reduce.element).name,)
        if combiner.is_arg:
            bits = combiner.index_bits
            element = (*element, position if bits == 64 else e.emit(f"trunc i64 {position} to i{bits}"))
        combined = combiner.combine(e, 1, tuple([x.current for x in carried]), element)
        for value, part in zip(carried, combined):
            value.next = part
    return tuple([x.result for x in carried])


def _carried(combiner: Combiner) -> list[Carried]:
    return [Carried(scalar, first) for scalar, first in zip(combiner.scalars, combiner.identity(1))]
