"""What is done on a GPU, piece by piece: tasks, and the groups that they belong to.

In: groups of tasks, by name. Out: the same, for a process that runs them (`gpu_worker`) and for the one that starts
such processes and writes down what they find (`gpu`). A task gives figures; one that compares gives a `state` among
them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

Figures: TypeAlias = "dict[str, Any]"

SAME = "same bits"
CLOSE = "close"
"""Other bits, for a reason that is listed, and within the tolerance."""
DIFFERS = "differs"
ERROR = "error"
LEFT_OUT = "left out"
"""The CPU refuses it too, or something is not installed."""
STATES = (SAME, CLOSE, LEFT_OUT, DIFFERS, ERROR)
WRONG = frozenset({DIFFERS, ERROR})


@dataclass(frozen=True, slots=True)
class Task:
    """One thing to do."""

    name: str
    run: Callable[[], Figures]


@dataclass(frozen=True, slots=True)
class Group:
    """Tasks that are run one after the other; `is_quick` chooses few and small ones."""

    tasks: Callable[[bool], Iterable[Task]]
    is_speed: bool = False
    is_divisible: bool = False
    """Whether several processes may share the tasks among themselves."""
