"""Opening what users name, for reading and for writing.

In: paths and file objects. Out: a stream that knows its size; or a file that is there whole or not at all. A path is
written under another name in the same folder, flushed to the disk, and renamed: whoever stops the process in the middle
finds the old file.
"""

from __future__ import annotations

import contextlib
import io
import os
import secrets
import stat
from collections.abc import Iterator
from typing import Any, BinaryIO, TypeAlias

from graphc.serialization.errors import CheckpointError, TruncatedCheckpoint

FileLike: TypeAlias = "str | os.PathLike[str] | BinaryIO"


def is_path(f: object) -> bool:
    """Whether it names a file."""
    return isinstance(f, str | os.PathLike)


@contextlib.contextmanager
def writing(f: FileLike) -> Iterator[BinaryIO]:
    """A file to write to; if `f` is a path, it has the new content when the block ends without an error."""
    if not isinstance(f, str | os.PathLike):
        if not hasattr(f, "write"):
            raise AttributeError("expected 'f' to be string, path, or a file-like object with a 'write' attribute")
        yield f
        if hasattr(f, "flush"):
            f.flush()
        return
    path = os.path.realpath(f)
    folder, name = os.path.split(path)
    mode: int | None = None
    if os.path.lexists(path):
        if os.path.exists(path) and not stat.S_ISREG(os.stat(path).st_mode):  # a device or a pipe can't be replaced
            with open(path, "wb") as stream:
                yield stream
            return
        with open(path, "r+b") as stream:  # refused where the file is not to be written, though it could be replaced
            mode = stat.S_IMODE(os.fstat(stream.fileno()).st_mode)
    if not os.path.isdir(folder):
        raise CheckpointError(f"Parent directory {os.path.dirname(f)} does not exist.")
    # Of a name that is as long as the system allows, a part.
    temporary = os.path.join(folder, f".{name[:40]}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    handle = os.open(temporary, flags, 0o666 if mode is None else 0o600)
    try:
        with open(handle, "wb") as stream:
            if mode is not None:
                os.chmod(temporary, mode)  # before there is anything in it to be read
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    _flush_folder(folder)


def _flush_folder(folder: str) -> None:
    """Let the new name reach the disk too, where the system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextlib.contextmanager
def reading(f: Any) -> Iterator[BinaryIO]:
    """A file to read and seek in, from its present position on."""
    if isinstance(f, str | os.PathLike):
        with open(f, "rb") as stream:
            yield stream
        return
    try:
        f.seek(f.tell())
    except (io.UnsupportedOperation, AttributeError) as error:
        advice = (
            ". You can only torch.load from a file that is seekable. Please pre-load the data into a buffer like "
            "io.BytesIO and try to load from it instead."
        )
        raise type(error)(str(error) + advice) from None
    yield f


def size_of(stream: BinaryIO) -> int:
    """How many bytes there are in all."""
    here = stream.tell()
    size = stream.seek(0, os.SEEK_END)
    stream.seek(here)
    return size


def read_exactly(stream: BinaryIO, count: int) -> bytes:
    """That many bytes; raises TruncatedCheckpoint where there are fewer."""
    content = stream.read(count)
    if len(content) != count:
        raise TruncatedCheckpoint(f"the file ends after {len(content)} of {count} bytes")
    return content


def read_into(stream: BinaryIO, memory: memoryview) -> None:
    """Fill the memory; raises TruncatedCheckpoint where there is too little."""
    done = 0
    while done < len(memory):
        readinto = getattr(stream, "readinto", None)
        if readinto is not None:
            count = readinto(memory[done:])
        else:
            content = stream.read(len(memory) - done)
            count = len(content)
            memory[done : done + count] = content
        if not count:
            raise TruncatedCheckpoint(f"the file ends after {done} of {len(memory)} bytes of a tensor")
        done += count
