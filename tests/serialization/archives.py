"""PyTorch's file format, written by hand: archives that say what a test wants, well formed or not."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections.abc import Mapping

GLOBAL = "c{}\n{}\n"


def archive(data: bytes, storages: Mapping[str, bytes] | None = None, **records: bytes) -> bytes:
    """The bytes of a file whose pickle is `data`."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as target:
        target.writestr("archive/data.pkl", data)
        for name, content in records.items():
            target.writestr(f"archive/{name}", content)
        for key, content in (storages or {}).items():
            target.writestr(f"archive/data/{key}", content)
    return file.getvalue()


def name(module: str, attribute: str) -> bytes:
    """The instruction that pushes what a name stands for."""
    return b"c" + module.encode() + b"\n" + attribute.encode() + b"\n"


def value(plain: object) -> bytes:
    """The instructions that push plain data."""
    return pickle.dumps(plain, 2)[2:-1]


def program(*parts: bytes) -> bytes:
    """A whole pickle."""
    return b"\x80\x02" + b"".join(parts) + b"."


def call(function: bytes, *args: bytes) -> bytes:
    """The instructions that call a function."""
    return function + b"(" + b"".join(args) + b"tR"


def storage(kind: str = "FloatStorage", key: str = "0", count: int = 4, location: str = "cpu") -> bytes:
    """The instructions that push a storage."""
    return b"(" + value("storage") + name("torch", kind) + value(key) + value(location) + value(count) + b"tQ"


def tensor(memory: bytes, offset: object, size: object, stride: object, rest: bytes = b"\x89") -> bytes:
    """The instructions that push a tensor."""
    hooks = call(name("collections", "OrderedDict"))
    parts = (value(offset), value(size), value(stride), rest, hooks)
    return call(name("torch._utils", "_rebuild_tensor_v2"), memory, *parts)


FLOATS = struct.pack("<4f", 1, 2, 3, 4)
"""The bytes of a storage of four elements."""
