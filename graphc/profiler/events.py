"""Regions of a program: their times, and sums by name.

In: regions that are entered and left. Out: events for whoever listens, and tables of them.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Region:
    """A region that was left: seconds of the clock, those of regions inside it, the thread it ran in."""

    name: str
    start: float
    end: float
    inside: float
    thread: int


LISTENERS: Final[list[Callable[[Region], None]]] = []
"""What profilers under way do with a region that was left."""


class _Thread(threading.local):
    """The seconds that regions inside those under way took, the innermost last."""

    def __init__(self) -> None:
        self.inside: list[float] = []


_thread = _Thread()


class record_function:
    """A region with a name, as a context or a decorator."""

    def __init__(self, name: str, args: str | None = None) -> None:
        self.name = name
        self.args = args

    def __enter__(self) -> record_function:
        _thread.inside.append(0.0)
        self._start = time.perf_counter()
        return self

    def __exit__(self, *error: object) -> None:
        end = time.perf_counter()
        inside = _thread.inside.pop()
        if _thread.inside:
            _thread.inside[-1] += end - self._start
        for listen in LISTENERS:
            listen(Region(self.name, self._start, end, inside, threading.get_ident()))

    def __call__(self, function: F) -> F:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            with record_function(self.name, self.args):
                return function(*args, **kwargs)

        return call  # type: ignore[return-value]  # it takes what the function takes


@dataclass(slots=True)
class FunctionEventAvg:
    """All regions or kernels of a name: how many, and their microseconds, in all and without the regions inside."""

    key: str
    count: int = 0
    cpu_time_total: float = 0.0
    self_cpu_time_total: float = 0.0
    device_time_total: float = 0.0
    """Of kernels, on their GPU."""

    @property
    def self_device_time_total(self) -> float:
        """Microseconds on a GPU: kernels have nothing inside."""
        return self.device_time_total

    @property
    def device_time(self) -> float:
        """Microseconds of one on a GPU, on average."""
        return self.device_time_total / self.count if self.count else 0.0

    @property
    def cpu_time(self) -> float:
        """Microseconds of one, on average."""
        return self.cpu_time_total / self.count if self.count else 0.0


class EventList(list[FunctionEventAvg]):
    """Sums by name."""

    @property
    def self_cpu_time_total(self) -> float:
        """Microseconds of all, each counted once."""
        return sum(event.self_cpu_time_total for event in self)

    @property
    def device_time_total(self) -> float:
        """Microseconds of all kernels."""
        return sum(event.device_time_total for event in self)

    def total_average(self) -> FunctionEventAvg:
        """The sum of all."""
        total = FunctionEventAvg("Total", sum(event.count for event in self))
        total.cpu_time_total = sum(event.cpu_time_total for event in self)
        total.self_cpu_time_total = self.self_cpu_time_total
        total.device_time_total = self.device_time_total
        return total

    def table(self, sort_by: str | None = None, row_limit: int = 100, **options: Any) -> str:
        """The sums as text, the largest by `sort_by` first, such as "cpu_time_total" or "count"."""
        order = list(self)
        if sort_by is not None:
            known = (
                "count",
                "cpu_time",
                "cpu_time_total",
                "device_time",
                "device_time_total",
                "self_device_time_total",
            )
            name = sort_by.replace("cuda", "device")
            name = name if name in known else "self_cpu_time_total"
            order.sort(key=lambda event: float(getattr(event, name)), reverse=True)
        whole = self.self_cpu_time_total or 1.0
        on_gpus = self.device_time_total
        gpu_titles = ("Self CUDA", "Self CUDA %", "CUDA time avg") if on_gpus else ()
        rows: list[tuple[str, ...]] = [
            ("Name", "Self CPU %", "Self CPU", "CPU total", "CPU time avg", *gpu_titles, "# of Calls")
        ]
        for event in order[: row_limit if row_limit >= 0 else None]:
            share = f"{100 * event.self_cpu_time_total / whole:.2f}%"
            times = map(_shown, (event.self_cpu_time_total, event.cpu_time_total, event.cpu_time))
            gpu_cells: tuple[str, ...] = ()
            if on_gpus:
                part = f"{100 * event.device_time_total / on_gpus:.2f}%"
                gpu_cells = (_shown(event.device_time_total), part, _shown(event.device_time))
            rows.append((event.key, share, *times, *gpu_cells, str(event.count)))
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        rule = "  ".join("-" * width for width in widths)
        lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths)) for row in rows]
        totals = [f"Self CPU time total: {_shown(whole)}"]
        if on_gpus:
            totals.append(f"Self CUDA time total: {_shown(on_gpus)}")
        return "\n".join([rule, lines[0], rule, *lines[1:], rule, *totals, ""])


def _shown(microseconds: float) -> str:
    for unit, name in ((1e6, "s"), (1e3, "ms")):
        if microseconds >= unit:
            return f"{microseconds / unit:.3f}{name}"
    return f"{microseconds:.3f}us"


def averages(regions: Iterable[Region]) -> EventList:
    """The sums by name, in the order in which names came first."""
    found: dict[str, FunctionEventAvg] = {}
    for region in regions:
        event = found.setdefault(region.name, FunctionEventAvg(region.name))
        seconds = region.end - region.start
        event.count += 1
        event.cpu_time_total += 1e6 * seconds
        event.self_cpu_time_total += 1e6 * (seconds - region.inside)
    return EventList(found.values())
