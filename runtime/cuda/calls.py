"""The calls of the CUDA driver that graphc makes: their symbols, and what goes in and out of each.

Out: `CALLS`, from which `library` (ctypes) and `bindings` (cuda-bindings) make functions of one convention: what goes
in is given, and `(status, what comes out ...)` is returned, handles and addresses as integers. The status is a number,
0 where all went well.

A parameter is named by its kind, in the order that C has them; `*` marks one that the call writes. The signatures are
those of cuda.h from CUDA 12.0 on; symbols that end in `_v2` are what cuda.h's names stand for there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

Function: TypeAlias = Callable[..., tuple[Any, ...]]
Options: TypeAlias = "Mapping[int, int | bytearray]"
"""Options of the compiler in the driver, by number; a text that the driver writes goes to a bytearray."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call: the symbol in the library, the name in cuda-bindings, the kinds of its parameters."""

    symbol: str
    name: str
    parameters: tuple[str, ...]


def _call(symbol: str, parameters: str, name: str | None = None) -> Call:
    return Call(symbol, name or symbol.removesuffix("_v2"), tuple(parameters.split()))


# int uint ulong size byte short: numbers. device: CUdevice. address: CUdeviceptr. pointer: of the host. handle: of an
# object of the driver's. data, string: bytes. options: how many, which, their values. text: 256 characters that the
# driver writes, and their number in front of the other parameters in cuda-bindings.
_TABLE: Final = (
    _call("cuInit", "uint"),
    _call("cuDriverGetVersion", "*int"),
    _call("cuDeviceGetCount", "*int"),
    _call("cuDeviceGet", "*device int"),
    _call("cuDeviceGetName", "*text int device"),
    _call("cuDeviceGetUuid_v2", "*uuid device"),
    _call("cuDeviceTotalMem_v2", "*size device"),
    _call("cuDeviceGetAttribute", "*int attribute device"),
    _call("cuDeviceCanAccessPeer", "*int device device"),
    _call("cuDevicePrimaryCtxRetain", "*handle device"),
    _call("cuCtxSetCurrent", "handle"),
    _call("cuCtxGetCurrent", "*handle"),
    _call("cuCtxSynchronize", ""),
    _call("cuMemGetInfo_v2", "*size *size"),
    _call("cuPointerGetAttribute", "*int pointer_attribute address"),
    _call("cuMemAlloc_v2", "*address size"),
    _call("cuMemFree_v2", "address"),
    _call("cuMemHostAlloc", "*pointer size uint"),
    _call("cuMemFreeHost", "pointer"),
    _call("cuMemcpyHtoDAsync_v2", "address pointer size handle"),
    _call("cuMemcpyDtoHAsync_v2", "pointer address size handle"),
    _call("cuMemcpyAsync", "address address size handle"),
    _call("cuMemsetD8Async", "address byte size handle"),
    _call("cuMemsetD16Async", "address short size handle"),
    _call("cuMemsetD32Async", "address uint size handle"),
    _call("cuStreamCreateWithPriority", "*handle uint int"),
    _call("cuStreamDestroy_v2", "handle"),
    _call("cuStreamSynchronize", "handle"),
    _call("cuStreamQuery", "handle"),
    _call("cuEventCreate", "*handle uint"),
    _call("cuEventDestroy_v2", "handle"),
    _call("cuEventRecord", "handle handle"),
    _call("cuStreamWaitEvent", "handle handle uint"),
    _call("cuEventSynchronize", "handle"),
    _call("cuEventQuery", "handle"),
    _call("cuEventElapsedTime", "*float handle handle"),
    _call("cuLinkCreate_v2", "options *handle"),
    _call("cuLinkAddData_v2", "handle input data size string options"),
    _call("cuLinkComplete", "handle *pointer *size"),
    _call("cuLinkDestroy", "handle"),
    _call("cuModuleLoadDataEx", "*handle data options"),
    _call("cuModuleUnload", "handle"),
    _call("cuModuleGetFunction", "*handle handle string"),
    _call("cuFuncGetAttribute", "*int function_attribute handle"),
    _call("cuOccupancyMaxActiveBlocksPerMultiprocessor", "*int handle int size"),
    _call("cuFuncSetAttribute", "handle function_attribute int"),
    _call("cuLaunchKernel", "handle uint uint uint uint uint uint uint handle pointer pointer"),
    _call("cuStreamBeginCapture_v2", "handle capture_mode"),
    _call("cuStreamEndCapture", "handle *handle"),
    _call("cuStreamIsCapturing", "handle *capture_status"),
    _call("cuGraphInstantiateWithFlags", "*handle handle ulong", "cuGraphInstantiate"),
    _call("cuGraphLaunch", "handle handle"),
    _call("cuGraphExecDestroy", "handle"),
    _call("cuGraphDestroy", "handle"),
    _call("cuProfilerStart", ""),
    _call("cuProfilerStop", ""),
    _call("cuGetErrorName", "result *string"),
    _call("cuGetErrorString", "result *string"),
)
CALLS: Final = {call.name: call for call in _TABLE}
"""By the name in cuda-bindings."""

TEXT_BYTES: Final = 256
UUID_BYTES: Final = 16
