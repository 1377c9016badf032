"""Who watches what eager code does in this thread: the recorder of a compiled function, while it records.

Level: below tensors. In: calls from the places where memory is made, computed, copied, written or looked at. Out: what
the watcher of this thread makes of them. Where nobody watches, each place costs one look at an empty list.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy.typing as npt

if TYPE_CHECKING:
    from graphc.eager.tensor import Tensor
    from graphc.ir.graph import Graph, Node

AnyArray = npt.NDArray[Any]
F = TypeVar("F", bound=Callable[..., Any])


class Watcher(Protocol):
    """What the eager level tells."""

    thread: int
    """The thread that it watches."""
    has_own_gradient: bool
    """Whether a function that defines its gradient itself was called."""

    def made(self, tensor: Tensor) -> None:
        """A new tensor has memory of its own."""

    def seen(self, tensor: Tensor) -> None:
        """A tensor is about to be read or written."""

    def seen_gradient(self, tensor: Tensor) -> None:
        """A tensor's `grad` is about to be looked at or replaced."""

    def computed(self, graph: Graph, arrays: Sequence[AnyArray], outputs: Sequence[AnyArray]) -> None:
        """New arrays hold what the graph gives for others."""

    def derived(self, result: AnyArray, operands: Sequence[AnyArray], build: Callable[..., Node]) -> None:
        """A new array holds what nodes built on those of other arrays stand for."""

    def written(self, target: AnyArray, operands: Sequence[AnyArray], build: Callable[..., Node]) -> None:
        """An array is about to be overwritten with what nodes built on those of other arrays stand for."""

    def constant(self, array: AnyArray) -> None:
        """A new array holds numbers that don't depend on any tensor."""

    def drawn(self, array: AnyArray, generator: Any) -> None:
        """A new array holds the next key of a generator."""

    def number(self, array: AnyArray, group: dict[str, Any], place: str | tuple[str, int]) -> None:
        """An array holds a number of a group: what stands under a key, or in the tuple under a key."""

    def depends(self, ask: Callable[[], object]) -> None:
        """What happens depends on something besides tensors, which `ask` gives."""

    def called(self, module: Any) -> None:
        """A module is called."""

    def looked_at(self, tensor: Tensor, what: str) -> None:
        """Python asks for a tensor's values, as `what` does."""

    def pass_over(self) -> None:
        """This call does something that the next ones won't."""

    def refuse(self, what: str, hint: str) -> None:
        """What happens now can't be part of a program."""


WATCHING: list[Watcher] = []
"""The watchers of all threads."""


def watcher() -> Watcher | None:
    """That of this thread."""
    me = threading.get_ident()
    for each in WATCHING:
        if each.thread == me:
            return each
    return None


def copied(result: AnyArray, source: AnyArray) -> None:
    """Tell that a new array holds the values of another one, repeated and converted as needed."""
    found = watcher()
    if found is not None:
        found.derived(result, (source,), _converted(result))


def overwritten(target: AnyArray, source: AnyArray) -> None:
    """Tell that an array is about to get the values of another one, repeated and converted as needed."""
    found = watcher()
    if found is not None:
        found.written(target, (source,), _converted(target))


def overwritten_by_sum(target: AnyArray, source: AnyArray) -> None:
    """Tell that the values of an array are about to be added to another one."""
    found = watcher()
    if found is not None:
        from graphc.ops import elementwise  # late: nobody needs it where nobody watches

        convert = _converted(target)
        found.written(target, (target, source), lambda x, y: elementwise.add(x, convert(y)))


def see_gradient(tensor: Tensor) -> None:
    """Tell that a tensor's `grad` is about to be looked at or replaced."""
    found = watcher()
    if found is not None:
        found.seen_gradient(tensor)


def _converted(like: AnyArray) -> Callable[[Node], Node]:
    from graphc.ir.dtype import dtype  # late: nobody needs them where nobody watches
    from graphc.ops import build

    def convert(x: Node) -> Node:
        lead = len(x.shape) - like.ndim
        x = build.reshape_to(x, x.shape[lead:]) if lead > 0 else x
        return build.broadcast_to(build.cast_to(x, dtype(like.dtype)), like.shape)

    return convert


def constant(array: AnyArray) -> None:
    """Tell that a new array holds numbers that don't depend on any tensor."""
    found = watcher()
    if found is not None:
        found.constant(array)


def look(tensor: Tensor, what: str) -> None:
    """Tell that Python asks for a tensor's values."""
    found = watcher()
    if found is not None:
        found.looked_at(tensor, what)


def depends(ask: Callable[[], object]) -> None:
    """Tell that what happens depends on something besides tensors, which `ask` gives; it is asked again later."""
    found = watcher()
    if found is not None:
        found.depends(ask)


def call(module: object) -> None:
    """Tell that a module is called."""
    found = watcher()
    if found is not None:
        found.called(module)


def own_gradient() -> None:
    """Tell that a function defines its gradient itself."""
    found = watcher()
    if found is not None:
        found.has_own_gradient = True


def looking(function: F) -> F:
    """A function that looks at the values of tensors, and tells so."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if WATCHING:
            for each in (*args, *kwargs.values()):
                if hasattr(each, "_array"):
                    look(each, f"{function.__name__}()")
        return function(*args, **kwargs)

    return call  # type: ignore[return-value]  # it has the signature of what it wraps


def pass_over() -> None:
    """Tell that this call does something that the next ones won't: it has happened, and nothing is kept of it."""
    found = watcher()
    if found is not None:
        found.pass_over()


def refuse(what: str, hint: str) -> None:
    """Tell that what happens now can't be part of a program."""
    found = watcher()
    if found is not None:
        found.refuse(what, hint)
