"""A device in no hurry: what streams, events and memory promise where work is done as late as it may be."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator

import numpy as np
import pytest

import graphc
from graphc.frontend.executable import Executable
from graphc.frontend.place import place_of
from graphc.ir.settings import override
from graphc.runtime.cuda import checks, memory
from graphc.runtime.cuda.array import copy, empty, fill, from_host, to_host
from graphc.runtime.cuda.device import synchronize
from graphc.runtime.cuda.driver import CudaError
from graphc.runtime.cuda.event import Event
from graphc.runtime.cuda.late import LateEmulator
from graphc.runtime.cuda.select import driver
from graphc.runtime.cuda.stream import Stream, new_stream, using_stream


@pytest.fixture(autouse=True)
def emulator() -> Iterator[LateEmulator]:
    """Two devices, no memory held."""
    with override(cuda_driver="emulator:2:sm_80:32MiB:late"):
        found = driver()
        assert isinstance(found, LateEmulator)
        memory.empty_cache()
        yield found
        for number in range(2):
            synchronize(number)


def test_work_is_done_when_somebody_waits(emulator: LateEmulator) -> None:
    x = empty((3,), np.int32, 0)
    fill(x, 7)
    bytes_there = emulator.host_view(memory.pool(0).pieces()[0][0].address, 12).view(np.int32)
    assert list(bytes_there) != [7, 7, 7]
    assert to_host(x).tolist() == [7, 7, 7]
    assert emulator.is_stream_idle(0)


def test_streams_wait_for_events_and_for_nothing_else(emulator: LateEmulator) -> None:
    first, second = new_stream(0), new_stream(0)
    x, early, behind = (empty((4,), np.int64, 0) for _ in range(3))
    fill(x, 1)
    synchronize(0)
    with using_stream(first):
        fill(x, 2)
        written = Event(has_time=True)
        written.record(first)
        fill(x, 3)
    with using_stream(second):
        copy(early, x)
        written.wait(second)
        copy(behind, x)
        second.synchronize()
    assert written.is_done()
    synchronize(0)
    assert [to_host(each)[0] for each in (early, behind, x)] == [1, 2, 3]


def test_an_event_is_asked_until_it_is_passed(emulator: LateEmulator) -> None:
    start, end = Event(has_time=True), Event(has_time=True)
    start.record(Stream(0))
    fill(empty((4,), np.int64, 0), 1)
    end.record(Stream(0))
    with pytest.raises(CudaError, match="device not ready"):
        emulator.elapsed(start.handle or 0, end.handle or 0)
    assert not end.is_done()
    assert [end.is_done() for _ in range(12)][-1]
    assert start.elapsed(end) >= 0


def test_threads_run_one_program_in_streams_of_their_own() -> None:
    graph = graphc.symbolic_trace(lambda x, w: graphc.softmax(x @ w, 1) * 2.5 + x.sum(1, True), "f32[n,8]", "f32[8,8]")
    executable, expected = Executable.build(graph, place=place_of(0)), graph.compile()
    wrong: list[object] = []

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        stream = new_stream(0)
        with using_stream(stream):
            w = rng.standard_normal((8, 8)).astype(np.float32)
            inputs = [from_host(rng.standard_normal((4, 8)).astype(np.float32), 0), from_host(w, 0)]
            for _ in range(4):  # from the third on replayed
                x = rng.standard_normal((4, 8)).astype(np.float32)
                copy(inputs[0], x)
                (result,) = executable.outputs(inputs)  # type: ignore[misc]  # a tuple
                if to_host(result).tobytes() != expected(x, w).tobytes():
                    wrong.append((seed, x))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_constants_are_there_and_stay_for_runs_in_any_stream() -> None:
    graph = graphc.symbolic_trace(lambda x: x * graphc.tensor([1.5, 2.5]), "f32[n,2]")
    x, stream = from_host(np.ones((2, 2), np.float32), 0), new_stream(0)
    executable = Executable.build(graph, place=place_of(0))
    with using_stream(stream):
        (result,) = executable.outputs([x])  # type: ignore[misc]  # a tuple
    del executable
    gc.collect()
    others = [empty((2,), np.float32, 0) for _ in range(4)]  # where the constant was, if its memory is free
    for each in others:
        fill(each, 9)
    Stream(0).synchronize()
    with using_stream(stream):
        assert to_host(result).tolist() == [[1.5, 2.5]] * 2


def test_memory_waits_for_the_stream_that_was_recorded() -> None:
    stream = new_stream(0)
    x = from_host(np.full(100, 3.0), 0)
    with using_stream(stream):
        y = empty((100,), np.float64, 0)
        copy(y, x)
    assert isinstance(x.memory, memory.Block)
    x.memory.record_stream(stream.handle)
    del x
    fill(empty((100,), np.float64, 0), 9)
    Stream(0).synchronize()
    with using_stream(stream):
        assert to_host(y)[0] == 3


def test_a_copy_to_another_device_is_done_before_its_memory_is_used_again() -> None:
    for source, target in ((0, 1), (1, 0)):
        stream = new_stream(source)
        with using_stream(stream):
            x = empty((100,), np.float64, source)
            fill(x, 4)
            y = empty((100,), np.float64, target)
            copy(y, x)
            fill(x, 5)
        stream.synchronize()
        assert to_host(y)[0] == 4


def test_a_failed_check_is_told_where_its_own_stream_is_waited_for() -> None:
    graph = graphc.symbolic_trace(lambda x, i: graphc.index_select(x, 0, i), "f32[5]", "i64[n]")
    executable = Executable.build(graph, place=place_of(0))
    x, at, stream = from_host(np.zeros(5, np.float32), 0), from_host(np.array([1, 9, 1]), 0), new_stream(0)
    with using_stream(stream):
        executable.outputs([x, at])
    Stream(0).synchronize()
    with pytest.raises(IndexError, match="index out of range"):
        stream.synchronize()
    checks.raise_failed(0)
