"""PyTorch's checkpoints: a zip archive of one pickle and the bytes of each storage.

In: a stream that `torch.save` has written, or an object and where to write it. Out: the object. Records are stored, not
compressed; nothing is written to the disk while reading, whatever the records are called.

    archive/data.pkl   archive/byteorder   archive/data/0   archive/data/1 ...   archive/version
"""

from __future__ import annotations

import io
import struct
import sys
import zipfile
from collections.abc import Callable
from typing import Any, BinaryIO, Final

import numpy as np

from graphc.eager.memory import TypedStorage
from graphc.eager.tensor import AnyArray
from graphc.serialization.constructors import StorageOf, StorageRequest
from graphc.serialization.errors import CheckpointError
from graphc.serialization.file import read_exactly, read_into, size_of
from graphc.serialization.location import Restore
from graphc.serialization.memory import memory_of, native
from graphc.serialization.pickler import Pickler
from graphc.serialization.unpickler import Unpickler

MAGIC: Final = b"PK\x03\x04"
ALIGNMENT: Final = 64
LARGEST_PICKLE: Final = 1 << 31
_LOCAL_HEADER: Final = 30
_DAMAGE: Final = (
    zipfile.BadZipFile, ValueError, OSError, EOFError, struct.error, NotImplementedError, OverflowError,
)  # fmt: skip
"""What `zipfile` raises for files that are none, or no more."""


class Archive:
    """The records of a file, checked to lie in it and to have no more bytes than it has."""

    def __init__(self, stream: BinaryIO, mapped: AnyArray | None = None) -> None:
        self.stream = stream
        self.mapped = mapped
        """The bytes of the whole file, where it is mapped."""
        try:
            self._zip = zipfile.ZipFile(stream)
        except _DAMAGE as error:
            told = str(error).replace("File is not a zip file", "failed finding central directory")
            raise _damaged(told) from None
        found = self._zip.infolist()
        pickles = [each.filename for each in found if each.filename.endswith("/data.pkl")]
        pickles = [name for name in pickles if name.count("/") == 1]
        if len(pickles) != 1:
            raise _damaged("it has no data.pkl")
        self.prefix = pickles[0].removesuffix("data.pkl")
        self.records: dict[str, zipfile.ZipInfo] = {}
        for each in found:
            if each.filename.startswith(self.prefix):
                name = each.filename.removeprefix(self.prefix)
                if name in self.records:
                    raise _damaged(f"the record {name!r} is there twice")
                self.records[name] = each
        if sum(each.file_size for each in found) > size_of(stream):
            raise _damaged("its records have more bytes than the file")
        if "constants.pkl" in self.records:
            raise CheckpointError(
                "Cannot use ``weights_only=True`` with TorchScript archives passed to ``torch.load``.",
                hint="graphc reads what torch.save has written: save the module's state_dict()",
            )

    def record(self, name: str, size: int | None = None) -> zipfile.ZipInfo:
        """What the archive says of a record, which must have this size."""
        found = self.records.get(name)
        if found is None:
            raise _damaged(f"file not found: {self.prefix}{name}"[:200])
        if found.compress_type != zipfile.ZIP_STORED or found.flag_bits & 1 or found.compress_size != found.file_size:
            raise _damaged(f"the record {name!r} is compressed or encrypted")
        if size is not None and found.file_size != size:
            raise _damaged(f"the record {name!r} has {found.file_size} bytes, and {size} are asked for")
        return found

    def read(self, name: str) -> bytes:
        """The bytes of a small record."""
        found = self.record(name)
        if found.file_size > LARGEST_PICKLE:
            raise _damaged(f"the record {name!r} has {found.file_size} bytes")
        try:
            return self._zip.read(found)
        except _DAMAGE as error:
            raise _damaged(str(error)) from None

    def content(self, key: str, size: int) -> AnyArray:
        """The bytes of a storage, read or mapped."""
        found = self.record(f"data/{key}", size)
        if self.mapped is not None:
            start = self._start(found)
            return self.mapped[start : start + size]
        memory = np.empty(size, np.uint8)
        try:
            with self._zip.open(found) as record:
                read_into(record, memoryview(memory))  # type: ignore[arg-type]  # it reads as a file does
                record.read(1)  # at the end the checksum is compared
        except CheckpointError:
            raise
        except _DAMAGE as error:
            raise _damaged(str(error)) from None
        return memory

    def _start(self, found: zipfile.ZipInfo) -> int:
        """Where the bytes of a record begin in the file."""
        self.stream.seek(found.header_offset)
        header = read_exactly(self.stream, _LOCAL_HEADER)
        name, extra = struct.unpack("<HH", header[26:30])
        start = int(found.header_offset + _LOCAL_HEADER + name + extra)
        assert self.mapped is not None
        if not header.startswith(MAGIC) or start + found.file_size > self.mapped.size:
            raise _damaged(f"the record {found.filename[:80]!r} lies beyond the end")
        return start


def load(
    stream: BinaryIO,
    restore: Restore,
    mapped: AnyArray | None,
    unpickler: Callable[[BinaryIO, StorageOf], Any] = Unpickler,
) -> Any:
    """The object that the archive holds."""
    archive = Archive(stream, mapped)
    order = archive.read("byteorder").decode("latin1") if "byteorder" in archive.records else "little"
    if order not in ("little", "big"):
        raise CheckpointError(f"Unknown endianness type: {order[:40]}")
    loaded: dict[str, TypedStorage] = {}

    def storage_of(asked: StorageRequest) -> TypedStorage:
        found = loaded.get(asked.key)
        if found is None:
            content = native(archive.content(asked.key, asked.nbytes), asked.dtype, order)
            made = memory_of(content, asked.dtype)
            found = loaded[asked.key] = TypedStorage(restore(made._storage, asked.location), asked.dtype)
        return found

    return unpickler(io.BytesIO(archive.read("data.pkl")), storage_of).load()


def save(obj: object, stream: BinaryIO, name: str, protocol: int) -> None:
    """Write the object as PyTorch does."""
    buffer = io.BytesIO()
    pickler = Pickler(buffer, protocol)
    pickler.dump(obj)
    # A stream of no known position gets the archive in one piece, as its directory counts from the start.
    target: Any = stream if _starts_at_zero(stream) else io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        _add(archive, target, f"{name}/data.pkl", buffer.getbuffer())
        _add(archive, target, f"{name}/.format_version", b"1")
        _add(archive, target, f"{name}/.storage_alignment", str(ALIGNMENT).encode())
        _add(archive, target, f"{name}/byteorder", sys.byteorder.encode())
        for key, content in pickler.storages.items():
            _add(archive, target, f"{name}/data/{key}", content.data)
        _add(archive, target, f"{name}/version", b"3\n")
    if target is not stream:
        stream.write(target.getbuffer())


def _starts_at_zero(stream: BinaryIO) -> bool:
    try:
        return stream.seekable() and stream.tell() == 0
    except (AttributeError, OSError):
        return False


def _add(archive: zipfile.ZipFile, stream: Any, name: str, content: Any) -> None:
    """Store a record so that its bytes are aligned in the file: the gap is a field of its header."""
    info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    size = len(content)
    wide = 20 if size >= zipfile.ZIP64_LIMIT else 0
    start = stream.tell() + _LOCAL_HEADER + len(name.encode()) + wide + 4
    info.extra = struct.pack("<HH", 0x4246, -start % ALIGNMENT) + b"Z" * (-start % ALIGNMENT)
    info.file_size = size
    with archive.open(info, "w", force_zip64=bool(wide)) as record:
        record.write(content)


def _damaged(why: str) -> CheckpointError:
    return CheckpointError(f"PytorchStreamReader failed reading zip archive: {why}")
