"""Transformer: encoder and decoder by their formula, masks, norms, padding, texts, warnings."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import graphc
from graphc import nn
from graphc.nn import functional as F

Array = npt.NDArray[np.float64]
ENCODER_NAMES = [
    f"{part}.{name}"
    for part, names in (
        ("self_attn", ("in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias")),
        *((part, ("weight", "bias")) for part in ("linear1", "linear2", "norm1", "norm2")),
    )
    for name in names
]


def randomized(module: Any) -> Any:
    """The module with parameters that are neither 0 nor 1."""
    rng = np.random.default_rng(1)
    with graphc.no_grad():
        for parameter in module.parameters():
            parameter.copy_(graphc.from_numpy(0.5 * rng.normal(size=tuple(parameter.shape))))
    return module


def encoder_layer(**options: Any) -> Any:
    """4 features, 2 heads, 6 hidden ones, of float64, without dropout."""
    options = {"dropout": 0.0, "batch_first": True, "dtype": graphc.float64} | options
    return randomized(nn.TransformerEncoderLayer(4, 2, 6, **options))


def decoder_layer(**options: Any) -> Any:
    options = {"dropout": 0.0, "batch_first": True, "dtype": graphc.float64} | options
    return randomized(nn.TransformerDecoderLayer(4, 2, 6, **options))


# The formulas in numpy


def norm(weights: dict[str, Array], name: str, x: Array) -> Array:
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    result: Array = (x - mean) / np.sqrt(variance + 1e-5) * weights[f"{name}.weight"] + weights[f"{name}.bias"]
    return result


def linear(weights: dict[str, Array], name: str, x: Array) -> Array:
    result: Array = x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]
    return result


def attend(weights: dict[str, Array], name: str, x: Array, memory: Array, mask: Array | float = 0.0) -> Array:
    """Attention of 2 heads on `[n, length, 4]`; the mask is added."""
    matrices, biases = (np.split(weights[f"{name}.in_proj_{part}"], 3) for part in ("weight", "bias"))
    q, k, v = (
        (given @ w.T + b).reshape(*given.shape[:2], 2, 2).swapaxes(1, 2)
        for given, w, b in zip((x, memory, memory), matrices, biases)
    )
    scores = q @ k.swapaxes(2, 3) / math.sqrt(2) + mask
    shares = np.exp(scores - scores.max(-1, keepdims=True))
    mixed = shares / shares.sum(-1, keepdims=True) @ v
    return linear(weights, f"{name}.out_proj", mixed.swapaxes(1, 2).reshape(x.shape))


def gelu(x: Array) -> Array:
    return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


ACTIVATIONS = {"relu": lambda x: np.maximum(x, 0), "gelu": gelu, "tanh": np.tanh}


def layer_formula(
    layer: Any, x: Array, memory: Array | None = None, mask: Array | float = 0.0, activation: str = "relu"
) -> Array:
    """What a layer of an encoder computes, or with a memory one of a decoder; the mask is for self-attention."""
    weights = {name: each.numpy() for name, each in layer.state_dict().items()}
    parts = [lambda x: attend(weights, "self_attn", x, x, mask)]
    if memory is not None:
        parts.append(lambda x: attend(weights, "multihead_attn", x, memory))
    parts.append(lambda x: linear(weights, "linear2", ACTIVATIONS[activation](linear(weights, "linear1", x))))
    for number, part in enumerate(parts, 1):
        name = f"norm{number}"
        x = x + part(norm(weights, name, x)) if layer.norm_first else norm(weights, name, x + part(x))
    return x


def numbers(*shape: int) -> Array:
    return np.random.default_rng(len(shape)).normal(size=shape)


def close(found: Any, wanted: Array) -> None:
    np.testing.assert_allclose(found.detach().numpy(), wanted, rtol=1e-9, atol=1e-12)


CAUSAL = np.where(np.tri(5, dtype=bool), 0.0, -np.inf)


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("activation", ["relu", "gelu", "tanh"])
def test_an_encoder_layer_computes_its_formula(norm_first: bool, activation: str) -> None:
    given: Any = graphc.tanh if activation == "tanh" else activation
    layer, x = encoder_layer(norm_first=norm_first, activation=given), numbers(3, 5, 4)
    close(layer(graphc.from_numpy(x)), layer_formula(layer, x, activation=activation))
    wanted = layer_formula(layer, x, mask=CAUSAL, activation=activation)
    mask = nn.Transformer.generate_square_subsequent_mask(5, dtype=graphc.float64)
    for masks in ({"src_mask": mask}, {"src_mask": mask, "is_causal": True}, {"src_mask": mask.bool()}):
        close(layer(graphc.from_numpy(x), **masks), wanted)
    with graphc.no_grad():
        layer.eval()
        close(layer(graphc.from_numpy(x), src_mask=mask.bool()), wanted)
        close(layer(graphc.from_numpy(x[0])), layer_formula(layer, x, activation=activation)[0])


@pytest.mark.parametrize("norm_first", [False, True])
def test_a_decoder_layer_computes_its_formula(norm_first: bool) -> None:
    layer, x, memory = decoder_layer(norm_first=norm_first), numbers(3, 5, 4), numbers(3, 6, 4)
    given = [graphc.from_numpy(each) for each in (x, memory)]
    close(layer(*given), layer_formula(layer, x, memory))
    close(layer(*given, tgt_mask=graphc.from_numpy(CAUSAL)), layer_formula(layer, x, memory, CAUSAL))
    layer.self_attn.batch_first = layer.multihead_attn.batch_first = False
    turned = layer(*(each.transpose(0, 1) for each in given)).transpose(0, 1)
    close(turned, layer_formula(layer, x, memory))


def test_encoder_and_decoder_run_their_layers_and_a_norm() -> None:
    encoder = nn.TransformerEncoder(encoder_layer(), 2, nn.LayerNorm(4, dtype=graphc.float64))
    assert encoder.layers[0] is not encoder.layers[1]
    assert list(encoder.state_dict()) == [
        *(f"layers.{k}.{name}" for k in (0, 1) for name in ENCODER_NAMES), "norm.weight", "norm.bias",
    ]  # fmt: skip
    randomized(encoder)
    x, mask = numbers(3, 5, 4), graphc.from_numpy(CAUSAL)
    wanted = x
    for layer in encoder.layers:
        wanted = layer_formula(layer, wanted, mask=CAUSAL)
    weights = {name: each.numpy() for name, each in encoder.state_dict().items()}
    wanted = norm(weights, "norm", wanted)
    close(encoder(graphc.from_numpy(x), mask=mask), wanted)
    close(encoder(graphc.from_numpy(x), mask=mask, is_causal=True), wanted)
    decoder = randomized(nn.TransformerDecoder(decoder_layer(), 2))
    found = x
    for layer in decoder.layers:
        found = layer_formula(layer, found, wanted)
    close(decoder(graphc.from_numpy(x), graphc.from_numpy(wanted)), found)


def test_a_transformer_is_an_encoder_and_a_decoder_with_norms() -> None:
    model = nn.Transformer(4, 2, 1, 1, 6, 0.0, batch_first=True, dtype=graphc.float64)
    bound = math.sqrt(6 / (4 + 6))
    assert float(model.encoder.layers[0].linear1.weight.detach().abs().max()) <= bound
    randomized(model)
    src, tgt = numbers(3, 5, 4), numbers(3, 6, 4)
    found = model(graphc.from_numpy(src), graphc.from_numpy(tgt))
    weights = {name: each.numpy() for name, each in model.state_dict().items()}
    memory = norm(weights, "encoder.norm", layer_formula(model.encoder.layers[0], src))
    close(found, norm(weights, "decoder.norm", layer_formula(model.decoder.layers[0], tgt, memory)))
    close(model(graphc.from_numpy(src[0]), graphc.from_numpy(tgt[0])), found.detach().numpy()[0])
    own = nn.Transformer(4, 2, custom_encoder=nn.Identity(), custom_decoder=model.decoder)
    assert type(own.encoder) is nn.Identity
    assert own.decoder is model.decoder


PADDING = np.arange(5) >= np.array([[5], [3], [1]])


@pytest.mark.parametrize("training", [True, False])
def test_padding_is_left_out(training: bool) -> None:
    encoder = nn.TransformerEncoder(encoder_layer(), 1).train(training)
    x, mask = numbers(3, 5, 4), graphc.from_numpy(PADDING)
    wanted = layer_formula(encoder.layers[0], x, mask=np.where(PADDING[:, None, None], -np.inf, 0.0))
    close(encoder(graphc.from_numpy(x), src_key_padding_mask=mask), wanted)
    with graphc.no_grad():
        found = encoder(graphc.from_numpy(x), src_key_padding_mask=mask)
        # PyTorch computes without padding then, and fills it with zeros.
        close(found, wanted if training else np.where(PADDING[..., None], 0.0, wanted))
        within = graphc.tensor([[False, True, False, False, False]] * 3)  # which it can't leave out
        found = encoder(graphc.from_numpy(x), src_key_padding_mask=within)
        close(found, layer_formula(encoder.layers[0], x, mask=np.array([0, -np.inf, 0, 0, 0])))


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
def test_gradients_flow_to_all_parameters_and_inputs() -> None:
    model = randomized(nn.Transformer(4, 2, 1, 1, 6, 0.0, norm_first=True, dtype=graphc.float64))
    src, tgt = (graphc.from_numpy(numbers(3, 2, 4)).requires_grad_() for _ in range(2))
    held = [src, tgt, *model.parameters()]

    def loss() -> Any:
        return model(src, tgt, tgt_mask=model.generate_square_subsequent_mask(3, dtype=graphc.float64)).sin().sum()

    loss().backward()
    rng = np.random.default_rng(7)
    ways = [graphc.from_numpy(rng.normal(size=tuple(each.shape))) for each in held]
    along = sum(float((each.grad * way).sum()) for each, way in zip(held, ways))
    values = []
    with graphc.no_grad():
        for distance in (1e-6, -2e-6):
            for each, way in zip(held, ways):
                each.add_(way, alpha=distance)
            values.append(float(loss()))
    assert along == pytest.approx((values[0] - values[1]) / 2e-6, rel=1e-5)


def test_the_mask_of_what_follows() -> None:
    mask = nn.Transformer.generate_square_subsequent_mask(3)
    assert mask.tolist() == [[0, -math.inf, -math.inf], [0, 0, -math.inf], [0, 0, 0]]
    assert mask.dtype is graphc.float32


def test_activations_are_known_by_name_function_and_module() -> None:
    for given, number in (("relu", 1), (F.relu, 1), (nn.ReLU(), 1), ("gelu", 2), (F.gelu, 2), (nn.GELU(), 2),
                          (graphc.tanh, 0)):  # fmt: skip
        assert nn.TransformerEncoderLayer(4, 2, 6, activation=given).activation_relu_or_gelu == number
    assert nn.TransformerDecoderLayer(4, 2, 6, activation="gelu").activation is F.gelu


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (lambda: encoder_layer(norm_first=True), "encoder_layer.norm_first was True"),
        (lambda: encoder_layer(batch_first=False),
         "encoder_layer.self_attn.batch_first was not True(use batch_first for better inference performance)"),
        (lambda: encoder_layer(bias=False), "encoder_layer.self_attn was passed bias=False"),
        (lambda: encoder_layer(activation=graphc.tanh), "encoder_layer.activation_relu_or_gelu was not True"),
        (lambda: nn.TransformerEncoderLayer(4, 1, 6, batch_first=True), "encoder_layer.self_attn.num_heads is odd"),
        (lambda: decoder_layer(), "encoder_layer was not TransformerEncoderLayer"),
    ],
)  # fmt: skip
def test_what_keeps_padding_in_the_computation_is_said(layer: Any, reason: str) -> None:
    given = layer()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert nn.TransformerEncoder(given, 1).use_nested_tensor is False
        nn.TransformerEncoder(given, 1, enable_nested_tensor=False)
    message = f"enable_nested_tensor is True, but self.use_nested_tensor is False because {reason}"
    assert [str(each.message) for each in caught] == [message]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda model, x: model(x, x[:, :1]), "the batch number of src and tgt must be equal"),
        (lambda model, x: model(x, x[..., :3]), "the feature number of src and tgt must be equal to d_model"),
        (lambda model, x: nn.TransformerEncoderLayer(4, 2, activation="sin"),
         "activation should be relu/gelu, not sin"),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
def test_errors_are_pytorchs(call: Any, message: str) -> None:
    with pytest.raises(RuntimeError) as caught:
        call(nn.Transformer(4, 2, 1, 1, 6), graphc.zeros(5, 3, 4))
    assert str(caught.value) == message


def test_a_layer_prints_as_in_pytorch() -> None:
    assert repr(nn.TransformerEncoderLayer(4, 2, 6)) == (
        "TransformerEncoderLayer(\n"
        "  (self_attn): MultiheadAttention(\n"
        "    (out_proj): NonDynamicallyQuantizableLinear(in_features=4, out_features=4, bias=True)\n"
        "  )\n"
        "  (linear1): Linear(in_features=4, out_features=6, bias=True)\n"
        "  (dropout): Dropout(p=0.1, inplace=False)\n"
        "  (linear2): Linear(in_features=6, out_features=4, bias=True)\n"
        "  (norm1): LayerNorm((4,), eps=1e-05, elementwise_affine=True, bias=True)\n"
        "  (norm2): LayerNorm((4,), eps=1e-05, elementwise_affine=True, bias=True)\n"
        "  (dropout1): Dropout(p=0.1, inplace=False)\n"
        "  (dropout2): Dropout(p=0.1, inplace=False)\n"
        ")"
    )
