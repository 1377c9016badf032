"""Views as copies: `squeeze_copy`, `unbind_copy` and their kin, which share no memory with the tensor.

In: what the view function takes. Out: what it gives, in new memory in row-major order.
"""

from __future__ import annotations

from collections.abc import Callable

from graphc.eager.indexing import getitem, narrow, select
from graphc.eager.memory import as_strided, clone, unfold, view
from graphc.eager.memory_format import contiguous_format
from graphc.eager.out import with_out
from graphc.eager.tensor import Tensor
from graphc.eager.view import rename, view_as_complex, view_as_real, view_function


def slice_(input: Tensor, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1) -> Tensor:
    """A slice along a dimension, as a view."""
    return getitem(input, (slice(None),) * (dim % max(input._array.ndim, 1)) + (slice(start, end, step),))


def alias(input: Tensor) -> Tensor:
    """All of the tensor, as a view."""
    return getitem(input, ...)


def _copying(name: str, look: Callable[..., object]) -> Callable[..., object]:
    def copy(*args: object, **kwargs: object) -> object:
        found = look(*args, **kwargs)
        if isinstance(found, tuple):
            return tuple(_copied(each) for each in found)
        return _copied(found)

    copy.__name__ = copy.__qualname__ = f"{name}_copy"
    copy.__doc__ = f"`{name}`, in memory of its own."
    return with_out(copy, f"{name}_copy")


def _copied(found: object) -> Tensor:
    assert isinstance(found, Tensor)
    result = clone(found, memory_format=contiguous_format)
    if result._meta is not None and result._meta.node is not None:
        made = None if found._meta is None else found._meta.node
        rename(result._meta.node, f"{made.name() if made is not None else 'AliasBackward0'}_copy")
    return result


_LOOKS: dict[str, Callable[..., object]] = {
    **{
        name: view_function(name)
        for name in (
            "diagonal", "expand", "permute", "split", "split_with_sizes", "squeeze", "t", "transpose", "unbind",
            "unsqueeze",
        )
    },
    "alias": alias,
    "as_strided": as_strided,
    "detach": lambda input: input.detach(),
    "narrow": narrow,
    "select": select,
    "slice": slice_,
    "unfold": unfold,
    "view": view,
    "view_as_complex": view_as_complex,
    "view_as_real": view_as_real,
}  # fmt: skip

FUNCTIONS: dict[str, Callable[..., object]] = {f"{name}_copy": _copying(name, look) for name, look in _LOOKS.items()}
METHODS: dict[str, Callable[..., object]] = {"narrow_copy": FUNCTIONS["narrow_copy"]}
