"""Plans: an operation on tensors of certain types as an IR graph, its native code, and the graph of its gradient.

Level: between the IR and eager tensors. In: a graph whose inputs are the tensors (and changing numbers) of a call.
Out: a `Plan` that runs on arrays, and for each choice of inputs that need gradients a `Backward`: which values it
reads, and plans that carry cotangents back. A backward plan is a plan like any other, so it has a gradient too.

    plan = Plan(graph, "MulBackward0")
    (product,) = plan.run((a, b))
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from graphc.eager.geometry import Unviewable, can_move, moved
from graphc.eager.names import gradient_name
from graphc.eager.node import node_type
from graphc.eager.placement import common_gpu
from graphc.eager.program import Recipe, executable_for, place_for
from graphc.eager.result_layout import of_graph
from graphc.eager.watch import WATCHING, watcher
from graphc.frontend.executable import Executable
from graphc.ir.dim import bounds
from graphc.ir.errors import CodeMemoryFull
from graphc.ir.graph import INPUT, Graph, Node, make_input
from graphc.ir.interpret import evaluate_graph
from graphc.ir.op import Flags
from graphc.ir.replace import replace_nodes
from graphc.ir.settings import settings
from graphc.ir.type import TensorType
from graphc.ops import build, elementwise

if TYPE_CHECKING:
    pass

AnyArray: TypeAlias = npt.NDArray[Any]
Needs: TypeAlias = "tuple[bool, ...]"

_lock = threading.RLock()
"""Held while a plan is compiled."""
_differentiating = threading.RLock()
"""Held while a gradient is made: nobody has to wait for the compiler with that."""
SMALL = 1 << 15
"""Elements that one thread copies as quickly as several."""
MANY = 16
"""Tensors that are joined by numpy, since code for so many takes long to make."""


@dataclass(frozen=True, slots=True)
class Saved:
    """A value that a gradient reads: an input or an output of the plan."""

    source: Literal["input", "output"]
    index: int


@dataclass(frozen=True, slots=True, eq=False)
class Variant:
    """The backward plan where cotangents of certain outputs have come."""

    plan: Plan | None
    """Takes the saved values that it reads, then the cotangents; None where no gradient flows."""
    reads: tuple[int, ...]
    """Which of the backward's saved values the plan takes."""
    produces: tuple[int, ...]
    """The inputs whose gradients the plan gives, in order."""


class Backward:
    """The gradient of a plan by some of its inputs."""

    __slots__ = ("_variants", "needs", "node_type", "number", "places", "plan", "saved")

    def __init__(self, plan: Plan, needs: Needs) -> None:
        self.plan = plan
        self.needs = needs
        self._variants: dict[Needs, Variant] = {}
        grads, reads, produces = differentiate(plan.graph, needs, plan.differentiable)
        self.saved: tuple[Saved, ...] = reads
        """All that any variant reads."""
        self.places = tuple([(each.source == "input", each.index) for each in reads])
        """The same, as recording reads it."""
        self.node_type = node_type(plan.name)
        """The class of the nodes that record the plan under its own name."""
        self._variants[plan.differentiable] = self._variant(plan.differentiable, grads, reads, produces)
        self.number = next_number()

    def variant(self, given: Needs) -> Variant:
        """The backward plan for cotangents of the outputs that `given` names."""
        found = self._variants.get(given)
        if found is None:
            with _differentiating:
                made = differentiate(self.plan.graph, self.needs, given)
                found = self._variants[given] = self._variant(given, *made)
        return found

    def _variant(
        self, given: Needs, graph: Graph | None, reads: tuple[Saved, ...], produces: tuple[int, ...]
    ) -> Variant:
        positions = tuple(self.saved.index(each) for each in reads)
        if graph is None:
            return Variant(None, (), ())
        recipe = self.plan.recipe
        if recipe is not None:
            recipe = Recipe(("backward", recipe.key, self.needs, given), recipe.types, self._rebuild(given, reads))
        plan = Plan(graph, gradient_name(self.plan.name), recipe, self.plan.is_sure)
        return Variant(plan, positions, produces)

    def _rebuild(self, given: Needs, reads: tuple[Saved, ...]) -> Callable[[Sequence[TensorType]], Graph | None]:
        """What builds the graph of the gradients for other sizes, if it reads the same values there."""
        forward, needs = self.plan.recipe, self.needs

        def rebuild(types: Sequence[TensorType]) -> Graph | None:
            assert forward is not None
            graph = forward.build(types)
            if graph is None:
                return None
            found, its_reads, _ = differentiate(graph, needs, given)
            return found if its_reads == reads else None

        return rebuild


_COMPUTED_AGAIN = frozenset(("div", "erfinv"))
"""Operations whose results PyTorch doesn't keep for the gradient: they may be written to afterwards."""


def differentiate(graph: Graph, needs: Needs, given: Needs) -> tuple[Graph | None, tuple[Saved, ...], tuple[int, ...]]:
    """The graph of the gradients, what of the plan's values it reads, and for which inputs it is."""
    # Late: importing graphc must be quick, and it needs no gradients.
    from graphc.passes.autodiff import vjp
    from graphc.passes.pipeline import parse_pipeline

    wanted = [node for node, needed in zip(graph.inputs, needs) if needed]
    cotangents = [
        make_input(f"ct_{k}", output.tensor) if is_given and output.tensor.dtype.is_differentiable else None
        for k, (output, is_given) in enumerate(zip(graph.outputs, given))
    ]
    found = iter(vjp(graph.outputs, wanted, cotangents))
    gradients = {i: next(found) for i, needed in enumerate(needs) if needed}
    if all(each is None for each in cotangents):
        return None, (), ()
    # An input without influence, as that of a step function, has a gradient of zeros.
    filled = [build.zeros_like(graph.inputs[i]) if g is None else g for i, g in gradients.items()]
    # An output that the gradient reads is taken as it is, not computed again; an output may be an input itself.
    outputs = {
        node: make_input(f"out_{k}", node.tensor)
        for k, node in enumerate(graph.outputs)
        if node.op is not INPUT and node.op.name not in _COMPUTED_AGAIN
    }
    nodes = replace_nodes(filled, outputs)
    sources: dict[Node, Saved] = {node: Saved("input", i) for i, node in enumerate(graph.inputs)}
    sources |= {outputs[node]: Saved("output", k) for k, node in enumerate(graph.outputs) if node in outputs}
    seeds = [each for each in cotangents if each is not None]
    whole = Graph("backward", (*sources, *seeds), tuple(nodes))
    whole = parse_pipeline("simplify").run(whole)
    used = {operand for node in whole.nodes for operand in node.inputs} | set(whole.outputs)
    # Passes keep the order of inputs, but may build them again.
    kinds = [*sources.values(), *([None] * len(seeds))]
    kept = [(node, kind) for node, kind in zip(whole.inputs, kinds) if kind is None or node in used]
    reads = tuple(kind for _, kind in kept if kind is not None)
    return Graph("backward", tuple(node for node, _ in kept), whole.outputs), reads, tuple(gradients)


class Plan:
    """One operation for inputs of fixed types."""

    __slots__ = (
        "_backwards",
        "_executable",
        "_on_gpus",
        "differentiable",
        "fast",
        "fast_on_gpu",
        "graph",
        "is_elementwise",
        "is_sure",
        "layouts",
        "name",
        "number",
        "recipe",
    )

    def __init__(self, graph: Graph, name: str, recipe: Recipe | None = None, is_sure: bool = False) -> None:
        self.graph = graph
        self.recipe = recipe
        """What builds the graph for other sizes, so that they can share native code."""
        self.name = name
        """That of the nodes that record it."""
        self.is_sure = is_sure
        """Whether all elements that it looks for are there: then nobody waits for what a GPU finds wrong."""
        self.number = next_number()
        self.differentiable: Needs = tuple(
            node.tensor.dtype.is_differentiable and node.op is not elementwise.detach for node in graph.outputs
        )
        """Which outputs can have a gradient."""
        self.is_elementwise = _is_elementwise(graph)
        """Whether each element of the result depends on the same element of each operand, after broadcasting."""
        self.layouts = of_graph(graph)
        """What tells the strides of the outputs, where some don't lie like those of other functions."""
        self._executable: Executable | None = None
        self._on_gpus: dict[tuple[int, str], Executable] = {}
        self._backwards: dict[Needs, Backward] = {}
        self.fast: Callable[..., object] = _not_yet
        self.fast_on_gpu: Callable[..., object] = _not_yet
        """As `fast`, on arrays of the GPU that was used first."""
        is_small = len(graph.inputs) == 1 and all(bounds(node.tensor.size)[1] <= SMALL for node in graph.outputs)
        if can_move(graph) and (is_small or len(graph.inputs) > MANY):
            self.fast = self._move

    @classmethod
    def of(cls, executable: Executable, name: str) -> Plan:
        """The plan of a graph that is compiled already."""
        plan = cls(executable.graph, name)
        plan._executable = executable
        return plan

    @property
    def executable(self) -> Executable:
        """The native code; made when first asked for."""
        if self._executable is None:
            with _lock:
                if self._executable is None:
                    self._executable = executable_for(self.graph, self.recipe)
                    if not self.layouts:
                        self.fast = self._executable.fast
        return self._executable

    def _move(self, *arrays: AnyArray) -> tuple[AnyArray, ...] | None:
        """Elements moved: a copy by strides needs no code of its own. None for arrays of another kind."""
        if not self._fits(arrays) or any(type(array) is not np.ndarray for array in arrays):
            return None
        try:
            return tuple(moved(self.graph, arrays))
        except Unviewable:
            self.fast = _not_yet
            return None

    def run(self, arrays: Sequence[AnyArray]) -> tuple[AnyArray, ...]:
        """The outputs for these inputs; new arrays."""
        result: Any = self.fast(*arrays)
        if type(result) is not tuple:
            result = self._run_slowly(arrays)
        if WATCHING:
            found = watcher()
            if found is not None:
                found.computed(self.graph, arrays, result)
        return result  # type: ignore[no-any-return]  # a tuple of arrays

    def on_gpu(self, gpu: int) -> Executable:
        """The code for a GPU; made when first asked for."""
        key = gpu, settings().cuda_driver
        found = self._on_gpus.get(key)
        if found is None:
            with _lock:
                found = self._on_gpus.get(key)
                if found is None:
                    place = replace(place_for(gpu), waits=not self.is_sure)
                    found = self._on_gpus[key] = executable_for(self.graph, self.recipe, place)
                    if not self.layouts and self.fast_on_gpu is _not_yet:
                        self.fast_on_gpu = found.fast
        return found

    def prepare(self, gpu: int | None) -> None:
        """Make the code for a GPU or (None) the CPU."""
        _ = self.executable if gpu is None else self.on_gpu(gpu)

    def _run_slowly(self, arrays: Sequence[AnyArray]) -> tuple[AnyArray, ...]:
        gpu = common_gpu(arrays)
        if gpu is not None:
            executable = self.on_gpu(gpu)
            found: Any = executable.fast(*arrays)
            return found if type(found) is tuple else executable.outputs(arrays)
        try:
            return self.executable.outputs(arrays)
        except CodeMemoryFull:  # thousands of operations were compiled: from now on new ones are interpreted
            self.fast = self._interpret
            return evaluate_graph(self.graph, arrays)

    def _interpret(self, *arrays: AnyArray) -> tuple[AnyArray, ...] | None:
        return evaluate_graph(self.graph, arrays) if self._fits(arrays) else None

    def _fits(self, arrays: Sequence[AnyArray]) -> bool:
        """Whether the inputs have the types that the plan is for: a call tries the plan of the call before."""
        inputs = self.graph.inputs
        return len(arrays) == len(inputs) and all(
            array.shape == node.shape and array.dtype == node.tensor.dtype.numpy for array, node in zip(arrays, inputs)
        )

    def backward(self, needs: Needs) -> Backward:
        """The gradient by the inputs that `needs` names."""
        found = self._backwards.get(needs)
        if found is None:
            with _differentiating:
                found = self._backwards.get(needs)
                if found is None:
                    found = self._backwards[needs] = Backward(self, needs)
        return found


def _not_yet(*arrays: object) -> None:
    """What a plan runs before it has native code."""


_ELEMENTWISE = ("broadcast", "constant")


def _is_elementwise(graph: Graph) -> bool:
    """Whether the graph's only movement is broadcasting its inputs."""
    for node in graph.nodes:
        if node.op is INPUT or node.op.has(Flags.ELEMENTWISE) or node.op.name in _ELEMENTWISE:
            continue
        if node.op.name == "reshape" and all(
            size == 1 for size in node.shape[: len(node.shape) - len(node.inputs[0].shape)]
        ):
            if node.shape[len(node.shape) - len(node.inputs[0].shape) :] == node.inputs[0].shape:
                continue  # lines a broadcast up
        return False
    return True


_numbers = itertools.count(1)


def next_number() -> int:
    """A number that no other plan or gradient has: what graphs of the tape are compared by."""
    return next(_numbers)
