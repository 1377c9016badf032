"""graphc.cuda: GPUs of NVIDIA's, with the names of torch.cuda.

Where there is no driver or no GPU, asking whether there are devices, seeding them and emptying their caches is
harmless; whatever needs a device raises DeviceUnavailable (an AssertionError and a RuntimeError), which says what is
missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from graphc.cuda import amp, devices, graphs, memory, random, streams
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
    init,
    ipc_collect,
    is_available,
    is_bf16_supported,
    is_initialized,
    is_tf32_supported,
    set_device,
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

OutOfMemoryError = MemoryExceeded
has_half = True
has_magma = False

_ABSENT = {
    "nvtx": "graphc.profiler records ranges, and shows them without NVIDIA's tools",
    "MemPool": "graphc has one pool of memory for each GPU",
    "utilization": "NVIDIA's command nvidia-smi shows it",
    "temperature": "NVIDIA's command nvidia-smi shows it",
    "power_draw": "NVIDIA's command nvidia-smi shows it",
    "nccl": "graphc computes on the GPUs of one process, without collective operations",
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


__all__ = [
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
    "current_device",
    "current_stream",
    "default_generators",
    "default_stream",
    "device",
    "device_count",
    "device_of",
    "devices",
    "empty_cache",
    "get_allocator_backend",
    "get_arch_list",
    "get_device_capability",
    "get_device_name",
    "get_device_properties",
    "get_per_process_memory_fraction",
    "get_rng_state",
    "get_rng_state_all",
    "get_stream_from_external",
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
    "stream",
    "streams",
    "synchronize",
]
