"""`graphc.compile` of code on tensors: forward, backward and update of a step as one program.

Level: over the recorder. In: a function of tensors and the arguments of a call. Out: what it returns, with the same
effects on parameters, buffers, gradients and random numbers. The first call of each kind runs eagerly and is recorded;
the next ones run the recorded graph as one native call and put the results where the code would have put them.

What a call's Python decided is checked before its program runs again: types and values of arguments, gradient mode,
`training` of modules and whatever else of them was set, which gradients were there, what requires gradients.
"""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from graphc.eager.mode import MODE
from graphc.eager.node import Edge, edge_of
from graphc.eager.recorder import (
    Argument,
    Attribute,
    Captured,
    Cotangent,
    Gradient,
    Key,
    Made,
    Number,
    Recorder,
    Source,
)
from graphc.eager.result_layout import laid_out
from graphc.eager.step_gradient import Joint, attach, flat_plan, record_backward, split
from graphc.eager.tensor import AnyArray, Tensor, meta_of, wrap
from graphc.eager.watch import watcher
from graphc.frontend.executable import Executable, Numerics
from graphc.frontend.tree import Structure, flatten
from graphc.ir.dtype import get_default_dtype
from graphc.ir.errors import ArgumentError, describe
from graphc.ir.fingerprint import fingerprint
from graphc.ir.graph import Graph, Node
from graphc.ir.replace import with_inputs, with_outputs
from graphc.ops import elementwise

log = logging.getLogger("graphc.compile")

MOST_UNSETTLED = 3
"""Calls that change what programs can't change, before that is taken for what the function always does."""
MANY = 32
"""So many recordings of one function are worth a warning."""

UNFIT = object()
"""Stands for the results of a program that tensors found on the way don't fit."""
Fallback: TypeAlias = "str | None"


@dataclass(frozen=True, slots=True)
class Returned:
    """A result that is a tensor: which output of the graph it is, and the strides that it has."""

    output: int
    strides: tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class Same:
    """A result that is a tensor which the function was given or found."""

    tensor: Tensor | None
    argument: int


@dataclass(slots=True, eq=False)
class Recording:
    """What one kind of call does, as a program."""

    reason: str
    graph: Graph
    sources: tuple[Source, ...]
    """Where the graph's inputs come from."""
    results: Structure
    leaves: tuple[object, ...]
    """Of the results: `Returned`, `Same`, or a plain value."""
    writes: tuple[tuple[Source, int], ...]
    """What gets an output's values in place."""
    gradients: tuple[tuple[Tensor, int | None, tuple[int, ...] | None], ...]
    """Tensors whose `grad` becomes an output, or None."""
    had_gradient: tuple[tuple[Tensor, bool], ...]
    required: tuple[tuple[Tensor, bool], ...]
    modules: tuple[tuple[Any, bool], ...]
    """Modules that were called, and their `training`."""
    checks: tuple[tuple[Callable[[], object], object], ...]
    attributes: tuple[tuple[Attribute, int, tuple[int, ...] | None], ...]
    """Attributes of modules that become an output."""
    joint: Joint | None = None
    """The backward pass of results that require gradients."""
    stale: str | None = None
    """What has changed about a module since, so that this serves no call any more."""
    executable: Executable | None = None
    places: dict[int, int] = field(default_factory=dict)
    """Where the graph's outputs are among the program's: those written in place aren't."""
    placed: tuple[tuple[Source, int | None], ...] = ()
    """What changes, and which of the program's outputs must be copied there."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """How its code is made."""

    def fits(self) -> bool:
        """Whether the things that the code looked at are as they were."""
        if self.stale is not None:
            return False
        for module, training in self.modules:
            if module.training is not training:
                return False
        for attribute, _, _ in self.attributes:
            if not isinstance(attribute.tensor, Tensor):
                return False
        for tensor, had in self.had_gradient:
            meta = tensor._meta
            if (meta is not None and meta.grad is not None) is not had:
                return False
        for ask, answer in self.checks:
            if ask() != answer:
                return False
        for tensor, required in self.required:
            meta = tensor._meta
            if (meta is not None and meta.requires_grad) is not required:
                return False
        return True

    def run(self, arguments: Sequence[Tensor]) -> object:
        """One native call, and its results put where they belong."""
        executable = self.executable
        if executable is None:
            executable = self._compile()
        arrays: list[AnyArray] = []
        for source in self.sources:
            kind = type(source)
            if kind is Captured or kind is Attribute:
                arrays.append(source.tensor._array)
            elif kind is Argument:
                arrays.append(arguments[source.index]._array)
            elif kind is Gradient:
                arrays.append(source.tensor._meta.grad._array)
            elif kind is Key:
                arrays.append(np.array(source.generator.next_key(), np.uint64))
            else:
                assert isinstance(source, Number)
                place = source.place
                value = source.group[place] if type(place) is str else source.group[place[0]][place[1]]
                arrays.append(np.array(value, np.float64))
        outputs: Any = executable.fast(*arrays)
        if outputs is None:
            if not self._takes(arrays):
                return UNFIT
            outputs = self._run_slowly(executable, arrays)
        elif type(outputs) is not tuple:
            executable.refuse(outputs, arrays)
        leaves: list[object] = []
        for leaf in self.leaves:
            if type(leaf) is Returned:
                leaves.append(wrap(laid_out(outputs[self.places[leaf.output]], leaf.strides)))
            elif type(leaf) is Same:
                leaves.append(arguments[leaf.argument] if leaf.tensor is None else leaf.tensor)
            else:
                leaves.append(leaf)
        if self.joint is not None:
            self._attach(self.joint, arguments, arrays, outputs, leaves)
        for source, place in self.placed:
            target = _tensor_of(source, arguments)
            if place is not None:
                np.copyto(target._array, outputs[place])
            target._storage.version += 1
        for tensor, output, strides in self.gradients:
            meta_of(tensor).grad = None if output is None else wrap(laid_out(outputs[self.places[output]], strides))
        for attribute, output, strides in self.attributes:
            attribute.put(wrap(laid_out(outputs[self.places[output]], strides)))
        return self.results.fill(leaves)

    def _compile(self) -> Executable:
        """The code; what is written in place is no result of it, so that the others have other numbers."""
        graph = self.graph if self.joint is None else self.joint.forward
        inputs = {source: place for place, source in enumerate(self.sources)}
        donated = {output: inputs[source] for source, output in self.writes if source in inputs}
        read = () if self.joint is None else {index for is_argument, index in self.joint.reads if is_argument}
        executable = executable_of(
            graph, {output: place for output, place in donated.items() if place not in read}, **self.options
        )
        in_place = dict(executable.program.in_place)
        kept = [output for output in range(len(graph.outputs)) if output not in in_place]
        self.places = {output: place for place, output in enumerate(kept)}
        self.placed = tuple((source, self.places.get(output)) for source, output in self.writes)
        self.executable = executable
        return executable

    def _takes(self, arrays: Sequence[AnyArray]) -> bool:
        """Whether the tensors that were found have the types that they had."""
        return all(
            array.shape == node.shape and array.dtype == node.tensor.dtype.numpy
            for array, node in zip(arrays, self.graph.inputs)
        )

    def _run_slowly(self, executable: Executable, arrays: list[AnyArray]) -> tuple[AnyArray, ...]:
        """As `fast`, for arrays of any layout: what is written in place is copied back."""
        ready = [array if array.flags.c_contiguous else np.ascontiguousarray(array) for array in arrays]
        outputs = executable.outputs(ready)
        for _, place in executable.program.in_place:
            if ready[place] is not arrays[place]:
                np.copyto(arrays[place], ready[place].reshape(arrays[place].shape))
        return outputs

    def _attach(
        self,
        joint: Joint,
        arguments: Sequence[Tensor],
        arrays: Sequence[AnyArray],
        outputs: Sequence[AnyArray],
        leaves: Sequence[object],
    ) -> None:
        """Enter the results into the tape. What is about to be overwritten is copied if the gradient reads it."""
        written = {source for source, _ in self.writes}
        read = {index for is_argument, index in joint.reads if is_argument}
        sources: list[Tensor | AnyArray] = []
        for index, (source, array) in enumerate(zip(self.sources, arrays)):
            if isinstance(source, Key | Number):
                sources.append(array)
            elif source in written and index in read:
                sources.append(np.array(array))
            else:
                sources.append(_tensor_of(source, arguments))
        places = {leaf.output: each for leaf, each in zip(self.leaves, leaves) if isinstance(leaf, Returned)}
        whole = {output: outputs[place] for output, place in self.places.items()}
        attach(joint, sources, whole, [places[index] for index in joint.outputs])  # type: ignore[misc]  # tensors


def _tensor_of(source: Source, arguments: Sequence[Tensor]) -> Tensor:
    if isinstance(source, Argument):
        return arguments[source.index]
    if isinstance(source, Gradient):
        found = meta_of(source.tensor).grad
        assert found is not None, "whether it is there has been looked at"
        return found
    assert isinstance(source, Captured | Attribute)
    found = source.tensor
    assert isinstance(found, Tensor)
    return found


_executables: dict[Hashable, Executable] = {}
_lock = threading.RLock()


def executable_of(
    graph: Graph, donated: Mapping[int, int] | None = None, numerics: Numerics = "strict", passes: str | None = None
) -> Executable:
    """Native code for a graph; graphs of the same structure share it."""
    graph = strip_detach(graph)
    key = (fingerprint(graph), tuple((donated or {}).items()), numerics, passes)
    with _lock:
        found = _executables.get(key)
        if found is None:
            found = _executables[key] = Executable.build(graph, numerics=numerics, passes=passes, donated=donated)
    return found


class Step:
    """A function of tensors, recorded once for each kind of call."""

    def __init__(self, function: Callable[..., Any], name: str, fallback: Fallback = None, **options: Any) -> None:
        self.function = function
        self.options = options
        self.name = name
        self.fallback = fallback
        self.recordings: list[Recording] = []
        self._known: dict[Hashable, list[Recording]] = {}
        self._eager: set[Hashable] = set()
        """Kinds of calls that can't be programs."""
        self._unsettled = 0
        self._lock = threading.RLock()

    @property
    def compilations(self) -> Sequence[tuple[str, Graph, Executable | None]]:
        """For each program why it was made, its graph, and its code once it has run."""
        return [(each.reason, each.graph, each.executable) for each in self.recordings]

    def __call__(self, args: tuple[object, ...], kwargs: dict[str, object]) -> object:
        """Run the program of this kind of call, or run and record it."""
        if watcher() is not None:  # a part of another recording
            return self.function(*args, **kwargs)
        leaves, structure = flatten((args, kwargs))
        key, tensors = _key_of(leaves, structure)
        for recording in self._known.get(key, ()):
            if recording.fits():
                result = recording.run(tensors)
                if result is not UNFIT:
                    return result
                recording.stale = "a tensor that is used has another shape or dtype"
        if key in self._eager:
            return self.function(*args, **kwargs)
        with self._lock:
            return self._record(key, tensors, args, kwargs)

    def _record(
        self, key: Hashable, tensors: Sequence[Tensor], args: tuple[object, ...], kwargs: dict[str, object]
    ) -> object:
        recorder = Recorder(self.name, is_lenient=self.fallback is not None)
        with recorder:
            for index, tensor in enumerate(tensors):
                recorder.argument(index, tensor, f"x{index}")
            owner = getattr(self.function, "__self__", None)
            if hasattr(owner, "named_parameters"):
                recorder.called(owner)  # the function is a method of a module
            result = self.function(*args, **kwargs)
            made = None if recorder.failure is not None else self._finish(recorder, tensors, result)
        if recorder.failure is not None:
            self._eager.add(key)
            log.warning("%s runs eagerly: %s", self.name, recorder.failure)
            return result
        if made is not None:
            self.recordings.append(made)
            known = self._known.setdefault(key, [])
            known.insert(0, made)
            for module, _ in made.modules:
                _watch(module, made)
            self._report(made)
        return result

    def _report(self, made: Recording) -> None:
        count = len(self.recordings)
        if count % MANY == 0:
            log.warning("%s has been recorded %d times, now because %s", self.name, count, made.reason)
        elif count > 1:
            log.info("%s is recorded again: %s", self.name, made.reason)

    def _finish(self, recorder: Recorder, tensors: Sequence[Tensor], result: object) -> Recording | None:
        """The recording of a call; None where it would not do the same again."""
        outputs: list[Node] = []

        def output(array: AnyArray) -> int | None:
            node = recorder.read(array)
            if node is None:
                return None
            outputs.append(node)
            return len(outputs) - 1

        leaves, structure = flatten(result)
        kept: list[object] = []
        for leaf in leaves:
            if isinstance(leaf, Tensor):
                position = next((i for i, each in enumerate(tensors) if each is leaf), None)
                if position is not None:
                    kept.append(Same(None, position))
                elif not recorder.is_own(leaf) and _is_captured(recorder, leaf):
                    kept.append(Same(leaf, 0))
                else:
                    recorder.seen(leaf)
                    place = output(leaf._array)
                    if place is None:
                        return None
                    kept.append(Returned(place, _strides(leaf._array)))
            elif leaf is None or isinstance(leaf, bool | int | float | complex | str):
                kept.append(leaf)
            else:
                recorder.refuse(f"returns {describe(leaf)}", "return tensors, numbers and strings in plain containers")
                return None
        gradients: list[tuple[Tensor, int | None, tuple[int, ...] | None]] = []
        for tensor, before in recorder.gradients.values():
            now = None if tensor._meta is None else tensor._meta.grad
            if now is None:
                if before is not None:
                    gradients.append((tensor, None, None))
            elif now is not before:
                place = output(now._array)
                if place is None:
                    return None
                gradients.append((tensor, place, _strides(now._array)))
        writes: list[tuple[Source, int]] = []
        replaced = {id(tensor) for tensor, _, _ in gradients}
        for cell in recorder.cells:
            if cell.source is not None and cell.is_written:
                if isinstance(cell.source, Gradient) and id(cell.source.tensor) in replaced:
                    continue
                outputs.append(cell.node)
                writes.append((cell.source, len(outputs) - 1))
        held = {id(leaf) for leaf in leaves} | {id(meta_of(tensor).grad) for tensor, _, _ in gradients}
        attributes, changed = _changed(recorder)
        replaced_by: list[tuple[Attribute, int, tuple[int, ...] | None]] = []
        for attribute in attributes:
            place = output(attribute.tensor._array)
            if place is None:
                return None
            replaced_by.append((attribute, place, _strides(attribute.tensor._array)))
            held.add(id(attribute.tensor))
        if not self._is_settled(recorder, held, changed):
            return None
        returned = {
            leaf.output: each
            for leaf, each in zip(kept, leaves)
            if isinstance(leaf, Returned) and isinstance(each, Tensor) and each.requires_grad
        }
        backward = record_backward(recorder, list(returned.values()), tensors) if returned else None
        if recorder.failure is not None:
            return None
        used = _used([*outputs, *(backward[0] if backward is not None else ())])
        edges = set(backward[1] if backward is not None else ())
        is_input = [
            isinstance(source, Key)
            or (node in used and not isinstance(source, Cotangent))
            or _edge(source, tensors) in edges
            for node, source in recorder.inputs
        ]
        inputs = [each for each, is_kept in zip(recorder.inputs, is_input) if is_kept]
        nodes = tuple(node for node, _ in inputs)
        graph = Graph(self.name, nodes, tuple(outputs))
        before = {id(recorder.modules[id(each.module)][1].get(each.name)): each for each in attributes}
        sources = tuple(
            before.get(id(source.tensor), source) if isinstance(source, Captured) else source for _, source in inputs
        )
        joint = None
        if backward is not None:
            joint = _joint(recorder, graph, sources, tuple(returned), *backward, tensors)
        captured = [source.tensor for _, source in recorder.inputs if isinstance(source, Captured)]
        return Recording(
            self._reason(recorder, tensors),
            graph,
            sources,
            structure,
            tuple(kept),
            tuple(writes),
            tuple(gradients),
            tuple((tensor, before is not None) for tensor, before in recorder.gradients.values()),
            tuple((tensor, tensor.requires_grad) for tensor in captured),
            tuple((module, module.training) for module, _ in recorder.modules.values()),
            tuple(recorder.checks),
            tuple(replaced_by),
            joint,
            options=self.options,
        )

    def _is_settled(self, recorder: Recorder, held: set[int], changed: str | None) -> bool:
        """Whether the call would do the same again: all that it made is gone or accounted for, and nothing was set."""

        def left() -> list[Made]:
            return [each for each in recorder.tensors if (found := each.tensor()) is not None and id(found) not in held]

        if changed is None and left():
            gc.collect()
        kept = [] if changed is not None else left()
        if changed is None and not kept:
            self._unsettled = 0
            return True
        self._unsettled += 1
        if self._unsettled >= MOST_UNSETTLED:
            if changed is not None:
                recorder.refuse(f"sets {changed} at each call", "set it outside, or make it a buffer")
            else:
                where = kept[0].location
                recorder.refuse(
                    "keeps a tensor that it makes" + ("" if where is None else f" (made at {where.describe()})"),
                    "return it, or copy it to a tensor made before, with copy_()",
                )
        return False

    def _reason(self, recorder: Recorder, tensors: Sequence[Tensor]) -> str:
        if not self.recordings:
            return "first call"
        stale = next((each.stale for each in reversed(self.recordings) if each.stale is not None), None)
        return stale or "a call of another kind"


def _joint(
    recorder: Recorder,
    graph: Graph,
    sources: Sequence[Source],
    returned: tuple[int, ...],
    gradients: Sequence[Node],
    edges: Sequence[Edge],
    arguments: Sequence[Tensor],
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
    joint = split(
        strip_detach(whole), len(graph.inputs), len(graph.outputs), returned, tuple(index for index, _ in known)
    )
    if not recorder.has_own_gradient:
        joint.flat = flat_plan(graph.inputs, [graph.outputs[index] for index in returned])
    return joint


def _edge(source: Source, arguments: Sequence[Tensor]) -> Edge | None:
    """Where the gradient of an input goes on the tape."""
    if isinstance(source, Key | Number | Cotangent):
        return None
    tensor = _tensor_of(source, arguments)
    return edge_of(tensor) if tensor.requires_grad else None


def strip_detach(graph: Graph) -> Graph:
    """The graph without what only says that no gradient flows: its gradients are there already."""
    if not any(node.op is elementwise.detach for node in graph.nodes):
        return graph
    new: dict[Node, Node] = {}
    for node in graph.nodes:
        if node.op is elementwise.detach:
            new[node] = new[node.inputs[0]]
        else:
            new[node] = with_inputs(node, tuple([new[each] for each in node.inputs]))
    return with_outputs(graph, tuple([new[node] for node in graph.outputs]))


def _changed(recorder: Recorder) -> tuple[list[Attribute], str | None]:
    """Attributes of modules that are tensors made by the call, and the name of one that is anything else new."""
    found: list[Attribute] = []
    for module, before in recorder.modules.values():
        for name, value in {**module.__dict__, **module._buffers}.items():
            old = before.get(name)
            if value is old or name in ("_watch", "training"):
                continue
            if isinstance(value, Tensor) and recorder.is_own(value) and not value.requires_grad:
                found.append(Attribute(module, name))
            elif isinstance(value, Tensor) or type(value) is not type(old) or value != old:
                return found, f"{type(module).__name__}.{name}"
    return found, None


def _key_of(leaves: Sequence[object], structure: Structure) -> tuple[Hashable, list[Tensor]]:
    tensors: list[Tensor] = []
    key: list[Hashable] = [structure, MODE.grad, MODE.inference, get_default_dtype()]
    places: dict[int, int] = {}
    for leaf in leaves:
        if isinstance(leaf, Tensor):
            array = leaf._array
            place = places.setdefault(id(leaf._storage), len(tensors))
            tensors.append(leaf)
            meta = leaf._meta
            is_required = meta is not None and leaf.requires_grad
            key += (type(leaf), array.dtype, array.shape, place, is_required)
            if not array.flags.c_contiguous:
                key.append(array.strides)
        else:
            try:
                hash(leaf)
            except TypeError:
                raise ArgumentError(
                    f"compile: an argument is {describe(leaf)}, which can't be told from another one",
                    hint="pass tensors, numbers, strings and plain containers of them",
                ) from None
            key += (type(leaf), leaf)
    return tuple(key), tensors


def _strides(array: AnyArray) -> tuple[int, ...] | None:
    return None if array.flags.c_contiguous else array.strides


def _is_captured(recorder: Recorder, tensor: Tensor) -> bool:
    cell = recorder.cell_of(tensor._array)
    return cell is not None and isinstance(cell.source, Captured) and cell.source.tensor is tensor


def _used(outputs: Sequence[Node]) -> set[Node]:
    found: set[Node] = set()
    pending = list(outputs)
    while pending:
        node = pending.pop()
        if node not in found:
            found.add(node)
            pending += node.inputs
    return found


def _watch(module: Any, recording: Recording) -> None:
    """Let changes of a module's attributes make the recording stale."""
    watched = module.__dict__.get("_watch")
    if watched is None:
        watched = _Changes()
        module.__dict__["_watch"] = watched
    watched.recordings.append(recording)


class _Changes:
    """Hears of every attribute of a module that is set."""

    def __init__(self) -> None:
        self.recordings: list[Recording] = []

    def __call__(self, module: Any, name: str) -> None:
        if name == "training":
            return  # that is looked at before each run
        for each in self.recordings:
            if each.stale is None:
                each.stale = f"{type(module).__name__}.{name} was set"
        self.recordings.clear()
