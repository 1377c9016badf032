"""Subscripts: `x[1:, None, ..., index]` and `x[mask] = value`.

In: a tensor and what stands in brackets. Out: a view where only ints, slices, None and ... are given, new memory where
there are index tensors; bool masks become the places where they hold.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from graphc.eager.dispatch import function_of
from graphc.eager.inplace import check_writable, write
from graphc.eager.record import record
from graphc.eager.tensor import Tensor, wrap
from graphc.eager.view import make_view


def getitem(self: Tensor, index: object) -> Tensor:
    """The elements that ints, slices, None, ..., bools and index tensors choose."""
    parts = index if isinstance(index, tuple) else (index,)
    if all(_is_basic(each) for each in parts):
        call, sources = function_of("__getitem__").plan_for((self, _plain(index)), {})
        result = make_view(self, self._array[(*_plain(parts), ...)], call.plan)  # type: ignore[misc]
        if self.requires_grad:
            record(call.plan, sources, [result])
        return result
    found = function_of("__getitem__")(self, tuple(_places(parts)))
    assert isinstance(found, Tensor)
    return found


def setitem(self: Tensor, index: object, value: object) -> None:
    """Write a value, repeated as needed, to the elements chosen."""
    check_writable(self)
    parts = index if isinstance(index, tuple) else (index,)
    if all(_is_basic(each) for each in parts):
        target = getitem(self, index)
        source = value if isinstance(value, Tensor) else wrap(np.asarray(value))
        expanded = function_of("expand")(source, target.shape)
        assert isinstance(expanded, Tensor)
        write(target, expanded)
        return
    raise NotImplementedError


def _is_basic(part: object) -> bool:
    return (
        part is None
        or part is Ellipsis
        or isinstance(part, slice)
        or (isinstance(part, int | np.integer) and not isinstance(part, bool))
    )


def _plain(part: Any) -> Any:
    if isinstance(part, tuple):
        return tuple(map(_plain, part))
    return int(part) if isinstance(part, np.integer) else part


def _places(parts: tuple[object, ...]) -> list[object]:
    found: list[object] = []
    for part in parts:
        if isinstance(part, Tensor) and part._array.dtype == np.bool_:
            found += [wrap(each) for each in part._array.nonzero()]
        else:
            found.append(part)
    return found


FUNCTIONS: dict[str, Callable[..., object]] = {"__getitem__": getitem, "__setitem__": setitem}
METHODS: dict[str, Callable[..., object]] = {}
