"""Make groups of attention and its gradients, which keep nothing for each query and key in memory.

Level: tensor graph to tensor graph, in front of `fuse`. In: a graph of primitives. Out: the same graph, in which the
products, softmax and sums of each attention are `fused` nodes; `fuse` groups what is left.

In inference that is one node. Where gradients read the weights, the forward node also gives two statistics for each
query, and one node for the sums over keys (the queries' gradient) and one for those over queries (the keys' and
values') compute scores and weights again:

    weights = exp(scores - most) * inverse      most = max(scores), inverse = 1 / sum(exp(scores - most))

One statistic, log(sum(exp(scores))), would do, but lose the fraction of weights where scores are large: masks may be.

The sum over keys that the gradient of softmax takes, sum(weights * (ct @ values^T)), is sum(ct * (weights @ values))
over features: of what a query gets anyway (T. Dao, FlashAttention-2, 2023, section 3.1).

An attention stays as it is where anything else reads what there is for each query and key: weights that are a result,
the gradient of a bias.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from enum import Enum, auto
from typing import Final, cast

import numpy as np

from graphc.ir.dtype import bf16, bool_, f16, f32, i64
from graphc.ir.graph import FUSED, GET, INPUT, Graph, Node, make, make_input
from graphc.ir.location import using
from graphc.ir.op import Flags
from graphc.ir.replace import replace_nodes, with_inputs
from graphc.ir.type import TupleType
from graphc.ops import build, contraction, creation, movement, reduction
from graphc.ops import elementwise as ew
from graphc.passes.annotation import drop_annotations
from graphc.passes.gpu.attention import (
    axes_of_dot,
    cone,
    factors_between,
    find_attention,
    free_axes,
    softmax_of,
    statistics_of,
)
from graphc.passes.gpu.attention_gradient import MOST_PRODUCTS, find_gradient
from graphc.passes.gpu.attention_region import Region, factor_keys, find_region, slopes_of
from graphc.passes.match import axes_of, constant_array, is_finite_splat, splat, static_shape
from graphc.passes.rewrite import rewrite

MOST_EPILOGUE: Final = 16
"""Nodes that follow a sum and that its kernel computes."""
MOVED: Final = (movement.reshape, movement.permute, movement.broadcast, movement.slice_)
"""Movement that a kernel does as it reads an operand."""


def fuse_attention(graph: Graph) -> Graph:
    """Make groups of attention and its gradients that keep nothing for each query and key in memory."""
    if not any(node.op is contraction.dot for node in graph.nodes):
        return graph
    plain = drop_annotations(graph)
    softmaxes = (softmax for node in plain.nodes if (softmax := softmax_of(node)) is not None)
    regions = [region for softmax in softmaxes if (region := find_region(plain, softmax)) is not None]
    taken = {node for region in regions for node in region.inside}
    chains: dict[Node, tuple[Node, ...]] = {}
    for region in regions:
        for dot in region.sums:
            chains[dot] = _chain(plain, region, dot, taken)
            taken.update(chains[dot])
    made: dict[Node, Node] = {}
    for region in regions:
        with using(region.softmax.weights.location):
            made |= _groups_of(region, chains) or {}
    return _with(plain, made) if made else graph


def _chain(graph: Graph, region: Region, dot: Node, taken: Collection[Node]) -> tuple[Node, ...]:
    """The sum, and what its kernel makes of it: what follows it alone, by element or with its axes in another order.

    A result that gradients read is given as it is, but for rounding and the order of its axes.
    """
    chain = [dot]
    is_read_again = dot in region.values and len(region.sums) > 1
    for _ in range(MOST_EPILOGUE):
        node = chain[-1]
        users = set(graph.users[node])
        if node in graph.outputs or len(users) != 1:
            break
        (user,) = users
        is_plain = user.op is movement.permute or (user.op is ew.cast and user.tensor.dtype.is_floating_point)
        if user in taken or (is_read_again and not is_plain):
            break
        sizes, others = ([size for size in each.shape if size != 1] for each in (node, user))
        is_reshaped = user.op is movement.reshape and sizes == others
        if not user.op.has(Flags.ELEMENTWISE) and user.op is not movement.permute and not is_reshaped:
            break
        chain.append(user)
    return tuple(chain)


# The groups of a region


def _groups_of(region: Region, chains: Mapping[Node, tuple[Node, ...]]) -> dict[Node, Node] | None:
    """What stands for the ends of its chains; None if there is no kernel for one of the groups."""
    values = region.values
    others = [dot for dot in region.sums if dot not in values]
    ends = {chain[-1] for chain in chains.values()}
    if not others:
        if len(values) != 1:
            return None
        chain = chains[values[0]]
        found = _group("attention", region, (chain,), ends)
        return {chain[-1]: found} if find_attention(_body(found)) is not None else None
    means = {row: slopes for row in region.rows if (slopes := slopes_of(region, row)) is not None}
    value = _value_of(region, values, means)
    if value is None:
        return None
    chain = chains.get(value) or _rounded(value, next(iter(means.values()))[0])
    statistics = [tuple(reversed(cone((each,), stop=region.rows))) for each in statistics_of(region.softmax)]
    forward = _group("attention", region, (chain, *statistics), ends)
    found_attention = find_attention(_body(forward))
    if found_attention is None or not found_attention.statistics:
        return None
    result, most, inverse = (make(GET, (forward,), {"index": i}, forward.location) for i in range(3))
    made = {chain[-1]: result}
    replaced = _computed_again(region, most, inverse)
    for row, (product, _) in means.items():
        mean = _mean(region, product, _in_first_order(chain, chain[-1] if value in chains else result))
        replaced |= {view: build.broadcast_to(mean, region.shape) for view, of in region.views.items() if of is row}
        ends.add(mean)
    rank = len(region.shape)
    for axis, name in ((rank - 1, "attention_by_query"), (rank - 2, "attention_by_key")):
        dots = [dot for dot in others if axes_of_dot(dot, "contract", region.sums[dot]) == (axis,)]
        for part in (dots[i : i + MOST_PRODUCTS] for i in range(0, len(dots), MOST_PRODUCTS)):
            group = _group(name, region, tuple(chains[dot] for dot in part), ends, replaced)
            if find_gradient(_body(group)) is None:
                return None
            for i, dot in enumerate(part):
                gives_all = len(part) == 1
                made[chains[dot][-1]] = group if gives_all else make(GET, (group,), {"index": i}, group.location)
    return made


def _body(group: Node) -> Graph:
    return cast("Graph", group.attribute("body"))


def _value_of(region: Region, values: list[Node], means: Mapping[Node, tuple[Node, Node]]) -> Node | None:
    """The sum of values that all means belong to: that of the graph, or a new one where a graph has gradients alone."""
    if not means:
        return values[0] if len(values) == 1 else None
    product, slope = next(iter(means.values()))
    if not values:
        weights = build.cast_to(region.softmax.weights, product.tensor.dtype)
        (weighted,) = replace_nodes((slope,), {product: weights})
        values = [_sum_of_values(build.cast_to(weighted, product.tensor.dtype), product)]
    if len(values) != 1:
        return None
    factors = region.factors(values[0].inputs[0])
    assert factors is not None
    region.squares.update(factors)
    keys = factor_keys(factors, region.softmax.weights)
    for product, slope in means.values():
        others = factors_between(product, slope)
        assert others is not None
        if factor_keys(others, product) != keys or not _sums_values_of(values[0], product):
            return None
    return values[0]


def _sum_of_values(weighted: Node, product: Node) -> Node:
    """weighted @ values, for the values that a product multiplies cotangents with."""
    lead = tuple(range(len(product.shape) - 2))
    contract = ((len(lead) + 1,), free_axes(product, 1))
    batch = (lead, axes_of_dot(product, "batch", 1))
    return make(contraction.dot, (weighted, product.inputs[1]), {"contract": contract, "batch": batch})


def _rounded(value: Node, product: Node) -> tuple[Node, ...]:
    """The sum of values, and its rounding in the forward pass: the dtype that its cotangents come in."""
    cotangent = product.inputs[0]
    while cotangent.op in MOVED:
        cotangent = cotangent.inputs[0]
    if cotangent.op is not ew.cast or cotangent.inputs[0].tensor.dtype not in (f16, bf16):
        return (value,)
    return (value, build.cast_to(value, cotangent.inputs[0].tensor.dtype))


def _sums_values_of(value: Node, product: Node) -> bool:
    """Whether the sum is over the values that a product multiplies cotangents with."""
    is_same = _unrounded(value.inputs[1]) is _unrounded(product.inputs[1])
    batch = axes_of_dot(product, "batch", 1)
    return (
        is_same
        and axes_of_dot(value, "batch", 1) == batch
        and axes_of_dot(value, "contract", 1) == free_axes(product, 1)
    )


def _unrounded(node: Node) -> Node:
    while node.op is ew.cast:
        node = node.inputs[0]
    return node


def _computed_again(region: Region, most: Node, inverse: Node) -> dict[Node, Node]:
    """The weights by the statistics of their query, and what says that a query has no keys."""
    softmax = region.softmax
    repeated, factor = (build.broadcast_to(each, region.shape) for each in (most, inverse))
    power = make(ew.exp, (make(ew.sub, (softmax.scores, repeated), {}),), {})
    region.squares.add(power)
    found = {softmax.weights: make(ew.mul, (power, factor), {})}
    if softmax.nothing is not None:
        is_nothing = build.broadcast_to(make(ew.eq, (most, build.full_like(most, math.inf)), {}), region.shape)
        found |= {view: is_nothing for view, row in region.views.items() if row is softmax.nothing}
    return found


def _mean(region: Region, product: Node, result: Node) -> Node:
    """sum(ct * result) [..., queries, 1], for the cotangents that a product multiplies with values."""
    order = (*axes_of_dot(product, "batch", 0), *free_axes(product, 0), *axes_of_dot(product, "contract", 0))
    cotangent = build.permute_to(product.inputs[0], order)
    both = make(ew.mul, tuple(build.cast_to(each, f32) for each in (cotangent, result)), {}, product.location)
    total = make(reduction.sum_, (both,), {"axes": (len(order) - 1,)}, product.location)
    return build.reshape_to(total, (*region.shape[:-1], 1))


def _in_first_order(chain: tuple[Node, ...], result: Node) -> Node:
    """The end of a chain with the axes in the order in which its sum gives them."""
    for node in reversed(chain):
        if node.op is movement.permute:
            axes = axes_of(node)
            result = build.permute_to(result, tuple(axes.index(axis) for axis in range(len(axes))))
    return result


def _group(
    name: str,
    region: Region,
    chains: tuple[tuple[Node, ...], ...],
    ends: Collection[Node],
    replaced: Mapping[Node, Node] | None = None,
) -> Node:
    """A node that gives the ends of the chains; parts of the region may have others in their place."""
    replaced = replaced or {}
    roots = tuple(chain[-1] for chain in chains)
    leaves = _leaves(region, {node for chain in chains for node in chain}, roots, ends, replaced)
    # First to other nodes of the graph, then to those of a body: what stands for a node is made of such leaves, too.
    changed = replace_nodes(roots, {**dict(zip(leaves, leaves, strict=True)), **replaced})
    inner: dict[Node, Node] = {}
    for leaf in leaves:
        inner[leaf] = _triangle(leaf) or make_input(f"p{len(inner)}", leaf.tensor, leaf.location)
    body = rewrite(Graph(name, tuple(x for x in inner.values() if x.op is INPUT), replace_nodes(changed, inner)))
    body = Graph(name, body.inputs, _in_integers(body.outputs))
    read = {x for node in body.nodes for x in node.inputs}
    arguments = [leaf for leaf, x in inner.items() if x.op is INPUT]
    used = [i for i, x in enumerate(body.inputs) if x in read]
    body = Graph(name, tuple(body.inputs[i] for i in used), body.outputs)
    types = tuple(node.tensor for node in body.outputs)
    type_ = types[0] if len(types) == 1 else TupleType(types)
    attributes = (("body", body), ("outer", None))
    return Node(FUSED, tuple(arguments[i] for i in used), attributes, type_, chains[0][0].location)


def _leaves(
    region: Region,
    chain: Collection[Node],
    roots: tuple[Node, ...],
    stops: Collection[Node],
    replaced: Mapping[Node, Node],
) -> list[Node]:
    """What a group reads: all that it doesn't compute, of what its results are made of."""
    leaves: dict[Node, None] = {}
    seen = set(roots)
    pending = [(root, _Place.AFTER) for root in roots]
    while pending:
        node, place = pending.pop()
        if node.op is contraction.dot:
            place = _Place.OPERAND
        node = replaced.get(node, node)
        for x in node.inputs:
            if x in seen:
                continue
            seen.add(x)
            if x in chain:
                pending.append((x, _Place.AFTER))
            elif x in replaced or x in region.squares or x in region.views or x in region.rows:
                pending.append((x, _Place.BETWEEN))
            elif x in stops or not _is_computed(x, place):
                leaves[x] = None
            else:
                pending.append((x, place))
    return list(leaves)


class _Place(Enum):
    """Where in a group a node is computed."""

    OPERAND = auto()
    """As a tile is filled with an operand of a product or sum."""
    BETWEEN = auto()
    """For each query and key."""
    AFTER = auto()
    """For each element of a result."""


def _is_computed(node: Node, place: _Place) -> bool:
    """Whether a kernel computes the node where it needs it, instead of reading it."""
    if not node.inputs:
        return node.op is not INPUT and (node.op is not creation.constant or node.tensor.size == 1)
    is_cast = node.op is ew.cast and node.inputs[0].tensor.dtype.is_floating_point
    if place is _Place.OPERAND:
        return node.op in MOVED or is_cast or (node.op is ew.mul and is_finite_splat(node.inputs[1]))
    if place is _Place.BETWEEN:
        # Random bits come from their number: computing them again takes less than keeping them.
        is_cheap = not node.op.has(Flags.EXPENSIVE) or node.op is creation.random_bits
        return is_cheap and (node.op in MOVED or node.op.has(Flags.ELEMENTWISE) or node.op is creation.random_bits)
    return splat(node) is not None


def _in_integers(outputs: tuple[Node, ...]) -> tuple[Node, ...]:
    """Numbers of queries and keys that are compared as floats are compared as integers, which takes no conversion."""
    replaced: dict[Node, Node] = {}
    for node in cone(outputs):
        if node.op is ew.ge and all(x.op is creation.iota and x.tensor.dtype is f32 for x in node.inputs):
            numbers = [make(creation.iota, (), {**x.keywords, "dtype": i64}, x.location) for x in node.inputs]
            replaced[node] = make(ew.ge, tuple(numbers), {}, node.location)
    return replace_nodes(outputs, replaced) if replaced else outputs


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


# The graph of all groups


def _with(graph: Graph, made: Mapping[Node, Node]) -> Graph:
    """The graph with groups in place of nodes; the same one if a group would need its own result."""
    final: dict[Node, Node] = {}
    under_way: set[Node] = set()
    pending = list(reversed(graph.outputs))
    while pending:
        node = pending[-1]
        if node in final:
            pending.pop()
            continue
        below = (made[node],) if node in made else node.inputs
        missing = [x for x in below if x not in final]
        if missing:
            if node in under_way:
                return graph
            under_way.add(node)
            pending += missing
            continue
        final[node] = final[made[node]] if node in made else with_inputs(node, tuple(final[x] for x in node.inputs))
        pending.pop()
    return Graph(graph.name, graph.inputs, tuple(final[node] for node in graph.outputs))
