"""The safetensors format: arrays by name behind a header in JSON, with a text for notes.

In: named arrays and notes. Out: a file that every reader of safetensors opens, or what such a file says, checked: each
entry lies inside the file, none overlaps another, and nothing is left between them.
The format is described at https://huggingface.co/docs/safetensors.

    8 bytes: length of the header | {"name": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}, ...} | the data
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from graphc.eager.tensor import AnyArray
from graphc.ir import dtype as dtypes
from graphc.ir.dtype import DType
from graphc.serialization.errors import CheckpointError
from graphc.serialization.file import read_exactly, size_of
from graphc.serialization.memory import MOST_DIMENSIONS

LONGEST_HEADER = 100_000_000
"""As in the reference implementation."""
ALIGNMENT = 64
NOTES = "__metadata__"
CODES: dict[str, DType] = {
    "BOOL": dtypes.bool_,
    "I8": dtypes.i8,
    "I16": dtypes.i16,
    "I32": dtypes.i32,
    "I64": dtypes.i64,
    "U8": dtypes.u8,
    "U16": dtypes.u16,
    "U32": dtypes.u32,
    "U64": dtypes.u64,
    "F16": dtypes.f16,
    "BF16": dtypes.bf16,
    "F32": dtypes.f32,
    "F64": dtypes.f64,
    "C64": dtypes.c64,
    "F8_E4M3": dtypes.f8e4m3fn,
    "F8_E4M3FNUZ": dtypes.f8e4m3fnuz,
    "F8_E5M2": dtypes.f8e5m2,
    "F8_E5M2FNUZ": dtypes.f8e5m2fnuz,
}
"""The format's names of dtypes. It has none for complex128."""
_CODE_OF = {d: code for code, d in CODES.items()}


@dataclass(frozen=True, slots=True)
class Entry:
    """An array in a file: its bytes start at `start`, counted from the start of the data."""

    dtype: DType
    shape: tuple[int, ...]
    start: int

    @property
    def nbytes(self) -> int:
        """Bytes of its elements."""
        return math.prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says of its content, and where the data begins in it."""

    entries: Mapping[str, Entry]
    notes: Mapping[str, str]
    data: int


def write(stream: BinaryIO, arrays: Mapping[str, AnyArray], notes: Mapping[str, str]) -> None:
    """Write the arrays; those of wide elements come first, so that each is aligned in a file that is mapped."""
    order = sorted(arrays, key=lambda name: -arrays[name].dtype.itemsize)
    described: dict[str, Any] = {NOTES: dict(notes)} if notes else {}
    start = 0
    for name in order:
        array = arrays[name]
        end = start + array.nbytes
        code = _CODE_OF[dtypes.dtype(array.dtype)]
        described[name] = {"dtype": code, "shape": list(array.shape), "data_offsets": [start, end]}
        start = end
    header = json.dumps(described, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode("utf-8")
    header += b" " * (-(len(header) + 8) % ALIGNMENT)
    if len(header) > LONGEST_HEADER:
        raise CheckpointError(
            f"the header of the file would have {len(header)} bytes, more than {LONGEST_HEADER}",
            hint="keep long lists of numbers in tensors",
        )
    stream.write(struct.pack("<Q", len(header)))
    stream.write(header)
    for name in order:
        array = arrays[name]
        if array.nbytes:
            little = array if array.dtype.byteorder != ">" else array.astype(array.dtype.newbyteorder("<"))
            stream.write(np.ascontiguousarray(little).reshape(-1).view(np.uint8).data)


def is_safetensors(start: bytes) -> bool:
    """Whether a file that begins with these bytes can be one."""
    return len(start) >= 9 and struct.unpack_from("<Q", start)[0] <= LONGEST_HEADER and start[8:9] == b"{"


def read_header(stream: BinaryIO) -> Header:
    """What the file says, from the stream's position on; raises CheckpointError where it isn't well formed."""
    first = stream.tell()
    available = size_of(stream) - first
    length = struct.unpack("<Q", read_exactly(stream, 8))[0]
    if length > min(LONGEST_HEADER, available - 8):
        raise _malformed(f"its header of {length} bytes is longer than the file")
    try:
        found = read_json(read_exactly(stream, length).decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise _malformed(f"its header is no JSON ({error})") from None
    notes = found.pop(NOTES, {})
    if not isinstance(notes, dict) or not all(isinstance(value, str) for value in notes.values()):
        raise _malformed("its notes are no texts")
    entries = {name: _entry(name, told) for name, told in found.items()}
    _check_cover(entries, available - 8 - length)
    return Header(entries, notes, first + 8 + length)


def read_json(text: str) -> Any:
    """What a text in strict JSON says. Raises ValueError, also where a name comes twice, or RecursionError."""
    return json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name comes twice")
    return found


def _refuse_constant(text: str) -> object:
    raise ValueError(f"{text} is no JSON")


def _entry(name: str, told: Any) -> Entry:
    if not isinstance(told, dict) or set(told) != {"dtype", "shape", "data_offsets"}:
        raise _malformed(f"{name!r} lacks its dtype, shape or data_offsets")
    if not isinstance(told["dtype"], str) or told["dtype"] not in CODES:
        raise _malformed(f"{name!r} has dtype {str(told['dtype'])[:40]!r}, which graphc doesn't know")
    shape, offsets = told["shape"], told["data_offsets"]
    for numbers in (shape, offsets):
        if not isinstance(numbers, list) or not all(type(n) is int and 0 <= n < 1 << 63 for n in numbers):
            raise _malformed(f"{name!r} has a shape or data_offsets that are no sizes")
    is_sound = len(offsets) == 2 and len(shape) <= MOST_DIMENSIONS
    entry = Entry(CODES[told["dtype"]], tuple(shape) if is_sound else (), offsets[0] if is_sound else 0)
    if not is_sound or offsets[1] - offsets[0] != entry.nbytes:
        raise _malformed(f"the data of {name!r} don't fit its shape {shape[:8]}")
    return entry


def _check_cover(entries: Mapping[str, Entry], size: int) -> None:
    """Refuse entries that overlap, leave gaps, or don't end where the file does."""
    end = 0
    for name, entry in sorted(entries.items(), key=lambda pair: (pair[1].start, pair[1].nbytes)):
        if entry.start != end:
            raise _malformed(f"the data of {name!r} don't follow those before")
        end += entry.nbytes
    if end != size:
        raise _malformed(f"its tensors have {end} bytes, the file has {size} for them")


def _malformed(why: str) -> CheckpointError:
    return CheckpointError(f"Error while deserializing header: the file is no safetensors file: {why}")
