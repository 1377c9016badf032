"""Events: marks in streams, to wait for and to take times with.

In: streams. Out: `Event` objects; the driver's mark is made when it is first recorded, and goes with the object.
"""

from __future__ import annotations

import sys
from contextlib import suppress

from graphc.ir.errors import ArgumentError
from graphc.runtime.cuda import checks
from graphc.runtime.cuda.device import activated
from graphc.runtime.cuda.driver import CudaError, Driver
from graphc.runtime.cuda.select import driver, is_lost
from graphc.runtime.cuda.stream import Stream


class Event:
    """A mark behind what a stream has to do so far."""

    __slots__ = ("_driver", "device", "handle", "has_time", "is_blocking")

    def __init__(self, has_time: bool = False, is_blocking: bool = False) -> None:
        """`has_time`: whether the device notes when it passes the mark. `is_blocking`: who waits for it sleeps."""
        self.has_time = has_time
        self.is_blocking = is_blocking
        self.handle: int | None = None
        self.device: int | None = None
        self._driver: Driver | None = None

    def record(self, stream: Stream) -> None:
        """Put the mark behind all that the stream has to do; raises ArgumentError where it is on another device."""
        found = driver()
        found.activate(stream.device)
        if self.handle is None:
            self.handle = found.create_event(self.has_time, self.is_blocking)
            self.device, self._driver = stream.device, found
        if self.device != stream.device:
            raise ArgumentError(
                f"Event device {self.device} does not match recording stream's device {stream.device}.",
                hint="an event stays on the device where it was first recorded",
            )
        found.record_event(self.handle, stream.handle)

    def wait(self, stream: Stream) -> None:
        """What the stream gets from now on waits for the mark; nothing happens where it was never recorded."""
        if self.handle is not None:
            driver().activate(stream.device)
            driver().wait_for_event(stream.handle, self.handle)

    def is_done(self) -> bool:
        """Whether the mark is passed, or was never recorded."""
        if self.handle is None or self.device is None or self._driver is None:
            return True
        self._driver.activate(self.device)  # the one that knows the mark, whichever is in force now
        return self._driver.is_event_done(self.handle)

    def synchronize(self) -> None:
        """Wait until the mark is passed, and raise what failed before it."""
        if self.handle is not None and self.device is not None and self._driver is not None:
            self._driver.activate(self.device)
            self._driver.synchronize_event(self.handle)
            checks.raise_failed(self.device, ())  # the stream may have got more to do since

    def elapsed(self, end: Event) -> float:
        """Milliseconds from this mark to another one; both must be recorded, with time, and passed."""
        if not (self.has_time and end.has_time):
            raise ArgumentError(
                "Both events must be created with argument 'enable_timing=True'.", hint="Event(enable_timing=True)"
            )
        if self.handle is None or end.handle is None or self.device is None:
            raise ArgumentError(
                "Both events must be recorded before calculating elapsed time.", hint="call record() on both"
            )
        if not (self.is_done() and end.is_done()):
            raise ArgumentError(
                "Both events must be completed before calculating elapsed time.", hint="call end.synchronize() first"
            )
        driver().activate(self.device)
        return driver().elapsed(self.handle, end.handle)

    def __del__(self) -> None:
        if self.handle is None or self.device is None or self._driver is None or sys.is_finalizing():
            return
        if is_lost(self._driver):
            return
        # A kernel's fault comes out of every call there is after it; it was raised where somebody waited.
        with suppress(CudaError), activated(self._driver, self.device):
            self._driver.destroy_event(self.handle)
