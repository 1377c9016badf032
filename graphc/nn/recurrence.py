"""Recurrent networks of several layers as functions: lstm, gru, rnn_tanh, rnn_relu, with PyTorch's parameters.

In: a padded batch `[steps, batch, inputs]`, or packed sequences as their data and how many sequences each step has; the
first states; the weights of all layers in one list. Out: the output of the last layer, and the states of all layers
after their last step. Each direction of a layer is one entry of the table. Packed sequences are computed padded, and
the states of a sequence rest where it has no element; so they compile for their shapes and not for their lengths.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from graphc.eager.methods import of_table
from graphc.ir.errors import ArgumentError, ShapeError
from graphc.nn.attention import needs_gradient, public

_layer, _cat, _stack, _drop = (of_table(name) for name in ("_recurrent_layer", "cat", "stack", "dropout"))
_arange, _cumsum, _searchsorted = (of_table(name) for name in ("arange", "cumsum", "searchsorted"))


class _Packing:
    """Where the elements of packed sequences lie in a padded batch."""

    def __init__(self, batch_sizes: Any, samples: int, elements: int) -> None:
        self.steps, self.samples = batch_sizes.shape[0], samples
        place = batch_sizes.device
        ends = _cumsum(batch_sizes, 0)
        starts = ends - batch_sizes
        within = _arange(samples, device=place).unsqueeze(0)
        self.mask = within < batch_sizes.unsqueeze(1)
        """`[steps, batch]`: true where a sequence has an element."""
        self._sources = (starts.unsqueeze(1) + within).where(self.mask, 0).reshape(-1)
        numbers = _arange(elements, device=place)
        step = _searchsorted(ends, numbers, right=True)
        self._places = step * samples + numbers - starts.index_select(0, step)

    def padded(self, data: Any) -> Any:
        """`[elements, inputs]` as `[steps, batch, inputs]`; what stands where there is no element is of no account."""
        return data.index_select(0, self._sources).reshape(self.steps, self.samples, data.shape[1])

    def packed(self, x: Any) -> Any:
        """`[steps, batch, inputs]` as `[elements, inputs]`."""
        return x.reshape(self.steps * self.samples, x.shape[2]).index_select(0, self._places)


def _stacked_layers(
    kind: str,
    input: Any,
    states: Sequence[Any],
    params: Sequence[Any],
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    mask: Any,
) -> tuple[Any, ...]:
    """The output `[steps, batch, features]` and the states of all layers, `[layers * directions, batch, hidden]`."""
    directions = 2 if bidirectional else 1
    if kind == "lstm" and len(states) != 2:
        raise ArgumentError("lstm expects two hidden states", hint="hx is (h, c)")
    is_projected = kind == "lstm" and states[0].shape[2] != states[1].shape[2]
    size = 2 + 2 * has_biases + is_projected
    if len(params) != num_layers * directions * size:
        raise ArgumentError(
            f"{kind}: expected {size} weights for each of {num_layers * directions} layers and directions, got "
            f"{len(params)}",
            hint="they are w_ih, w_hh, b_ih, b_hh (with has_biases) and w_hr (of a projected LSTM)",
        )
    if input.shape[0] == 0:
        raise ShapeError("Expected sequence length to be larger than 0 in RNN", hint="give at least one step")
    if states[0].shape[0] != num_layers * directions:
        raise ShapeError("Expected more hidden states in stacked_rnn", hint="one for each layer and direction")
    finals: list[tuple[Any, ...]] = []
    for layer in range(num_layers):
        outputs = []
        for direction in range(directions):
            number = layer * directions + direction
            weights = list(params[number * size : (number + 1) * size])
            projection = weights.pop() if is_projected else None
            w_ih, w_hh, b_ih, b_hh = weights if has_biases else (*weights, None, None)
            own = tuple([each[number] for each in states])
            keeps = needs_gradient(input, *own, *params[number * size : (number + 1) * size])
            histories, last = _layer(kind, input, own, w_ih, w_hh, b_ih, b_hh, projection, mask, direction == 1, keeps)
            outputs.append(histories[0])
            finals.append(last)
        input = outputs[0] if directions == 1 else _cat(outputs, 2)
        if dropout and train and layer + 1 < num_layers:
            input = _drop(input, dropout, True)
    return input, *[_stack(list(each)) for each in zip(*finals)]


@public
def padded(
    kind: str,
    input: Any,
    states: Sequence[Any],
    params: Sequence[Any],
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
) -> tuple[Any, ...]:
    """The output of a batch `[steps, batch, inputs]`, with `batch_first` `[batch, steps, inputs]`, and the states."""
    given = input.transpose(0, 1) if batch_first else input
    output, *finals = _stacked_layers(
        kind, given, states, params, has_biases, num_layers, dropout, train, bidirectional, None
    )
    return output.transpose(0, 1) if batch_first else output, *finals


@public
def packed(
    kind: str,
    data: Any,
    batch_sizes: Any,
    states: Sequence[Any],
    params: Sequence[Any],
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
) -> tuple[Any, ...]:
    """The output of packed sequences `[elements, inputs]`, and the states after the last element of each."""
    packing = _Packing(batch_sizes.to(data.device), states[0].shape[1], data.shape[0])
    output, *finals = _stacked_layers(
        kind, packing.padded(data), states, params, has_biases, num_layers, dropout, train, bidirectional, packing.mask
    )
    return packing.packed(output), *finals


_OPTIONS = ("has_biases", "num_layers", "dropout", "train", "bidirectional")
_PADDED = ("input", "hx", "params", *_OPTIONS, "batch_first")
_PACKED = ("data", "batch_sizes", "hx", "params", *_OPTIONS)


def _function(kind: str) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        is_packed = "batch_sizes" in kwargs or (len(args) > 3 and isinstance(args[3], list | tuple))
        names = _PACKED if is_packed else _PADDED
        if len(args) > len(names) or {*names[len(args) :]} != {*kwargs}:
            raise TypeError(f"{kind}() takes ({', '.join(_PADDED)}) or ({', '.join(_PACKED)})")
        given = dict(zip(names, args)) | kwargs
        hx = given.pop("hx")
        states = tuple(hx) if kind == "lstm" else (hx,)
        return (packed if is_packed else padded)(kind, states=states, **given)

    call.__name__ = call.__qualname__ = kind
    call.__doc__ = f"""The output of {kind} layers and their last states: see `padded` and `packed`.

    The states are `[layers * directions, batch, hidden]`; an LSTM has two, (h, c). The weights of each layer and
    direction follow each other in `params`: w_ih, w_hh, with `has_biases` b_ih, b_hh, and w_hr of a projected LSTM.
    """
    return call


lstm, gru, rnn_tanh, rnn_relu = map(_function, ("lstm", "gru", "rnn_tanh", "rnn_relu"))
