"""Copies and pickles of tensors: `copy.copy`, `copy.deepcopy`, `pickle`.

In: tensors. Out: tensors of the same class, values, strides and `requires_grad`. Tensors that share memory share it
again in what one `deepcopy` or one pickle makes of them.
"""

from __future__ import annotations

import copy
import copyreg
from collections.abc import Callable
from typing import Any

import numpy as np

from graphc.eager.geometry import address_of, as_strided
from graphc.eager.history import grad_fn, set_requires_grad
from graphc.eager.memory import bytes_of, owner_of
from graphc.eager.node import AutogradError
from graphc.eager.placement import copy_of, empty, gpu_of, on
from graphc.eager.tensor import AnyArray, Storage, Tensor
from graphc.ir.dtype import dtype as to_dtype


def __copy__(self: Tensor) -> Tensor:
    """A leaf over the same memory."""
    owner_of(self)
    return _build(type(self), self._array, self._storage, self.requires_grad, dict(self.__dict__))


def __deepcopy__(self: Tensor, memo: dict[int, Any]) -> Tensor:
    """A leaf over a copy of the whole memory, which other tensors copied with it share as before."""
    if grad_fn(self) is not None:
        raise AutogradError(
            "Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol at the moment.  "
            "If you were attempting to deepcopy a module, this may be because of a torch.nn.utils.weight_norm usage, "
            "see https://github.com/pytorch/pytorch/pull/103001"
        )
    found: Tensor | None = memo.get(id(self))
    if found is not None:
        return found
    owner = owner_of(self)
    storage: Storage | None = memo.get(id(self._storage))
    if storage is None:
        storage = memo[id(self._storage)] = Storage(copy_of(bytes_of(owner)))
    offset = address_of(self._array) - address_of(owner)
    array = _view_of(storage, self._array.dtype, self._array.shape, self._array.strides, offset)
    result = memo[id(self)] = _build(type(self), array, storage, self.requires_grad, {})
    if self._meta is not None and self._meta.grad is not None:
        result.grad = copy.deepcopy(self._meta.grad, memo)  # type: ignore[attr-defined]  # a property of history
    result.__dict__.update(copy.deepcopy(self.__dict__, memo))
    return result


def __reduce_ex__(self: Tensor, protocol: int) -> tuple[Any, ...]:
    """What a pickle holds: the storage, and how the tensor lies in it."""
    owner = owner_of(self)
    array = self._array
    offset = address_of(array) - address_of(owner) if array.size else 0
    name = to_dtype(array.dtype).name
    place = (self._storage, name, array.shape, array.strides, offset)
    # The class itself is known by name to whoever loads: pickles of tensors don't name it.
    kind = None if type(self) is Tensor else type(self)
    return _rebuild, (kind, *place, self.requires_grad, dict(self.__dict__))


def _rebuild(
    kind: type[Tensor] | None,
    storage: Storage,
    dtype: str,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    offset: int,
    requires_grad: bool,
    state: dict[str, object],
) -> Tensor:
    array = _view_of(storage, to_dtype(dtype).numpy, shape, strides, offset)
    return _build(kind or Tensor, array, storage, requires_grad, state)


def _view_of(
    storage: Storage, dtype: np.dtype[Any], shape: tuple[int, ...], strides: tuple[int, ...], offset: int
) -> AnyArray:
    """Elements in the bytes of a storage."""
    owner = storage.owner
    assert owner is not None, "a copied storage has its bytes"
    memory = bytes_of(owner)
    if 0 in shape:
        return empty(shape, dtype, gpu_of(memory))
    if type(memory) is not np.ndarray:
        return as_strided(memory[offset : offset + dtype.itemsize].view(dtype), shape, strides)
    array: AnyArray = np.ndarray(shape, dtype, memory, offset, strides)
    return array


def _build(
    kind: type[Tensor], array: AnyArray, storage: Storage, requires_grad: bool, state: dict[str, object]
) -> Tensor:
    result = object.__new__(kind)
    result._array, result._storage, result._meta = array, storage, None
    if requires_grad:
        set_requires_grad(result, True)
    result.__dict__.update(state)
    return result


def _reduce_storage(storage: Storage) -> tuple[Callable[..., Storage], tuple[bytes, int | None]]:
    assert storage.owner is not None, "the tensor that is pickled has told its storage"
    memory = bytes_of(storage.owner)
    return _restore_storage, (memory.tobytes(), gpu_of(memory))


def _restore_storage(content: bytes, gpu: int | None = None) -> Storage:
    return Storage(on(np.frombuffer(bytearray(content), np.uint8), gpu))


copyreg.pickle(Storage, _reduce_storage)

METHODS: dict[str, Callable[..., object]] = {
    "__copy__": __copy__,
    "__deepcopy__": __deepcopy__,
    "__reduce_ex__": __reduce_ex__,
}
