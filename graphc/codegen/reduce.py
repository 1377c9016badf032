"""Reductions by the fixed tree of `graphc.kernel.ir`, in three ways that give the same bits.

In: a `Reduce`. Out: blocks. Outside of vector loops a straight body runs in the lanes of the reduced symbol itself: the
64 accumulators are a few registers, or an array where the body is too large to repeat. Inside a vector loop, and around
inner loops, elements come one after another, each for all lanes of that loop: the accumulators are an array of 64. Few
elements of a small body are written out, without any loop.
"""

from __future__ import annotations

from graphc.codegen.body import emit_body
from graphc.codegen.combine import Combiner, Parts
from graphc.codegen.emitter import Carried, Emitter, constant, vector_type
from graphc.codegen.index import fits_int32, index, index_lanes
from graphc.codegen.lanes import Variation, is_straight, lane_count, statement_count
from graphc.codegen.loops import constant_mask, lane_context, lane_mask, round_down
from graphc.codegen.memory import pack, unpack
from graphc.ir.dim import Dim, is_at_least
from graphc.ir.dtype import bool_
from graphc.kernel.ir import LANES, Reduce

REPEATED_STATEMENTS = 160
"""How many statements a reduction's body may become by repeating it for each register of accumulators."""
UNROLLED_STATEMENTS = 96
"""How many statements the body may become where its elements are written out one by one."""


def emit_reduce(e: Emitter, reduce: Reduce) -> None:
    """A reduction, in the way that its body and its surroundings ask for."""
    combiner = Combiner(reduce.combiner, reduce.element.dtype, 32 if fits_int32(reduce.extent) else 64)
    lanes = 1
    if reduce.extent == 0:
        parts = combiner.identity(1)
    elif e.context is None:
        parts = _in_own_lanes(e, reduce, combiner) if is_straight(reduce.body) else _in_turn(e, reduce, combiner, 1)
    else:
        variation = Variation.in_context(e)
        variation.walk(reduce.body)
        if variation.values or variation.of(reduce.element):
            lanes = e.context.lanes if variation.of(reduce.element) else 1
            parts = _in_turn(e, reduce, combiner, lanes)
        else:
            with e.vectorized(None):
                emit_reduce(e, reduce)
            return
    e.set_value(reduce.out, _result(e, reduce, combiner, lanes, parts), lanes)


def _result(e: Emitter, reduce: Reduce, combiner: Combiner, lanes: int, parts: Parts) -> str:
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
            parts += (_place(e, reduce, combiner, lanes),)
        return parts if mask is None else combiner.select(e, lanes, mask, parts, combiner.identity(lanes))


def _place(e: Emitter, reduce: Reduce, combiner: Combiner, lanes: int) -> str:
    """The reduced symbol as a number, in the lanes of the current context or the same in all."""
    symbol = Dim((((reduce.symbol,), 1),))
    if e.symbols[reduce.symbol.name].varying:
        name, bits = index_lanes(e, symbol)
        return name if bits == combiner.index_bits else _convert(e, name, bits, combiner.index_bits, lanes)
    name = index(e, symbol)
    if combiner.index_bits == 32:
        name = name if name[0] != "%" else e.emit(f"trunc i64 {name} to i32")
    if lanes == 1:
        return name
    type_ = vector_type(f"i{combiner.index_bits}", lanes)
    one = e.emit(f"insertelement {type_} poison, i{combiner.index_bits} {name}, i64 0")
    return e.emit(f"shufflevector {type_} {one}, {type_} poison, <{lanes} x i32> zeroinitializer")


def _convert(e: Emitter, name: str, from_: int, to: int, lanes: int) -> str:
    word = "sext" if from_ < to else "trunc"
    return e.emit(f"{word} {vector_type(f'i{from_}', lanes)} {name} to {vector_type(f'i{to}', lanes)}")


# Accumulators in memory


class Accumulators:
    """Arrays of accumulators on the stack, one for each part, `lanes` wide; given back when the reduction is done."""

    def __init__(self, e: Emitter, combiner: Combiner, lanes: int, count: int = LANES) -> None:
        self.e, self.combiner, self.lanes = e, combiner, lanes
        # A bool is a byte in memory.
        self.types = tuple(vector_type("i8" if scalar == "i1" else scalar, lanes) for scalar in combiner.scalars)
        self.pointers = tuple(e.acquire_scratch(f"[{count} x {type_}]") for type_ in self.types)
        self._count = count

    def release(self) -> None:
        """Let later reductions use the memory."""
        for type_, pointer in zip(self.types, self.pointers):
            self.e.release_scratch(f"[{self._count} x {type_}]", pointer)

    def load(self, place: str, wide: int = 1) -> Parts:
        """Accumulator `place`, or (of arrays one lane wide) the `wide` ones from there on."""
        loaded = []
        for scalar, type_, pointer in zip(self.combiner.scalars, self.types, self._at(place)):
            type_ = type_ if wide == 1 else vector_type(type_, wide)
            bits = self.e.emit(f"load {type_}, ptr {pointer}, align 4")
            loaded.append(unpack(self.e, bool_, max(self.lanes, wide), bits) if scalar == "i1" else bits)
        return tuple(loaded)

    def store(self, place: str, parts: Parts, wide: int = 1) -> None:
        """Write one accumulator, or several neighbours."""
        for scalar, type_, pointer, name in zip(self.combiner.scalars, self.types, self._at(place), parts):
            type_ = type_ if wide == 1 else vector_type(type_, wide)
            bits = pack(self.e, bool_, max(self.lanes, wide), name) if scalar == "i1" else name
            self.e.line(f"store {type_} {bits}, ptr {pointer}, align 4")

    def _at(self, place: str) -> list[str]:
        return [
            self.e.emit(f"getelementptr {type_}, ptr {pointer}, i64 {place}")
            for type_, pointer in zip(self.types, self.pointers)
        ]

    def clear(self, count: int, wide: int) -> None:
        """Put the identity into the first `count`."""
        for place in range(0, count, wide):
            self.store(str(place), self.combiner.identity(max(self.lanes, wide)), wide)


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
            return _normalized(e, combiner, 1, _element(e, reduce, combiner, "0", 1, None))
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
    return _normalized(e, combiner, 1, combiner.tree(e, lanes, accumulators))


def _normalized(e: Emitter, combiner: Combiner, lanes: int, parts: Parts) -> Parts:
    """What the tree gives if every accumulator began at the identity: a sum of only -0 is 0. Else nothing differs."""
    if combiner.name == "sum" and combiner.dtype.is_floating_point:
        return combiner.combine(e, lanes, combiner.identity(lanes), parts)
    return parts


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


# One element after another


def _in_turn(e: Emitter, reduce: Reduce, combiner: Combiner, lanes: int) -> Parts:
    """Elements one by one, each in the lanes of the vector loop around (or one)."""
    extent, size = reduce.extent, statement_count(reduce.body)
    if isinstance(extent, int) and extent <= LANES and extent * size <= UNROLLED_STATEMENTS:
        return _written_out_in_turn(e, reduce, combiner, lanes, extent)
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
            element = _element_in_turn(e, reduce, combiner, i, lanes)
            array.store(place, combiner.combine(e, lanes, array.load(place), element))
    if lanes == 1:
        parts = combiner.tree(e, wide, [array.load(str(place), wide) for place in range(0, count, wide)])
    else:
        _tree_in_memory(e, combiner, array, used)
        parts = array.load("0")
    array.release()
    return parts


def _element_in_turn(e: Emitter, reduce: Reduce, combiner: Combiner, position: str, lanes: int) -> Parts:
    """One element for each lane of the context around."""
    e.bind(reduce.symbol, position)
    emit_body(e, reduce.body)
    parts: Parts = (e.vector_operand(reduce.element, lanes),)
    return (*parts, _place(e, reduce, combiner, lanes)) if combiner.is_arg else parts


def _written_out_in_turn(e: Emitter, reduce: Reduce, combiner: Combiner, lanes: int, extent: int) -> Parts:
    elements = []
    for place in range(extent):
        with e.scope():
            elements.append(_element_in_turn(e, reduce, combiner, str(place), lanes))
    return _normalized(e, combiner, lanes, combiner.tree_of_vectors(e, lanes, elements))


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
