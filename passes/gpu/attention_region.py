"""What belongs to an attention in a graph: all that is computed for each query and key, and what sums it up.

Level: tensor graph. In: a graph of primitives, and a softmax in it. Out: its region, if it ends in sums over queries or
keys: nothing else reads what there is for each of both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from graphc.ir.graph import Graph, Node
from graphc.ir.op import Flags
from graphc.ir.type import Shape
from graphc.ops import contraction, movement, reduction
from graphc.ops import elementwise as ew
from graphc.passes.gpu.attention import (
    Softmax,
    axes_of_dot,
    elementwise_cone,
    factors_between,
    is_product,
    is_sum,
    row_value,
)
from graphc.passes.gpu.attention_gradient import MOST_PRODUCTS


@dataclass(slots=True)
class Region:
    """All that depends on the scores of one softmax, up to the sums over queries and keys."""

    softmax: Softmax
    products: list[Node]
    """The one that gives scores, and those that are combined with it for each query and key."""
    squares: set[Node] = field(default_factory=set)
    """What there is for each query and key."""
    views: dict[Node, Node] = field(default_factory=dict)
    """What repeats a value of each query along the keys, and that value."""
    rows: dict[Node, None] = field(default_factory=dict)
    """What there is for each query."""
    sums: dict[Node, int] = field(default_factory=dict)
    """Sums over queries or keys, and which operand has something for each of both."""

    @property
    def shape(self) -> Shape:
        """[..., queries, keys]"""
        return self.softmax.weights.shape

    @property
    def inside(self) -> set[Node]:
        """All nodes that its groups compute."""
        return {*self.squares, *self.views, *self.rows, *self.sums}

    @property
    def values(self) -> list[Node]:
        """The sums that give attention's own result: weights, each multiplied by something, times values."""
        last = (len(self.shape) - 1,)
        return [
            dot
            for dot, side in self.sums.items()
            if side == 0 and axes_of_dot(dot, "contract", 0) == last and self.factors(dot.inputs[0]) is not None
        ]

    def factors(self, weighted: Node) -> list[Node] | None:
        """What multiplies the weights to give a node; None if that isn't all."""
        if not set(self.products[1:]).isdisjoint(_operands_of(elementwise_cone(weighted))):
            return None
        return factors_between(self.softmax.weights, weighted)


def _operands_of(nodes: Iterable[Node]) -> set[Node]:
    return {x for node in nodes for x in node.inputs}


def find_region(graph: Graph, softmax: Softmax) -> Region | None:
    """The region of a softmax; None if something else reads a part of it."""
    products = _products_below(softmax.scores, softmax.weights.shape)
    if len(products) != 1:
        return None
    region = Region(softmax, products)
    return region if _grow(graph, region) and all(_is_row(region, row) for row in region.rows) else None


def _grow(graph: Graph, region: Region) -> bool:
    """Add all that depends on its products; whether it ends in sums, and nothing of it is a result of the graph."""
    outputs = set(graph.outputs)
    pending = list(region.products)
    region.squares.update(pending)
    while pending:
        node = pending.pop()
        if node in outputs:
            return False
        for user in graph.users[node]:
            if user.op is contraction.dot:
                sides = [side for side, x in enumerate(user.inputs) if x in region.squares]
                if len(sides) != 1 or not is_sum(user, sides[0]):
                    return False
                region.sums[user] = sides[0]
            elif user in region.squares or user in region.rows or user in region.views:
                continue
            elif user.op.has(Flags.ELEMENTWISE) and user.shape == region.shape:
                region.squares.add(user)
                fresh = [dot for x in user.inputs for dot in _products_below(x, region.shape)]
                fresh = [dot for dot in dict.fromkeys(fresh) if dot not in region.squares]
                region.products += fresh
                region.squares.update(fresh)
                pending += [user, *fresh]
            elif _is_by_query(user, region.shape):
                region.rows[user] = None
                pending.append(user)
            elif user.op is movement.broadcast and (value := row_value(user)) is not None:
                region.views[user] = value
                pending.append(user)
            else:
                return False
    return len(region.products) <= MOST_PRODUCTS


def _is_by_query(node: Node, shape: Shape) -> bool:
    """Whether it reduces what there is for each key, or adds an axis to what is left."""
    is_reduction = node.op.has(Flags.REDUCTION) and not node.op.has(Flags.OPAQUE)
    return is_reduction or (node.op is movement.reshape and node.shape == (*shape[:-1], 1))


def _products_below(node: Node, shape: Shape) -> list[Node]:
    """The products that the node is made of, element by element."""
    cone = elementwise_cone(node) if node.op.has(Flags.ELEMENTWISE) else []
    leaves = dict.fromkeys((node, *(x for each in cone for x in each.inputs)))
    return [x for x in leaves if x.op is contraction.dot and x.shape == shape and is_product(x)]


def _is_row(region: Region, row: Node) -> bool:
    """Whether a value of each query is one that is known what to do with."""
    if row.op is movement.reshape or row in region.softmax.rows:
        return True
    return slopes_of(region, row) is not None


def slopes_of(region: Region, row: Node) -> tuple[Node, Node] | None:
    """The product of cotangents and values, and what is made of it, where the row is their mean by the weights."""
    if row.op is not reduction.sum_ or row.attribute("axes") != (len(region.shape) - 1,):
        return None
    weighted = row.inputs[0]
    if weighted.op is not ew.mul:
        return None
    for weights, slope in (weighted.inputs, weighted.inputs[::-1]):
        alone = region.factors(weights)
        if alone is None or any(node.op is not ew.cast for node in alone):
            continue
        for product in region.products[1:]:
            if factors_between(product, slope) is not None:
                return product, slope
    return None


def factor_keys(factors: Iterable[Node], start: Node) -> Counter[tuple[object, ...]]:
    """Factors by what they multiply with, in any order, apart from rounding."""
    path = {start, *factors}
    keys: Counter[tuple[object, ...]] = Counter()
    for node in factors:
        others: tuple[object, ...] = tuple(x for x in node.inputs if x not in path)
        if node.op is ew.select:
            others = (node.inputs[0], node.inputs[1] in path)
        if node.op is not ew.cast:
            key = (node.op, *others)
            keys[key] += 1
    return keys
