"""What a safetensors file holds, as objects again.

In: the entries of a file with their memory, and the text that `structure.py` has made, which may be anybody's. Out: the
nest. Nothing is called by name: each kind of item has its constructor here, and checks what it is given. Raises
CheckpointError.
"""

from __future__ import annotations

import base64
import binascii
import struct
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from graphc.eager.device import device
from graphc.eager.history import set_requires_grad
from graphc.eager.memory import TypedStorage
from graphc.eager.placement import copy_into, empty, gpu_of
from graphc.eager.tensor import AnyArray, Tensor
from graphc.ir.dtype import DType, c128, f64
from graphc.ir.dtype import dtype as to_dtype
from graphc.ir.errors import GraphcError
from graphc.nn.parameter import Buffer, Parameter
from graphc.serialization.errors import CheckpointError
from graphc.serialization.hashing import check_key
from graphc.serialization.memory import bytes_in, memory_of, row_major, sizes_of, tensor_at
from graphc.serialization.safetensors import Entry, read_json
from graphc.serialization.structure import MAPPINGS, NAMED, SEQUENCES, TENSORS

MOST_ITEMS = 50_000_000
_MUTABLE = {*MAPPINGS, "list", "set"}
_IMMUTABLE = {"tuple", "frozenset", "Size", "complex"}


def plain_tensors(entries: Mapping[str, Entry], memory: Callable[[str, str | None], AnyArray]) -> dict[str, Tensor]:
    """The tensors of a file of another producer, by name."""
    found = {}
    for name, entry in entries.items():
        storage = memory_of(memory(name, "cpu"), entry.dtype)
        found[name] = tensor_at(storage, 0, entry.shape, row_major(entry.shape))
    return found


def decode(text: str, entries: Mapping[str, Entry], memory: Callable[[str, str | None], AnyArray]) -> Any:
    """The nest that the text tells of; `memory` gives the bytes of an entry by name and device (None: no tensor's)."""
    return _Decoder(text, entries, memory).finish()


class _Decoder:
    """One table of items, made in two steps: first every object, empty if it can be filled later, then the fillings."""

    def __init__(self, text: str, entries: Mapping[str, Entry], memory: Callable[[str, str | None], AnyArray]) -> None:
        try:
            told = read_json(text)
        except (ValueError, RecursionError) as error:
            raise _malformed(f"it is no JSON ({error})") from None
        if not isinstance(told, dict) or told.get("version") != 1:
            raise _malformed("it is of a version that this graphc doesn't know")
        table = told.get("table")
        if not isinstance(table, list) or len(table) > MOST_ITEMS:
            raise _malformed("it has no table")
        for item in table:
            if not isinstance(item, list) or not item or not isinstance(item[0], str):
                raise _malformed("an item of its table is no list")
        self.table: list[list[Any]] = table
        self.root = told.get("root")
        self.entries = entries
        self.memory = memory
        self.storages: dict[str, TypedStorage] = {}
        self.objects: dict[int, Any] = {}
        self.reordered: set[str] = set()
        """Entries that were copied to be in another order: each once, or few bytes could fill the memory."""

    def finish(self) -> Any:
        for index in range(len(self.table)):
            self._make(index)
        for index, item in enumerate(self.table):
            if item[0] in _MUTABLE:
                self._fill(index, item)
        for index, item in enumerate(self.table):
            if item[0] in ("OrderedDict", "Counter") and len(item) > 2:
                attributes = self.value(item[2])
                if type(attributes) is not dict:
                    raise _malformed("attributes are no dict")
                set_attributes(self.objects[index], attributes)
        return self.value(self.root)

    def value(self, told: Any) -> Any:
        """The object that a value in the text stands for."""
        match told:
            case None | bool() | str() | int() | float():
                return told
            case {"f": str(bits), **rest} if not rest and len(bits) == 16:
                return struct.unpack(">d", _unhex(bits))[0]
            case {"i": str(digits), **rest} if not rest:
                try:
                    return int(digits, 16)
                except ValueError:
                    raise _malformed("a wide int is no number") from None
            case [int(index)] if index in self.objects:
                return self.objects[index]
        raise _malformed(f"{str(told)[:40]!r} stands for nothing")

    def _references(self, item: list[Any]) -> list[int]:
        """The items that must be there before this one can be made."""
        if item[0] not in _IMMUTABLE:
            return []
        parts = item[1:] if item[0] == "complex" else _list_of(item, 1)
        return [each[0] for each in parts if isinstance(each, list) and len(each) == 1 and type(each[0]) is int]

    def _make(self, first: int) -> None:
        pending = [first]
        opened: set[int] = set()
        while pending:
            index = pending[-1]
            if not 0 <= index < len(self.table):
                raise _malformed(f"there is no item {index}")
            item = self.table[index]
            missing = [each for each in self._references(item) if each not in self.objects]
            if index in self.objects:
                pending.pop()
            elif not missing:
                self.objects[index] = self._object(item)
                pending.pop()
            elif index in opened:
                raise _malformed(f"item {index} contains itself")
            else:
                opened.add(index)
                pending += missing

    def _object(self, item: list[Any]) -> Any:
        kind = item[0]
        try:
            match item:
                case [_, list(), *_] if kind in MAPPINGS or kind in ("list", "set"):
                    return (MAPPINGS | SEQUENCES)[kind]()
                case ["tuple" | "frozenset" | "Size", list(parts)]:
                    values = [self.value(each) for each in parts]
                    if kind == "frozenset":
                        for each in values:
                            check_key(each)
                    return SEQUENCES[kind](values)
                case ["bytes", str(content)]:
                    return _unpacked(content)
                case ["bytearray", str(content)]:
                    return bytearray(_unpacked(content))
                case ["complex", real, imaginary]:
                    return complex(_number(self.value(real)), _number(self.value(imaginary)))
                case ["dtype", str(name)]:
                    return to_dtype(name)
                case ["device", str(name)]:
                    return device(name)
                case ["named", str(name)] if name in NAMED:
                    return NAMED[name]
                case ["numpy.dtype", str(name)]:
                    return numpy_dtype(name)
                case ["numpy.scalar", str(name), str(content)]:
                    return np.frombuffer(_unpacked(content), numpy_dtype(name), 1)[0]
                case ["numpy.raw", str(name), list(shape), str(content)]:
                    return np.frombuffer(bytearray(_unpacked(content)), numpy_dtype(name)).reshape(
                        sizes_of(shape, "sizes")
                    )
                case ["numpy.array", dict(told)]:
                    return self._array(told)
                case [str(name), dict(told)] if name in TENSORS:
                    return self._tensor(name, told)
        except (GraphcError, ValueError, TypeError, OverflowError) as error:
            if isinstance(error, CheckpointError):
                raise
            raise _malformed(f"an item of kind {kind[:40]!r}: {error}") from None
        raise _malformed(f"an item is of kind {kind[:40]!r}, or lacks its parts")

    def _fill(self, index: int, item: list[Any]) -> None:
        made = self.objects[index]
        values = [self.value(each) for each in item[1]]
        if isinstance(made, list):
            made.extend(values)
            return
        if isinstance(made, set):
            for each in values:
                check_key(each)
            made.update(values)
            return
        assert isinstance(made, dict)
        if len(values) % 2:
            raise _malformed("a key has no value")
        for key, each in zip(values[::2], values[1::2]):
            check_key(key)
            made[key] = each

    # Arrays and tensors

    def _storage(self, name: object, location: str | None) -> tuple[Entry, TypedStorage]:
        if not isinstance(name, str) or name not in self.entries:
            raise _malformed(f"there is no array {str(name)[:80]!r}")
        entry = self.entries[name]
        if name not in self.storages:
            self.storages[name] = memory_of(self.memory(name, location), entry.dtype)
        return entry, self.storages[name]

    def _reorder(self, name: str) -> None:
        if name in self.reordered:
            raise _malformed(f"the array {name[:80]!r} has two orders")
        self.reordered.add(name)

    def _array(self, told: dict[str, Any]) -> AnyArray:
        _, storage = self._storage(told.get("entry"), None)
        kind = to_dtype(told.get("dtype"))
        shape = sizes_of(told.get("shape"), "sizes")
        found = tensor_at(storage, 0, shape, row_major(shape), kind)._array
        if told.get("fortran") is not True:
            return found
        self._reorder(told["entry"])
        return np.asfortranarray(found)

    def _tensor(self, name: str, told: dict[str, Any]) -> Tensor:
        location = told.get("device", "cpu")
        if not isinstance(location, str):
            raise _malformed("a device is no text")
        entry, storage = self._storage(told.get("entry"), location)
        kind = to_dtype(told.get("dtype"))
        shape = sizes_of(told.get("shape"), "sizes")
        stride = sizes_of(told["stride"], "strides") if "stride" in told else row_major(shape)
        offset = told.get("offset", 0)
        if "stride" in told and not told.get("view"):
            self._reorder(told["entry"])
            self._rearrange(entry, storage, kind, shape, stride)
        made = tensor_at(storage, offset, shape, stride, kind)
        needs_grad = told.get("requires_grad") is True
        if name == "Parameter":
            return Parameter(made, needs_grad)
        if name == "Buffer":
            made = Buffer(made, persistent=told.get("persistent") is not False)
        if needs_grad:
            set_requires_grad(made, True)
        return made

    def _rearrange(
        self, entry: Entry, storage: TypedStorage, kind: DType, shape: tuple[int, ...], stride: tuple[int, ...]
    ) -> None:
        """Put elements that the file has in row-major order where the strides say; the whole memory is theirs."""
        pair = (2,) if kind is c128 else ()
        if entry.dtype is not (f64 if kind is c128 else kind) or entry.shape != shape + pair:
            raise _malformed("an array and its tensor are of different shapes")
        source = tensor_at(storage, 0, shape, row_major(shape), kind)._array
        content = bytes_in(storage)
        memory = memory_of(empty(content.shape, content.dtype, gpu_of(content)), kind)
        copy_into(tensor_at(memory, 0, shape, stride)._array, source)
        storage._storage.owner = bytes_in(memory)


def set_attributes(made: OrderedDict[Any, Any] | Counter[Any], attributes: dict[Any, Any]) -> None:
    """Give a mapping the attributes it was saved with, such as the `_metadata` of a state dict."""
    for name, value in attributes.items():
        if not isinstance(name, str) or hasattr(type(made), name):
            raise CheckpointError(f"the file sets {str(name)[:40]!r} of a mapping")
        made.__dict__[name] = value


def numpy_dtype(name: str) -> np.dtype[Any]:
    try:
        if name[:1] in "<>|=" and len(name) < 24:
            found = np.dtype(name)
            if found.kind in "biufcSUmM" and not found.hasobject and found.itemsize:
                return found
        return to_dtype(name).numpy
    except (TypeError, ValueError, GraphcError):
        raise CheckpointError(f"the file names {name[:40]!r}, which is no dtype of numpy") from None


def _list_of(item: list[Any], place: int) -> list[Any]:
    if len(item) <= place or not isinstance(item[place], list):
        raise _malformed(f"an item of kind {item[0][:40]!r} lacks its parts")
    parts: list[Any] = item[place]
    return parts


def _number(value: object) -> float:
    if type(value) is not float:
        raise _malformed("a part of a complex number is no float")
    return value


def _unpacked(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise _malformed("bytes are not in base64") from None


def _unhex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise _malformed("bits of a float are no hexadecimal number") from None


def _malformed(why: str) -> CheckpointError:
    return CheckpointError(f"the text of the file's structure is damaged: {why}")
