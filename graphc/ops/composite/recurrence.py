"""Recurrent networks: tanh and ReLU, GRU (Cho et al. 2014), LSTM (Hochreiter et al. 1997), as cells and as layers.

The formulas are those of PyTorch, with the rows of the weights in its order of gates: input, forget, cell and output of
an LSTM; reset, update and new of a GRU. A cell is one step in time. A layer takes all steps, `[steps, batch, inputs]`:
one product computes the inputs' part of the gates for all of them, and a loop runs the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from graphc.ir.dim import Size, is_at_most
from graphc.ir.errors import ArgumentError, ShapeError
from graphc.ir.graph import Node
from graphc.ops import build, movement
from graphc.ops import elementwise as ew
from graphc.ops.check import can_be_equal
from graphc.ops.composite.activation import relu
from graphc.ops.composite.operand import normal_dim
from graphc.ops.composite.products import linear
from graphc.ops.composite.shapes import cut
from graphc.ops.composite.unary import sigmoid, tanh
from graphc.ops.function import function
from graphc.ops.loop import last, loop

Nodes: TypeAlias = "tuple[Node, ...]"
Step: TypeAlias = Callable[[Node, Nodes, Node, "Node | None"], Nodes]
"""(the input's part of the gates, the state, w_hh, b_hh) -> the next state, and what the gradient reads besides."""


def _check_input(input: Node, weight: Node) -> None:
    normal_dim("cell", 1, len(input.shape))
    found, expected = input.shape[1], weight.shape[1]
    if not can_be_equal(found, expected):
        raise ShapeError(
            f"input has inconsistent input_size: got {found} expected {expected}", hint="input is [batch, input_size]"
        )


def _check_state(input: Node, state: Node, weight: Node, which: int = 0) -> None:
    samples, width = state.shape
    if not can_be_equal(input.shape[0], samples):
        raise ShapeError(
            f"Input batch size {input.shape[0]} doesn't match hidden{which} batch size {samples}",
            hint="a state is [batch, hidden_size]",
        )
    if not can_be_equal(width, weight.shape[1]):
        raise ShapeError(
            f"hidden{which} has inconsistent hidden_size: got {width}, expected {weight.shape[1]}",
            hint="a state is [batch, hidden_size]",
        )


def _parts(x: Node, count: int, width: Size) -> list[Node]:
    """Parts of the last dimension, each of this width."""
    axis, size = len(x.shape) - 1, x.shape[-1]
    if is_at_most(count * width, size):
        return [cut(x, axis, part * width, (part + 1) * width) for part in range(count)]
    # Symbolic sizes don't say that one is a multiple of the other: what stands besides a part is cut off.
    zero, nothing = build.zero(x.tensor.dtype), (0,) * axis
    return [
        movement.pad(
            x,
            zero,
            low=(*nothing, -part * width),
            high=(*nothing, (part + 1) * width - size),
            interior=(0,) * (axis + 1),
        )
        for part in range(count)
    ]


def _tanh_step(gates: Node, state: Nodes, w_hh: Node, b_hh: Node | None) -> Nodes:
    return (tanh(ew.add(linear(state[0], w_hh, b_hh), gates)),)


def _relu_step(gates: Node, state: Nodes, w_hh: Node, b_hh: Node | None) -> Nodes:
    return (relu(ew.add(linear(state[0], w_hh, b_hh), gates)),)


def _gru_step(gates: Node, state: Nodes, w_hh: Node, b_hh: Node | None) -> Nodes:
    (h,) = state
    (a, b, c), (d, e, inner) = (_parts(each, 3, h.shape[1]) for each in (gates, linear(h, w_hh, b_hh)))
    reset, update = sigmoid(ew.add(a, d)), sigmoid(ew.add(b, e))
    new = tanh(ew.add(c, ew.mul(inner, reset)))
    return ew.add(ew.mul(ew.sub(h, new), update), new), reset, update, new, inner


def _lstm_step(gates: Node, state: Nodes, w_hh: Node, b_hh: Node | None) -> Nodes:
    a, b, c, d = _parts(ew.add(linear(state[0], w_hh, b_hh), gates), 4, state[1].shape[1])
    taken, kept, new, shown = sigmoid(a), sigmoid(b), tanh(c), sigmoid(d)
    cell = ew.add(ew.mul(kept, state[1]), ew.mul(taken, new))
    bounded = tanh(cell)
    return ew.mul(shown, bounded), cell, taken, kept, new, shown, bounded


_STEPS: dict[str, Step] = {"rnn_tanh": _tanh_step, "rnn_relu": _relu_step, "gru": _gru_step, "lstm": _lstm_step}

# Cells


def _cell(
    kind: str,
    input: Node,
    states: Sequence[Node],
    w_ih: Node,
    w_hh: Node,
    b_ih: Node | None,
    b_hh: Node | None,
) -> Nodes:
    _check_input(input, w_ih)
    for which, state in enumerate(states):
        _check_state(input, state, w_hh, which)
    return _STEPS[kind](linear(input, w_ih, b_ih), tuple(states), w_hh, b_hh)


@function()
def rnn_tanh_cell(
    input: Node, hx: Node, w_ih: Node, w_hh: Node, b_ih: Node | None = None, b_hh: Node | None = None
) -> Node:
    """The next state `[batch, hidden]`: tanh(w_ih input + b_ih + w_hh hx + b_hh)."""
    return _cell("rnn_tanh", input, (hx,), w_ih, w_hh, b_ih, b_hh)[0]


@function()
def rnn_relu_cell(
    input: Node, hx: Node, w_ih: Node, w_hh: Node, b_ih: Node | None = None, b_hh: Node | None = None
) -> Node:
    """The next state `[batch, hidden]`: relu(w_ih input + b_ih + w_hh hx + b_hh)."""
    return _cell("rnn_relu", input, (hx,), w_ih, w_hh, b_ih, b_hh)[0]


@function()
def gru_cell(input: Node, hx: Node, w_ih: Node, w_hh: Node, b_ih: Node | None = None, b_hh: Node | None = None) -> Node:
    """The next state of a GRU, `[batch, hidden]`: new + update (hx - new)."""
    return _cell("gru", input, (hx,), w_ih, w_hh, b_ih, b_hh)[0]


@function()
def lstm_cell(
    input: Node, hx: Sequence[Node], w_ih: Node, w_hh: Node, b_ih: Node | None = None, b_hh: Node | None = None
) -> tuple[Node, Node]:
    """The next state and cell of an LSTM, `[batch, hidden]` each, from `hx`, the pair of both before."""
    if len(hx) != 2:
        raise ArgumentError("lstm_cell expects two hidden states", hint="hx is (h, c)")
    state, cell, *_ = _cell("lstm", input, hx, w_ih, w_hh, b_ih, b_hh)
    return state, cell


# Layers


@function()
def _recurrent_layer(
    kind: str,
    input: Node,
    states: Sequence[Node],
    w_ih: Node,
    w_hh: Node,
    b_ih: Node | None,
    b_hh: Node | None,
    w_hr: Node | None,
    mask: Node | None,
    is_reverse: bool,
    keeps: bool,
) -> tuple[Nodes, Nodes]:
    """The states after each step, `[steps, batch, hidden]` of each kind, and those after all.

    `w_hr` projects the state of an LSTM. Where `mask`, `[steps, batch]`, is false the states stay as they are. With
    `keeps` what the gradient reads follows behind the states: then it computes no step again.
    """
    count = len(states)

    def step(state: Nodes, along: Nodes, shared: Nodes) -> Nodes:
        weights = iter(shared)
        w, b = next(weights), None if b_hh is None else next(weights)
        found = _STEPS[kind](along[0], state, w, b)
        if w_hr is not None:
            found = (linear(found[0], next(weights)), *found[1:], found[0])
        if mask is not None:
            held = [build.broadcast_to(build.insert_axes(along[1], (1,)), each.shape) for each in state]
            moved = [ew.select(*each) for each in zip(held, found, state)]
            found = (*moved, *found)
        return found if keeps else found[:count]

    along = [linear(input, w_ih, b_ih)] + ([] if mask is None else [mask])
    shared = [each for each in (w_hh, b_hh, w_hr) if each is not None]
    histories = loop(step, states, along, shared, reverse=is_reverse)
    return histories, tuple(last(each, is_reverse) for each in histories[:count])
