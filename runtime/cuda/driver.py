"""What graphc asks of a CUDA driver: the one interface to it.

There are three: `graphc.runtime.cuda.library` (ctypes on the driver's own library), `graphc.runtime.cuda.bindings` (the
same calls through the package `cuda-bindings`, where it is installed) and `graphc.runtime.cuda.emulator` (no GPU:
kernels run in the kernel interpreter). Addresses, streams, events, functions and graphs are integers; stream 0 is the
default one. Calls raise `CudaError`, or MemoryExceeded where the device has no more memory. All but `device_count` need
a current context, which `activate` sets for the calling thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from graphc.ir.errors import GraphcError
from graphc.kernel.gpu import GpuTarget


class CudaError(GraphcError, RuntimeError):
    """The driver refused a call, or a kernel failed. The message names the call and the driver's own words."""


@dataclass(frozen=True, slots=True)
class DeviceProperties:
    """What a GPU is."""

    name: str
    capability: tuple[int, int]
    total_memory: int
    """Bytes."""
    multiprocessors: int
    threads_per_multiprocessor: int
    registers_per_multiprocessor: int
    shared_bytes_per_multiprocessor: int
    shared_bytes_per_block: int
    """The most that a block can have if it asks for it."""
    l2_bytes: int
    clock_khz: int
    memory_clock_khz: int
    memory_bus_bits: int
    is_integrated: bool
    """Whether it shares the host's memory."""
    uuid: str
    pci: tuple[int, int, int]
    """Its bus, device and domain there."""


@dataclass(frozen=True, slots=True)
class Image:
    """A kernel's code: PTX and, once the driver has made it, its machine code; for the emulator the kernel's text."""

    name: str
    """Of the function in it."""
    ptx: str
    kernel: str
    """The kernel as `graphc.kernel.text` prints it."""
    cubin: bytes | None = None


@dataclass(frozen=True, slots=True)
class KernelUsage:
    """What a kernel takes of a multiprocessor."""

    registers: int
    """Of a thread."""
    local_bytes: int
    """Memory of a thread's own: what is not in registers."""
    shared_bytes: int
    """Of a block, without the dynamic ones."""
    blocks: int
    """That fit on a multiprocessor at once."""


class Driver(Protocol):
    """The calls. `stream` is where in the order of things the work is done; the host does not wait for it."""

    name: str
    """How the driver is reached: "ctypes", "cuda-bindings" or "emulator"."""
    needs_code: bool
    """Whether an `Image` needs PTX; the emulator wants the kernel's text alone."""

    def version(self) -> int:
        """CUDA's version that the driver has, 1000 times the major plus 10 times the minor one."""

    def device_count(self) -> int:
        """How many GPUs there are."""

    def properties(self, device: int) -> DeviceProperties:
        """What the GPU is."""

    def target(self, device: int) -> GpuTarget:
        """What to compile for."""

    def can_access_peer(self, device: int, peer: int) -> bool:
        """Whether kernels on the device reach memory of the other one."""

    def activate(self, device: int) -> None:
        """Make the device's primary context the calling thread's; quick where there is no other device."""

    def current(self) -> int:
        """The calling thread's context, whoever has made it that; 0: none."""

    def restore(self, context: int) -> None:
        """Make a context that was the calling thread's its own again."""

    def memory_info(self) -> tuple[int, int]:
        """Bytes of the current device: free, in all."""

    def device_of(self, address: int) -> int | None:
        """The device that has the memory, whoever has allocated it; None: none has."""

    def allocate(self, nbytes: int) -> int:
        """Device memory, aligned to 256 bytes; raises MemoryExceeded where there is no more."""

    def free(self, address: int) -> None:
        """Give device memory back."""

    def allocate_pinned(self, nbytes: int) -> int:
        """Memory of the host that the device reads and writes by itself."""

    def free_pinned(self, address: int) -> None:
        """Give it back."""

    def is_pinned(self, address: int) -> bool:
        """Whether `allocate_pinned` has given the memory there."""

    def copy_to_device(self, target: int, source: int, nbytes: int, stream: int) -> None:
        """From the host; it may read the source until the stream has come to the end of the copy."""

    def copy_to_host(self, target: int, source: int, nbytes: int, stream: int) -> None:
        """To the host; done when the stream has come to the end of the copy."""

    def copy_on_device(self, target: int, source: int, nbytes: int, stream: int) -> None:
        """Between memory of devices."""

    def fill(self, target: int, pattern: int, width: int, count: int, stream: int) -> None:
        """Write `count` elements of `width` bytes (1, 2 or 4), all with these bits."""

    def synchronize(self) -> None:
        """Wait for all work of the current device."""

    def create_stream(self, priority: int = 0) -> int:
        """A stream that does not wait for the default one."""

    def destroy_stream(self, stream: int) -> None:
        """Its work is still done."""

    def synchronize_stream(self, stream: int) -> None:
        """Wait for its work."""

    def is_stream_idle(self, stream: int) -> bool:
        """Whether its work is done."""

    def create_event(self, has_time: bool, is_blocking: bool = False) -> int:
        """A mark in a stream. `is_blocking`: who waits for it sleeps, and else asks again and again."""

    def destroy_event(self, event: int) -> None:
        """Forget it."""

    def record_event(self, event: int, stream: int) -> None:
        """Put the mark behind all that the stream has to do."""

    def wait_for_event(self, stream: int, event: int) -> None:
        """What the stream gets from now on waits for the mark."""

    def synchronize_event(self, event: int) -> None:
        """Wait until the mark is passed."""

    def is_event_done(self, event: int) -> bool:
        """Whether the mark is passed."""

    def elapsed(self, start: int, end: int) -> float:
        """Milliseconds between two marks that are passed."""

    def compile(self, image: Image) -> bytes:
        """The PTX as the current device's machine code; its own compiler's words are in the error's hint.

        Nothing (b"") where only loading the PTX compiles it.
        """

    def load(self, image: Image) -> int:
        """Load code (its cubin if it has one) into the current context; a module."""

    def unload(self, module: int) -> None:
        """Give a module back."""

    def function(self, module: int, name: str) -> int:
        """A kernel of a module."""

    def usage(self, function: int, threads: int, shared_bytes: int) -> KernelUsage | None:
        """What a kernel takes with blocks of so many threads and dynamic bytes; None where there is no such thing."""

    def allow_shared(self, function: int, nbytes: int) -> None:
        """Let blocks of the kernel have so much dynamic shared memory, beyond 48 KiB."""

    def launch(
        self, function: int, blocks: int, threads: int, shared_bytes: int, stream: int, words: Sequence[int]
    ) -> None:
        """Run a kernel. Each of its parameters is a 64-bit word. `shared_bytes` are the dynamic ones."""

    def begin_capture(self, stream: int) -> None:
        """What the stream gets from now on is not done but noted."""

    def end_capture(self, stream: int) -> int:
        """What was noted, as a graph that can be launched."""

    def is_stream_capturing(self, stream: int) -> bool:
        """Whether what the stream gets is noted, also where something was done that it can't note."""

    def launch_graph(self, graph: int, stream: int) -> None:
        """Do what the graph holds."""

    def destroy_graph(self, graph: int) -> None:
        """Give it back."""

    def start_profiler(self) -> None:
        """Let a profiler that is attached record."""

    def stop_profiler(self) -> None:
        """Let it rest."""
