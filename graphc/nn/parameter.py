"""Tensors that belong to modules: parameters, which training changes, and buffers, which it does not."""

from __future__ import annotations

from typing import Any

from graphc.eager.dispatch import PLAIN_TYPES
from graphc.eager.tensor import AutogradMeta, Tensor, wrap

__all__ = ["Buffer", "Parameter"]


class Parameter(Tensor):
    """A tensor that a module counts among its parameters when it becomes one of its attributes.

    It shares the memory of `data` and is a leaf; results computed from it are plain tensors.
    """

    __slots__ = ()
    _is_param = True

    def __new__(cls, data: Tensor | None = None, requires_grad: bool = True) -> Any:
        return _over(cls, data, requires_grad)

    def __init__(self, data: Tensor | None = None, requires_grad: bool = True) -> None:
        pass

    def __deepcopy__(self, memo: dict[int, object]) -> Parameter:
        found = memo.get(id(self))
        if found is None:
            copied = wrap(self._array.copy(order="K"))
            found = memo[id(self)] = type(self)(copied, self.requires_grad)
        assert isinstance(found, Parameter)
        return found

    def __reduce_ex__(self, protocol: object) -> tuple[object, ...]:
        return _rebuild, (type(self), Tensor.detach(self), self.requires_grad)  # type: ignore[attr-defined]


class Buffer(Tensor):
    """A tensor that a module counts among its buffers when it becomes one of its attributes."""

    __slots__ = ("persistent",)

    persistent: bool
    """Whether it is saved with its module."""

    def __new__(cls, data: Tensor | None = None, *, persistent: bool = True) -> Any:
        made = _over(cls, data, False)
        made.persistent = persistent
        return made

    def __init__(self, data: Tensor | None = None, *, persistent: bool = True) -> None:
        pass


PLAIN_TYPES.update((Parameter, Buffer))


def _over(cls: type[Tensor], data: Tensor | None, requires_grad: bool) -> Any:
    """A tensor of this class over the memory of `data`."""
    if data is None:
        import graphc  # late: the package imports this module

        data = graphc.empty(0)  # type: ignore[attr-defined]  # a function of the table
    assert isinstance(data, Tensor)
    made = object.__new__(cls)
    if data._storage.owner is None:
        data._storage.owner = data._array
    made._array, made._storage, made._meta = data._array, data._storage, None
    if requires_grad:
        if not data.dtype.is_differentiable:
            raise RuntimeError("Only Tensors of floating point and complex dtype can require gradients")
        made._meta = AutogradMeta(True)
    return made


def _rebuild(cls: type[Parameter], data: Tensor, requires_grad: bool) -> Parameter:
    return cls(data, requires_grad)
