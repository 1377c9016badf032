"""What a reduction combines: its identity, one step, and the tree over accumulators in registers.

In: a combiner's name and the element's dtype. Out: instructions. An accumulator is one register, or for argmax and
argmin two: the extreme and the place where it was found.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from graphc.codegen.emitter import Emitter, constant, register_type, vector_type
from graphc.codegen.scalar import emit_op
from graphc.ir.dtype import DType, bool_

Parts: TypeAlias = "tuple[str, ...]"
"""The registers of an accumulator, or of several side by side in lanes."""

_OPS = {
    "sum": "add",
    "prod": "mul",
    "max": "maximum",
    "min": "minimum",
    "any": "bitwise_or",
    "all": "bitwise_and",
}


@dataclass(frozen=True, slots=True)
class Combiner:
    """A combiner for elements of a dtype; `index_bits` is the width of the places that argmax and argmin keep."""

    name: str
    dtype: DType
    index_bits: int = 64

    @property
    def is_arg(self) -> bool:
        """Whether the place of the extreme is wanted."""
        return self.name.startswith("arg")

    @property
    def scalars(self) -> tuple[str, ...]:
        """LLVM scalar types of an accumulator's parts."""
        element = register_type(self.dtype)
        return (element, f"i{self.index_bits}") if self.is_arg else (element,)

    def identity(self, lanes: int) -> Parts:
        """The accumulators' first value; no place is further than that of argmax's."""
        element = constant(_identity(self.name.removeprefix("arg"), self.dtype), register_type(self.dtype), lanes)
        if self.is_arg:
            return element, constant(2 ** (self.index_bits - 1) - 1, f"i{self.index_bits}", lanes)
        return (element,)

    def combine(self, e: Emitter, lanes: int, a: Parts, b: Parts) -> Parts:
        """Accumulator `a` takes in `b`."""
        if self.is_arg:
            return self._better(e, lanes, a, b)
        return (emit_op(e, _OPS[self.name], (self.dtype, self.dtype), self.dtype, lanes, (a[0], b[0])),)

    def select(self, e: Emitter, lanes: int, mask: str, a: Parts, b: Parts) -> Parts:
        """`a` in the lanes of the mask, else `b`."""
        condition = vector_type("i1", lanes)
        chosen = []
        for scalar, x, y in zip(self.scalars, a, b):
            type_ = vector_type(scalar, lanes)
            chosen.append(e.emit(f"select {condition} {mask}, {type_} {x}, {type_} {y}"))
        return tuple(chosen)

    def tree(self, e: Emitter, lanes: int, accumulators: list[Parts]) -> Parts:
        """The tree's end where the accumulators lie side by side in the lanes of these vectors."""
        parts = self.tree_of_vectors(e, lanes, accumulators)
        while lanes > 1:
            half = lanes // 2
            low, high = self._half(e, lanes, parts, 0), self._half(e, lanes, parts, half)
            parts, lanes = self.combine(e, half, low, high), half
        return parts

    def tree_of_vectors(self, e: Emitter, lanes: int, accumulators: list[Parts]) -> Parts:
        """Accumulator l takes in l + half, for half their number, a quarter, and so on; lane by lane.

        Where they are no power of two the missing ones hold the identity.
        """
        while len(accumulators) > 1:
            half = 1 << ((len(accumulators) - 1).bit_length() - 1)
            accumulators = [
                self.combine(e, lanes, own, accumulators[place + half]) if place + half < len(accumulators) else own
                for place, own in enumerate(accumulators[:half])
            ]
        return accumulators[0]

    def _half(self, e: Emitter, lanes: int, parts: Parts, start: int) -> Parts:
        half = lanes // 2
        taken = []
        for scalar, name in zip(self.scalars, parts):
            type_ = vector_type(scalar, lanes)
            if half == 1:
                taken.append(e.emit(f"extractelement {type_} {name}, i64 {start}"))
            else:
                places = ", ".join([f"i32 {start + lane}" for lane in range(half)])
                taken.append(e.emit(f"shufflevector {type_} {name}, {type_} poison, <{half} x i32> <{places}>"))
        return tuple(taken)

    def _better(self, e: Emitter, lanes: int, a: Parts, b: Parts) -> Parts:
        """The more extreme one; among equals, and among nans, the first."""
        value, condition = vector_type(register_type(self.dtype), lanes), vector_type("i1", lanes)
        place = vector_type(f"i{self.index_bits}", lanes)
        pair = (self.dtype, self.dtype)
        wins = emit_op(e, "gt" if self.name == "argmax" else "lt", pair, bool_, lanes, (b[0], a[0]))
        ties = emit_op(e, "eq", pair, bool_, lanes, (b[0], a[0]))
        if self.dtype.is_floating_point:
            a_nan = e.emit(f"fcmp uno {value} {a[0]}, {a[0]}")
            b_nan = e.emit(f"fcmp uno {value} {b[0]}, {b[0]}")
            both = e.emit(f"and {condition} {a_nan}, {b_nan}")
            only_b = e.emit(f"xor {condition} {b_nan}, {both}")
            wins, ties = e.emit(f"or {condition} {wins}, {only_b}"), e.emit(f"or {condition} {ties}, {both}")
        earlier = e.emit(f"icmp slt {place} {b[1]}, {a[1]}")
        wins = e.emit(f"or {condition} {wins}, {e.emit(f'and {condition} {ties}, {earlier}')}")
        return self.select(e, lanes, wins, b, a)


def normalized(e: Emitter, combiner: Combiner, lanes: int, parts: Parts) -> Parts:
    """What the tree gives if every accumulator began at the identity: a sum of only -0 is 0. Else nothing differs."""
    if combiner.name == "sum" and combiner.dtype.is_floating_point:
        return combiner.combine(e, lanes, combiner.identity(lanes), parts)
    return parts


def _identity(name: str, dtype: DType) -> float:
    if name in ("sum", "any"):
        return 0
    if name in ("prod", "all"):
        return 1
    if dtype is bool_:
        return 0 if name == "max" else 1
    if dtype.is_floating_point:
        return float("-inf") if name == "max" else float("inf")
    lowest = -(2 ** (dtype.bits - 1)) if dtype.signed else 0
    return lowest if name == "max" else lowest + 2**dtype.bits - 1
