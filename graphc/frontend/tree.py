"""Nested containers of arguments and results: taken apart into leaves, and put together again.

In: lists, tuples, named tuples, dicts and OrderedDicts in any nesting. Out: the leaves in order and a structure that
can be compared, hashed and filled again. A dict's entries are taken in its own order; any other object is a leaf. A
structure may also hold values that are fixed: they are no leaves, and come back as they are.

>>> leaves, structure = flatten({"w": 1, "b": (2, 3)})
>>> leaves, structure.paths("p")
((1, 2, 3), ("p['w']", "p['b'][0]", "p['b'][1]"))
>>> structure.fill([10, 20, 30])
{'w': 10, 'b': (20, 30)}
"""

from __future__ import annotations

import reprlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from graphc.ir.errors import ArgumentError, describe, with_article

MAX_DEPTH = 200
"""Nesting beyond this is taken for a container that holds itself."""


class Fixed:
    """The kind of an entry whose value is part of the structure; the value is its only key."""


@dataclass(frozen=True, slots=True)
class Structure:
    """A container's type, its keys, and what each entry holds; a leaf has no type."""

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
        if self.kind is Fixed:
            return self.keys[0]
        make: Callable[..., object] = self.kind
        values = [entry._fill(leaves) for entry in self.entries]
        if issubclass(self.kind, dict):
            return make(zip(self.keys, values, strict=True))
        return getattr(self.kind, "_make", make)(values)  # a named tuple's own way, whatever its constructor takes

    def take(self, value: object, leaves: list[object]) -> bool:
        """Append the leaves of a value that has this structure; False, with some leaves appended, if it hasn't."""
        kind = self.kind
        if kind is None:
            leaves.append(value)
            return True
        if kind is Fixed:
            return type(value) is type(self.keys[0]) and value == self.keys[0]
        if type(value) is not kind or len(value) != len(self.keys):  # type: ignore[arg-type]  # kinds have a length
            return False
        if isinstance(value, dict):
            if tuple(value) != self.keys:
                return False
            value = value.values()
        assert isinstance(value, Iterable)
        for entry, each in zip(self.entries, value):
            if entry.kind is None:
                leaves.append(each)
            elif not entry.take(each, leaves):
                return False
        return True

    def paths(self, name: str) -> tuple[str, ...]:
        """How Python would reach each leaf from a variable of this name."""
        if self.kind is None:
            return (name,)
        return tuple(path for key, entry in self._items() for path in entry.paths(name + self._step(key)))

    def difference(self, other: Structure, name: str) -> str | None:
        """What another structure has in place of this one, in the words of who wrote `name`; None if it is the same."""
        if self == other:
            return None
        if self.kind is not other.kind or self.kind is None or self.kind is Fixed:
            return f"{name} is {other.describe()} in place of {self.describe()}"
        if self.keys != other.keys:
            if not issubclass(self.kind, dict):
                return f"{name} has {len(other.keys)} entries in place of {len(self.keys)}"
            parts = [f"lacks the key {key!r}" for key in self.keys if key not in other.keys][:1]
            parts += [f"has the new key {key!r}" for key in other.keys if key not in self.keys][:1]
            return f"{name} {' and '.join(parts) or 'has its keys in another order'}"
        found = (
            mine.difference(its, name + self._step(key))
            for (key, mine), its in zip(self._items(), other.entries, strict=True)
        )
        return next(text for text in found if text is not None)

    def fixed(self, values: Sequence[object]) -> Structure:
        """The structure with some leaves fixed: `values` has the value or `OPEN` for each leaf."""
        assert len(values) == self.count, "one value per leaf"
        return self._fixed(iter(values))

    def _fixed(self, values: Iterator[object]) -> Structure:
        if self.kind is None:
            value = next(values)
            return LEAF if value is OPEN else fix(value)
        entries = tuple(entry._fixed(values) for entry in self.entries)
        return Structure(self.kind, self.keys, entries, sum(entry.count for entry in entries))

    def problem(self, value: object, name: str) -> str | None:
        """What keeps `take` from taking a value, in the words of who wrote `name`; None if nothing does."""
        if self.kind is None:
            return (
                f"{name} is {describe(value)} in place of an array" if isinstance(value, list | tuple | dict) else None
            )
        if self.kind is Fixed:
            same = type(value) is type(self.keys[0]) and value == self.keys[0]
            return None if same else f"{name} is {reprlib.repr(value)} in place of {self.keys[0]!r}"
        if type(value) is not self.kind:
            return f"{name} is {describe(value)} in place of {self.describe()}"
        _, shallow = flatten(value)
        if shallow.keys != self.keys:
            return self.difference(shallow, name)
        values = value.values() if isinstance(value, dict) else value
        assert isinstance(values, Iterable)
        found = (entry.problem(v, name + self._step(key)) for (key, entry), v in zip(self._items(), values))
        return next((text for text in found if text is not None), None)

    def describe(self) -> str:
        """A word for it."""
        if self.kind is None:
            return "a leaf"
        return repr(self.keys[0]) if self.kind is Fixed else with_article(self.kind.__name__)

    def _items(self) -> Iterator[tuple[object, Structure]]:
        return zip(self.keys, self.entries)

    def _step(self, key: object) -> str:
        fields = getattr(self.kind, "_fields", None)
        return f".{fields[key]}" if fields is not None and isinstance(key, int) else f"[{key!r}]"


Leaves: TypeAlias = "tuple[object, ...]"
LEAF: Final = Structure(None, (), (), 1)
OPEN: Final = object()


def fix(value: object) -> Structure:
    """The structure of a value that is no leaf."""
    return Structure(Fixed, (value,), (), 0)


def sequence(entries: Iterable[Structure]) -> Structure:
    """The structure of a tuple with these entries."""
    listed = tuple(entries)
    return Structure(tuple, tuple(range(len(listed))), listed, sum(entry.count for entry in listed))


def flatten(value: object) -> tuple[Leaves, Structure]:
    """The leaves in order and the structure; raises ArgumentError for a container that can't be filled again."""
    leaves: list[object] = []
    structure = _flatten(value, leaves, 0)
    return tuple(leaves), structure


def _flatten(value: object, leaves: list[object], depth: int) -> Structure:
    kind = type(value)
    if kind is list or kind is tuple:
        keys: tuple[object, ...] = tuple(range(len(value)))  # type: ignore[arg-type]  # it is a list or tuple
        values: Iterable[object] = value  # type: ignore[assignment]
    elif kind is dict or kind is OrderedDict:
        assert isinstance(value, dict)
        keys, values = tuple(value), value.values()
    elif isinstance(value, tuple) and hasattr(kind, "_fields"):
        keys, values = tuple(range(len(value))), value
    elif isinstance(value, list | tuple | dict):
        base = next(each.__name__ for each in (list, tuple, dict) if isinstance(value, each))
        raise ArgumentError(
            f"a {kind.__name__} is a {base} that can't be built again from its entries",
            hint=f"pass {base}(...) of it; lists, tuples, named tuples, dicts and OrderedDicts are taken",
        )
    else:
        leaves.append(value)
        return LEAF
    if depth > MAX_DEPTH:
        raise ArgumentError(f"containers nest more than {MAX_DEPTH} deep", hint="does a list or dict hold itself?")
    before = len(leaves)
    entries = tuple(_flatten(each, leaves, depth + 1) for each in values)
    return Structure(kind, keys, entries, len(leaves) - before)
