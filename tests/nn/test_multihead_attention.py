"""MultiheadAttention: values by numpy's formula, masks, added keys, forms of input, gradients, texts."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import graphc
from graphc import nn

Array = npt.NDArray[np.float64]


def made(**options: Any) -> Any:
    """4 features in 2 heads, of float64, with biases that aren't 0."""
    layer = nn.MultiheadAttention(4, 2, **options, dtype=graphc.float64)
    rng = np.random.default_rng(1)
    with graphc.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(graphc.from_numpy(rng.normal(size=tuple(parameter.shape))))
    return layer


def inputs(layer: Any) -> list[Array]:
    """Queries `[5, 3, 4]`, keys and values `[6, 3, features]`."""
    rng = np.random.default_rng(2)
    return [rng.normal(size=shape) for shape in ((5, 3, 4), (6, 3, layer.kdim), (6, 3, layer.vdim))]


def formula(layer: Any, q: Array, k: Array, v: Array, mask: Array | None = None) -> tuple[Array, Array]:
    """The output `[queries, n, 4]` and the weights `[n, heads, queries, keys]`; `mask` `[n, heads, queries, keys]`."""
    weights = {name: each.numpy() for name, each in layer.state_dict().items()}
    if "in_proj_weight" in weights:
        parts = np.split(weights["in_proj_weight"], 3)
    else:
        parts = [weights[f"{name}_proj_weight"] for name in "qkv"]
    biases = np.split(weights.get("in_proj_bias", np.zeros(12)), 3)
    output, scores = np.zeros(q.shape), []
    for n in range(q.shape[1]):
        pq, pk, pv = (x[:, n] @ w.T + b for x, w, b in zip((q, k, v), parts, biases))
        if "bias_k" in weights:
            pk, pv = (np.concatenate([x, weights[name][0]]) for x, name in ((pk, "bias_k"), (pv, "bias_v")))
        if layer.add_zero_attn:
            pk, pv = (np.concatenate([x, np.zeros((1, 4))]) for x in (pk, pv))
        heads = []
        for head in range(2):
            own = slice(2 * head, 2 * head + 2)
            score = pq[:, own] @ pk[:, own].T / math.sqrt(2)
            if mask is not None:
                score[:, : mask.shape[3]] += mask[n, head]
            share = np.exp(score - score.max(1, keepdims=True))
            heads.append(share / share.sum(1, keepdims=True))
            output[:, n, own] = heads[-1] @ pv[:, own]
        scores.append(np.array(heads))
    return output @ weights["out_proj.weight"].T + weights.get("out_proj.bias", np.zeros(4)), np.array(scores)


def check(found: tuple[Any, Any], wanted: tuple[Array, Array], average: bool = True) -> None:
    output, weights = found
    np.testing.assert_allclose(output.detach().numpy(), wanted[0], rtol=1e-10, atol=1e-13)
    if weights is not None:
        shares = wanted[1].mean(1) if average else wanted[1]
        np.testing.assert_allclose(weights.detach().numpy(), shares, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("others", [{}, {"kdim": 3, "vdim": 2}])
@pytest.mark.parametrize("added", [{}, {"add_bias_kv": True}, {"add_zero_attn": True, "add_bias_kv": True}])
def test_attention_computes_its_formula(bias: bool, others: dict[str, int], added: dict[str, bool]) -> None:
    layer = made(bias=bias, **others, **added)
    given = inputs(layer)
    wanted = formula(layer, *given)
    tensors = [graphc.from_numpy(each) for each in given]
    check(layer(*tensors), wanted)
    check(layer(*tensors, average_attn_weights=False), wanted, average=False)
    check(layer(*tensors, need_weights=False), wanted)
    assert layer(*tensors, need_weights=False)[1] is None
    layer.batch_first = True
    output, weights = layer(*(each.transpose(0, 1) for each in tensors))
    check((output.transpose(0, 1), weights), wanted)
    output, weights = layer(*(each[:, 1] for each in tensors))
    np.testing.assert_allclose(output.detach().numpy(), wanted[0][:, 1], rtol=1e-10)
    np.testing.assert_allclose(weights.detach().numpy(), wanted[1].mean(1)[1], rtol=1e-10)


PADDING = np.arange(6) >= np.array([[6], [4], [2]])
AHEAD = np.arange(6) > np.arange(5)[:, None]
NUMBERS = np.random.default_rng(5).normal(size=(6, 5, 6))


@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize(
    ("masks", "added"),
    [
        ({"key_padding_mask": PADDING}, np.where(PADDING[:, None, None], -np.inf, 0.0)),
        ({"attn_mask": AHEAD}, np.where(AHEAD, -np.inf, 0.0)),
        ({"attn_mask": NUMBERS[0]}, NUMBERS[0]),
        ({"attn_mask": NUMBERS}, NUMBERS.reshape(3, 2, 5, 6)),
        ({"attn_mask": AHEAD, "key_padding_mask": PADDING}, np.where(AHEAD | PADDING[:, None, None], -np.inf, 0.0)),
        ({"attn_mask": np.where(AHEAD, -np.inf, 0.0), "is_causal": True}, np.where(AHEAD, -np.inf, 0.0)),
    ],
)
def test_masks_are_added_to_the_scores(masks: dict[str, Any], added: Array, need_weights: bool) -> None:
    layer = made(add_bias_kv=True)
    given, mask = inputs(layer), np.broadcast_to(added, (3, 2, 5, 6))
    tensors = {name: graphc.from_numpy(each) if isinstance(each, np.ndarray) else each for name, each in masks.items()}
    found = layer(*map(graphc.from_numpy, given), need_weights=need_weights, **tensors)
    if masks.get("is_causal") and not need_weights:  # the mask is taken for granted, and the added key for masked
        assert found[0].shape == (5, 3, 4)
        return
    check(found, formula(layer, *given, mask))


def test_where_no_key_counts_the_result_is_that_of_pytorch() -> None:
    layer = made(batch_first=True, bias=False)
    with graphc.no_grad():
        layer.in_proj_bias = nn.Parameter(graphc.zeros(12, dtype=graphc.float64))
        layer.out_proj.bias = nn.Parameter(graphc.zeros(4, dtype=graphc.float64))
    x, mask = graphc.rand(2, 3, 4, dtype=graphc.float64), graphc.tensor([[False] * 3, [True] * 3])
    output = layer(x, x, x, key_padding_mask=mask, need_weights=False)[0]
    assert output[1].tolist() == [[0.0] * 4] * 3
    output.sum().backward()
    assert bool(layer.in_proj_weight.grad.isfinite().all())
    assert bool(layer(x, x, x, key_padding_mask=mask)[0][1].isnan().all())
    layer.eval()
    with graphc.no_grad():  # one kernel computes all there
        output = layer(x, x, x, key_padding_mask=mask, need_weights=False)[0]
    assert bool(output[1].isnan().all())
    assert output.is_contiguous()


def test_gradients_are_slopes() -> None:
    layer = made(add_bias_kv=True)
    tensors = [graphc.from_numpy(each).requires_grad_() for each in inputs(layer)]
    held = [*tensors, *layer.parameters()]

    def loss() -> Any:
        output, weights = layer(*tensors, key_padding_mask=graphc.from_numpy(PADDING))
        return output.sin().sum() + (weights**2).sum()

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
    assert along == pytest.approx((values[0] - values[1]) / 2e-6, rel=1e-6)


def test_dropout_drops_weights_in_training_alone() -> None:
    layer = made(dropout=1.0)
    x = graphc.rand(3, 2, 4, dtype=graphc.float64)
    output, weights = layer(x, x, x)
    assert bool((weights == 0).all())
    assert graphc.equal(output, layer.out_proj(graphc.zeros_like(x)))
    check(layer.eval()(x, x, x), formula(layer, x.numpy(), x.numpy(), x.numpy()))


def test_parameters_are_named_and_start_as_in_pytorch() -> None:
    layer = nn.MultiheadAttention(8, 2, add_bias_kv=True)
    assert list(layer.state_dict()) == [
        "in_proj_weight", "in_proj_bias", "bias_k", "bias_v", "out_proj.weight", "out_proj.bias",
    ]  # fmt: skip
    names = list(nn.MultiheadAttention(8, 2, kdim=3, bias=False).state_dict())
    assert names == ["q_proj_weight", "k_proj_weight", "v_proj_weight", "out_proj.weight"]
    assert not layer.in_proj_bias.any()
    assert not layer.out_proj.bias.any()
    bound = math.sqrt(6 / (8 + 24))
    assert 0.9 * bound < float(layer.in_proj_weight.detach().abs().max()) <= bound
    assert nn.modules.activation.MultiheadAttention is nn.MultiheadAttention
    assert repr(layer) == (
        "MultiheadAttention(\n"
        "  (out_proj): NonDynamicallyQuantizableLinear(in_features=8, out_features=8, bias=True)\n)"
    )


def test_masks_are_merged() -> None:
    layer = made()
    x, padding = graphc.zeros(3, 5, 4), graphc.zeros(3, 5)
    assert layer.merge_masks(None, None, x) == (None, None)
    assert layer.merge_masks(None, padding, x) == (padding, 1)
    for mask, both in itertools.product((graphc.zeros(5, 5), graphc.zeros(6, 5, 5)), (None, padding)):
        merged, kind = layer.merge_masks(mask, both, x)
        assert (merged.shape, kind) == ((3, 2, 5, 5), 2)


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: nn.MultiheadAttention(0, 2), ValueError,
         "embed_dim and num_heads must be greater than 0, got embed_dim=0 and num_heads=2 instead"),
        (lambda: nn.MultiheadAttention(5, 2), AssertionError, "embed_dim must be divisible by num_heads"),
        (lambda: made()(*[graphc.zeros(4)] * 3), AssertionError,
         "query should be unbatched 2D or batched 3D tensor but received 1-D query tensor"),
        (lambda: made()(*[graphc.zeros(2, 3, 4, dtype=graphc.float64)] * 3, is_causal=True), RuntimeError,
         "Need attn_mask if specifying the is_causal hint. You may use the Transformer module method "
         "`generate_square_subsequent_mask` to create this mask."),
        (lambda: made()(*[graphc.zeros(2, 3, 4)] * 3, attn_mask=graphc.ones(2, 2, dtype=graphc.int64)), AssertionError,
         "only bool and floating types of attn_mask are supported"),
        (lambda: made()(*[graphc.zeros(2, 3, 4, dtype=graphc.float64)] * 3, attn_mask=graphc.ones(3, 3)), RuntimeError,
         "The shape of the 2D attn_mask is torch.Size([3, 3]), but should be (2, 2)."),
    ],
)  # fmt: skip
def test_errors_are_pytorchs(call: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == message


def test_masks_of_different_dtypes_warn() -> None:
    x = graphc.zeros(2, 3, 4, dtype=graphc.float64)
    message = "Support for mismatched key_padding_mask and attn_mask is deprecated. Use same type for both instead."
    with pytest.warns(UserWarning, match=message):
        made()(x, x, x, key_padding_mask=graphc.zeros(3, 2, dtype=graphc.bool), attn_mask=graphc.zeros(2, 2))
