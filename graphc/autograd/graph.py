"""The recorded graph: its nodes, hooks on several gradients at once, and where saved tensors are kept.

>>> import graphc
>>> x = graphc.tensor([1.0, 2.0], requires_grad=True)
>>> with save_on_cpu():
...     y = x * x
>>> y.sum().backward()
>>> x.grad
tensor([2., 4.])
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from graphc.eager.backward import GradientEdge
from graphc.eager.handle import RemovableHandle
from graphc.eager.mode import MODE, _Context
from graphc.eager.node import AutogradError, GradNode, edge_of
from graphc.eager.pinning import is_available as pinning_is_available
from graphc.eager.pinning import pinned
from graphc.eager.placement import copy_of, gpu_of, on
from graphc.eager.tensor import Tensor, wrap
from graphc.eager.transfer import transfer

__all__ = [
    "GradientEdge",
    "Node",
    "allow_mutation_on_saved_tensors",
    "disable_saved_tensors_hooks",
    "get_gradient_edge",
    "increment_version",
    "register_multi_grad_hook",
    "save_on_cpu",
    "saved_tensors_hooks",
]

Node = GradNode
"""What `grad_fn` is: the record of one operation."""


def get_gradient_edge(tensor: Tensor) -> GradientEdge:
    """Where the gradient of a tensor is computed."""
    edge = edge_of(tensor)
    if edge is None:
        raise AutogradError("It is not possible to get the gradient edge for a Tensor that does not require gradients")
    return GradientEdge(*edge)


def increment_version(tensor: Tensor | Sequence[Tensor]) -> None:
    """Say that the memory of a tensor was written to in a way that graphc could not see."""
    for each in (tensor,) if isinstance(tensor, Tensor) else tensor:
        if each._storage.version >= 0:
            each._storage.version += 1


class saved_tensors_hooks(_Context):
    """Inside, what a gradient needs is kept as `pack(tensor)`; in the backward pass `unpack` of that gives it back."""

    def __init__(self, pack_hook: Callable[[Tensor], Any], unpack_hook: Callable[[Any], Tensor]) -> None:
        super().__init__(pack=pack_hook, unpack=unpack_hook)

        for hook in (pack_hook, unpack_hook):
            if not callable(hook):
                raise TypeError(f"hooks on saved tensors must be callable, not {type(hook).__name__}")

    def __enter__(self) -> None:
        if MODE.hooks_refused is not None:
            raise AutogradError(MODE.hooks_refused)
        super().__enter__()


class save_on_cpu(saved_tensors_hooks):
    """Inside, what a gradient needs is kept as a copy in main memory, `pin_memory`: in such that GPUs read."""

    def __init__(self, pin_memory: bool = False, device_type: str = "cuda") -> None:
        def pack(tensor: Tensor) -> tuple[int | None, Tensor]:
            gpu = gpu_of(tensor._array)
            kept = copy_of(tensor._array) if gpu is None else on(tensor._array, None)
            return gpu, wrap(pinned(kept) if pin_memory and pinning_is_available() else kept)

        super().__init__(pack, lambda kept: transfer(kept[1], kept[0]))


@contextmanager
def disable_saved_tensors_hooks(error_message: str) -> Iterator[None]:
    """Inside, `saved_tensors_hooks` raises an error with this message."""
    if MODE.pack is not None:
        raise AutogradError(error_message)
    before, MODE.hooks_refused = MODE.hooks_refused, error_message
    try:
        yield
    finally:
        MODE.hooks_refused = before


class _Kept:
    """What `allow_mutation_on_saved_tensors` gives."""

    def __init__(self) -> None:
        self._next = 0
        self._found: dict[int, Tensor] = {}

    def clear(self) -> None:
        """Let go of the copies; backward passes through what was recorded so far fail from now on."""
        self._found.clear()

    def _pack(self, tensor: Tensor) -> int:
        self._next += 1
        self._found[self._next] = wrap(copy_of(tensor._array))
        return self._next

    def _unpack(self, number: int) -> Tensor:
        found = self._found.get(number)
        if found is None:
            raise AutogradError(
                "Trying to backward outside of the 'allow_mutation_on_saved_tensors' contextin which the graph was "
                "originally recorded."
            )
        return found


@contextmanager
def allow_mutation_on_saved_tensors() -> Iterator[_Kept]:
    """Inside, what a gradient needs is kept as a copy, so that the tensors may be written to before the backward pass.

    The backward pass must be inside, too.
    """
    if MODE.keeps_copies:
        raise AutogradError("allow_mutation_on_saved_tensors contexts cannot be nested")
    kept = _Kept()
    MODE.keeps_copies = True
    try:
        with saved_tensors_hooks(kept._pack, kept._unpack):
            yield kept
    finally:
        kept.clear()
        MODE.keeps_copies = False


class _Handles:
    """Several hooks that are removed together."""

    def __init__(self, handles: Sequence[RemovableHandle]) -> None:
        self._handles = handles

    def remove(self) -> None:
        """Take all of them away."""
        for each in self._handles:
            each.remove()

    def __enter__(self) -> _Handles:
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()


def register_multi_grad_hook(tensors: Sequence[Tensor], fn: Callable[..., None], *, mode: str = "all") -> _Handles:
    """Call `fn` in a backward pass when the gradients of all of these tensors are there, or that of any of them.

    With "all" it gets the list of the gradients, None for tensors that this pass doesn't reach; with "any" it gets the
    first gradient.
    """
    if mode not in ("all", "any"):
        raise ValueError(f"Expects mode to be one of ('all', 'any') but got {mode}")
    lock = threading.Lock()
    if mode == "any":
        last = -1

        def first(gradient: Tensor) -> None:
            nonlocal last
            with lock:
                is_late, last = last == MODE.pass_number, MODE.pass_number
            if not is_late:
                fn(gradient)

        return _Handles([_hook(each, first) for each in tensors if each.requires_grad])
    edges = [edge_of(each) for each in tensors]
    if None in edges:
        raise AssertionError("Expected gradient function to be set")
    seen: dict[int, list[Tensor | None]] = {}

    def keep(index: int) -> Callable[[Tensor], None]:
        def hook(gradient: Tensor) -> None:
            number = MODE.pass_number
            with lock:
                gradients = seen.setdefault(number, [None] * len(tensors))
                gradients[index] = gradient
                is_complete = all(
                    gradients[i] is not None
                    for i, edge in enumerate(edges)
                    if edge is not None and edge[0] in MODE.pass_nodes
                )
                if is_complete:
                    del seen[number]
            if is_complete:
                fn(gradients)

        return hook

    return _Handles([_hook(each, keep(index)) for index, each in enumerate(tensors)])


def _hook(tensor: Tensor, hook: Callable[[Tensor], None]) -> RemovableHandle:
    found = tensor.register_hook(hook)  # type: ignore[attr-defined]  # installed on it
    assert isinstance(found, RemovableHandle)
    return found
