"""Memory of GPUs: how much is used, by which lines, and giving it back.

Names and keys are PyTorch's. "Allocated" is what tensors take, "reserved" what is held to serve them. Without a GPU
all figures are 0.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from graphc.cuda.devices import is_available, number_of
from graphc.eager.guard import guarded
from graphc.ir.errors import ArgumentError
from graphc.runtime.cuda import memory as runtime_memory
from graphc.runtime.cuda import stream as runtime_stream
from graphc.runtime.cuda.device import activate
from graphc.runtime.cuda.memory import Block, Pool, Tally, pool, size_text
from graphc.runtime.cuda.select import driver

__all__ = [
    "caching_allocator_alloc",
    "caching_allocator_delete",
    "empty_cache",
    "get_allocator_backend",
    "get_per_process_memory_fraction",
    "max_memory_allocated",
    "max_memory_cached",
    "max_memory_reserved",
    "mem_get_info",
    "memory_allocated",
    "memory_cached",
    "memory_reserved",
    "memory_snapshot",
    "memory_stats",
    "memory_stats_as_nested_dict",
    "memory_summary",
    "reset_accumulated_memory_stats",
    "reset_max_memory_allocated",
    "reset_max_memory_cached",
    "reset_peak_memory_stats",
    "set_per_process_memory_fraction",
]

_blocks: dict[int, Block] = {}
"""What `caching_allocator_alloc` has given, by address."""


def _settled(device: object) -> Pool:
    found = pool(number_of(device))
    found.settle()
    return found


def empty_cache() -> None:
    """Give memory that no tensor uses back to the driver; nothing happens without a GPU."""
    if is_available():
        runtime_memory.empty_cache()


@guarded
def memory_allocated(device: object = None) -> int:
    """Bytes that tensors take."""
    return _settled(device).tallies["all"].allocated.nbytes if is_available() else 0


@guarded
def max_memory_allocated(device: object = None) -> int:
    """The most bytes that tensors took at once since `reset_peak_memory_stats`."""
    return _settled(device).tallies["all"].allocated.most_bytes if is_available() else 0


@guarded
def memory_reserved(device: object = None) -> int:
    """Bytes that are held from the driver."""
    return _settled(device).tallies["all"].reserved.nbytes if is_available() else 0


@guarded
def max_memory_reserved(device: object = None) -> int:
    """The most bytes that were held at once since `reset_peak_memory_stats`."""
    return _settled(device).tallies["all"].reserved.most_bytes if is_available() else 0


memory_cached = memory_reserved
max_memory_cached = max_memory_reserved


@guarded
def memory_stats_as_nested_dict(device: object = None) -> dict[str, Any]:
    """All figures of the allocator: by kind, by size of request, and as they are, were at most, and add up to."""
    if not is_available():
        return {}
    found = _settled(device)
    nested: dict[str, Any] = {}
    for name, kind, is_bytes in _FIGURES:
        nested[name] = {
            size: _figure(getattr(tallies, kind), is_bytes) for size, tallies in sorted(found.tallies.items())
        }
    nested |= {"num_alloc_retries": found.retries, "num_ooms": found.failures}
    return nested


# Names of figures, what they are of, and whether they count bytes.
_FIGURES = (
    ("active", "active", False),
    ("active_bytes", "active", True),
    ("allocated_bytes", "allocated", True),
    ("allocation", "allocated", False),
    ("inactive_split", "inactive_split", False),
    ("inactive_split_bytes", "inactive_split", True),
    ("requested_bytes", "requested", True),
    ("reserved_bytes", "reserved", True),
    ("segment", "reserved", False),
)


def _figure(tally: Tally, is_bytes: bool) -> dict[str, int]:
    if is_bytes:
        values = tally.come_bytes, tally.nbytes, tally.gone_bytes, tally.most_bytes
    else:
        values = tally.come, tally.count, tally.gone, tally.most
    return dict(zip(("allocated", "current", "freed", "peak"), values))


@guarded
def memory_stats(device: object = None) -> OrderedDict[str, int]:
    """All figures of the allocator by names such as "allocated_bytes.all.peak"."""
    flat: dict[str, int] = {}
    pending: list[tuple[str, Any]] = [(name, value) for name, value in memory_stats_as_nested_dict(device).items()]
    while pending:
        name, value = pending.pop()
        if isinstance(value, dict):
            pending += [(f"{name}.{inner}", each) for inner, each in value.items()]
        else:
            flat[name] = value
    return OrderedDict(sorted(flat.items()))


@guarded
def reset_peak_memory_stats(device: object = None) -> None:
    """Let the greatest figures start from what they are now; nothing happens without a GPU."""
    if is_available():
        pool(number_of(device)).reset_peaks()


reset_max_memory_allocated = reset_peak_memory_stats
reset_max_memory_cached = reset_peak_memory_stats


@guarded
def reset_accumulated_memory_stats(device: object = None) -> None:
    """Let what adds up start from 0; nothing happens without a GPU."""
    if is_available():
        pool(number_of(device)).reset_totals()


@guarded
def mem_get_info(device: object = None) -> tuple[int, int]:
    """Free and total bytes of a GPU, whoever uses them; raises DeviceUnavailable without one."""
    activate(number_of(device))
    return driver().memory_info()


@guarded
def memory_snapshot(mempool_id: object = None, include_traces: bool = True) -> list[dict[str, Any]]:
    """All memory that is held from the driver, with the blocks in it and the lines that asked for them."""
    segments = []
    for device in range(driver().device_count()):
        for piece, chunks in pool(device).pieces():
            blocks: list[dict[str, Any]] = []
            for chunk in chunks:
                file, line = chunk.place or ("", 0)
                frames = [{"filename": file, "line": line, "name": ""}] if file else []
                blocks.append(
                    {
                        "address": chunk.address,
                        "size": chunk.nbytes,
                        "requested_size": chunk.requested,
                        "state": chunk.state,
                        "frames": frames,
                    }
                )
            used = [block for block in blocks if block["state"] == "active_allocated"]
            segments.append(
                {
                    "device": device,
                    "address": piece.address,
                    "total_size": piece.nbytes,
                    "allocated_size": sum(block["size"] for block in used),
                    "active_size": sum(block["size"] for block in blocks if block["state"] != "inactive"),
                    "requested_size": sum(block["requested_size"] for block in used),
                    "stream": piece.stream,
                    "segment_type": "small" if piece.is_small else "large",
                    "blocks": blocks,
                }
            )
    return segments


@guarded
def memory_summary(device: object = None, abbreviated: bool = False) -> str:
    """The figures of the allocator as a table, and the lines that hold most; raises DeviceUnavailable without a GPU."""
    number = number_of(device)
    stats = memory_stats(number)
    width = 20
    rows = [
        f" graphc CUDA memory summary, device ID {number} ".center(width + 4 * 14, "="),
        f"CUDA OOMs: {stats['num_ooms']}   allocations tried again: {stats['num_alloc_retries']}",
        "".join([" " * width, *(title.rjust(14) for title in ("now", "most", "in all", "freed"))]),
    ]
    for title, name, is_bytes in _ROWS:
        for size in ("all",) if abbreviated else ("all", "large_pool", "small_pool"):
            values = [stats[f"{name}.{size}.{which}"] for which in ("current", "peak", "allocated", "freed")]
            texts = [size_text(value) if is_bytes else str(value) for value in values]
            label = title if size == "all" else f"  from {size.replace('_', ' ')}"
            rows.append("".join([label.ljust(width), *(text.rjust(14) for text in texts)]))
    holders = pool(number).holders()[:8]
    return "\n".join([*rows, *(["Held, the most first:"] if holders else []), *(f"  {each}" for each in holders)])


_ROWS = (
    ("Allocated memory", "allocated_bytes", True),
    ("Active memory", "active_bytes", True),
    ("Requested memory", "requested_bytes", True),
    ("Reserved memory", "reserved_bytes", True),
    ("Non-releasable", "inactive_split_bytes", True),
    ("Allocations", "allocation", False),
    ("Reserved segments", "segment", False),
)


@guarded
def set_per_process_memory_fraction(fraction: float, device: object = None) -> None:
    """Let this process have no more than a part of a GPU's memory, from 0 to 1; beyond it there is no memory."""
    if not isinstance(fraction, float):
        raise ArgumentError("Invalid type for fraction argument, must be `float`")
    if not 0 <= fraction <= 1:
        raise ArgumentError(f"Invalid fraction value: {fraction}. Allowed range: 0~1")
    number = number_of(device)
    total = driver().properties(number).total_memory
    pool(number).limit = None if fraction == 1 else int(total * fraction)


@guarded
def get_per_process_memory_fraction(device: object = None) -> float:
    """The part of a GPU's memory that this process may have."""
    number = number_of(device)
    limit = pool(number).limit
    return 1.0 if limit is None else limit / driver().properties(number).total_memory


@guarded
def caching_allocator_alloc(size: int, device: object = None, stream: Any = None) -> int:
    """Address of new memory, for other libraries; `caching_allocator_delete` gives it back."""
    number = number_of(device)
    if stream is None:
        handle = runtime_stream.current_stream(number).handle
    else:
        handle = getattr(stream, "cuda_stream", stream)
    if not isinstance(handle, int):
        raise ArgumentError(
            "Invalid type for stream argument, must be `torch.cuda.Stream` or `int` representing a pointer"
        )
    block = runtime_memory.allocate(size, number, handle)
    _blocks[block.address] = block
    return block.address


@guarded
def caching_allocator_delete(mem_ptr: int) -> None:
    """Give back what `caching_allocator_alloc` has given."""
    if _blocks.pop(mem_ptr, None) is None:
        raise ArgumentError(
            f"invalid device pointer: {mem_ptr:#x}", hint="give an address of caching_allocator_alloc, once"
        )


def get_allocator_backend() -> str:
    """How memory is managed: "native", by graphc itself."""
    return "native"
