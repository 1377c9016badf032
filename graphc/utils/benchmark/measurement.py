"""What a timer measured.

>>> Measurement(2, [4.0, 8.0, 6.0], TaskSpec("x + 1", "pass")).median
3.0
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns"))


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """What was timed."""

    stmt: str
    setup: str
    global_setup: str = ""
    label: str | None = None
    sub_label: str | None = None
    description: str | None = None
    env: str | None = None
    num_threads: int = 1

    @property
    def title(self) -> str:
        """The label, or the statement."""
        if self.label is not None:
            return self.label + (f": {self.sub_label}" if self.sub_label else "")
        if "\n" not in self.stmt:
            return self.stmt + (f": {self.sub_label}" if self.sub_label else "")
        return f"stmt:{f' ({self.sub_label})' if self.sub_label else ''}\n{textwrap.indent(self.stmt, '  ')}"

    def setup_str(self) -> str:
        """The set-up, where there is one."""
        if not self.setup or self.setup == "pass":
            return ""
        return f"setup:\n{textwrap.indent(self.setup, '  ')}" if "\n" in self.setup else f"setup: {self.setup}"


@dataclass(slots=True, repr=False)
class Measurement:
    """Seconds of several rounds of `number_per_run` runs each; properties are seconds of one run."""

    number_per_run: int
    raw_times: list[float]
    task_spec: TaskSpec
    metadata: dict[object, object] | None = None

    @property
    def times(self) -> list[float]:
        """Seconds of one run, by round."""
        return [each / self.number_per_run for each in self.raw_times]

    @property
    def median(self) -> float:
        """The median of the rounds."""
        return float(np.median(self.times))

    @property
    def mean(self) -> float:
        """The mean of the rounds."""
        return float(np.mean(self.times))

    @property
    def iqr(self) -> float:
        """From the first to the third quartile of the rounds."""
        return float(np.percentile(self.times, 75) - np.percentile(self.times, 25))

    @property
    def has_warnings(self) -> bool:
        """Whether the rounds differ much."""
        return len(self.times) > 1 and self.iqr / self.median > 0.1

    @property
    def title(self) -> str:
        """What was timed."""
        return self.task_spec.title

    @property
    def stmt(self) -> str:
        """The statement."""
        return self.task_spec.stmt

    @property
    def num_threads(self) -> int:
        """On how many threads."""
        return self.task_spec.num_threads

    @staticmethod
    def merge(measurements: Iterable[Measurement]) -> list[Measurement]:
        """One measurement for each task, of all of its rounds."""
        groups: dict[TaskSpec, list[Measurement]] = {}
        for each in measurements:
            groups.setdefault(each.task_spec, []).append(each)
        return [
            Measurement(1, [seconds for each in group for seconds in each.times], task)
            for task, group in groups.items()
        ]

    def __repr__(self) -> str:
        lines = [object.__repr__(self).replace(__name__, "torch.utils.benchmark.utils.common"), self.title]
        lines += [text for text in (self.task_spec.description, self.task_spec.setup_str()) if text]
        unit, name = next((each for each in _UNITS if self.median >= each[0]), _UNITS[-1])
        count = len(self.times)
        if count == 1:
            lines.append(f"  {self.median / unit:.2f} {name}")
        else:
            lines.append(f"  Median: {self.median / unit:.2f} {name}")
            if count >= 4:
                low, high = np.percentile(self.times, (25, 75))
                lines.append(f"  IQR:    {self.iqr / unit:.2f} {name} ({low / unit:.2f} to {high / unit:.2f})")
        runs = f"{self.number_per_run} runs " + ("per measurement," if count > 1 else ",")
        lines.append(f"  {count} measurement{'s' * (count > 1)}, {runs} {_threads(self.num_threads)}")
        return "\n".join(lines)


def _threads(count: int) -> str:
    return f"{count} thread{'s' * (count > 1)}"
