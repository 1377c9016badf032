"""The tasks of one group, in this process; what they find goes to standard output, a line of JSON each.

    python -m tests.benchmarks.gpu_worker GROUP [--quick] [--share 0/4] [--after 12] [--seconds 100]

For each task `{"begin": name}` and `{"name": name, "figures": ...}`, and `{"unreached": [names]}` when the seconds are
over. A device that a kernel's fault has made useless ends the process with status 3: another one goes on after that
task.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import islice

import tests.benchmarks.gpu_tree  # noqa: F401  # graphc need not be installed

# isort: split
import graphc
from graphc.ir.errors import GraphcError
from graphc.runtime.cuda.driver import CudaError
from tests.benchmarks.gpu_behaviour import behaviour_tasks
from tests.benchmarks.gpu_checks import graph_tasks, op_tasks, size_tasks, step_tasks
from tests.benchmarks.gpu_launch import compile_tasks, launch_tasks
from tests.benchmarks.gpu_speed import case_tasks, copy_tasks, training_tasks
from tests.benchmarks.gpu_task import ERROR, LEFT_OUT, Figures, Group, Task

FAULT = 3
"""The status where the device is of no use any more."""


def table(name: str) -> Callable[[bool], Iterable[Task]]:
    """Tasks of `gpu_tables`; where something that it needs is not installed, one that says so."""

    def tasks(is_quick: bool) -> Iterable[Task]:
        try:
            module = importlib.import_module("tests.benchmarks.gpu_tables")
        except ImportError as error:
            figures = {"state": LEFT_OUT, "why": str(error)}
            return [Task("table of functions", lambda: figures)]
        found: Iterable[Task] = getattr(module, name)(is_quick)
        return found

    return tasks


GROUPS: dict[str, Group] = {
    "ops": Group(op_tasks, is_divisible=True),
    "functions": Group(table("function_tasks"), is_divisible=True),
    "composites": Group(table("composite_tasks"), is_divisible=True),
    "graphs": Group(graph_tasks, is_divisible=True),
    "steps": Group(step_tasks),
    "behaviour": Group(behaviour_tasks),
    "sizes": Group(size_tasks, is_divisible=True),
    "copy": Group(copy_tasks, is_speed=True),
    "elementwise": Group(partial(case_tasks, "elementwise"), is_speed=True),
    "reductions": Group(partial(case_tasks, "reductions"), is_speed=True),
    "matmul": Group(partial(case_tasks, "matmul"), is_speed=True),
    "rows": Group(partial(case_tasks, "rows"), is_speed=True),
    "attention": Group(partial(case_tasks, "attention"), is_speed=True),
    "launch": Group(launch_tasks, is_speed=True),
    "training": Group(training_tasks, is_speed=True),
    "layout": Group(partial(case_tasks, "layout"), is_speed=True),
    "conv2d": Group(partial(case_tasks, "conv2d"), is_speed=True),
    "compile": Group(compile_tasks, is_speed=True),
}
"""In order: first whether it is right, then what matters most."""


def perform(task: Task) -> Figures:
    """The task's figures; an error is among them."""
    try:
        return task.run()
    except Exception as error:
        text = str(error).strip().splitlines()
        frames = traceback.extract_tb(error.__traceback__)[-3:]
        return {
            "state": ERROR,
            "error": f"{type(error).__name__}: {text[0] if text else ''}"[:400],
            "hint": str(getattr(error, "hint", None) or "")[:800],
            "where": [f"{os.path.relpath(each.filename)}:{each.lineno}" for each in frames],
        }


def is_useless() -> bool:
    """Whether the device answers every call with an error."""
    try:
        graphc.cuda.synchronize()
    except CudaError:
        return True
    except GraphcError:  # a check that failed in the task, and that nothing in it waited for
        return False
    return False


def work(tasks: Sequence[Task], seconds: float, say: Callable[..., None]) -> int:
    """Perform the tasks, and say so; the status to end with."""
    end = time.monotonic() + seconds
    for number, task in enumerate(tasks):
        if time.monotonic() > end:
            say(unreached=[each.name for each in tasks[number:]])
            return 0
        say(begin=task.name)
        figures = perform(task)
        say(name=task.name, figures=figures)
        if is_useless():
            return FAULT
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("group", choices=GROUPS)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--share", default="0/1", metavar="NUMBER/COUNT")
    parser.add_argument("--after", type=int, default=0, metavar="TASKS", help="how many are done")
    parser.add_argument("--seconds", type=float, default=float("inf"))
    options = parser.parse_args(arguments)
    share, shares = map(int, options.share.split("/"))
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as out, warnings.catch_warnings():
        os.dup2(2, 1)  # what tasks print is no line of this
        warnings.simplefilter("ignore")

        def say(**fields: object) -> None:
            out.write(json.dumps(fields) + "\n")
            out.flush()

        tasks = list(islice(GROUPS[options.group].tasks(options.quick), share, None, shares))
        return work(tasks[options.after :], options.seconds, say)


if __name__ == "__main__":
    sys.exit(main())
