"""What a GPU is doing, whoever uses it: load, temperature, power, by NVIDIA's management library.

It is asked through the package nvidia-ml-py, where that is installed; else each call raises ModuleNotFoundError.
"""

from __future__ import annotations

import importlib
from typing import Any

from graphc.cuda.devices import get_device_properties
from graphc.eager.guard import guarded
from graphc.ir.errors import GraphcError

__all__ = [
    "clock_rate",
    "device_memory_used",
    "list_gpu_processes",
    "memory_usage",
    "power_draw",
    "temperature",
    "utilization",
]


class _Missing(GraphcError, ModuleNotFoundError):
    """There is no package nvidia-ml-py."""


def _library() -> Any:
    try:
        library = importlib.import_module("pynvml")
    except ImportError:
        raise _Missing(
            "nvidia-ml-py does not seem to be installed or it can't be imported.", hint="pip install nvidia-ml-py"
        ) from None
    library.nvmlInit()
    return library


def _handle(device: object) -> tuple[Any, Any]:
    """The library, and what it calls the GPU: by identity, for processes may see some of the GPUs alone."""
    library = _library()
    return library, library.nvmlDeviceGetHandleByUUID(f"GPU-{get_device_properties(device).uuid}")


@guarded
def utilization(device: object = None) -> int:
    """Percent of the last moments in which some kernel ran."""
    library, handle = _handle(device)
    return int(library.nvmlDeviceGetUtilizationRates(handle).gpu)


@guarded
def memory_usage(device: object = None) -> int:
    """Percent of the last moments in which memory was read or written."""
    library, handle = _handle(device)
    return int(library.nvmlDeviceGetUtilizationRates(handle).memory)


@guarded
def device_memory_used(device: object = None) -> int:
    """Bytes of memory that all processes use."""
    library, handle = _handle(device)
    return int(library.nvmlDeviceGetMemoryInfo(handle).used)


@guarded
def temperature(device: object = None) -> int:
    """Degrees Celsius."""
    library, handle = _handle(device)
    return int(library.nvmlDeviceGetTemperature(handle, library.NVML_TEMPERATURE_GPU))


@guarded
def power_draw(device: object = None) -> int:
    """Milliwatts."""
    library, handle = _handle(device)
    return int(library.nvmlDeviceGetPowerUsage(handle))


@guarded
def clock_rate(device: object = None) -> int:
    """Megahertz of the multiprocessors."""
    library, handle = _handle(device)
    return int(library.nvmlDeviceGetClockInfo(handle, library.NVML_CLOCK_SM))


@guarded
def list_gpu_processes(device: object = None) -> str:
    """The processes that use the GPU, with their memory, as text."""
    try:
        library, handle = _handle(device)
    except _Missing:
        return "pynvml module not found, please install nvidia-ml-py"
    processes = library.nvmlDeviceGetComputeRunningProcesses(handle)
    number = library.nvmlDeviceGetIndex(handle)
    lines = [f"GPU:{number}"]
    if not processes:
        lines.append("no processes are running")
    for each in processes:
        lines.append(f"process {each.pid:>10d} uses {(each.usedGpuMemory or 0) / (1 << 20):>12.3f} MB GPU memory")
    return "\n".join(lines)
