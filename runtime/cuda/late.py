"""The emulator of a GPU that is in no hurry: work is done when somebody waits for it, as late as a GPU may do it.

Level: an implementation of `graphc.runtime.cuda.driver`, as `emulator`. In: the driver's calls. Out: what a GPU would
leave in memory. GRAPHC_CUDA_DRIVER=emulator:late chooses it. What a stream gets stands in its queue until the host
waits for the stream, for the device or for an event behind it, or until work of another stream that is being done waits
for such an event; a question whether work is done lets one piece of it be done. So what forgets to wait, or gives
memory to another stream too early, finds old elements there: which a GPU does now and then, this does each time.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from functools import partial

from graphc.runtime.cuda.emulator import Emulator, Options, failure
from graphc.runtime.cuda.noted import Command


@dataclass(slots=True, eq=False)
class _Mark:
    """One recording of an event."""

    queue: deque[Command]
    is_passed: bool = False


class LateEmulator(Emulator):
    """The driver; see `graphc.runtime.cuda.driver.Driver` for what the calls do."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._queues: dict[tuple[int, int], deque[Command]] = {}
        """By device and stream: the default stream is another one on each device."""
        self._marks: dict[int, _Mark] = {}
        """The last recordings of events."""

    def free(self, address: int) -> None:
        self._finish_all()  # as the driver does
        super().free(address)

    def free_pinned(self, address: int) -> None:
        self._finish_all()
        super().free_pinned(address)

    def synchronize(self) -> None:
        super().synchronize()
        self._finish_all(self._device("cuCtxSynchronize"))

    def destroy_stream(self, stream: int) -> None:
        if stream in self._streams:
            self._finish(self._queue(stream))
        super().destroy_stream(stream)

    def synchronize_stream(self, stream: int) -> None:
        super().synchronize_stream(stream)
        self._finish(self._queue(stream))

    def is_stream_idle(self, stream: int) -> bool:
        super().is_stream_idle(stream)
        return self._advance(self._queue(stream))

    def destroy_event(self, event: int) -> None:
        super().destroy_event(event)
        self._marks.pop(event, None)

    def record_event(self, event: int, stream: int) -> None:
        super().record_event(event, stream)  # which notes the time
        if self._streams[stream] is not None:
            return
        mark = _Mark(self._queue(stream))

        def passed() -> None:
            mark.is_passed = True

        self._marks[event] = mark
        self._do(stream, passed)

    def wait_for_event(self, stream: int, event: int) -> None:
        super().wait_for_event(stream, event)
        if self._streams[stream] is None and event in self._marks:
            self._do(stream, partial(self._reach, self._marks[event]))

    def synchronize_event(self, event: int) -> None:
        super().synchronize_event(event)
        if event in self._marks:
            self._reach(self._marks[event])

    def is_event_done(self, event: int) -> bool:
        super().is_event_done(event)
        mark = self._marks.get(event)
        if mark is not None and not mark.is_passed:
            self._advance(mark.queue)
        return mark is None or mark.is_passed

    def elapsed(self, start: int, end: int) -> float:
        if any(event in self._marks and not self._marks[event].is_passed for event in (start, end)):
            raise failure("cuEventElapsedTime", "CUDA_ERROR_NOT_READY", "device not ready")
        return super().elapsed(start, end)

    # ---- how it is done

    def _perform(self, stream: int, command: Command) -> None:
        self._queue(stream).append(command)

    def _queue(self, stream: int) -> deque[Command]:
        with self._lock:
            return self._queues.setdefault((self._home_of("cuStream", stream), stream), deque())

    def _finish_all(self, device: int | None = None) -> None:
        """Do all that a device has to do; all devices, if none is named."""
        for (home, _), queue in list(self._queues.items()):
            if device in (None, home):
                self._finish(queue)

    def _finish(self, queue: deque[Command]) -> None:
        with self._lock:
            while queue:
                queue.popleft()()

    def _reach(self, mark: _Mark) -> None:
        """Do what stands before a mark."""
        with self._lock:
            while not mark.is_passed and mark.queue:
                mark.queue.popleft()()

    def _advance(self, queue: deque[Command]) -> bool:
        """Do one piece of work; whether there is none left."""
        with self._lock:
            if queue:
                queue.popleft()()
            return not queue
