"""Recurrent layers, RNN, LSTM and GRU, and the cells that are one step of them.

>>> import graphc
>>> layer = LSTM(3, 4, num_layers=2, bidirectional=True)
>>> output, (h, c) = layer(graphc.zeros(5, 2, 3))
>>> output.shape, h.shape
(torch.Size([5, 2, 8]), torch.Size([4, 2, 4]))
"""

from __future__ import annotations

import math
import numbers
import warnings
from typing import Any

from graphc.eager.methods import of_table
from graphc.nn import init
from graphc.nn.module import Module
from graphc.nn.modules.utils import uninitialised, zeros
from graphc.nn.parameter import Parameter
from graphc.nn.recurrence import packed, padded
from graphc.nn.utils.rnn import PackedSequence

__all__ = ["GRU", "LSTM", "RNN", "GRUCell", "LSTMCell", "RNNBase", "RNNCell", "RNNCellBase"]

_GATES = {"LSTM": 4, "GRU": 3, "RNN_TANH": 1, "RNN_RELU": 1}


def _fill(module: Module, hidden_size: int) -> None:
    bound = 1.0 / math.sqrt(hidden_size) if hidden_size > 0 else 0.0
    for weight in module.parameters():
        init.uniform_(weight, -bound, bound)


class RNNBase(Module):
    """Layers that go over sequences step by step: what RNN, LSTM and GRU have in common.

    The weights of layer k are `weight_ih_lk`, `weight_hh_lk`, `bias_ih_lk`, `bias_hh_lk`, `weight_hr_lk`, with
    `_reverse` behind for the direction from the end; all start uniform within 1 / sqrt(hidden_size).
    """

    __constants__ = [
        "mode", "input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional",
        "proj_size",
    ]  # fmt: skip

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.mode = mode
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout = bias, batch_first, float(dropout)
        self.bidirectional, self.proj_size = bidirectional, proj_size
        self._check_arguments(dropout)
        rows = _GATES[mode] * hidden_size
        width = proj_size or hidden_size
        self._flat_weights_names: list[str] = []
        self._all_weights: list[list[str]] = []
        for layer in range(num_layers):
            columns = input_size if layer == 0 else width * self._directions
            shapes: dict[str, tuple[int, ...]] = {"weight_ih": (rows, columns), "weight_hh": (rows, width)}
            if bias:
                shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
            if proj_size:
                shapes["weight_hr"] = (proj_size, hidden_size)
            for suffix in ("", "_reverse")[: self._directions]:
                names = [f"{name}_l{layer}{suffix}" for name in shapes]
                for name, shape in zip(names, shapes.values()):
                    setattr(self, name, uninitialised(*shape, device=device, dtype=dtype))
                self._flat_weights_names += names
                self._all_weights.append(names)
        self.reset_parameters()

    def _check_arguments(self, dropout: Any) -> None:
        if isinstance(dropout, bool) or not isinstance(dropout, numbers.Number) or not 0 <= self.dropout <= 1:
            raise ValueError(
                "dropout should be a number in range [0, 1] representing the probability of an element being zeroed"
            )
        if dropout and self.num_layers == 1:
            warnings.warn(
                "dropout option adds dropout after all but last recurrent layer, so non-zero dropout expects "
                f"num_layers greater than 1, but got dropout={dropout} and num_layers={self.num_layers}",
                stacklevel=4,
            )
        for name, kind in (("bias", bool), ("batch_first", bool), ("input_size", int), ("hidden_size", int)):
            value = getattr(self, name)
            if not isinstance(value, kind):
                raise TypeError(f"{name} should be of type {kind.__name__}, got: {type(value).__name__}")
            if kind is int and value <= 0:
                raise ValueError(f"{name} must be greater than zero")
        if self.num_layers <= 0:
            raise ValueError("num_layers must be greater than zero")
        if self.proj_size < 0:
            raise ValueError("proj_size should be a positive integer or zero to disable projections")
        if self.proj_size >= self.hidden_size:
            raise ValueError("proj_size has to be smaller than hidden_size")
        if self.mode not in _GATES:
            raise ValueError("Unrecognized RNN mode: " + self.mode)

    @property
    def _directions(self) -> int:
        return 2 if self.bidirectional else 1

    @property
    def _flat_weights(self) -> list[Any]:
        """The weights in the order in which the functions take them, whatever they are now."""
        return [getattr(self, name, None) for name in self._flat_weights_names]

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """The weights of each layer and direction."""
        return [[getattr(self, name) for name in names] for names in self._all_weights]

    def flatten_parameters(self) -> None:
        """Nothing: only a GPU library wants all weights in one piece of memory."""

    def reset_parameters(self) -> None:
        """Draw new values."""
        _fill(self, self.hidden_size)

    def extra_repr(self) -> str:
        parts = [f"{self.input_size}, {self.hidden_size}"]
        defaults = {
            "proj_size": 0, "num_layers": 1, "bias": True, "batch_first": False, "dropout": 0, "bidirectional": False,
        }  # fmt: skip
        parts += [f"{name}={getattr(self, name)}" for name, each in defaults.items() if getattr(self, name) != each]
        return ", ".join(parts)

    # What fits what

    def check_input(self, input: Any, batch_sizes: Any) -> None:
        """Raise unless the input is `[steps, batch, inputs]` or packed, of the weights' dtype."""
        dtype = getattr(self, self._flat_weights_names[0]).dtype
        if input.dtype != dtype:
            raise ValueError(
                f"RNN input dtype ({input.dtype}) does not match weight dtype ({dtype}). Convert input: "
                f"input.to({dtype}), or convert model: model.to({input.dtype})"
            )
        expected = 3 if batch_sizes is None else 2
        if input.dim() != expected:
            raise RuntimeError(f"input must have {expected} dimensions, got {input.dim()}")
        if self.input_size != input.size(-1):
            raise RuntimeError(
                f"input.size(-1) must be equal to input_size. Expected {self.input_size}, got {input.size(-1)}"
            )

    def _expected_size(self, input: Any, batch_sizes: Any, width: int) -> tuple[int, int, int]:
        if batch_sizes is not None:
            samples = int(batch_sizes[0])
        else:
            samples = input.size(0) if self.batch_first else input.size(1)
        return self.num_layers * self._directions, samples, width

    def get_expected_hidden_size(self, input: Any, batch_sizes: Any) -> tuple[int, int, int]:
        """The shape of the state that fits an input."""
        return self._expected_size(input, batch_sizes, self.proj_size or self.hidden_size)

    def check_hidden_size(
        self, hx: Any, expected_hidden_size: tuple[int, int, int], msg: str = "Expected hidden size {}, got {}"
    ) -> None:
        """Raise unless a state has this shape."""
        if tuple(hx.size()) != tuple(expected_hidden_size):
            raise RuntimeError(msg.format(expected_hidden_size, list(hx.size())))

    def check_forward_args(self, input: Any, hidden: Any, batch_sizes: Any) -> None:
        """Raise unless input and state fit."""
        self.check_input(input, batch_sizes)
        self.check_hidden_size(hidden, self.get_expected_hidden_size(input, batch_sizes))

    def permute_hidden(self, hx: Any, permutation: Any) -> Any:
        """The state with its samples in another order."""
        return hx if permutation is None else hx.index_select(1, permutation)

    # Forward

    _input_error = "{name}: Expected input to be 2D or 3D, got {rank}D instead"

    def _check_ranks(self, hx: Any, rank: int, is_batched: bool) -> None:
        kind = "batched 3-D" if is_batched else "unbatched 2-D"
        if hx.dim() != rank:
            raise RuntimeError(f"For {kind} input, hx should also be {rank}-D but got {hx.dim()}-D tensor")

    def _zeros(self, input: Any, samples: Any) -> Any:
        width = self.proj_size or self.hidden_size
        return zeros(self.num_layers * self._directions, samples, width, dtype=input.dtype, device=input.device)

    def _unbatched(self, hx: Any) -> Any:
        return hx.unsqueeze(1)

    def _single(self, hidden: Any) -> Any:
        return hidden.squeeze(1)

    def _states(self, hx: Any) -> tuple[Any, ...]:
        return (hx,)

    def _hidden(self, states: tuple[Any, ...]) -> Any:
        return states[0]

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:
        """The output of the last layer, and the states of all layers after their last steps.

        The input is `[steps, inputs]`, `[steps, batch, inputs]` (with `batch_first` `[batch, steps, inputs]`) or a
        PackedSequence; a state is `[layers * directions, batch, hidden]`, without the batch where the input has none,
        and zeros unless given.
        """
        options = (self.bias, self.num_layers, self.dropout, self.training, self.bidirectional)
        kind = self.mode.lower()
        if isinstance(input, PackedSequence):
            data, batch_sizes, sorted_indices, unsorted_indices = input
            hx = self._zeros(data, int(batch_sizes[0])) if hx is None else self.permute_hidden(hx, sorted_indices)
            self.check_forward_args(data, hx, batch_sizes)
            output, *states = packed(kind, data, batch_sizes, self._states(hx), self._flat_weights, *options)
            whole = PackedSequence(output, batch_sizes, sorted_indices, unsorted_indices)
            return whole, self.permute_hidden(self._hidden(tuple(states)), unsorted_indices)
        if input.dim() not in (2, 3):
            raise ValueError(self._input_error.format(name=type(self).__name__, rank=input.dim()))
        is_batched, batch_dim = input.dim() == 3, 0 if self.batch_first else 1
        if not is_batched:
            input = input.unsqueeze(batch_dim)
        if hx is not None:
            self._check_ranks(hx, 3 if is_batched else 2, is_batched)
            hx = hx if is_batched else self._unbatched(hx)
        else:
            hx = self._zeros(input, input.size(batch_dim))
        self.check_forward_args(input, hx, None)
        output, *states = padded(kind, input, self._states(hx), self._flat_weights, *options, self.batch_first)
        hidden = self._hidden(tuple(states))
        return (output, hidden) if is_batched else (output.squeeze(batch_dim), self._single(hidden))


class RNN(RNNBase):
    """h' = tanh(w_ih x + b_ih + w_hh h + b_hh), or relu of that (Elman 1990)."""

    _input_error = "RNN: Expected input to be 2D or 3D, got {rank}D tensor instead"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if "proj_size" in kwargs:
            raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")
        if len(args) > 3:
            self.nonlinearity, args = args[3], (*args[:3], *args[4:])
        else:
            self.nonlinearity = kwargs.pop("nonlinearity", "tanh")
        if self.nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"Unknown nonlinearity '{self.nonlinearity}'. Select from 'tanh' or 'relu'.")
        super().__init__(f"RNN_{self.nonlinearity.upper()}", *args, **kwargs)


class GRU(RNNBase):
    """h' = (1 - z) n + z h with gates r and z and n = tanh(w_in x + b_in + r (w_hn h + b_hn)) (Cho et al. 2014)."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if "proj_size" in kwargs:
            raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")
        super().__init__("GRU", *args, **kwargs)


class LSTM(RNNBase):
    """c' = f c + i g, h' = o tanh(c') with gates i, f, g, o (Hochreiter and Schmidhuber 1997); the state is (h, c).

    With `proj_size` h' is multiplied by `weight_hr` (Sak et al. 2014).
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__("LSTM", *args, **kwargs)

    def get_expected_cell_size(self, input: Any, batch_sizes: Any) -> tuple[int, int, int]:
        """The shape of c that fits an input."""
        return self._expected_size(input, batch_sizes, self.hidden_size)

    def check_forward_args(self, input: Any, hidden: Any, batch_sizes: Any) -> None:
        """Raise unless input and state fit."""
        self.check_input(input, batch_sizes)
        sizes = self.get_expected_hidden_size(input, batch_sizes), self.get_expected_cell_size(input, batch_sizes)
        for number, (each, size) in enumerate(zip(hidden, sizes)):
            self.check_hidden_size(each, size, f"Expected hidden[{number}] size {{}}, got {{}}")

    def permute_hidden(self, hx: Any, permutation: Any) -> Any:
        """The state with its samples in another order."""
        return hx if permutation is None else tuple(each.index_select(1, permutation) for each in (hx[0], hx[1]))

    def _check_ranks(self, hx: Any, rank: int, is_batched: bool) -> None:
        kind = "batched 3-D" if is_batched else "unbatched 2-D"
        if hx[0].dim() != rank or hx[1].dim() != rank:
            raise RuntimeError(
                f"For {kind} input, hx and cx should also be {rank}-D but got ({hx[0].dim()}-D, {hx[1].dim()}-D) "
                "tensors"
            )

    def _zeros(self, input: Any, samples: Any) -> Any:
        size = (self.num_layers * self._directions, samples, self.hidden_size)
        return super()._zeros(input, samples), zeros(*size, dtype=input.dtype, device=input.device)

    def _unbatched(self, hx: Any) -> Any:
        return hx[0].unsqueeze(1), hx[1].unsqueeze(1)

    def _single(self, hidden: Any) -> Any:
        return hidden[0].squeeze(1), hidden[1].squeeze(1)

    def _states(self, hx: Any) -> tuple[Any, ...]:
        return hx[0], hx[1]

    def _hidden(self, states: tuple[Any, ...]) -> Any:
        return states


# Cells


class RNNCellBase(Module):
    """One step of a recurrent layer: what the cells have in common.

    The weights are `weight_ih`, `weight_hh`, `bias_ih`, `bias_hh`; all start uniform within 1 / sqrt(hidden_size).
    """

    __constants__ = ["input_size", "hidden_size", "bias"]

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool, num_chunks: int, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        rows = num_chunks * hidden_size
        self.weight_ih = uninitialised(rows, input_size, device=device, dtype=dtype)
        self.weight_hh = uninitialised(rows, hidden_size, device=device, dtype=dtype)
        for name in ("bias_ih", "bias_hh"):
            self.register_parameter(name, uninitialised(rows, device=device, dtype=dtype) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new values."""
        _fill(self, self.hidden_size)

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        if self.bias is not True:
            text += f", bias={self.bias}"
        if getattr(self, "nonlinearity", "tanh") != "tanh":
            text += f", nonlinearity={self.nonlinearity}"
        return text

    def _check_rank(self, x: Any, what: str) -> None:
        if x.dim() not in (1, 2):
            raise ValueError(f"{type(self).__name__}: Expected {what} to be 1D or 2D, got {x.dim()}D instead")

    def _zeros(self, input: Any) -> Any:
        return zeros(input.size(0), self.hidden_size, dtype=input.dtype, device=input.device)

    def _step(self, name: str, input: Any, hx: Any) -> Any:
        return _CELLS[name](input, hx, self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)


_CELLS = {name: of_table(name) for name in ("rnn_tanh_cell", "rnn_relu_cell", "gru_cell", "lstm_cell")}


class _OneState(RNNCellBase):
    """A cell whose state is one tensor."""

    def _next(self, name: str, input: Any, hx: Any) -> Any:
        self._check_rank(input, "input")
        if hx is not None:
            self._check_rank(hx, "hidden")
        is_batched = input.dim() == 2
        input = input if is_batched else input.unsqueeze(0)
        if hx is None:
            hx = self._zeros(input)
        elif not is_batched:
            hx = hx.unsqueeze(0)
        found = self._step(name, input, hx)
        return found if is_batched else found.squeeze(0)


class RNNCell(_OneState):
    """h' = tanh(w_ih x + b_ih + w_hh h + b_hh), or relu of that."""

    __constants__ = ["input_size", "hidden_size", "bias", "nonlinearity"]

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, num_chunks=1, device=device, dtype=dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Any, hx: Any = None) -> Any:
        """The next state `[batch, hidden]` from an input `[batch, inputs]` and a state, or both without the batch."""
        if self.nonlinearity not in ("tanh", "relu"):
            raise RuntimeError(f"Unknown nonlinearity: {self.nonlinearity}")
        return self._next(f"rnn_{self.nonlinearity}_cell", input, hx)


class GRUCell(_OneState):
    """One step of a GRU."""

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__(input_size, hidden_size, bias, num_chunks=3, device=device, dtype=dtype)

    def forward(self, input: Any, hx: Any = None) -> Any:
        """The next state `[batch, hidden]` from an input `[batch, inputs]` and a state, or both without the batch."""
        return self._next("gru_cell", input, hx)


class LSTMCell(RNNCellBase):
    """One step of an LSTM; the state is (h, c)."""

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__(input_size, hidden_size, bias, num_chunks=4, device=device, dtype=dtype)

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:
        """The next (h, c), `[batch, hidden]` each, from an input `[batch, inputs]` and (h, c); or without the batch."""
        self._check_rank(input, "input")
        for number, each in enumerate(() if hx is None else hx):
            self._check_rank(each, f"hx[{number}]")
        is_batched = input.dim() == 2
        input = input if is_batched else input.unsqueeze(0)
        if hx is None:
            hx = (self._zeros(input),) * 2
        elif not is_batched:
            hx = (hx[0].unsqueeze(0), hx[1].unsqueeze(0))
        h, c = self._step("lstm_cell", input, hx)
        return (h, c) if is_batched else (h.squeeze(0), c.squeeze(0))
