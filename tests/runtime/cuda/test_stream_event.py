"""Streams, events and the current device: whose they are, and what they leave behind."""

from __future__ import annotations

import sys
import threading

import pytest

from graphc.ir.errors import ArgumentError
from graphc.ir.settings import override
from graphc.runtime.cuda.device import activated, set_device, synchronize
from graphc.runtime.cuda.driver import CudaError
from graphc.runtime.cuda.emulator import Emulator
from graphc.runtime.cuda.event import Event
from graphc.runtime.cuda.stream import MOST, Stream, current_stream, default_stream, new_stream, using_stream


def test_the_current_stream_is_each_threads_and_each_devices_own(emulator: Emulator) -> None:
    stream = new_stream(0)
    found: list[Stream] = []
    with using_stream(stream):
        assert current_stream(0) == stream
        assert current_stream(1) == default_stream(1) == Stream(1)
        thread = threading.Thread(target=lambda: found.append(current_stream(0)))
        thread.start()
        thread.join()
    assert found == [Stream(0)]
    assert current_stream(0) == default_stream(0)


def test_streams_are_handed_out_in_turn(emulator: Emulator) -> None:
    first = [new_stream(1, -1) for _ in range(MOST)]
    assert len(set(first)) == MOST
    assert [new_stream(1, -1) for _ in range(MOST)] == first
    assert new_stream(1) not in first


def test_an_event_goes_with_its_object_and_leaves_the_context(emulator: Emulator) -> None:
    event = Event(has_time=True)
    event.record(Stream(1))
    emulator.activate(0)
    before, handle = emulator.current(), event.handle
    assert handle in emulator._events
    del event
    assert handle not in emulator._events
    assert emulator.current() == before


def test_an_event_goes_quietly_after_a_fault(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    event = Event()
    event.record(Stream(0))

    def fail(handle: int) -> None:
        raise CudaError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(emulator, "destroy_event", fail)
    monkeypatch.setattr(sys, "unraisablehook", lambda error: print(error.exc_value))
    del event
    assert capsys.readouterr().out == ""


def test_an_event_stays_on_its_device(emulator: Emulator) -> None:
    event = Event()
    event.record(Stream(0))
    with pytest.raises(ArgumentError, match="Event device 0 does not match recording stream's device 1"):
        event.record(Stream(1))
    event.wait(Stream(1))
    assert event.is_done()


def test_an_event_that_was_never_recorded_is_passed(emulator: Emulator) -> None:
    event = Event()
    event.wait(Stream(0))
    event.synchronize()
    assert event.is_done()


def test_events_that_are_not_passed_have_no_time(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    start, end = Event(True), Event(True)
    start.record(Stream(0))
    end.record(Stream(0))
    assert start.elapsed(end) >= 0
    monkeypatch.setattr(emulator, "is_event_done", lambda event: event == start.handle)
    with pytest.raises(ArgumentError, match="Both events must be completed before calculating elapsed time"):
        start.elapsed(end)


def test_a_context_for_a_block_alone(emulator: Emulator) -> None:
    emulator.activate(0)
    before = emulator.current()
    with activated(emulator, 1):
        assert emulator.current() not in (0, before)
    assert emulator.current() == before
    with pytest.raises(CudaError, match="invalid device ordinal"), activated(emulator, 7):
        pass
    assert emulator.current() == before
    emulator.restore(0)
    with activated(emulator, 0):
        assert emulator.current() == before
    assert emulator.current() == 0


@pytest.mark.parametrize("device", [2, -1])
def test_a_device_that_is_not_there(emulator: Emulator, device: int) -> None:
    for choose in (set_device, synchronize, new_stream):
        with pytest.raises(ArgumentError, match="CUDA error: invalid device ordinal") as caught:
            choose(device)
        assert caught.value.hint == f"there is no cuda:{device}; there are 2, from 0 on"


def test_an_event_is_asked_of_the_driver_that_made_it(emulator: Emulator) -> None:
    event = Event()
    event.record(Stream(0))
    with override(cuda_driver="emulator:1:sm_90"):
        assert event.is_done()
        event.synchronize()
