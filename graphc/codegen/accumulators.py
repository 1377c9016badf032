"""Accumulators of a reduction in memory, and the place of an element for argmax and argmin.

In: a combiner and registers. Out: loads and stores on stack memory that later reductions use again.
"""

from __future__ import annotations

from graphc.codegen.combine import Combiner, Parts
from graphc.codegen.emitter import Emitter, vector_type
from graphc.codegen.index import index, index_lanes
from graphc.codegen.memory import pack, unpack
from graphc.ir.dtype import bool_
from graphc.kernel.ir import LANES, Reduce


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


def place_of(e: Emitter, reduce: Reduce, combiner: Combiner, lanes: int) -> str:
    """The reduced symbol as a number, in the lanes of the current context or the same in all."""
    symbol = reduce.symbol.size
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
