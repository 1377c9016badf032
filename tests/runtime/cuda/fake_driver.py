"""A CUDA driver that only notes what it is asked: as a library of C functions, and as the module of cuda-bindings.

The declarations are those of cuda.h (CUDA 12.0), but for the name of what `cuPointerGetAttribute` writes. What a call
writes is what `ANSWERS` says, else a handle that no other call was given.
"""

from __future__ import annotations

import ctypes
import enum
import itertools
import re
from types import SimpleNamespace
from typing import Any

DECLARATIONS = """
cuInit(unsigned int Flags)
cuDriverGetVersion(int* driverVersion)
cuDeviceGetCount(int* count)
cuDeviceGet(CUdevice* device, int ordinal)
cuDeviceGetName(char* name, int len, CUdevice dev)
cuDeviceGetUuid_v2(CUuuid* uuid, CUdevice dev)
cuDeviceTotalMem_v2(size_t* bytes, CUdevice dev)
cuDeviceGetAttribute(int* pi, CUdevice_attribute attrib, CUdevice dev)
cuDeviceCanAccessPeer(int* canAccessPeer, CUdevice dev, CUdevice peerDev)
cuDevicePrimaryCtxRetain(CUcontext* pctx, CUdevice dev)
cuCtxSetCurrent(CUcontext ctx)
cuCtxGetCurrent(CUcontext* pctx)
cuCtxSynchronize(void)
cuMemGetInfo_v2(size_t* free, size_t* total)
cuPointerGetAttribute(void* attributeData, CUpointer_attribute attribute, CUdeviceptr ptr)
cuMemAlloc_v2(CUdeviceptr* dptr, size_t bytesize)
cuMemFree_v2(CUdeviceptr dptr)
cuMemHostAlloc(void** pp, size_t bytesize, unsigned int Flags)
cuMemFreeHost(void* p)
cuMemcpyHtoDAsync_v2(CUdeviceptr dstDevice, const void* srcHost, size_t ByteCount, CUstream hStream)
cuMemcpyDtoHAsync_v2(void* dstHost, CUdeviceptr srcDevice, size_t ByteCount, CUstream hStream)
cuMemcpyAsync(CUdeviceptr dst, CUdeviceptr src, size_t ByteCount, CUstream hStream)
cuMemsetD8Async(CUdeviceptr dstDevice, unsigned char uc, size_t N, CUstream hStream)
cuMemsetD16Async(CUdeviceptr dstDevice, unsigned short us, size_t N, CUstream hStream)
cuMemsetD32Async(CUdeviceptr dstDevice, unsigned int ui, size_t N, CUstream hStream)
cuStreamCreateWithPriority(CUstream* phStream, unsigned int flags, int priority)
cuStreamDestroy_v2(CUstream hStream)
cuStreamSynchronize(CUstream hStream)
cuStreamQuery(CUstream hStream)
cuEventCreate(CUevent* phEvent, unsigned int Flags)
cuEventDestroy_v2(CUevent hEvent)
cuEventRecord(CUevent hEvent, CUstream hStream)
cuStreamWaitEvent(CUstream hStream, CUevent hEvent, unsigned int Flags)
cuEventSynchronize(CUevent hEvent)
cuEventQuery(CUevent hEvent)
cuEventElapsedTime(float* pMilliseconds, CUevent hStart, CUevent hEnd)
cuLinkCreate_v2(unsigned int numOptions, CUjit_option* options, void** optionValues, CUlinkState* stateOut)
cuLinkAddData_v2(CUlinkState state, CUjitInputType type, void* data, size_t size, const char* name, \
unsigned int numOptions, CUjit_option* options, void** optionValues)
cuLinkComplete(CUlinkState state, void** cubinOut, size_t* sizeOut)
cuLinkDestroy(CUlinkState state)
cuModuleLoadDataEx(CUmodule* module, const void* image, unsigned int numOptions, CUjit_option* options, \
void** optionValues)
cuModuleUnload(CUmodule hmod)
cuModuleGetFunction(CUfunction* hfunc, CUmodule hmod, const char* name)
cuFuncGetAttribute(int* pi, CUfunction_attribute attrib, CUfunction hfunc)
cuOccupancyMaxActiveBlocksPerMultiprocessor(int* numBlocks, CUfunction func, int blockSize, size_t dynamicSMemSize)
cuFuncSetAttribute(CUfunction hfunc, CUfunction_attribute attrib, int value)
cuLaunchKernel(CUfunction f, unsigned int gridDimX, unsigned int gridDimY, unsigned int gridDimZ, \
unsigned int blockDimX, unsigned int blockDimY, unsigned int blockDimZ, unsigned int sharedMemBytes, \
CUstream hStream, void** kernelParams, void** extra)
cuStreamBeginCapture_v2(CUstream hStream, CUstreamCaptureMode mode)
cuStreamEndCapture(CUstream hStream, CUgraph* phGraph)
cuStreamIsCapturing(CUstream hStream, CUstreamCaptureStatus* captureStatus)
cuGraphInstantiateWithFlags(CUgraphExec* phGraphExec, CUgraph hGraph, unsigned long long flags)
cuGraphLaunch(CUgraphExec hGraphExec, CUstream hStream)
cuGraphExecDestroy(CUgraphExec hGraphExec)
cuGraphDestroy(CUgraph hGraph)
cuProfilerStart(void)
cuProfilerStop(void)
cuGetErrorName(CUresult error, const char** pStr)
cuGetErrorString(CUresult error, const char** pStr)
"""

_DECLARATION = re.compile(r"(\w+)\((.*)\)")
_HANDLES = "CUcontext CUstream CUevent CUlinkState CUmodule CUfunction CUgraph CUgraphExec".split()
_ENUMERATIONS = (
    "CUdevice_attribute CUfunction_attribute CUpointer_attribute CUstreamCaptureMode CUjitInputType "
    "CUresult CUjit_option CUstreamCaptureStatus"
).split()
_NUMBERS: dict[str, Any] = {
    "unsigned int": ctypes.c_uint,
    "unsigned long long": ctypes.c_ulonglong,
    "unsigned char": ctypes.c_ubyte,
    "unsigned short": ctypes.c_ushort,
    "int": ctypes.c_int,
    "float": ctypes.c_float,
    "size_t": ctypes.c_size_t,
    "CUdevice": ctypes.c_int,
    "CUdeviceptr": ctypes.c_uint64,
    **dict.fromkeys(_HANDLES, ctypes.c_void_p),
    **dict.fromkeys(_ENUMERATIONS, ctypes.c_int),
}
_INPUT_POINTERS = ("optionValues", "options", "kernelParams", "extra", "data", "p", "dstHost")


def declarations() -> dict[str, list[tuple[str, str]]]:
    """Of each symbol, the C types and names of its parameters."""
    found = {}
    for line in DECLARATIONS.strip().splitlines():
        match = _DECLARATION.fullmatch(line)
        assert match is not None, line
        parameters = [] if match[2] == "void" else [each.rpartition(" ") for each in match[2].split(", ")]
        found[match[1]] = [(kind, name) for kind, _, name in parameters]
    return found


def is_output(kind: str, name: str) -> bool:
    """Whether the driver writes what the parameter points to."""
    return kind == "const char**" or (kind.endswith("*") and "const" not in kind and name not in _INPUT_POINTERS)


def name_of(symbol: str) -> str:
    """What cuda-bindings calls a function."""
    return {"cuGraphInstantiateWithFlags": "cuGraphInstantiate"}.get(symbol, symbol.removesuffix("_v2"))


_WITH_OUTPUT = {name_of(s) for s, parameters in declarations().items() if any(is_output(*p) for p in parameters)}
ANSWERS: dict[str, tuple[Any, ...]] = {
    "cuDriverGetVersion": (12040,),
    "cuDeviceGetCount": (2,),
    "cuDeviceGet": (7,),
    "cuDeviceGetName": (b"Fake GPU",),
    "cuDeviceGetUuid": (bytes(range(16)),),
    "cuDeviceTotalMem": (80 << 30,),
    "cuDeviceCanAccessPeer": (1,),
    "cuMemGetInfo": (5, 9),
    "cuStreamIsCapturing": (2,),
    "cuPointerGetAttribute": (2,),
    "cuEventElapsedTime": (1.5,),
}
ATTRIBUTES = {75: 9, 76: 0, 16: 132, 97: 232448}
ERRORS = {2: (b"CUDA_ERROR_OUT_OF_MEMORY", b"out of memory"), 700: (b"CUDA_ERROR_ILLEGAL_ADDRESS", b"illegal access")}
CUBIN = b"cubin\0code"


class FakeDriver:
    """Notes calls by cuda-bindings' names, with what goes in."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.statuses: dict[str, int] = {}
        """Calls that fail, and how."""
        self.log = b""
        """What the driver's compiler says."""
        self.words = 3
        """Parameters of kernels."""
        self.handles = itertools.count(0x1000)
        self._cubin = ctypes.create_string_buffer(CUBIN, len(CUBIN))
        self._kept: list[Any] = []

    def answer(self, name: str, values: list[Any]) -> tuple[int, tuple[Any, ...]]:
        """The status and what is written."""
        if name in ("cuGetErrorName", "cuGetErrorString"):
            texts = ERRORS.get(values[0])
            return (1, (None,)) if texts is None else (0, (texts[name == "cuGetErrorString"],))
        for number, value in enumerate(values):
            if isinstance(value, dict):
                if 5 in value and self.log:
                    value[5][: len(self.log)] = self.log
                values[number] = {
                    key: len(each) if isinstance(each, bytearray) else each for key, each in value.items()
                }
        if name == "cuLaunchKernel":  # the words must be read while the call lasts
            pointers = ctypes.cast(values[9], ctypes.POINTER(ctypes.c_void_p))
            values[9] = tuple(ctypes.c_int64.from_address(pointers[i] or 0).value for i in range(self.words))
        self.calls.append((name, *values))
        if name in self.statuses:
            return self.statuses[name], (None, None)
        if name == "cuDeviceGetAttribute":
            return 0, (ATTRIBUTES.get(values[0], 10 * values[0]),)
        if name == "cuLinkComplete":
            return 0, (ctypes.addressof(self._cubin), len(CUBIN))
        if name in ANSWERS:
            return 0, ANSWERS[name]
        return 0, (next(self.handles),) if name in _WITH_OUTPUT else ()

    # ---- as a library

    def library(self) -> SimpleNamespace:
        """C functions by their symbols."""
        return SimpleNamespace(**{symbol: self._c_function(symbol, each) for symbol, each in declarations().items()})

    def _c_function(self, symbol: str, parameters: list[tuple[str, str]]) -> Any:
        types = [_NUMBERS.get(kind, ctypes.c_void_p) for kind, _ in parameters]
        name = name_of(symbol)

        def called(*arguments: Any) -> int:
            values: list[Any] = []
            places: list[tuple[str, Any]] = []
            for (kind, parameter), argument in zip(parameters, arguments):
                if is_output(kind, parameter):
                    places.append((kind, argument))
                elif parameter in ("data", "image") or kind == "const char*":
                    values.append(ctypes.string_at(argument))
                elif parameter == "optionValues":
                    values[-2:] = [_options(values[-2], values[-1], argument)]
                else:
                    values.append(argument or 0)
            status, answers = self.answer(name, values)
            if status == 0:
                for (kind, place), answer in zip(places, answers):
                    self._write(kind, place, answer)
            return status

        function = ctypes.CFUNCTYPE(ctypes.c_int, *types)(called)
        self._kept.append(function)
        return function

    def _write(self, kind: str, place: int, answer: Any) -> None:
        if kind in ("char*", "CUuuid*"):
            ctypes.memmove(place, answer, len(answer))
        elif kind == "const char**":
            text = ctypes.create_string_buffer(answer)
            self._kept.append(text)
            ctypes.c_void_p.from_address(place).value = ctypes.addressof(text)
        else:
            _NUMBERS.get(kind[:-1], ctypes.c_void_p).from_address(place).value = answer

    # ---- as the module cuda.bindings.driver

    def bindings(self) -> SimpleNamespace:
        """Functions and enumerations by the package's names."""
        functions = {}
        for symbol, parameters in declarations().items():
            functions[name_of(symbol)] = self._python_function(name_of(symbol), parameters)
        return SimpleNamespace(**functions, **_TYPES)

    def _python_function(self, name: str, parameters: list[tuple[str, str]]) -> Any:
        incoming = [(kind, parameter) for kind, parameter in parameters if not is_output(kind, parameter)]
        outgoing = [kind for kind, parameter in parameters if is_output(kind, parameter)]

        def called(*arguments: Any) -> tuple[Any, ...]:
            assert len(arguments) == len(incoming), f"{name} takes {len(incoming)} arguments"
            values: list[Any] = []
            for (kind, parameter), argument in zip(incoming, arguments):
                if kind in _TYPES:
                    assert isinstance(argument, _TYPES[kind]), f"{name}: {parameter} is no {kind}"
                if parameter == "optionValues":
                    count, options = values[-2:]
                    assert count == len(options) == len(argument)
                    assert all(isinstance(each, _TYPES["CUjit_option"]) for each in options)
                    values[-2:] = [{int(key): value for key, value in zip(options, argument)}]
                elif isinstance(argument, bytes):
                    values.append(argument.rstrip(b"\0"))
                else:
                    values.append(argument)
            status, answers = self.answer(name, values)
            wrapped = (None if status else _wrapped(kind, answer) for kind, answer in zip(outgoing, answers))
            return _TYPES["CUresult"](status), *wrapped

        return called


class _Number:
    """A handle as the package has it."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __int__(self) -> int:
        return self.value


def _wrapped(kind: str, answer: Any) -> Any:
    if kind == "CUuuid*":
        return SimpleNamespace(bytes=answer)
    if kind == "char*":
        return answer + bytes(256 - len(answer))
    return _Number(answer) if kind.startswith("CU") else answer


class _CUresult(enum.IntEnum):
    CUDA_SUCCESS = 0
    CUDA_ERROR_INVALID_VALUE = 1
    CUDA_ERROR_OUT_OF_MEMORY = 2
    CUDA_ERROR_NO_DEVICE = 100
    CUDA_ERROR_NO_BINARY_FOR_GPU = 209
    CUDA_ERROR_INVALID_PTX = 218
    CUDA_ERROR_UNSUPPORTED_PTX_VERSION = 222
    CUDA_ERROR_NOT_READY = 600
    CUDA_ERROR_ILLEGAL_ADDRESS = 700


_TYPES: dict[str, Any] = {
    "CUresult": _CUresult,
    "CUdevice_attribute": enum.IntEnum("CUdevice_attribute", [(f"A{i}", i) for i in range(1, 150)]),
    "CUfunction_attribute": enum.IntEnum("CUfunction_attribute", [(f"A{i}", i) for i in range(10)]),
    "CUpointer_attribute": enum.IntEnum("CUpointer_attribute", [(f"A{i}", i) for i in range(1, 20)]),
    "CUstreamCaptureMode": enum.IntEnum("CUstreamCaptureMode", [("GLOBAL", 0), ("THREAD_LOCAL", 1), ("RELAXED", 2)]),
    "CUjitInputType": enum.IntEnum("CUjitInputType", [("CUBIN", 0), ("PTX", 1)]),
    "CUjit_option": enum.IntEnum("CUjit_option", [(f"O{i}", i) for i in range(10)]),
}


def _options(count: int, numbers: int, words: int) -> dict[int, int | bytearray]:
    """What the compiler's options say; texts to be written as the buffers that they are."""
    if not count:
        return {}
    keys = (ctypes.c_int * count).from_address(numbers)
    values = (ctypes.c_void_p * count).from_address(words)
    found: dict[int, Any] = dict(zip(keys, values))
    if 5 in found:
        found[5] = _Text(found[5], found[6])
    return found


class _Text(bytearray):
    """A text that lies at an address."""

    def __init__(self, address: int, nbytes: int) -> None:
        super().__init__(nbytes)
        self._place = (ctypes.c_char * nbytes).from_address(address)

    def __setitem__(self, where: Any, value: Any) -> None:
        self._place[where] = value
