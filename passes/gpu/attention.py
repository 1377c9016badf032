"""Attention as one kernel: which groups are softmax(scores) values, with the scores from a product.

Level: tensor graph. In: the body of a group. Out: its parts, if a kernel can go over the keys tile by tile.

    scores = f(queries @ keys^T)        f elementwise: a factor, a mask, a bias
    weights = exp(scores - max(scores)) / sum(exp(scores - max(scores)))
    result = g(h(weights) @ values)     h a factor for each weight: dropout; g elementwise: the group's epilogue

Where `weights` are replaced by 0 for queries all of whose scores are -inf, that is part of it (`Softmax.nothing`).
Further results may be the greatest score and 1 / sum, from which gradients compute the weights again. Keys that stand
behind all queries of a block are left out: values there that are not finite don't turn the result into nan.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias, cast

import numpy as np

from graphc.ir.dim import Size, is_at_most
from graphc.ir.dtype import bf16, f16, f32
from graphc.ir.graph import INPUT, Graph, Node, make
from graphc.ir.interpret import evaluate_graph
from graphc.ir.op import Flags
from graphc.ops import build, contraction, creation, movement, reduction
from graphc.ops import elementwise as ew
from graphc.passes.access import Axis, accesses_below
from graphc.passes.match import is_splat, static_shape

MOST_FEATURES: Final = 128
"""Features of a query, and of a value, of which a block's tiles fit into shared memory."""
FEW_QUERIES: Final = 4
"""Queries that leave a block idle: products and softmax by themselves share keys among blocks."""
MOST_MASK: Final = 1 << 22
"""Elements of a mask that is computed to see whether it is a triangle."""

Axes: TypeAlias = "tuple[int, ...]"


@dataclass(frozen=True, slots=True)
class Softmax:
    """The nodes of a softmax along the last axis."""

    weights: Node
    """exp(x - max(x)) / sum(exp(x - max(x)))"""
    scores: Node
    """x, or what x is but for queries without keys."""
    most: Node
    total: Node
    nothing: Node | None
    """Whether all scores of a query are -inf: x is 0 there, and so are all that is made of its weights."""

    @property
    def rows(self) -> tuple[Node, ...]:
        """What there is one of for each query."""
        rows = (self.most, self.total)
        return rows if self.nothing is None else (*rows, self.nothing)


@dataclass(frozen=True, slots=True)
class Attention:
    """The parts of a body: `softmax` and `score_dot` [..., queries, keys], `value_dot` [..., queries, features]."""

    score_dot: Node
    softmax: Softmax
    value_dot: Node
    statistics: tuple[Node, ...]
    """What gradients compute the weights from, if these are results: see `statistics_of`."""
    has_noise: bool
    """Whether weights are multiplied by something, in front of the values."""
    conditions: tuple[Node, ...]
    """What says, among the factors of weights, that a query has no keys."""
    is_triangle: bool
    """Whether the scores of keys behind their query are -inf, by a comparison of their numbers."""
    is_causal: bool
    """Whether they are, in one way or another."""

    @property
    def scores(self) -> Node:
        """The scores."""
        return self.softmax.scores

    @property
    def is_masked(self) -> bool:
        """Whether queries all of whose scores are -inf get 0 instead of nan."""
        return self.softmax.nothing is not None

    @property
    def reads_by_score(self) -> bool:
        """Whether a score needs an element of its own from memory, of a mask or a bias say."""
        return any(node.op is INPUT for node in cone((self.scores,), stop=(self.score_dot,)))

    @property
    def batch(self) -> tuple[Size, ...]:
        """Sizes of the axes in front of queries and keys."""
        return self.scores.shape[:-2]


def find_attention(body: Graph) -> Attention | None:
    """The parts of a group's body; None if it is something else."""
    dots = [node for node in body.nodes if node.op is contraction.dot]
    if len(dots) != 2:
        return None
    score_dot, value_dot = dots
    weighted = value_dot.inputs[0]
    softmax = softmax_below(weighted)
    if softmax is None:
        return None
    factors = factors_between(softmax.weights, weighted)
    if factors is None:
        return None
    clearing = [node for node in factors if _is_clearing(node, softmax.nothing)]
    has_noise = any(node.op is not ew.cast and node not in clearing for node in factors)
    conditions = tuple(node.inputs[0] for node in clearing)
    if softmax.nothing is not None and not conditions:
        return None
    statistics = body.outputs[1:] if _are_statistics(body.outputs[1:], softmax) else ()
    is_triangle = compares_numbers(softmax.scores)
    is_causal = is_triangle or masks_triangle(softmax.scores)
    found = Attention(score_dot, softmax, value_dot, statistics, has_noise, conditions, is_triangle, is_causal)
    return found if _fits(body, found) else None


# Patterns


def softmax_below(node: Node) -> Softmax | None:
    """The one softmax that the node is made of, element by element."""
    found = [each for each in elementwise_cone(node) if each.op is ew.div]
    softmaxes = [each for each in map(softmax_of, found) if each is not None]
    return softmaxes[0] if len(softmaxes) == 1 else None


def softmax_of(weights: Node) -> Softmax | None:
    """The parts of exp(x - max(x)) / sum(exp(x - max(x))) along the last axis; None if it is something else."""
    if weights.op is not ew.div or weights.tensor.dtype is not f32:
        return None
    power, total = weights.inputs[0], row_value(weights.inputs[1])
    if power.op is not ew.exp or total is None or not _reduces_last(total, reduction.sum_, power):
        return None
    shift = power.inputs[0]
    if shift.op is not ew.sub:
        return None
    x, most = shift.inputs[0], row_value(shift.inputs[1])
    if most is None or not _reduces_last(most, reduction.max_, x):
        return None
    if x.op is ew.select and is_splat(x.inputs[1], 0.0):
        nothing = row_value(x.inputs[0])
        if nothing is not None and _is_nothing(nothing, x.inputs[2]):
            return Softmax(weights, x.inputs[2], most, total, nothing)
    return Softmax(weights, x, most, total, None)


def factors_between(start: Node, end: Node) -> list[Node] | None:
    """The nodes that multiply `start`, element by element, to give `end`; None if there is another way between them.

    They are products with something else, selections of it or 0, and casts, from the last one on.
    """
    below: dict[Node, bool] = {}
    for node in elementwise_cone(end, start):
        below[node] = node is start or any(below.get(x, False) for x in node.inputs)
    found: list[Node] = []
    node = end
    while node is not start:
        ways = [x for x in node.inputs if below.get(x, False)]
        if len(ways) != 1:
            return None
        (way,) = ways
        if node.op is ew.select:
            others = [x for x in node.inputs[1:] if x is not way]
            if node.inputs[0] is way or len(others) != 1 or not is_splat(others[0], 0.0):
                return None
        elif node.op is ew.cast:
            if not way.tensor.dtype.is_floating_point or not node.tensor.dtype.is_floating_point:
                return None
        elif node.op is not ew.mul and (node.op is not ew.div or node.inputs[0] is not way):
            return None
        found.append(node)
        node = way
    return found


def _is_clearing(node: Node, nothing: Node | None) -> bool:
    """Whether it is 0 for queries without keys."""
    is_chosen = node.op is ew.select and is_splat(node.inputs[1], 0.0)
    return nothing is not None and is_chosen and row_value(node.inputs[0]) is nothing


def statistics_of(softmax: Softmax) -> tuple[Node, Node]:
    """The greatest score of each query and 1 / sum(exp(scores - it)), [..., queries, 1]; their product is the weight.

    For queries without keys these are inf and 0, by which all weights are 0.
    """
    most, inverse = softmax.most, make(ew.div, (build.ones_like(softmax.total), softmax.total), {})
    if softmax.nothing is not None:
        most, inverse = (
            make(ew.select, (softmax.nothing, build.full_like(x, value), x), {})
            for x, value in ((most, math.inf), (inverse, 0.0))
        )
    rows = [make(movement.reshape, (x,), {"shape": (*x.shape, 1)}) for x in (most, inverse)]
    return rows[0], rows[1]


def _are_statistics(nodes: tuple[Node, ...], softmax: Softmax) -> bool:
    """Whether the nodes are what `statistics_of` makes."""
    found: list[Node] = []
    for node, value in zip(nodes, (math.inf, 0.0)):
        x = node.inputs[0] if node.op is movement.reshape else node
        if x is node or node.shape != (*softmax.most.shape, 1):
            return False
        if softmax.nothing is not None:
            if x.op is not ew.select or x.inputs[0] is not softmax.nothing or not is_splat(x.inputs[1], value):
                return False
            x = x.inputs[2]
        found.append(x)
    if len(found) != 2 or found[0] is not softmax.most or found[1].op is not ew.div:
        return False
    return is_splat(found[1].inputs[0], 1.0) and found[1].inputs[1] is softmax.total


def _is_nothing(row: Node, scores: Node) -> bool:
    """Whether the row's value says that all of its scores are -inf."""
    if row.op is not reduction.all_ or row.inputs[0].op is not ew.eq:
        return False
    test = row.inputs[0]
    return _reduces_last(row, reduction.all_, test) and test.inputs[0] is scores and is_splat(test.inputs[1], -math.inf)


def _reduces_last(node: Node, op: object, x: Node) -> bool:
    return node.op is op and node.inputs[0] is x and node.attribute("axes") == (len(x.shape) - 1,)


def row_value(node: Node) -> Node | None:
    """What a node repeats along its last axis: a value for each of the others."""
    if node.op is not movement.broadcast or node.inputs[0].shape != (*node.shape[:-1], 1):
        return None
    row = node.inputs[0]
    if row.op is not movement.reshape or row.inputs[0].shape != node.shape[:-1]:
        return None
    return row.inputs[0]


def _without_casts(node: Node) -> Node:
    """What a node is apart from its rounding."""
    while node.op is ew.cast and node.inputs[0].tensor.dtype.is_floating_point:
        node = node.inputs[0]
    return node


def compares_numbers(scores: Node) -> bool:
    """Whether a score is -inf where the key's number is above the query's, by a comparison of these."""
    node = _without_casts(scores)
    if node.op is not ew.select or not is_splat(node.inputs[2], -math.inf):
        return False
    test = _unmoved(node.inputs[0])
    if test.op is not ew.ge:
        return False
    rows, columns = test.inputs
    if rows.op is not creation.iota or columns.op is not creation.iota or len(rows.shape) != 2:
        return False
    return rows.attribute("axis") == 0 and columns.attribute("axis") == 1 and rows.shape == scores.shape[-2:]


def masks_triangle(scores: Node) -> bool:
    """Whether scores of keys behind their query are -inf, whatever way a mask that is known says so."""
    node = _without_casts(scores)
    if node.op is not ew.select:
        return False
    sides = [is_splat(x, -math.inf) for x in node.inputs[1:]]
    test = _unmoved(node.inputs[0])
    shape = static_shape(test.shape)
    if sides[0] == sides[1] or shape is None or len(shape) < 2 or math.prod(shape) > MOST_MASK:
        return False
    if shape[-2:] != scores.shape[-2:] or any(x.op is INPUT for x in cone((test,))):
        return False
    (mask,) = evaluate_graph(Graph("mask", (), (test,)), ())
    behind = ~np.tri(*shape[-2:], dtype=np.bool_)
    return bool((mask == sides[0])[..., behind].all())


def _unmoved(node: Node) -> Node:
    """The matrix that a node repeats along the axes in front."""
    last = node.shape[-2:]
    while node.op in (movement.broadcast, movement.reshape) and node.inputs[0].shape[-2:] == last:
        node = node.inputs[0]
    return node


def _fits(body: Graph, found: Attention) -> bool:
    """Whether shapes, dtypes and all code in between are such that tiles can be computed one after another."""
    scores, score_dot, value_dot = found.scores, found.score_dot, found.value_dot
    if is_at_most(scores.shape[-2], FEW_QUERIES) or scores.shape != score_dot.shape:
        return False
    if (
        not is_product(score_dot)
        or not is_sum(value_dot, 0)
        or axes_of_dot(value_dot, "contract", 0) != (len(score_dot.shape) - 1,)
    ):
        return False
    after = users_of(body, (value_dot,))
    results = [node for node in body.outputs if node not in found.statistics]
    if any(node not in after or node.shape != body.outputs[0].shape for node in results):
        return False
    between = users_of(body, (score_dot,)) & set(cone((scores,)))
    if any(not node.op.has(Flags.ELEMENTWISE) for node in between - {score_dot}):
        return False
    if any(_is_costly(node) for node in cone((*score_dot.inputs, value_dot.inputs[1]))):
        return False
    known = {score_dot, *found.softmax.rows}
    if any(node.op.has(Flags.REDUCTION | Flags.OPAQUE) and node not in known for node in cone((value_dot.inputs[0],))):
        return False
    return is_written_by_axes(body, results[0], value_dot)


def is_written_by_axes(body: Graph, result: Node, dot: Node) -> bool:
    """Whether each axis of a product is one of a result that is made of it."""
    (access,) = accesses_below(Graph(body.name, body.inputs, (result,)), None)[dot]
    return all(isinstance(index, Axis) or size == 1 for index, size in zip(access, dot.shape, strict=True))


def is_product(dot: Node) -> bool:
    """Whether the dot gives something for each query and key, from a few features of both."""
    contract = [axes_of_dot(dot, "contract", side) for side in range(2)]
    return _has_plain_shape(dot) and is_small(dot.inputs[0].shape[contract[0][0]])


def is_sum(dot: Node, side: int) -> bool:
    """Whether the dot sums over queries or keys, with what there is for each query and key on one side of it."""
    rank = len(dot.inputs[side].shape)
    if not _has_plain_shape(dot) or axes_of_dot(dot, "batch", side) != tuple(range(rank - 2)):
        return False
    (free,) = free_axes(dot, 1 - side)
    return is_small(dot.inputs[1 - side].shape[free])


def _has_plain_shape(dot: Node) -> bool:
    """Whether it multiplies matrices of floats, with the same axes in front."""
    if any(each.tensor.dtype not in (f16, bf16, f32) for each in (dot, *dot.inputs)):
        return False
    rank = len(dot.shape)
    if any(len(x.shape) != rank for x in dot.inputs) or len(axes_of_dot(dot, "batch", 0)) != rank - 2:
        return False
    return len(axes_of_dot(dot, "contract", 0)) == 1


def axes_of_dot(dot: Node, name: str, side: int) -> Axes:
    """The axes of an operand that are contracted ("contract"), or that both operands share ("batch")."""
    return cast("tuple[Axes, Axes]", dot.attribute(name))[side]


def free_axes(dot: Node, side: int) -> Axes:
    """The axes that an operand has for itself."""
    used = {*axes_of_dot(dot, "contract", side), *axes_of_dot(dot, "batch", side)}
    return tuple(axis for axis in range(len(dot.inputs[side].shape)) if axis not in used)


def is_small(size: Size) -> bool:
    """Whether so many features fit into a block's tiles."""
    return isinstance(size, int) and 0 < size <= MOST_FEATURES


def _is_costly(node: Node) -> bool:
    return node.op.has(Flags.EXPENSIVE | Flags.REDUCTION | Flags.OPAQUE)


def cone(nodes: Iterable[Node], stop: Iterable[Node] = ()) -> list[Node]:
    """The nodes and all below them, but for those to stop at."""
    found = dict.fromkeys(nodes)
    stops = set(stop)
    pending = [x for x in found if x not in stops]
    while pending:
        fresh = [x for x in pending.pop().inputs if x not in found and x not in stops]
        found.update(dict.fromkeys(fresh))
        pending += fresh
    return [x for x in found if x not in stops]


def elementwise_cone(node: Node, stop: Node | None = None) -> list[Node]:
    """The node and what it is made of element by element, operands first; nothing below `stop`."""
    order: dict[Node, None] = {}
    pending = [(node, False)]
    while pending:
        current, is_ready = pending.pop()
        if current in order:
            continue
        if is_ready or current is stop:
            order[current] = None
            continue
        pending.append((current, True))
        operands = (x for x in current.inputs if x is stop or x.op.has(Flags.ELEMENTWISE))
        pending += [(x, False) for x in operands if x not in order]
    return list(order)


def users_of(body: Graph, nodes: Iterable[Node]) -> set[Node]:
    """The nodes and all that depend on them."""
    found = set(nodes)
    for node in body.nodes:
        if any(x in found for x in node.inputs):
            found.add(node)
    return found
