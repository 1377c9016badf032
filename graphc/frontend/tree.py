"""Nested containers of arguments and results: taken apart into leaves, and put together again.

In: lists, tuples, named tuples and dicts in any nesting. Out: the leaves in order and a structure that can be compared,
hashed and filled again. A dict's entries are taken in its own order; any other object is a leaf.

>>> leaves, structure = flatten({"w": 1, "b": (2, 3)})
>>> leaves, structure.paths("p")
((1, 2, 3), ("p['w']", "p['b'][0]", "p['b'][1]"))
>>> structure.fill([10, 20, 30])
{'w': 10, 'b': (20, 30)}
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from graphc.ir.errors import ArgumentError

MAX_DEPTH = 200
"""Nesting beyond this is taken for a container that holds itself."""


@dataclass(frozen=True, slots=True)
class Structure:
    """A container's type, its keys if it is a dict, and what each entry holds; a leaf has no type."""

    kind: type | None
    keys: tuple[object, ...]
    entries: tuple[Structure, ...]
    count: int
    """Leaves below."""

    def fill(self, leaves: Sequence[object]) -> object:
        """A container of this structure with these leaves."""
        assert len(leaves) == self.count, "one value per leaf"
        return self._fill(iter(leaves))

    def _fill(self, leaves: Iterator[object]) -> object:
        if self.kind is None:
            return next(leaves)
        values = [entry._fill(leaves) for entry in self.entries]
        make: Callable[..., object] = self.kind
        if issubclass(self.kind, dict):
            return make(zip(self.keys, values, strict=True))
        return make(*values) if hasattr(self.kind, "_fields") else make(values)

    def paths(self, name: str) -> tuple[str, ...]:
        """How Python would reach each leaf from a variable of this name."""
        if self.kind is None:
            return (name,)
        found: list[str] = []
        for key, entry in zip(self.keys, self.entries, strict=True):
            fields = getattr(self.kind, "_fields", None)
            step = f".{fields[key]}" if fields is not None and isinstance(key, int) else f"[{key!r}]"
            found.extend(entry.paths(name + step))
        return tuple(found)


Leaves: TypeAlias = "tuple[object, ...]"
LEAF = Structure(None, (), (), 1)


def flatten(value: object) -> tuple[Leaves, Structure]:
    """The leaves in order and the structure."""
    leaves: list[object] = []
    structure = _flatten(value, leaves, 0)
    return tuple(leaves), structure


def _flatten(value: object, leaves: list[object], depth: int) -> Structure:
    kind = type(value)
    if depth > MAX_DEPTH:
        raise ArgumentError(f"containers nest more than {MAX_DEPTH} deep", hint="does a list or dict hold itself?")
    if isinstance(value, dict):
        keys: tuple[object, ...] = tuple(value)
        values: Sequence[object] = tuple(value.values())
    elif isinstance(value, list | tuple):
        keys, values = tuple(range(len(value))), value
    else:
        leaves.append(value)
        return LEAF
    before = len(leaves)
    entries = tuple(_flatten(each, leaves, depth + 1) for each in values)
    return Structure(kind, keys, entries, len(leaves) - before)
