"""graphc.cpu: the CPU in the form of a device's namespace. Its results are there when a line returns.

>>> is_available(), device_count(), current_device()
(True, 1, 'cpu')
"""

from __future__ import annotations

from graphc.cpu import amp

__all__ = [
    "Event",
    "Stream",
    "StreamContext",
    "amp",
    "current_device",
    "current_stream",
    "device_count",
    "is_available",
    "is_initialized",
    "set_device",
    "stream",
    "synchronize",
]


def is_available() -> bool:
    """Whether the CPU can be used: True."""
    return True


def is_initialized() -> bool:
    """Whether it was started: True."""
    return True


def device_count() -> int:
    """1: all of the CPU is one device."""
    return 1


def current_device() -> str:
    """The current device: "cpu"."""
    return "cpu"


def set_device(device: object) -> None:
    """Choose the one device there is."""


def synchronize(device: object = None) -> None:
    """Wait for the device, which is done."""


class Stream:
    """A queue of work, in the form of those of GPUs: on the CPU all is done when a line returns, and nobody waits."""

    def __init__(self, priority: int = -1) -> None:
        self.priority = priority

    def wait_stream(self, stream: Stream) -> None:
        """Wait for another one, which is done."""

    def wait_event(self, event: Event) -> None:
        """Wait for a mark, which is passed."""

    def record_event(self) -> None:
        """Put a mark behind what is done."""


class Event:
    """A mark in a stream: passed."""

    def query(self) -> bool:
        """Whether it is passed: True."""
        return True

    def record(self, stream: Stream | None = None) -> None:
        """Put it behind what is done."""

    def synchronize(self) -> None:
        """Wait until it is passed."""

    def wait(self, stream: Stream | None = None) -> None:
        """Let a stream wait for it."""


_streams = [Stream()]
"""The one in force, last."""


class StreamContext:
    """A context in which a stream is the current one; None changes nothing."""

    def __init__(self, stream: Stream | None) -> None:
        self.stream = stream

    def __enter__(self) -> None:
        if self.stream is not None:
            _streams.append(self.stream)

    def __exit__(self, *error: object) -> None:
        if self.stream is not None:
            _streams.pop()


def stream(stream: Stream | None) -> StreamContext:
    """A context in which a stream is the current one."""
    return StreamContext(stream)


def current_stream(device: object = None) -> Stream:
    """The stream in force."""
    return _streams[-1]
