"""GPUs: which there are, what they can do, and the one in force.

In: devices as PyTorch takes them: a number, "cuda:1", a `graphc.device`, None for the current one. Without a driver or
a GPU, what needs one raises DeviceUnavailable, and what only asks says that there is none.
"""

from __future__ import annotations

from dataclasses import dataclass

from graphc.eager.device import device as Device
from graphc.eager.guard import guarded
from graphc.eager.placement import gpu_of
from graphc.eager.tensor import Tensor
from graphc.ir.errors import ArgumentError, SignatureError, describe
from graphc.kernel.gpu import CAPABILITIES
from graphc.runtime.cuda import device as runtime_device
from graphc.runtime.cuda import waits
from graphc.runtime.cuda.select import driver, is_started, what_is_missing

__all__ = [
    "can_device_access_peer",
    "current_device",
    "device",
    "device_count",
    "device_of",
    "get_arch_list",
    "get_device_capability",
    "get_device_name",
    "get_device_properties",
    "get_gencode_flags",
    "get_sync_debug_mode",
    "init",
    "ipc_collect",
    "is_available",
    "is_bf16_supported",
    "is_initialized",
    "is_tf32_supported",
    "set_device",
    "set_sync_debug_mode",
    "synchronize",
]


def number_of(place: object) -> int:
    """The number of a GPU; None and "cuda" stand for the current one.

    Raises DeviceUnavailable without a GPU, ArgumentError for one that is not there and for another kind of device.
    """
    number = parse(place)
    if number is None:
        return runtime_device.current_device()
    runtime_device.check_device(number)
    return number


def parse(place: object) -> int | None:
    """The number that stands for a GPU; None: the current one. Nobody asks whether it is there."""
    if place is None or (isinstance(place, int) and not isinstance(place, bool)):
        return place
    if isinstance(place, str):
        place = Device(place)
    if not isinstance(place, Device):
        raise SignatureError(f"a device is a number, a name or a graphc.device, not {describe(place)}")
    if place.type != "cuda":
        raise ArgumentError(f"Expected a cuda device, but got: {place}", hint='such as "cuda:0"')
    return place.index


def is_available() -> bool:
    """Whether there is a GPU that can be used."""
    return what_is_missing() is None


def is_initialized() -> bool:
    """Whether the driver was started."""
    return is_started()


@guarded
def init() -> None:
    """Start the driver; raises DeviceUnavailable where there is none."""
    driver()


def device_count() -> int:
    """How many GPUs there are."""
    return runtime_device.device_count()


@guarded
def current_device() -> int:
    """The number of the calling thread's device; raises DeviceUnavailable without one."""
    return runtime_device.current_device()


@guarded
def set_device(device: object) -> None:
    """Choose the calling thread's device; a negative number changes nothing."""
    number = parse(device)
    if number is None:
        raise ArgumentError("set_device takes a device's number", hint='such as 0 or "cuda:0"')
    if number >= 0:
        runtime_device.set_device(number)


class device:
    """A context in which a GPU is the current one; a negative number changes nothing."""

    @guarded
    def __init__(self, device: object) -> None:
        number = parse(device)
        self.idx = runtime_device.current_device() if number is None else number
        self.prev_idx = -1

    @guarded
    def __enter__(self) -> None:
        if self.idx >= 0:
            self.prev_idx = runtime_device.current_device()
            runtime_device.set_device(self.idx)

    def __exit__(self, *error: object) -> None:
        if self.prev_idx >= 0:
            runtime_device.set_device(self.prev_idx)


class device_of(device):
    """A context of a tensor's GPU: of a tensor on the CPU it changes nothing."""

    def __init__(self, obj: Tensor) -> None:
        number = gpu_of(obj._array)
        super().__init__(-1 if number is None else number)


@guarded
def synchronize(device: object = None) -> None:
    """Wait for all work of a GPU, and raise what failed in it; raises DeviceUnavailable without one."""
    runtime_device.synchronize(number_of(device))


@dataclass(frozen=True, slots=True)
class DeviceProperties:
    """What a GPU is. Sizes in bytes, clock rates in kHz."""

    name: str
    major: int
    minor: int
    total_memory: int
    multi_processor_count: int
    max_threads_per_multi_processor: int
    regs_per_multiprocessor: int
    shared_memory_per_multiprocessor: int
    shared_memory_per_block_optin: int
    L2_cache_size: int
    clock_rate: int
    memory_clock_rate: int
    memory_bus_width: int
    is_integrated: int
    uuid: str
    pci_bus_id: int
    pci_device_id: int
    pci_domain_id: int
    warp_size: int = 32
    shared_memory_per_block: int = 49152
    is_multi_gpu_board: int = 0

    def __repr__(self) -> str:
        return (
            f"_CudaDeviceProperties(name='{self.name}', major={self.major}, minor={self.minor}, "
            f"total_memory={self.total_memory >> 20}MB, multi_processor_count={self.multi_processor_count}, "
            f"uuid={self.uuid}, pci_bus_id={self.pci_bus_id}, pci_device_id={self.pci_device_id}, "
            f"pci_domain_id={self.pci_domain_id}, L2_cache_size={self.L2_cache_size >> 20}MB)"
        )


@guarded
def get_device_properties(device: object = None) -> DeviceProperties:
    """What a GPU is; raises DeviceUnavailable without one."""
    found = driver().properties(number_of(device))
    major, minor = found.capability
    bus, slot, domain = found.pci
    return DeviceProperties(
        name=found.name,
        major=major,
        minor=minor,
        total_memory=found.total_memory,
        multi_processor_count=found.multiprocessors,
        max_threads_per_multi_processor=found.threads_per_multiprocessor,
        regs_per_multiprocessor=found.registers_per_multiprocessor,
        shared_memory_per_multiprocessor=found.shared_bytes_per_multiprocessor,
        shared_memory_per_block_optin=found.shared_bytes_per_block,
        L2_cache_size=found.l2_bytes,
        clock_rate=found.clock_khz,
        memory_clock_rate=found.memory_clock_khz,
        memory_bus_width=found.memory_bus_bits,
        is_integrated=int(found.is_integrated),
        uuid=found.uuid,
        pci_bus_id=bus,
        pci_device_id=slot,
        pci_domain_id=domain,
    )


@guarded
def get_device_name(device: object = None) -> str:
    """A GPU's name; raises DeviceUnavailable without one."""
    return driver().properties(number_of(device)).name


@guarded
def get_device_capability(device: object = None) -> tuple[int, int]:
    """A GPU's compute capability, major and minor; raises DeviceUnavailable without one."""
    return driver().properties(number_of(device)).capability


@guarded
def can_device_access_peer(device: object, peer_device: object) -> bool:
    """Whether kernels on one GPU reach the memory of another one; raises DeviceUnavailable without a GPU."""
    return driver().can_access_peer(number_of(device), number_of(peer_device))


def get_arch_list() -> list[str]:
    """The GPUs that code is generated for; none where there is no GPU."""
    return [f"sm_{each}" for each in CAPABILITIES] if is_available() else []


def get_gencode_flags() -> str:
    """The same as options of NVIDIA's compiler; none where there is no GPU."""
    return " ".join(f"-gencode compute=compute_{each},code={name}" for name, each in _architectures())


def _architectures() -> list[tuple[str, str]]:
    return [(name, name.removeprefix("sm_")) for name in get_arch_list()]


def get_sync_debug_mode() -> int:
    """How reading results is taken, which waits for the GPU: 0 "default", 1 "warn", 2 "error"."""
    return waits.mode()


@guarded
def set_sync_debug_mode(debug_mode: int | str) -> None:
    """Let each operation that waits for the GPU, as `item` does, warn (1, "warn") or raise (2, "error"); 0: nothing.

    Raises ArgumentError (a RuntimeError) for other modes, DeviceUnavailable without a GPU.
    """
    driver()
    if isinstance(debug_mode, str):
        if debug_mode not in waits.MODES:
            raise ArgumentError("invalid value of debug_mode, expected one of `default`, `warn`, `error`")
        debug_mode = waits.MODES.index(debug_mode)
    if debug_mode not in range(len(waits.MODES)):
        raise ArgumentError("invalid value of debug_mode, expected 0, 1 or 2", hint="that is default, warn, error")
    waits.set_mode(debug_mode)


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """Whether the current GPU computes in bfloat16; all do, and from 8.0 on with instructions of their own."""
    return is_available() and (including_emulation or get_device_capability() >= (8, 0))


def is_tf32_supported() -> bool:
    """Whether the current GPU multiplies matrices in tf32."""
    return is_available() and get_device_capability() >= (8, 0)


@guarded
def ipc_collect() -> None:
    """Collect memory shared with other processes, of which there is none; raises DeviceUnavailable without a GPU."""
    driver()
