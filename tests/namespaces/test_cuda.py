"""graphc.cuda over an emulated driver with two devices: the answers that scripts written for torch.cuda expect."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import graphc
from graphc import cuda
from graphc.ir.settings import override

MIB = 1 << 20


@pytest.fixture(autouse=True)
def two_devices() -> Iterator[None]:
    with override(cuda_driver="emulator:2:sm_90:64MiB"):
        cuda.empty_cache()
        for number in range(2):
            cuda.reset_peak_memory_stats(number)
        yield
        cuda.set_device(0)


def test_devices() -> None:
    assert (cuda.is_available(), cuda.device_count(), cuda.current_device()) == (True, 2, 0)
    cuda.init()
    assert cuda.is_initialized()
    assert cuda.get_device_name(1) == "graphc emulator of sm_90"
    assert cuda.get_device_capability("cuda:1") == (9, 0)
    assert (cuda.is_bf16_supported(), cuda.is_tf32_supported()) == (True, True)
    assert cuda.can_device_access_peer(0, 1) is False
    assert "sm_90" in cuda.get_arch_list()
    assert repr(cuda.get_device_properties(1)) == (
        "_CudaDeviceProperties(name='graphc emulator of sm_90', major=9, minor=0, total_memory=64MB, "
        "multi_processor_count=4, uuid=00000000-0000-0000-0000-000000000001, pci_bus_id=0, pci_device_id=1, "
        "pci_domain_id=0, L2_cache_size=4MB)"
    )


def test_the_current_device_is_each_threads_own() -> None:
    found = []
    with cuda.device(1):
        assert cuda.current_device() == 1
        thread = threading.Thread(target=lambda: found.append(cuda.current_device()))
        thread.start()
        thread.join()
        with cuda.device(-1), cuda.device(graphc.device("cuda:0")):
            assert cuda.current_device() == 0
        assert cuda.current_device() == 1
    assert (cuda.current_device(), found) == (0, [0])
    with cuda.device_of(graphc.ones(2, device="cuda:1")):
        assert cuda.current_device() == 1
        with cuda.device_of(graphc.ones(2)):
            assert cuda.current_device() == 1
    cuda.set_device("cuda:1")
    assert cuda.current_device() == 1
    cuda.set_device(-1)
    assert cuda.current_device() == 1


def test_memory_of_tensors_is_counted() -> None:
    before = cuda.memory_allocated()
    x = graphc.zeros(3 * MIB, device="cuda")
    assert cuda.memory_allocated() - before == 12 * MIB
    assert cuda.memory_reserved() >= 12 * MIB
    del x
    assert cuda.memory_allocated() == before
    assert cuda.max_memory_allocated() - before >= 12 * MIB
    cuda.reset_peak_memory_stats()
    assert cuda.max_memory_allocated() == before
    assert cuda.memory_allocated(1) == 0
    cuda.empty_cache()
    free, total = cuda.mem_get_info()
    assert (total, free >= 60 * MIB) == (64 * MIB, True)


def test_figures_have_pytorchs_names() -> None:
    x = graphc.ones(700, device="cuda")
    stats = cuda.memory_stats()
    nested = cuda.memory_stats_as_nested_dict()
    for kind in ("active", "allocation", "segment", "inactive_split"):
        for size in ("all", "large_pool", "small_pool"):
            for figure in ("current", "peak", "allocated", "freed"):
                assert stats[f"{kind}.{size}.{figure}"] == nested[kind][size][figure]
    assert stats["allocated_bytes.small_pool.current"] - stats["requested_bytes.small_pool.current"] >= 3072 - 2800
    assert (stats["num_ooms"], list(stats) == sorted(stats)) == (0, True)
    cuda.reset_accumulated_memory_stats()
    assert cuda.memory_stats()["allocation.all.allocated"] == 0
    assert cuda.memory_stats()["allocation.all.current"] == stats["allocation.all.current"]
    del x


def test_who_holds_memory() -> None:
    x = graphc.ones(5 * MIB, device="cuda")
    summary = cuda.memory_summary()
    assert summary.splitlines()[0].strip("=") == " graphc CUDA memory summary, device ID 0 "
    assert f"  20.00 MiB in 1 block from {__file__}:" in summary
    assert "from large pool" not in cuda.memory_summary(abbreviated=True)
    blocks = [block for segment in cuda.memory_snapshot() for block in segment["blocks"]]
    (block,) = (block for block in blocks if block["size"] == 20 * MIB)
    assert (block["state"], block["requested_size"]) == ("active_allocated", 20 * MIB)
    assert block["frames"][0]["filename"] == __file__
    with pytest.raises(cuda.OutOfMemoryError, match=r"^CUDA out of memory\. Tried to allocate 200\.00 MiB\. GPU 0 has"):
        graphc.empty(50 * MIB, device="cuda")
    del x


def test_a_part_of_the_memory() -> None:
    cuda.set_per_process_memory_fraction(0.25, 1)
    assert cuda.get_per_process_memory_fraction(1) == 0.25
    with pytest.raises(cuda.OutOfMemoryError, match=r"16\.00 MiB allowed"):
        graphc.empty(5 * MIB, device="cuda:1")
    cuda.set_per_process_memory_fraction(1.0, 1)
    assert graphc.empty(5 * MIB, device="cuda:1").device.index == 1


def test_memory_for_others() -> None:
    before = cuda.memory_allocated()
    address = cuda.caching_allocator_alloc(1000, stream=cuda.current_stream())
    assert cuda.memory_allocated() == before + 1024
    cuda.caching_allocator_delete(address)
    assert cuda.memory_allocated() == before


def test_streams() -> None:
    default, stream = cuda.default_stream(), cuda.Stream(priority=-1)
    assert cuda.current_stream() == default != stream
    assert repr(default) == "<torch.cuda.Stream device=cuda:0 cuda_stream=0x0>"
    assert (stream.priority, stream.device, stream.device_index) == (-1, graphc.device("cuda:0"), 0)
    with cuda.stream(stream):
        assert cuda.current_stream() == stream
        x = graphc.ones(4, device="cuda") * 3
        with cuda.stream(None), cuda.stream(cuda.Stream(1)):
            assert cuda.current_device() == 1
            assert cuda.current_stream(0) == stream
        assert cuda.current_device() == 0
    default.wait_stream(stream)
    assert (x + 1).tolist() == [4.0] * 4
    with stream as entered:
        assert cuda.current_stream() == entered == stream
    assert cuda.current_stream() == default
    cuda.set_stream(stream)
    assert hash(cuda.current_stream()) == hash(stream)
    cuda.set_stream(default)
    stream.synchronize()
    assert stream.query()
    assert cuda.get_stream_from_external(stream.cuda_stream) == stream
    assert len({cuda.Stream() for _ in range(100)}) == 32, "streams are handed out in turn"


def test_events() -> None:
    start, end = cuda.Event(enable_timing=True), cuda.Event(enable_timing=True)
    assert (repr(start), start.query(), start.cuda_event) == ("<torch.cuda.Event uninitialized>", True, 0)
    start.record()
    graphc.ones(4, device="cuda").sum()
    end.record()
    end.synchronize()
    assert start.elapsed_time(end) > 0
    assert start.device == graphc.device("cuda:0")
    assert cuda.current_stream().record_event().query()
    cuda.Stream().wait_event(end)
    end.wait(cuda.Stream())
    assert repr(end) == f"<torch.cuda.Event {end.cuda_event:#x}>"


def test_each_device_has_its_random_numbers() -> None:
    cuda.manual_seed_all(5)
    states = cuda.get_rng_state_all()
    assert cuda.initial_seed() == 5
    first = [graphc.rand(3, device=f"cuda:{number}").tolist() for number in range(2)]
    assert first[0] == first[1]
    cuda.set_rng_state_all(states)
    assert graphc.rand(3, device="cuda:1").tolist() == first[1]
    graphc.manual_seed(5)
    assert graphc.rand(3).tolist() == first[0], "the CPU's numbers of that seed"
    with cuda.device(1):
        cuda.manual_seed(6)
        assert cuda.initial_seed() == 6
    assert [each.initial_seed() for each in cuda.default_generators] == [5, 6]
    cuda.set_rng_state(cuda.get_rng_state("cuda:1"), "cuda:0")
    assert cuda.initial_seed() == 6
    cuda.seed_all()
    assert len({each.initial_seed() for each in cuda.default_generators}) == 1


REFUSED: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "no such device": (lambda: cuda.set_device(2), RuntimeError, "CUDA error: invalid device ordinal"),
    "no such device by name": (lambda: cuda.get_device_name("cuda:9"), RuntimeError, "invalid device ordinal"),
    "another kind": (lambda: cuda.synchronize("cpu"), ValueError, "Expected a cuda device, but got: cpu"),
    "no device": (lambda: cuda.synchronize(1.5), TypeError, "a device is a number, a name or a graphc.device"),
    "the current one": (lambda: cuda.set_device("cuda"), RuntimeError, "set_device takes a device's number"),
    "a stream from elsewhere": (lambda: cuda.Stream(device="cpu"), ValueError, "Expected a cuda device, but got: cpu"),
    "a stream's options": (lambda: cuda.Stream(stream_id=3), NotImplementedError, "not from stream_id"),
    "times of events without": (
        lambda: cuda.Event().elapsed_time(cuda.Event()),
        ValueError,
        "Both events must be created with argument 'enable_timing=True'",
    ),
    "times of events before": (
        lambda: cuda.Event(True).elapsed_time(cuda.Event(True)),
        ValueError,
        "Both events must be recorded before calculating elapsed time",
    ),
    "events of processes": (
        lambda: cuda.Event(interprocess=True),
        NotImplementedError,
        "no events that several processes share",
    ),
    "events of devices": (
        lambda: [event.record(cuda.default_stream(number)) for event in [cuda.Event()] for number in (0, 1)],
        RuntimeError,
        "Event device 0 does not match recording stream's device 1",
    ),
    "given back twice": (lambda: cuda.caching_allocator_delete(5), RuntimeError, "invalid device pointer: 0x5"),
    "a stream that is none": (
        lambda: cuda.caching_allocator_alloc(5, stream="x"),
        RuntimeError,
        "Invalid type for stream argument",
    ),
    "half a byte": (lambda: cuda.set_per_process_memory_fraction(1), RuntimeError, "Invalid type for fraction"),
    "more than all": (lambda: cuda.set_per_process_memory_fraction(1.5), ValueError, "Invalid fraction value: 1.5"),
    "memory of its own": (lambda: cuda.MemPool, AttributeError, "graphc.cuda has no MemPool"),
    "nothing": (lambda: cuda.nothing, AttributeError, "module 'graphc.cuda' has no attribute 'nothing'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str) -> None:
    call, error, text = REFUSED[name]
    with pytest.raises(error, match=text):
        call()
