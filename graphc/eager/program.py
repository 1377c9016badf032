"""Native code for plans: for the sizes at hand at first, for all sizes once the same operation came with others.

In: a plan's graph and a `Recipe`, which can build it again for symbolic sizes. Out: an `Executable`. Sizes that are
equal stay equal, and sizes of 0 and 1 stay numbers: what is left of a key after that is its pattern. The first plans of
a pattern have code of their own; the next makes a program whose sizes are symbols, which serves all that follow. Where
an operation has to know sizes (a convolution that of its filter, to be sure that it fits), those that have been the
same in all plans stay numbers.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass, replace

from graphc.frontend.executable import Executable
from graphc.frontend.place import Place, place_of
from graphc.ir.dim import Size, symbol, symbols
from graphc.ir.errors import CodeMemoryFull, GraphcError
from graphc.ir.graph import Graph
from graphc.ir.location import using
from graphc.ir.op import Flags
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
    return _with_symbols(types, set())


def _with_symbols(types: Sequence[TensorType], fixed: Collection[str]) -> tuple[TensorType, ...]:
    """The types with symbols for sizes above 1, one for each number; symbols of these names stay numbers."""
    names = _names(types)
    symbol_of: dict[Size, Size] = {size: symbol(name, 2) for name, size in names.items() if name not in fixed}
    return tuple(type.with_shape(tuple(symbol_of.get(size, size) for size in type.shape)) for type in types)


def _names(types: Sequence[TensorType]) -> dict[str, int]:
    """The numbers that get symbols, by the symbols' names."""
    sizes = dict.fromkeys(size for type in types for size in type.shape if isinstance(size, int) and size > 1)
    return {f"n{k}": size for k, size in enumerate(sizes)}


class _Pattern:
    """What is known of one operation with one pattern of sizes."""

    __slots__ = ("_changed", "_first", "_programs", "count")

    def __init__(self, types: Sequence[TensorType]) -> None:
        self.count = 0
        self._first = _names(types)
        self._changed: set[str] = set()
        self._programs: dict[tuple[TensorType, ...], Executable | None] = {}

    def see(self, types: Sequence[TensorType]) -> None:
        """Count a plan, and note which sizes are others than those of the first."""
        self.count += 1
        self._changed |= {name for name, size in _names(types).items() if size != self._first[name]}

    def program(self, graph: Graph, recipe: Recipe, place: Place | None) -> Executable | None:
        """A program for all sizes; where the operation has to know some, one for all values of those that changed."""
        fixed = self._first.keys() - self._changed
        for types in dict.fromkeys((pattern_of(recipe.types), _with_symbols(recipe.types, fixed))):
            if types != recipe.types:
                if types not in self._programs:
                    self._programs[types] = _general(recipe, types, place)
                found = self._programs[types]
                if found is not None and _fits(found, graph):
                    return found
        return None


_patterns: dict[Hashable, _Pattern] = {}
_own: dict[Hashable, set[Hashable]] = {}
"""Which plans of each kind have code of their own."""
_lock = threading.RLock()


def executable_for(graph: Graph, recipe: Recipe | None, place: Place | None = None) -> Executable:
    """Code of the CPU or a GPU for the graph; raises CodeMemoryFull where too many of the kind have code already."""
    if recipe is None:
        return Executable.build(graph, place=place)
    if not _names(recipe.types):
        return _of_its_own(graph, recipe, place)
    key = (recipe.key, pattern_of(recipe.types), place)
    with _lock:
        pattern = _patterns.setdefault(key, _Pattern(recipe.types))
        pattern.see(recipe.types)
        found = pattern.program(graph, recipe, place) if pattern.count > OWN_PROGRAMS else None
    return _of_its_own(graph, recipe, place) if found is None else found.bound()


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
    # Late: importing graphc must be quick, and it needs no passes.
    from graphc.passes.convolution import has_undecided_phases

    try:
        with using(None):
            graph = recipe.build(types)
        if graph is None or not _knows_its_sizes(graph) or has_undecided_phases(graph):
            return None
        return Executable.build(graph, place=place)
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
    """Whether the program computes this graph: for these sizes it must give the same types by the same sums."""
    general = executable.graph
    if len(general.inputs) != len(graph.inputs) or len(general.outputs) != len(graph.outputs):
        return False
    try:
        values = bind_sizes(general, [node.shape for node in graph.inputs])  # type: ignore[misc]  # they are numbers
        fixed = fix_sizes(Graph(general.name, general.inputs, general.outputs), values)
    except GraphcError:
        return False
    same_types = all(
        a.type == b.type for a, b in zip((*fixed.inputs, *fixed.outputs), (*graph.inputs, *graph.outputs), strict=True)
    )
    return same_types and _contractions(fixed) == _contractions(graph)


def _contractions(graph: Graph) -> list[object]:
    """What is multiplied with what: known sizes may have chosen another order of the products of a chain."""
    return [
        (node.attributes, tuple(operand.type for operand in node.inputs))
        for node in graph.nodes
        if node.op.has(Flags.CONTRACTION)
    ]
