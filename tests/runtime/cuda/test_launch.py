"""Programs on a device: replay as graphs, checks that fail, calls of the host, memory that is given away."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import numpy as np
import pytest

import graphc
from graphc.frontend.executable import Executable
from graphc.frontend.place import place_of
from graphc.ir.errors import IndexOutOfRange
from graphc.ir.graph import Graph
from graphc.ir.settings import override
from graphc.runtime.cuda import array as device_array
from graphc.runtime.cuda.checks import Status, raise_failed
from graphc.runtime.cuda.device import synchronize
from graphc.runtime.cuda.emulator import Emulator
from graphc.runtime.cuda.stream import current_stream


def counted(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How often the driver is asked to launch kernels and graphs."""
    counts = {"launch": 0, "launch_graph": 0, "synchronize_stream": 0}
    for name in counts:
        before: Callable[..., object] = getattr(emulator, name)

        def call(*args: object, _name: str = name, _before: Callable[..., object] = before) -> object:
            counts[_name] += 1
            return _before(*args)

        monkeypatch.setattr(emulator, name, call)
    return counts


def chain() -> Graph:
    """A graph of several kernels."""
    return graphc.symbolic_trace(lambda x, w: graphc.softmax(x @ w, 1).sum(0), "f32[n,8]", "f32[8,8]")


def test_the_second_run_on_the_same_memory_makes_a_graph_which_later_ones_replay(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    executable = Executable.build(chain(), place=place_of(0))
    kernels = len(executable.kernels)
    assert kernels >= 2
    x, w = (np.random.default_rng(0).random(shape, np.float32) for shape in ((5, 8), (8, 8)))
    expected = chain().compile()(x, w)
    inputs = [device_array.from_host(each, 0) for each in (x, w)]
    counts = counted(emulator, monkeypatch)
    found = []
    for _ in range(4):
        (result,) = executable.fast(*inputs) or executable.outputs(inputs)  # type: ignore[misc]  # a tuple
        found.append(device_array.to_host(result).copy())
        del result  # its memory serves the next run
    assert counts["launch"] == 2 * kernels  # the first run, and the one that was noted
    assert counts["launch_graph"] == 3
    for each in found:
        np.testing.assert_array_equal(each, expected)


def test_a_graph_reads_what_its_memory_holds_at_each_replay(emulator: Emulator) -> None:
    executable = Executable.build(chain(), place=place_of(0))
    w = device_array.from_host(np.eye(8, dtype=np.float32), 0)
    x = device_array.empty((3, 8), np.float32, 0)
    for k in range(4):
        values = np.full((3, 8), k, np.float32) * np.arange(8, dtype=np.float32)
        device_array.copy(x, values)
        (result,) = executable.fast(x, w) or executable.outputs((x, w))  # type: ignore[misc]  # a tuple
        np.testing.assert_array_equal(device_array.to_host(result), chain().compile()(values, np.eye(8, dtype="f4")))
        del result


def pick() -> Graph:
    """A graph that checks its indices."""
    return graphc.symbolic_trace(lambda x, i: graphc.index_select(x, 0, i), "f32[5,3]", "i64[2]")


def test_a_failed_check_is_found_where_the_host_waits_with_the_users_line(emulator: Emulator) -> None:
    executable = Executable.build(pick(), place=place_of(0))
    x = device_array.from_host(np.ones((5, 3), np.float32), 0)
    wrong = device_array.from_host(np.array([1, 7]), 0)
    executable.outputs((x, wrong))
    with pytest.raises(IndexOutOfRange, match="index out of range") as caught:
        synchronize(0)
    assert "CUDA_LAUNCH_BLOCKING=1" in str(caught.value)
    assert "test_launch.py" in str(caught.value.location)
    synchronize(0)  # it is told once
    (right,) = executable.outputs((x, device_array.from_host(np.array([1, 4]), 0)))
    np.testing.assert_array_equal(device_array.to_host(right), np.ones((2, 3), np.float32))  # type: ignore[arg-type]


def test_checks_of_work_that_is_not_done_are_looked_at_again(emulator: Emulator) -> None:
    status = Status(0)
    status.expect(lambda code: IndexOutOfRange(f"check {code}"), 5)
    raise_failed(0, (6,))  # another stream is done
    raise_failed(0, ())  # an event was passed
    ctypes.c_int32.from_address(status.address).value = 3  # as a kernel does that runs now
    with pytest.raises(IndexOutOfRange, match="check 3"):
        raise_failed(0, (6,))
    raise_failed(0, (5,))
    ctypes.c_int32.from_address(status.address).value = 4
    raise_failed(0)  # nothing of the program was launched since
    assert status.take() == 4


def test_what_waits_tells_of_a_failed_check_at_once(emulator: Emulator) -> None:
    executable = pick().compile(target="cuda")
    with pytest.raises(IndexOutOfRange, match="index out of range") as caught:
        executable(np.ones((5, 3), np.float32), np.array([1, 7]))
    assert "after the call" not in str(caught.value)
    np.testing.assert_array_equal(executable(np.ones((5, 3), np.float32), np.array([1, 4])), np.ones((2, 3)))


def test_calls_of_the_host_read_and_write_the_device(emulator: Emulator) -> None:
    graph = graphc.symbolic_trace(lambda a: graphc.linalg.inv(a + a) * 2, "f32[4,4]")
    a = np.eye(4, dtype=np.float32) + np.arange(16, dtype=np.float32).reshape(4, 4) / 64
    np.testing.assert_array_equal(graph.compile(target="cuda")(a), graph.compile()(a))


def test_an_error_of_the_host_call_has_the_users_line(emulator: Emulator) -> None:
    executable = graphc.symbolic_trace(lambda a: graphc.linalg.inv(a), "f32[2,2]").compile(target="cuda")
    with pytest.raises(graphc.linalg.LinAlgError) as caught:
        executable(np.zeros((2, 2), np.float32))
    assert "test_launch.py" in str(caught.value)


def test_memory_given_away_is_written_in_place_also_where_it_is_not_aligned(emulator: Emulator) -> None:
    graph = graphc.symbolic_trace(lambda x, y: x + y, "f32[n]", "f32[n]")
    executable = Executable.build(graph, donated={0: 0}, place=place_of(0))
    assert executable.program.in_place == ((0, 0),)
    whole = device_array.from_host(np.arange(20, dtype=np.float32), 0)
    y = device_array.from_host(np.ones(16, np.float32), 0)
    for start in (0, 1):  # from 1 on, the kernel's accesses of 16 bytes need a copy
        before = device_array.to_host(whole)
        assert executable.outputs((whole[start : start + 16], y)) == ()
        before[start : start + 16] += 1
        np.testing.assert_array_equal(device_array.to_host(whole), before)


def test_arrays_of_the_host_come_back_to_the_host(emulator: Emulator) -> None:
    double = graphc.compile(lambda x: x + x, target="cuda:1")
    result = double(np.ones(3, np.float32)[::-1])
    assert type(result) is np.ndarray
    np.testing.assert_array_equal(result, [2, 2, 2])
    scaled = graphc.compile(lambda x, factor: x * factor, target="cuda")
    np.testing.assert_array_equal(scaled(np.ones(3, np.float32), 2.5), [2.5, 2.5, 2.5])


def test_work_goes_to_the_current_stream(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    executable = Executable.build(chain(), place=place_of(0))
    inputs = [device_array.from_host(np.ones(shape, np.float32), 0) for shape in ((2, 8), (8, 8))]
    streams: list[int] = []
    before = emulator.launch

    def launch(function: int, blocks: int, threads: int, shared: int, stream: int, words: object) -> None:
        streams.append(stream)
        before(function, blocks, threads, shared, stream, words)  # type: ignore[arg-type]  # as it was given

    monkeypatch.setattr(emulator, "launch", launch)
    executable.outputs(inputs)
    assert set(streams) == {current_stream(0).handle}


def test_code_that_one_driver_has_loaded_is_not_run_by_another() -> None:
    for memory in ("33MiB", "34MiB", "33MiB"):
        with override(cuda_driver=f"emulator:1:sm_80:{memory}"):
            for _ in range(3):  # from the second call on, the short way
                x = graphc.tensor([1.0, 2.0], device="cuda")
                assert (x * x + x).tolist() == [2.0, 6.0]
