"""PyTorch's checkpoints from before 1.6: several pickles, then the bytes of the storages.

In: a stream that such a `torch.save` has written. Out: the object.

    magic number | version | facts about the machine | the object | the names of the storages | size and bytes of each
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from typing import Any, BinaryIO, Final

import numpy as np

from graphc.eager.memory import TypedStorage
from graphc.serialization.errors import CheckpointError
from graphc.serialization.file import read_exactly, read_into, size_of
from graphc.serialization.location import Restore
from graphc.serialization.memory import bytes_in, memory_of
from graphc.serialization.unpickler import Unpickler

MAGIC: Final = 0x1950A86A20F9469CFC6C
VERSION: Final = 1001
START: Final = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""How such a file begins: the magic number as a pickle."""


def load(
    stream: BinaryIO,
    restore: Restore,
    unpickler: Callable[[BinaryIO, Callable[[tuple[Any, ...]], TypedStorage]], Any] = Unpickler,
) -> Any:
    """The object that the file holds."""
    room = size_of(stream)
    loaded: dict[str, TypedStorage] = {}
    filled = 0

    def storage_of(told: tuple[Any, ...]) -> TypedStorage:
        nonlocal filled
        kind, key, location, count = (*told[1:5],)
        if len(told) > 5 and told[5] is not None:
            raise CheckpointError("the file holds views of storages, as PyTorch wrote before 0.4")
        if isinstance(location, bytes):
            location = location.decode("latin1")
        if type(key) is not str or type(location) is not str or type(count) is not int or count < 0:
            raise CheckpointError("a storage in the file has no name, location or size")
        if key not in loaded:
            size = count * kind.dtype.itemsize
            filled += size
            if filled > room:
                raise CheckpointError(f"the file speaks of {filled} bytes in tensors, and has {room} in all")
            made = memory_of(np.empty(size, np.uint8), kind.dtype)
            loaded[key] = TypedStorage(restore(made._storage, location), kind.dtype)
        return loaded[key]

    machine = Unpickler(stream, storage_of)
    if machine.load() != MAGIC:
        raise CheckpointError("Invalid magic number; corrupt file?")
    version = machine.load()
    if version != VERSION:
        raise CheckpointError(f"Invalid protocol version: {str(version)[:40]}")
    facts = machine.load()
    is_little = not isinstance(facts, dict) or facts.get("little_endian") is not False
    result = unpickler(stream, storage_of).load()
    for key in _names(machine.load()):
        if key not in loaded:
            raise CheckpointError("the file has bytes of a storage that no tensor lies in")
        _fill(stream, loaded.pop(key), "<" if is_little else ">")
    if loaded:
        raise CheckpointError("a storage that tensors lie in has no bytes in the file")
    return result


def _names(found: object) -> list[str]:
    if not isinstance(found, list) or not all(type(each) is str for each in found):
        raise CheckpointError("the names of the storages in the file are no list of texts")
    return found


def _fill(stream: BinaryIO, memory: TypedStorage, order: str) -> None:
    count = struct.unpack(f"{order}q", read_exactly(stream, 8))[0]
    content = bytes_in(memory)
    if count * memory.dtype.itemsize != content.size:
        raise CheckpointError(f"a storage in the file has {count} elements, where the pickle tells another number")
    if content.size:
        read_into(stream, memoryview(content))  # type: ignore[arg-type]  # an array is a buffer
    unit = memory.dtype.itemsize // (2 if memory.dtype.is_complex else 1)
    if unit > 1 and (order == "<") != (sys.byteorder == "little"):
        content.view(np.dtype(f"u{unit}")).byteswap(inplace=True)
    if memory.dtype.name == "bool":
        content[...] = content != 0
