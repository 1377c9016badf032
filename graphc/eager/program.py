"""Native code for plans: for the sizes at hand at first, for all sizes once the same operation came with others.

In: a plan's graph and a `Recipe`, which can build it again for symbolic sizes. Out: an `Executable`. Sizes that are
equal stay equal, and sizes of 0 and 1 stay numbers: what is left of a key after that is its pattern. The first plans of
a pattern have code of their own; the next makes a program whose sizes are symbols, which serves all that follow.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace

from graphc.frontend.executable import Executable
from graphc.frontend.place import Place, place_of
from graphc.ir.dim import Size, symbol, symbols
from graphc.ir.errors import CodeMemoryFull, GraphcError
from graphc.ir.graph import Graph
from graphc.ir.location import using
from graphc.ir.sizes import bind_sizes, fix_sizes
from graphc.ir.type import TensorType, TupleType

OWN_PROGRAMS = 2
"""Plans of one pattern that have code for their sizes alone."""
MOST_OWN = 128
"""Plans with code of their own that differ in nothing but numbers and sizes; those that come later are interpreted."""


@dataclass(frozen=True, slots=True, eq=False)
class Recipe:
    """How a plan's graph comes from the types of a call."""

    key: Hashable
    """All that it depends on besides sizes."""
    types: tuple[TensorType, ...]
    """Those of the call's inputs; the plan's own may be others."""
    build: Callable[[Sequence[TensorType]], Graph | None]
    """The graph for other sizes; None where it would not be the same operation."""


def pattern_of(types: Sequence[TensorType]) -> tuple[TensorType, ...]:
    """The types with symbols for sizes above 1, one for each number."""
    names: dict[object, Size] = {}
    found: list[TensorType] = []
    for type in types:
        shape: list[Size] = []
        for size in type.shape:
            if isinstance(size, int) and size > 1:
                size = names.setdefault(size, symbol(f"n{len(names)}", 2))
            shape.append(size)
        found.append(type.with_shape(tuple(shape)))
    return tuple(found)


class _Pattern:
    """What is known of one operation with one pattern of sizes."""

    __slots__ = ("count", "executable", "is_tried")

    def __init__(self) -> None:
        self.count = 0
        self.is_tried = False
        self.executable: Executable | None = None


_patterns: dict[Hashable, _Pattern] = {}
_own: dict[Hashable, set[Hashable]] = {}
"""Which plans of each kind have code of their own."""
_lock = threading.RLock()


def executable_for(graph: Graph, recipe: Recipe | None, place: Place | None = None) -> Executable:
    """Code of the CPU or a GPU for the graph; raises CodeMemoryFull where too many of the kind have code already."""
    if recipe is None:
        return Executable.build(graph, place=place)
    if not any(isinstance(size, int) and size > 1 for type in recipe.types for size in type.shape):
        return _of_its_own(graph, recipe, place)
    types = pattern_of(recipe.types)
    key = (recipe.key, types, place)
    with _lock:
        pattern = _patterns.setdefault(key, _Pattern())
        pattern.count += 1
        if pattern.count > OWN_PROGRAMS and not pattern.is_tried:
            pattern.is_tried = True
            pattern.executable = _general(recipe, types, place)
    if pattern.executable is not None and _fits(pattern.executable, graph):
        return pattern.executable.bound()
    return _of_its_own(graph, recipe, place)


def place_for(gpu: int) -> Place:
    """Where code for a GPU's tensors runs. What their kernels find wrong is an error of the call itself."""
    return replace(place_of(gpu), waits=True)


def _of_its_own(graph: Graph, recipe: Recipe, place: Place | None) -> Executable:
    """Code for this graph alone: a loop may pass another number each time, and its plan keeps it."""
    kind, key = (_without_numbers(recipe.key), pattern_of(recipe.types)), (recipe.key, recipe.types)
    with _lock:
        known = _own.setdefault(kind, set())
        if key not in known and len(known) >= MOST_OWN:
            raise CodeMemoryFull(f"{MOST_OWN} programs of one kind are loaded")
        known.add(key)
    return Executable.build(graph, place=place)


def _without_numbers(key: Hashable) -> Hashable:
    """What a recipe depends on besides sizes and numbers."""
    if isinstance(key, tuple):
        return tuple(_without_numbers(each) for each in key)
    return type(key) if type(key) in (int, float, complex) else key


def _general(recipe: Recipe, types: Sequence[TensorType], place: Place | None) -> Executable | None:
    """A program for all sizes; None where the operation has to know them."""
    try:
        with using(None):
            graph = recipe.build(types)
        return None if graph is None or not _knows_its_sizes(graph) else Executable.build(graph, place=place)
    except GraphcError:  # a size that must be a number
        return None


def _knows_its_sizes(graph: Graph) -> bool:
    """Whether all symbols are sizes of inputs: the gradient of a sum is as large as its operand, which isn't read."""
    given = set(graph.sizes)
    for node in graph.nodes:
        types = node.type.elements if isinstance(node.type, TupleType) else (node.type,)
        if not all(set(symbols(size)) <= given for type in types for size in type.shape):
            return False
    return True


def _fits(executable: Executable, graph: Graph) -> bool:
    """Whether the program computes this graph: for these sizes it must give the same types."""
    general = executable.graph
    if len(general.inputs) != len(graph.inputs) or len(general.outputs) != len(graph.outputs):
        return False
    try:
        values = bind_sizes(general, [node.shape for node in graph.inputs])  # type: ignore[misc]  # they are numbers
        fixed = fix_sizes(Graph(general.name, general.inputs, general.outputs), values)
    except GraphcError:
        return False
    return all(
        a.type == b.type for a, b in zip((*fixed.inputs, *fixed.outputs), (*graph.inputs, *graph.outputs), strict=True)
    )
