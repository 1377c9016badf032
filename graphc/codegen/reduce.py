"""Reductions by the fixed tree of `graphc.kernel.ir`, in three ways that give the same bits.

In: a `Reduce`. Out: blocks. Outside of vector loops a straight body runs in the lanes of the reduced symbol itself: the
64 accumulators are a few registers, or an array where the body is too large to repeat. Inside a vector loop, and around
inner loops, elements come one after another, each for all lanes of that loop: the accumulators are an array of 64. Few
elements of a small body are written out, without any loop.
"""

from __future__ import annotations

from graphc.codegen.accumulators import Accumulators, place_of
from graphc.codegen.body import emit_body
from graphc.codegen.columns import in_turn
from graphc.codegen.combine import Combiner, Parts, normalized
from graphc.codegen.emitter import Carried, Emitter, constant, vector_type
from graphc.codegen.index import fits_int32, index
from graphc.codegen.lanes import Variation, is_straight, lane_count, statement_count
from graphc.codegen.loops import constant_mask, lane_context, lane_mask, round_down
from graphc.ir.dim import is_at_least
from graphc.kernel.ir import LANES, Reduce

REPEATED_STATEMENTS = 160
"""How many statements a reduction's body may become by repeating it for each register of accumulators."""


def emit_reduce(e: Emitter, reduce: Reduce) -> None:
    """A reduction, in the way that its body and its surroundings ask for."""
    combiner = Combiner(reduce.combiner, reduce.element.dtype, 32 if fits_int32(reduce.extent) else 64)
    lanes = 1
    if reduce.extent == 0:
        parts = combiner.identity(1)
    elif e.context is None:
        parts = _in_own_lanes(e, reduce, combiner) if is_straight(reduce.body) else in_turn(e, reduce, combiner, 1)
    else:
        variation = Variation.in_context(e)
        variation.walk(reduce.body)
        if variation.values or variation.of(reduce.element):
            lanes = e.context.lanes if variation.of(reduce.element) else 1
            parts = in_turn(e, reduce, combiner, lanes)
        else:
            with e.vectorized(None):
                emit_reduce(e, reduce)
            return
    e.set_value(reduce.out, reduction_result(e, reduce, combiner, lanes, parts), lanes)


def reduction_result(e: Emitter, reduce: Reduce, combiner: Combiner, lanes: int, parts: Parts) -> str:
    """The reduction's value, from what the tree gave."""
    if not combiner.is_arg:
        return parts[0]
    place = parts[1]
    if combiner.index_bits == 64:
        return place
    wide = vector_type("i64", lanes)
    result = e.emit(f"zext {vector_type('i32', lanes)} {place} to {wide}")
    if is_at_least(reduce.extent, 1):
        return result
    # Of nothing, the identity's place.
    type_ = vector_type("i32", lanes)
    none = e.emit(f"icmp eq {type_} {place}, {combiner.identity(lanes)[1]}")
    last = constant(2**63 - 1, "i64", lanes)
    return e.emit(f"select {vector_type('i1', lanes)} {none}, {wide} {last}, {wide} {result}")


def _element(e: Emitter, reduce: Reduce, combiner: Combiner, position: str, lanes: int, mask: str | None) -> Parts:
    """The elements of `lanes` values of the reduced symbol from `position` on; the identity where the mask is off.

    Called within a scope of their own.
    """
    context = lane_context(reduce.symbol, lanes, mask)
    e.bind(reduce.symbol, position, varying=context is not None)
    with e.vectorized(context):
        emit_body(e, reduce.body)
        parts: Parts = (e.vector_operand(reduce.element, lanes),)
        if combiner.is_arg:
            parts += (place_of(e, reduce, combiner, lanes),)
        return parts if mask is None else combiner.select(e, lanes, mask, parts, combiner.identity(lanes))


# In the lanes of the reduced symbol


def _in_own_lanes(e: Emitter, reduce: Reduce, combiner: Combiner) -> Parts:
    extent, size = reduce.extent, statement_count(reduce.body)
    lanes = min(LANES, lane_count(e.target, reduce.body))
    count = LANES
    if isinstance(extent, int) and extent < LANES:
        count = 1 << (extent - 1).bit_length()
        lanes = min(lanes, count)
        whole = extent % lanes == 0
        if (whole or e.target.has_avx512) and -(-extent // lanes) * size <= REPEATED_STATEMENTS:
            return _written_out_in_lanes(e, reduce, combiner, extent, lanes)
    if lanes == 1:
        with e.scope():
            return normalized(e, combiner, 1, _element(e, reduce, combiner, "0", 1, None))
    array = Accumulators(e, combiner, 1)
    repeats = LANES // lanes
    start = "0"
    if repeats * size <= REPEATED_STATEMENTS and not (isinstance(extent, int) and extent < LANES):
        start = round_down(e, extent, LANES)
        accumulators = _main_part(e, reduce, combiner, start, lanes)
        if isinstance(extent, int) and extent % LANES == 0:
            array.release()
            return combiner.tree(e, lanes, accumulators)
        for place, parts in enumerate(accumulators):
            array.store(str(place * lanes), parts, lanes)
    else:
        array.clear(count, lanes)
    _into_array(e, reduce, combiner, array, start, lanes)
    parts = combiner.tree(e, lanes, [array.load(str(place), lanes) for place in range(0, count, lanes)])
    array.release()
    return parts


def _written_out_in_lanes(e: Emitter, reduce: Reduce, combiner: Combiner, extent: int, lanes: int) -> Parts:
    """Fewer than 64 elements: each accumulator has at most one, so that no loop is needed."""
    accumulators = []
    for place in range(0, extent, lanes):
        active = min(lanes, extent - place)
        mask = None if active == lanes else constant_mask(lanes, active)
        with e.scope():
            accumulators.append(_element(e, reduce, combiner, str(place), lanes, mask))
    return normalized(e, combiner, 1, combiner.tree(e, lanes, accumulators))


def _main_part(e: Emitter, reduce: Reduce, combiner: Combiner, stop: str, lanes: int) -> list[Parts]:
    """Whole rounds of 64 elements, the accumulators in registers."""
    repeats = LANES // lanes
    identity = combiner.identity(lanes)
    types = [vector_type(scalar, lanes) for scalar in combiner.scalars]
    carried = [[Carried(type_, first) for type_, first in zip(types, identity)] for _ in range(repeats)]
    nonempty = is_at_least(reduce.extent, LANES)
    with e.loop("0", stop, LANES, [value for group in carried for value in group], nonempty) as i:
        for place, group in enumerate(carried):
            position = i if place == 0 else e.emit(f"add nuw nsw i64 {i}, {place * lanes}")
            with e.scope():
                element = _element(e, reduce, combiner, position, lanes, None)
                own = tuple(value.current for value in group)
                combined = combiner.combine(e, lanes, own, element)
            for value, name in zip(group, combined):
                value.next = name
    return [tuple(value.result for value in group) for group in carried]


def _into_array(e: Emitter, reduce: Reduce, combiner: Combiner, array: Accumulators, start: str, lanes: int) -> None:
    """The elements from `start` (a multiple of 64) on, the accumulators in memory."""
    extent = reduce.extent
    stop = index(e, extent)
    whole = round_down(e, extent, lanes)
    if start != whole:
        with e.loop(start, whole, lanes) as i:
            _step(e, reduce, combiner, array, i, lanes, None)
    if whole == stop:
        return
    if not e.target.has_avx512:
        with e.loop(whole, stop) as i:
            _step(e, reduce, combiner, array, i, 1, None)
    elif isinstance(extent, int):
        with e.scope():
            _step(e, reduce, combiner, array, whole, lanes, constant_mask(lanes, extent % lanes))
    else:
        with e.branch(e.emit(f"icmp slt i64 {whole}, {stop}")):
            _step(e, reduce, combiner, array, whole, lanes, lane_mask(e, lanes, e.emit(f"sub i64 {stop}, {whole}")))


def _step(
    e: Emitter, reduce: Reduce, combiner: Combiner, array: Accumulators, position: str, lanes: int, mask: str | None
) -> None:
    place = e.emit(f"and i64 {position}, {LANES - 1}")
    with e.scope():
        element = _element(e, reduce, combiner, position, lanes, mask)
        array.store(place, combiner.combine(e, lanes, array.load(place, lanes), element), lanes)
