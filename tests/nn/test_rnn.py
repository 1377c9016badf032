"""RNN, LSTM, GRU and their cells: values by numpy's formulas, gradients by slopes, forms of input, texts."""

from __future__ import annotations

import copy
import itertools
import pickle
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import graphc
from graphc import nn
from graphc.eager.recorder import RecordingError
from graphc.nn.recurrence import gru, lstm
from graphc.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from tests.nn.recurrent_formulas import layers, step

Array = npt.NDArray[np.float64]
KINDS: dict[str, tuple[type[nn.RNNBase], dict[str, Any]]] = {
    "tanh": (nn.RNN, {}),
    "relu": (nn.RNN, {"nonlinearity": "relu"}),
    "gru": (nn.GRU, {}),
    "lstm": (nn.LSTM, {}),
    "projected": (nn.LSTM, {"proj_size": 2}),
}


def made(kind: str, **options: Any) -> Any:
    """A layer of float64 with 3 inputs and 4 hidden features, with weights that don't vanish."""
    base, own = KINDS[kind]
    layer = base(3, 4, **own, **options, dtype=graphc.float64)
    rng = np.random.default_rng(len(layer.all_weights))
    with graphc.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(graphc.from_numpy(rng.normal(size=tuple(parameter.shape))))
    return layer


def weights_of(layer: Any) -> dict[str, Array]:
    return {name: each.numpy() for name, each in layer.state_dict().items()}


def states_for(layer: Any, samples: int | None, seed: int = 3) -> list[Array]:
    """First states of an LSTM (h, c), of others (h,)."""
    rng = np.random.default_rng(seed)
    count = layer.num_layers * (1 + layer.bidirectional)
    widths = [layer.proj_size or 4, 4][: 1 + (layer.mode == "LSTM")]
    return [rng.normal(size=(count, width) if samples is None else (count, samples, width)) for width in widths]


def as_hx(states: list[Array]) -> Any:
    tensors = [graphc.from_numpy(each) for each in states]
    return tuple(tensors) if len(tensors) == 2 else tensors[0]


def as_list(hidden: Any) -> list[Any]:
    return list(hidden) if isinstance(hidden, tuple) else [hidden]


def expected(kind: str, layer: Any, x: Array, states: list[Array]) -> tuple[Array, list[Array]]:
    """The output `[steps, batch, features]` and last states for `[steps, batch, inputs]`."""
    formula = "lstm" if kind == "projected" else kind
    each = [
        layers(formula, x[:, b], [s[:, b] for s in states], weights_of(layer), layer.num_layers, layer.bidirectional)
        for b in range(x.shape[1])
    ]
    finals = [np.stack([found[1][k] for found in each], 1) for k in range(len(states))]
    return np.stack([found[0] for found in each], 1), finals


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("num_layers", "bidirectional", "batch_first", "bias"),
    [(1, False, False, True), (2, True, False, True), (2, False, True, False), (1, True, True, True)],
)
@pytest.mark.parametrize("steps", [1, 4])
def test_layers_compute_their_formula(
    kind: str, num_layers: int, bidirectional: bool, batch_first: bool, bias: bool, steps: int
) -> None:
    layer = made(kind, num_layers=num_layers, bidirectional=bidirectional, batch_first=batch_first, bias=bias)
    x, states = np.random.default_rng(1).normal(size=(steps, 2, 3)), states_for(layer, 2)
    given = graphc.from_numpy(x.swapaxes(0, 1).copy() if batch_first else x)
    for first in (states, [np.zeros_like(each) for each in states]):
        output, hidden = layer(given, as_hx(first)) if first is states else layer(given)
        wanted, finals = expected(kind, layer, x, first)
        found = output.detach().numpy()
        np.testing.assert_allclose(found.swapaxes(0, 1) if batch_first else found, wanted, rtol=1e-10, atol=1e-13)
        for a, b in zip(as_list(hidden), finals, strict=True):
            np.testing.assert_allclose(a.detach().numpy(), b, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("kind", KINDS)
def test_a_sequence_without_a_batch_gives_the_same_without_one(kind: str) -> None:
    for batch_first in (False, True):
        layer = made(kind, num_layers=2, batch_first=batch_first)
        x, states = graphc.rand(5, 3, dtype=graphc.float64), states_for(layer, None)
        output, hidden = layer(x, as_hx(states))
        batch = layer(x.unsqueeze(0 if batch_first else 1), as_hx([each[:, None] for each in states]))
        assert output.shape == (5, layer.proj_size or 4)
        assert graphc.equal(output, batch[0].squeeze(0 if batch_first else 1))
        for a, b in zip(as_list(hidden), as_list(batch[1])):
            assert graphc.equal(a, b.squeeze(1))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lengths", [[4, 3, 1], [2, 4, 3]])
def test_packed_sequences_are_computed_each_by_itself(kind: str, lengths: list[int]) -> None:
    layer = made(kind, num_layers=2, bidirectional=True)
    x, states = np.random.default_rng(2).normal(size=(4, 3, 3)), states_for(layer, 3)
    packed = pack_padded_sequence(graphc.from_numpy(x), lengths, enforce_sorted=lengths[0] == 4)
    output, hidden = layer(packed, as_hx(states))
    padded, counts = pad_packed_sequence(output)
    assert counts.tolist() == lengths
    for b, length in enumerate(lengths):
        wanted, finals = expected(kind, layer, x[:length, b : b + 1], [each[:, b : b + 1] for each in states])
        np.testing.assert_allclose(padded[:length, b].detach().numpy(), wanted[:, 0], rtol=1e-10, atol=1e-13)
        for a, final in zip(as_list(hidden), finals):
            np.testing.assert_allclose(a[:, b].detach().numpy(), final[:, 0], rtol=1e-10, atol=1e-13)
    zeros = layer(packed)[1]
    for a, b in zip(as_list(zeros), as_list(layer(packed, as_hx([np.zeros_like(each) for each in states]))[1])):
        assert graphc.equal(a, b)


def slope_error(loss: Any, tensors: list[Any]) -> float:
    """How far the gradient along a random way is from the slope there, relative to it."""
    for each in tensors:
        each.grad = None
        each.requires_grad_()
    loss().backward()
    rng = np.random.default_rng(9)
    ways = [graphc.from_numpy(rng.normal(size=tuple(each.shape))) for each in tensors]
    along = sum(float((each.grad * way).sum()) for each, way in zip(tensors, ways))
    values = []
    with graphc.no_grad():
        for distance in (1e-5, -2e-5):
            for each, way in zip(tensors, ways):
                each.add_(way, alpha=distance)
            values.append(float(loss()))
        for each, way in zip(tensors, ways):
            each.add_(way, alpha=1e-5)
    slope = (values[0] - values[1]) / 2e-5
    return abs(along - slope) / max(1.0, abs(slope))


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_slopes(kind: str) -> None:
    layer = made(kind, num_layers=2, bidirectional=True)
    x = graphc.rand(3, 2, 3, dtype=graphc.float64)
    states = [graphc.from_numpy(each) for each in states_for(layer, 2)]

    def padded() -> Any:
        output, hidden = layer(x, tuple(states) if len(states) == 2 else states[0])
        return output.sin().sum() + sum((each**2).sum() for each in as_list(hidden))

    def packed() -> Any:
        given = pack_padded_sequence(x, [2, 3], enforce_sorted=False)
        output, hidden = layer(given, tuple(states) if len(states) == 2 else states[0])
        return output.data.sin().sum() + sum((each**2).sum() for each in as_list(hidden))

    for loss in (padded, packed):
        assert slope_error(loss, [x, *states, *layer.parameters()]) < 1e-6


def test_a_gradient_of_the_gradient_is_its_slope() -> None:
    layer, x = made("lstm"), graphc.rand(3, 2, 3, dtype=graphc.float64)

    def loss() -> Any:
        with graphc.enable_grad():
            gradients = graphc.autograd.grad(layer(x)[0].sin().sum(), [x, *layer.parameters()], create_graph=True)
        return sum((each**2).sum() for each in gradients)

    assert slope_error(loss, [x, *layer.parameters()]) < 1e-6


def test_new_lengths_and_batches_make_no_new_step() -> None:
    from graphc.frontend.loop import _compiled  # what counts compiled steps

    layer = nn.GRU(3, 4)
    for steps, samples in ((7, 5), (8, 6), (9, 10)):
        layer(graphc.rand(steps, samples, 3))[0].sum().backward()
    before = _compiled.cache_info().misses
    for steps, samples in ((17, 5), (9, 15), (13, 6), (11, 7)):
        layer(graphc.rand(steps, samples, 3))[0].sum().backward()
    assert _compiled.cache_info().misses == before


def test_traced_code_computes_the_same() -> None:
    layer, x = made("lstm", num_layers=2), graphc.rand(4, 2, 3, dtype=graphc.float64)
    weights = [each.detach().numpy() for each in layer.parameters()]

    def f(x: Any, *params: Any) -> Any:
        zeros = graphc.zeros(2, 2, 4, dtype=graphc.float64)
        return lstm(x, (zeros, zeros), params, True, 2, 0.0, False, False, False)

    found = graphc.compile(f)(x.numpy(), *weights)
    output, (h, c) = layer(x)
    for a, b in zip(found, (output, h, c), strict=True):
        np.testing.assert_allclose(a, b.detach().numpy(), rtol=1e-12)


def test_dropout_lies_between_layers_alone() -> None:
    layer = made("lstm", num_layers=2, dropout=1.0)
    x, weights = graphc.rand(3, 2, 3, dtype=graphc.float64), weights_of(layer)
    first, second = (
        {name.replace(f"_l{k}", "_l0"): each for name, each in weights.items() if f"_l{k}" in name} for k in (0, 1)
    )
    _, hidden = layer(x)
    zeros = [np.zeros((1, 4))] * 2
    np.testing.assert_allclose(
        hidden[0][0, 0].detach().numpy(), layers("lstm", x[:, 0].numpy(), zeros, first, 1, False)[1][0][0]
    )
    nothing = layers("lstm", np.zeros((3, 4)), zeros, second, 1, False)
    np.testing.assert_allclose(hidden[0][1, 0].detach().numpy(), nothing[1][0][0])
    assert not graphc.equal(layer.eval()(x)[0], layer.train()(x)[0])


def test_weights_start_within_their_bound_in_pytorchs_order_and_names() -> None:
    layer = nn.LSTM(3, 100, num_layers=2, bidirectional=True, proj_size=5)
    names = [f"{name}_l{k}{way}" for k, way in itertools.product((0, 1), ("", "_reverse")) for name in (
        "weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")]  # fmt: skip
    assert list(layer.state_dict()) == names
    assert layer.weight_ih_l1.shape == (400, 10)
    assert layer.weight_hh_l1_reverse.shape == (400, 5)
    assert layer.weight_hr_l0.shape == (5, 100)
    assert [[*map(id, each)] for each in layer.all_weights][1] == [id(getattr(layer, name)) for name in names[5:10]]
    largest = max(float(each.detach().abs().max()) for each in layer.parameters())
    assert 0.099 < largest <= 0.1
    assert layer.flatten_parameters() is None


def test_weights_may_be_replaced_moved_copied_and_pickled() -> None:
    layer, x = nn.GRU(3, 4), graphc.rand(2, 1, 3)
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert graphc.equal(other(x)[0], layer(x)[0])
    layer.weight_hh_l0 = nn.Parameter(graphc.zeros(12, 4))
    layer.bias_hh_l0 = None
    assert layer.double()(x.double())[0].dtype is graphc.float64


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (lambda: nn.RNN(3, 4), "RNN(3, 4)"),
        (lambda: nn.RNN(3, 4, 2, "relu", dropout=0.5), "RNN(3, 4, num_layers=2, dropout=0.5)"),
        (lambda: nn.GRU(3, 4, bias=False, batch_first=True), "GRU(3, 4, bias=False, batch_first=True)"),
        (lambda: nn.LSTM(3, 4, bidirectional=True, proj_size=2), "LSTM(3, 4, proj_size=2, bidirectional=True)"),
        (lambda: nn.RNNCell(3, 4, False, "relu"), "RNNCell(3, 4, bias=False, nonlinearity=relu)"),
        (lambda: nn.LSTMCell(3, 4), "LSTMCell(3, 4)"),
        (lambda: nn.GRUCell(3, 4), "GRUCell(3, 4)"),
    ],
)
def test_layers_print_as_in_pytorch(layer: Any, text: str) -> None:
    assert repr(layer()) == text


z = graphc.zeros


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: nn.LSTM(3, 4)(z(3)), ValueError, "LSTM: Expected input to be 2D or 3D, got 1D instead"),
        (lambda: nn.RNN(3, 4)(z(3)), ValueError, "RNN: Expected input to be 2D or 3D, got 1D tensor instead"),
        (lambda: nn.GRU(3, 4)(z(2, 1, 5)), RuntimeError,
         "input.size(-1) must be equal to input_size. Expected 3, got 5"),
        (lambda: nn.GRU(3, 4)(z(2, 1, 3).double()), ValueError,
         "RNN input dtype (torch.float64) does not match weight dtype (torch.float32). Convert input: "
         "input.to(torch.float32), or convert model: model.to(torch.float64)"),
        (lambda: nn.GRU(3, 4)(z(2, 1, 3), z(1, 2, 4)), RuntimeError, "Expected hidden size (1, 1, 4), got [1, 2, 4]"),
        (lambda: nn.GRU(3, 4)(z(2, 1, 3), z(1, 4)), RuntimeError,
         "For batched 3-D input, hx should also be 3-D but got 2-D tensor"),
        (lambda: nn.RNN(3, 4)(z(2, 3), z(1, 1, 4)), RuntimeError,
         "For unbatched 2-D input, hx should also be 2-D but got 3-D tensor"),
        (lambda: nn.LSTM(3, 4)(z(2, 1, 3), (z(1, 1, 4), z(1, 4))), RuntimeError,
         "For batched 3-D input, hx and cx should also be 3-D but got (3-D, 2-D) tensors"),
        (lambda: nn.LSTM(3, 4)(z(2, 1, 3), (z(1, 1, 4), z(1, 2, 4))), RuntimeError,
         "Expected hidden[1] size (1, 1, 4), got [1, 2, 4]"),
        (lambda: nn.LSTM(3, 4)(z(0, 1, 3)), RuntimeError, "Expected sequence length to be larger than 0 in RNN"),
        (lambda: nn.GRU(3, 4, proj_size=2), ValueError,
         "proj_size argument is only supported for LSTM, not RNN or GRU"),
        (lambda: nn.LSTM(3, 4, proj_size=4), ValueError, "proj_size has to be smaller than hidden_size"),
        (lambda: nn.LSTM(3, 4, proj_size=-1), ValueError,
         "proj_size should be a positive integer or zero to disable projections"),
        (lambda: nn.RNN(3, 4, nonlinearity="sin"), ValueError,
         "Unknown nonlinearity 'sin'. Select from 'tanh' or 'relu'."),
        (lambda: nn.LSTM(3, 4, dropout=2), ValueError, "dropout should be a number in range [0, 1] representing the "
         "probability of an element being zeroed"),
        (lambda: nn.LSTM(3, 4, bias=1), TypeError, "bias should be of type bool, got: int"),
        (lambda: nn.LSTM(3, 4, batch_first="no"), TypeError, "batch_first should be of type bool, got: str"),
        (lambda: nn.LSTM(3.0, 4), TypeError, "input_size should be of type int, got: float"),
        (lambda: nn.LSTM(3, 0), ValueError, "hidden_size must be greater than zero"),
        (lambda: nn.LSTM(3, 4, num_layers=0), ValueError, "num_layers must be greater than zero"),
        (lambda: nn.RNNBase("SRU", 3, 4), ValueError, "Unrecognized RNN mode: SRU"),
        (lambda: nn.GRUCell(3, 4)(z(1, 1, 3)), ValueError, "GRUCell: Expected input to be 1D or 2D, got 3D instead"),
        (lambda: nn.RNNCell(3, 4)(z(1, 3), z(1, 1, 4)), ValueError,
         "RNNCell: Expected hidden to be 1D or 2D, got 3D instead"),
        (lambda: nn.LSTMCell(3, 4)(z(1, 3), (z(1, 4), z(1, 1, 4))), ValueError,
         "LSTMCell: Expected hx[1] to be 1D or 2D, got 3D instead"),
        (lambda: nn.RNNCell(3, 4, nonlinearity="sin")(z(1, 3)), RuntimeError, "Unknown nonlinearity: sin"),
        (lambda: nn.LSTMCell(3, 4)(z(1, 5)), RuntimeError, "input has inconsistent input_size: got 5 expected 3"),
        (lambda: nn.GRUCell(3, 4)(z(2, 3), z(1, 4)), RuntimeError,
         "Input batch size 2 doesn't match hidden0 batch size 1"),
        (lambda: nn.GRUCell(3, 4)(z(2, 3), z(2, 5)), RuntimeError,
         "hidden0 has inconsistent hidden_size: got 5, expected 4"),
        (lambda: graphc.lstm_cell(z(2, 3), (z(2, 4),), z(16, 3), z(16, 4)), RuntimeError,
         "lstm_cell expects two hidden states"),
        (lambda: lstm(z(2, 1, 3), (z(1, 1, 4),), [z(16, 3), z(16, 4)], False, 1, 0.0, False, False, False),
         RuntimeError, "lstm expects two hidden states"),
        (lambda: gru(z(2, 1, 3), z(2, 1, 4), [z(12, 3), z(12, 4)], False, 1, 0.0, False, False, False),
         RuntimeError, "Expected more hidden states in stacked_rnn"),
    ],
)  # fmt: skip
def test_errors_are_pytorchs(call: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == message


def test_functions_are_those_of_graphc() -> None:
    layer, x = made("gru", num_layers=2), graphc.rand(4, 2, 3, dtype=graphc.float64)
    h, params = graphc.zeros(2, 2, 4, dtype=graphc.float64), [each for group in layer.all_weights for each in group]
    output, hidden = graphc.gru(x, h, params, True, 2, 0.0, False, False, batch_first=False)
    assert graphc.equal(output, layer(x)[0])
    assert graphc.equal(hidden, layer(x)[1])
    packed = pack_padded_sequence(x, [4, 2])
    data, hidden = graphc.gru(packed.data, packed.batch_sizes, h, params, True, 2, 0.0, False, False)
    assert graphc.equal(data, layer(packed)[0].data)
    assert graphc.equal(hidden, layer(packed)[1])
    with pytest.raises(TypeError, match=r"gru\(\) takes \(input, hx, params, has_biases"):
        graphc.gru(x, h)


def test_a_batch_may_be_empty() -> None:
    for layer in (nn.LSTM(3, 4, 2), nn.GRU(3, 4, 2)):
        output, hidden = layer(graphc.zeros(5, 0, 3))
        assert output.shape == (5, 0, 4)
        assert {each.shape for each in as_list(hidden)} == {(2, 0, 4)}


@pytest.mark.parametrize("dtype", [graphc.float16, graphc.bfloat16, graphc.float32])
def test_other_floats_compute_and_learn(dtype: graphc.dtype) -> None:
    layer = made("lstm", num_layers=2)
    x = graphc.rand(4, 2, 3, dtype=graphc.float64)
    wanted = layer(x)[0].detach().numpy()
    layer.to(dtype)
    found = layer(x.to(dtype))[0]
    assert found.dtype is dtype
    tolerance = {graphc.float16: 5e-3, graphc.bfloat16: 6e-2, graphc.float32: 1e-5}[dtype]
    np.testing.assert_allclose(found.double().detach().numpy(), wanted, atol=tolerance)
    found.sum().backward()
    assert {each.grad.dtype for each in layer.parameters()} == {dtype}


def test_dropout_with_one_layer_warns() -> None:
    message = (
        "dropout option adds dropout after all but last recurrent layer, so non-zero dropout expects num_layers "
        "greater than 1, but got dropout=0.5 and num_layers=1"
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        nn.LSTM(3, 4, dropout=0.5)
    assert [str(each.message) for each in caught] == [message]


CELLS: dict[str, tuple[type[Any], dict[str, Any]]] = {
    "tanh": (nn.RNNCell, {}),
    "relu": (nn.RNNCell, {"nonlinearity": "relu"}),
    "gru": (nn.GRUCell, {}),
    "lstm": (nn.LSTMCell, {}),
}


@pytest.mark.parametrize("kind", CELLS)
def test_cells_compute_their_formula(kind: str) -> None:
    base, options = CELLS[kind]
    cell = base(3, 4, **options, dtype=graphc.float64)
    x = np.random.default_rng(4).normal(size=(2, 3))
    states = [np.random.default_rng(k).normal(size=(2, 4)) for k in range(1 + (kind == "lstm"))]
    for first in (states, [np.zeros((2, 4)) for _ in states]):
        arguments = (as_hx(first),) if first is states else ()
        found = as_list(cell(graphc.from_numpy(x), *arguments))
        for b in range(2):
            wanted = step(kind, x[b], [each[b] for each in first], weights_of(cell), "")
            for a, value in zip(found, wanted, strict=True):
                np.testing.assert_allclose(a[b].detach().numpy(), value, rtol=1e-10)
    single = as_list(cell(graphc.from_numpy(x[0]), as_hx([each[0] for each in states])))
    assert [each.shape for each in single] == [(4,)] * len(states)
    assert list(cell.state_dict()) == ["weight_ih", "weight_hh", "bias_ih", "bias_hh"]
    assert base(3, 4, bias=False, **options).bias_ih is None


@pytest.mark.parametrize(("kind", "dtype"), [("lstm", graphc.float64), ("gru", graphc.float32)])
def test_a_compiled_training_step_gives_the_bits_of_the_eager_one(kind: str, dtype: graphc.dtype) -> None:
    """For sequences of one step, of others, and without samples, in turn."""
    found = []
    for compiled in (False, True):
        graphc.manual_seed(0)
        make, options = KINDS[kind]
        layer = make(3, 4, num_layers=2, dropout=0.5, dtype=dtype, **options)
        optimizer = graphc.optim.Adam(layer.parameters(), lr=0.1)

        def step(x: Any, layer: Any = layer, optimizer: Any = optimizer) -> Any:
            optimizer.zero_grad()
            loss = (layer(x)[0] - 1).pow(2).sum()
            loss.backward()
            optimizer.step()
            return loss

        call: Any = graphc.compile(step) if compiled else step
        shapes = [(5, 2), (1, 2), (4, 0), (5, 2)]
        losses = [call(graphc.randn(*shape, 3, dtype=dtype)).item() for shape in shapes]
        found.append((losses, [each.tolist() for each in layer.parameters()]))
    assert found[0] == found[1]


def test_packing_in_compiled_code_is_refused_with_the_line() -> None:
    """How long sequences are decides shapes: that takes the values."""
    layer = nn.GRU(3, 4)

    def call(x: Any, lengths: Any) -> Any:
        return layer(pack_padded_sequence(x, lengths))[1]

    with pytest.raises(RecordingError, match=r"asks for the values of a tensor[\s\S]*return layer\(pack_padded"):
        graphc.compile(call)(graphc.ones(4, 2, 3), graphc.tensor([4, 2]))
    eager: Any = graphc.compile(call, fallback="eager")
    x, lengths = graphc.randn(4, 2, 3), graphc.tensor([4, 2])
    assert graphc.equal(eager(x, lengths), call(x, lengths))
