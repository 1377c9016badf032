"""The order in which kernels run: one that keeps few bytes alive.

Level: fused graphs. In: a graph as `fuse` leaves it. Out: its nodes, each after its operands. What needs no more memory
than it frees runs at once, what frees most first; what takes memory waits until it is on the longest way to an output.
Gradients of weights thus run as soon as they can, which frees activations, and what is computed again for a gradient
runs just before it.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping

from graphc.ir.dim import Size, bounds, product, substitute, symbols
from graphc.ir.graph import GET, INPUT, Graph, Node
from graphc.ir.type import TensorType, TupleType
from graphc.ops import creation

UNKNOWN_SIZE = 64
"""What a symbolic size counts for."""


def ordered(graph: Graph) -> tuple[Node, ...]:
    """Every node of the graph, in the order in which its kernels should run."""
    return _Order(graph).nodes()


class _Order:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.outputs = set(graph.outputs)
        self.users = graph.users
        self.sizes: dict[Size, int] = {}
        self.steps = {node: i for i, node in enumerate(graph.nodes) if node.op is not GET and not _is_held(node)}
        self.operands = {node: dict.fromkeys(x for x in node.inputs if not _is_held(x)) for node in self.steps}
        self.readers = {node: self._readers(node) for node in graph.nodes if not _is_held(node)}
        self.bytes = {node: self._bytes(node) for node in self.readers}
        self.left = {node: len(readers) for node, readers in self.readers.items()}
        self.height = self._heights()

    def nodes(self) -> tuple[Node, ...]:
        """The order."""
        done: list[Node] = [node for node in self.graph.nodes if _is_held(node)]
        waiting = {node: len({_source(x) for x in self.operands[node]}) for node in self.steps}
        free: list[tuple[int, int, int, Node]] = []
        growing: list[tuple[int, int, Node]] = []
        finished: set[Node] = set()

        def offer(node: Node) -> None:
            gain = self._gain(node)
            if gain >= 0:
                heapq.heappush(free, (-gain, -self.height[node], self.steps[node], node))
            else:
                heapq.heappush(growing, (-self.height[node], self.steps[node], node))

        for node, count in waiting.items():
            if not count:
                offer(node)
        while free or growing:
            node = heapq.heappop(free)[-1] if free else heapq.heappop(growing)[-1]
            if node in finished:  # it was offered again when it came to free more
                continue
            finished.add(node)
            done.append(node)
            done.extend(user for user in self.users[node] if user.op is GET)
            for operand in self.operands[node]:
                self.left[operand] -= 1
                if self.left[operand] == 1:
                    last = next((reader for reader in self.readers[operand] if reader not in finished), None)
                    if last is not None and not waiting[last]:
                        offer(last)
            for reader in self._next(node):
                waiting[reader] -= 1
                if not waiting[reader]:
                    offer(reader)
        return tuple(dict.fromkeys(done))

    def _next(self, node: Node) -> dict[Node, None]:
        """The nodes that read any result of this one."""
        results = [user for user in self.users[node] if user.op is GET] or [node]
        return dict.fromkeys(reader for result in results for reader in self.readers[result])

    def _readers(self, node: Node) -> tuple[Node, ...]:
        return tuple(dict.fromkeys(user for user in self.users[node] if user.op is not GET))

    def _gain(self, node: Node) -> int:
        """Bytes that the node frees, less those that it takes. Outputs are the caller's."""
        freed = sum(self.bytes[operand] for operand in self.operands[node] if self.left[operand] == 1)
        results = [user for user in self.users[node] if user.op is GET] or [node]
        return freed - sum(self.bytes[result] for result in dict.fromkeys(results))

    def _heights(self) -> dict[Node, int]:
        """The longest way from each node to an output, in nodes."""
        height: dict[Node, int] = {}
        for node in reversed(self.graph.nodes):
            if node in self.steps:
                height[node] = 1 + max((height[reader] for reader in self._next(node)), default=0)
        return height

    def _bytes(self, node: Node) -> int:
        if node in self.outputs or isinstance(node.type, TupleType):
            return 0
        assert isinstance(node.type, TensorType)
        shape = tuple(self._number(size) for size in node.type.shape)
        total = product(shape)
        assert isinstance(total, int)
        return total * node.type.dtype.itemsize

    def _number(self, size: Size) -> int:
        if isinstance(size, int):
            return size
        found = self.sizes.get(size)
        if found is None:
            guess: Mapping[str, int] = {s.name: UNKNOWN_SIZE for s in symbols(size)}
            low, high = bounds(substitute(size, guess))
            found = self.sizes[size] = max(low, min(high, UNKNOWN_SIZE)) if low != high else low
        return found


def _is_held(node: Node) -> bool:
    return node.op is INPUT or node.op is creation.constant


def _source(node: Node) -> Node:
    return node.inputs[0] if node.op is GET else node
