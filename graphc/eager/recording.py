"""A recorded call as a program: what it reads, what it gives, and where that goes.

In: what `graphc/eager/outcome.py` found out about a call. Out: a `Recording`, which tells whether it serves another
call of the same kind, and runs it: one native call, whose outputs become results, gradients and new values of tensors.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from graphc.eager.placement import common_gpu, copy_into, copy_of
from graphc.eager.result_layout import laid_out
from graphc.eager.source import Attribute, Key, Source
from graphc.eager.step_gradient import Joint, attach
from graphc.eager.tensor import AnyArray, Tensor, meta_of, wrap
from graphc.frontend.executable import Executable, Numerics
from graphc.frontend.place import place_of
from graphc.frontend.tree import Structure
from graphc.ir.fingerprint import fingerprint
from graphc.ir.graph import Graph, Node
from graphc.ir.replace import with_inputs, with_outputs
from graphc.ops import elementwise

UNFIT = object()
"""Stands for the results of a program that tensors found on the way don't fit."""


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
    gpu: int | None = None
    """What it runs on; None: the CPU."""
    places: dict[int, int] = field(default_factory=dict)
    """Where the graph's outputs are among the program's: those written in place aren't."""
    placed: tuple[tuple[Source, int | None], ...] = ()
    """What changes, and which of the program's outputs must be copied there."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """How its code is made."""

    def misfit(self) -> str | None:
        """What of all that the code looked at is other than it was; None if the program serves a call now."""
        if self.stale is not None:
            return self.stale
        for module, training in self.modules:
            if module.training is not training:
                return f"{type(module).__name__}.training was {training} and is {module.training}"
        for attribute, _, _ in self.attributes:
            if attribute.holder(()) is None:
                return f"{type(attribute.module).__name__}.{attribute.name} is no tensor any more"
        for tensor, had in self.had_gradient:
            meta = tensor._meta
            if (meta is not None and meta.grad is not None) is not had:
                return f"a parameter of shape {list(tensor.shape)} {'had a' if had else 'had no'} gradient before"
        for ask, answer in self.checks:
            if ask() != answer:
                return f"what the optimizer does was {answer} and is {ask()}"
        for tensor, required in self.required:
            meta = tensor._meta
            if (meta is not None and meta.requires_grad) is not required:
                return f"requires_grad of a tensor of shape {list(tensor.shape)} was {required}"
        return None

    def run(self, arguments: Sequence[Tensor]) -> object:
        """One native call, and its results put where they belong."""
        executable = self.executable
        if executable is None:
            executable = self._compile(arguments)
        arrays = [source.array(arguments) for source in self.sources]
        outputs: Any = executable.fast(*arrays)
        if outputs is None:
            if not self._takes(arrays):
                for source in self.sources:
                    if isinstance(source, Key):
                        source.generator.put_back()
                return UNFIT
            outputs = executable.outputs(arrays)  # of any layout; what is written in place is copied back
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
            target = source.holder(arguments)
            assert target is not None
            if place is not None:
                copy_into(target._array, outputs[place])
            target._storage.version += 1
        for tensor, output, strides in self.gradients:
            meta_of(tensor).grad = None if output is None else wrap(laid_out(outputs[self.places[output]], strides))
        for attribute, output, strides in self.attributes:
            attribute.put(wrap(laid_out(outputs[self.places[output]], strides)))
        return self.results.fill(leaves)

    def _compile(self, arguments: Sequence[Tensor]) -> Executable:
        """The code; what is written in place is no result of it, so that the others have other numbers."""
        graph = self.graph if self.joint is None else self.joint.forward
        inputs = {source: place for place, source in enumerate(self.sources)}
        donated = {output: inputs[source] for source, output in self.writes if source in inputs}
        reads = () if self.joint is None else self.joint.reads
        # What the backward pass reads must stay as it is.
        donated = {
            output: place
            for output, place in donated.items()
            if (True, place) not in reads and (False, output) not in reads
        }
        self.gpu = common_gpu(self._known_arrays(arguments))
        executable = executable_of(graph, donated, gpu=self.gpu, **self.options)
        in_place = dict(executable.program.in_place)
        kept = [output for output in range(len(graph.outputs)) if output not in in_place]
        self.places = {output: place for place, output in enumerate(kept)}
        self.placed = tuple((source, self.places.get(output)) for source, output in self.writes)
        self.executable = executable
        return executable

    def _known_arrays(self, arguments: Sequence[Tensor]) -> Iterator[AnyArray]:
        """Those of tensors; asking for another source's may draw a random number."""
        for source in self.sources:
            holder = source.holder(arguments)
            if holder is not None:
                yield holder._array

    def _takes(self, arrays: Sequence[AnyArray]) -> bool:
        """Whether the tensors that were found have the types that they had."""
        return common_gpu(arrays) == self.gpu and all(
            array.shape == node.shape and array.dtype == node.tensor.dtype.numpy
            for array, node in zip(arrays, self.graph.inputs)
        )

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
            holder = source.holder(arguments)
            if holder is None:
                sources.append(array)
            elif source in written and index in read:
                sources.append(copy_of(array))
            else:
                sources.append(holder)
        places = {leaf.output: each for leaf, each in zip(self.leaves, leaves) if isinstance(leaf, Returned)}
        whole = {output: outputs[place] for output, place in self.places.items()}
        attach(joint, sources, whole, [places[index] for index in joint.outputs])  # type: ignore[misc]  # tensors


_executables: weakref.WeakValueDictionary[Hashable, Executable] = weakref.WeakValueDictionary()
_lock = threading.RLock()


def executable_of(
    graph: Graph,
    donated: Mapping[int, int] | None = None,
    numerics: Numerics = "strict",
    passes: str | None = None,
    gpu: int | None = None,
) -> Executable:
    """Code of the CPU or a GPU for a graph; graphs of the same structure share it."""
    graph = strip_detach(graph)
    place = None if gpu is None else place_of(gpu)
    key = (fingerprint(graph), tuple((donated or {}).items()), numerics, passes, place)
    with _lock:
        found = _executables.get(key)
        if found is None:
            found = _executables[key] = Executable.build(
                graph, numerics=numerics, passes=passes, donated=donated, place=place
            )
    return found


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
