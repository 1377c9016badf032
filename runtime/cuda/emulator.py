"""A CUDA driver without a GPU: memory of the host stands for memory of devices, and the interpreter runs the kernels.

Level: one of the three implementations of `graphc.runtime.cuda.driver`. In: the driver's calls. Out: what a GPU would
leave in memory, at once. GRAPHC_CUDA_DRIVER=emulator chooses it; "emulator:2:sm_90:512MiB" has two devices of that kind
with so much memory each.

Addresses of devices are those of a mapping that nobody may touch, where the system has such: host code that reads or
writes an array of a device ends with a fault, as it would with a GPU. The elements lie in a second mapping, a fixed
distance away. Reads and writes of memory that is not allocated, or that is another device's, raise CudaError.
"""

from __future__ import annotations

import bisect
import ctypes
import itertools
import mmap
import re
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from graphc.ir.dim import evaluate
from graphc.ir.errors import ArgumentError, GraphcError, MemoryExceeded
from graphc.kernel.gpu import STATIC_SHARED_BYTES, GpuTarget, Grid, grid_of, parse_target
from graphc.kernel.interpret import run_kernel
from graphc.kernel.ir import Kernel
from graphc.kernel.parse import parse_kernel
from graphc.runtime.cuda.driver import CudaError, DeviceProperties, Image
from graphc.runtime.cuda.noted import Command, Notes
from graphc.runtime.cuda.pinned import Stretches

Bytes: TypeAlias = npt.NDArray[np.uint8]

ALIGNMENT: Final = 256
ADDRESS_ALIGNMENT: Final = 16
"""Of buffers that kernels are given: they read and write so many bytes at once."""
_OPTION: Final = re.compile(r"(?P<count>[1-9]\d?)|(?P<target>sm_\d+)|(?P<size>\d+)MiB|(?P<late>late)")


@dataclass(frozen=True, slots=True)
class Options:
    """What is emulated."""

    devices: int = 1
    target: GpuTarget = field(default_factory=lambda: GpuTarget(80))
    memory_bytes: int = 1 << 30
    is_late: bool = False
    """Whether work is done when somebody waits for it; see `graphc.runtime.cuda.late`."""


def parse_options(text: str) -> Options:
    """What stands behind "emulator:"; raises ArgumentError for what is no option."""
    options = Options()
    for part in filter(None, text.split(":")):
        match = _OPTION.fullmatch(part)
        if match is None:
            raise ArgumentError(
                f"the CUDA emulator has no option {part!r}",
                hint='as in "emulator:2:sm_90:512MiB:late": devices, their kind, memory of each, when work is done',
            )
        devices = int(match["count"] or options.devices)
        target = parse_target(match["target"]) if match["target"] else options.target
        size = int(match["size"]) << 20 if match["size"] else options.memory_bytes
        options = Options(devices, target, size, options.is_late or match["late"] is not None)
    return options


class _DeviceMemory:
    """The memory of one device, first fit."""

    def __init__(self, nbytes: int) -> None:
        self.nbytes = nbytes
        if hasattr(mmap, "MAP_PRIVATE"):
            flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0)
            mirror = mmap.mmap(-1, nbytes, flags=flags)
            untouchable = mmap.mmap(-1, nbytes, flags=flags, prot=0)
        else:  # Windows: memory that anyone may touch
            mirror = untouchable = mmap.mmap(-1, nbytes)
        self.mirror: Bytes = np.frombuffer(mirror, np.uint8)
        self.start: int = np.frombuffer(untouchable, np.uint8).__array_interface__["data"][0]
        self._kept = untouchable
        self.allocated: dict[int, int] = {}
        """Address to size."""
        self._starts: list[int] = []

    @property
    def used(self) -> int:
        """Bytes that are allocated."""
        return sum(map(_aligned, self.allocated.values()))

    def allocate(self, nbytes: int) -> int | None:
        """An address, or None where no gap is large enough."""
        at = self.start
        for start in self._starts:
            if start - at >= _aligned(nbytes):
                break
            at = start + _aligned(self.allocated[start])
        if self.start + self.nbytes - at < _aligned(nbytes):
            return None
        bisect.insort(self._starts, at)
        self.allocated[at] = nbytes
        return at

    def free(self, address: int) -> bool:
        """Whether memory was allocated there, which now is no more."""
        if self.allocated.pop(address, None) is None:
            return False
        self._starts.remove(address)
        return True

    def piece(self, address: int, nbytes: int) -> Bytes | None:
        """The bytes, if all are in one allocation."""
        number = bisect.bisect_right(self._starts, address) - 1
        if number < 0:
            return None
        start = self._starts[number]
        if address + nbytes > start + self.allocated[start]:
            return None
        offset = address - self.start
        return self.mirror[offset : offset + nbytes]


@dataclass(frozen=True, slots=True, eq=False)
class _Function:
    kernel: Kernel
    grid: Grid
    allowed: list[int]
    """The shared memory that its blocks may have."""


class _Thread(threading.local):
    device: int | None = None


class Emulator:
    """The driver; see `graphc.runtime.cuda.driver.Driver` for what the calls do."""

    name = "emulator"
    needs_code = False

    def __init__(self, options: Options) -> None:
        self.options = options
        self._memories = [_DeviceMemory(options.memory_bytes) for _ in range(options.devices)]
        self._lock = threading.RLock()
        self._thread = _Thread()
        self._handles = itertools.count(1)
        self._pinned: dict[int, Bytes] = {}
        self._stretches = Stretches()
        self._streams: dict[int, Notes | None] = {0: None}
        """Where a stream notes what it gets, while it does that."""
        self._noted_events: dict[int, tuple[Notes, Counter[int]]] = {}
        """Events that were recorded last where a stream notes, and what they stand behind."""
        self._events: dict[int, float | None] = {}
        self._recorded: set[int] = set()
        """Those that were recorded elsewhere."""
        self._homes: dict[int, int] = {}
        """The devices that streams, events, modules, functions and graphs were made for."""
        self._modules: dict[int, Kernel] = {}
        self._functions: dict[int, _Function] = {}
        self._graphs: dict[int, tuple[Command, ...]] = {}
        self.launches = 0
        """Kernels that were run."""
        self.bytes_to_device = 0
        """Bytes that were copied from the host's memory to devices."""
        self.bytes_to_host = 0
        """Bytes that were copied from devices to the host's memory."""

    def version(self) -> int:
        return 12000

    def device_count(self) -> int:
        return self.options.devices

    def properties(self, device: int) -> DeviceProperties:
        self._check_device("cuDeviceGetName", device)
        target = self.options.target
        return DeviceProperties(
            name=f"graphc emulator of {target.processor}",
            capability=divmod(target.capability, 10),
            total_memory=self.options.memory_bytes,
            multiprocessors=4,
            threads_per_multiprocessor=2048,
            registers_per_multiprocessor=65536,
            shared_bytes_per_multiprocessor=target.most_shared_bytes + 1024,
            shared_bytes_per_block=target.most_shared_bytes,
            l2_bytes=4 << 20,
            clock_khz=1_000_000,
            memory_clock_khz=1_000_000,
            memory_bus_bits=256,
            is_integrated=True,
            uuid=f"00000000-0000-0000-0000-{device:012d}",
            pci=(0, device, 0),
        )

    def target(self, device: int) -> GpuTarget:
        self._check_device("cuDeviceGetAttribute", device)
        return self.options.target

    def can_access_peer(self, device: int, peer: int) -> bool:
        self._check_device("cuDeviceCanAccessPeer", device)
        self._check_device("cuDeviceCanAccessPeer", peer)
        return False

    def activate(self, device: int) -> None:
        if device != self._thread.device:
            self._check_device("cuDevicePrimaryCtxRetain", device)
            self._thread.device = device

    def current(self) -> int:
        return 0 if self._thread.device is None else self._thread.device + 1

    def restore(self, context: int) -> None:
        self._thread.device = context - 1 if context else None

    def memory_info(self) -> tuple[int, int]:
        memory = self._memory("cuMemGetInfo")
        with self._lock:
            return memory.nbytes - memory.used, memory.nbytes

    def device_of(self, address: int) -> int | None:
        self._memory("cuPointerGetAttribute")
        found = (number for number, memory in enumerate(self._memories) if memory.piece(address, 1) is not None)
        return next(found, None)

    def allocate(self, nbytes: int) -> int:
        memory = self._memory("cuMemAlloc")
        if nbytes == 0:
            raise failure("cuMemAlloc", "CUDA_ERROR_INVALID_VALUE", "invalid argument")
        with self._lock:
            address = memory.allocate(nbytes)
        if address is None:
            raise MemoryExceeded(f"the device has no room for {nbytes} bytes", hint="free what is no longer needed")
        self._piece("cuMemAlloc", address, nbytes)[:] = 0xFF  # whatever was there: floats that are nan
        return address

    def free(self, address: int) -> None:
        with self._lock:
            if not any(memory.free(address) for memory in self._memories):
                raise failure("cuMemFree", "CUDA_ERROR_INVALID_VALUE", "invalid argument")

    def allocate_pinned(self, nbytes: int) -> int:
        self._memory("cuMemHostAlloc")
        data = np.zeros(nbytes, np.uint8)
        address: int = data.__array_interface__["data"][0]
        self._pinned[address] = data
        self._stretches.add(address, nbytes)
        return address

    def free_pinned(self, address: int) -> None:
        if self._pinned.pop(address, None) is None:
            raise failure("cuMemFreeHost", "CUDA_ERROR_INVALID_VALUE", "invalid argument")
        self._stretches.remove(address)

    def is_pinned(self, address: int) -> bool:
        return address in self._stretches

    def copy_to_device(self, target: int, source: int, nbytes: int, stream: int) -> None:
        def copy() -> None:
            self._write("cuMemcpyHtoDAsync", target, _host_bytes(source, nbytes))
            self.bytes_to_device += nbytes

        self._do(stream, copy)

    def copy_to_host(self, target: int, source: int, nbytes: int, stream: int) -> None:
        def copy() -> None:
            _host_bytes(target, nbytes)[:] = self._piece("cuMemcpyDtoHAsync", source, nbytes)
            self.bytes_to_host += nbytes

        self._do(stream, copy)

    def copy_on_device(self, target: int, source: int, nbytes: int, stream: int) -> None:
        self._do(
            stream, lambda: self._write("cuMemcpyDtoDAsync", target, self._piece("cuMemcpyDtoDAsync", source, nbytes))
        )

    def fill(self, target: int, pattern: int, width: int, count: int, stream: int) -> None:
        self._check_home(f"cuMemsetD{8 * width}Async", stream)
        if target % width:
            raise failure(f"cuMemsetD{8 * width}Async", "CUDA_ERROR_INVALID_VALUE", "invalid argument")

        def write() -> None:
            bits = np.frombuffer(pattern.to_bytes(width, "little"), np.uint8)
            self._write(f"cuMemsetD{8 * width}Async", target, np.tile(bits, count))

        self._do(stream, write)

    def synchronize(self) -> None:
        self._memory("cuCtxSynchronize")
        self._check_quiet("cuCtxSynchronize", None)

    def create_stream(self, priority: int = 0) -> int:
        self._memory("cuStreamCreateWithPriority")
        return self._new(self._streams, None)

    def destroy_stream(self, stream: int) -> None:
        if stream == 0 or stream not in self._streams:
            raise failure("cuStreamDestroy", "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle")
        del self._streams[stream]

    def synchronize_stream(self, stream: int) -> None:
        self._check_quiet("cuStreamSynchronize", stream)

    def is_stream_idle(self, stream: int) -> bool:
        self._check_quiet("cuStreamQuery", stream)
        return True

    def create_event(self, has_time: bool, is_blocking: bool = False) -> int:
        self._memory("cuEventCreate")
        return self._new(self._events, None)

    def destroy_event(self, event: int) -> None:
        self._event("cuEventDestroy", event)
        del self._events[event]
        self._noted_events.pop(event, None)
        self._recorded.discard(event)

    def record_event(self, event: int, stream: int) -> None:
        self._event("cuEventRecord", event)
        self._stream("cuEventRecord", stream)
        if self._homes[event] != self._home_of("cuEventRecord", stream):
            raise failure("cuEventRecord", "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle")

        notes = self._streams[stream]
        if notes is not None:
            self._noted_events[event] = notes, notes.mark(stream)
            return
        self._noted_events.pop(event, None)
        self._recorded.add(event)

        def mark() -> None:
            if event in self._events:  # else nobody has it any more
                self._events[event] = time.perf_counter()

        self._do(stream, mark)

    def wait_for_event(self, stream: int, event: int) -> None:
        self._event("cuStreamWaitEvent", event)
        notes = self._stream("cuStreamWaitEvent", stream)
        owner, mark = self._noted_events.get(event, (None, Counter()))
        if owner is not None and notes in (None, owner):  # the stream takes part from now on
            owner.wait(stream, mark)
            self._streams[stream] = owner
        elif owner is not None or (notes is not None and event in self._recorded):
            for each in filter(None, (owner, notes)):
                each.is_broken = True
            raise failure(
                "cuStreamWaitEvent",
                "CUDA_ERROR_STREAM_CAPTURE_ISOLATION",
                "dependency created on uncaptured work in another stream",
            )

    def synchronize_event(self, event: int) -> None:
        self._event("cuEventSynchronize", event)
        self._check_passable("cuEventSynchronize", event)

    def is_event_done(self, event: int) -> bool:
        self._event("cuEventQuery", event)
        self._check_passable("cuEventQuery", event)
        return True

    def elapsed(self, start: int, end: int) -> float:
        first, last = self._event("cuEventElapsedTime", start), self._event("cuEventElapsedTime", end)
        if first is None or last is None or self._homes[start] != self._homes[end]:
            raise failure("cuEventElapsedTime", "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle")
        return (last - first) * 1000

    def compile(self, image: Image) -> bytes:
        raise failure("cuLinkAddData", "CUDA_ERROR_NOT_SUPPORTED", "operation not supported")

    def load(self, image: Image) -> int:
        self._memory("cuModuleLoadDataEx")
        try:
            kernel = parse_kernel(image.kernel)
        except GraphcError as error:
            raise failure("cuModuleLoadDataEx", "CUDA_ERROR_INVALID_IMAGE", str(error)) from None
        return self._new(self._modules, kernel)

    def unload(self, module: int) -> None:
        if self._modules.pop(module, None) is None:
            raise failure("cuModuleUnload", "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle")

    def function(self, module: int, name: str) -> int:
        kernel = self._modules.get(module)
        grid = None if kernel is None else grid_of(kernel)
        if kernel is None or grid is None:
            raise failure("cuModuleGetFunction", "CUDA_ERROR_NOT_FOUND", f"named symbol not found: {name}")
        made = self._new(self._functions, _Function(kernel, grid, [STATIC_SHARED_BYTES]))
        self._homes[made] = self._homes[module]
        return made

    def usage(self, function: int, threads: int, shared_bytes: int) -> None:
        return None

    def allow_shared(self, function: int, nbytes: int) -> None:
        if nbytes > self.options.target.most_shared_bytes:
            raise failure("cuFuncSetAttribute", "CUDA_ERROR_INVALID_VALUE", "invalid argument")
        self._functions[function].allowed[0] = max(STATIC_SHARED_BYTES, nbytes)

    def launch(
        self, function: int, blocks: int, threads: int, shared_bytes: int, stream: int, words: Sequence[int]
    ) -> None:
        device = self._device("cuLaunchKernel")
        found = self._functions.get(function)
        if found is None or self._homes[function] != device:
            raise failure("cuLaunchKernel", "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle")
        self._check_home("cuLaunchKernel", stream)
        if not 1 <= blocks < 1 << 31 or threads != found.grid.threads or shared_bytes > found.allowed[0]:
            raise failure("cuLaunchKernel", "CUDA_ERROR_INVALID_VALUE", f"invalid argument ({found.kernel.name})")
        words = tuple(words)
        self._do(stream, lambda: self._run(found, device, blocks, shared_bytes, words))

    def begin_capture(self, stream: int) -> None:
        if stream == 0:
            raise failure(
                "cuStreamBeginCapture",
                "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED",
                "operation not permitted when stream is capturing",
            )
        if self._stream("cuStreamBeginCapture", stream) is not None:
            raise failure("cuStreamBeginCapture", "CUDA_ERROR_ILLEGAL_STATE", "the stream is capturing")
        self._streams[stream] = Notes(stream)

    def end_capture(self, stream: int) -> int:
        notes = self._stream("cuStreamEndCapture", stream)
        if notes is None:
            raise failure("cuStreamEndCapture", "CUDA_ERROR_ILLEGAL_STATE", "the stream is not capturing")
        if stream != notes.origin:
            notes.is_broken = True
            raise failure(
                "cuStreamEndCapture",
                "CUDA_ERROR_STREAM_CAPTURE_UNMATCHED",
                "the capture was not initiated in this stream",
            )
        self._streams = {each: None if found is notes else found for each, found in self._streams.items()}
        self._noted_events = {event: found for event, found in self._noted_events.items() if found[0] is not notes}
        if notes.is_broken:
            raise failure(
                "cuStreamEndCapture",
                "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED",
                "operation failed due to a previous error during capture",
            )
        if not notes.is_joined:
            raise failure(
                "cuStreamEndCapture", "CUDA_ERROR_STREAM_CAPTURE_UNJOINED", "capturing stream has unjoined work"
            )
        return self._new(self._graphs, tuple(notes.commands))

    def is_stream_capturing(self, stream: int) -> bool:
        return self._stream("cuStreamIsCapturing", stream) is not None

    def launch_graph(self, graph: int, stream: int) -> None:
        if graph not in self._graphs:
            raise failure("cuGraphLaunch", "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle")
        self._check_home("cuGraphLaunch", stream)
        for command in self._graphs[graph]:
            self._do(stream, command)

    def destroy_graph(self, graph: int) -> None:
        if self._graphs.pop(graph, None) is None:
            raise failure("cuGraphExecDestroy", "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle")

    def start_profiler(self) -> None:
        self._memory("cuProfilerStart")

    def stop_profiler(self) -> None:
        self._memory("cuProfilerStop")

    def host_view(self, address: int, nbytes: int) -> Bytes:
        """The bytes that lie at an address of a device, as the host can read them; for tests."""
        return self._piece("host_view", address, nbytes)

    # ---- how it is done

    def _run(self, found: _Function, device: int, blocks: int, shared_bytes: int, words: tuple[int, ...]) -> None:
        kernel = found.kernel
        addresses, rest = words[: len(kernel.buffers)], words[len(kernel.buffers) :]
        if len(rest) != len(kernel.sizes) + 1:
            raise self._kernel_failure(kernel, f"{len(words)} parameters are given")
        sizes = {symbol.name: _signed(word) for symbol, word in zip(kernel.sizes, rest)}
        needed = evaluate(found.grid.blocks, sizes)
        dynamic = found.grid.shared_bytes if found.grid.shared_bytes > STATIC_SHARED_BYTES else 0
        if blocks != needed or shared_bytes != dynamic:
            raise self._kernel_failure(
                kernel,
                f"it has {needed} blocks and {dynamic} bytes of dynamic shared memory, and is launched with {blocks} "
                f"and {shared_bytes}",
            )
        try:
            codes = run_kernel(kernel, self._arrays(kernel, device, addresses, sizes), sizes)
        except CudaError:
            raise
        except GraphcError as error:
            raise self._kernel_failure(kernel, str(error)) from None
        self.launches += 1
        if codes and rest[-1]:
            _host_bytes(rest[-1], 4).view(np.int32)[0] = codes[0]

    def _arrays(
        self, kernel: Kernel, device: int, addresses: Sequence[int], sizes: Mapping[str, int]
    ) -> list[npt.NDArray[Any]]:
        """The memory of the kernel's buffers."""
        arrays: list[npt.NDArray[Any]] = []
        for buffer, address in zip(kernel.buffers, addresses):
            nbytes = evaluate(buffer.size, sizes) * buffer.dtype.itemsize
            if nbytes and address % ADDRESS_ALIGNMENT:
                raise self._kernel_failure(kernel, f"misaligned address: {buffer.name} starts at {address:#x}")
            piece: Bytes | None = (
                np.empty(0, np.uint8) if nbytes == 0 else self._memories[device].piece(address, nbytes)
            )
            if piece is None:
                raise self._kernel_failure(
                    kernel,
                    f"an illegal memory access was encountered: {buffer.name} is {nbytes} bytes at {address:#x}, "
                    f"which device {device} has not allocated",
                )
            arrays.append(piece.view(buffer.dtype.numpy))
        return arrays

    def _kernel_failure(self, kernel: Kernel, reason: str) -> CudaError:
        return CudaError(f"CUDA error: kernel {kernel.name} failed: {reason}")

    def _do(self, stream: int, command: Command) -> None:
        notes = self._stream("cuStream", stream)
        if notes is None:
            self._perform(stream, command)
        else:
            notes.add(stream, command)

    def _perform(self, stream: int, command: Command) -> None:
        command()

    def _stream(self, call: str, stream: int) -> Notes | None:
        if stream not in self._streams:
            raise failure(call, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle")
        return self._streams[stream]

    def _check_quiet(self, call: str, stream: int | None) -> None:
        """Waiting for work that a stream only notes is an error, and ends what it notes."""
        streams = self._streams.values() if stream is None else (self._stream(call, stream),)
        noting = [each for each in streams if each is not None]
        for each in noting:
            each.is_broken = True
        if noting:
            raise failure(
                call, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED", "operation not permitted when stream is capturing"
            )

    def _check_passable(self, call: str, event: int) -> None:
        """What is only noted passes no event, and who waits for one ends the capture."""
        if event in self._noted_events:
            self._noted_events[event][0].is_broken = True
            raise failure(
                call,
                "CUDA_ERROR_CAPTURED_EVENT",
                "operation not permitted on an event last recorded in a capturing stream",
            )

    def _event(self, call: str, event: int) -> float | None:
        if event not in self._events:
            raise failure(call, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle")
        return self._events[event]

    def _new(self, table: dict[int, Any], value: object) -> int:
        handle = next(self._handles)
        table[handle] = value
        if self._thread.device is not None:
            self._homes[handle] = self._thread.device
        return handle

    def _home_of(self, call: str, stream: int) -> int:
        """The device of a stream; the default one is the current device's."""
        return self._homes[stream] if stream else self._device(call)

    def _check_home(self, call: str, stream: int) -> None:
        """Work of a device goes to its own streams, while it is the current one."""
        self._stream(call, stream)
        if self._home_of(call, stream) != self._device(call):
            raise failure(call, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle")

    def _check_device(self, call: str, device: int) -> None:
        if not 0 <= device < self.options.devices:
            raise failure(call, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal")

    def _device(self, call: str) -> int:
        device = self._thread.device
        if device is None:
            raise failure(call, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context")
        return device

    def _memory(self, call: str) -> _DeviceMemory:
        return self._memories[self._device(call)]

    def _piece(self, call: str, address: int, nbytes: int) -> Bytes:
        if nbytes == 0:
            return np.empty(0, np.uint8)
        for memory in self._memories:
            piece = memory.piece(address, nbytes)
            if piece is not None:
                return piece
        raise failure(call, "CUDA_ERROR_INVALID_VALUE", f"no memory of {nbytes} bytes at {address:#x}")

    def _write(self, call: str, target: int, data: Bytes) -> None:
        self._piece(call, target, len(data))[:] = data


def failure(call: str, name: str, text: str) -> CudaError:
    """The error of a call that the driver refuses."""
    return CudaError(f"CUDA error: {text} ({name} in {call})")


def _host_bytes(address: int, nbytes: int) -> Bytes:
    if nbytes == 0:
        return np.empty(0, np.uint8)
    return np.frombuffer(memoryview((ctypes.c_char * nbytes).from_address(address)), np.uint8)


def _aligned(nbytes: int) -> int:
    return -(-nbytes // ALIGNMENT) * ALIGNMENT


def _signed(word: int) -> int:
    return word - (1 << 64) if word >> 63 else word
