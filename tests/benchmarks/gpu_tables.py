"""The tables of functions on a GPU beside the CPU: eager calls with their gradients, and traced graphs of many ops.

Out: groups of tasks, each with a state of `gpu_task` in its figures. The tables need what graphc's tests need.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import islice

from tests.benchmarks.gpu_compare import ATTENTION, SCAN, compare_eagerly, compare_graph
from tests.benchmarks.gpu_task import Figures, Task
from tests.composite.case import Case, trace
from tests.eager.table_cases import calls, own_calls
from tests.gpu.table import FUNCTIONS

ORDERS = {
    **dict.fromkeys(("cumsum", "cumprod", "cumulative_trapezoid", "logcumsumexp"), SCAN),
    **dict.fromkeys(("scaled_dot_product_attention", "multi_head_attention_forward"), ATTENTION),
}
"""Functions whose order on a GPU is another one where the sizes are large enough."""
UNDEFINED = ("empty", "empty_like", "new_empty", "new_empty_strided", "empty_strided", "empty_permuted")
"""Functions whose elements are whatever was in memory."""


def function_tasks(is_quick: bool) -> Iterator[Task]:
    """Every entry of the table of functions, called with eager tensors, and its gradients."""
    entries = [each for name in sorted(calls()) for each in calls()[name]] if not is_quick else islice(own_calls(), 5)
    for number, call in enumerate(entries):
        arrays, name = call.arrays(), call.name.rpartition(".")[2].rstrip("_")
        if arrays and name not in UNDEFINED:
            yield Task(f"{call.name}, call {number}", partial(compare_eagerly, call.run, arrays, ORDERS.get(name)))


def composite_tasks(is_quick: bool) -> Iterator[Task]:
    """The compiler's own cases of functions, traced: many ops to a graph."""

    def run(case: Case) -> Figures:
        arrays = case.narrowed()
        return compare_graph(trace(case.build, arrays), arrays)

    for case in FUNCTIONS[::60] if is_quick else FUNCTIONS:
        yield Task(case.id, partial(run, case))
