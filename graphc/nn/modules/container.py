"""Modules that hold others: in a chain, in a list, by key.

>>> ModuleList([Module(), Module()])
ModuleList(
  (0-1): 2 x Module()
)
"""

from __future__ import annotations

import itertools
import operator
from collections import OrderedDict
from collections.abc import ItemsView, Iterable, Iterator, KeysView, ValuesView
from typing import Any, TypeVar

from graphc.nn.module import Module, indented
from graphc.nn.modules.parameter_container import ParameterDict, ParameterList, checked_index, pairs_of

__all__ = ["ModuleDict", "ModuleList", "ParameterDict", "ParameterList", "Sequential"]

S = TypeVar("S", bound="Sequential")
L = TypeVar("L", bound="ModuleList")


class Sequential(Module):
    """A chain: each module gets what the one before gives.

    Takes modules, or an `OrderedDict` of them. It can be indexed, sliced, changed and joined as a list can.
    """

    _modules: dict[str, Module]  # type: ignore[assignment]  # None has no place in a chain

    def __init__(self, *args: Any) -> None:
        super().__init__()
        named = args[0].items() if len(args) == 1 and isinstance(args[0], OrderedDict) else enumerate(args)
        for name, module in named:
            self.add_module(str(name) if isinstance(name, int) else name, module)

    def forward(self, input: Any) -> Any:
        """What the last module gives; the input if there is none."""
        for module in self:
            input = module(input)
        return input

    def _name_at(self, index: Any) -> str:
        names = list(self._modules)
        return names[checked_index(index, len(names))]

    def __getitem__(self, idx: Any) -> Any:
        if isinstance(idx, slice):
            return type(self)(OrderedDict(list(self._modules.items())[idx]))
        return self._modules[self._name_at(idx)]

    def __setitem__(self, idx: int, module: Module) -> None:
        setattr(self, self._name_at(idx), module)

    def __delitem__(self, idx: Any) -> None:
        for name in list(self._modules)[idx] if isinstance(idx, slice) else [self._name_at(idx)]:
            delattr(self, name)
        _renumber(self)

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._modules.values())

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if not name.isdigit()]

    def __add__(self, other: Sequential) -> Sequential:
        _require_chain(other)
        return Sequential(*self, *other)

    def __iadd__(self: S, other: Sequential) -> S:
        _require_chain(other)
        return self.extend(list(other))

    def __mul__(self, other: int) -> Sequential:
        _require_factor(self, other)
        return Sequential(*list(self) * other)

    __rmul__ = __mul__

    def __imul__(self: S, other: int) -> S:
        _require_factor(self, other)
        return self.extend(list(self) * (other - 1))

    def pop(self, key: Any) -> Any:
        """Take a module out and give it."""
        found = self[key]
        del self[key]
        return found

    def append(self: S, module: Module) -> S:
        """Put a module at the end."""
        self.add_module(str(len(self)), module)
        return self

    def insert(self: S, index: int, module: Module) -> S:
        """Put a module before the one with this index."""
        assert isinstance(module, Module), f"module should be of type: {Module}"
        count = len(self)
        if not -count <= index <= count:
            raise IndexError(f"Index out of range: {index}")
        _insert(self, index + count if index < 0 else index, module)
        return self

    def extend(self: S, sequential: Iterable[Module]) -> S:
        """Put modules at the end."""
        for module in sequential:
            self.append(module)
        return self


class ModuleList(Module):
    """A list whose modules belong to this one; they are called by whoever has it."""

    _modules: dict[str, Module]  # type: ignore[assignment]  # None has no place in a list

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self.extend(modules)

    def _name_at(self, index: Any) -> str:
        return str(checked_index(index, len(self)))

    def __getitem__(self, idx: Any) -> Any:
        if isinstance(idx, slice):
            return type(self)(list(self._modules.values())[idx])
        return self._modules[self._name_at(idx)]

    def __setitem__(self, idx: int, module: Module) -> None:
        setattr(self, self._name_at(idx), module)

    def __delitem__(self, idx: Any) -> None:
        for name in map(str, range(len(self))[idx]) if isinstance(idx, slice) else [self._name_at(idx)]:
            delattr(self, name)
        _renumber(self)

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._modules.values())

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if not name.isdigit()]

    def __iadd__(self: L, modules: Iterable[Module]) -> L:
        return self.extend(modules)

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return ModuleList(itertools.chain(self, other))

    def insert(self, index: int, module: Module) -> None:
        """Put a module before the one with this index."""
        size, index = len(self), operator.index(index)
        _insert(self, index if index >= 0 else index + size, module)

    def append(self: L, module: Module) -> L:
        """Put a module at the end."""
        self.add_module(str(len(self)), module)
        return self

    def pop(self, key: Any) -> Any:
        """Take a module out and give it."""
        found = self[key]
        del self[key]
        return found

    def extend(self: L, modules: Iterable[Module]) -> L:
        """Put modules at the end."""
        if not isinstance(modules, Iterable):
            raise TypeError(f"ModuleList.extend should be called with an iterable, but got {type(modules).__name__}")
        for number, module in enumerate(modules, len(self)):
            self.add_module(str(number), module)
        return self

    def __repr__(self) -> str:
        """Modules with the same text that follow each other are shown once, with their count."""
        lines: list[str] = []
        first = 0
        for text, group in itertools.groupby(repr(module) for module in self):
            count = sum(1 for _ in group)
            label = f"({first}): " if count == 1 else f"({first}-{first + count - 1}): {count} x "
            lines.append(indented(label + text))
            first += count
        if not lines:
            return f"{self._get_name()}()"
        return f"{self._get_name()}(\n  " + "\n  ".join(lines) + "\n)"


class ModuleDict(Module):
    """A dictionary whose modules belong to this one; they are called by whoever has it."""

    _modules: dict[str, Module]  # type: ignore[assignment]  # see ModuleList

    def __init__(self, modules: Any = None) -> None:
        super().__init__()
        if modules is not None:
            self.update(modules)

    def __getitem__(self, key: str) -> Module:
        return self._modules[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        del self._modules[key]
        self._tell(key)

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, key: object) -> bool:
        return key in self._modules

    def clear(self) -> None:
        """Take all modules out."""
        for key in list(self):
            del self[key]

    def pop(self, key: str) -> Module:
        """Take a module out and give it."""
        found = self[key]
        del self[key]
        return found

    def keys(self) -> KeysView[str]:
        """The keys, in the order in which they were set."""
        return self._modules.keys()

    def items(self) -> ItemsView[str, Module]:
        """Keys and modules."""
        return self._modules.items()

    def values(self) -> ValuesView[Module]:
        """The modules."""
        return self._modules.values()

    def update(self, modules: Any) -> None:
        """Set modules by key: from a mapping, or from pairs."""
        pairs = modules.items() if isinstance(modules, ModuleDict) else pairs_of(modules, "ModuleDict", "ModuleDict")
        for key, module in pairs:
            self[key] = module


def _renumber(module: Module) -> None:
    """Name what is left by its place."""
    module._modules = {str(index): each for index, each in enumerate(module._modules.values())}


def _insert(module: Module, index: int, child: Any) -> None:
    """Move what stands from this place on by one, and put the module there."""
    for place in range(len(module._modules), index, -1):
        module._modules[str(place)] = module._modules[str(place - 1)]
    module._modules[str(index)] = child
    module._tell(str(index))


def _require_chain(value: object) -> None:
    if not isinstance(value, Sequential):
        raise ValueError(f"add operator supports only objects of Sequential class, but {type(value)!s} is given.")


def _require_factor(chain: Sequential, factor: object) -> None:
    if not isinstance(factor, int):
        raise TypeError(f"unsupported operand type(s) for *: {type(chain)} and {type(factor)}")
    if factor <= 0:
        raise ValueError(f"Non-positive multiplication factor {factor} for {type(chain)}")
