"""Calls on eager tensors inside `autocast`: operands converted before them, and parameters only once.

In: an entry of the table, the function that computes it, its arguments. Out: its result, as PyTorch's lists want it.
The conversions are operations like any others, so gradients come back in the dtypes that the operands had.

    autocast_call(functions()["matmul"], function_of("matmul"), (x, weight), {})
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from graphc.eager.dispatch import function_of
from graphc.eager.mode import MODE
from graphc.eager.tensor import Tensor
from graphc.frontend.autocast import STATE, Caster, Regions, converted, current_regions, put_in_force, rounded
from graphc.ir.dtype import DType, f32
from graphc.ir.dtype import dtype as to_dtype
from graphc.ops.function import Function


class _Cache(threading.local):
    """Parameters that a thread has converted since its outermost region began."""

    def __init__(self) -> None:
        self.casts: dict[tuple[object, ...], tuple[Tensor, Tensor]] = {}
        """Each with the tensor that it was made of, so that the identity in the key stays that tensor's."""


_cache = _Cache()


def clear_cache() -> None:
    """Forget the converted parameters of this thread."""
    _cache.casts.clear()


@contextmanager
def own_cache() -> Iterator[None]:
    """Inside, parameters are converted anew, and forgotten at the end: recorded calls hold no tensor of their own."""
    before, _cache.casts = _cache.casts, {}
    try:
        yield
    finally:
        _cache.casts = before


@contextmanager
def again_in(regions: Regions) -> Iterator[None]:
    """Inside, these regions are in force: for what is computed again later."""
    before = current_regions()
    put_in_force(regions)
    STATE.nesting += 1
    try:
        with own_cache():
            yield
    finally:
        STATE.nesting -= 1
        put_in_force(before)


def autocast_call(
    entry: Function, compute: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> object:
    """The entry's result inside the regions in force. A call that writes to `out` is as outside."""
    if kwargs.get("out") is not None:
        return compute(*args, **kwargs)
    call = converted(entry, args, kwargs, _TENSORS)
    result = compute(*call.args, **call.kwargs)
    return result if call.result is None else rounded(result, call.result, _TENSORS)


def _cast(tensor: Tensor, dtype: DType) -> Tensor:
    """The tensor converted; a leaf that requires a gradient once for all calls in a region."""
    meta = tensor._meta
    is_kept = (
        dtype is not f32
        and STATE.is_cached
        and STATE.nesting > 0
        and meta is not None
        and meta.requires_grad
        and meta.node is None
        and meta.view is None
        and tensor.dtype is f32
    )
    if not is_kept:
        return _to(tensor, dtype)
    key = (id(tensor), dtype, tensor._storage.version, MODE.grad, MODE.inference)
    found = _cache.casts.get(key)
    if found is None:
        found = _cache.casts[key] = (tensor, _to(tensor, dtype))
    return found[1]


def _to(tensor: Tensor, dtype: DType) -> Tensor:
    found = function_of("to")(tensor, dtype)
    assert isinstance(found, Tensor)
    return found


_TENSORS = Caster(
    Tensor,
    lambda tensor: to_dtype(tensor._array.dtype),
    lambda tensor: tensor.device.type,
    _cast,
)
