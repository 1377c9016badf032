"""Nests of plain data as JSON beside named arrays.

In: dicts, lists, tuples, sets, numbers, strings, bytes, None, dtypes, sizes, devices, numpy's scalars and arrays, in
any nesting, with tensors anywhere. Out: a text that `decode.py` reads, and arrays with names. `NotPlain` is raised for
anything else.

A value is `null`, a bool, a number or a string; `{"f": bits}` for a float that JSON lacks; `{"i": hex}` for an int
that is wider than 64 bits; or `[n]`, which stands for item n of a table of `[kind, ...]`. So what is referred to twice
stays one object, and the text is as flat for deep nests. A tensor is a place in a named array; tensors that share
memory are places in the same one.
"""

from __future__ import annotations

import base64
import json
import math
import struct
from collections import Counter, OrderedDict
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from graphc.eager import memory_format
from graphc.eager.device import device
from graphc.eager.geometry import as_real
from graphc.eager.placement import on
from graphc.eager.size import Size
from graphc.eager.tensor import AnyArray, Tensor
from graphc.ir.dtype import DType, c128
from graphc.ir.dtype import dtype as to_dtype
from graphc.ir.errors import DTypeError
from graphc.nn.parameter import Buffer, Parameter
from graphc.serialization.memory import Place, content_of, location_of, place_of
from graphc.serialization.safetensors import NOTES

STRUCTURE = "graphc.structure"
"""The note that has the text."""
NAMED: Final[dict[str, object]] = {
    name: getattr(memory_format, name)
    for name in (
        "strided", "sparse_coo", "sparse_csr", "sparse_csc", "sparse_bsr", "sparse_bsc",
        "contiguous_format", "channels_last", "channels_last_3d", "preserve_format",
    )
}  # fmt: skip
MAPPINGS: Final[dict[str, type]] = {"dict": dict, "OrderedDict": OrderedDict, "Counter": Counter}
SEQUENCES: Final[dict[str, type]] = {
    "list": list, "tuple": tuple, "set": set, "frozenset": frozenset, "Size": Size,
}  # fmt: skip
_KIND_OF: Final = {kind: name for name, kind in (MAPPINGS | SEQUENCES).items()}
TENSORS: Final[dict[str, type[Tensor]]] = {"tensor": Tensor, "Parameter": Parameter, "Buffer": Buffer}
_TENSOR_KIND: Final = {kind: name for name, kind in TENSORS.items()}
_WIDE: Final = 1 << 64


class NotPlain(Exception):
    """An object that is more than data."""


def encode(root: object) -> tuple[dict[str, AnyArray], str]:
    """The arrays of a nest, by name, and the text of all else; raises NotPlain."""
    encoder = _Encoder(root)
    return encoder.finish()


def is_flat(root: object) -> bool:
    """Whether it is tensors by name: a state dict."""
    return type(root) in (dict, OrderedDict) and all(
        type(key) is str and isinstance(value, Tensor)
        for key, value in root.items()  # type: ignore[attr-defined]  # the type was looked at
    )


class _Encoder:
    """One walk over a nest; what is met twice is told once."""

    def __init__(self, root: object) -> None:
        self.table: list[list[Any]] = []
        self.seen: dict[int, int] = {}
        """Items of the table by the identity of what they stand for, which `kept` keeps alive."""
        self.kept: list[object] = []
        self.pending: list[tuple[int, object, str]] = []
        self.arrays: dict[str, AnyArray] = {}
        self.tensors: list[tuple[int, Tensor, str]] = []
        self.names: set[str] = {NOTES}
        self.is_flat = is_flat(root)
        self.keys: set[str] = {*root} if self.is_flat and isinstance(root, dict) else set()
        """Names that belong to the tensors of a state dict, whatever else has a name."""
        self.root = self.value(root, "")

    def finish(self) -> tuple[dict[str, AnyArray], str]:
        while self.pending:
            self._expand(*self.pending.pop())
        self._place_tensors()
        told = {"version": 1, "root": self.root, "table": self.table}
        return self.arrays, json.dumps(told, separators=(",", ":"), allow_nan=False)

    def value(self, value: object, path: str) -> object:
        """What stands for a value where it is used."""
        kind = type(value)
        if value is None or kind in (bool, str):
            return value
        if kind is int:
            assert isinstance(value, int)
            return value if -_WIDE < value < _WIDE else {"i": hex(value)}
        if kind is float:
            assert isinstance(value, float)
            return value if math.isfinite(value) else {"f": struct.pack(">d", value).hex()}
        index = self.seen.get(id(value))
        if index is None:
            index = self.seen[id(value)] = len(self.table)
            self.kept.append(value)
            self.table.append([])
            self.pending.append((index, value, path))
        return [index]

    def _expand(self, index: int, value: object, path: str) -> None:
        item = self.table[index]
        kind = type(value)
        if kind in _TENSOR_KIND:
            assert isinstance(value, Tensor)
            self.tensors.append((index, value, path))
            return
        match value:
            case dict() if kind in _KIND_OF:
                flat: list[object] = []
                for key, each in value.items():
                    flat += (self.value(key, path), self.value(each, _joined(path, key)))
                item += (_KIND_OF[kind], flat)
                attributes = getattr(value, "__dict__", None)
                if attributes:
                    item.append(self.value(dict(attributes), path))
            case list() | tuple() | set() | frozenset() if kind in _KIND_OF:
                item += (_KIND_OF[kind], [self.value(each, _joined(path, k)) for k, each in enumerate(value)])
            case bytes() | bytearray() if kind in (bytes, bytearray):
                item += (kind.__name__, base64.b64encode(value).decode("ascii"))
            case complex() if kind is complex:
                item += ("complex", self.value(value.real, path), self.value(value.imag, path))
            case DType():
                item += ("dtype", value.name)
            case device():
                item += ("device", str(value))
            case np.dtype():
                item += ("numpy.dtype", numpy_name(value))
            case np.generic():
                item += ("numpy.scalar", numpy_name(value.dtype), base64.b64encode(value.tobytes()).decode("ascii"))
            case np.ndarray() if kind is np.ndarray:
                item += self._array(value, path)
            case _:
                name = next((name for name, each in NAMED.items() if each is value), None)
                if name is None:
                    raise NotPlain(f"{kind.__module__}.{kind.__qualname__}")
                item += ("named", name)

    def _array(self, array: AnyArray, path: str) -> list[object]:
        code = _dtype_of(array.dtype)
        if code is None:
            content = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode("ascii")
            return ["numpy.raw", numpy_name(array.dtype), list(array.shape), content]
        name = self._name(path or "array")
        self.arrays[name] = _storable(np.ascontiguousarray(array).reshape(array.shape))
        is_fortran = array.flags.f_contiguous and not array.flags.c_contiguous
        return ["numpy.array", {"entry": name, "dtype": code.name, "shape": list(array.shape), "fortran": is_fortran}]

    def _name(self, path: str, is_key: bool = False) -> str:
        """A name for an array that none has yet."""
        wanted = path.encode("utf-8", "replace").decode("utf-8")
        name, number = wanted, 1
        while name in self.names or (name in self.keys and not is_key):
            number += 1
            name = f"{wanted}#{number}"
        self.names.add(name)
        return name

    def _place_tensors(self) -> None:
        """Give each storage an array, and each tensor its place in one."""
        groups: dict[int, list[tuple[int, Tensor, str, Place]]] = {}
        for index, tensor, path in sorted(self.tensors, key=lambda each: each[0]):
            place = place_of(tensor)
            # What has no elements shares no memory.
            group = id(tensor._storage) if place.nbytes else -1 - index
            groups.setdefault(group, []).append((index, tensor, path or "tensor", place))
        for members in groups.values():
            self._place_group(members)

    def _place_group(self, members: Sequence[tuple[int, Tensor, str, Place]]) -> None:
        content = content_of(members[0][1])
        # A tensor that has all of the memory stands for it; one of another order only where no other lies in it.
        whole = [
            each
            for each in members
            if each[3].nbytes == content.size and (each[3].is_row_major or (each[3].is_dense and len(members) == 1))
        ]
        empty = not members[0][3].nbytes
        chosen = members[0] if empty else whole[0] if whole else None
        if chosen is None:
            source = self._name(f"{members[0][2]}.storage")
            self.arrays[source] = content
        else:
            source = self._name(chosen[2], is_key=self.is_flat)
            self.arrays[source] = _elements(chosen[1], chosen[3])
        for member in members:
            index, tensor, path, place = member
            if self.is_flat and member is not chosen:  # found by its name too; loading here needs it not
                self.arrays[self._name(path, is_key=True)] = _elements(tensor, place)
            told: dict[str, object] = {"entry": source, "dtype": place.dtype.name, "shape": list(place.shape)}
            if not place.is_row_major and not empty:
                told |= {"stride": list(place.stride), "offset": place.offset}
            if member is not chosen:
                told["view"] = True
            if type(tensor._array) is not np.ndarray:
                told["device"] = location_of(tensor._array)
            if tensor.requires_grad:
                told["requires_grad"] = True
            if isinstance(tensor, Buffer) and not tensor.persistent:
                told["persistent"] = False
            if tensor.__dict__:
                raise NotPlain("a tensor with attributes")
            self.table[index] += (_TENSOR_KIND[type(tensor)], told)


def numpy_name(found: np.dtype[Any]) -> str:
    """What a dtype of numpy is called in the text; raises NotPlain for those of objects and records."""
    if found.hasobject or found.names is not None or found.subdtype is not None or not found.itemsize:
        raise NotPlain(f"numpy's dtype {found}")
    known = _dtype_of(found)
    if known is not None and found.kind == "V":  # numpy knows those of ml_dtypes by no text
        return known.name
    if found.kind == "V":
        raise NotPlain(f"numpy's dtype {found}")
    text: str = found.str
    return text


def _dtype_of(found: np.dtype[Any]) -> DType | None:
    if not found.isnative:
        return None
    try:
        return to_dtype(found)
    except DTypeError:
        return None


def _elements(tensor: Tensor, place: Place) -> AnyArray:
    """A tensor's elements on the host, in row-major order."""
    return _storable(np.ascontiguousarray(on(tensor._array, None)).reshape(place.shape))


def _storable(array: AnyArray) -> AnyArray:
    """The array in a dtype that the format has: a complex128 as pairs of float64."""
    return as_real(array) if to_dtype(array.dtype) is c128 else array


def _joined(path: str, key: object) -> str:
    text = key if type(key) is str else str(key)[:40] if type(key) in (int, bool, float) else type(key).__name__
    return f"{path}.{text}" if path else text
