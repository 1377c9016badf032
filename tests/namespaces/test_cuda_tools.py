"""What surrounds graphc.cuda: NVIDIA's tools, waits that are told of, timed kernels, accelerators, other libraries."""

from __future__ import annotations

import json
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import graphc
from graphc import accelerator, backends, cuda, nn, profiler
from graphc.cuda import nvtx
from graphc.ir.settings import override

here: Any = graphc


@pytest.fixture(autouse=True)
def two_devices() -> Iterator[None]:
    with override(cuda_driver="emulator:2:sm_90:64MiB"):
        yield
        cuda.set_sync_debug_mode(0)
        cuda.set_device(0)


class FakeLibrary:
    """NVIDIA's library as ctypes has it: functions that note what they are given."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        for name, answer in {"RangePushA": 1, "RangePop": 1, "RangeStartA": 1 << 40, "RangeEnd": 0, "MarkA": 0}.items():
            setattr(self, f"nvtx{name}", self._function(name, answer))

    def _function(self, name: str, answer: int) -> Any:
        def call(*given: Any) -> int:
            self.calls.append((name, *given))
            return answer

        return call


def test_ranges_go_through_nvidias_library(monkeypatch: pytest.MonkeyPatch) -> None:
    library = FakeLibrary()
    tools = nvtx._Library(library)
    monkeypatch.setattr(nvtx, "_found", lambda: tools)
    assert nvtx.range_push("a") == nvtx.range_pop() == 1
    nvtx.range_end(nvtx.range_start("b"))
    nvtx.mark("c")
    with nvtx.range("step {}", 3):
        pass
    assert library.calls == [
        ("RangePushA", b"a"), ("RangePop",), ("RangeStartA", b"b"), ("RangeEnd", 1 << 40), ("MarkA", b"c"),
        ("RangePushA", b"step 3"), ("RangePop",),
    ]  # fmt: skip
    assert library.nvtxRangeStartA.restype is not None  # type: ignore[attr-defined]  # a handle of 64 bits


def test_ranges_go_through_nvidias_package(monkeypatch: pytest.MonkeyPatch) -> None:
    package = types.SimpleNamespace(
        push_range=lambda text: None, pop_range=lambda: None, start_range=lambda text: (7, text),
        end_range=lambda given: calls.append(given), mark=lambda text: calls.append(text),
    )  # fmt: skip
    calls: list[Any] = []
    tools = nvtx._Package(package)
    monkeypatch.setattr(nvtx, "_found", lambda: tools)
    assert [nvtx.range_push("a"), nvtx.range_push("b"), nvtx.range_pop(), nvtx.range_pop()] == [0, 1, 1, 0]
    nvtx.range_end(nvtx.range_start("c"))
    nvtx.mark("d")
    assert calls == [(7, "c"), "d"]


def test_without_nvtx_each_call_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvtx, "_found", lambda: None)
    calls: list[Callable[[], object]] = [
        lambda: nvtx.range_push("a"), nvtx.range_pop, lambda: nvtx.mark("a"), lambda: nvtx.range_start("a"),
        lambda: nvtx.range_end(1), lambda: nvtx.range("a").__enter__(),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(RuntimeError, match=r"^NVTX functions not installed\. Are you sure you have a CUDA build\?"):
            call()


def test_nvidias_profilers_record_from_start_to_stop() -> None:
    with cuda.profiler.profile():
        pass
    with override(cuda_driver="none"), pytest.raises(AssertionError, match="Torch not compiled with CUDA enabled"):
        cuda.profiler.start()


def test_what_a_gpu_does_is_asked_of_nvidias_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)  # as if it were not installed
    with pytest.raises(ModuleNotFoundError, match="nvidia-ml-py does not seem to be installed or it can't be imported"):
        cuda.utilization()
    assert cuda.list_gpu_processes() == "pynvml module not found, please install nvidia-ml-py"
    asked: list[str] = []
    process = types.SimpleNamespace(pid=12, usedGpuMemory=3 << 20)
    library = types.SimpleNamespace(
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByUUID=lambda uuid: asked.append(uuid) or 5,
        nvmlDeviceGetUtilizationRates=lambda handle: types.SimpleNamespace(gpu=handle + 1, memory=handle + 2),
        nvmlDeviceGetMemoryInfo=lambda handle: types.SimpleNamespace(used=1 << 20),
        NVML_TEMPERATURE_GPU=0, nvmlDeviceGetTemperature=lambda handle, kind: 40,
        nvmlDeviceGetPowerUsage=lambda handle: 70000,
        NVML_CLOCK_SM=1, nvmlDeviceGetClockInfo=lambda handle, kind: 1980,
        nvmlDeviceGetComputeRunningProcesses=lambda handle: [process], nvmlDeviceGetIndex=lambda handle: 1,
    )  # fmt: skip
    monkeypatch.setitem(sys.modules, "pynvml", library)  # type: ignore[arg-type]  # it has what is asked of it
    assert (cuda.utilization(1), cuda.memory_usage(), cuda.device_memory_used()) == (6, 7, 1 << 20)
    assert (cuda.temperature(), cuda.power_draw(), cuda.clock_rate()) == (40, 70000, 1980)
    assert cuda.list_gpu_processes(1) == "GPU:1\nprocess         12 uses        3.000 MB GPU memory"
    assert asked[0] == "GPU-00000000-0000-0000-0000-000000000001"


WAITS: dict[str, Callable[[Any], object]] = {
    "item": lambda x: x[0].item(),
    "bool": lambda x: bool(x[0] > 0),
    "cpu": lambda x: x.cpu(),
    "nonzero": lambda x: x.nonzero(),
    "cuda": lambda x: here.ones(20).cuda(),
    "mask": lambda x: x[x > 0],
}


@pytest.mark.parametrize("name", WAITS)
def test_waits_are_told_of(name: str) -> None:
    x = here.arange(3.0, device="cuda")
    assert cuda.get_sync_debug_mode() == 0
    WAITS[name](x)
    cuda.set_sync_debug_mode("warn")
    with pytest.warns(UserWarning, match="called a synchronizing CUDA operation"):
        WAITS[name](x)
    cuda.set_sync_debug_mode(2)
    with pytest.raises(RuntimeError, match="called a synchronizing CUDA operation"):
        WAITS[name](x)


def test_what_only_launches_is_no_wait() -> None:
    x = here.arange(6.0, device="cuda", requires_grad=True)
    cuda.set_sync_debug_mode("error")
    y = nn.functional.layer_norm(x.reshape(2, 3) * 2, (3,))[here.zeros(2, dtype=here.int64, device="cuda")]
    (y.softmax(-1) + here.rand(2, 3, device="cuda")).sum().backward()
    cuda.synchronize()


def test_kernels_are_timed(tmp_path: Path) -> None:
    x = here.arange(6.0, device="cuda")
    assert profiler.ProfilerActivity.CUDA in profiler.supported_activities()
    program = here.compile(lambda x: (x.sin().sum() + x).cumsum(0))
    for _ in range(3):
        program(x)  # by now as a CUDA graph
    with profiler.profile(activities=list(profiler.supported_activities())) as found:
        with profiler.record_function("step"):
            program(x)
            (x + 1).cos()
        program(x)
    events = found.key_averages()
    kernels = [event for event in events if event.device_time_total > 0]
    assert len(kernels) >= 3
    assert sum(event.count for event in kernels) > len(kernels)  # those of the program ran twice
    assert all(event.device_time == event.self_device_time_total / event.count for event in kernels)
    table = events.table(sort_by="cuda_time_total")
    assert table.splitlines()[3].split()[0] == max(kernels, key=lambda event: event.device_time_total).key
    assert "Self CUDA %" in table
    assert "Self CUDA time total" in table
    assert events.total_average().device_time_total == events.device_time_total
    found.export_chrome_trace(str(tmp_path / "trace.json"))
    trace = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    assert {each["name"] for each in trace} == {event.key for event in events}
    x.sin()
    assert [event.count for event in found.key_averages()] == [event.count for event in events]


def test_kernels_of_scheduled_steps() -> None:
    x = here.arange(6.0, device="cuda")
    seen: list[int] = []
    with profiler.profile(
        schedule=profiler.schedule(wait=1, warmup=0, active=2, repeat=1),
        on_trace_ready=lambda found: seen.append(sum(event.count for event in found.key_averages())),
    ) as found:
        for _ in range(4):
            x.sin()
            found.step()
    assert seen == [2]


def test_without_a_gpu_no_kernels_are_timed() -> None:
    with override(cuda_driver="none"):
        assert profiler.supported_activities() == {profiler.ProfilerActivity.CPU}
        with pytest.warns(UserWarning, match="CUDA is not available, disabling CUDA profiling"):
            profiler.profile(activities=[profiler.ProfilerActivity.CUDA])


def test_accelerators() -> None:
    with accelerator.device_index(1), accelerator.device_index(None):
        assert accelerator.current_device_index() == 1
        x = here.ones(1000, device="cuda")
        assert accelerator.memory_stats()["allocated_bytes.all.current"] == accelerator.memory_allocated() >= 4000
        assert accelerator.max_memory_reserved() >= 2 << 20
    assert accelerator.current_device_index() == 0
    accelerator.reset_peak_memory_stats(1)
    accelerator.reset_accumulated_memory_stats(1)
    assert accelerator.memory_stats(1)["allocation.all.allocated"] == 0
    del x
    assert accelerator.get_memory_info(0)[1] == 64 << 20
    assert here.bfloat16 in accelerator.get_device_capability()["supported_dtypes"]
    accelerator.empty_host_cache()
    with pytest.warns(FutureWarning, match="Use `current_device_index` instead"):
        assert accelerator.current_device_idx() == 0
    with pytest.warns(FutureWarning, match="Use `set_device_index` instead"):
        accelerator.set_device_idx(1)
    assert accelerator.current_device_index() == 1


def test_streams_and_events_without_the_name_of_the_device() -> None:
    stream = here.Stream(device="cuda")
    start, end = here.Event(enable_timing=True), here.Event(device="cuda", enable_timing=True, blocking=True)
    with stream:
        start.record()
        x = here.ones(3, device="cuda") * 2
        end.record(stream)
    end.synchronize()
    assert (start.elapsed_time(end) >= 0, x.tolist(), stream.is_capturing()) == (True, [2, 2, 2], False)
    assert stream.__cuda_stream__() == (0, stream.cuda_stream)
    assert here.AcceleratorError is cuda.CudaError
    with pytest.raises(RuntimeError, match="there are no events of cpu"):
        here.Event("cpu")


def test_streams_of_the_cpu_are_done() -> None:
    first = here.cpu.current_stream()
    other = here.cpu.Stream()
    with here.cpu.stream(other), here.cpu.stream(None):
        assert here.cpu.current_stream() is other
        other.wait_stream(first)
        other.record_event()
    assert here.cpu.current_stream() is first
    event = here.cpu.Event()
    event.record()
    other.wait_event(event)
    event.wait()
    event.synchronize()
    assert event.query()


def test_graphs_of_accelerators() -> None:
    x = here.ones(3, device="cuda")
    graph = accelerator.Graph()
    with here.cuda.Stream(), graph:
        y = x + 1
    graph.replay()
    assert (y.tolist(), graph.pool()[0] > 0) == ([2, 2, 2], True)
    graph.reset()
    with pytest.raises(ZeroDivisionError), here.cuda.Stream(), graph:
        raise ZeroDivisionError
    with pytest.raises(RuntimeError, match="CUDA graphs must be captured on a non-default stream"), graph:
        pass
    with override(cuda_driver="none"), pytest.raises(RuntimeError, match="Cannot access accelerator device when none"):
        accelerator.Graph()


def test_ways_to_attend_are_chosen_for_a_while() -> None:
    def allowed() -> tuple[bool, ...]:
        return (
            backends.cuda.flash_sdp_enabled(), backends.cuda.mem_efficient_sdp_enabled(),
            backends.cuda.math_sdp_enabled(), backends.cuda.cudnn_sdp_enabled(),
        )  # fmt: skip

    assert allowed() == (True, True, True, True)
    with nn.attention.sdpa_kernel([nn.attention.SDPBackend.MATH, nn.attention.SDPBackend.FLASH_ATTENTION]):
        assert allowed() == (True, False, True, False)
    with (
        pytest.warns(FutureWarning, match=r"`torch.backends.cuda.sdp_kernel\(\)` is deprecated"),
        backends.cuda.sdp_kernel(enable_flash=False),
    ):
        assert allowed() == (False, True, True, True)
    assert allowed() == (True, True, True, True)
    assert backends.cuda.fp16_bf16_reduction_math_sdp_allowed() is False
    backends.cuda.allow_fp16_bf16_reduction_math_sdp(True)
    assert backends.cuda.fp16_bf16_reduction_math_sdp_allowed() is True
    backends.cuda.allow_fp16_bf16_reduction_math_sdp(False)


def test_libraries_that_are_not_used() -> None:
    q = here.ones(1, 1, 2, 8)
    params = backends.cuda.SDPAParams(q, q, q, None, 0.0, False, False)
    assert not backends.cuda.is_flash_attention_available()
    assert not backends.cuda.is_ck_sdpa_available()
    questions = (
        backends.cuda.can_use_flash_attention, backends.cuda.can_use_efficient_attention,
        backends.cuda.can_use_cudnn_attention,
    )  # fmt: skip
    for question in questions:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert not question(params)
        with pytest.warns(UserWarning, match="is no part of graphc"):
            question(params, debug=True)
    assert backends.cuda.preferred_linalg_library() is backends.cuda.preferred_linalg_library("default")
    assert backends.cuda.preferred_blas_library().name == "Default"


REFUSED: dict[str, tuple[Callable[[], object], type[Exception], str]] = {
    "mode": (lambda: cuda.set_sync_debug_mode("x"), RuntimeError, "invalid value of debug_mode, expected one of"),
    "number of a mode": (lambda: cuda.set_sync_debug_mode(3), RuntimeError, "invalid value of debug_mode, expected 0"),
    "library": (
        lambda: backends.cuda.preferred_linalg_library("magma"), RuntimeError, "Cannot set preferred backend to magma"
    ),
    "no library": (
        lambda: backends.cuda.preferred_blas_library("x"), RuntimeError, "Unknown input value. Choose from: default"
    ),
    "nothing": (lambda: backends.cuda.preferred_blas_library(3), RuntimeError, "Unknown input value type."),
    "plans": (lambda: backends.cuda.cufft_plan_cache, AttributeError, "graphc.backends.cuda has no cufft_plan_cache"),
    "no such name": (lambda: backends.cuda.nothing, AttributeError, "module 'graphc.backends.cuda' has no attribute"),
    "nccl": (lambda: cuda.nccl, AttributeError, "graphc.cuda has no nccl"),
    "comm": (lambda: cuda.comm, AttributeError, "graphc.cuda has no comm"),
    "storages": (lambda: cuda.FloatStorage, AttributeError, "graphc.cuda has no FloatStorage"),
    "allocators": (lambda: cuda.CUDAPluggableAllocator, AttributeError, "graphc.cuda has no CUDAPluggableAllocator"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str) -> None:
    call, error, text = REFUSED[name]
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value).startswith(text)


def test_options_of_nvidias_compiler() -> None:
    assert "-gencode compute=compute_90,code=sm_90" in cuda.get_gencode_flags()
    assert {"CUDAGraph", "FloatTensor", "nvtx"} <= set(dir(cuda))
    assert cuda.AcceleratorError is cuda.CudaError
    with override(cuda_driver="none"):
        assert cuda.get_gencode_flags() == ""
