"""graphc.cuda: GPUs of NVIDIA's, with the names of torch.cuda.

Where there is no driver or no GPU, asking whether there are devices, seeding them and emptying their caches is
harmless; whatever needs a device raises DeviceUnavailable (an AssertionError and a RuntimeError), which says what is
missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from graphc.cuda import amp, devices, graphs, memory, nvml, nvtx, profiler, random, streams
from graphc.cuda.devices import (
    can_device_access_peer,
    current_device,
    device,
    device_count,
    device_of,
    get_arch_list,
    get_device_capability,
    get_device_name,
    get_device_properties,
    get_gencode_flags,
    get_sync_debug_mode,
    init,
    ipc_collect,
    is_available,
    is_bf16_supported,
    is_initialized,
    is_tf32_supported,
    set_device,
    set_sync_debug_mode,
    synchronize,
)
from graphc.cuda.graphed import make_graphed_callables
from graphc.cuda.graphs import CUDAGraph, graph, graph_pool_handle, is_current_stream_capturing
from graphc.cuda.memory import (
    caching_allocator_alloc,
    caching_allocator_delete,
    empty_cache,
    get_allocator_backend,
    get_per_process_memory_fraction,
    max_memory_allocated,
    max_memory_cached,
    max_memory_reserved,
    mem_get_info,
    memory_allocated,
    memory_cached,
    memory_reserved,
    memory_snapshot,
    memory_stats,
    memory_stats_as_nested_dict,
    memory_summary,
    reset_accumulated_memory_stats,
    reset_max_memory_allocated,
    reset_max_memory_cached,
    reset_peak_memory_stats,
    set_per_process_memory_fraction,
)
from graphc.cuda.nvml import (
    clock_rate,
    device_memory_used,
    list_gpu_processes,
    memory_usage,
    power_draw,
    temperature,
    utilization,
)
from graphc.cuda.random import (
    get_rng_state,
    get_rng_state_all,
    initial_seed,
    manual_seed,
    manual_seed_all,
    seed,
    seed_all,
    set_rng_state,
    set_rng_state_all,
)
from graphc.cuda.streams import (
    Event,
    ExternalStream,
    Stream,
    StreamContext,
    current_stream,
    default_stream,
    get_stream_from_external,
    set_stream,
    stream,
)
from graphc.eager.legacy import CUDA_TYPES
from graphc.ir.errors import MemoryExceeded, UnknownAttribute
from graphc.runtime.cuda.driver import CudaError

if TYPE_CHECKING:
    from graphc.eager.generator import Generator

    default_generators: tuple[Generator, ...]

AcceleratorError = CudaError
OutOfMemoryError = MemoryExceeded
has_half = True
has_magma = False

_ABSENT = {
    **dict.fromkeys(
        ("MemPool", "use_mem_pool"), "graphc has one pool of memory for each GPU, and one for a CUDA graph"
    ),
    **dict.fromkeys(("CUDAPluggableAllocator", "change_current_allocator"), "memory is managed by graphc itself"),
    **dict.fromkeys(("caching_allocator_enable", "caching_allocator_disabled"), "memory is always kept for later"),
    **dict.fromkeys(
        (
            "host_memory_stats",
            "host_memory_stats_as_nested_dict",
            "reset_peak_host_memory_stats",
            "reset_accumulated_host_memory_stats",
        ),
        "pinned memory is taken from the driver, and given back, block by block",
    ),
    **dict.fromkeys(("current_blas_handle", "current_solver_handle"), "graphc computes without NVIDIA's libraries"),
    **dict.fromkeys(("tunable", "gds", "jiterator"), "graphc makes its own kernels"),
    **dict.fromkeys(("cudart", "cudaStatus", "check_error"), "graphc calls the driver, whose errors are CudaError"),
    **dict.fromkeys(
        (f"{name.removesuffix('Tensor')}Storage" for name in CUDA_TYPES), "a tensor's memory is its untyped_storage()"
    ),
    "GreenContext": "a stream has all of its GPU's multiprocessors",
    "sparse": "tensors are dense",
    **dict.fromkeys(
        ("nccl", "comm"), "graphc computes on the GPUs of one process, without collective operations: tensor.to(device)"
    ),
}
"""Names of torch.cuda that are not here, and what there is instead."""


def __getattr__(name: str) -> Any:
    if name in CUDA_TYPES:
        return CUDA_TYPES[name]
    if name == "default_generators":  # made when they are asked for: before that nobody should look for GPUs
        return random.default_generators()
    if name in _ABSENT:
        raise UnknownAttribute(f"graphc.cuda has no {name}", hint=_ABSENT[name])
    raise AttributeError(f"module 'graphc.cuda' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *CUDA_TYPES, "default_generators"})


__all__ = [
    "AcceleratorError",
    "CUDAGraph",
    "CudaError",
    "Event",
    "ExternalStream",
    "OutOfMemoryError",
    "Stream",
    "StreamContext",
    "amp",
    "caching_allocator_alloc",
    "caching_allocator_delete",
    "can_device_access_peer",
    "clock_rate",
    "current_device",
    "current_stream",
    "default_generators",
    "default_stream",
    "device",
    "device_count",
    "device_memory_used",
    "device_of",
    "devices",
    "empty_cache",
    "get_allocator_backend",
    "get_arch_list",
    "get_device_capability",
    "get_device_name",
    "get_device_properties",
    "get_gencode_flags",
    "get_per_process_memory_fraction",
    "get_rng_state",
    "get_rng_state_all",
    "get_stream_from_external",
    "get_sync_debug_mode",
    "graph",
    "graph_pool_handle",
    "graphs",
    "has_half",
    "has_magma",
    "init",
    "initial_seed",
    "ipc_collect",
    "is_available",
    "is_bf16_supported",
    "is_current_stream_capturing",
    "is_initialized",
    "is_tf32_supported",
    "list_gpu_processes",
    "make_graphed_callables",
    "manual_seed",
    "manual_seed_all",
    "max_memory_allocated",
    "max_memory_cached",
    "max_memory_reserved",
    "mem_get_info",
    "memory",
    "memory_allocated",
    "memory_cached",
    "memory_reserved",
    "memory_snapshot",
    "memory_stats",
    "memory_stats_as_nested_dict",
    "memory_summary",
    "memory_usage",
    "nvml",
    "nvtx",
    "power_draw",
    "profiler",
    "random",
    "reset_accumulated_memory_stats",
    "reset_max_memory_allocated",
    "reset_max_memory_cached",
    "reset_peak_memory_stats",
    "seed",
    "seed_all",
    "set_device",
    "set_per_process_memory_fraction",
    "set_rng_state",
    "set_rng_state_all",
    "set_stream",
    "set_sync_debug_mode",
    "stream",
    "streams",
    "synchronize",
    "temperature",
    "utilization",
]
