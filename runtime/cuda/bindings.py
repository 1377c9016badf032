"""The CUDA driver through NVIDIA's package `cuda-bindings`, where that is installed (`pip install graphc[cuda]`).

In: the module `cuda.bindings.driver`. Out: the driver, by the same calls as `library` makes.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Mapping
from typing import Any, Final

from graphc.ir.errors import DeviceUnavailable
from graphc.runtime.cuda.calls import CALLS, TEXT_BYTES, Call, Function
from graphc.runtime.cuda.native import NativeDriver

PER_THREAD: Final = "CUDA_PYTHON_CUDA_PER_THREAD_DEFAULT_STREAM"
_ENUMERATIONS: Final[Mapping[str, str]] = {
    "attribute": "CUdevice_attribute",
    "function_attribute": "CUfunction_attribute",
    "pointer_attribute": "CUpointer_attribute",
    "capture_mode": "CUstreamCaptureMode",
    "input": "CUjitInputType",
    "result": "CUresult",
}


def load_bindings() -> NativeDriver:
    """The driver; raises DeviceUnavailable where the package, or the driver's library, is missing."""
    if PER_THREAD in os.environ:  # whatever it says: releases before 13.2.1 take even 0 for yes
        raise DeviceUnavailable(
            f"{PER_THREAD} is set",
            hint="cuda-bindings then gives each thread a default stream of its own, and graphc counts on one for all: "
            f"unset {PER_THREAD}, or let graphc call the driver itself by GRAPHC_CUDA_DRIVER=ctypes",
        )
    try:
        module = importlib.import_module("cuda.bindings.driver")
    except ImportError as error:
        raise DeviceUnavailable(
            "there is no package cuda-bindings",
            hint=f"cuda-bindings cannot be imported ({error}): pip install graphc[cuda]",
        ) from None
    try:
        functions = functions_of(module)
        functions["cuDriverGetVersion"]()
    # Where the library is not found each release of the package raises another error of its own.
    except Exception as error:
        reason = str(error).strip() or type(error).__name__
        raise DeviceUnavailable(
            "there is no CUDA driver",
            hint=f"cuda-bindings does not find the NVIDIA driver ({reason}); `graphc doctor` shows what was found",
        ) from None
    return NativeDriver("cuda-bindings", functions)


def functions_of(module: Any) -> dict[str, Function]:
    """The driver's calls as functions of one convention; `module` is `cuda.bindings.driver`."""
    return {name: _function(module, call) for name, call in CALLS.items()}


def _function(module: Any, call: Call) -> Function:
    function = getattr(module, call.name)
    incoming = [kind for kind in call.parameters if not kind.startswith("*")]
    converted = {
        place: getattr(module, _ENUMERATIONS[kind]) for place, kind in enumerate(incoming) if kind in _ENUMERATIONS
    }
    outgoing = [_AS_NUMBER.get(kind, int) for kind in call.parameters if kind.startswith("*")]
    if "options" in incoming:
        option = module.CUjit_option

        def with_options(*values: Any) -> tuple[Any, ...]:
            *others, options = values
            numbers = [option(number) for number in options]
            others = [converted[place](value) if place in converted else value for place, value in enumerate(others)]
            return _numbers(function(*others, len(numbers), numbers, list(options.values())), outgoing)

        return with_options

    def plain(*values: Any) -> tuple[Any, ...]:
        if converted:
            values = tuple(converted[i](value) if i in converted else value for i, value in enumerate(values))
        return _numbers(function(*values), outgoing)

    return plain


def _numbers(found: tuple[Any, ...], outgoing: list[Callable[[Any], Any]]) -> tuple[Any, ...]:
    """The status and what came out, as `calls` has them; after an error the package gives None for the latter."""
    status, *values = found
    return int(status), *(None if value is None else number(value) for number, value in zip(outgoing, values))


_AS_NUMBER: Final[Mapping[str, Callable[[Any], Any]]] = {
    "*float": float,
    "*text": lambda name: bytes(name)[:TEXT_BYTES].partition(b"\0")[0],
    "*string": bytes,
    "*uuid": lambda uuid: bytes(uuid.bytes),
}
