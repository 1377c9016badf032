"""`graphc.save` and `graphc.load`.

In: objects and where to keep them; files of graphc, of PyTorch, and of anything that writes safetensors. Out: files;
objects. Loading runs nothing that a file says unless the caller asks for it.

    graphc.save({"model": model.state_dict(), "epoch": 3}, "run.pt")
    graphc.load("run.pt")["epoch"]
"""

from __future__ import annotations

import io
import os
import pickle
import re
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal

import numpy as np

from graphc.eager.guard import guarded
from graphc.eager.tensor import AnyArray, Storage
from graphc.ir.errors import ArgumentError
from graphc.serialization import archive, legacy, safetensors
from graphc.serialization.decode import decode, plain_tensors
from graphc.serialization.errors import CheckpointError, TruncatedCheckpoint
from graphc.serialization.file import FileLike, is_path, read_into, reading, writing
from graphc.serialization.location import MapLocation, MapLocationError, Restore, restorer
from graphc.serialization.memory import native
from graphc.serialization.structure import STRUCTURE, NotPlain, encode
from graphc.serialization.trusted import trusting
from graphc.serialization.unpickler import Refused, Unpickler

PROTOCOL: Final = 2
_UNSAFE: Final = (
    "Re-running `torch.load` with `weights_only` set to `False` will likely succeed, but it can result in arbitrary "
    "code execution. Do it only if you got the file from a trusted source."
)


@guarded
def save(
    obj: object,
    f: FileLike,
    pickle_module: Any = pickle,
    pickle_protocol: int = PROTOCOL,
    _use_new_zipfile_serialization: bool = True,
    *,
    format: Literal["safetensors", "torch"] | None = None,
) -> None:
    """Save an object to a file: a path, or an object with a `write` method.

    Plain data (tensors, numbers, texts, bytes, None, dtypes, sizes, devices, numpy's scalars and arrays, in any nesting
    of dicts, lists, tuples and sets) becomes a safetensors file. Each tensor in it has its own name, so that other
    programs read a state dict by its keys. Tensors that share memory share it again when they are loaded.
    Whatever else can be pickled, such as a whole module, becomes a file in PyTorch's format, which holds a pickle:
    loading it takes `weights_only=False`, or `graphc.serialization.add_safe_globals` for the classes in it.
    `format="torch"` writes PyTorch's format for plain data too; PyTorch loads that.

    A path is written beside the old file and then takes its place: a file is never there by half.
    Raises AttributeError for what can't be written to, CheckpointError (a RuntimeError) for what can't be saved.
    """
    if format not in (None, "safetensors", "torch"):
        raise ArgumentError(f"format must be 'safetensors' or 'torch', got {format!r}")
    if format != "torch":
        try:
            arrays, text = encode(obj)
        except NotPlain as reason:
            if format == "safetensors":
                raise CheckpointError(
                    f"a safetensors file holds plain data, and this is more: {reason}",
                    hint="save the state_dict() of modules and optimizers",
                ) from None
        else:
            with writing(f) as stream:
                safetensors.write(stream, arrays, {"format": "pt", STRUCTURE: text})
            return
    if pickle_module is not pickle:
        raise ArgumentError("pickle_module: graphc pickles by Python's own pickle")
    name = Path(os.fspath(f)).stem if isinstance(f, str | os.PathLike) else "archive"
    with writing(f) as stream:
        archive.save(obj, stream, name, pickle_protocol)


@guarded
def load(
    f: FileLike,
    map_location: MapLocation = None,
    pickle_module: Any = None,
    *,
    weights_only: bool | None = None,
    mmap: bool | None = None,
    **pickle_load_args: Any,
) -> Any:
    """What was saved to a file: by `graphc.save`, by PyTorch (in its present format or that before 1.6), or by any
    writer of safetensors, of which the tensors come in a dict.

    With `weights_only`, which is the default, a file can only make tensors and plain data, and what
    `graphc.serialization.add_safe_globals` has allowed; nothing in it is run. `weights_only=False` runs what a pickle
    in it says: for files of a trusted source. `map_location` is where tensors go: a device, a dict from location to
    location, or a function of storage and location. With `mmap` tensors are read from the file when they are used,
    and writes to them stay in memory.

    Raises CheckpointError (a RuntimeError and a `pickle.UnpicklingError`) for a file that is damaged, refused, or of no
    known format.
    """
    if weights_only is None:
        weights_only = pickle_module is None
    if weights_only and pickle_module is not None:
        raise ArgumentError("Can not safely load weights when explicit pickle_module is specified")
    if pickle_load_args and weights_only:
        warnings.warn("pickle_load_args only works if `weights_only=False`.", UserWarning, stacklevel=3)
    if mmap and not is_path(f):
        raise ArgumentError("f must be a file path in order to use the mmap argument")
    pickle_load_args.setdefault("encoding", "utf-8")
    restore = restorer(map_location)
    machine: Any = Unpickler if weights_only else trusting(pickle_load_args)
    with reading(f) as stream:
        try:
            return _load(f, stream, restore, bool(mmap), machine)
        except Refused as error:
            raise Refused(_explained(error.message)) from None
        except MapLocationError as carrier:
            raise carrier.error from None


def _load(f: FileLike, stream: BinaryIO, restore: Restore, mmap: bool, machine: Any) -> Any:
    first = stream.tell()
    start = stream.read(16)
    stream.seek(first)
    if not start:
        raise TruncatedCheckpoint("Ran out of input")
    if start.startswith(archive.MAGIC):
        return archive.load(_from(stream, first), restore, _mapped(f) if mmap else None, machine)
    if safetensors.is_safetensors(start):
        header = safetensors.read_header(stream)
        read = _reader(stream, header, restore, _mapped(f) if mmap else None)
        text = header.notes.get(STRUCTURE)
        return plain_tensors(header.entries, read) if text is None else decode(text, header.entries, read)
    if mmap:
        raise CheckpointError(
            "mmap can only be used with files saved with `torch.save(_use_new_zipfile_serialization=True), please "
            "torch.save your checkpoint with this option in order to use mmap."
        )
    if start.startswith(legacy.START[: len(start)]):
        return legacy.load(stream, restore, machine)
    if start[:1] == b"\x80" and start[2:4] != b"\x8a\n":
        raise CheckpointError("Invalid magic number; corrupt file?", hint="this is a pickle that no torch.save wrote")
    raise CheckpointError(
        "Invalid magic number; corrupt file?",
        hint="neither a file of torch.save nor one in safetensors format",
    )


def _from(stream: BinaryIO, first: int) -> BinaryIO:
    """The rest of a stream, as a stream of its own: the places in an archive count from its start."""
    if first == 0:
        return stream
    return io.BytesIO(stream.read())


def _mapped(f: FileLike) -> AnyArray:
    """The bytes of a file, read when they are used; writes change only this process's copy."""
    assert isinstance(f, str | os.PathLike)
    return np.asarray(np.memmap(f, np.uint8, "c")) if os.path.getsize(f) else np.empty(0, np.uint8)


def _reader(
    stream: BinaryIO, header: safetensors.Header, restore: Restore, mapped: AnyArray | None
) -> Callable[[str, str | None], AnyArray]:
    """What gives the bytes of an entry that was saved from a location; None: it was no tensor."""
    entries: Mapping[str, safetensors.Entry] = header.entries

    def read(name: str, location: str | None) -> AnyArray:
        entry = entries[name]
        start = header.data + entry.start
        if mapped is not None:
            content = mapped[start : start + entry.nbytes]
        else:
            content = np.empty(entry.nbytes, np.uint8)
            stream.seek(start)
            if content.size:
                read_into(stream, memoryview(content))  # type: ignore[arg-type]  # an array is a buffer
        loaded = native(content, entry.dtype, "little")
        if location is None:
            return loaded
        placed = restore(Storage(loaded), location).owner
        assert placed is not None
        return placed

    return read


def _explained(message: str) -> str:
    """PyTorch's words around the reason why a pickle was refused."""
    if re.search(r"GLOBAL (\S+) was not an allowed global by default.", message):
        return (
            "Weights only load failed. This file can still be loaded, to do so you have two options, \033[1mdo those "
            f"steps only if you trust the source of the checkpoint\033[0m. \n\t(1) {_UNSAFE}\n\t(2) Alternatively, to "
            "load with `weights_only=True` please check the recommended steps in the following error message.\n\t"
            f"WeightsUnpickler error: {message}"
        )
    return f"Weights only load failed. {_UNSAFE}\n\n{message}"
