"""Subscripts: `x[1:, None, ..., index]` and `x[mask] = value`.

In: a tensor and what stands in brackets. Out: a view where only ints, slices, None and ... are given, new memory where
there are index tensors; masks become the places where they hold. Elements are moved by numpy, since how many there are
depends on values; a plan is made for the gradient alone.

    parse(x, (slice(1, None), None, index))
"""

from __future__ import annotations

import functools
import operator
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphc.eager import watch
from graphc.eager.choosing import places
from graphc.eager.dispatch import function_of
from graphc.eager.geometry import as_strided, row_major, shifted, strided
from graphc.eager.inplace import converted
from graphc.eager.layout import dense_strides
from graphc.eager.memory import new_array
from graphc.eager.mode import MODE
from graphc.eager.placement import contiguous as in_order
from graphc.eager.placement import copy_into, gpu_of, on, refuse_index
from graphc.eager.plan import Plan
from graphc.eager.program import Recipe
from graphc.eager.record import record
from graphc.eager.slicing import record_slice
from graphc.eager.tensor import AnyArray, Tensor, wrap
from graphc.eager.view import share
from graphc.eager.watch import WATCHING
from graphc.ir.dtype import bool_, i64
from graphc.ir.dtype import dtype as to_dtype
from graphc.ir.errors import ArgumentError, IndexOutOfRange, SignatureError
from graphc.ir.graph import Graph, make_input
from graphc.ir.type import TensorType
from graphc.ops.composite.subscript import pick

INT64 = 1 << 63


class SubscriptError(ArgumentError, IndexError):
    """A subscript that fits no tensor."""


class StepError(ArgumentError):
    """A slice that goes nowhere or backwards."""


@dataclass(slots=True)
class Subscript:
    """What a subscript chooses: a part of the tensor, and index arrays for some of the part's dimensions."""

    shape: list[int]
    strides: list[int]
    keys: list[int | slice]
    """What numpy takes for the part's elements, without new dimensions."""
    starts: list[int]
    spans: list[int]
    steps: list[int]
    name: str
    """The last operation that the part stands for."""
    indices: dict[int, AnyArray]
    """By dimension of the part: int64 arrays."""
    is_sure: bool = True
    """Whether their elements are known to exist; those that a GPU has are checked by the program that takes them."""


def getitem(self: Tensor, index: object) -> Tensor:
    """The elements that ints, slices, None, ..., bools and index tensors choose."""
    if type(index) is int and (array := self._array).size and array.ndim and -len(array) <= index < len(array):
        # The step of most loops, with nothing to take apart.
        result = share(self, array[index, ...])
        if self._meta is not None and MODE.grad and self.requires_grad:
            rest = array.shape[1:]
            starts = (index % len(array), *([0] * len(rest)))
            record_slice(self, result, starts, (1, *rest), (1,) * array.ndim, "SelectBackward0")
        return result
    if (WATCHING or type(self._array) is not np.ndarray) and is_by_tensors(self, index):
        return function_of("__getitem__")(self, index)  # type: ignore[return-value]  # a tensor
    found = parse(self, index)
    if found.indices:
        return pick_elements(part_of(self, found), found.indices, found.is_sure)
    return part_of(self, found, "Slice" if type(index) is slice else "Alias")


def is_by_tensors(self: Tensor, index: object) -> bool:
    """Whether a subscript that is watched, or of a GPU's tensor, has index tensors, which a graph can read.

    Masks are none: those that are watched are refused.
    """
    items = index if isinstance(index, tuple) else (index,)
    arrays = [each for each in items if isinstance(each, Tensor | np.ndarray | list)]
    has_masks = False
    for each in arrays:
        if _is_mask(each):
            has_masks = True
            watch.refuse("chooses elements by a mask, whose values tell how many there are", "use torch.where")
    is_watched = watch.watcher() is not None
    return bool(arrays) and (is_watched or (type(self._array) is not np.ndarray and not has_masks))


def _is_mask(given: object) -> bool:
    if isinstance(given, Tensor):  # which may be on a GPU, and nobody has to wait for its values
        kind = given._array.dtype
    else:
        array: Any = _plain(given)
        kind = (array if isinstance(array, np.ndarray) else _from_sequence(array)).dtype
    return kind == np.bool_ or kind == np.uint8


def part_of(self: Tensor, found: Subscript, name: str = "", is_recorded: bool = True) -> Tensor:
    """The view that the ints, slices and Nones choose; the tensor itself if that is all of it and it needs no name.

    What is only written to needs no history: `is_recorded` is False.
    """
    array = self._array
    if not name and not found.name:
        return self
    keys: tuple[Any, ...] = (*found.keys, ...)
    part = array[keys]
    shape = tuple(found.shape)
    if not part.size:
        part = shifted(array, sum(a * b for a, b in zip(found.starts, array.strides)), shape, found.strides)
    elif part.shape != shape:
        part = strided(part, shape, found.strides)
    result = share(self, part)
    if is_recorded and MODE.grad and self.requires_grad:
        record_slice(self, result, found.starts, found.spans, found.steps, f"{found.name or name}Backward0")
    return result


def parse(self: Tensor, index: object) -> Subscript:
    """Take a subscript apart; raises IndexError and its kin in PyTorch's words."""
    items = _items(index)
    if isinstance(index, tuple) and not self._array.ndim and any(map(_dimensions, items)):
        raise SubscriptError("too many indices for tensor of dimension 0")
    return subscript(self, items)


def is_mask(index: object) -> bool:
    """Whether a subscript chooses by a single array of bools."""
    arrays = [each for each in _items(index) if isinstance(each, np.ndarray)]
    return len(arrays) == 1 and arrays[0].dtype == np.bool_


def subscript(self: Tensor, items: Sequence[object]) -> Subscript:
    """As `parse`, of entries that are ints, slices, None, ..., bools and arrays."""
    shape, strides = self._array.shape, self._array.strides
    if not self._array.size and not any(strides):
        strides = row_major(shape, self._array.itemsize)  # numpy keeps no strides where there are no elements
    rank = len(shape)
    used = sum(map(_dimensions, items))
    if rank == 0 and used:
        _refuse_0d(items)
    if used > rank:
        raise SubscriptError(f"too many indices for tensor of dimension {rank}")
    found = Subscript([], [], [], [0] * rank, list(shape), [1] * rank, "", {})
    axis = 0
    for item in items:
        kind = type(item)
        if kind is int:
            _select(found, item, axis, shape)  # type: ignore[arg-type]  # it is an int
            axis += 1
        elif kind is slice:
            _slice(found, item, axis, shape, strides)  # type: ignore[arg-type]  # it is a slice
            axis += 1
        elif item is None:
            found.strides.append(shape[axis] * strides[axis] if axis < rank else self._array.itemsize)
            found.shape.append(1)
            found.name = "Unsqueeze"
        elif item is Ellipsis:
            skipped = rank - used
            used = rank  # another one stands for nothing
            for each in range(axis, axis + skipped):
                found.keys.append(slice(None))
                found.shape.append(shape[each])
                found.strides.append(strides[each])
            axis += skipped
        elif kind is bool:
            place = len(found.shape)
            found.shape.append(1)
            found.strides.append(shape[axis] * strides[axis] if axis < rank else self._array.itemsize)
            found.name = found.name or "Unsqueeze"
            found.indices[place] = np.zeros(int(item), np.int64)  # type: ignore[call-overload]  # it is a bool
        else:
            assert isinstance(item, np.ndarray)
            refuse_index(item, self._array)
            axis = _index(found, item, axis, shape, strides)
    for each in range(axis, rank):
        found.shape.append(shape[each])
        found.strides.append(strides[each])
    if found.indices:
        _check_indices(found)
    return found


def _items(index: object) -> list[object]:
    """The entries of a subscript: ints, slices, None, ..., bools and arrays."""
    if isinstance(index, tuple):
        return [_item(each) for each in index]
    if isinstance(index, list) and _means_tuple(index):
        warnings.warn(
            "Using a non-tuple sequence for multidimensional indexing is deprecated and will be changed in pytorch "
            "2.9; use x[tuple(seq)] instead of x[seq]. In pytorch 2.9 this will be interpreted as tensor index, "
            "x[torch.tensor(seq)], which will result either in an error or a different result",
            stacklevel=5,
        )
        return [_item(each) for each in index]
    return [_item(index)]


def _means_tuple(index: list[object]) -> bool:
    return len(index) < 32 and any(
        each is None or each is Ellipsis or isinstance(each, slice | Tensor | Sequence | np.ndarray) for each in index
    )


def _item(given: Any) -> object:
    kind = type(given)
    if kind is int:
        if not -INT64 <= given < INT64:
            raise ValueError("Overflow when unpacking long long")
        return given
    if kind is slice or given is None or given is Ellipsis or kind is bool:
        return given
    if isinstance(given, Tensor):
        array = given._array
        if array.ndim or array.dtype.kind not in "biu":
            return _checked(array)
        if array.dtype == np.bool_ or array.dtype == np.uint8:
            return bool(array)
        return int(array)
    if isinstance(given, np.ndarray):
        return _item(wrap(given)) if given.ndim else _item(given.item())
    if isinstance(given, np.bool_):
        return bool(given)
    if isinstance(given, Sequence) and not isinstance(given, str | bytes):
        return _checked(_from_sequence(given))
    try:
        return operator.index(given)
    except TypeError:
        if isinstance(given, str | bytes):
            raise SignatureError("new(): invalid data type 'str'") from None
        raise SubscriptError(
            "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid indices "
            f"(got {type(given).__name__})"
        ) from None


def _from_sequence(given: Sequence[object]) -> AnyArray:
    plain = np.array([_plain(each) for each in given])
    return plain if plain.size else plain.astype(np.int64)


def _plain(value: object) -> object:
    if isinstance(value, Tensor):
        return on(value._array, None)
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


def _checked(array: AnyArray) -> AnyArray:
    if array.dtype == np.uint8:
        warnings.warn(
            "indexing with dtype torch.uint8 is now deprecated, please use a dtype torch.bool instead.", stacklevel=6
        )
        return array.astype(np.bool_) if type(array) is np.ndarray else converted(array, bool_)
    if array.dtype != np.bool_ and array.dtype != np.int64 and array.dtype != np.int32:
        raise SubscriptError("tensors used as indices must be long, int, byte or bool tensors")
    return array


def _dimensions(item: object) -> int:
    if item is None or item is Ellipsis or type(item) is bool:
        return 0
    return item.ndim if isinstance(item, np.ndarray) and item.dtype == np.bool_ else 1


def _refuse_0d(items: Sequence[object]) -> None:
    first = next(each for each in items if _dimensions(each))
    if isinstance(first, slice):
        raise SubscriptError("slice() cannot be applied to a 0-dim tensor.")
    if isinstance(first, int):
        raise SubscriptError(
            "invalid index of a 0-dim tensor. Use `tensor.item()` in Python or `tensor.item<T>()` in C++ to convert a "
            "0-dim tensor to a number"
        )
    raise SubscriptError("too many indices for tensor of dimension 0")


def _select(found: Subscript, item: int, axis: int, shape: Sequence[int]) -> None:
    size = shape[axis]
    if not -size <= item < size:
        raise IndexOutOfRange(f"index {item} is out of bounds for dimension {axis} with size {size}")
    place = item + size if item < 0 else item
    found.keys.append(place)
    found.starts[axis], found.spans[axis] = place, 1
    found.name = "Select"


def _slice(found: Subscript, item: slice, axis: int, shape: Sequence[int], strides: Sequence[int]) -> None:
    size = shape[axis]
    if item.start is None and item.stop is None and item.step is None:
        start, stop, step = 0, size, 1
    else:
        if item.step is not None and operator.index(item.step) <= 0:
            raise StepError(
                "slice step cannot be zero" if operator.index(item.step) == 0 else "step must be greater than zero"
            )
        start, stop, step = item.indices(size)
        stop = max(start, stop)
        if (start, stop, step) != (0, size, 1):
            found.name = "Slice"
    found.keys.append(slice(start, stop, step))
    found.shape.append((stop - start + step - 1) // step)
    found.strides.append(strides[axis] * step)
    found.starts[axis], found.spans[axis], found.steps[axis] = start, stop - start, step


def _index(found: Subscript, item: AnyArray, axis: int, shape: Sequence[int], strides: Sequence[int]) -> int:
    """Enter an index array or a mask; gives the next axis."""
    count = 1
    arrays: Sequence[AnyArray] = (item,)
    if item.dtype == np.bool_:
        count = item.ndim
        if item.shape != shape[axis : axis + count]:
            wrong = next(k for k, size in enumerate(item.shape) if size != shape[axis + k])
            raise SubscriptError(
                f"The shape of the mask {list(item.shape)} at index {wrong} does not match the shape of the indexed "
                f"tensor {list(shape)} at index {axis + wrong}"
            )
        arrays = item.nonzero() if type(item) is np.ndarray else places(item)
    elif type(item) is not np.ndarray:
        found.is_sure = False
    for each, array in enumerate(arrays, axis):
        found.indices[len(found.shape)] = array
        found.keys.append(slice(None))
        found.shape.append(shape[each])
        found.strides.append(strides[each])
    return axis + count


def _check_indices(found: Subscript) -> None:
    """All index arrays fit each other, and name elements that there are; afterwards they count from the front."""
    arrays = found.indices
    try:
        np.broadcast_shapes(*(each.shape for each in arrays.values()))
    except ValueError:
        shapes = ", ".join(str(list(each.shape)) for each in arrays.values())
        raise SubscriptError(
            f"shape mismatch: indexing tensors could not be broadcast together with shapes {shapes}"
        ) from None
    for number, (place, array) in enumerate(arrays.items()):
        arrays[place] = checked_places(array, found.shape[place], number)  # PyTorch counts indexed dimensions only


def checked_places(array: AnyArray, size: int, dim: int) -> AnyArray:
    """Positions counted from the front, as int64; raises IndexOutOfRange. Those of a GPU are left as they are."""
    if array.size and not size:
        raise IndexOutOfRange("index is out of bounds for dimension with size 0")
    if type(array) is not np.ndarray:
        return array if array.dtype == np.int64 else converted(array, i64)
    array = array.astype(np.int64, copy=False)
    if not array.size:
        return array
    low = array.min()
    if low < -size or array.max() >= size:
        wrong = array[(array < -size) | (array >= size)].reshape(-1)[0]
        raise IndexOutOfRange(f"index {wrong} is out of bounds for dimension {dim} with size {size}")
    return np.where(array < 0, array + size, array) if low < 0 else array


# Elements at index arrays


def keys_of(indices: dict[int, AnyArray]) -> tuple[AnyArray | slice, ...]:
    """The arrays as a subscript of numpy."""
    return tuple(indices.get(axis, slice(None)) for axis in range(max(indices) + 1))


def places_of(self: Tensor, indices: Sequence[object]) -> dict[int, AnyArray]:
    """The index arrays of a sequence of index tensors, one for each dimension or several of a mask; None skips one."""
    items: list[AnyArray | slice] = []
    for position, each in enumerate(indices):
        if each is None:
            items.append(slice(None))
        elif isinstance(each, Tensor):
            items.append(_checked(each._array))
        else:
            raise SignatureError(f"expected Tensor as element {position} in argument 0, but got {type(each).__name__}")
    return subscript(self, items).indices


def pick_elements(part: Tensor, indices: dict[int, AnyArray], is_sure: bool = False) -> Tensor:
    """The elements at index arrays, in new memory. `is_sure`: they are known to exist."""
    array = part._array
    if type(array) is np.ndarray:
        taken = array[keys_of(indices)]
    else:
        plan = _pick_plan(_type(array), tuple((axis, _type(each)) for axis, each in indices.items()), is_sure)
        (taken,) = plan.run([array, *indices.values()])
    result = wrap(_laid_out(array, taken, indices))
    if MODE.grad and part.requires_grad:
        plan = _pick_plan(_type(array), tuple((axis, _type(each)) for axis, each in indices.items()), is_sure)
        record(plan, [part, *indices.values()], [result], shown=1)
    return result


def _laid_out(array: AnyArray, taken: AnyArray, indices: dict[int, AnyArray]) -> AnyArray:
    """In the memory order that PyTorch gives: that of the dimensions that aren't indexed, where they stay in front."""
    axes = sorted(indices)
    is_plain = array.flags.c_contiguous or axes != list(range(axes[0], axes[-1] + 1))
    if is_plain or array.ndim < 2 or taken.ndim < 2:
        return in_order(taken)
    width = taken.ndim - (array.ndim - len(axes))
    steps: list[int] = []
    for axis, step in enumerate(array.strides):
        if axis == axes[0]:
            steps += [0] * width
        if axis not in indices:
            steps.append(step)
    restrided = as_strided(array, taken.shape, steps)
    strides = dense_strides([restrided], taken.shape, taken.itemsize)
    result = new_array(taken.shape, taken.dtype, strides, gpu_of(taken))
    copy_into(result, taken)
    return result


def _type(array: AnyArray) -> TensorType:
    return TensorType(array.shape, to_dtype(array.dtype))


@functools.lru_cache(maxsize=512)
def _pick_plan(whole: TensorType, indices: tuple[tuple[int, TensorType], ...], is_sure: bool) -> Plan:
    axes = tuple(axis for axis, _ in indices)

    def build_graph(types: Sequence[TensorType]) -> Graph:
        x = make_input("x", whole)
        places = tuple((axis, make_input(f"index_{axis}", type)) for axis, type in zip(axes, types))
        return Graph("index", (x, *(node for _, node in places)), (pick(x, places),))

    types = tuple(type for _, type in indices)
    # How many elements are chosen may differ from call to call: one program serves them.
    return Plan(build_graph(types), "IndexBackward0", Recipe(("index", whole, axes), types, build_graph), is_sure)


# Parts at one place, under names


def select(input: Tensor, dim: int, index: int) -> Tensor:
    """The part at one position along `dim`, which is dropped; a view."""
    array = input._array
    if not array.ndim:
        raise SubscriptError("select() cannot be applied to a 0-dim tensor.")
    axis = normal_axis(dim, array.ndim)
    size, place = array.shape[axis], operator.index(index)
    if not -size <= place < size:
        raise IndexOutOfRange(
            f"select(): index {place} out of range for tensor of size {list(array.shape)} at dimension {axis}"
        )
    return getitem(input, (slice(None),) * axis + (place,))


def narrow(input: Tensor, dim: int, start: int | Tensor, length: int) -> Tensor:
    """`length` elements along `dim` from `start` on; a view."""
    array = input._array
    if not array.ndim:
        raise ArgumentError("narrow() cannot be applied to a 0-dim tensor.")
    if length < 0:
        raise ArgumentError("narrow(): length must be non-negative.")
    axis = normal_axis(dim, array.ndim)
    first, size = operator.index(start), array.shape[axis]
    if not -size <= first <= size:
        raise SubscriptError(f"start out of range (expected to be in range of [-{size}, {size}], but got {first})")
    first = first + size if first < 0 else first
    if first + length > size:
        raise ArgumentError(f"start ({first}) + length ({length}) exceeds dimension size ({size}).")
    found = parse(input, (slice(None),) * axis + (slice(first, first + length),))
    return part_of(input, found, "Slice")


def normal_axis(dim: int, rank: int) -> int:
    """A dimension counted from the front."""
    reach = max(rank, 1)
    if not -reach <= dim < reach:
        raise SubscriptError(
            f"Dimension out of range (expected to be in range of [{-reach}, {reach - 1}], but got {dim})"
        )
    return dim % reach


FUNCTIONS: dict[str, Callable[..., object]] = {"__getitem__": getitem, "select": select, "narrow": narrow}
METHODS: dict[str, Callable[..., object]] = {}
