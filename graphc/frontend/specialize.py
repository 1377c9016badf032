"""One function, many kinds of arguments: which graph serves a call, made when such a call first comes.

In: a function, and what is to be made of each of its graphs. Out: for a call the `Specialization` that serves it and
the arrays to run it on. Threads may ask at once; each kind of arguments is traced once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from graphc.frontend import autocast
from graphc.frontend.arguments import AnyArray, Kind, Sizes, Static, as_argument, as_array, key_of, kinds_of
from graphc.frontend.signature import Call, Signature
from graphc.frontend.trace import TracedGraph, trace
from graphc.frontend.tree import Structure
from graphc.ir.dtype import DType, get_default_dtype
from graphc.ir.type import TensorType

Made = TypeVar("Made")
Key: TypeAlias = "tuple[Structure, tuple[str, ...], tuple[Hashable, ...], DType, Hashable]"

MOST_REMEMBERED = 4096
"""Exact shapes of past calls that are looked up at once; with dynamic sizes there may be any number."""
MANY = 32
"""So many graphs of one function are worth a warning."""


@dataclass(frozen=True, slots=True, eq=False)
class Specialization(Generic[Made]):
    """The graph for one kind of arguments, and what was made of it."""

    reason: str
    """Why it was made: what no earlier one could serve."""
    graph: TracedGraph
    made: Made
    structure: Structure
    keywords: tuple[str, ...]
    kinds: tuple[Kind, ...]
    default: DType
    """The default dtype at that time."""
    regions: str
    """The regions of `autocast` at that time."""


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """How the inputs of a call were found, to find those of the next one, which mostly is of the same kind."""

    specialization: Specialization[Any]
    numbers: tuple[bool, ...]
    """Which leaves were Python numbers that became inputs."""

    def take(self, call: Call) -> list[object] | None:
        """The inputs of a call with the same containers and static values, whose dtypes and shapes may be others."""
        found = self.specialization
        leaves: list[object] = []
        if call.keywords != found.keywords or not found.structure.take(call.values, leaves):
            return None
        inputs: list[object] = []
        for leaf, kind, is_number in zip(leaves, found.kinds, self.numbers):
            if isinstance(kind, Static):
                if type(leaf) is not kind.type or leaf != kind.value:
                    return None
            elif is_number:
                if type(leaf) is not float:
                    return None
                inputs.append(as_array(leaf, kind))
            else:
                inputs.append(leaf)
        return inputs


class Specializer(Generic[Made]):
    """Finds or makes the specialization for a call."""

    def __init__(
        self,
        function: Callable[..., object],
        signature: Signature,
        sizes: Sizes,
        make: Callable[[TracedGraph], Made],
    ) -> None:
        self.signature = signature
        self._function = function
        self._sizes = sizes
        self._make = make
        self._lock = threading.RLock()
        self._known: dict[Key, Specialization[Made]] = {}
        self._made: dict[Key, Specialization[Made]] = {}

    @property
    def made(self) -> tuple[Specialization[Made], ...]:
        """All that were made, in order."""
        return tuple(self._made.values())

    def find(
        self, call: Call, leaves: tuple[object, ...], structure: Structure
    ) -> tuple[Specialization[Made], list[AnyArray], Route]:
        """The specialization for a call with these leaves, its inputs, and how to find those of a call like this."""
        keys = tuple(map(key_of, leaves))
        if None in keys:
            names = self.signature.leaf_names(call, structure)
            leaves = tuple(as_argument(leaf, name) for leaf, name in zip(leaves, names, strict=True))
            keys = tuple(map(key_of, leaves))
        key = (structure, call.keywords, keys, get_default_dtype(), autocast.autocast_key())
        found = self._known.get(key)
        if found is None:
            found = self._find_or_make(call, leaves, structure)
            if len(self._known) >= MOST_REMEMBERED:
                self._known.clear()
            self._known[key] = found
        arrays = [as_array(x, kind) for x, kind in zip(leaves, found.kinds) if isinstance(kind, TensorType)]
        return found, arrays, Route(found, tuple(type(leaf) in (float, complex) for leaf in leaves))

    def _find_or_make(self, call: Call, leaves: tuple[object, ...], structure: Structure) -> Specialization[Made]:
        names = self.signature.leaf_names(call, structure)
        kinds = kinds_of(leaves, names, self._sizes)
        default = get_default_dtype()
        regions = autocast.describe()
        key = (structure, call.keywords, kinds, default, autocast.autocast_key())
        with self._lock:  # whoever comes second finds what the first has made
            found = self._made.get(key)
            if found is None:
                self._sizes.check(self.signature.parameters(call), names)
                reason = self._reason(call, structure, kinds, names)
                given = [kind if isinstance(kind, TensorType) else leaf for kind, leaf in zip(kinds, leaves)]
                graph = trace(self._function, self.signature, call, structure, given)
                found = Specialization(
                    reason, graph, self._make(graph), structure, call.keywords, kinds, default, regions
                )
                self._made[key] = found
                self._report(reason)
        return found

    def _report(self, reason: str) -> None:
        import logging  # late: importing graphc must be quick

        log = logging.getLogger("graphc.compile")
        count, name = len(self._made), self.signature.name
        if count % MANY == 0:
            log.warning(
                "%s has been compiled %d times, now because %s; mark what changes as dynamic, or pass it as an array",
                name, count, reason,
            )  # fmt: skip
        elif count > 1:
            log.info("%s is compiled again: %s", name, reason)

    def _reason(self, call: Call, structure: Structure, kinds: tuple[Kind, ...], names: tuple[str, ...]) -> str:
        """What differs from the nearest of those made before."""
        if not self._made:
            return "first call"
        parameters = self.signature.parameters(call)
        changes = (_changes(old, parameters, structure, kinds, names) for old in reversed(self._made.values()))
        return "; ".join(min(changes, key=lambda change: change.rank).texts)


@dataclass(frozen=True, slots=True)
class _Change:
    """What is different about a call, and how much that is: number, containers or values of arguments; how many."""

    rank: tuple[int, int]
    texts: list[str]


def _changes(
    old: Specialization[Any],
    parameters: tuple[str, ...],
    structure: Structure,
    kinds: tuple[Kind, ...],
    names: tuple[str, ...],
) -> _Change:
    if old.graph.parameters != parameters:
        was, now = (", ".join(each) or "none" for each in (old.graph.parameters, parameters))
        return _Change((2, 1), [f"the arguments given were {was} and are {now}"])
    if old.default is not get_default_dtype():
        return _Change((2, 2), [f"the default dtype was {old.default.name} and is {get_default_dtype().name}"])
    if old.regions != autocast.describe():
        return _Change((2, 2), [f"autocast was {old.regions} and is {autocast.describe()}"])
    if old.structure != structure:
        pairs = zip(parameters, old.structure.entries, structure.entries, strict=True)
        texts = [text for name, a, b in pairs if (text := a.difference(b, name)) is not None]
        return _Change((1, len(texts)), texts)
    triples = zip(names, old.kinds, kinds, strict=True)
    texts = [f"{name} was {was} and is {now}" for name, was, now in triples if was != now]
    return _Change((0, len(texts)), texts)
