"""A step that repeats along an axis, each time on the state that the step before left.

Level: tensor graph. In: a step as a function of nodes; the first states, operands with an axis of steps in front, and
operands that all steps share. Out: what the step gives, stacked along a new first axis. The step becomes a graph of its
own, which is compiled once and runs as often as there are steps (`graphc/frontend/loop.py`): code for a sequence takes
no longer to make than code for one step.

    (totals,) = loop(lambda state, x, shared: (add(state[0], x[0]),), (start,), (xs,), ())
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from graphc.ir.dim import Size
from graphc.ir.graph import Graph, Node, make_input
from graphc.ir.location import using
from graphc.ir.text import print_graph
from graphc.ir.type import TensorType
from graphc.ops import build, host, movement

Nodes: TypeAlias = "tuple[Node, ...]"
Step: TypeAlias = Callable[[Nodes, Nodes, Nodes], Sequence[Node]]
"""(states, operands of this step, operands of all steps) -> the next states, and what else is to be stacked."""


def loop(
    step: Step, states: Sequence[Node], along: Sequence[Node], shared: Sequence[Node], *, reverse: bool = False
) -> Nodes:
    """Run a step for each element of the first axis of `along`, from its end if `reverse`.

    The result for step t stands at place t, also in reverse. A result of the step that is a state has its type.
    """
    assert along, "something has to say how many steps there are"
    count = along[0].shape[0]
    if count == 1:
        found = step(tuple(states), tuple(build.reshape_to(x, x.shape[1:]) for x in along), tuple(shared))
        return tuple(build.insert_axes(each, (0,)) for each in found)
    with using(None):  # one graph for all calls, wherever they stand
        taken = [make_input(f"state_{i}", x.tensor) for i, x in enumerate(states)]
        own = [make_input(f"x_{i}", x.tensor.with_shape(x.shape[1:])) for i, x in enumerate(along)]
        common = [make_input(f"shared_{i}", x.tensor) for i, x in enumerate(shared)]
        outputs = tuple(step(tuple(taken), tuple(own), tuple(common)))
    assert all(a.type == b.type for a, b in zip(taken, outputs)), "a state keeps its type"
    body = Graph("step", (*taken, *own, *common), outputs)
    return call_loop(body, (*states, *along, *shared), len(states), len(along), reverse)


def call_loop(body: Graph, operands: Sequence[Node], states: int, along: int, reverse: bool) -> Nodes:
    """The loop over a step that is a graph already; its inputs are as `operands`, without the axis of steps."""
    count = operands[states].shape[0]
    types = [TensorType((count, *each.shape), each.tensor.dtype) for each in body.outputs]
    text = print_graph(body, locations=False)
    return host.call("loop", operands, types, body=text, states=states, along=along, reverse=reverse)


def steps(x: Node, start: Size, stop: Size) -> Node:
    """Elements from start to before stop along the first axis."""
    rest = x.shape[1:]
    return movement.slice_(x, start=(start, *(0 for _ in rest)), stop=(stop, *rest), step=(1,) * (1 + len(rest)))


def last(history: Node, reverse: bool = False) -> Node:
    """The state after all steps, from what a loop gives for it."""
    count = history.shape[0]
    part = steps(history, 0, 1) if reverse else steps(history, count - 1, count)
    return build.reshape_to(part, history.shape[1:])


def before(history: Node, first: Node, reverse: bool = False) -> Node:
    """The state before each step, from what a loop gives for it and the first."""
    count, start = history.shape[0], build.insert_axes(first, (0,))
    if reverse:
        return movement.concat(steps(history, 1, count), start, axis=0)
    return movement.concat(start, steps(history, 0, count - 1), axis=0)
