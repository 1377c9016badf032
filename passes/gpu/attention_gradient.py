"""Gradients of attention: which groups sum products with weights that are computed again, tile by tile.

Level: tensor graph. In: the body of a group. Out: its parts, if a kernel can go over queries or keys tile by tile.

    scores = f(queries @ keys^T)            as in the forward pass
    weights = exp(scores - most) * inverse  by the statistics of a query, of the forward pass
    slopes = weights * (ct @ values^T - mean)           mean is sum(ct * result) of a query
    results = g(slopes @ keys), or g(slopes^T @ queries) and g(weights^T @ ct)

(T. Dao, FlashAttention-2, 2023, algorithm 2.) What is computed for each query and key may be any elementwise code. A
group sums over keys, or all of its results are sums over queries: each block of its kernel has some of the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from graphc.ir.dim import Size, is_at_most
from graphc.ir.dtype import f32
from graphc.ir.graph import INPUT, Graph, Node
from graphc.ir.op import Flags
from graphc.ops import contraction, movement
from graphc.ops import elementwise as ew
from graphc.passes.gpu.attention import (
    FEW_QUERIES,
    axes_of_dot,
    compares_numbers,
    cone,
    is_product,
    is_sum,
    is_written_by_axes,
    masks_triangle,
    users_of,
)
from graphc.passes.match import is_splat

MOST_PRODUCTS: Final = 2
"""Products and sums that a block has tiles for."""


@dataclass(frozen=True, slots=True)
class Gradient:
    """The parts of a body: `products` [..., queries, keys], and `sums` over one of these two axes."""

    products: tuple[Node, ...]
    sums: tuple[Node, ...]
    """One for each result, in order."""
    sides: tuple[int, ...]
    """Which operand of each sum has something for each query and key."""
    is_by_key: bool
    """Whether the sums are over queries, so that each block has keys of its own."""
    powers: tuple[Node, ...]
    """exp(scores - most)"""
    is_causal: bool
    """Whether keys behind a query count nothing for it."""

    @property
    def weighted(self) -> tuple[Node, ...]:
        """What the sums multiply, for each query and key."""
        return tuple(dot.inputs[side] for dot, side in zip(self.sums, self.sides, strict=True))

    @property
    def queries(self) -> Size:
        """Queries of each attention."""
        return self.products[0].shape[-2]

    @property
    def keys(self) -> Size:
        """Keys of each attention."""
        return self.products[0].shape[-1]

    @property
    def batch(self) -> tuple[Size, ...]:
        """Sizes of the axes in front of queries and keys."""
        return self.products[0].shape[:-2]

    @property
    def rows(self) -> tuple[Node, ...]:
        """The inputs that have an element for each query."""
        shape = (*self.batch, self.queries, 1)
        return tuple(
            node for node in cone(self.weighted, stop=self.products) if node.op is INPUT and node.shape == shape
        )


def find_gradient(body: Graph) -> Gradient | None:
    """The parts of a group's body; None if it is something else."""
    products, sums, sides = [], [], []
    after: set[Node] = set()  # what depends on a dot
    for node in body.nodes:
        ways = [side for side, x in enumerate(node.inputs) if x in after]
        if node.op is contraction.dot and not ways:
            products.append(node)
        elif node.op is contraction.dot:
            sums.append(node)
            sides.append(ways[0] if len(ways) == 1 else -1)
        if ways or node.op is contraction.dot:
            after.add(node)
    if not 1 <= len(products) <= MOST_PRODUCTS or not 1 <= len(sums) <= MOST_PRODUCTS or -1 in sides:
        return None
    order = _in_order_of_results(body, sums)
    if order is None:
        return None
    sums, sides = [sums[i] for i in order], [sides[i] for i in order]
    rank = len(products[0].shape)
    axes = {axes_of_dot(dot, "contract", side) for dot, side in zip(sums, sides, strict=True)}
    if axes != {(rank - 1,)} and axes != {(rank - 2,)}:
        return None
    weighted = [dot.inputs[side] for dot, side in zip(sums, sides, strict=True)]
    powers = _powers(body)
    is_causal = _is_causal(body, powers, weighted)
    found = Gradient(tuple(products), tuple(sums), tuple(sides), axes == {(rank - 2,)}, powers, is_causal)
    return found if _fits(body, found) else None


def _in_order_of_results(body: Graph, sums: list[Node]) -> list[int] | None:
    """The sum of each result; None if a result isn't made of just one, or there are others."""
    order: list[int] = []
    for result in body.outputs:
        below = set(cone((result,), stop=sums))
        direct = {x for node in below for x in node.inputs if x in sums} | ({result} & set(sums))
        if len(direct) != 1:
            return None
        order.append(sums.index(direct.pop()))
    return order if sorted(order) == list(range(len(sums))) else None


def _powers(body: Graph) -> tuple[Node, ...]:
    """Weights, but for a factor: exponentials of what is made of products less a value of the query that is read.

    Scores may be made of such exponentials, too, but not of weights.
    """
    found: dict[Node, None] = {}
    for node in reversed(body.nodes):
        if node.op is ew.exp and node.tensor.dtype is f32 and node.inputs[0].op is ew.sub:
            most = node.inputs[0].inputs[1]
            is_read = most.op is movement.broadcast and most.inputs[0].op is INPUT
            if is_read and not any(node in cone((power,)) for power in found):
                found[node] = None
    return tuple(found)


def _is_causal(body: Graph, powers: tuple[Node, ...], weighted: list[Node]) -> bool:
    """Whether all that is summed is 0 where the key's number is above the query's: a multiple of such weights."""
    vanishing: set[Node] = set()
    for node in body.nodes:
        if node in powers:
            scores = node.inputs[0].inputs[0]
            is_zero = compares_numbers(scores) or masks_triangle(scores)
        elif node.op in (ew.mul, ew.div, ew.cast, ew.neg):
            is_zero = any(x in vanishing for x in (node.inputs if node.op is ew.mul else node.inputs[:1]))
        elif node.op in (ew.add, ew.sub):
            is_zero = all(x in vanishing for x in node.inputs)
        elif node.op is ew.select:
            is_zero = all(x in vanishing or is_splat(x, 0.0) for x in node.inputs[1:])
        else:
            is_zero = False
        if is_zero:
            vanishing.add(node)
    return all(node in vanishing for node in weighted)


def _fits(body: Graph, found: Gradient) -> bool:
    """Whether shapes, dtypes and all code in between are such that tiles can be computed one after another."""
    shape = found.products[0].shape
    if is_at_most(found.queries, FEW_QUERIES):
        return False
    if any(dot.shape != shape or not is_product(dot) for dot in found.products):
        return False
    for result, dot, side in zip(body.outputs, found.sums, found.sides, strict=True):
        if dot.inputs[side].shape != shape or not is_sum(dot, side) or not is_written_by_axes(body, result, dot):
            return False
    between = users_of(body, found.products) & set(cone(found.weighted))
    if any(not node.op.has(Flags.ELEMENTWISE) for node in between.difference(found.products)):
        return False
    others = [dot.inputs[1 - side] for dot, side in zip(found.sums, found.sides, strict=True)]
    operands = cone((*(x for dot in found.products for x in dot.inputs), *others))
    if any(node.op.has(Flags.EXPENSIVE | Flags.REDUCTION | Flags.OPAQUE) for node in operands):
        return False
    square = cone(found.weighted, stop=found.products)
    return not any(node.op.has(Flags.REDUCTION | Flags.OPAQUE) for node in square)
