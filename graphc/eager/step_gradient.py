"""Gradients of what a recorded call returns: its forward and backward as two programs, and the node that joins them.

Level: over the recorder and the tape. In: a recorder, the graph of the results, and the tensors returned that require
gradients. Out: a `Joint`: the backward pass of the tape, recorded like everything else, and cut from the forward pass
where least must be kept. Gradients have the bits of the tape, since they are its own.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from graphc.eager.engine import run_backward
from graphc.eager.mode import MODE
from graphc.eager.node import (
    FREED,
    AccumulateGrad,
    AutogradError,
    Cotangents,
    Edge,
    GradNode,
    SavedValue,
    edge_of,
)
from graphc.eager.placement import common_gpu, gpu_of, on
from graphc.eager.plan import Plan
from graphc.eager.record import apply
from graphc.eager.tensor import AnyArray, Storage, Tensor, meta_of, wrap, wrap_shared
from graphc.frontend.executable import Executable
from graphc.ir.graph import Graph, Node
from graphc.ir.type import TensorType

if TYPE_CHECKING:
    from graphc.eager.recorder import Recorder

NAME = "CompiledFunctionBackward"


@dataclass(slots=True, eq=False)
class Joint:
    """The backward pass of a recorded call."""

    outputs: tuple[int, ...]
    """Which outputs of the graph require gradients."""
    wanted: tuple[int, ...]
    """Which inputs of the graph gradients flow to."""
    forward: Graph
    """Gives the graph's outputs, then the values that the backward pass reads."""
    backward: Graph
    """From the values that it reads, and a cotangent for each of `outputs`, the gradients of `wanted`."""
    reads: tuple[tuple[bool, int], ...]
    """Which inputs (True) and outputs of the forward graph are these values."""
    cotangents: tuple[int, ...]
    """Which cotangents the backward graph takes."""
    flat: Plan | None
    """The results as one plan, for gradients of gradients; None where nodes don't know all gradients."""
    executable: Executable | None = None
    """That of the backward graph, once it was asked for."""


def gradient_edges(recorder: Recorder, returned: Sequence[Tensor], arguments: Sequence[Tensor]) -> list[Edge]:
    """Where gradients of the results leave the call: leaves from outside, and arguments with a history."""
    found: dict[Edge, None] = {}
    stops = {edge: None for each in arguments if each.requires_grad and (edge := edge_of(each)) is not None}
    seen: set[GradNode] = set()
    pending = [edge for each in returned if (edge := edge_of(each)) is not None]
    while pending:
        edge = pending.pop()
        node = edge[0]
        if edge in stops or isinstance(node, AccumulateGrad):
            if not (isinstance(node, AccumulateGrad) and recorder.is_own(node.variable)):
                found[edge] = None
            continue
        if node not in seen:
            seen.add(node)
            pending += [each for each in node.edges if each is not None]
    return list(found)


def record_backward(
    recorder: Recorder, returned: Sequence[Tensor], arguments: Sequence[Tensor]
) -> tuple[list[Node], list[Edge]] | None:
    """The nodes of the gradients at the edges where they leave the call; None if its tape was used up inside."""
    edges = gradient_edges(recorder, returned, arguments)
    if not edges:
        return None
    roots: list[tuple[Edge, Tensor]] = []
    for index, each in enumerate(returned):
        seed = on(np.ones(each._array.shape, each._array.dtype), gpu_of(each._array))
        recorder.cotangent(index, seed)
        edge = edge_of(each)
        assert edge is not None
        roots.append((edge, wrap_shared(seed, Storage(seed))))
    try:
        gradients = run_backward(roots, edges, keep_graph=True, accumulate=False)
    except AutogradError as error:
        if error.message == FREED:
            return None
        raise
    nodes: list[Node] = []
    kept: list[Edge] = []
    for edge, gradient in zip(edges, gradients):
        node = None if gradient is None else recorder.read(gradient._array)
        if node is not None:
            nodes.append(node)
            kept.append(edge)
    return nodes, kept


def split(
    joint: Graph, arguments: int, results: int, outputs: tuple[int, ...], wanted: tuple[int, ...], gpu: int | None
) -> Joint:
    """Cut the graph of results and gradients, whose last inputs are the cotangents, in two; for a GPU or the CPU."""
    # Late: importing graphc must be quick, and it needs no passes.
    from graphc.passes.default import grouped_for_gpu
    from graphc.passes.partition import partition
    from graphc.passes.pipeline import parse_pipeline

    joint = parse_pipeline("simplify").run(joint)
    if gpu is not None:
        joint = grouped_for_gpu(joint)
    parts = partition(joint, arguments, results)
    backward = parts.backward
    used = {operand for node in backward.nodes for operand in node.inputs} | set(backward.outputs)
    saved = len(parts.saved)
    places = [index for index, node in enumerate(backward.inputs[saved:]) if node in used]
    kept = (*backward.inputs[:saved], *(backward.inputs[saved + index] for index in places))
    return Joint(
        outputs,
        wanted,
        parts.forward,
        Graph("backward", kept, backward.outputs),
        tuple((each.source == "argument", each.index) for each in parts.saved),
        tuple(places),
        None,
    )


class CompiledFunctionBackward(GradNode):
    """The node of a compiled call."""

    __slots__ = ("arguments", "joint", "results", "saved")

    def __init__(
        self,
        joint: Joint,
        edges: tuple[Edge | None, ...],
        saved: list[SavedValue],
        arguments: list[SavedValue],
        results: list[SavedValue],
    ) -> None:
        super().__init__(edges, len(joint.outputs))
        self.joint = joint
        self.saved = saved
        self.arguments = arguments
        """All inputs of the graph."""
        self.results = results

    def result(self, index: int) -> TensorType:
        """Shape and dtype of one of the results."""
        return self.joint.forward.outputs[self.joint.outputs[index]].tensor

    def run(self, cotangents: Cotangents, create_graph: bool) -> Cotangents:
        """The gradients of the inputs that have some."""
        from graphc.eager.recording import executable_of  # late: it makes these nodes

        joint = self.joint
        if create_graph:
            return self._run_recorded(cotangents)
        arrays = [each.get_array(self) for each in self.saved]
        for index in joint.cotangents:
            given = cotangents[index]
            if given is None:
                like = self.result(index)
                zeros = np.zeros(like.shape, like.dtype.numpy)  # type: ignore[type-var]  # sizes are numbers
                arrays.append(on(zeros, common_gpu(arrays)))
            else:
                arrays.append(given._array)
        if joint.executable is None:
            joint.executable = executable_of(joint.backward, gpu=common_gpu(arrays))
        outputs = joint.executable.outputs(arrays)
        gradients: list[Tensor | None] = [None] * len(self.edges)
        for place, array in zip(joint.wanted, outputs):
            gradients[place] = wrap(array)
        return gradients

    def _run_recorded(self, cotangents: Cotangents) -> Cotangents:
        joint = self.joint
        if joint.flat is None:
            raise AutogradError(
                "a gradient of a compiled function has no gradient where a function inside defines its own",
                hint="compile the function that asks for gradients too, or call it uncompiled",
            )
        needs = tuple([edge is not None for edge in self.edges])
        backward = joint.flat.backward(needs)
        variant = backward.variant(tuple([each is not None for each in cotangents]))
        gradients: list[Tensor | None] = [None] * len(self.edges)
        if variant.plan is not None:
            values = [
                (self.arguments if backward.saved[i].source == "input" else self.results)[backward.saved[i].index]
                for i in variant.reads
            ]
            given = [each for each in cotangents if each is not None]
            found = apply(variant.plan, [*(each.get(self) for each in values), *given])
            for place, gradient in zip(variant.produces, found):
                gradients[place] = gradient
        return gradients

    def release(self) -> None:
        """Let go of saved values."""
        for each in (*self.saved, *self.arguments, *self.results):
            each.release()


def attach(
    joint: Joint, sources: Sequence[Tensor | AnyArray], outputs: Mapping[int, AnyArray], returned: Sequence[Tensor]
) -> None:
    """Make the tensors returned results of the call on the tape."""
    if not MODE.grad:
        return
    wanted = set(joint.wanted)
    edges: list[Edge | None] = []
    arguments: list[SavedValue] = []
    for index, source in enumerate(sources):
        edge = edge_of(source) if index in wanted and isinstance(source, Tensor) else None
        edges.append(edge)
        if isinstance(source, Tensor):
            arguments.append(SavedValue(source._array, source._storage, edge, edge is not None))
        else:
            arguments.append(SavedValue(source, None, None, False))
    node = CompiledFunctionBackward(joint, tuple(edges), [], arguments, [])
    reference: weakref.ref[GradNode] = weakref.ref(node)
    for index, tensor in enumerate(returned):
        meta = meta_of(tensor)
        meta.requires_grad, meta.node, meta.index = True, node, index
        node.results.append(SavedValue(tensor._array, tensor._storage, None, True, reference, index))
    for is_argument, index in joint.reads:
        node.saved.append(arguments[index] if is_argument else SavedValue(outputs[index], None, None, False))


def flat_plan(inputs: Sequence[Node], outputs: Sequence[Node]) -> Plan:
    """The results as a plan, whose gradient is made by the pass."""
    return Plan(Graph(NAME, tuple(inputs), tuple(outputs)), NAME)
