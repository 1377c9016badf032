"""The CUDA driver by its calls, however they are reached.

Level: implements `graphc.runtime.cuda.driver.Driver`. In: functions of `calls`. Out: the driver; a call that fails is a
CudaError with the call's name and the driver's own words. A kernel's fault is found by some later call, so that error
also names the kernels that were launched last.
"""

from __future__ import annotations

import ctypes
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Final

from graphc.ir.errors import MemoryExceeded
from graphc.kernel.gpu import CAPABILITIES, GpuTarget
from graphc.runtime.cuda.calls import TEXT_BYTES, Function
from graphc.runtime.cuda.driver import CudaError, DeviceProperties, Image, KernelUsage
from graphc.runtime.cuda.pinned import Stretches

LOG_BYTES: Final = 8192
RECENT: Final = 4
"""Kernels that an error names."""

# Numbers of cuda.h.
OUT_OF_MEMORY: Final = 2
NO_DEVICE: Final = 100
NOT_READY: Final = 600
_TAKEN_FROM: Final = {88: 13000, 100: 12080, 103: 12090, 110: 13000, 120: 12080, 121: 12090}
"""Of capabilities, the CUDA version whose drivers are the first to take their PTX; that of the others all take."""
_OWN_TAKEN_FROM: Final = 12000
"""The same of PTX for a generation alone, `sm_90a`."""
_WAYS_OUT: Final = {
    34: "the library is the stub that programs are linked with, not the driver's: take its folder (.../stubs) out of "
    "LD_LIBRARY_PATH",
    46: "another process has the GPU for itself: nvidia-smi shows its compute mode",
    221: "the driver's compiler, libnvidia-ptxjitcompiler, is not installed beside its library",
    222: "the code needs a newer NVIDIA driver: update it",
    803: "the driver's library and its kernel module are of different versions: restart the machine",
    804: "the driver is older than its library, which forward compatibility covers on some GPUs only: update it",
}
"""By status, what the user can do about it."""
# What the device itself reports, for work that was launched before.
_DEVICE_FAULTS: Final = frozenset({214, 220, 226, 700, 702, 709, 710, 714, 715, 716, 717, 718, 719})
_MULTIPROCESSORS: Final = 16
_CLOCK: Final = 13
_INTEGRATED: Final = 18
_PCI_BUS: Final = 33
_PCI_DEVICE: Final = 34
_MEMORY_CLOCK: Final = 36
_BUS_BITS: Final = 37
_L2_BYTES: Final = 38
_THREADS_PER_MULTIPROCESSOR: Final = 39
_PCI_DOMAIN: Final = 50
_CAPABILITY_MAJOR: Final = 75
_CAPABILITY_MINOR: Final = 76
_SHARED_PER_MULTIPROCESSOR: Final = 81
_REGISTERS_PER_MULTIPROCESSOR: Final = 82
_SHARED_PER_BLOCK: Final = 97
_HOST_PORTABLE: Final = 1
"""Pinned for every device."""
_STREAM_NON_BLOCKING: Final = 1
_EVENT_BLOCKING_SYNC: Final = 1
_EVENT_DISABLE_TIMING: Final = 2
_CAPTURE_RELAXED: Final = 2
_SHARED_BYTES: Final = 1
_LOCAL_BYTES: Final = 3
_REGISTERS: Final = 4
_DYNAMIC_SHARED_BYTES: Final = 8
_OF_POINTERS: Final = (2, 9)
"""What can be asked of an address: the kind of memory, and the device."""
_DEVICE_MEMORY: Final = 2
_INPUT_PTX: Final = 1
_ERROR_LOG: Final = 5
_ERROR_LOG_BYTES: Final = 6


class _Words:
    """The parameters of a launch: words, and the table of pointers to each that the driver wants."""

    __slots__ = ("address", "pointers", "values")

    def __init__(self, count: int) -> None:
        self.values = (ctypes.c_int64 * count)()
        start = ctypes.addressof(self.values)
        self.pointers = (ctypes.c_void_p * count)(*range(start, start + 8 * count, 8))
        self.address = ctypes.addressof(self.pointers)


class _Thread(threading.local):
    def __init__(self) -> None:
        self.device: int | None = None
        self.words: dict[int, _Words] = {}
        """By how many there are; the driver has read them when a launch returns."""


class NativeDriver:
    """The driver; see `graphc.runtime.cuda.driver.Driver` for what the calls do."""

    needs_code = True

    def __init__(self, name: str, functions: Mapping[str, Function]) -> None:
        self.name = name
        self._functions = functions
        self._thread = _Thread()
        self._lock = threading.Lock()
        self._is_started = False
        self._is_alone = False
        """Whether there is one device, whose context is the one that every library here makes current."""
        self._devices: dict[int, int] = {}
        self._contexts: dict[int, int] = {}
        self._properties: dict[int, DeviceProperties] = {}
        self._targets: dict[int, GpuTarget] = {}
        self._names: dict[int, str] = {}
        """Of functions."""
        self._pinned = Stretches()
        self._recent: deque[int] = deque(maxlen=RECENT)
        self._launch = functions["cuLaunchKernel"]
        self._capture = threading.RLock()
        """Held while a stream notes what it gets: a wait for all streams meanwhile, of another thread, is an error."""

    def version(self) -> int:
        return int(self._one("cuDriverGetVersion"))

    def device_count(self) -> int:
        if not self._is_started:
            status = self._functions["cuInit"](0)[0]
            if status == NO_DEVICE:
                return 0
            if status:
                raise self._failure("cuInit", status)
            self._is_started = True
        count = int(self._one("cuDeviceGetCount"))
        self._is_alone = count == 1
        return count

    def properties(self, device: int) -> DeviceProperties:
        found = self._properties.get(device)
        if found is None:
            handle = self._device(device)
            uuid = self._one("cuDeviceGetUuid", handle).hex()
            found = self._properties[device] = DeviceProperties(
                name=self._one("cuDeviceGetName", TEXT_BYTES, handle).decode(errors="replace"),
                capability=(self._attribute(handle, _CAPABILITY_MAJOR), self._attribute(handle, _CAPABILITY_MINOR)),
                total_memory=self._one("cuDeviceTotalMem", handle),
                multiprocessors=self._attribute(handle, _MULTIPROCESSORS),
                threads_per_multiprocessor=self._attribute(handle, _THREADS_PER_MULTIPROCESSOR),
                registers_per_multiprocessor=self._attribute(handle, _REGISTERS_PER_MULTIPROCESSOR),
                shared_bytes_per_multiprocessor=self._attribute(handle, _SHARED_PER_MULTIPROCESSOR),
                shared_bytes_per_block=self._attribute(handle, _SHARED_PER_BLOCK),
                l2_bytes=self._attribute(handle, _L2_BYTES),
                clock_khz=self._attribute(handle, _CLOCK),
                memory_clock_khz=self._attribute(handle, _MEMORY_CLOCK),
                memory_bus_bits=self._attribute(handle, _BUS_BITS),
                is_integrated=bool(self._attribute(handle, _INTEGRATED)),
                uuid="-".join((uuid[:8], uuid[8:12], uuid[12:16], uuid[16:20], uuid[20:])),
                pci=(
                    self._attribute(handle, _PCI_BUS),
                    self._attribute(handle, _PCI_DEVICE),
                    self._attribute(handle, _PCI_DOMAIN),
                ),
            )
        return found

    def target(self, device: int) -> GpuTarget:
        found = self._targets.get(device)
        if found is None:
            found = self._targets[device] = self._find_target(self.properties(device))
        return found

    def can_access_peer(self, device: int, peer: int) -> bool:
        return bool(self._one("cuDeviceCanAccessPeer", self._device(device), self._device(peer)))

    def activate(self, device: int) -> None:
        # With several devices the thread's context may be another one by now: other libraries set it, too.
        if self._thread.device == device and self._is_alone:
            return
        context = self._contexts.get(device)
        if context is None:
            with self._lock:
                context = self._contexts.get(device)
                if context is None:
                    context = self._contexts[device] = self._one("cuDevicePrimaryCtxRetain", self._device(device))
        self._do("cuCtxSetCurrent", context)
        self._thread.device = device

    def current(self) -> int:
        return int(self._one("cuCtxGetCurrent"))

    def restore(self, context: int) -> None:
        self._do("cuCtxSetCurrent", context)
        own = (device for device, each in self._contexts.items() if each == context)
        self._thread.device = next(own, None)

    def memory_info(self) -> tuple[int, int]:
        free, total = self._many("cuMemGetInfo")
        return int(free), int(total)

    def device_of(self, address: int) -> int | None:
        # An address that the driver doesn't know is refused; the host's own that it knows have another kind.
        kind, ordinal = (self._functions["cuPointerGetAttribute"](each, address) for each in _OF_POINTERS)
        return int(ordinal[1]) if kind[0] == 0 and kind[1] == _DEVICE_MEMORY and ordinal[0] == 0 else None

    def allocate(self, nbytes: int) -> int:
        return int(self._one("cuMemAlloc", nbytes))

    def free(self, address: int) -> None:
        self._do("cuMemFree", address)

    def allocate_pinned(self, nbytes: int) -> int:
        address = int(self._one("cuMemHostAlloc", nbytes, _HOST_PORTABLE))
        self._pinned.add(address, nbytes)
        return address

    def free_pinned(self, address: int) -> None:
        self._do("cuMemFreeHost", address)
        self._pinned.remove(address)

    def is_pinned(self, address: int) -> bool:
        return address in self._pinned

    def copy_to_device(self, target: int, source: int, nbytes: int, stream: int) -> None:
        self._do("cuMemcpyHtoDAsync", target, source, nbytes, stream)

    def copy_to_host(self, target: int, source: int, nbytes: int, stream: int) -> None:
        self._do("cuMemcpyDtoHAsync", target, source, nbytes, stream)

    def copy_on_device(self, target: int, source: int, nbytes: int, stream: int) -> None:
        self._do("cuMemcpyAsync", target, source, nbytes, stream)

    def fill(self, target: int, pattern: int, width: int, count: int, stream: int) -> None:
        self._do(f"cuMemsetD{8 * width}Async", target, pattern, count, stream)

    def synchronize(self) -> None:
        with self._capture:
            self._do("cuCtxSynchronize")

    def create_stream(self, priority: int = 0) -> int:
        return int(self._one("cuStreamCreateWithPriority", _STREAM_NON_BLOCKING, priority))

    def destroy_stream(self, stream: int) -> None:
        self._do("cuStreamDestroy", stream)

    def synchronize_stream(self, stream: int) -> None:
        self._do("cuStreamSynchronize", stream)

    def is_stream_idle(self, stream: int) -> bool:
        return self._is_done("cuStreamQuery", stream)

    def create_event(self, has_time: bool, is_blocking: bool = False) -> int:
        flags = (0 if has_time else _EVENT_DISABLE_TIMING) | (_EVENT_BLOCKING_SYNC if is_blocking else 0)
        return int(self._one("cuEventCreate", flags))

    def destroy_event(self, event: int) -> None:
        self._do("cuEventDestroy", event)

    def record_event(self, event: int, stream: int) -> None:
        self._do("cuEventRecord", event, stream)

    def wait_for_event(self, stream: int, event: int) -> None:
        self._do("cuStreamWaitEvent", stream, event, 0)

    def synchronize_event(self, event: int) -> None:
        self._do("cuEventSynchronize", event)

    def is_event_done(self, event: int) -> bool:
        return self._is_done("cuEventQuery", event)

    def elapsed(self, start: int, end: int) -> float:
        return float(self._one("cuEventElapsedTime", start, end))

    def compile(self, image: Image) -> bytes:
        try:
            return self._linked(image)
        except CudaError as error:
            complaint = self._complaint(image)
            if complaint is None:
                return b""
            error.hint = complaint.hint or error.hint
            raise

    def _linked(self, image: Image) -> bytes:
        # Without a log: the driver writes its length to the options' values until the state is destroyed.
        state = self._one("cuLinkCreate", {})
        try:
            ptx = image.ptx.encode() + b"\0"
            name = image.name.encode() + b"\0"
            self._compile("cuLinkAddData", image, b"", state, _INPUT_PTX, ptx, len(ptx), name, {})
            address, nbytes = self._compile("cuLinkComplete", image, b"", state)
            return ctypes.string_at(address, nbytes)
        finally:
            self._functions["cuLinkDestroy"](state)

    def _complaint(self, image: Image) -> CudaError | None:
        """What the driver's compiler says of PTX that its linker does not take; None where it can be loaded.

        The linker goes by the context's capability, and might not take PTX for that generation alone (`sm_90a`).
        """
        try:
            module = self.load(Image(image.name, image.ptx, image.kernel))
            try:  # drivers that load lazily may look at the code only now
                self._one("cuModuleGetFunction", module, image.name.encode() + b"\0")
            finally:
                self.unload(module)
        except CudaError as error:
            return error
        return None

    def load(self, image: Image) -> int:
        log = bytearray(LOG_BYTES)
        code = image.cubin or image.ptx.encode() + b"\0"
        options = {_ERROR_LOG: log, _ERROR_LOG_BYTES: LOG_BYTES}
        return int(self._compile("cuModuleLoadDataEx", image, log, code, options)[0])

    def unload(self, module: int) -> None:
        self._do("cuModuleUnload", module)

    def function(self, module: int, name: str) -> int:
        function = int(self._one("cuModuleGetFunction", module, name.encode() + b"\0"))
        self._names[function] = name
        return function

    def usage(self, function: int, threads: int, shared_bytes: int) -> KernelUsage:
        attributes = (_REGISTERS, _LOCAL_BYTES, _SHARED_BYTES)
        registers, local, shared = (int(self._one("cuFuncGetAttribute", each, function)) for each in attributes)
        blocks = int(self._one("cuOccupancyMaxActiveBlocksPerMultiprocessor", function, threads, shared_bytes))
        return KernelUsage(registers, local, shared, blocks)

    def allow_shared(self, function: int, nbytes: int) -> None:
        self._do("cuFuncSetAttribute", function, _DYNAMIC_SHARED_BYTES, nbytes)

    def launch(
        self, function: int, blocks: int, threads: int, shared_bytes: int, stream: int, words: Sequence[int]
    ) -> None:
        kept = self._thread.words
        place = kept.get(len(words))
        if place is None:
            place = kept[len(words)] = _Words(len(words))
        place.values[:] = words  # type: ignore[call-overload]  # any sequence will do
        self._recent.append(function)
        status = self._launch(function, blocks, 1, 1, threads, 1, 1, shared_bytes, stream, place.address, 0)[0]
        if status:
            raise self._failure("cuLaunchKernel", status, self._names.get(function))

    def begin_capture(self, stream: int) -> None:
        self._capture.acquire()
        try:
            self._do("cuStreamBeginCapture", stream, _CAPTURE_RELAXED)
        except BaseException:
            self._capture.release()
            raise

    def end_capture(self, stream: int) -> int:
        try:
            graph = self._one("cuStreamEndCapture", stream)
        finally:
            self._capture.release()
        try:
            return int(self._one("cuGraphInstantiate", graph, 0))
        finally:
            self._do("cuGraphDestroy", graph)

    def is_stream_capturing(self, stream: int) -> bool:
        return bool(self._one("cuStreamIsCapturing", stream))

    def launch_graph(self, graph: int, stream: int) -> None:
        self._do("cuGraphLaunch", graph, stream)

    def destroy_graph(self, graph: int) -> None:
        self._do("cuGraphExecDestroy", graph)

    def start_profiler(self) -> None:
        self._do("cuProfilerStart")

    def stop_profiler(self) -> None:
        self._do("cuProfilerStop")

    # ---- how it is done

    def _do(self, call: str, *values: Any) -> None:
        status = self._functions[call](*values)[0]
        if status:
            raise self._failure(call, status)

    def _one(self, call: str, *values: Any) -> Any:
        return self._many(call, *values)[0]

    def _many(self, call: str, *values: Any) -> tuple[Any, ...]:
        status, *found = self._functions[call](*values)
        if status:
            raise self._failure(call, status)
        return tuple(found)

    def _is_done(self, call: str, handle: int) -> bool:
        status = self._functions[call](handle)[0]
        if status not in (0, NOT_READY):
            raise self._failure(call, status)
        return bool(status == 0)

    def _compile(self, call: str, image: Image, log: bytes | bytearray, *values: Any) -> tuple[Any, ...]:
        status, *found = self._functions[call](*values)
        if status:
            failure = self._failure(call, status, image.name)
            said = bytes(log).partition(b"\0")[0].decode(errors="replace").strip()
            if said:
                failure.hint = "; ".join(filter(None, (failure.hint, f"the driver's compiler says: {said}")))
            raise failure
        return tuple(found)

    def _device(self, device: int) -> int:
        handle = self._devices.get(device)
        if handle is None:
            self.device_count()
            handle = self._devices[device] = self._one("cuDeviceGet", device)
        return handle

    def _attribute(self, handle: int, attribute: int) -> int:
        """An attribute's number; 0 where the driver doesn't know it."""
        status, *found = self._functions["cuDeviceGetAttribute"](attribute, handle)
        return 0 if status else int(found[0])

    def _find_target(self, properties: DeviceProperties) -> GpuTarget:
        """The newest one whose code the GPU runs and the driver takes: PTX for an older GPU runs on a newer one."""
        (major, minor), version = properties.capability, self.version()
        known = [each for each in CAPABILITIES if each <= 10 * major + minor and version >= _TAKEN_FROM.get(each, 0)]
        if not known:
            raise CudaError(
                f"{properties.name} has compute capability {major}.{minor}, and graphc needs "
                f"{CAPABILITIES[0] // 10}.{CAPABILITIES[0] % 10} or newer",
                hint="CUDA_VISIBLE_DEVICES chooses another GPU",
            )
        # What a generation has for itself alone is not on its successors.
        is_own = known[-1] == 10 * major + minor
        return GpuTarget(known[-1], allow_warpgroups=is_own and version >= _OWN_TAKEN_FROM)

    def _failure(self, call: str, status: int, kernel: str | None = None) -> CudaError | MemoryExceeded:
        name, text = (self._said(function, status) for function in ("cuGetErrorName", "cuGetErrorString"))
        of = f" of kernel {kernel}" if kernel else ""
        message = f"CUDA error: {text or 'unknown error'} ({name or f'error {status}'} in {call}{of})"
        if status == OUT_OF_MEMORY:
            return MemoryExceeded(message, hint="free what is no longer needed")
        hint = _WAYS_OUT.get(status)
        if status in _DEVICE_FAULTS:
            recent = ", ".join(self._names.get(function, "?") for function in reversed(self._recent))
            hint = (
                f"launched last: {recent or 'nothing'}; with CUDA_LAUNCH_BLOCKING=1 in the environment the launch of "
                "the kernel that failed raises the error"
            )
        return CudaError(message, hint=hint)

    def _said(self, function: str, status: int) -> str:
        """The driver's name of a status, or its description; an empty text where it has none."""
        try:
            unknown, found = self._functions[function](status)
        except ValueError:  # cuda-bindings knows only the statuses of its own version
            return ""
        return "" if unknown or not found else found.decode(errors="replace")
