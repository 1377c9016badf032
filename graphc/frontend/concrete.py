"""Eager tensors as arguments of compiled functions: what the frontend must know of the level above it.

In: the arguments of a call. Out: whether eager tensors are among them, their arrays, and for an executable the results
as eager tensors, recorded if a gradient may be asked for. `graphc/eager` says how, when it is imported.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy.typing as npt

from graphc.ir.errors import TraceError

if TYPE_CHECKING:
    from graphc.frontend.executable import Executable
    from graphc.ir.graph import Graph


class Recorded(Protocol):
    """A function of tensors whose calls are recorded as programs."""

    def __call__(self, args: tuple[object, ...], kwargs: dict[str, object]) -> object:
        """The results for these arguments."""

    @property
    def compilations(self) -> Sequence[tuple[str, Graph, Executable | None]]:
        """For each program why it was made, its graph, and its code once it has run."""


@dataclass(frozen=True, slots=True)
class Eager:
    """The eager level, as far as compiled functions are concerned."""

    tensor: type
    array: Callable[[Any], npt.NDArray[Any]]
    """The array of a tensor."""
    requires_grad: Callable[[Any], bool]
    """Whether gradients are recorded for a tensor."""
    run: Callable[[Executable, Sequence[object]], tuple[object, ...]]
    """The outputs of an executable for inputs among which there are tensors."""
    record: Callable[..., Recorded]
    """What calls a function on tensors, and runs it as a program from the second call of each kind on."""


_levels: list[Eager] = []


def set_eager(level: Eager) -> None:
    """Say how eager tensors are taken and made."""
    _levels[:] = [level]


def has_tensors(values: Sequence[object]) -> bool:
    """Whether an eager tensor is among the values."""
    return any(isinstance(each, _levels[0].tensor) for each in values)


def without_tensors(values: Sequence[object]) -> tuple[object, ...]:
    """The values with arrays in place of eager tensors."""
    level = _levels[0]
    return tuple(level.array(each) if isinstance(each, level.tensor) else each for each in values)


def constant_array(tensor: object) -> npt.NDArray[Any]:
    """The array of a tensor that a traced function uses without being given it.

    Raises TraceError if gradients are recorded for it, since they would be lost.
    """
    level = _levels[0]
    if level.requires_grad(tensor):
        raise TraceError(
            "a traced function uses a tensor that requires grad and is not among its arguments",
            hint="pass the tensor as an argument, through which gradients flow, or use its detach()",
        )
    return level.array(tensor)


def run_on_tensors(executable: Executable, inputs: Sequence[object]) -> tuple[object, ...]:
    """The outputs of an executable as eager tensors."""
    return _levels[0].run(executable, inputs)


def recorded(function: Callable[..., object], name: str, **options: object) -> Recorded:
    """What runs a function of tensors as recorded programs."""
    return _levels[0].record(function, name, **options)


_wrappers: list[tuple[type, Callable[[Any, Any], object]]] = []


def wrap_compiled(kind: type, wrapper: Callable[[Any, Any], object]) -> None:
    """Let objects of a class be compiled as `wrapper(object, compiled)`, which is such an object too."""
    _wrappers.append((kind, wrapper))


def wrapped(function: object, compiled: Any) -> Any:
    """What compiling an object gives: for one of those classes another one of its kind."""
    for kind, wrapper in _wrappers:
        if isinstance(function, kind):
            return wrapper(function, compiled)
    return compiled


def is_wrapped(function: object) -> bool:
    """Whether compiling gives another object of its kind."""
    return any(isinstance(function, kind) for kind, _ in _wrappers)
