"""The driver without a GPU: what it refuses, as a GPU would, and what it notes for later."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from graphc.ir.errors import MemoryExceeded
from graphc.kernel.parse import parse_kernel
from graphc.kernel.text import print_kernel
from graphc.runtime.cuda.array import address_of, empty, from_host, to_host
from graphc.runtime.cuda.code import Loaded, loaded
from graphc.runtime.cuda.driver import CudaError, Image
from graphc.runtime.cuda.emulator import Emulator

ADD_ONE = parse_kernel(
    """
    kernel add_one {
      size n
      read x: f32[n]
      write y: f32[n]
      %n: i64 = position n
      block b < ((n + 63) // 64) {
        thread t < 64 {
          %at: i64 = position 64*b + t
          %in: bool = lt %at, %n
          if %in {
            %0: f32 = load x[64*b + t]
            %1: f32 = add %0, 1.0:f32
            store y[64*b + t] = %1
            %2: bool = lt %0, 100.0:f32
            check %2 else 7
          }
        }
      }
    }
    """
)


@pytest.fixture
def code(emulator: Emulator) -> Loaded:
    return loaded(ADD_ONE, 0)


def test_a_launch_runs_the_kernel(emulator: Emulator, code: Loaded) -> None:
    x, y = from_host(np.arange(100, dtype=np.float32), 0), empty((100,), np.float32, 0)
    code.launch([address_of(x), address_of(y)], [100], 0, 0)
    np.testing.assert_array_equal(to_host(y), np.arange(100, dtype=np.float32) + 1)
    launches = emulator.launches
    code.launch([address_of(x), address_of(y)], [0], 0, 0)
    assert emulator.launches == launches, "a grid without blocks is not launched"


def test_a_check_that_fails_writes_its_code(emulator: Emulator, code: Loaded) -> None:
    x = from_host(np.full(3, 200, np.float32), 0)
    word = emulator.allocate_pinned(4)
    code.launch([address_of(x), address_of(x)], [3], word, 0)
    assert emulator._pinned[word].view(np.int32)[0] == 7
    emulator.free_pinned(word)


def test_work_that_is_noted_is_done_when_the_graph_is_launched(emulator: Emulator, code: Loaded) -> None:
    x = from_host(np.zeros(70, np.float32), 0)
    stream = emulator.create_stream()
    emulator.begin_capture(stream)
    code.launch([address_of(x)] * 2, [70], 0, stream)
    emulator.fill(address_of(x), 0x40400000, 4, 1, stream)
    graph = emulator.end_capture(stream)
    assert to_host(x).max() == 0
    emulator.launch_graph(graph, 0)
    emulator.launch_graph(graph, stream)
    np.testing.assert_array_equal(to_host(x), [3.0] + [2.0] * 69)
    emulator.destroy_graph(graph)
    emulator.destroy_stream(stream)


def failing_launches() -> dict[str, tuple[Callable[[Loaded, int, int], Any], str]]:
    return {
        "memory that is not allocated": (
            lambda code, x, y: code.launch([x, x + (1 << 21)], [100], 0, 0),
            r"kernel add_one failed: an illegal memory access was encountered: y is 400 bytes at 0x\w+, which device 0 "
            "has not allocated",
        ),
        "memory of another device": (
            lambda code, x, y: code.launch([x, y], [100], 0, 0),
            "y is 400 bytes at 0x\\w+, which device 0 has not allocated",
        ),
        "an address that is not aligned": (
            lambda code, x, y: code.launch([x + 4, x], [10], 0, 0),
            "kernel add_one failed: misaligned address: x starts at",
        ),
        "too few parameters": (
            lambda code, x, y: code._driver.launch(code._function, 1, 64, 0, 0, [x, y, 1]),
            "kernel add_one failed: 3 parameters are given",
        ),
        "another grid": (
            lambda code, x, y: code._driver.launch(code._function, 3, 64, 0, 0, [x, x, 100, 0]),
            "it has 2 blocks and 0 bytes of dynamic shared memory, and is launched with 3 and 0",
        ),
        "another block": (
            lambda code, x, y: code._driver.launch(code._function, 2, 32, 0, 0, [x, x, 100, 0]),
            r"invalid argument \(add_one\) \(CUDA_ERROR_INVALID_VALUE in cuLaunchKernel\)",
        ),
        "a stream of another device": (
            lambda code, x, y: code.launch([x, x], [100], 0, of_another(code._driver)),
            "invalid resource handle",
        ),
        "an unknown kernel": (
            lambda code, x, y: code._driver.launch(1 << 40, 1, 64, 0, 0, [x, x, 1, 0]),
            "invalid resource handle",
        ),
    }


@pytest.mark.parametrize("name", failing_launches())
def test_a_launch_that_fails(emulator: Emulator, code: Loaded, name: str) -> None:
    x, y = empty((100,), np.float32, 0), empty((100,), np.float32, 1)
    launch, text = failing_launches()[name]
    emulator.activate(0)
    with pytest.raises(CudaError, match=text):
        launch(code, address_of(x), address_of(y))


def test_a_fault_of_the_kernel_names_it(emulator: Emulator) -> None:
    kernel = parse_kernel(
        "kernel race { write y: f32[64]  block b < 1 { thread t < 64 { store y[0] = 1.0:f32  store y[t] = 2.0:f32 } } }"
    )
    y = empty((64,), np.float32, 0)
    with pytest.raises(CudaError, match=r"^CUDA error: kernel race failed: .*y\[0\]"):
        loaded(kernel, 0).launch([address_of(y)], [], 0, 0)


def of_another(emulator: Any) -> int:
    """A stream of the second device; the first one is current."""
    emulator.activate(1)
    stream: int = emulator.create_stream()
    emulator.activate(0)
    return stream


REFUSED: dict[str, tuple[Callable[[Emulator], Any], str]] = {
    "freed twice": (lambda d: d.free(1 << 20), "CUDA_ERROR_INVALID_VALUE in cuMemFree"),
    "pinned memory freed twice": (lambda d: d.free_pinned(1 << 20), "CUDA_ERROR_INVALID_VALUE in cuMemFreeHost"),
    "no bytes": (lambda d: d.allocate(0), "CUDA_ERROR_INVALID_VALUE in cuMemAlloc"),
    "no such device": (lambda d: d.activate(2), "CUDA_ERROR_INVALID_DEVICE in cuDevicePrimaryCtxRetain"),
    "no such stream": (lambda d: d.synchronize_stream(1 << 40), "CUDA_ERROR_INVALID_HANDLE in cuStreamSynchronize"),
    "the default stream goes": (lambda d: d.destroy_stream(0), "CUDA_ERROR_INVALID_HANDLE in cuStreamDestroy"),
    "no such event": (lambda d: d.record_event(1 << 40, 0), "CUDA_ERROR_INVALID_HANDLE in cuEventRecord"),
    "events without time": (lambda d: d.elapsed(*[d.create_event(True)] * 2), "INVALID_HANDLE in cuEventElapsedTime"),
    "no such graph": (lambda d: d.launch_graph(1 << 40, 0), "CUDA_ERROR_INVALID_HANDLE in cuGraphLaunch"),
    "a graph that is gone": (lambda d: d.destroy_graph(1 << 40), "INVALID_HANDLE in cuGraphExecDestroy"),
    "the default stream notes": (lambda d: d.begin_capture(0), "CAPTURE_UNSUPPORTED in cuStreamBeginCapture"),
    "a stream that notes nothing": (lambda d: d.end_capture(0), "CUDA_ERROR_ILLEGAL_STATE in cuStreamEndCapture"),
    "no kernel": (lambda d: d.load(Image("k", "", "kernel")), "CUDA_ERROR_INVALID_IMAGE in cuModuleLoadDataEx"),
    "unloaded twice": (lambda d: d.unload(1 << 40), "CUDA_ERROR_INVALID_HANDLE in cuModuleUnload"),
    "no such module": (lambda d: d.function(1 << 40, "k"), "CUDA_ERROR_NOT_FOUND in cuModuleGetFunction"),
    "too much shared memory": (lambda d: d.allow_shared(1, 1 << 20), "CUDA_ERROR_INVALID_VALUE in cuFuncSetAttribute"),
    "copies beyond": (lambda d: d.copy_to_host(0, 1 << 20, 4, 0), "no memory of 4 bytes at 0x100000"),
    "words at any address": (lambda d: d.fill((1 << 20) + 2, 0, 4, 1, 0), "INVALID_VALUE in cuMemsetD32Async"),
    "a stream of another device": (lambda d: d.fill(1 << 20, 0, 4, 1, of_another(d)), "INVALID_HANDLE in cuMems"),
    "an event of another device": (
        lambda d: d.record_event(d.create_event(False), of_another(d)),
        "CUDA_ERROR_INVALID_HANDLE in cuEventRecord",
    ),
    "machine code": (lambda d: d.compile(Image("k", "", "")), "CUDA_ERROR_NOT_SUPPORTED in cuLinkAddData"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_driver_refuses(emulator: Emulator, name: str) -> None:
    emulator.activate(0)
    call, text = REFUSED[name]
    with pytest.raises(CudaError, match=text):
        call(emulator)


def test_the_host_does_not_wait_for_a_stream_that_notes(emulator: Emulator) -> None:
    emulator.activate(0)
    stream = emulator.create_stream()
    emulator.begin_capture(stream)
    for wait in (emulator.synchronize, lambda: emulator.synchronize_stream(stream)):
        with pytest.raises(CudaError, match="CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"):
            wait()
    with pytest.raises(CudaError, match="CUDA_ERROR_STREAM_CAPTURE_INVALIDATED"):
        emulator.end_capture(stream)
    assert not emulator.is_stream_capturing(stream)
    emulator.begin_capture(stream)
    emulator.destroy_graph(emulator.end_capture(stream))


def test_memory_is_limited_and_found_again(emulator: Emulator) -> None:
    emulator.activate(1)
    parts = [emulator.allocate(16 << 20) for _ in range(4)]
    assert emulator.memory_info() == (0, 64 << 20)
    with pytest.raises(MemoryExceeded):
        emulator.allocate(1)
    emulator.free(parts[1])
    assert emulator.allocate(16 << 20) == parts[1]
    for part in parts:
        emulator.free(part)


def test_what_a_kernel_is_printed_as_is_what_is_loaded(emulator: Emulator, code: Loaded) -> None:
    assert print_kernel(emulator._modules[code.module]) == print_kernel(ADD_ONE)
