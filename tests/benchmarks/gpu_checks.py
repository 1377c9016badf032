"""What a GPU computes beside what the CPU computes: the table of ops, random graphs, training steps, sizes.

Out: groups of tasks, each with a state of `gpu_task` in its figures.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

import graphc
from graphc.ir.graph import Graph
from graphc.passes.instrument import random_arguments
from tests.benchmarks.gpu_cases import Case, all_cases, using_unit
from tests.benchmarks.gpu_compare import ATTENTION, TF32_TOLERANCE, compare, compare_graph, leaves, on_host
from tests.benchmarks.gpu_task import DIFFERS, LEFT_OUT, SAME, Figures, Task
from tests.benchmarks.gpu_training import SMALL_STEPS, Pieces
from tests.ops.cases import CASES
from tests.random_graphs import random_graph
from tests.structured_graphs import structured_arguments, structured_graph

SEEDS = 200
STEPS = 4
"""Training steps whose losses and parameters are compared."""
ADAM_TOLERANCE = 3e-2
"""Of parameters: Adam goes as far where a gradient is all rounding, as that of the keys' bias, as anywhere."""


def op_tasks(is_quick: bool) -> Iterator[Task]:
    """Every case of the table of primitive ops, as a graph of its own."""
    for number, case in enumerate(CASES):
        if case.label != "refused" and (not is_quick or number % 400 == 0):
            yield Task(case.id, lambda case=case: compare_graph(case.graph(), case.arrays))  # type: ignore[misc]


def graph_tasks(is_quick: bool) -> Iterator[Task]:
    """Random graphs."""

    def run(make: Callable[..., Graph], arguments: Callable[..., Any], seed: int) -> Figures:
        graph = make(seed)
        return compare_graph(graph, arguments(graph, seed=seed))

    for seed in range(2 if is_quick else SEEDS):
        yield Task(f"random graph {seed}", partial(run, random_graph, random_arguments, seed))
        yield Task(f"structured graph {seed}", partial(run, structured_graph, structured_arguments, seed))


def step_tasks(is_quick: bool) -> Iterator[Task]:
    """Training steps, eager and compiled: losses and parameters after some of them."""
    for name, make in list(SMALL_STEPS.items())[: 1 if is_quick else None]:
        for is_compiled in (False, True):
            yield Task(f"{name}, {'compiled' if is_compiled else 'eager'}", partial(_compare_steps, make, is_compiled))
    if not is_quick:
        for is_compiled in (False, True):
            form = "compiled" if is_compiled else "eager"
            yield Task(f"examples/char_lm.py, {form}", partial(_compare_example, is_compiled))


def size_tasks(is_quick: bool) -> Iterator[Task]:
    """The cases that are timed, at sizes that fill many blocks: from the CPU's bits, and each run the same."""
    seen: set[tuple[object, ...]] = set()
    for case in all_cases()[:: 12 if is_quick else 1]:
        key = (case.name.partition(",")[0] if case.group == "elementwise" else case.name, case.middle, case.unit)
        if key not in seen:
            seen.add(key)
            yield Task(f"{case.group}: {case.name}", partial(_compare_case, case, is_quick))


def _compare_case(case: Case, is_quick: bool) -> Figures:
    generator = np.random.default_rng(0)
    arrays = [each.array(generator) for each in (case.tiny if is_quick else case.middle)]
    call = case.call(graphc, lambda function: function)

    def results(device: str) -> list[Any]:
        tensors = [graphc.tensor(array, device=device) for array in arrays]
        with using_unit(graphc, case.unit):
            compiled = graphc.compile(call)  # the first call is eager, the second one native, others replay it
            runs = [[on_host(each) for each in leaves(compiled(*tensors))] for _ in range(4)]
        for again in runs[1:]:
            if compare(runs[0], again, None)["state"] != SAME:
                raise AssertionError(f"other bits in another run: {compare(runs[0], again, None)}")
        return runs[0]

    tolerance = TF32_TOLERANCE if case.unit == "tf32" else None
    return compare(results("cpu"), results("cuda"), case.reason, tolerance)


def _compare_steps(make: Callable[..., Pieces], is_compiled: bool) -> Figures:
    pieces = make(graphc, "cpu")
    return _compare_training(lambda device: make(graphc, device), pieces.reason, is_compiled)


def _compare_training(make: Callable[[str], Pieces], reason: str | None, is_compiled: bool) -> Figures:
    def results(device: str) -> tuple[list[Any], list[Any]]:
        pieces = make(device)
        graphc.manual_seed(1)  # the streams of both devices: what was made came from that of the CPU
        with graphc.device(device):
            step = graphc.compile(pieces.step()) if is_compiled else pieces.step()
            losses = [on_host(step()) for _ in range(STEPS)]
        return losses, [on_host(each) for each in pieces.model.parameters()]

    (losses, parameters), (found_losses, found_parameters) = results("cpu"), results("cuda")
    figures = compare(losses, found_losses, reason)
    if figures["state"] == DIFFERS:
        return figures
    return compare([*losses, *parameters], [*found_losses, *found_parameters], reason, ADAM_TOLERANCE)


def _compare_example(is_compiled: bool) -> Figures:
    try:
        example = importlib.import_module("examples.char_lm")
    except ImportError as error:
        return {"state": LEFT_OUT, "why": str(error)}

    def make(device: str) -> Pieces:
        torch = graphc
        with torch.device("cpu"):
            torch.manual_seed(0)
            model = example.LanguageModel(60, width=32, heads=2, blocks=2).to(device)
            windows = torch.randint(0, 60, (4, example.CONTEXT + 1)).to(device)
        optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.1)
        return Pieces(graphc, model, example.next_letter_loss, optimizer, (windows,))

    return _compare_training(make, ATTENTION, is_compiled)
