"""Writing through subscripts: `x[index] = value`, `index_put_`, and diagonals.

In: a tensor, what stands in brackets, and a value. Out: nothing, or the tensor; its memory is written by numpy. Where
the value's gradient or the tensor's is recorded, a plan of the write is.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from graphc.eager.conversion import convert
from graphc.eager.dispatch import function_of
from graphc.eager.geometry import overlaps_itself
from graphc.eager.indexing import Subscript, SubscriptError, is_by_tensors, is_mask, keys_of, parse, part_of, places_of
from graphc.eager.inplace import assign, check_overlap, check_writable, copy_, entered, fill_, scalar_of, type_of
from graphc.eager.masking import put_where
from graphc.eager.memory import as_strided, clone
from graphc.eager.mode import MODE, unrecorded
from graphc.eager.placement import copy_into, gpu_of, mismatch, on, place_of
from graphc.eager.plan import Plan
from graphc.eager.program import Recipe
from graphc.eager.record import record
from graphc.eager.tensor import AnyArray, Tensor, wrap, wrap_constant, wrap_shared
from graphc.eager.transfer import transfer
from graphc.eager.view import view_function
from graphc.eager.watch import WATCHING
from graphc.ir.dtype import bool_
from graphc.ir.errors import ArgumentError, DTypeError, ShapeError, SignatureError
from graphc.ir.graph import Graph, Node, make_input
from graphc.ir.type import TensorType
from graphc.ops import build, indexing
from graphc.ops.composite.operand import type_text
from graphc.ops.composite.scatter import combined_into
from graphc.ops.composite.subscript import merged


def setitem(self: Tensor, index: object, value: object) -> None:
    """Write a value, repeated as needed, to the elements chosen."""
    source = value if isinstance(value, Tensor) else _number(self, value)
    if WATCHING and is_by_tensors(self, index):
        _replaced(self, index, source)
        return
    if type(self._array) is not np.ndarray and _put_by_mask(self, index, source):
        return
    found = parse(self, index)
    if not found.indices:
        target = part_of(self, found, is_recorded=False) if found.name else self
        if source._array.ndim == 0 and target._array.ndim:
            fill_(target, source)
        else:
            copy_(target, _fitting(target, source))
        return
    if source.dtype is not self.dtype and source._array.size == 1 and is_mask(index):
        source = convert(source, self.dtype)
    needs_view = tuple(found.shape) != self._array.shape or found.name
    target = part_of(self, found) if needs_view else self
    shape = _chosen_shape(found)
    put(target, found.indices, without_lead(source, len(shape)), shape)


def _put_by_mask(self: Tensor, index: object, source: Tensor) -> bool:
    """Whether the subscript is a mask of a GPU's tensor, and what is written to it was."""
    if isinstance(index, tuple) and len(index) == 1:
        (index,) = index
    if not isinstance(index, Tensor) or index.dtype is not bool_:
        return False
    if source._array.size == 1:
        source = convert(transfer(source, gpu_of(self._array)), self.dtype)
    return put_where(self, index._array, without_lead(source, 1 + self._array.ndim - index._array.ndim))


def _replaced(self: Tensor, index: object, source: Tensor, accumulate: bool = False) -> Tensor:
    """As an assignment, by a function of the table: what a graph can hold."""
    source = _beside(self, source)
    check_writable(self, self.requires_grad or source.requires_grad, overlapping=True)
    values = function_of("_with_item")(self, index, source, accumulate)
    assert isinstance(values, Tensor)
    return assign(self, values)


def _number(self: Tensor, value: object) -> Tensor:
    if isinstance(value, bool | int | float | complex | np.integer):
        return wrap_constant(scalar_of(value, self.dtype))
    raise SignatureError(f"can't assign a {_type_name(value)} to a torch.{self.dtype.scalar}Tensor")


def _type_name(value: object) -> str:
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"


def without_lead(source: Tensor, rank: int) -> Tensor:
    """A value without leading dimensions of size 1, which an assignment doesn't mind."""
    shape = source._array.shape
    lead = 0
    while lead < len(shape) and shape[lead] == 1:
        lead += 1
    return _reshape(source, shape[lead:]) if lead and len(shape) > rank else source


_reshape_view = view_function("reshape")


def _reshape(source: Tensor, shape: Sequence[int]) -> Tensor:
    found = _reshape_view(source, tuple(shape))
    assert isinstance(found, Tensor)
    return found


def _fitting(target: Tensor, source: Tensor) -> Tensor:
    """The value, if it repeats to the target's shape."""
    source = without_lead(source, target._array.ndim)
    wanted, given = target._array.shape, source._array.shape
    if len(given) > len(wanted):
        raise ShapeError(
            f"expand({type_text(source.dtype)}{{{list(given)}}}, size={list(wanted)}): the number of sizes "
            f"provided ({len(wanted)}) must be greater or equal to the number of dimensions in the tensor "
            f"({len(given)})"
        )
    for axis in range(-1, -len(given) - 1, -1):
        if given[axis] not in (1, wanted[axis]):
            raise ShapeError(
                f"The expanded size of the tensor ({wanted[axis]}) must match the existing size ({given[axis]}) at "
                f"non-singleton dimension {len(wanted) + axis}.  Target sizes: {list(wanted)}.  Tensor sizes: "
                f"{list(given)}"
            )
    return source


def _chosen_shape(found: Subscript) -> tuple[int, ...]:
    return shape_of(tuple(found.shape), found.indices)


def shape_of(shape: tuple[int, ...], indices: dict[int, AnyArray]) -> tuple[int, ...]:
    """The shape of what index arrays choose from a tensor of a shape."""
    chosen = np.broadcast_shapes(*(each.shape for each in indices.values()))
    axes = sorted(indices)
    rest = [size for axis, size in enumerate(shape) if axis not in indices]
    if axes == list(range(axes[0], axes[-1] + 1)):
        return (*rest[: axes[0]], *chosen, *rest[axes[0] :])
    return (*chosen, *rest)


def _put_on_gpu(self: Tensor, indices: dict[int, AnyArray], values: Tensor, accumulate: bool) -> None:
    gpu = gpu_of(self._array)
    keys = tuple(wrap(on(indices[axis], gpu)) if axis in indices else slice(None) for axis in range(max(indices) + 1))
    found = unrecorded(lambda: function_of("_with_item")(self, keys, values, accumulate))
    assert isinstance(found, Tensor)
    copy_into(self._array, found._array)


def _beside(self: Tensor, values: Tensor) -> Tensor:
    """The values where the tensor is; only a single one may come from elsewhere."""
    here, there = gpu_of(self._array), gpu_of(values._array)
    if here == there:
        return values
    if values._array.size != 1:
        raise mismatch(*sorted((str(place_of(self._array)), str(place_of(values._array))), reverse=True))
    return transfer(values, here)


def put(
    self: Tensor, indices: dict[int, AnyArray], values: Tensor, shape: tuple[int, ...], accumulate: bool = False
) -> Tensor:
    """Replace the elements at index arrays, or add to them; of several writes to one element the last counts."""
    values = _beside(self, values)
    target, source = self._array, values._array
    needs = self.requires_grad or values.requires_grad
    check_writable(self, needs, overlapping=True)
    if values._storage is self._storage:
        check_overlap(target, source, is_elementwise=False)
    if not _repeats(source.shape, shape):
        raise ShapeError(
            f"shape mismatch: value tensor of shape {list(source.shape)} cannot be broadcast to indexing result of "
            f"shape {list(shape)}"
        )
    if source.dtype != target.dtype:
        raise DTypeError(
            f"Index put requires the source and destination dtypes match, got {self.dtype.scalar} for the destination "
            f"and {values.dtype.scalar} for the source."
        )
    if overlaps_itself(target):
        warnings.warn(
            "Use of index_put_ on expanded tensors is deprecated. Please clone() the tensor before performing this "
            "operation. This also applies to advanced indexing e.g. tensor[indices] = tensor",
            stacklevel=5,
        )
    keys: Any = keys_of(indices)
    if type(target) is not np.ndarray:
        _put_on_gpu(self, indices, values, accumulate)
    elif not accumulate:
        target[keys] = source
    elif target.dtype == np.bool_:
        np.logical_or.at(target, keys, source)
    else:
        np.add.at(target, keys, source)
    written = wrap_shared(target, self._storage)
    if MODE.grad and needs:
        types = tuple((axis, type_of(each)) for axis, each in indices.items())
        plan = _put_plan(type_of(target), types, type_of(source), accumulate)
        record(plan, [self, values, *indices.values()], [written], shown=2)
    entered(self, written)
    return self


def _repeats(source: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    return len(source) <= len(shape) and all(a in (1, b) for a, b in zip(reversed(source), reversed(shape)))


@functools.lru_cache(maxsize=512)
def _put_plan(
    whole: TensorType, indices: tuple[tuple[int, TensorType], ...], source: TensorType, accumulate: bool
) -> Plan:
    axes = tuple(axis for axis, _ in indices)

    def build_graph(types: Sequence[TensorType]) -> Graph:
        x, values = make_input("x", whole), make_input("values", types[-1])
        places = tuple((axis, make_input(f"index_{axis}", type)) for axis, type in zip(axes, types))
        written = _written(x, places, values, accumulate)
        return Graph("index_put", (x, values, *(node for _, node in places)), (written,))

    types = (*(type for _, type in indices), source)
    # How many elements are written may differ from call to call: one program serves them.
    recipe = Recipe(("index_put", whole, axes, accumulate), types, build_graph)
    return Plan(build_graph(types), "IndexPutBackward0", recipe)


def _written(x: Node, places: tuple[tuple[int, Node], ...], values: Node, accumulate: bool) -> Node:
    """x with values at index tensors for some of its dimensions."""
    order = tuple(range(len(x.shape)))
    if len(places) == 1:
        ((axis, position),) = places
        flat = x
    else:
        flat, position, axis = merged(x, places)
        axes = tuple(a for a, _ in places)
        if axes != tuple(range(axes[0], axes[-1] + 1)):
            order = axes + tuple(a for a in order if a not in axes)
    shape = (*flat.shape[:axis], *position.shape, *flat.shape[axis + 1 :])
    updates = build.broadcast_to(values, shape)

    def at(x: Node, updates: Node, mode: str) -> Node:
        return indexing.scatter(x, position, updates, axis=axis, mode=mode)

    result = combined_into(at, flat, updates, "add" if accumulate else "set")
    moved = build.reshape_to(result, tuple(x.shape[a] for a in order))
    return build.permute_to(moved, tuple(order.index(a) for a in range(len(order))))


def index_put_(self: Tensor, indices: Sequence[Tensor], values: Tensor, accumulate: bool = False) -> Tensor:
    """Replace the elements at index tensors, one for each leading dimension, or add to them."""
    if not isinstance(indices, list | tuple):
        raise SignatureError(
            f"index_put_(): argument 'indices' (position 1) must be tuple of Tensors, not {type(indices).__name__}"
        )
    for position, each in enumerate(indices):
        if each is None:
            raise SignatureError(f"expected Tensor as element {position} in argument 0, but got NoneType")
    if WATCHING and is_by_tensors(self, tuple(indices)):
        return _replaced(self, tuple(indices), values, accumulate)
    found = places_of(self, indices)
    if not isinstance(values, Tensor):
        raise SignatureError(
            f"index_put_(): argument 'values' (position 2) must be Tensor, not {type(values).__name__}"
        )
    if not found:
        raise SubscriptError("at least one index tensor is needed")
    return put(self, found, values, shape_of(self._array.shape, found), accumulate)


def index_put(input: Tensor, indices: Sequence[Tensor], values: Tensor, accumulate: bool = False) -> Tensor:
    """The tensor with the elements at index tensors, one for each leading dimension, replaced or added to."""
    if not isinstance(values, Tensor):
        raise SignatureError(f"index_put(): argument 'values' (position 2) must be Tensor, not {type(values).__name__}")
    return index_put_(clone(input), indices, values, accumulate)


def fill_diagonal_(self: Tensor, fill_value: object, wrap: bool = False) -> Tensor:
    """Set the elements with equal indices to a number; `wrap` goes on below where a matrix is tall."""
    shape = self._array.shape
    if len(shape) < 2:
        raise ArgumentError("dimensions must larger than 1")
    if len(shape) > 2 and len(set(shape)) > 1:
        raise ArgumentError("all dimensions of input must be of equal length")
    strides = [step // self._array.itemsize for step in self._array.strides]
    size = min(shape)
    places = [as_strided(self, (size,), (sum(strides),), self.storage_offset())]
    if wrap and len(shape) == 2 and shape[0] > shape[1] + 1:
        block = shape[1] + 1
        for start in range(block, shape[0], block):
            count = min(shape[1], shape[0] - start)
            places.append(as_strided(self, (count,), (sum(strides),), self.storage_offset() + start * strides[0]))
    for each in places:
        fill_(each, fill_value)
    return self


FUNCTIONS: dict[str, Callable[..., object]] = {
    "__setitem__": setitem,
    "index_put": index_put,
    "index_put_": index_put_,
}
METHODS: dict[str, Callable[..., object]] = {
    "__setitem__": setitem,
    "fill_diagonal_": fill_diagonal_,
    "index_put_": index_put_,
}
