"""Subclasses of `Tensor`: how they are made, and what operations on them give.

In: a class and a tensor, or a call with a tensor of a subclass. Out: tensors of the class. As in PyTorch a call goes
through the class's `__torch_function__`, which by default computes and gives the class to the results; a class that
sets it to `disabled_torch_function`, as parameters do, gets plain tensors.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from graphc.eager.dispatch import PLAIN_TYPES
from graphc.eager.history import set_requires_grad
from graphc.eager.tensor import Tensor
from graphc.eager.view import rename, share, view_function
from graphc.ir.errors import SignatureError

T = TypeVar("T", bound=Tensor)


class _State(threading.local):
    is_disabled: bool = False


_state = _State()


class DisableTorchFunctionSubclass:
    """In this block calls don't go through `__torch_function__`."""

    def __enter__(self) -> None:
        self._before = _state.is_disabled
        _state.is_disabled = True

    def __exit__(self, *exception: object) -> None:
        _state.is_disabled = self._before


def disabled_torch_function(
    function: Callable[..., object],
    types: Sequence[type],
    args: Sequence[object] = (),
    kwargs: Mapping[str, object] | None = None,
) -> object:
    """The `__torch_function__` of classes whose operations give plain tensors."""
    with DisableTorchFunctionSubclass():
        return function(*args, **(kwargs or {}))


def is_overridden(kind: type[Tensor]) -> bool:
    """Whether calls on tensors of this subclass go through its `__torch_function__`."""
    if _state.is_disabled or kind in PLAIN_TYPES:
        return False
    return kind.__torch_function__ is not disabled_torch_function  # type: ignore[attr-defined]  # installed


def torch_function(
    cls: type[Tensor],
    function: Callable[..., object],
    types: Sequence[type],
    args: Sequence[object] = (),
    kwargs: Mapping[str, object] | None = None,
) -> object:
    """Compute, and make tensors among the results tensors of the class."""
    with DisableTorchFunctionSubclass():
        found = function(*args, **(kwargs or {}))
    return _converted(found, cls)


def _converted(value: object, kind: type[Tensor]) -> object:
    if kind is Tensor:
        return value
    if type(value) is Tensor:
        return adopt(value, kind)
    if type(value) in (tuple, list):
        converted = [_converted(each, kind) for each in value]  # type: ignore[attr-defined]  # it is a list or tuple
        return tuple(converted) if type(value) is tuple else converted
    return value


def adopt(tensor: Tensor, kind: type[T]) -> T:
    """Another tensor object, of this class, for the same memory and history."""
    result = object.__new__(kind)
    result._array, result._storage, result._meta = tensor._array, tensor._storage, tensor._meta
    return result


def check_class(kind: object) -> None:
    """Refuse what is no subclass of `Tensor`."""
    if not (isinstance(kind, type) and issubclass(kind, Tensor)):
        raise SignatureError(
            "Creating a Tensor subclass from a class that does not inherit from Tensor is not possible. Make sure your "
            "class inherits from Tensor."
        )


def make_subclass(cls: type[T], data: Tensor, require_grad: bool = False, **options: object) -> T:
    """A leaf of this class over the memory of a tensor."""
    check_class(cls)
    result = object.__new__(cls)
    if data._storage.owner is None:
        data._storage.owner = data._array
    result._array, result._storage, result._meta = data._array, data._storage, None
    if require_grad:
        set_requires_grad(result, True)
    return result


def alias(tensor: Tensor) -> Tensor:
    """Another tensor for the same elements, with a node of its own."""
    if not tensor.requires_grad:
        return share(tensor, tensor._array)
    found = view_function("view_as")(tensor, tensor)
    assert isinstance(found, Tensor)
    if found._meta is not None and found._meta.node is not None:
        rename(found._meta.node, "AliasBackward0")
    return found


def as_subclass(self: Tensor, cls: type[T]) -> T:
    """The tensor as one of a subclass, over the same memory and with its history."""
    check_class(cls)
    return adopt(alias(self), cls)


METHODS: dict[str, Callable[..., object]] = {"as_subclass": as_subclass}
STATIC: dict[str, Any] = {
    "__torch_function__": classmethod(torch_function),
    "_make_subclass": staticmethod(make_subclass),
}
"""Class and static methods of `Tensor`."""
