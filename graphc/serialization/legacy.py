"""PyTorch's checkpoints from before 1.6: several pickles, then the bytes of the storages.

In: a stream that such a `torch.save` has written. Out: the object.

    magic number | version | facts about the machine | the object | the names of the storages | size and bytes of each
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, BinaryIO, Final, Literal

import numpy as np

from graphc.eager.memory import TypedStorage
from graphc.eager.placement import copy_into
from graphc.ir.errors import describe
from graphc.serialization.constructors import StorageOf, StorageRequest
from graphc.serialization.errors import CheckpointError
from graphc.serialization.file import read_exactly, read_into, size_of
from graphc.serialization.location import Restore
from graphc.serialization.memory import bytes_in, memory_of, native
from graphc.serialization.unpickler import Unpickler

VERSION: Final = 1001
START: Final = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""How such a file begins: the magic number as a pickle."""


def load(
    stream: BinaryIO,
    restore: Restore,
    unpickler: Callable[[BinaryIO, StorageOf], Any] = Unpickler,
) -> Any:
    """The object that the file holds."""
    room = size_of(stream)
    loaded: dict[str, TypedStorage] = {}
    filled = 0

    def storage_of(asked: StorageRequest) -> TypedStorage:
        nonlocal filled
        if any(each is not None for each in asked.rest):
            raise CheckpointError("the file holds views of storages, as PyTorch wrote before 0.4")
        if asked.key not in loaded:
            filled += asked.nbytes
            if filled > room:
                raise CheckpointError(f"the file speaks of {filled} bytes in tensors, and has {room} in all")
            made = memory_of(np.empty(asked.nbytes, np.uint8), asked.dtype)
            loaded[asked.key] = TypedStorage(restore(made._storage, asked.location), asked.dtype)
        return loaded[asked.key]

    machine = Unpickler(stream, storage_of)
    machine.load()  # the magic number, by which the file was told from others
    version = machine.load()
    if type(version) is not int or version != VERSION:
        raise CheckpointError(f"Invalid protocol version: {describe(version)}")
    facts = machine.load()
    is_little = not isinstance(facts, dict) or facts.get("little_endian") is not False
    result = unpickler(stream, storage_of).load()
    for key in _names(machine.load()):
        if key not in loaded:
            raise CheckpointError("the file has bytes of a storage that no tensor lies in")
        _fill(stream, loaded.pop(key), "little" if is_little else "big")
    if loaded:
        raise CheckpointError("a storage that tensors lie in has no bytes in the file")
    return result


def _names(found: object) -> list[str]:
    if not isinstance(found, list) or not all(type(each) is str for each in found):
        raise CheckpointError("the names of the storages in the file are no list of texts")
    return found


def _fill(stream: BinaryIO, memory: TypedStorage, order: Literal["little", "big"]) -> None:
    count = int.from_bytes(read_exactly(stream, 8), order, signed=True)
    target = bytes_in(memory)
    content = target if type(target) is np.ndarray else np.empty(target.shape, np.uint8)
    if count * memory.dtype.itemsize != content.size:
        raise CheckpointError(f"a storage in the file has {count} elements, where the pickle tells another number")
    if content.size:
        read_into(stream, memoryview(content))  # type: ignore[arg-type]  # an array is a buffer
        copy_into(target, native(content, memory.dtype, order))
