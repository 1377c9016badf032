"""Attention as one kernel: which parts of a graph are softmax(scores) values, with the scores from a product.

Level: tensor graph to tensor graph, after `fuse`. In: a fused graph, in which the product that gives scores, their
softmax and the product with the values are groups of their own. Out: the same graph, where such groups whose results
nothing else reads are one `fused` node with both products in its body.

    scores = f(queries @ keys^T)        f elementwise: a factor, a mask, a bias
    weights = exp(scores - max(scores)) / sum(exp(scores - max(scores)))
    result = g(weights @ values)        g elementwise: the group's epilogue

Where `weights` are replaced by 0 for queries all of whose scores are -inf, that is part of it (`Attention.is_masked`).
A constant that says that no key stands behind its query is replaced by the comparison of their numbers. Keys that stand
behind all queries of a block are left out then: values there that are not finite don't turn the result into nan.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias, cast

import numpy as np

from graphc.ir.dim import Size, is_at_most
from graphc.ir.dtype import bf16, bool_, f16, f32, i64
from graphc.ir.graph import FUSED, GET, INPUT, Graph, Node, make, make_input
from graphc.ir.interpret import evaluate_graph
from graphc.ir.op import Flags
from graphc.ir.replace import inline, replace_nodes, with_inputs
from graphc.ir.type import TupleType
from graphc.ops import contraction, creation, movement, reduction
from graphc.ops import elementwise as ew
from graphc.passes.access import Axis, accesses_below
from graphc.passes.match import constant_array, is_splat, static_shape

MOST_FEATURES: Final = 128
"""Features of a query, and of a value, of which a block's tiles fit into shared memory."""
FEW_QUERIES: Final = 4
"""Queries that leave a block idle: products and softmax by themselves share keys among blocks."""
MOST_MASK: Final = 1 << 22
"""Elements of a mask that is computed to see whether it is a triangle."""
MOST_GROUPS: Final = 8
"""Groups between the products that are looked at."""

Axes: TypeAlias = "tuple[int, ...]"


@dataclass(frozen=True, slots=True)
class Attention:
    """The parts of a body: `scores` and `score_dot` [..., queries, keys], `value_dot` [..., queries, features]."""

    score_dot: Node
    scores: Node
    value_dot: Node
    is_masked: bool
    """Whether queries all of whose scores are -inf get 0 instead of nan."""
    is_triangle: bool
    """Whether the scores of keys behind their query are -inf, by a comparison of their numbers."""
    is_causal: bool
    """Whether they are, in one way or another."""

    @property
    def reads_by_score(self) -> bool:
        """Whether a score needs an element of its own from memory, of a mask or a bias say."""
        pending, seen = [self.scores], {self.scores, self.score_dot}
        while pending:
            node = pending.pop()
            if node.op is INPUT:
                return True
            fresh = [x for x in node.inputs if x not in seen]
            seen.update(fresh)
            pending += fresh
        return False

    @property
    def batch(self) -> tuple[Size, ...]:
        """Sizes of the axes in front of queries and keys."""
        return self.scores.shape[:-2]


def fuse_attention(graph: Graph) -> Graph:
    """Make one node of the groups of each attention; the same graph if there is none."""
    replacements: dict[Node, Node] = {}
    for last in graph.nodes:
        if last.op is FUSED and _products(last):
            merged = _merged(graph, last)
            if merged is not None:
                replacements[last] = merged
    if not replacements:
        return graph
    values: dict[Node, Node] = {}
    for node in graph.nodes:
        made = replacements.get(node, node)
        values[node] = with_inputs(made, tuple(values[x] for x in made.inputs))
    return Graph(graph.name, graph.inputs, tuple(values[node] for node in graph.outputs))


def find_attention(body: Graph) -> Attention | None:
    """The parts of a group's body; None if it is something else."""
    dots = [node for node in body.nodes if node.op is contraction.dot]
    if len(dots) != 2:
        return None
    score_dot, value_dot = dots
    weights = _without_casts(value_dot.inputs[0])
    nothing: Node | None = None
    if weights.op is ew.select and is_splat(weights.inputs[1], 0.0):
        nothing = _row_value(weights.inputs[0])
        weights = _without_casts(weights.inputs[2])
        if nothing is None:
            return None
    shifted = _softmax(weights)
    if shifted is None:
        return None
    scores = shifted
    if nothing is not None:
        if shifted.op is not ew.select or _row_value(shifted.inputs[0]) is not nothing:
            return None
        scores = shifted.inputs[2]
        if not is_splat(shifted.inputs[1], 0.0) or not _is_nothing(nothing, scores):
            return None
    is_triangle = _is_triangle(scores)
    is_causal = is_triangle or _masks_triangle(scores)
    found = Attention(score_dot, scores, value_dot, nothing is not None, is_triangle, is_causal)
    return found if _fits(body, found) else None


# Patterns


def _softmax(weights: Node) -> Node | None:
    """x of exp(x - max(x)) / sum(exp(x - max(x))) along the last axis."""
    if weights.op is not ew.div:
        return None
    power, total = weights.inputs[0], _row_value(weights.inputs[1])
    if power.op is not ew.exp or total is None or not _reduces_last(total, reduction.sum_, power):
        return None
    shift = power.inputs[0]
    if shift.op is not ew.sub:
        return None
    x, most = shift.inputs[0], _row_value(shift.inputs[1])
    return x if most is not None and _reduces_last(most, reduction.max_, x) else None


def _is_nothing(row: Node, scores: Node) -> bool:
    """Whether the row's value says that all of its scores are -inf."""
    if row.op is not reduction.all_ or row.inputs[0].op is not ew.eq:
        return False
    test = row.inputs[0]
    return _reduces_last(row, reduction.all_, test) and test.inputs[0] is scores and is_splat(test.inputs[1], -math.inf)


def _reduces_last(node: Node, op: object, x: Node) -> bool:
    return node.op is op and node.inputs[0] is x and node.attribute("axes") == (len(x.shape) - 1,)


def _row_value(node: Node) -> Node | None:
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


def _is_triangle(scores: Node) -> bool:
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


def _masks_triangle(scores: Node) -> bool:
    """Whether scores of keys behind their query are -inf, whatever way a mask that is known says so."""
    node = _without_casts(scores)
    if node.op is not ew.select:
        return False
    sides = [is_splat(x, -math.inf) for x in node.inputs[1:]]
    test = _unmoved(node.inputs[0])
    shape = static_shape(test.shape)
    if sides[0] == sides[1] or shape is None or len(shape) < 2 or math.prod(shape) > MOST_MASK:
        return False
    if shape[-2:] != scores.shape[-2:] or any(x.op is INPUT for x in _cone((test,))):
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
    rank = len(score_dot.shape)
    if is_at_most(scores.shape[-2], FEW_QUERIES):
        return False
    lead = tuple(range(rank - 2))
    if scores.shape != score_dot.shape or any(
        each.tensor.dtype not in (f16, bf16, f32) for dot in (score_dot, value_dot) for each in (dot, *dot.inputs)
    ):
        return False
    for dot in (score_dot, value_dot):
        contract = cast("tuple[Axes, Axes]", dot.attribute("contract"))
        batch = cast("tuple[Axes, Axes]", dot.attribute("batch"))
        if len(contract[0]) != 1 or len(batch[0]) != len(lead) or any(len(x.shape) != rank for x in dot.inputs):
            return False
        depth = dot.inputs[0].shape[contract[0][0]]
        if dot is score_dot and not _is_small(depth):
            return False
        if dot is value_dot and (contract[0] != (rank - 1,) or batch[0] != lead or not _is_small(dot.shape[-1])):
            return False
    after = _users(body, (value_dot,))
    if any(node not in after or node.shape != body.outputs[0].shape for node in body.outputs):
        return False
    between = _users(body, (score_dot,)) & set(_cone((scores,)))
    if any(not node.op.has(Flags.ELEMENTWISE) for node in between - {score_dot}):
        return False
    operands = (*score_dot.inputs, value_dot.inputs[1])
    if any(node.op.has(Flags.EXPENSIVE | Flags.REDUCTION | Flags.OPAQUE) for node in _cone(operands)):
        return False
    if any(node.op.has(Flags.REDUCTION | Flags.OPAQUE) for node in _cone((scores,)) if node is not score_dot):
        return False
    (access,) = accesses_below(body, None)[value_dot]
    return all(isinstance(index, Axis) or size == 1 for index, size in zip(access, value_dot.shape, strict=True))


def _is_small(size: Size) -> bool:
    return isinstance(size, int) and 0 < size <= MOST_FEATURES


def _cone(nodes: Iterable[Node]) -> list[Node]:
    """The nodes and all below them."""
    found = dict.fromkeys(nodes)
    pending = list(found)
    while pending:
        fresh = [x for x in pending.pop().inputs if x not in found]
        found.update(dict.fromkeys(fresh))
        pending += fresh
    return list(found)


def _users(body: Graph, nodes: Iterable[Node]) -> set[Node]:
    """The nodes and all that depend on them."""
    found = set(nodes)
    for node in body.nodes:
        if any(x in found for x in node.inputs):
            found.add(node)
    return found


# Merging groups


def _products(node: Node) -> list[Node]:
    body = cast("Graph", node.attribute("body"))
    return [each for each in body.nodes if each.op is contraction.dot]


def _merged(graph: Graph, last: Node) -> Node | None:
    """The groups up to `last` as one, if they are an attention that nothing else looks into."""
    groups = _groups_of_weights(graph, last)
    if groups is None:
        return None
    operands: dict[Node, Node] = {}
    values: dict[Node, tuple[Node, ...]] = {}

    def value(node: Node) -> Node:
        source = node.inputs[0] if node.op is GET else node
        if source in values:
            return values[source][cast("int", node.attribute("index")) if node.op is GET else 0]
        if node not in operands:
            name = f"p{len(operands)}"
            operands[node] = _triangle(node) or make_input(name, node.tensor, node.location)
        return operands[node]

    for group in groups:
        values[group] = inline(cast("Graph", group.attribute("body")), [value(x) for x in group.inputs])
    given = {node: inner for node, inner in operands.items() if inner.op is INPUT}
    body = Graph("attention", tuple(given.values()), _in_integers(values[last]))
    if find_attention(body) is None:
        return None
    types = tuple(node.tensor for node in body.outputs)
    type_ = types[0] if len(types) == 1 else TupleType(types)
    return Node(FUSED, tuple(given), (("body", body), ("outer", None)), type_, last.location)


def _in_integers(outputs: tuple[Node, ...]) -> tuple[Node, ...]:
    """Numbers of queries and keys that are compared as floats are compared as integers, which takes no conversion."""
    replaced: dict[Node, Node] = {}
    for node in _cone(outputs):
        if node.op is ew.ge and all(x.op is creation.iota and x.tensor.dtype is f32 for x in node.inputs):
            numbers = [make(creation.iota, (), {**x.keywords, "dtype": i64}, x.location) for x in node.inputs]
            replaced[node] = make(ew.ge, tuple(numbers), {}, node.location)
    return replace_nodes(outputs, replaced) if replaced else outputs


def _groups_of_weights(graph: Graph, last: Node) -> list[Node] | None:
    """The groups from the product that gives scores to `last`, in order, if only they read each other's results."""
    body = cast("Graph", last.attribute("body"))
    product = _products(last)[0]
    below = set(_cone((product.inputs[0],)))
    arguments = [x for inner, x in zip(body.inputs, last.inputs, strict=True) if inner in below]
    found = {last}
    pending = [_source(x) for x in arguments]
    first: Node | None = None
    while pending:
        group = pending.pop()
        if group.op is not FUSED or group in found:
            continue
        if _products(group):
            if first is not None:
                return None
            first = group
        elif len(found) == MOST_GROUPS:
            return None
        else:
            pending += [_source(x) for x in group.inputs]
        found.add(group)
    if first is None:
        return None
    depends: dict[Node, None] = {first: None}
    for node in graph.nodes:
        if node in found and any(_source(x) in depends for x in node.inputs):
            depends[node] = None
    position = {node: i for i, node in enumerate(graph.nodes)}
    outputs = set(graph.outputs)
    for group in depends:
        results = [group, *(user for user in graph.users[group] if user.op is GET)]
        for result in results if group is not last else ():
            if result in outputs or any(user not in depends and user.op is not GET for user in graph.users[result]):
                return None
    return sorted(depends, key=position.__getitem__)


def _source(node: Node) -> Node:
    return node.inputs[0] if node.op is GET else node


def _triangle(node: Node) -> Node | None:
    """A constant that is true where the row's number is not less than the column's, as that comparison."""
    array = constant_array(node)
    shape = static_shape(node.shape)
    if array is None or shape is None or node.tensor.dtype is not bool_ or len(shape) < 2:
        return None
    rows, columns = shape[-2:]
    if array.size != rows * columns:
        return None
    if not np.array_equal(array.reshape(rows, columns), np.tri(rows, columns, dtype=np.bool_)):
        return None
    row, column = (
        make(creation.iota, (), {"shape": shape[-2:], "axis": axis, "dtype": i64}, node.location) for axis in range(2)
    )
    test = make(ew.ge, (row, column), {}, node.location)
    return test if len(shape) == 2 else make(movement.reshape, (test,), {"shape": shape}, node.location)
