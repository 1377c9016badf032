"""The CUDA driver through its own library, which every installation of it has: libcuda.so.1, or nvcuda.dll.

In: the library, found by the system's loader. Out: the driver. Functions are called with the types that `calls` says.
"""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Mapping
from typing import Any, Final

from graphc.ir.errors import DeviceUnavailable
from graphc.runtime.cuda.calls import CALLS, TEXT_BYTES, UUID_BYTES, Call, Function
from graphc.runtime.cuda.native import NativeDriver

NAMES: Final = (
    ("nvcuda.dll",)
    if sys.platform == "win32"
    # The last two are where Windows' subsystem for Linux and NixOS have it, which not every loader there looks into.
    else ("libcuda.so.1", "libcuda.so", "/usr/lib/wsl/lib/libcuda.so.1", "/run/opengl-driver/lib/libcuda.so.1")
)

_TYPES: Final[Mapping[str, Any]] = {
    "int": ctypes.c_int,
    "uint": ctypes.c_uint,
    "ulong": ctypes.c_ulonglong,
    "size": ctypes.c_size_t,
    "byte": ctypes.c_ubyte,
    "short": ctypes.c_ushort,
    "float": ctypes.c_float,
    "device": ctypes.c_int,
    "address": ctypes.c_uint64,
    "pointer": ctypes.c_void_p,
    "handle": ctypes.c_void_p,
    "data": ctypes.c_char_p,
    "string": ctypes.c_char_p,
    "attribute": ctypes.c_int,
    "function_attribute": ctypes.c_int,
    "pointer_attribute": ctypes.c_int,
    "capture_mode": ctypes.c_int,
    "capture_status": ctypes.c_int,
    "input": ctypes.c_int,
    "result": ctypes.c_int,
    "text": ctypes.c_char * TEXT_BYTES,
    "uuid": ctypes.c_ubyte * UUID_BYTES,
}


def load_library() -> NativeDriver:
    """The driver; raises DeviceUnavailable where the system has no library, or one that is too old."""
    reasons = []
    loader = getattr(
        ctypes, "WinDLL", ctypes.CDLL
    )  # on Windows functions of the system are called by its own convention
    for name in NAMES:
        try:
            library = loader(name)
        except OSError as error:
            reasons.append(str(error))
            continue
        return NativeDriver("ctypes", functions_of(library))
    raise DeviceUnavailable(
        "there is no CUDA driver",
        hint=f"the NVIDIA driver's library is not found ({reasons[0]}); `graphc doctor` shows what was found",
    )


def functions_of(library: Any) -> dict[str, Function]:
    """The driver's calls as functions of one convention; `library` has the symbols as attributes."""
    functions = {}
    for name, call in CALLS.items():
        symbol = getattr(library, call.symbol, None)
        if symbol is None:
            raise DeviceUnavailable(
                "the CUDA driver is too old",
                hint=f"the NVIDIA driver's library has no {call.symbol}, which drivers have from CUDA 12.0 on",
            )
        functions[name] = _function(call, symbol)
    return functions


def _function(call: Call, symbol: Any) -> Function:
    types: list[Any] = []
    for kind in call.parameters:
        if kind == "options":
            types += [ctypes.c_uint, ctypes.c_void_p, ctypes.c_void_p]
        elif kind.startswith("*"):
            types.append(ctypes.c_void_p if kind in ("*text", "*uuid") else ctypes.POINTER(_TYPES[kind[1:]]))
        else:
            types.append(_TYPES[kind])
    symbol.argtypes = types
    symbol.restype = ctypes.c_int
    if "options" not in call.parameters and not any(kind.startswith("*") for kind in call.parameters):
        return lambda *values: (symbol(*values),)
    return functools.partial(_invoke, symbol, call.parameters)


def _invoke(symbol: Any, parameters: tuple[str, ...], *values: Any) -> tuple[Any, ...]:
    """Call with places for what comes out."""
    given = iter(values)
    arguments: list[Any] = []
    places: list[Any] = []
    kept: list[Any] = []
    for kind in parameters:
        if kind == "options":
            options = next(given)
            numbers = (ctypes.c_int * max(1, len(options)))(*options)
            words = (ctypes.c_void_p * max(1, len(options)))()
            for place, value in enumerate(options.values()):
                if isinstance(value, bytearray):
                    text = (ctypes.c_char * len(value)).from_buffer(value)
                    kept.append(text)
                    words[place] = ctypes.addressof(text)
                else:
                    words[place] = value
            kept += [numbers, words]
            arguments += [len(options), ctypes.addressof(numbers), ctypes.addressof(words)]
        elif kind.startswith("*"):
            place_type = _TYPES[kind[1:]]
            places.append(place_type())
            arguments.append(ctypes.byref(places[-1]))
        else:
            arguments.append(next(given))
    status = symbol(*arguments)
    return status, *map(_found, places)


def _found(place: Any) -> Any:
    """What a call has written."""
    if isinstance(place, ctypes.Array):
        raw = bytes(place)
        return raw.partition(b"\0")[0] if len(raw) == TEXT_BYTES else raw
    return place.value or 0 if isinstance(place, ctypes.c_void_p) else place.value
