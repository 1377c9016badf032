"""Cut a joint graph into a forward part, the values it saves, and a backward part.

Level: tensor graph. In: the joint graph of `differentiate` (its inputs: arguments, then cotangents; its outputs:
results, then gradients). Out: two graphs. The forward one gives the results and the saved values; the backward one
takes the saved values and the cotangents and gives the gradients. Together they give the joint graph's values, bit by
bit.

What to save is a minimum cut: each value costs its bytes, arguments and results cost nothing (the caller holds them),
and a value that isn't saved must be computed again from those that are. What is cheap to compute (elementwise, moved)
may be computed again; exponentials, reductions and contractions only if asked, or as far as a byte budget demands.
Graphs of more than `EXACT_LIMIT` nodes are cut by a rule of thumb in one pass: save a value if that takes less than
what it is made from.

    y = exp(x * w) with gradients by x and w       saves x, w (arguments) and y: no exp is computed twice
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal, TypeAlias

from graphc.ir.dim import Dim, Symbol, bounds, product, substitute, symbols
from graphc.ir.errors import ArgumentError
from graphc.ir.graph import FUSED, GET, INPUT, Graph, Node, make_input, topological_order
from graphc.ir.op import Flags
from graphc.ir.replace import replace_nodes
from graphc.ir.text import symbols_of
from graphc.ir.type import TensorType

EXACT_LIMIT = 1000
"""Forward nodes up to which the minimum cut is computed; it takes more than linear time."""
UNKNOWN_SIZE = 64
"""What a symbolic size counts for, if no size is given for it."""

Recompute: TypeAlias = Literal["none", "cheap", "expensive", "all"]


class Effort(IntEnum):
    """How much it takes to compute a value from its operands."""

    CHEAP = 0
    EXPENSIVE = 1
    REDUCTION = 2
    CONTRACTION = 3


@dataclass(frozen=True, slots=True)
class Saved:
    """A value that the backward part takes: where it comes from, and the bytes it adds to what the caller holds."""

    node: Node
    """In the joint graph."""
    source: Literal["argument", "output"]
    index: int
    """Which argument, or which output of the forward graph."""
    nbytes: int


@dataclass(frozen=True, slots=True)
class Partition:
    """The two parts. The backward graph's inputs are the saved values in order, then the cotangents."""

    forward: Graph
    backward: Graph
    saved: tuple[Saved, ...]
    recomputed: tuple[Node, ...]
    """Nodes of the joint graph that both parts compute."""

    @property
    def saved_bytes(self) -> int:
        """Bytes of the saved values that are neither arguments nor results."""
        return sum(each.nbytes for each in self.saved)

    def report(self) -> str:
        """What is saved, and what is computed twice, in a few lines."""
        values = [each for each in self.saved if each.nbytes]
        lines = [f"saves {self.saved_bytes} bytes in {len(values)} values, computes {len(self.recomputed)} nodes twice"]
        for each in sorted(values, key=lambda each: -each.nbytes):
            where = f"   # {each.node.location}" if each.node.location is not None else ""
            lines.append(f"{each.nbytes:12} bytes  {each.node.op.name} : {each.node.type}{where}")
        return "\n".join(lines)


def partition(
    joint: Graph,
    arguments: int,
    results: int,
    *,
    recompute: Recompute = "cheap",
    max_saved_bytes: int | None = None,
    sizes: Mapping[str, int] | None = None,
) -> Partition:
    """Cut the joint graph, whose first `arguments` inputs and first `results` outputs belong to the forward part.

    `recompute` says what may be computed twice: nothing, what is cheap, also exponentials and the like, or all. If the
    saved values would still exceed `max_saved_bytes`, more is computed twice, what saves most for its effort first: any
    budget can be met, since everything can be computed from the arguments. `sizes` gives symbolic sizes to count with.
    """
    if max_saved_bytes is not None and max_saved_bytes < 0:
        raise ArgumentError(f"partition: the budget is {max_saved_bytes} bytes", hint="give 0 or more")
    if arguments >= len(joint.inputs):
        raise ArgumentError(
            f"partition: {joint.name} has {len(joint.inputs)} inputs, so none is left for cotangents",
            hint="differentiate without a seed, so that the cotangents are inputs",
        )
    cut = _Cut(joint, arguments, results, dict(sizes or {}))
    saved = cut.choose(cut.allowed(recompute))
    if max_saved_bytes is not None and cut.total(saved) > max_saved_bytes:
        if recompute in ("none", "cheap"):
            saved = cut.choose(cut.allowed("expensive"))
        saved = cut.drop(saved, max_saved_bytes)
    return cut.split(saved)


class _Cut:
    """What is known of a joint graph while it is cut."""

    def __init__(self, joint: Graph, arguments: int, results: int, sizes: dict[str, int]) -> None:
        self.joint = joint
        self.arguments = joint.inputs[:arguments]
        self.cotangents = joint.inputs[arguments:]
        self.results = joint.outputs[:results]
        self.gradients = joint.outputs[results:]
        self.sizes = sizes
        backward: set[Node] = set(self.cotangents)
        for node in joint.nodes:
            if any(operand in backward for operand in node.inputs):
                backward.add(node)
        assert not any(result in backward for result in self.results), "a result depends on a cotangent"
        # Also what only gradients use, such as the mask of a relu: it may be what is best to save.
        self.forward = tuple(node for node in joint.nodes if node not in backward)
        held = {*self.results, *self.arguments}
        self.bytes = {node: 0 if node in held else self._bytes(node) for node in self.forward}
        read = {operand for node in backward for operand in node.inputs}.union(self.gradients)
        self.read = tuple(node for node in self.forward if node in read and node.op is not INPUT)

    def allowed(self, recompute: Recompute) -> set[Node]:
        """The forward nodes that may be computed again."""
        most = {"none": -1, "cheap": Effort.CHEAP, "expensive": Effort.EXPENSIVE, "all": Effort.CONTRACTION}[recompute]
        return {node for node in self.forward if effort_of(node) <= most or not node.inputs}

    def total(self, saved: tuple[Node, ...]) -> int:
        """Bytes of the saved values."""
        return sum(self.bytes[node] for node in saved)

    def choose(self, allowed: set[Node]) -> tuple[Node, ...]:
        """The values to save, if just these nodes may be computed again; in the joint graph's order."""
        needed = self._needed_forward()
        chosen = self._by_flow(allowed, needed) if len(needed) <= EXACT_LIMIT else self._by_rule(allowed, needed)
        return tuple(node for node in self.forward if node in chosen)

    def drop(self, saved: tuple[Node, ...], budget: int) -> tuple[Node, ...]:
        """Fewer values to save, which fit the budget; first go those that free most for the work of computing them."""
        total = self.total(saved)
        kept = set(saved)
        for node in sorted(saved, key=lambda node: _work(node, self.bytes) / max(1, self.bytes[node])):
            if total <= budget:
                break
            kept.discard(node)
            total -= self.bytes[node]
        return tuple(node for node in saved if node in kept)

    def split(self, saved: tuple[Node, ...]) -> Partition:
        """The two graphs."""
        values = tuple(node for node in saved if node.op is not INPUT)
        place = {node: i for i, node in reversed(tuple(enumerate(self.results)))}
        outputs = self.results + tuple(node for node in values if node not in place)
        place.update((node, i) for i, node in enumerate(outputs) if node not in place)
        taken = {node: make_input(f"saved_{i}", node.tensor, node.location) for i, node in enumerate(values)}
        gradients = replace_nodes(self.gradients, taken)
        arguments = self._arguments_of(gradients, (*taken.values(), *self.cotangents))
        entries = [Saved(node, "argument", i, 0) for i, node in arguments]
        entries += [Saved(node, "output", place[node], self.bytes[node]) for node in values]
        inputs = (*(node for _, node in arguments), *taken.values(), *self.cotangents)
        name = self.joint.name.removesuffix("_grad")
        forward = Graph(f"{name}_forward", self.arguments, outputs)
        backward = Graph(f"{name}_backward", inputs, gradients)
        return Partition(forward, backward, tuple(entries), self._computed_twice(forward, values))

    def _arguments_of(self, gradients: tuple[Node, ...], others: tuple[Node, ...]) -> tuple[tuple[int, Node], ...]:
        """The arguments that the gradients use, and those without which a size could not be found.

        Only a dimension that is a size by itself is sure to give its value: from n * m or n * n none follows.
        """
        reached = set(topological_order(gradients))
        used = [node for node in self.arguments if node in reached]
        known = _given_sizes((*used, *others))
        missing = set(symbols_of(Graph("", (*used, *others), gradients))) - known
        if not missing <= _given_sizes(
            self.arguments
        ):  # the arguments themselves give it in a roundabout way: take all
            return tuple(enumerate(self.arguments))
        return tuple(
            (i, node)
            for i, node in enumerate(self.arguments)
            if node in reached or not missing.isdisjoint(_given_sizes((node,)))
        )

    def _computed_twice(self, forward: Graph, values: tuple[Node, ...]) -> tuple[Node, ...]:
        known = (*values, *self.arguments)
        again = set(topological_order(self.gradients, first=known)).difference(known)
        return tuple(node for node in forward.nodes if node in again and node.inputs)

    def _needed_forward(self) -> tuple[Node, ...]:
        """The forward nodes from which those that the backward part reads are made."""
        return topological_order(self.read)

    def _by_flow(self, allowed: set[Node], needed: tuple[Node, ...]) -> set[Node]:
        """The minimum cut between where values come from and where the backward part reads them.

        Every node is an edge of its bytes from its entry to its exit. What may not be computed again comes from the
        source; what the backward part reads goes to the sink; operands flow into what they make.
        """
        # networkx takes a tenth of a second to import, and most programs never cut a graph.
        import networkx

        flow = networkx.DiGraph()
        source, sink = "source", "sink"
        flow.add_node(source)
        flow.add_node(sink)
        for place, node in enumerate(needed):
            # Among cuts of the same bytes one with fewer values is better, and one nearer to the results.
            cost = 0 if node.op is INPUT else self.bytes[node] * 4 * len(needed) + 2 * len(needed) - place
            if _is_savable(node):
                flow.add_edge((node, 0), (node, 1), capacity=cost)
            else:
                flow.add_edge((node, 0), (node, 1))
            if node.op is INPUT or node not in allowed:
                flow.add_edge(source, (node, 0))
            for operand in node.inputs:
                flow.add_edge((operand, 1), (node, 0))
        for node in self.read:
            flow.add_edge((node, 1), sink)
        _, (before, _) = networkx.minimum_cut(flow, source, sink)
        return {node for node in needed if (node, 0) in before and (node, 1) not in before}

    def _by_rule(self, allowed: set[Node], needed: tuple[Node, ...]) -> set[Node]:
        """In one pass from the last node to the first: compute again what is made from less than it takes to keep."""
        chosen: set[Node] = set()
        wanted = set(self.read)
        for node in reversed(needed):
            if node not in wanted or node.op is INPUT:
                continue
            new = {operand for operand in node.inputs if operand not in wanted and operand.op is not INPUT}
            cost = sum(self.bytes[operand] for operand in new if operand.inputs)
            if node in allowed and (not _is_savable(node) or cost <= self.bytes[node]):
                wanted.update(new)
            else:
                chosen.add(node)
        return chosen

    def _bytes(self, node: Node) -> int:
        if not isinstance(node.type, TensorType) or not node.inputs:
            return 0
        shape = []
        for size in node.type.shape:
            known = substitute(size, self.sizes)
            low, high = bounds(known)
            shape.append(known if isinstance(known, int) else max(low, min(high, UNKNOWN_SIZE)))
        total = product(shape)
        assert isinstance(total, int)
        return total * node.type.dtype.itemsize


def effort_of(node: Node) -> Effort:
    """How much it takes to compute the node from its operands; for a result of several, or of a group, all of them."""
    if node.op is GET:
        node = node.inputs[0]
    if node.op is FUSED:
        body = node.attribute("body")
        assert isinstance(body, Graph)
        return max(effort_of(each) for each in body.nodes if each.inputs)
    if node.op.has(Flags.CONTRACTION | Flags.OPAQUE):
        return Effort.CONTRACTION
    if node.op.has(Flags.REDUCTION):
        return Effort.REDUCTION
    return Effort.EXPENSIVE if node.op.has(Flags.EXPENSIVE) else Effort.CHEAP


def _is_savable(node: Node) -> bool:
    return isinstance(node.type, TensorType) and (bool(node.inputs) or node.op is INPUT)


def _work(node: Node, nbytes: Mapping[Node, int]) -> float:
    """A rough number of operations, in units of an elementwise op on a byte."""
    match effort_of(node):
        case Effort.CONTRACTION:
            source = node.inputs[0] if node.op is GET else node
            sizes = [max(1, nbytes[operand]) for operand in source.inputs[:2]] or [1]
            return sizes[0] * math.sqrt(sizes[-1])
        case Effort.REDUCTION:
            return float(max(1, nbytes[node.inputs[0]]))
        case effort:
            return float(max(1, nbytes[node])) * (8 if effort is Effort.EXPENSIVE else 1)


def _given_sizes(nodes: Iterable[Node]) -> set[Symbol]:
    """The symbols that are a dimension of one of the nodes."""
    sizes = (size for node in nodes for size in node.shape if isinstance(size, Dim))
    return {symbols(size)[0] for size in sizes if size == symbols(size)[0].size}
