"""Tensors and the memory they lie in, as files see them.

In: tensors, or bytes read from a file with a place in them. Out: the bytes of whole storages with the place of each
tensor in them, or tensors. Places that reach beyond the bytes are refused: they may come from anybody.

    tensor_at(memory_of(content, f32), 0, (2, 3), (3, 1))
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from graphc.eager.geometry import address_of, as_strided
from graphc.eager.memory import TypedStorage, bytes_of, owner_of
from graphc.eager.placement import empty, gpu_of, on
from graphc.eager.placement import place_of as device_of
from graphc.eager.tensor import AnyArray, Storage, Tensor, wrap_shared
from graphc.ir.dtype import DType, bool_
from graphc.serialization.errors import CheckpointError

MOST_DIMENSIONS = 64
"""As many as numpy has."""
_FARTHEST = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Place:
    """How a tensor lies in its storage; strides and offset are counted in elements."""

    dtype: DType
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int

    @property
    def is_dense(self) -> bool:
        """Whether its elements fill the memory from the start of the storage on, each byte once."""
        expected = 1
        for size, step in sorted(
            ((size, step) for size, step in zip(self.shape, self.stride) if size != 1), key=lambda pair: pair[1]
        ):
            if step != expected:
                return False
            expected *= size
        return self.offset == 0

    @property
    def is_row_major(self) -> bool:
        """Whether it is dense, with the last dimension innermost."""
        return self.offset == 0 and self.stride == row_major(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of its elements."""
        return math.prod(self.shape) * self.dtype.itemsize


def row_major(shape: Sequence[int]) -> tuple[int, ...]:
    """The strides, in elements, of a contiguous tensor."""
    found = []
    step = 1
    for size in reversed(shape):
        found.append(step)
        step *= max(size, 1)
    return tuple(reversed(found))


def place_of(tensor: Tensor) -> Place:
    """How the tensor lies in its storage."""
    array = tensor._array
    owner = owner_of(tensor)
    item = array.itemsize
    stride = tuple(step // item for step in array.strides)
    offset = (address_of(array) - address_of(owner)) // item if array.size else 0
    return Place(tensor.dtype, tuple(array.shape), stride, offset)


def content_of(tensor: Tensor) -> AnyArray:
    """All bytes of the tensor's storage, on the host."""
    return on(bytes_of(owner_of(tensor)), None)


def location_of(array: AnyArray) -> str:
    """What files call the device that has the memory: "cpu", "cuda:0"."""
    return str(device_of(array))


def memory_of(content: AnyArray, dtype: DType) -> TypedStorage:
    """Memory that has these bytes, for tensors of this dtype."""
    return TypedStorage(Storage(content), dtype)


def native(content: AnyArray, dtype: DType, order: str) -> AnyArray:
    """Bytes from a file, "little" or "big", as this machine reads them: aligned, and bools that are 0 or 1."""
    if content.size and content.ctypes.data % dtype.itemsize:
        content = content.copy()
    if dtype is bool_ and content.size and int(content.max()) > 1:
        truth: AnyArray = (content != 0).view(np.uint8)
        return truth
    unit = dtype.itemsize // (2 if dtype.is_complex else 1)
    if order != sys.byteorder and unit > 1:
        swapped: AnyArray = content.view(np.dtype(f"u{unit}")).byteswap().view(np.uint8)
        return swapped
    return content


def bytes_in(memory: TypedStorage) -> AnyArray:
    """The bytes of memory that came from a file."""
    owner = memory._storage.owner
    assert owner is not None
    return owner


def tensor_at(
    memory: TypedStorage, offset: int, shape: Sequence[int], stride: Sequence[int], dtype: DType | None = None
) -> Tensor:
    """The elements at this place of the memory; raises CheckpointError for a place beyond it."""
    kind = memory.dtype if dtype is None else dtype
    content = bytes_in(memory)
    shape, stride = sizes_of(shape, "sizes"), sizes_of(stride, "strides")
    if type(offset) is not int or offset < 0 or offset > _FARTHEST:
        raise CheckpointError(f"Tensor: invalid storage offset {offset!r}")
    if len(shape) != len(stride):
        raise CheckpointError(f"a tensor in the file has {len(shape)} sizes and {len(stride)} strides")
    if math.prod(max(size, 1) for size in shape) * kind.itemsize > _FARTHEST:
        raise CheckpointError(f"Storage size calculation overflowed with sizes={list(shape)}")
    if 0 in shape:
        return wrap_shared(empty(shape, kind.numpy, gpu_of(content)), Storage())
    reach = (offset + sum((size - 1) * step for size, step in zip(shape, stride)) + 1) * kind.itemsize
    if reach > content.size:
        raise CheckpointError(
            f"setStorage: sizes {list(shape)}, strides {list(stride)}, storage offset {offset}, and itemsize "
            f"{kind.itemsize} requiring a storage size of {reach} are out of bounds for storage of size {content.size}"
        )
    item = kind.itemsize
    start, steps = offset * item, tuple(step * item for step in stride)
    array: AnyArray
    if type(content) is np.ndarray:
        array = np.ndarray(shape, kind.numpy, content, start, steps)
    else:
        array = as_strided(content[start : start + item].view(kind.numpy), shape, steps)
    return wrap_shared(array, memory._storage)


def sizes_of(values: object, what: str) -> tuple[int, ...]:
    """Sizes or strides that may be anybody's; raises CheckpointError for what none can be."""
    if not isinstance(values, tuple | list) or len(values) > MOST_DIMENSIONS:
        raise CheckpointError(f"{what} of a tensor in the file are no tuple, or of more than {MOST_DIMENSIONS}")
    for value in values:
        if type(value) is not int or not 0 <= value <= _FARTHEST:
            raise CheckpointError(f"a tensor in the file has {what} {list(values)[:8]!r}")
    return tuple(values)
