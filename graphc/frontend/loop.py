"""Loops over a compiled step: what `graphc/ops/loop.py` calls, and its gradient.

In: the text of a step's graph, the first states, operands with an axis of steps, operands that all steps share. Out:
what each step gives, stacked. The gradient is a loop again, from the last step to the first, over the gradient of the
step; so it has a gradient too. What a shared operand gets from all steps is one product over steps where it is a
product in the step, and a sum of what the steps give otherwise.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, cast

import numpy.typing as npt

from graphc.ir.errors import CodeMemoryFull
from graphc.ir.graph import INPUT, Graph, Node, make_input, topological_order
from graphc.ir.host import HostFunction, register_host
from graphc.ir.interpret import evaluate_graph
from graphc.ir.location import using
from graphc.ir.replace import replace_nodes
from graphc.ops import build, contraction, elementwise, movement, reduction
from graphc.ops.loop import before, call_loop, last

AnyArray: TypeAlias = npt.NDArray[Any]

MOST_STEPS = 512
"""Steps whose code is remembered."""


@functools.lru_cache(maxsize=MOST_STEPS)
def _compiled(body: str) -> Callable[..., tuple[AnyArray, ...]]:
    """The step as a function of arrays: native code, or if no more of that may be loaded an interpreter."""
    from graphc.frontend.executable import Executable  # late: importing graphc loads neither compiler nor parser
    from graphc.ir.parse import parse_graph

    graph = parse_graph(body)
    try:
        executable = Executable.build(graph)
    except CodeMemoryFull:
        return lambda *operands: evaluate_graph(graph, operands)
    fast = executable.fast

    def run(*operands: AnyArray) -> tuple[AnyArray, ...]:
        values = fast(*operands)
        return values if type(values) is tuple else executable.outputs(operands)

    return run


def _run(targets: tuple[AnyArray, ...], *arrays: AnyArray, body: str, states: int, along: int, reverse: bool) -> None:
    step = _compiled(body)
    state: tuple[AnyArray, ...] = arrays[:states]
    sequences, shared = arrays[states : states + along], arrays[states + along :]
    count = targets[0].shape[0]
    for t in reversed(range(count)) if reverse else range(count):
        values = step(*state, *[x[t] for x in sequences], *shared)
        for target, value in zip(targets, values):
            target[t] = value
        state = values[:states]


# The gradient


class _Step:
    """The gradient of a step while it is put together: what it reads of all steps, and what it gives to be stacked."""

    def __init__(self) -> None:
        self.read: dict[Node, Node] = {}
        """What is stacked for all steps, by the input that stands for one of them."""
        self.given: dict[Node, int] = {}
        """The values to be stacked, and their places among the results of the loop."""
        self.results: Sequence[Node] = ()

    def take(self, name: str, whole: Node) -> Node:
        """An input that stands for one element of `whole`."""
        found = make_input(name, whole.tensor.with_shape(whole.shape[1:]))
        self.read[found] = whole
        return found

    def stack(self, node: Node) -> Callable[[], Node]:
        """A value of all steps, once there are results."""
        if node in self.read:
            return lambda: self.read[node]
        place = self.given.setdefault(node, len(self.given))
        return lambda: self.results[place]

    def total(self, node: Node) -> Callable[[], Node]:
        """A value summed over all steps, once there are results: a sum of products is one product over steps too."""
        moves: list[Node] = []
        while node.op in (movement.permute, movement.reshape):
            moves.append(node)
            node = node.inputs[0]
        is_product = node.op is contraction.dot and node.keywords["batch"] == ((), ())
        stacked = [self.stack(each) for each in (node.inputs if is_product else (node,))]

        def summed() -> Node:
            values = [each() for each in stacked]
            if is_product:
                pairs = cast("tuple[tuple[int, ...], ...]", node.keywords["contract"])  # as the op's type rule has it
                contract = tuple((0, *[axis + 1 for axis in axes]) for axes in pairs)
                found = contraction.dot(*values, contract=contract, batch=((), ()))
            else:
                found = build.cast_to(reduction.sum_(values[0], axes=(0,)), node.tensor.dtype)
            for move in reversed(moves):
                found = move.op(found, **move.keywords)
            return found

        return summed


def _gradient(
    cotangents: Sequence[Node | None],
    outputs: Sequence[Node],
    *operands: Node,
    body: str,
    states: int,
    along: int,
    reverse: bool,
) -> tuple[Node | None, ...]:
    from graphc.ir.parse import parse_graph  # late: importing graphc loads neither compiler nor parser
    from graphc.passes.autodiff import vjp

    with using(None):
        body_graph, made = parse_graph(body), _Step()
        inputs, is_wanted = body_graph.inputs, [each.tensor.dtype.is_differentiable for each in body_graph.inputs]
        # The states before a step and what it computed are read, so that nothing is computed again.
        known = {
            node: made.take(f"in_{i}", before(outputs[i], operands[i], reverse) if i < states else operands[i])
            for i, node in enumerate(inputs[: states + along])
        }
        for i, node in enumerate(body_graph.outputs):
            if node.op is not INPUT:
                known.setdefault(node, made.take(f"out_{i}", outputs[i]))
        carried = {i: make_input(f"ct_state_{i}", inputs[i].tensor) for i in range(states) if is_wanted[i]}
        seeds = [None if ct is None else made.take(f"ct_{i}", ct) for i, ct in enumerate(cotangents)]
        for i, state in carried.items():
            own = seeds[i]
            seeds[i] = state if own is None else elementwise.add(own, state)
        wanted = [node for node, is_wanted in zip(inputs, is_wanted) if is_wanted]
        found = vjp(body_graph.outputs, wanted, seeds)
        filled = [build.zeros_like(node) if ct is None else ct for node, ct in zip(wanted, found)]
        by_input = dict(zip(wanted, replace_nodes(filled, known)))
        makers: list[Callable[[], Node] | None] = [None] * len(inputs)
        for i, node in enumerate(inputs):
            if i >= states and node in by_input:
                makers[i] = (made.stack if i < states + along else made.total)(by_input[node])
        results = (*[by_input[inputs[i]] for i in carried], *made.given)
        used = {node for node in topological_order(results) if node.op is INPUT}
        read = {node: whole for node, whole in made.read.items() if node in used}
        read = read or dict([next(iter(made.read.items()))])  # something has to say how many steps there are
        shared = {node: operands[i] for i, node in enumerate(inputs) if i >= states + along and node in used}
        back = Graph("step_back", (*carried.values(), *read, *shared), results)
    zeros = [build.zeros_like(operands[i]) for i in carried]
    histories = call_loop(back, (*zeros, *read.values(), *shared.values()), len(zeros), len(read), not reverse)
    made.results = histories[len(carried) :]
    firsts = dict(zip(carried, histories))
    return tuple(
        last(firsts[i], not reverse) if i in firsts else None if make is None else make()
        for i, make in enumerate(makers)
    )


register_host(HostFunction("loop", _run, _gradient, writes=True))
