"""What scans combine: states of one or several numbers, complex ones among them.

In: a builder, states, and buffers with one for each number of a state. Out: code that keeps states and chooses among
them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from graphc.ir.dim import Size
from graphc.ir.dtype import DType, i64, real_of
from graphc.ir.lowering import Scalar
from graphc.kernel.builder import AnyScalar, KernelBuilder, Pair
from graphc.kernel.ir import Buffer, Operand, Space
from graphc.passes.gpu.statements import real

State: TypeAlias = "tuple[AnyScalar, ...]"
Combine: TypeAlias = "Callable[[KernelBuilder, State, State], State]"
Element: TypeAlias = "Callable[[Size, Size], State]"
"""(row, number along it) -> what the element there is."""


@dataclass(frozen=True, slots=True)
class Monoid:
    """An associative way to combine; `identity` may stand on the left of anything."""

    dtypes: tuple[DType, ...]
    identity: tuple[float, ...]
    combine: Combine


def identity(b: KernelBuilder, monoid: Monoid) -> State:
    """What changes nothing that it stands in front of."""
    return tuple([b.constant(value, dtype) for value, dtype in zip(monoid.identity, monoid.dtypes, strict=True)])


def allocate(b: KernelBuilder, dtype: DType, count: int, space: Space = Space.LOCAL) -> Buffer:
    """Scratch for so many numbers of a dtype."""
    return b.allocate(real_of(dtype), count * (2 if dtype.is_complex else 1), space)


def store(
    b: KernelBuilder, buffers: Sequence[Buffer], index: Size, state: State, predicate: Operand | None = None
) -> None:
    """Write a state, where the predicate holds."""
    for buffer, x in zip(buffers, state, strict=True):
        b.store(buffer, index, x, predicate)


def load_again(b: KernelBuilder, monoid: Monoid, buffers: Sequence[Buffer], index: Size) -> State:
    """A state as it is now."""
    return tuple(
        [
            Pair(b.load_again(buffer, 2 * index), b.load_again(buffer, 2 * index + 1))
            if dtype.is_complex
            else b.load_again(buffer, index)
            for buffer, dtype in zip(buffers, monoid.dtypes, strict=True)
        ]
    )


def load(b: KernelBuilder, monoid: Monoid, buffers: Sequence[Buffer], index: Size) -> State:
    """A state that this kernel doesn't write."""
    return tuple([b.load(buffer, index, dtype) for buffer, dtype in zip(buffers, monoid.dtypes, strict=True)])


def select(b: KernelBuilder, condition: Scalar, a: State, c: State) -> State:
    """`a` where the condition holds, else `c`."""
    return tuple([b.select(condition, x, y) for x, y in zip(a, c, strict=True)])


def chosen(b: KernelBuilder, condition: Operand, element: Element, row: Size, number: Size, otherwise: State) -> State:
    """The element where the condition holds; nothing is read elsewhere."""
    made: list[State] = []

    def first() -> Scalar:
        made.append(element(row, number))
        return made[0][0]

    head = b.guard(condition, first, otherwise[0])
    return (head, *select(b, condition, made[0][1:], otherwise[1:]))


def less(b: KernelBuilder, index: Size, limit: Size) -> Operand:
    """Whether an index is below a limit."""
    return real(b.apply("lt", b.index(index, i64), b.index(limit, i64)))
