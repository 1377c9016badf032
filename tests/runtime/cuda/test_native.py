"""The CUDA driver's calls: their signatures, the order of arguments, what comes out, and errors; no GPU is needed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from graphc.ir.errors import DeviceUnavailable, GraphcError, MemoryExceeded
from graphc.kernel.gpu import GpuTarget
from graphc.runtime.cuda import bindings, library
from graphc.runtime.cuda.calls import CALLS
from graphc.runtime.cuda.driver import CudaError, Image, KernelUsage
from graphc.runtime.cuda.native import NativeDriver
from tests.runtime.cuda import fake_driver
from tests.runtime.cuda.fake_driver import CUBIN, FakeDriver, declarations, is_output

C_TYPES = {
    "int": {"int", "void"},
    "uint": {"unsigned int"},
    "ulong": {"unsigned long long"},
    "size": {"size_t"},
    "byte": {"unsigned char"},
    "short": {"unsigned short"},
    "device": {"CUdevice"},
    "address": {"CUdeviceptr"},
    "pointer": {"void*", "const void*", "void**"},
    "handle": {"CUcontext", "CUstream", "CUevent", "CUlinkState", "CUmodule", "CUfunction", "CUgraph", "CUgraphExec"},
    "data": {"void*", "const void*"},
    "string": {"const char*"},
    "float": {"float"},
    "attribute": {"CUdevice_attribute"},
    "function_attribute": {"CUfunction_attribute"},
    "pointer_attribute": {"CUpointer_attribute"},
    "capture_mode": {"CUstreamCaptureMode"},
    "capture_status": {"CUstreamCaptureStatus"},
    "input": {"CUjitInputType"},
    "result": {"CUresult"},
    "text": {"char"},
    "uuid": {"CUuuid"},
}


def test_signatures_are_those_of_the_header() -> None:
    declared = declarations()
    assert {call.symbol for call in CALLS.values()} == set(declared)
    for call in CALLS.values():
        kinds = [k for kind in call.parameters for k in (("uint", "o", "o") if kind == "options" else (kind,))]
        assert len(kinds) == len(declared[call.symbol]), call.symbol
        for kind, (c_type, name) in zip(kinds, declared[call.symbol]):
            if kind == "o":
                assert name in ("options", "optionValues")
            elif kind.startswith("*"):
                assert is_output(c_type, name), f"{call.symbol}: {name}"
                pointed = c_type.removesuffix("*")
                assert pointed in C_TYPES[kind[1:]] | ({"void*"} if kind == "*pointer" else set()), call.symbol
            else:
                assert not is_output(c_type, name), f"{call.symbol}: {name}"
                assert c_type in C_TYPES[kind], f"{call.symbol}: {name} is {c_type}, not {kind}"


def make(way: str) -> tuple[FakeDriver, NativeDriver]:
    """A fake, and the driver over it."""
    fake = FakeDriver()
    if way == "ctypes":
        return fake, NativeDriver(way, library.functions_of(fake.library()))
    return fake, NativeDriver(way, bindings.functions_of(fake.bindings()))


@pytest.fixture(params=["ctypes", "cuda-bindings"])
def pair(request: pytest.FixtureRequest) -> tuple[FakeDriver, NativeDriver]:
    return make(request.param)


IMAGE = Image("k", ".version 7.8", "")
LOG = {5: 8192, 6: 8192}
METHODS: list[tuple[Callable[[NativeDriver], Any], Any, list[tuple[Any, ...]]]] = [
    (lambda d: d.version(), 12040, [("cuDriverGetVersion",)]),
    (lambda d: (d.device_count(), d.device_count()), (2, 2), [("cuInit", 0), *[("cuDeviceGetCount",)] * 2]),
    (lambda d: d.can_access_peer(0, 1), True, [("cuDeviceCanAccessPeer", 7, 7)]),
    (lambda d: d.device_of(99), 2, [("cuPointerGetAttribute", 2, 99), ("cuPointerGetAttribute", 9, 99)]),
    (
        lambda d: (d.activate(1), d.activate(1))[0],
        None,
        [("cuDevicePrimaryCtxRetain", 7), ("cuCtxSetCurrent", 0x1000), ("cuCtxSetCurrent", 0x1000)],
    ),
    (
        lambda d: (d.activate(1), d.restore(d.current()))[1],
        None,
        [
            ("cuDevicePrimaryCtxRetain", 7),
            ("cuCtxSetCurrent", 0x1000),
            ("cuCtxGetCurrent",),
            ("cuCtxSetCurrent", 0x1001),
        ],
    ),
    (lambda d: d.memory_info(), (5, 9), [("cuMemGetInfo",)]),
    (lambda d: d.allocate(1 << 40), 0x1000, [("cuMemAlloc", 1 << 40)]),
    (lambda d: d.free(1 << 47), None, [("cuMemFree", 1 << 47)]),
    (lambda d: d.allocate_pinned(64), 0x1000, [("cuMemHostAlloc", 64, 1)]),
    (lambda d: d.free_pinned(1 << 46), None, [("cuMemFreeHost", 1 << 46)]),
    (
        lambda d: (d.is_pinned(d.allocate_pinned(64) + 63), d.is_pinned(0x1000 + 64), d.free_pinned(0x1000))[:2],
        (True, False),
        [("cuMemHostAlloc", 64, 1), ("cuMemFreeHost", 0x1000)],
    ),
    (lambda d: d.copy_to_device(1 << 47, 22, 33, 44), None, [("cuMemcpyHtoDAsync", 1 << 47, 22, 33, 44)]),
    (lambda d: d.copy_to_host(11, 1 << 47, 33, 44), None, [("cuMemcpyDtoHAsync", 11, 1 << 47, 33, 44)]),
    (lambda d: d.copy_on_device(11, 22, 33, 0), None, [("cuMemcpyAsync", 11, 22, 33, 0)]),
    (lambda d: d.fill(11, 255, 1, 3, 4), None, [("cuMemsetD8Async", 11, 255, 3, 4)]),
    (lambda d: d.fill(11, 65535, 2, 3, 4), None, [("cuMemsetD16Async", 11, 65535, 3, 4)]),
    (lambda d: d.fill(11, 0xFFFFFFFF, 4, 3, 4), None, [("cuMemsetD32Async", 11, 0xFFFFFFFF, 3, 4)]),
    (lambda d: d.synchronize(), None, [("cuCtxSynchronize",)]),
    (lambda d: d.create_stream(-1), 0x1000, [("cuStreamCreateWithPriority", 1, -1)]),
    (lambda d: d.destroy_stream(5), None, [("cuStreamDestroy", 5)]),
    (lambda d: d.synchronize_stream(5), None, [("cuStreamSynchronize", 5)]),
    (lambda d: d.is_stream_idle(5), True, [("cuStreamQuery", 5)]),
    (lambda d: d.create_event(True), 0x1000, [("cuEventCreate", 0)]),
    (lambda d: d.create_event(False), 0x1000, [("cuEventCreate", 2)]),
    (lambda d: d.create_event(False, is_blocking=True), 0x1000, [("cuEventCreate", 3)]),
    (lambda d: d.destroy_event(6), None, [("cuEventDestroy", 6)]),
    (lambda d: d.record_event(6, 5), None, [("cuEventRecord", 6, 5)]),
    (lambda d: d.wait_for_event(5, 6), None, [("cuStreamWaitEvent", 5, 6, 0)]),
    (lambda d: d.synchronize_event(6), None, [("cuEventSynchronize", 6)]),
    (lambda d: d.is_event_done(6), True, [("cuEventQuery", 6)]),
    (lambda d: d.elapsed(6, 8), 1.5, [("cuEventElapsedTime", 6, 8)]),
    (
        lambda d: d.compile(IMAGE),
        CUBIN,
        [
            ("cuLinkCreate", {}),
            ("cuLinkAddData", 0x1000, 1, b".version 7.8", 13, b"k", {}),
            ("cuLinkComplete", 0x1000),
            ("cuLinkDestroy", 0x1000),
        ],
    ),
    (lambda d: d.load(IMAGE), 0x1000, [("cuModuleLoadDataEx", b".version 7.8", LOG)]),
    (lambda d: d.load(Image("k", "p", "", b"cubin")), 0x1000, [("cuModuleLoadDataEx", b"cubin", LOG)]),
    (lambda d: d.unload(9), None, [("cuModuleUnload", 9)]),
    (lambda d: d.function(9, "k"), 0x1000, [("cuModuleGetFunction", 9, b"k")]),
    (
        lambda d: d.usage(9, 128, 64),
        KernelUsage(0x1000, 0x1001, 0x1002, 0x1003),
        [
            *(("cuFuncGetAttribute", attribute, 9) for attribute in (4, 3, 1)),
            ("cuOccupancyMaxActiveBlocksPerMultiprocessor", 9, 128, 64),
        ],
    ),
    (lambda d: d.allow_shared(9, 100_000), None, [("cuFuncSetAttribute", 9, 8, 100_000)]),
    (
        lambda d: d.launch(9, 5, 128, 64, 44, [1 << 47, -3, 7]),
        None,
        [("cuLaunchKernel", 9, 5, 1, 1, 128, 1, 1, 64, 44, (1 << 47, -3, 7), 0)],
    ),
    (
        lambda d: (d.launch(9, 1, 32, 0, 0, [1, 2, 3]), d.launch(9, 1, 32, 0, 0, (4, 5, (1 << 64) - 1)))[0],
        None,
        [("cuLaunchKernel", 9, 1, 1, 1, 32, 1, 1, 0, 0, words, 0) for words in ((1, 2, 3), (4, 5, -1))],
    ),
    (lambda d: (d.start_profiler(), d.stop_profiler()), (None, None), [("cuProfilerStart",), ("cuProfilerStop",)]),
    (lambda d: d.is_stream_capturing(5), True, [("cuStreamIsCapturing", 5)]),
    (lambda d: d.begin_capture(5), None, [("cuStreamBeginCapture", 5, 2)]),
    (
        lambda d: (d.begin_capture(5), d.end_capture(5))[1],
        0x1001,
        [
            ("cuStreamBeginCapture", 5, 2),
            ("cuStreamEndCapture", 5),
            ("cuGraphInstantiate", 0x1000, 0),
            ("cuGraphDestroy", 0x1000),
        ],
    ),
    (lambda d: d.launch_graph(3, 5), None, [("cuGraphLaunch", 3, 5)]),
    (lambda d: d.destroy_graph(3), None, [("cuGraphExecDestroy", 3)]),
]


@pytest.mark.parametrize("way", ["ctypes", "cuda-bindings"])
def test_each_method_makes_its_calls(way: str) -> None:
    preparation = {"cuInit", "cuDeviceGetCount", "cuDeviceGet"}
    for number, (method, result, calls) in enumerate(METHODS):
        fake, driver = make(way)
        assert method(driver) == result, f"method {number}"
        wanted = {call[0] for call in calls}
        made = [call for call in fake.calls if call[0] in wanted or call[0] not in preparation]
        assert made == calls, f"method {number}"


def test_a_wait_for_all_streams_waits_for_the_end_of_a_capture(pair: tuple[FakeDriver, NativeDriver]) -> None:
    fake, driver = pair
    driver.begin_capture(5)
    waiting = threading.Thread(target=driver.synchronize)
    waiting.start()
    waiting.join(0.05)
    assert waiting.is_alive()
    driver.end_capture(5)
    waiting.join()
    fake.statuses = {"cuStreamBeginCapture": 1, "cuStreamEndCapture": 1}
    with pytest.raises(CudaError, match="cuStreamBeginCapture"):
        driver.begin_capture(5)
    fake.statuses = {"cuStreamEndCapture": 1}
    driver.begin_capture(5)
    with pytest.raises(CudaError, match="cuStreamEndCapture"):
        driver.end_capture(5)
    free = threading.Thread(target=driver.synchronize)
    free.start()
    free.join(10)
    assert not free.is_alive()


def test_properties(pair: tuple[FakeDriver, NativeDriver]) -> None:
    assert pair[1].target(0) == GpuTarget(90)
    found = pair[1].properties(0)
    assert (found.name, found.capability, found.total_memory) == ("Fake GPU", (9, 0), 80 << 30)
    assert (found.multiprocessors, found.shared_bytes_per_block, found.l2_bytes) == (132, 232448, 380)
    assert found.uuid == "00010203-0405-0607-0809-0a0b0c0d0e0f"
    assert found.pci == (330, 340, 500)


@pytest.mark.parametrize("call", ["cuLinkCreate", "cuLinkAddData", "cuLinkComplete"])
def test_where_the_drivers_linker_fails_loading_compiles(pair: tuple[FakeDriver, NativeDriver], call: str) -> None:
    fake, driver = pair
    fake.statuses = {call: 1}
    assert driver.compile(IMAGE) == b""
    made = [each[0] for each in fake.calls]
    assert made[-3:] == ["cuModuleLoadDataEx", "cuModuleGetFunction", "cuModuleUnload"]
    assert ("cuLinkDestroy" in made) is (call != "cuLinkCreate")


def test_what_is_not_done_is_no_error(pair: tuple[FakeDriver, NativeDriver]) -> None:
    fake, driver = pair
    fake.statuses = {"cuStreamQuery": 600, "cuEventQuery": 600}
    assert not driver.is_stream_idle(5)
    assert not driver.is_event_done(6)


ERRORS: list[tuple[dict[str, int], Callable[[NativeDriver], Any], type[GraphcError], str]] = [
    (
        {"cuMemAlloc": 2},
        lambda d: d.allocate(64),
        MemoryExceeded,
        "CUDA error: out of memory (CUDA_ERROR_OUT_OF_MEMORY in cuMemAlloc)\n  free what is no longer needed",
    ),
    (
        {"cuStreamSynchronize": 700},
        lambda d: (d.function(9, "add"), d.launch(0x1000, 1, 32, 0, 0, [1, 2, 3]), d.synchronize_stream(5)),
        CudaError,
        "CUDA error: illegal access (CUDA_ERROR_ILLEGAL_ADDRESS in cuStreamSynchronize)\n"
        "  launched last: add; with CUDA_LAUNCH_BLOCKING=1 in the environment the launch of the kernel that failed "
        "raises the error",
    ),
    (
        {"cuLaunchKernel": 1},
        lambda d: (d.function(9, "add"), d.launch(0x1000, 1, 32, 0, 0, [1, 2, 3])),
        CudaError,
        "CUDA error: unknown error (error 1 in cuLaunchKernel of kernel add)",
    ),
    (
        {"cuLinkAddData": 218, "cuModuleLoadDataEx": 218},
        lambda d: d.compile(IMAGE),
        CudaError,
        "CUDA error: unknown error (error 218 in cuLinkAddData of kernel k)\n  the driver's compiler says: line 3: bad",
    ),
    (
        {"cuModuleLoadDataEx": 209},
        lambda d: d.load(IMAGE),
        CudaError,
        "CUDA error: unknown error (error 209 in cuModuleLoadDataEx of kernel k)\n"
        "  the driver's compiler says: line 3: bad",
    ),
    (
        {"cuLinkCreate": 1, "cuModuleGetFunction": 209},
        lambda d: d.compile(IMAGE),
        CudaError,
        "CUDA error: unknown error (error 1 in cuLinkCreate)",
    ),
    (
        {"cuModuleLoadDataEx": 222},
        lambda d: d.load(IMAGE),
        CudaError,
        "CUDA error: unknown error (error 222 in cuModuleLoadDataEx of kernel k)\n"
        "  the code needs a newer NVIDIA driver: update it; the driver's compiler says: line 3: bad",
    ),
    ({"cuInit": 1}, lambda d: d.device_count(), CudaError, "CUDA error: unknown error (error 1 in cuInit)"),
]


@pytest.mark.parametrize("statuses, method, error, text", ERRORS, ids=[str(each[0]) for each in ERRORS])
def test_errors_name_the_call_and_the_cause(
    pair: tuple[FakeDriver, NativeDriver],
    statuses: dict[str, int],
    method: Callable[[NativeDriver], Any],
    error: type[GraphcError],
    text: str,
) -> None:
    fake, driver = pair
    fake.statuses, fake.log = statuses, b"line 3: bad"
    with pytest.raises(error) as caught:
        method(driver)
    assert str(caught.value) == text


def test_no_device_is_no_error(pair: tuple[FakeDriver, NativeDriver]) -> None:
    fake, driver = pair
    fake.statuses = {"cuInit": 100}
    assert driver.device_count() == 0


def test_the_context_is_each_threads_own(pair: tuple[FakeDriver, NativeDriver]) -> None:
    fake, driver = pair
    driver.activate(0)
    driver.activate(1)
    driver.activate(0)
    contexts = [call[1] for call in fake.calls if call[0] == "cuCtxSetCurrent"]
    assert contexts == [0x1000, 0x1001, 0x1000]
    assert sum(call[0] == "cuDevicePrimaryCtxRetain" for call in fake.calls) == 2


def test_code_for_an_older_gpu_serves_a_newer_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fake_driver, "ATTRIBUTES", {75: 9, 76: 5})
    assert make("ctypes")[1].target(0) == GpuTarget(90, allow_warpgroups=False)
    monkeypatch.setattr(fake_driver, "ATTRIBUTES", {75: 6, 76: 1})
    with pytest.raises(CudaError, match=r"Fake GPU has compute capability 6\.1, and graphc needs 7\.5 or newer"):
        make("ctypes")[1].target(0)


def test_the_only_context_is_set_once_in_each_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(fake_driver.ANSWERS, "cuDeviceGetCount", (1,))
    fake, driver = make("ctypes")
    for _ in range(3):
        driver.activate(0)
    assert [call[1] for call in fake.calls if call[0] == "cuCtxSetCurrent"] == [0x1000]
    for context in (0x77, 0x1000):  # another library's, and that of the device
        driver.restore(context)
        driver.activate(0)
    assert [call[1] for call in fake.calls if call[0] == "cuCtxSetCurrent"] == [0x1000, 0x77, 0x1000, 0x1000]


@pytest.mark.parametrize(
    "capability, version, target",
    [
        ((8, 8), 12080, 87),
        ((8, 8), 13000, 88),
        ((10, 0), 12080, 100),
        ((10, 3), 12080, 100),
        ((10, 3), 12090, 103),
        ((12, 1), 12080, 120),
        ((13, 0), 13020, 121),
    ],
)
def test_code_is_such_as_the_driver_takes(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], version: int, target: int
) -> None:
    monkeypatch.setattr(fake_driver, "ATTRIBUTES", {75: capability[0], 76: capability[1]})
    monkeypatch.setitem(fake_driver.ANSWERS, "cuDriverGetVersion", (version,))
    assert make("ctypes")[1].target(0).capability == target


@pytest.mark.parametrize(
    "capability, version, is_allowed", [((9, 0), 11080, False), ((9, 0), 12000, True), ((10, 0), 12000, False)]
)
def test_code_for_one_generation_is_for_that_and_newer_drivers(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], version: int, is_allowed: bool
) -> None:
    monkeypatch.setattr(fake_driver, "ATTRIBUTES", {75: capability[0], 76: capability[1]})
    monkeypatch.setitem(fake_driver.ANSWERS, "cuDriverGetVersion", (version,))
    assert make("ctypes")[1].target(0) == GpuTarget(90, allow_warpgroups=is_allowed)


def test_a_library_without_a_symbol_is_too_old() -> None:
    functions = vars(FakeDriver().library())
    del functions["cuGraphInstantiateWithFlags"]
    with pytest.raises(DeviceUnavailable, match="has no cuGraphInstantiateWithFlags, which drivers"):
        library.functions_of(SimpleNamespace(**functions))
