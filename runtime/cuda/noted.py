"""What streams of the emulator note while a CUDA graph is captured: commands, and which of them come before which.

In: the commands and events of the streams that take part. Out: the commands of the graph, in an order that they can be
done in, and whether the stream where it began has waited for all others in the end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TypeAlias

Command: TypeAlias = Callable[[], None]


class Notes:
    """A capture: the stream that it began in, and those that wait for its work, do nothing but note."""

    def __init__(self, origin: int) -> None:
        self.origin = origin
        self.commands: list[Command] = []
        self.is_broken = False
        """Whether something was done that can't be noted."""
        self._before: dict[int, Counter[int]] = {origin: Counter()}
        """Of each stream, how many commands of each of them come before what it gets next."""

    def add(self, stream: int, command: Command) -> None:
        """One more command of a stream."""
        self.commands.append(command)
        self._before[stream][stream] += 1

    def mark(self, stream: int) -> Counter[int]:
        """What an event in the stream stands behind."""
        return Counter(self._before[stream])

    def wait(self, stream: int, mark: Counter[int]) -> None:
        """A stream, a new one perhaps, goes on behind an event."""
        self._before[stream] = self._before.get(stream, Counter()) | mark

    @property
    def is_joined(self) -> bool:
        """Whether the first stream has waited for all work of the others."""
        last = self._before[self.origin]
        return all(last[stream] == before[stream] for stream, before in self._before.items())
