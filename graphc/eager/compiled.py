"""The backward pass as one program: what a tape does when its structure comes a second time.

In: the nodes of a tape in the order in which they run. Out: their backward plans joined to one graph, simplified, fused
and compiled, whose inputs are the saved values and the cotangents of the roots, and whose outputs are the gradients of
the leaves. Programs are kept by the structure of the tape: which plan each node has, and where its gradients go. The
bits are those of running node by node: each plan's kernels are the same, and gradients add up in the same order.

A program is made in the background, by one thread, while the tape goes on node by node: no step waits for a compiler.
`GRAPHC_BACKWARD` chooses otherwise.
"""

from __future__ import annotations

import atexit
import queue
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from graphc.eager.mode import MODE
from graphc.eager.node import AccumulateGrad, Edge, GradNode, PlanNode
from graphc.eager.placement import gpu_of
from graphc.eager.plan import Plan
from graphc.eager.tensor import AnyArray, Tensor
from graphc.ir.dtype import dtype as to_dtype
from graphc.ir.errors import CodeMemoryFull
from graphc.ir.graph import Graph, Node, make_input
from graphc.ir.location import using
from graphc.ir.replace import inline
from graphc.ir.settings import settings
from graphc.ir.type import TensorType
from graphc.ops import elementwise as ew

MOST_KNOWN = 4096
"""Structures that are remembered; then all that have come only once are forgotten."""
MOST_PROGRAMS = 256
"""Programs that are made and kept."""

Key: TypeAlias = "tuple[object, ...]"
Root: TypeAlias = "tuple[Edge, Tensor]"


@dataclass(frozen=True, slots=True)
class Place:
    """A gradient that leaves the program: that of result `index` of the node at `position`."""

    position: int
    index: int


@dataclass(frozen=True, slots=True, eq=False)
class BackwardProgram:
    """The joined graph of a tape, compiled."""

    plan: Plan
    reads: tuple[tuple[int, int], ...]
    """The saved values that it takes: positions of nodes, and which of their saved values."""
    roots: tuple[int, ...]
    """Which of the roots' cotangents it takes then."""
    gives: tuple[Place, ...]

    def run(self, order: Sequence[GradNode], roots: Sequence[Root]) -> tuple[AnyArray, ...]:
        """The gradients at the places that it gives."""
        arrays: list[AnyArray] = []
        for position, index in self.reads:
            node = order[position]
            arrays.append(node.saved[index].get_array(node))
        arrays += [roots[index][1]._array for index in self.roots]
        return self.plan.run(arrays)


def key_of(order: Sequence[GradNode], roots: Sequence[Root], wanted: Sequence[Edge]) -> Key | None:
    """The structure of a tape; None if it must run node by node."""
    if MODE.anomaly:
        return None
    positions: dict[GradNode, int] = {}
    for position, node in enumerate(order):
        positions[node] = position
    key: list[object] = []
    for node in order:
        if isinstance(node, PlanNode):
            if node.tensor_hooks or node.pre_hooks or node.post_hooks:
                return None
            key.append(node.backward.number)
            for edge in node.edges:
                if edge is not None:
                    key += (positions[edge[0]], edge[1])
            if node.retained:
                key.append(tuple(node.retained))
        elif type(node) is AccumulateGrad:
            key.append(None)
        else:
            return None
    for (node, index), tensor in roots:
        key += (positions[node], index, tensor._array.shape, tensor._array.dtype, gpu_of(tensor._array))
    key.append(len(wanted))
    for node, index in wanted:
        key += (positions.get(node, -1), index)
    return tuple(key)


class _Programs:
    """All programs, by structure; structures that have come once have none yet."""

    def __init__(self) -> None:
        self._known: dict[Key, BackwardProgram | None] = {}
        self._count = 0
        self._lock = threading.Lock()
        self._pending: queue.SimpleQueue[tuple[Key, Plan, BackwardProgram, int | None] | threading.Event] = (
            queue.SimpleQueue()
        )
        self._worker: threading.Thread | None = None
        self._asked: set[Key] = set()
        self._is_stopping = False

    def find(
        self, key: Key, order: Sequence[GradNode], roots: Sequence[Root], wanted: Sequence[Edge]
    ) -> BackwardProgram | None:
        """The program for this structure, if it is ready; the second time a structure comes, one is made."""
        found = self._known.get(key)
        if found is not None:
            return found
        way = settings().backward
        with self._lock:
            if key not in self._known:
                if len(self._known) >= MOST_KNOWN:
                    self._known = {key: program for key, program in self._known.items() if program is not None}
                self._known[key] = None
                return None
            if key in self._asked or self._count >= MOST_PROGRAMS or way == "eager":
                return None
            self._asked.add(key)
            self._count += 1
        program = join(order, roots, wanted)
        gpu = gpu_of(roots[0][1]._array)
        if way == "now":
            try:
                program.plan.prepare(gpu)
            except CodeMemoryFull:
                return None
            self._known[key] = program
            return program
        self._start()
        self._pending.put((key, program.plan, program, gpu))
        return None

    def wait(self) -> None:
        """Return when all programs asked for are ready."""
        if self._worker is not None:
            done = threading.Event()
            self._pending.put(done)
            done.wait()

    def restart(self) -> None:
        """In a forked child, where the thread doesn't exist: let another one start when it is needed."""
        self._lock = threading.Lock()
        self._pending = queue.SimpleQueue()
        self._worker = None
        self._asked = {key for key in self._asked if self._known.get(key) is not None}

    def _start(self) -> None:
        with self._lock:
            if self._worker is None:
                self._worker = threading.Thread(target=self._work, name="graphc backward compiler", daemon=True)
                self._worker.start()
                atexit.register(self._stop)

    def _stop(self) -> None:
        """Let the thread end after the program it is at: it must not run in LLVM while the process is taken apart."""
        if self._worker is None:  # that was in the parent
            return
        self._is_stopping = True
        self._pending.put(threading.Event())
        self._worker.join()

    def _work(self) -> None:
        while True:
            task = self._pending.get()
            if self._is_stopping:
                return
            if isinstance(task, threading.Event):
                task.set()
                continue
            key, plan, program, gpu = task
            try:
                plan.prepare(gpu)
            except Exception:  # node by node the same gradients come, only slower
                import logging  # late: importing graphc must be quick

                logging.getLogger("graphc.eager").exception("a backward pass could not be compiled")
            else:
                self._known[key] = program

    @property
    def count(self) -> int:
        """How many programs were made."""
        return self._count


PROGRAMS = _Programs()


def join(order: Sequence[GradNode], roots: Sequence[Root], wanted: Sequence[Edge]) -> BackwardProgram:
    """The backward plans of a tape's nodes as one graph."""
    # Late: importing graphc must be quick, and it needs no passes.
    from graphc.passes.pipeline import parse_pipeline

    inputs: list[Node] = []
    reads: list[tuple[int, int]] = []
    pending: dict[Edge, Node] = {}
    outputs: dict[Place, Node] = {}
    with using(None):
        seeds = [
            make_input(f"ct_{number}", TensorType(tensor._array.shape, to_dtype(tensor._array.dtype)))
            for number, (_, tensor) in enumerate(roots)
        ]
        for (edge, _), seed in zip(roots, seeds):
            _add(pending, edge, seed)
        for position, node in enumerate(order):
            cotangents = [pending.pop((node, index), None) for index in range(node.outputs)]
            for index, cotangent in enumerate(cotangents):
                if cotangent is not None and _leaves(node, index, wanted):
                    outputs[Place(position, index)] = cotangent
            if not isinstance(node, PlanNode) or all(each is None for each in cotangents):
                continue
            variant = node.backward.variant(tuple([each is not None for each in cotangents]))
            if variant.plan is None:
                continue
            arguments: list[Node] = []
            for index, wish in zip(variant.reads, variant.plan.graph.inputs):
                arguments.append(make_input(f"s{len(inputs)}", wish.tensor))
                inputs.append(arguments[-1])
                reads.append((position, index))
            arguments += [each for each in cotangents if each is not None]
            gradients = dict(zip(variant.produces, inline(variant.plan.graph, arguments)))
            for index, target in enumerate(node.edges):
                if target is not None and index in gradients:
                    _add(pending, target, gradients[index])
        graph = Graph("backward", (*inputs, *seeds), tuple(outputs.values()))
    # What simplification shows not to be read needs not be passed.
    graph = parse_pipeline("simplify").run(graph)
    used = {operand for node in graph.nodes for operand in node.inputs} | set(graph.outputs)
    is_used = [node in used for node in graph.inputs]
    if not any(is_used):
        is_used[len(reads)] = True  # a root's cotangent tells where gradients are that depend on nothing
    kept = tuple(node for node, is_kept in zip(graph.inputs, is_used) if is_kept)
    return BackwardProgram(
        Plan(Graph("backward", kept, graph.outputs), "Backward"),
        tuple(read for read, is_kept in zip(reads, is_used) if is_kept),
        tuple(number for number, is_kept in enumerate(is_used[len(reads) :]) if is_kept),
        tuple(outputs),
    )


def _leaves(node: GradNode, index: int, wanted: Sequence[Edge]) -> bool:
    """Whether somebody asks for this gradient."""
    if (node, index) in wanted or (node.retained is not None and index in node.retained):
        return True
    return isinstance(node, AccumulateGrad) and not wanted


def _add(pending: dict[Edge, Node], edge: Edge, gradient: Node) -> None:
    present = pending.get(edge)
    pending[edge] = gradient if present is None else ew.add(present, gradient)
