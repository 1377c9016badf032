"""Where the values come from that a recorded program reads.

In: the tensors of a call. Out: for each input of the program its array, looked up anew at each run, and for what is
written in place the tensor that has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from graphc.eager.tensor import AnyArray, Tensor, meta_of

if TYPE_CHECKING:
    from graphc.eager.generator import Generator


class Source:
    """One input of a program."""

    __slots__ = ()

    def array(self, arguments: Sequence[Tensor]) -> AnyArray:
        """The values for a call with these tensors."""
        found = self.holder(arguments)
        assert found is not None, "what is no tensor says itself what its values are"
        return found._array

    def holder(self, arguments: Sequence[Tensor]) -> Tensor | None:
        """The tensor that has the values; None for numbers that no tensor has."""
        return None


@dataclass(frozen=True, slots=True)
class Argument(Source):
    """A tensor that the call is given."""

    index: int

    def holder(self, arguments: Sequence[Tensor]) -> Tensor | None:
        """The argument."""
        return arguments[self.index]


@dataclass(frozen=True, slots=True, eq=False)
class Captured(Source):
    """A tensor that the function finds elsewhere: a parameter, a buffer, a state."""

    tensor: Tensor

    def array(self, arguments: Sequence[Tensor]) -> AnyArray:
        """Its memory, which may have been replaced."""
        return self.tensor._array

    def holder(self, arguments: Sequence[Tensor]) -> Tensor | None:
        """The tensor."""
        return self.tensor


@dataclass(frozen=True, slots=True, eq=False)
class Gradient(Source):
    """The `grad` of a tensor."""

    tensor: Tensor

    def holder(self, arguments: Sequence[Tensor]) -> Tensor | None:
        """The gradient that it has now."""
        return meta_of(self.tensor).grad


@dataclass(frozen=True, slots=True, eq=False)
class Attribute(Source):
    """A tensor that a module has under a name, which calls replace: a buffer, or a state of its own."""

    module: Any
    name: str

    def holder(self, arguments: Sequence[Tensor]) -> Tensor | None:
        """What is there now; None if that is no tensor."""
        found = self._held.get(self.name)
        return found if isinstance(found, Tensor) else None

    @property
    def tensor(self) -> Tensor:
        """The tensor that is there now."""
        found = self.holder(())
        assert found is not None, "whether it is a tensor has been looked at"
        return found

    def put(self, tensor: Tensor) -> None:
        """Replace it."""
        self._held[self.name] = tensor

    @property
    def _held(self) -> dict[str, Any]:
        found: dict[str, Any] = self.module._buffers if self.name in self.module._buffers else self.module.__dict__
        return found


@dataclass(frozen=True, slots=True, eq=False)
class Key(Source):
    """The next key of a generator."""

    generator: Generator

    def array(self, arguments: Sequence[Tensor]) -> AnyArray:
        """The key, which is drawn."""
        captured = self.generator.captured_key()
        return np.array(self.generator.next_key(), np.uint64) if captured is None else captured


@dataclass(frozen=True, slots=True, eq=False)
class Number(Source):
    """A hyperparameter of a group: what stands under a key, or in the tuple under a key."""

    group: dict[str, Any]
    place: str | tuple[str, int]

    def array(self, arguments: Sequence[Tensor]) -> AnyArray:
        """The number that is there now."""
        place = self.place
        return np.array(self.group[place] if isinstance(place, str) else self.group[place[0]][place[1]], np.float64)


@dataclass(frozen=True, slots=True)
class Cotangent(Source):
    """The gradient of a result, which comes when a backward pass does."""

    index: int
