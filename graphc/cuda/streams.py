"""Streams and events of GPUs, as PyTorch has them.

stream = Stream()
with graphc.cuda.stream(stream):
    y = x @ x
graphc.cuda.current_stream().wait_stream(stream)
"""

from __future__ import annotations

from typing import Any

from graphc.cuda.devices import number_of, parse
from graphc.eager.device import device as Device
from graphc.eager.device import gpu_device
from graphc.eager.guard import guarded
from graphc.ir.errors import ArgumentError, MissingFeature
from graphc.runtime.cuda import device as runtime_device
from graphc.runtime.cuda import stream as runtime_stream
from graphc.runtime.cuda.capture import is_capturing
from graphc.runtime.cuda.device import activate
from graphc.runtime.cuda.event import Event as Mark
from graphc.runtime.cuda.select import what_is_missing
from graphc.runtime.cuda.stream import Stream as Queue

__all__ = [
    "Event",
    "ExternalStream",
    "Stream",
    "StreamContext",
    "current_stream",
    "default_stream",
    "get_stream_from_external",
    "set_stream",
    "stream",
]


class Stream:
    """A queue of work on a GPU: what is put in is done in order, beside what other streams do.

    `priority` -1 goes before 0. As a context it is the current stream inside.
    """

    _queue: Queue

    @guarded
    def __new__(cls, device: object = None, priority: int = 0, **options: object) -> Stream:
        missing = what_is_missing()
        if missing is not None:
            raise ArgumentError("torch.cuda.Stream requires CUDA support", hint=missing)
        if options:
            raise MissingFeature(f"a stream is made from a device and a priority, not from {', '.join(options)}")
        made: Stream = _wrap(runtime_stream.new_stream(number_of(device), max(-1, min(0, priority))), cls)
        return made

    @property
    def cuda_stream(self) -> int:
        """The driver's handle; 0 is the default stream."""
        return self._queue.handle

    stream_id = cuda_stream

    @property
    def device(self) -> Device:
        """The GPU that does its work."""
        return gpu_device(self._queue.device)

    @property
    def device_index(self) -> int:
        """The number of that GPU."""
        return self._queue.device

    @property
    def priority(self) -> int:
        """Streams of lower numbers go first."""
        return self._queue.priority

    @staticmethod
    def priority_range() -> tuple[int, int]:
        """The priorities there are: the least urgent and the most urgent."""
        return 0, -1

    @guarded
    def query(self) -> bool:
        """Whether all of its work is done."""
        return self._queue.is_idle()

    @guarded
    def synchronize(self) -> None:
        """Wait for all of its work, and raise what failed in it."""
        self._queue.synchronize()

    @guarded
    def record_event(self, event: Event | None = None) -> Event:
        """Put an event, a new one if none is given, behind all of its work so far."""
        event = Event() if event is None else event
        event.record(self)
        return event

    @guarded
    def wait_event(self, event: Event) -> None:
        """Let work that is put in from now on wait for an event."""
        event.wait(self)

    @guarded
    def wait_stream(self, stream: Stream) -> None:
        """Let work that is put in from now on wait for all that another stream has so far."""
        self.wait_event(stream.record_event())

    def is_capturing(self) -> bool:
        """Whether what it gets is noted, for a CUDA graph."""
        activate(self._queue.device)
        return is_capturing(self._queue.handle)

    def __cuda_stream__(self) -> tuple[int, int]:
        """How other libraries of Python ask for the driver's handle: a version, and the handle."""
        return 0, self.cuda_stream

    def __enter__(self) -> Stream:
        entered = StreamContext(self)
        entered.__enter__()
        _entered.append(entered)
        return self

    def __exit__(self, *error: object) -> None:
        _entered.pop().__exit__(*error)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stream) and other._queue == self._queue

    def __hash__(self) -> int:
        return hash((self._queue.device, self._queue.handle))

    def __repr__(self) -> str:
        return f"<torch.cuda.Stream device={self.device} cuda_stream={self.cuda_stream:#x}>"


class ExternalStream(Stream):
    """A stream that somebody else has made, by the driver's handle."""

    @guarded
    def __new__(cls, stream_ptr: int, device: object = None, **options: object) -> ExternalStream:
        made: ExternalStream = _wrap(Queue(number_of(device), stream_ptr), cls)
        return made


_entered: list[StreamContext] = []


def _wrap(queue: Queue, cls: type[Any] = Stream) -> Any:
    made = object.__new__(cls)
    made._queue = queue
    return made


class Event:
    """A mark in a stream, to wait for, or `enable_timing` to take the time between two of them.

    Who waits for it asks again and again whether it is passed, or, `blocking`, sleeps meanwhile.
    """

    @guarded
    def __init__(
        self, enable_timing: bool = False, blocking: bool = False, interprocess: bool = False, external: bool = False
    ) -> None:
        missing = what_is_missing()
        if missing is not None:
            raise ArgumentError("Tried to instantiate dummy base class Event", hint=missing)
        if interprocess or external:
            raise MissingFeature("graphc has no events that several processes share", hint="leave interprocess out")
        self._mark = Mark(enable_timing, blocking)

    @guarded
    def record(self, stream: Stream | None = None) -> None:
        """Put the mark behind all that a stream, the current one if not given, has to do so far."""
        self._mark.record((current_stream() if stream is None else stream)._queue)

    @guarded
    def wait(self, stream: Stream | None = None) -> None:
        """Let a stream, the current one if not given, wait for the mark."""
        self._mark.wait((current_stream() if stream is None else stream)._queue)

    @guarded
    def query(self) -> bool:
        """Whether all that stood before the mark is done."""
        return self._mark.is_done()

    @guarded
    def synchronize(self) -> None:
        """Wait for all that stood before the mark, and raise what failed in it."""
        self._mark.synchronize()

    @guarded
    def elapsed_time(self, end_event: Event) -> float:
        """Milliseconds from this mark to another one."""
        return self._mark.elapsed(end_event._mark)

    @property
    def cuda_event(self) -> int:
        """The driver's handle; 0 before it is recorded."""
        return self._mark.handle or 0

    @property
    def device(self) -> Device | None:
        """The GPU of the stream where it was first recorded."""
        return None if self._mark.device is None else gpu_device(self._mark.device)

    def __repr__(self) -> str:
        return f"<torch.cuda.Event {self.cuda_event:#x}>" if self.cuda_event else "<torch.cuda.Event uninitialized>"


class StreamContext:
    """A context in which a stream, and its GPU, are the current ones; None changes nothing."""

    def __init__(self, stream: Stream | None) -> None:
        self.stream = stream
        self._before: tuple[int, Queue] | None = None

    @guarded
    def __enter__(self) -> None:
        if self.stream is None:
            return
        queue = self.stream._queue
        self._before = runtime_device.current_device(), runtime_stream.current_stream(queue.device)
        runtime_device.set_device(queue.device)
        runtime_stream.set_stream(queue)

    def __exit__(self, *error: object) -> None:
        if self._before is not None:
            device, queue = self._before
            runtime_stream.set_stream(queue)
            runtime_device.set_device(device)


def stream(stream: Stream | None) -> StreamContext:
    """A context in which work goes to a stream; None changes nothing."""
    return StreamContext(stream)


@guarded
def current_stream(device: object = None) -> Stream:
    """The calling thread's stream of a GPU; raises DeviceUnavailable without one."""
    found: Stream = _wrap(runtime_stream.current_stream(number_of(device)))
    return found


@guarded
def default_stream(device: object = None) -> Stream:
    """The stream that work goes to where no other is chosen; raises DeviceUnavailable without a GPU."""
    found: Stream = _wrap(runtime_stream.default_stream(number_of(device)))
    return found


@guarded
def set_stream(stream: Stream | None) -> None:
    """Let the calling thread's work go to a stream, and to its GPU; None changes nothing."""
    if stream is not None:
        runtime_device.set_device(stream._queue.device)
        runtime_stream.set_stream(stream._queue)


def get_stream_from_external(data_ptr: int, device: object = None) -> Stream:
    """A stream that somebody else has made, by the driver's handle."""
    return ExternalStream(data_ptr, parse(device))
