"""What kernels of attention's gradients need: operands by tile, and all that is computed for each query and key.

In: a group that is a gradient of attention. Out: scalar code in its builder.

A block has *own* rows, queries or keys, and goes over the *others*, tile by tile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, cast

from graphc.ir.dim import Size, minimum, product, quotient, remainder
from graphc.ir.dtype import f32
from graphc.ir.graph import Node
from graphc.ir.lowering import Scalar
from graphc.kernel.ir import Operand
from graphc.ops.indices import split_index
from graphc.passes.gpu.attention import axes_of_dot, free_axes
from graphc.passes.gpu.attention_gradient import Gradient
from graphc.passes.gpu.attention_parts import (
    Exponential,
    Factor,
    Indices,
    both_or_either,
    exact_exponential,
    factor_of,
    less,
    write_result,
)
from graphc.passes.gpu.statements import real

if TYPE_CHECKING:
    from graphc.passes.lower import GroupLowering

RowValues: TypeAlias = "Mapping[Node, Operand]"
"""The inputs that have an element for each query, and that of one."""


@dataclass(frozen=True, slots=True)
class GradientTiles:
    """What there is for tiles of so many own rows and others."""

    group: GroupLowering
    found: Gradient
    tile: tuple[int, int]
    exponential: Exponential = exact_exponential

    @property
    def outer(self) -> Size:
        """How many attentions there are side by side."""
        return product(self.found.batch)

    @property
    def own(self) -> Size:
        """Rows that are shared among the blocks."""
        return self.found.keys if self.found.is_by_key else self.found.queries

    @property
    def others(self) -> Size:
        """Rows that each block goes over."""
        return self.found.queries if self.found.is_by_key else self.found.keys

    def batch_of(self, number: Size) -> Indices:
        """Which of the attentions this is."""
        return split_index(number, self.found.batch)

    def first_of(self, first: Size) -> Size:
        """The first tile of others that counts for own rows from `first` on."""
        is_later = self.found.is_causal and self.found.is_by_key
        return quotient(minimum(first, self.others), self.tile[1]) if is_later else 0

    def end_of(self, first: Size) -> Size:
        """The tile of others behind the last one that counts."""
        own, others = self.tile
        is_earlier = self.found.is_causal and not self.found.is_by_key
        end = minimum(self.others, first + own) if is_earlier else self.others
        return quotient(end + (others - 1), others)

    def depth(self, number: int) -> int:
        """Features that a product sums over."""
        dot = self.found.products[number]
        return cast("int", dot.inputs[0].shape[axes_of_dot(dot, "contract", 0)[0]])

    def width(self, number: int) -> int:
        """Features of a sum."""
        dot, side = self.found.sums[number], 1 - self.found.sides[number]
        return cast("int", dot.inputs[side].shape[free_axes(dot, side)[0]])

    def own_side(self, number: int) -> tuple[Node, int]:
        """The operand of a product that has own rows, and its place."""
        side = int(self.found.is_by_key)
        return self.found.products[number].inputs[side], side

    def other_side(self, number: int) -> tuple[Node, int]:
        """The operand of a product that has the others, and its place."""
        side = 1 - int(self.found.is_by_key)
        return self.found.products[number].inputs[side], side

    def summed_side(self, number: int) -> tuple[Node, int]:
        """The operand of a sum that has the others, and its place."""
        side = 1 - self.found.sides[number]
        return self.found.sums[number].inputs[side], side

    def own_factor(self, number: int, node: Node, features: int) -> Factor:
        """The own rows of a product as `node` has them; `features` at once."""
        dot, (_, side) = self.found.products[number], self.own_side(number)
        return factor_of(self.group, dot, side, node, (self.tile[0], features), is_summed=False)

    def other_factor(self, number: int, node: Node, features: int, is_read_ahead: bool = False) -> Factor:
        """The others of a product as `node` has them."""
        dot, (_, side) = self.found.products[number], self.other_side(number)
        return factor_of(self.group, dot, side, node, (self.tile[1], features), is_read_ahead, is_summed=False)

    def summed_factor(self, number: int, node: Node, features: int, is_read_ahead: bool = False) -> Factor:
        """What a sum goes over, as `node` has it."""
        dot, (_, side) = self.found.sums[number], self.summed_side(number)
        return factor_of(self.group, dot, side, node, (self.tile[1], features), is_read_ahead, is_summed=True)

    def row_values(self, batch: Indices, query: Size) -> RowValues:
        """What there is for a query."""
        b, group = self.group.builder, self.group
        indices, is_query = (*batch, query, 0), self._is_query(query)
        values: dict[Node, Operand] = {}
        for node in self.found.rows:
            if is_query is None:
                values[node] = real(group.read(node, indices))
            else:
                zero = b.constant(0, node.tensor.dtype)
                values[node] = real(b.guard(is_query, lambda node=node: group.read(node, indices), zero))  # type: ignore[misc]
        return values

    def weighted(
        self, batch: Indices, own: Size, other: Size, products: Sequence[Operand], rows: RowValues
    ) -> list[Operand]:
        """What the sums multiply for an own row and another one, from their products; 0 where there are none such."""
        b, group = self.group.builder, self.group
        query, key = (other, own) if self.found.is_by_key else (own, other)
        indices = (*batch, query, key)
        is_there = both_or_either(b, self._is_query(query), self._is_key(key))

        def inside(node: Node) -> Scalar:
            for dot, x in zip(self.found.products, products, strict=True):
                group.define(dot, indices, b.cast(x, dot.tensor.dtype))
            for row, x in rows.items():
                group.define(row, (*batch, query, 0), x)
            for power in self.found.powers:
                shift = real(b.cast(group.read(power.inputs[0], indices), f32))
                group.define(power, indices, self.exponential(b, shift))
            return b.cast(group.read(node, indices), f32)

        zero = b.constant(0.0, f32)
        return [
            real(inside(node) if is_there is None else b.guard(is_there, lambda node=node: inside(node), zero))  # type: ignore[misc]
            for node in self.found.weighted
        ]

    def write(self, number: int, batch: Indices, own: Size, feature: Size, features: int, x: Operand) -> None:
        """Store what the group makes of an element of a sum, if there is such a one among `features`."""
        b = self.group.builder
        is_own = self._is_key(own) if self.found.is_by_key else self._is_query(own)
        is_feature = None if features == self.width(number) else less(b, feature, self.width(number))
        place = (own, feature) if self.found.sides[number] == 0 else (feature, own)
        is_there = both_or_either(b, is_own, is_feature)
        write_result(self.group, number, self.found.sums[number], (*batch, *place), x, is_there)

    def _is_query(self, query: Size) -> Operand | None:
        tile = self.tile[1] if self.found.is_by_key else self.tile[0]
        whole = remainder(self.found.queries, tile) == 0
        return None if whole else less(self.group.builder, query, self.found.queries)

    def _is_key(self, key: Size) -> Operand | None:
        tile = self.tile[0] if self.found.is_by_key else self.tile[1]
        whole = remainder(self.found.keys, tile) == 0
        return None if whole else less(self.group.builder, key, self.found.keys)
