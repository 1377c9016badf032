"""Recurrent layers by their formulas in numpy, one sequence and one step at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Weights = Mapping[str, Array]


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x))."""
    result: Array = 1 / (1 + np.exp(-x))
    return result


def step(kind: str, x: Array, state: Sequence[Array], weights: Weights, suffix: str) -> tuple[Array, ...]:
    """The next state of one cell: (h,), of an LSTM (h, c)."""
    zero = np.zeros(1)
    given = weights[f"weight_ih{suffix}"] @ x + weights.get(f"bias_ih{suffix}", zero)
    kept = weights[f"weight_hh{suffix}"] @ state[0] + weights.get(f"bias_hh{suffix}", zero)
    if kind == "tanh":
        return (np.tanh(given + kept),)
    if kind == "relu":
        return (np.maximum(given + kept, 0),)
    if kind == "gru":
        (r, z, n), (hr, hz, hn) = np.split(given, 3), np.split(kept, 3)
        reset, update = sigmoid(r + hr), sigmoid(z + hz)
        return ((1 - update) * np.tanh(n + reset * hn) + update * state[0],)
    i, f, g, o = np.split(given + kept, 4)
    cell = sigmoid(f) * state[1] + sigmoid(i) * np.tanh(g)
    h = sigmoid(o) * np.tanh(cell)
    projection = weights.get(f"weight_hr{suffix}")
    return (h if projection is None else projection @ h), cell


def layers(
    kind: str, sequence: Array, states: Sequence[Array], weights: Weights, num_layers: int, bidirectional: bool
) -> tuple[Array, list[Array]]:
    """The output `[steps, features]` of one sequence `[steps, inputs]`, and the last states, `[layers, hidden]`."""
    finals: list[tuple[Array, ...]] = []
    for layer in range(num_layers):
        outputs = []
        for direction in range(1 + bidirectional):
            number = layer * (1 + bidirectional) + direction
            state = tuple(each[number] for each in states)
            history: dict[int, Array] = {}
            for t in range(len(sequence))[:: -1 if direction else 1]:
                state = step(kind, sequence[t], state, weights, f"_l{layer}" + "_reverse" * direction)
                history[t] = state[0]
            outputs.append(np.array([history[t] for t in range(len(sequence))]))
            finals.append(state)
        sequence = np.concatenate(outputs, 1)
    return sequence, [np.array(each) for each in zip(*finals)]
