"""What a recorded call has done, as a `Recording`.

In: the recorder of a call, its tensors, and what it returned. Out: the graph of its results, of the gradients that it
left, and of all that it wrote; or why it would not do the same again.
"""

from __future__ import annotations

import gc
from collections.abc import Mapping, Sequence
from typing import Any

from graphc.eager.node import AccumulateGrad, Edge, GradNode, edge_of
from graphc.eager.placement import gpu_of
from graphc.eager.recorder import Made, Recorder
from graphc.eager.recording import Recording, Returned, Same, strip_detach
from graphc.eager.source import Attribute, Captured, Cotangent, Gradient, Key, Source
from graphc.eager.step_gradient import Joint, flat_plan, record_backward, split
from graphc.eager.tensor import AnyArray, Tensor, meta_of
from graphc.frontend.tree import flatten
from graphc.ir.errors import describe
from graphc.ir.graph import Graph, Node, topological_order


class Ended(Exception):
    """Recording has ended before the end of the call: its recorder knows why."""


class Unsettled(Exception):
    """The call would not do the same again."""

    def __init__(self, what: str, hint: str) -> None:
        self.what = what
        self.hint = hint


class Outcome:
    """Collects the outputs of the graph of a call."""

    def __init__(self, recorder: Recorder, arguments: Sequence[Tensor], result: object) -> None:
        """Raises Ended, and Unsettled."""
        self._recorder = recorder
        self._arguments = arguments
        self._outputs: list[Node] = []
        self._leaves, self._structure = flatten(result)
        self._results = [self._result(leaf) for leaf in self._leaves]
        self._gradients = self._left_gradients()
        self._writes = self._written()
        self._attributes = [(each, *self._output(each.tensor._array)) for each in _replaced(recorder)]
        self._check_settled()

    def recording(self, reason: str, options: Mapping[str, Any]) -> Recording:
        """The call as a program; raises Ended."""
        recorder, outputs = self._recorder, self._outputs
        returned = {
            leaf.output: each
            for leaf, each in zip(self._results, self._leaves)
            if isinstance(leaf, Returned) and isinstance(each, Tensor) and each.requires_grad
        }
        backward = record_backward(recorder, list(returned.values()), self._arguments) if returned else None
        if recorder.failure is not None:
            raise Ended
        gradients, edges = backward if backward is not None else ([], [])
        used = set(topological_order([*outputs, *gradients]))
        inputs = [
            (node, source)
            for node, source in recorder.inputs
            if isinstance(source, Key)
            or (node in used and not isinstance(source, Cotangent))
            or _edge(source, self._arguments) in edges
        ]
        graph = Graph(recorder.name, tuple(node for node, _ in inputs), tuple(outputs))
        # A tensor that a module replaces is looked for where the module has it.
        before = {id(recorder.modules[id(each.module)][1].get(each.name)): each for each, _, _ in self._attributes}
        sources = tuple(
            before.get(id(source.tensor), source) if isinstance(source, Captured) else source for _, source in inputs
        )
        joint = None
        if backward is not None:
            gpu = gpu_of(next(iter(returned.values()))._array)
            joint = _joint(recorder, graph, sources, tuple(returned), gradients, edges, self._arguments, gpu)
        captured = [source.tensor for _, source in recorder.inputs if isinstance(source, Captured)]
        return Recording(
            reason,
            graph,
            sources,
            self._structure,
            tuple(self._results),
            tuple(self._writes),
            tuple(self._gradients),
            tuple((tensor, before is not None) for tensor, before in recorder.gradients.values()),
            tuple((tensor, tensor.requires_grad) for tensor in captured),
            tuple((module, module.training) for module, _ in recorder.modules.values()),
            tuple(recorder.checks),
            tuple(self._attributes),
            joint,
            options=options,
        )

    def _output(self, array: AnyArray) -> tuple[int, tuple[int, ...] | None]:
        """A new output of the graph: its number, and the strides that it must have."""
        node = self._recorder.read(array)
        if node is None:
            raise Ended
        self._outputs.append(node)
        return len(self._outputs) - 1, None if array.flags.c_contiguous else array.strides

    def _result(self, leaf: object) -> object:
        if isinstance(leaf, Tensor):
            position = next((i for i, each in enumerate(self._arguments) if each is leaf), None)
            if position is not None:
                return Same(None, position)
            if not self._recorder.is_own(leaf) and _is_captured(self._recorder, leaf):
                return Same(leaf, 0)
            self._recorder.seen(leaf)
            return Returned(*self._output(leaf._array))
        if leaf is None or isinstance(leaf, bool | int | float | complex | str):
            return leaf
        self._recorder.refuse(f"returns {describe(leaf)}", "return tensors, numbers and strings in plain containers")
        raise Ended

    def _left_gradients(self) -> list[tuple[Tensor, int | None, tuple[int, ...] | None]]:
        """Tensors whose `grad` is another one than before."""
        found: list[tuple[Tensor, int | None, tuple[int, ...] | None]] = []
        for tensor, before in self._recorder.gradients.values():
            now = meta_of(tensor).grad
            if now is None and before is not None:
                found.append((tensor, None, None))
            elif now is not None and now is not before:
                found.append((tensor, *self._output(now._array)))
        return found

    def _written(self) -> list[tuple[Source, int]]:
        """What came from outside and was written to, but for gradients that were replaced afterwards."""
        replaced = {id(tensor) for tensor, _, _ in self._gradients}
        found: list[tuple[Source, int]] = []
        for cell in self._recorder.cells:
            source = cell.source
            if source is None or not cell.is_written:
                continue
            if not (isinstance(source, Gradient) and id(source.tensor) in replaced):
                self._outputs.append(cell.node)
                found.append((source, len(self._outputs) - 1))
        return found

    def _check_settled(self) -> None:
        """Raise Unsettled where a tensor that the call made lives on somewhere: a program couldn't renew it."""
        known = [leaf for leaf in self._leaves if isinstance(leaf, Tensor)]
        known += [each for tensor, _, _ in self._gradients if (each := meta_of(tensor).grad) is not None]
        known += [each.tensor for each, _, _ in self._attributes]
        held = _held_by(known)

        def left() -> list[Made]:
            return [
                each
                for each in self._recorder.tensors
                if (found := each.tensor()) is not None and id(found) not in held
            ]

        if left():
            gc.collect()
        kept = left()
        if kept:
            where = kept[0].location
            raise Unsettled(
                "keeps a tensor that it makes" + ("" if where is None else f" (made at {where.describe()})"),
                "return it, or copy it to a tensor made before, with copy_()",
            )


def _held_by(tensors: Sequence[Tensor]) -> set[int]:
    """The tensors, by identity, and those that they keep alive: bases of views, and what is on the tape behind them."""
    held: set[int] = set()
    nodes: set[GradNode] = set()
    pending: list[GradNode] = []

    def add(tensor: Tensor) -> None:
        held.add(id(tensor))
        meta = tensor._meta
        if meta is not None:
            if meta.view is not None:
                held.add(id(meta.view.base))
                base = meta.view.base._meta
                pending.extend([base.node] if base is not None and base.node is not None else [])
            pending.extend([meta.node] if meta.node is not None else [])
            held.add(id(meta.grad))

    for each in tensors:
        add(each)
    while pending:
        node = pending.pop()
        if node in nodes:
            continue
        nodes.add(node)
        if isinstance(node, AccumulateGrad):
            add(node.variable)
        for value in getattr(node, "__dict__", {}).values():  # of a function in Python
            for each in value if isinstance(value, list | tuple) else (value,):
                if isinstance(each, Tensor):
                    add(each)
        pending.extend(edge[0] for edge in node.edges if edge is not None)
    return held


def _replaced(recorder: Recorder) -> list[Attribute]:
    """Attributes of modules that are tensors made by the call; raises Unsettled where anything else of one is new."""
    found: list[Attribute] = []
    for module, before in recorder.modules.values():
        for name, value in {**module.__dict__, **module._buffers}.items():
            old = before.get(name)
            if value is old or name in ("_watch", "training"):
                continue
            if isinstance(value, Tensor) and recorder.is_own(value) and not value.requires_grad:
                found.append(Attribute(module, name))
            elif isinstance(value, Tensor) or type(value) is not type(old) or value != old:
                raise Unsettled(
                    f"sets {type(module).__name__}.{name} at each call", "set it outside, or make it a buffer"
                )
    return found


def _joint(
    recorder: Recorder,
    graph: Graph,
    sources: Sequence[Source],
    returned: tuple[int, ...],
    gradients: Sequence[Node],
    edges: Sequence[Edge],
    arguments: Sequence[Tensor],
    gpu: int | None,
) -> Joint | None:
    """The two programs of results that require gradients, whose gradients leave at these edges."""
    places: dict[Edge, int] = {}
    for index, source in enumerate(sources):
        edge = _edge(source, arguments)
        if edge is not None:
            places.setdefault(edge, index)
    known = [(places[edge], node) for edge, node in zip(edges, gradients) if edge in places]
    if not known:
        return None
    seeds = [node for node, source in recorder.inputs if isinstance(source, Cotangent)]
    whole = Graph(graph.name, (*graph.inputs, *seeds), (*graph.outputs, *(node for _, node in known)))
    wanted = tuple(index for index, _ in known)
    joint = split(strip_detach(whole), len(graph.inputs), len(graph.outputs), returned, wanted, gpu)
    if not recorder.has_own_gradient:
        joint.flat = flat_plan(graph.inputs, [graph.outputs[index] for index in returned])
    return joint


def _edge(source: Source, arguments: Sequence[Tensor]) -> Edge | None:
    """Where the gradient of an input goes on the tape."""
    tensor = source.holder(arguments)
    return None if tensor is None or not tensor.requires_grad else edge_of(tensor)


def _is_captured(recorder: Recorder, tensor: Tensor) -> bool:
    cell = recorder.cell_of(tensor._array)
    return cell is not None and isinstance(cell.source, Captured) and cell.source.tensor is tensor
