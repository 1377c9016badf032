"""Memory of tensors as such: storages, strided views of them, other sizes for the same tensor, copies in an order.

In: tensors, sizes, strides, memory formats. Out: views or copies, or the tensor itself with another shape. What only
changes how a tensor is looked at (`t_`, `squeeze_`) has the history of the function of that name.
"""

from __future__ import annotations

import copy
import functools
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np

from graphc.eager import pinning, watch
from graphc.eager.device import device as Device
from graphc.eager.device import device_for, gpu_index
from graphc.eager.geometry import address_of, extent_of, is_dense, positions, row_major, strided
from graphc.eager.geometry import as_strided as array_as_strided
from graphc.eager.history import detach_
from graphc.eager.inplace import check_writable, type_of
from graphc.eager.layout import dense_strides
from graphc.eager.memory_format import channels_last, channels_last_3d, contiguous_format, preserve_format
from graphc.eager.mode import MODE
from graphc.eager.node import AutogradError
from graphc.eager.placement import copy_into, copy_of, gpu_of, on, place_of
from graphc.eager.placement import empty as empty_array
from graphc.eager.plan import Plan
from graphc.eager.record import record, see
from graphc.eager.tensor import AnyArray, Storage, Tensor, wrap, wrap_shared
from graphc.eager.view import gather_plan, rename, share, view_function
from graphc.eager.watch import WATCHING
from graphc.ir.dtype import DType
from graphc.ir.dtype import dtype as to_dtype
from graphc.ir.errors import ArgumentError, IndexOutOfRange, SignatureError
from graphc.ir.graph import Graph, make_input
from graphc.ir.type import TensorType

_S = TypeVar("_S", bound="UntypedStorage")


class UntypedStorage:
    """The bytes that one tensor or several views use."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    @property
    def _bytes(self) -> AnyArray:
        owner = self._storage.owner
        assert owner is not None
        return bytes_of(owner)

    def data_ptr(self) -> int:
        """Address of the first byte."""
        return address_of(self._bytes)

    def nbytes(self) -> int:
        """How many bytes there are."""
        return self._bytes.size

    size = nbytes
    __len__ = nbytes

    def element_size(self) -> int:
        """1: the elements are bytes."""
        return 1

    @property
    def device(self) -> Device:
        """Where the memory is."""
        return place_of(self._bytes)

    @property
    def is_cuda(self) -> bool:
        """Whether it is memory of a GPU."""
        return gpu_of(self._bytes) is not None

    def get_device(self) -> int:
        """The number of the GPU that has the memory; -1: the CPU has it."""
        gpu = gpu_of(self._bytes)
        return -1 if gpu is None else gpu

    def _with(self: _S, content: AnyArray) -> _S:
        """A storage like this one, of other memory."""
        made = copy.copy(self)
        made._storage = Storage(content)
        return made

    def clone(self: _S) -> _S:
        """A copy in the same place."""
        return self._with(copy_of(self._bytes))

    def cpu(self: _S) -> _S:
        """The memory, or a copy of it, on the CPU."""
        return self if gpu_of(self._bytes) is None else self._with(on(self._bytes, None))

    def cuda(self: _S, device: object = None, non_blocking: bool = False) -> _S:
        """The memory, or a copy of it, on a GPU: the current one, unless another is named."""
        place = gpu_index(device_for("cuda" if device is None else device, "cuda"))
        if place is None:
            raise ArgumentError("Invalid device, must be cuda device", hint='name a GPU, as in cuda("cuda:0")')
        return self if gpu_of(self._bytes) == place else self._with(on(self._bytes, place))

    def is_shared(self) -> bool:
        """Whether other processes can see the memory: that of GPUs."""
        return self.is_cuda

    def is_pinned(self, device: object = None) -> bool:
        """Whether GPUs read and write the memory by themselves."""
        return pinning.is_pinned(self._bytes)

    def __getitem__(self, index: int) -> int:
        return int(self._bytes[index])

    def __setitem__(self, index: int, value: int) -> None:
        self._bytes[index] = value

    def __iter__(self) -> Iterator[int]:
        return iter(self._bytes.tolist())

    def tolist(self) -> list[int]:
        """The bytes as ints."""
        found: list[int] = self._bytes.tolist()
        return found

    def __repr__(self) -> str:
        elements = "\n ".join(map(str, self.tolist()))
        return f" {elements}\n[torch.storage.{self._title()}device={self.device}) of size {self.size()}]"

    def _title(self) -> str:
        return "UntypedStorage("

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UntypedStorage) and other._storage is self._storage

    def __hash__(self) -> int:
        return id(self._storage)


class TypedStorage(UntypedStorage):
    """The elements that one tensor or several views use."""

    def __init__(self, storage: Storage, dtype: DType) -> None:
        super().__init__(storage)
        self.dtype = dtype

    @property
    def _bytes(self) -> AnyArray:
        return super()._bytes.view(self.dtype.numpy)

    def nbytes(self) -> int:
        """How many bytes there are."""
        return self._bytes.nbytes

    def size(self) -> int:
        """How many elements there are."""
        return self._bytes.size

    __len__ = size

    def element_size(self) -> int:
        """Bytes of one element."""
        return self.dtype.itemsize

    def __getitem__(self, index: int) -> Any:
        return self._bytes[index].item()

    def _title(self) -> str:
        return f"TypedStorage(dtype={self.dtype}, "

    def untyped(self) -> UntypedStorage:
        """The same memory as bytes."""
        return UntypedStorage(self._storage)

    _untyped_storage = property(untyped)


def bytes_of(owner: AnyArray) -> AnyArray:
    """All bytes from the first element on to the last, in a row."""
    flat = array_as_strided(owner, (extent_of(owner) // owner.itemsize,), (owner.itemsize,))
    return flat.view(np.uint8)


def owner_of(tensor: Tensor) -> AnyArray:
    """The array with all of the memory that the tensor's storage has."""
    if tensor._storage.owner is None:
        tensor._storage.owner = tensor._array
    return tensor._storage.owner


def untyped_storage(self: Tensor) -> UntypedStorage:
    """The memory that the tensor shares with its views."""
    owner_of(self)
    return UntypedStorage(self._storage)


def storage(self: Tensor) -> TypedStorage:
    """The memory that the tensor shares with its views, as elements of its dtype."""
    owner_of(self)
    return TypedStorage(self._storage, self.dtype)


def storage_offset(self: Tensor) -> int:
    """Where in the storage the first element is, counted in elements."""
    owner = self._storage.owner
    return 0 if owner is None else (address_of(self._array) - address_of(owner)) // self._array.itemsize


# Strided views


def strided_view(
    owner: AnyArray, dtype: np.dtype[Any], size: Sequence[int], stride: Sequence[int], offset: int
) -> AnyArray:
    """Elements of a storage by sizes, strides and offset; raises ArgumentError beyond its end."""
    if len(size) != len(stride):
        raise ArgumentError("mismatch in length of strides and shape")
    if any(step < 0 for step in stride):
        raise ArgumentError(
            f"as_strided: Negative strides are not supported at the moment, got strides: {list(stride)}"
        )
    if offset < 0:
        raise ArgumentError(f"Tensor: invalid storage offset {offset}")
    if any(n < 0 for n in size):
        raise ArgumentError(f"Storage size calculation overflowed with sizes={list(size)} and strides={list(stride)}")
    memory = bytes_of(owner)
    item = dtype.itemsize
    reach = 0 if 0 in size else (offset + sum((n - 1) * step for n, step in zip(size, stride)) + 1) * item
    if reach > memory.size:
        raise ArgumentError(
            f"setStorage: sizes {list(size)}, strides {list(stride)}, storage offset {offset}, and itemsize {item} "
            f"requiring a storage size of {reach} are out of bounds for storage of size {memory.size}"
        )
    elements = memory[: memory.size // item * item].view(dtype)
    return strided(elements[offset:], size, [step * item for step in stride])


def as_strided(input: Tensor, size: Sequence[int], stride: Sequence[int], storage_offset: int | None = None) -> Tensor:
    """A view of the tensor's storage with these sizes and strides."""
    offset = input.storage_offset() if storage_offset is None else storage_offset
    array = strided_view(owner_of(input), input._array.dtype, tuple(size), tuple(stride), offset)
    result = share(input, array)
    if MODE.grad and input.requires_grad:
        places = positions(input._array, array)
        plan = gather_plan(type_of(input._array), places.shape, input._array.dtype.kind == "c")
        record(plan, [input, places], [result], shown=1)
    return result


def as_strided_(self: Tensor, size: Sequence[int], stride: Sequence[int], storage_offset: int | None = None) -> Tensor:
    """Look at the tensor's storage with other sizes and strides."""
    return replaced(self, "as_strided", lambda: as_strided(self, size, stride, storage_offset))


def unfold(self: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """All windows of a size along a dimension, every `step`-th; their elements are a new last dimension."""
    array = self._array
    rank = array.ndim
    reach = max(rank, 1)
    if not -reach <= dimension < reach:
        raise IndexOutOfRange(
            f"Dimension out of range (expected to be in range of [{-reach}, {reach - 1}], but got {dimension})"
        )
    axis = dimension % reach
    length = array.shape[axis] if rank else 1
    unit = array.strides[axis] if rank else array.itemsize
    if size < 0:
        raise ArgumentError(f"size is {size} but must be >= 0")
    if size > length:
        raise ArgumentError(f"maximum size for tensor at dimension {axis} is {length} but size is {size}")
    if step <= 0:
        raise ArgumentError(f"step is {step} but must be > 0")
    shape, strides = list(array.shape), list(array.strides)
    if rank:
        shape[axis], strides[axis] = (length - size) // step + 1, unit * step
    windows = strided(array, (*shape, size), (*strides, unit))
    result = share(self, windows)
    if MODE.grad and self.requires_grad:
        places = positions(array, windows) if array.flags.c_contiguous else _numbered(array, axis, size, step)
        plan = gather_plan(type_of(array), places.shape, array.dtype.kind == "c")
        record(plan, [self, places], [result], name="UnfoldBackward0", shown=1)
    return result


def _numbered(array: AnyArray, axis: int, size: int, step: int) -> AnyArray:
    """The row-major numbers of the elements in windows."""
    numbers = np.arange(array.size).reshape(array.shape)
    windows = np.lib.stride_tricks.sliding_window_view(numbers, size, axis)
    return windows[(slice(None),) * axis + (slice(None, None, step),)]


# The same tensor, looked at in another way


def replaced(self: Tensor, name: str, look: Callable[[], object]) -> Tensor:
    """Let the tensor be a view of itself."""
    check_writable(self, self.requires_grad, overlapping=True)
    found = look()
    assert isinstance(found, Tensor)
    meta = self._meta
    self._array = found._array
    self._storage.version += 1
    if meta is not None and found._meta is not None and found._meta.node is not None:
        rename(found._meta.node, _in_place_name(found._meta.node.name()))
        meta.requires_grad, meta.node, meta.index = True, found._meta.node, found._meta.index
        if meta.view is not None:
            meta.view.version = self._storage.version
    return self


def _in_place_name(name: str) -> str:
    """PyTorch numbers the forms that change the tensor after those that give a view."""
    stem, number = name[:-1], int(name[-1])
    return f"{stem}{number + (3 if stem.startswith('Squeeze') else 1)}"


def _replacing(name: str) -> Callable[..., Tensor]:
    view = view_function(name)

    def change(self: Tensor, *args: object, **kwargs: object) -> Tensor:
        return replaced(self, name, lambda: view(self, *args, **kwargs))

    change.__name__ = f"{name}_"
    change.__doc__ = f"`{name}`, of the tensor itself."
    return change


def resize_to(self: Tensor, shape: Sequence[int], strides: Sequence[int] | None = None) -> None:
    """Give the tensor another shape: in its memory where that is enough, else in new memory with the same start."""
    dtype = self._array.dtype
    unit = dtype.itemsize
    steps = row_major(shape, unit) if strides is None else tuple(strides)
    reach = 0 if 0 in shape else sum((n - 1) * step for n, step in zip(shape, steps)) + unit
    owner = owner_of(self)
    start = address_of(self._array) - address_of(owner)
    memory = bytes_of(owner)
    if start + reach > memory.size:
        larger = empty_array(((start + reach) // unit,), dtype, gpu_of(memory))
        copy_into(larger.view(np.uint8)[: memory.size], memory)
        self._storage.owner = larger
        memory = larger.view(np.uint8)
    elements = memory[start:]
    elements = elements[: elements.size // unit * unit].view(dtype)
    self._array = strided(elements, tuple(shape), steps)


def resize_(self: Tensor, *sizes: Any, memory_format: object = contiguous_format) -> Tensor:
    """Give the tensor another shape; elements in its memory keep their values, further ones have any."""
    given = tuple(sizes[0]) if len(sizes) == 1 and isinstance(sizes[0], Sequence) else sizes
    if self.requires_grad:
        raise AutogradError("cannot resize variables that require grad")
    for size in given:
        if size < 0:
            raise ArgumentError(f"Trying to create tensor with negative dimension {size}: {list(given)}")
    resize_to(self, given, format_strides(given, memory_format, self._array.itemsize))
    self._storage.version += 1
    return self


def resize_as_(self: Tensor, the_template: Tensor, *, memory_format: object = contiguous_format) -> Tensor:
    """Give the tensor the shape of another."""
    return resize_(self, tuple(the_template._array.shape), memory_format=memory_format)


def set_(self: Tensor, source: Any = None, storage_offset: int = 0, size: Any = None, stride: Any = None) -> Tensor:
    """Let the tensor use the memory of another tensor or storage; without one, none."""
    dtype = self._array.dtype
    if source is not None and source.device != place_of(self._array):
        raise ArgumentError(
            f'Attempted to set the storage of a tensor on device "{place_of(self._array)}" to a storage on different '
            f'device "{source.device}".  This is no longer allowed; the devices must match.'
        )
    if source is None:
        self._array, self._storage = empty_array((0,), dtype, gpu_of(self._array)), Storage()
    elif isinstance(source, Tensor) and size is None and not storage_offset:
        if source._array.dtype != dtype:
            raise ArgumentError(
                f"Could not set tensor of type {source.dtype.scalar} to a tensor of type {self.dtype.scalar}"
            )
        owner_of(source)
        self._array, self._storage = source._array, source._storage
    else:
        memory = source._storage
        owner = owner_of(source) if isinstance(source, Tensor) else memory.owner
        shape = (bytes_of(owner).size // dtype.itemsize,) if size is None else tuple(size)
        steps = [step // dtype.itemsize for step in row_major(shape, dtype.itemsize)] if stride is None else stride
        self._array, self._storage = strided_view(owner, dtype, shape, tuple(steps), storage_offset), memory
    self._storage.version += 1
    return self


def is_set_to(self: Tensor, tensor: Tensor) -> bool:
    """Whether both are the same elements of the same memory, in the same order."""
    return (
        self._storage is tensor._storage
        and address_of(self._array) == address_of(tensor._array)
        and self._array.shape == tensor._array.shape
        and self._array.strides == tensor._array.strides
    )


def stride(self: Tensor, dim: int | None = None) -> tuple[int, ...] | int:
    """Distance in memory, in elements, between neighbours along each dimension, or along one."""
    array = self._array
    steps = array.strides
    if not array.size and not any(steps):
        steps = row_major(array.shape, array.itemsize)  # numpy keeps no strides where there are no elements
    found = tuple([step // array.itemsize for step in steps])
    if dim is None:
        return found
    reach = max(array.ndim, 1)
    if not array.ndim or not -reach <= dim < reach:
        raise IndexOutOfRange(
            f"Dimension out of range (expected to be in range of [{-reach}, {reach - 1}], but got {dim})"
            if array.ndim
            else f"Dimension specified as {dim} but tensor has no dimensions"
        )
    return found[dim]


def ravel(input: Tensor) -> object:
    """All elements in one dimension; a view where the memory is in row-major order."""
    return _plain_view(contiguous(input), -1)


def is_view(self: Tensor) -> bool:
    """Whether it is a view of another tensor."""
    return self._meta is not None and self._meta.view is not None


def base(self: Tensor) -> Tensor | None:
    """The tensor that it is a view of; None if it is none."""
    return None if self._meta is None or self._meta.view is None else self._meta.view.base


def share_memory_(self: Tensor) -> Tensor:
    """The tensor. Its memory stays with the process, which is said: what another one writes is lost."""
    if gpu_of(self._array) is not None:
        return self
    warnings.warn(
        "share_memory_() does nothing here: other processes get copies of tensors, and what they write to them stays "
        "with them. Send results back, e.g. through a Queue.",
        stacklevel=3,
    )
    return self


def is_shared(self: Tensor) -> bool:
    """Whether other processes can see the memory, as that of GPUs."""
    return gpu_of(self._array) is not None


# Copies in an order


def format_strides(shape: Sequence[int], memory_format: object, itemsize: int) -> tuple[int, ...] | None:
    """Strides in bytes of a tensor in this format; None stands for row-major."""
    rank = {channels_last: 4, channels_last_3d: 5}.get(memory_format)  # type: ignore[call-overload]  # any object
    if rank is None:
        return None
    if len(shape) != rank:
        raise ArgumentError(f"required rank {rank} tensor to use {str(memory_format).removeprefix('torch.')} format")
    order = (0, *range(2, rank), 1)
    steps = row_major([shape[axis] for axis in order], itemsize)
    return tuple(steps[order.index(axis)] for axis in range(rank))


def preserved_strides(array: AnyArray) -> tuple[int, ...] | None:
    """The strides of a copy in the order of an array: its own where it is dense, else its order without gaps."""
    if array.flags.c_contiguous:
        return None
    return array.strides if is_dense(array) else dense_strides([array], array.shape, array.itemsize)


def new_array(
    shape: Sequence[int], dtype: np.dtype[Any], strides: Sequence[int] | None, place: int | None = None
) -> AnyArray:
    """Uninitialised memory of the CPU or a GPU in which elements have these strides, in bytes, without gaps."""
    array = empty_array(shape, dtype, place)
    if strides is None or not array.size:
        return array if strides is None else array_as_strided(array, tuple(shape), tuple(strides))
    return strided(array.reshape(-1), shape, strides)


def copied(array: AnyArray, memory_format: object) -> AnyArray:
    """The elements in new memory of this format."""
    if memory_format is None or memory_format is preserve_format:
        strides = preserved_strides(array)
    else:
        strides = format_strides(array.shape, memory_format, array.itemsize)
    result = new_array(array.shape, array.dtype, strides, gpu_of(array))
    copy_into(result, array)
    if WATCHING:
        watch.copied(result, array)
    return result


def clone(input: Tensor, *, memory_format: object = preserve_format) -> Tensor:
    """A copy in new memory."""
    if WATCHING:
        see((input,))
    result = wrap(copied(input._array, memory_format))
    if MODE.grad and input.requires_grad:
        record(_copy_plan(type_of(input._array)), [input], [result])
    return result


def contiguous(input: Tensor, memory_format: object = contiguous_format) -> Tensor:
    """The tensor if its memory is in this format, else a copy that is."""
    if memory_format is preserve_format:
        raise ArgumentError("preserve memory format is unsupported by the contiguous operator")
    if memory_format is not contiguous_format:
        format_strides(input._array.shape, memory_format, 1)
    return input if is_contiguous(input, memory_format) else clone(input, memory_format=memory_format)


def is_contiguous(self: Tensor, memory_format: object = contiguous_format) -> bool:
    """Whether the elements lie in memory in row-major order, or in that of the format, without gaps."""
    rank = {channels_last: 4, channels_last_3d: 5}.get(memory_format)  # type: ignore[call-overload]  # any object
    if rank is None:
        return self._array.flags.c_contiguous
    return self._array.ndim == rank and np.moveaxis(self._array, 1, -1).flags.c_contiguous


@functools.lru_cache(maxsize=512)
def _copy_plan(type: TensorType) -> Plan:
    x = make_input("x", type)
    return Plan(Graph("clone", (x,), (x,)), "CloneBackward0")


def view_as_dtype(self: Tensor, dtype: DType) -> Tensor:
    """The bytes of the elements read as another dtype, over the same memory."""
    array, wanted = self._array, to_dtype(dtype)
    if wanted is self.dtype:
        return _alias(self, array)
    ratio = array.itemsize / wanted.itemsize
    if ratio != 1:
        names = f"{self.dtype.scalar} as {wanted.scalar} (different element sizes)"
        if not array.ndim:
            raise ArgumentError(f"self.dim() cannot be 0 to view {names}")
        last = array.strides[-1] // array.itemsize
        if last != 1:
            raise ArgumentError(f"self.stride(-1) must be 1 to view {names}, but got {last}")
        if ratio < 1:
            factor = wanted.itemsize // array.itemsize
            if array.shape[-1] % factor:
                raise ArgumentError(
                    f"self.size(-1) must be divisible by {factor} to view {names}, but got {array.shape[-1]}"
                )
            if storage_offset(self) % factor:
                raise ArgumentError(
                    f"self.storage_offset() must be divisible by {factor} to view {names}, but got "
                    f"{storage_offset(self)}"
                )
            for axis, step in enumerate(array.strides[:-1]):
                if step // array.itemsize % factor:
                    raise ArgumentError(
                        f"self.stride({axis}) must be divisible by {factor} to view {names}, but got "
                        f"{step // array.itemsize}"
                    )
    shape, strides = list(array.shape), list(array.strides)
    if ratio != 1:
        shape[-1], strides[-1] = int(shape[-1] * ratio), wanted.itemsize
    memory = bytes_of(array)
    whole = memory[: memory.size // wanted.itemsize * wanted.itemsize].view(wanted.numpy)
    return _alias(self, array_as_strided(whole, shape, strides))


def _alias(self: Tensor, array: AnyArray) -> Tensor:
    owner_of(self)
    return wrap_shared(array, self._storage)


_plain_view = view_function("view")


def view(self: Tensor, *shape: Any, dtype: DType | None = None, size: Any = None) -> object:
    """The elements in another shape, or read as another dtype, over the same memory."""
    if size is not None:
        return _plain_view(self, size)
    if dtype is None and len(shape) == 1 and isinstance(shape[0], DType):
        dtype = shape[0]
    if dtype is not None:
        return view_as_dtype(self, dtype)
    if not shape:
        raise SignatureError("view() received an invalid combination of arguments - got (), but expected one of:")
    return _plain_view(self, *shape)


FUNCTIONS: dict[str, Callable[..., object]] = {
    "as_strided": as_strided,
    "as_strided_": as_strided_,
    "clone": clone,
    "contiguous": contiguous,
    "detach_": detach_,
    "ravel": ravel,
    "resize_as_": resize_as_,
    "view": view,
}
METHODS: dict[str, Callable[..., object]] = {
    "_is_view": is_view,
    "as_strided": as_strided,
    "as_strided_": as_strided_,
    "is_contiguous": is_contiguous,
    "is_set_to": is_set_to,
    "is_shared": is_shared,
    "resize_": resize_,
    "resize_as_": resize_as_,
    "set_": set_,
    "share_memory_": share_memory_,
    "storage": storage,
    "stride": stride,
    "storage_offset": storage_offset,
    "unfold": unfold,
    "untyped_storage": untyped_storage,
    **{f"{name}_": _replacing(name) for name in ("t", "transpose", "squeeze", "unsqueeze", "swapaxes", "swapdims")},
}
ATTRIBUTES: dict[str, tuple[Callable[..., object], None, None]] = {"_base": (base, None, None)}
