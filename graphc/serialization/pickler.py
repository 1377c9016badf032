"""Pickles that PyTorch reads: tensors, sizes, dtypes and devices under PyTorch's names.

In: any object that can be pickled. Out: a pickle, and the bytes of the storages that it refers to by number. What is
defined by the user's program is in it by its own name, as in any pickle.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from typing import Any, BinaryIO, Final

from graphc.eager.device import device
from graphc.eager.memory import TypedStorage, UntypedStorage, bytes_of
from graphc.eager.memory_format import layout
from graphc.eager.placement import on
from graphc.eager.size import Size
from graphc.eager.tensor import AnyArray, Tensor, wrap_shared
from graphc.ir.dtype import STORAGE_DTYPES, DType, u8, u16, u32, u64
from graphc.nn.parameter import Parameter
from graphc.serialization import constructors
from graphc.serialization.errors import CheckpointError
from graphc.serialization.memory import location_of, place_of

_NAMES: Final[dict[int, str]] = {
    **{id(build): name for name, build in constructors.CALLABLE.items() if name.startswith("torch.")},
    **{id(value): name for name, value in constructors.VALUES.items() if not name.startswith("torch.cuda.")},
    id(Size): "torch.Size",
    id(device): "torch.device",
}
"""What pickles call what stands in the tables."""
_UNTYPED: Final = (u16, u32, u64, *STORAGE_DTYPES)
"""Dtypes that came later than PyTorch's classes of storages."""


class Pickler(pickle._Pickler):
    """Python's own pickler with PyTorch's names: the quicker one in C takes only names of modules that are there."""

    def __init__(self, stream: BinaryIO, protocol: int) -> None:
        super().__init__(stream, protocol)
        self.storages: dict[str, AnyArray] = {}
        self.numbers: dict[int, tuple[str, DType]] = {}

    def dump(self, obj: object) -> None:
        """Write one object; raises CheckpointError for nests that are too deep for Python's stack."""
        try:
            super().dump(obj)
        except RecursionError:
            raise CheckpointError("the object is nested too deeply to be pickled") from None

    def persistent_id(self, obj: Any) -> Any:
        """What stands for a storage."""
        if not isinstance(obj, UntypedStorage):
            return None
        dtype = obj.dtype if isinstance(obj, TypedStorage) else u8
        owner = obj._storage.owner
        assert owner is not None
        content = bytes_of(owner)
        key, first = self.numbers.setdefault(id(obj._storage), (str(len(self.numbers)), dtype))
        if first is not dtype and content.size:
            raise CheckpointError(
                "Cannot save multiple tensors or storages that view the same data as different types",
                hint="graphc's own format can, where all else is plain data",
            )
        location = location_of(content)
        if key not in self.storages:
            self.storages[key] = on(content, None)
        if type(obj) is UntypedStorage or dtype in _UNTYPED:
            return "storage", constructors.VALUES["torch.storage.UntypedStorage"], key, location, content.size
        kind = constructors.VALUES[f"torch.{dtype.scalar}Storage"]
        return "storage", kind, key, location, content.size // dtype.itemsize

    def reducer_override(self, obj: Any) -> Any:
        """How to make what PyTorch has a name of its own for."""
        if isinstance(obj, Tensor):
            return _reduced(obj)
        if type(obj) is Size:
            return constructors.new_size, (tuple(obj),)
        if isinstance(obj, device):
            return constructors.new_device, (obj.type,) if obj.index is None else (obj.type, obj.index)
        if isinstance(obj, layout):
            return constructors.layout_of, (str(obj),)
        return _NAMES.get(id(obj), NotImplemented)

    def save_global(self, obj: Any, name: str | None = None) -> None:
        """Write a name."""
        told = _NAMES.get(id(obj))
        if told is None:
            super().save_global(obj, name)  # type: ignore[misc]  # typeshed lacks it
            return
        module, _, name = told.rpartition(".")
        self.write(b"c" + module.encode() + b"\n" + name.encode() + b"\n")  # type: ignore[attr-defined]
        self.memoize(obj)  # type: ignore[attr-defined]


def _reduced(tensor: Tensor) -> tuple[Any, ...]:
    """What makes a tensor again, in PyTorch's words."""
    hooks: OrderedDict[Any, Any] = OrderedDict()
    state = dict(tensor.__dict__)
    if type(tensor) is Parameter:
        data = wrap_shared(tensor._array, tensor._storage)
        if state:
            return constructors.rebuild_parameter_with_state, (data, tensor.requires_grad, hooks, state)
        return constructors.rebuild_parameter, (data, tensor.requires_grad, hooks)
    place = place_of(tensor)
    storage = TypedStorage(tensor._storage, place.dtype)
    where = (storage, place.offset, place.shape, place.stride, tensor.requires_grad, hooks)
    build, args = constructors.rebuild_tensor_v2, where
    if place.dtype in _UNTYPED:
        build, args = constructors.rebuild_tensor_v3, (*where, place.dtype)  # type: ignore[assignment]  # one more
    if type(tensor) is Tensor and not state:
        return build, args
    return constructors.rebuild_from_type, (build, type(tensor), args, state)
