"""Attention of several heads, against sums over one head after another, and the shapes that it refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc as g
import graphc.nn.functional as F
from graphc.nn.attention import SDPBackend, sdpa_kernel

ROWS, COLUMNS, SAMPLES, FEATURES, HEADS = 3, 4, 2, 6, 2
_RANDOM = np.random.default_rng(11)


def draw(*shape: int) -> Any:
    """Random float64 numbers."""
    return _RANDOM.normal(size=shape)


QUERY, KEY, VALUE = draw(ROWS, SAMPLES, FEATURES), draw(COLUMNS, SAMPLES, FEATURES), draw(COLUMNS, SAMPLES, FEATURES)
PACKED, BIAS, OUT, OUT_BIAS = draw(3 * FEATURES, FEATURES), draw(3 * FEATURES), draw(FEATURES, FEATURES), draw(FEATURES)
PADDING = np.array([[False, False, True, False], [False, True, False, False]])


def attended(
    scores_plus: Any = 0.0, bias_k: Any = None, bias_v: Any = None, zero: bool = False
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The result, and the weights `[n, heads, queries, keys]`; `scores_plus` broadcasts to them."""
    parts = [x @ PACKED[i * 6 : i * 6 + 6].T + BIAS[i * 6 : i * 6 + 6] for i, x in enumerate((QUERY, KEY, VALUE))]
    width = FEATURES // HEADS
    result, weights = np.zeros((ROWS, SAMPLES, FEATURES)), []
    for n in range(SAMPLES):
        heads = []
        for h in range(HEADS):
            q, k, v = (part[:, n, h * width : (h + 1) * width] for part in parts)
            if bias_k is not None:
                k, v = (np.vstack([x, b.ravel()[h * width : (h + 1) * width]]) for x, b in ((k, bias_k), (v, bias_v)))
            if zero:
                k, v = (np.vstack([x, np.zeros(width)]) for x in (k, v))
            scores = q @ k.T / np.sqrt(width)
            added = np.broadcast_to(scores_plus, (SAMPLES, HEADS, ROWS, COLUMNS))[n, h]
            scores[:, :COLUMNS] += added
            share = np.exp(scores - scores.max(1, keepdims=True))
            share /= share.sum(1, keepdims=True)
            heads.append(share)
            result[:, n, h * width : (h + 1) * width] = share @ v
        weights.append(heads)
    return result @ OUT.T + OUT_BIAS, np.array(weights)


def forward(bias_k: Any = None, bias_v: Any = None, zero: bool = False, **options: Any) -> tuple[Any, Any]:
    tensors = [g.tensor(x) for x in (QUERY, KEY, VALUE)]
    biases = [None if x is None else g.tensor(x) for x in (bias_k, bias_v)]
    options = {name: g.tensor(x) if isinstance(x, np.ndarray) else x for name, x in options.items()}
    weights = [g.tensor(x) for x in (PACKED, BIAS, OUT, OUT_BIAS)]
    return F.multi_head_attention_forward(
        *tensors, FEATURES, HEADS, *weights[:2], *biases, zero, 0.0, *weights[2:], **options
    )


MASK, MASKS = draw(ROWS, COLUMNS), draw(SAMPLES * HEADS, ROWS, COLUMNS)
BIAS_K, BIAS_V = draw(1, 1, FEATURES), draw(1, 1, FEATURES)
PADDED = np.where(PADDING, -np.inf, 0.0)[:, None, None]
CASES: tuple[tuple[str, dict[str, Any], Callable[[], Any]], ...] = (
    ("plain", {}, attended),
    ("padding", {"key_padding_mask": PADDING}, lambda: attended(PADDED)),
    ("mask", {"attn_mask": MASK}, lambda: attended(MASK)),
    ("mask of bools", {"attn_mask": MASK > 0.3}, lambda: attended(np.where(MASK > 0.3, -np.inf, 0.0))),
    (
        "masks of heads",
        {"attn_mask": MASKS, "key_padding_mask": PADDED[:, 0, 0]},
        lambda: attended(MASKS.reshape(SAMPLES, HEADS, ROWS, COLUMNS) + PADDED),
    ),
    (
        "biases and zeros",
        {"bias_k": BIAS_K, "bias_v": BIAS_V, "zero": True, "attn_mask": MASK},
        lambda: attended(MASK, BIAS_K, BIAS_V, True),
    ),
    (
        "separate projections",
        {
            "use_separate_proj_weight": True,
            "q_proj_weight": PACKED[:6],
            "k_proj_weight": PACKED[6:12],
            "v_proj_weight": PACKED[12:],
        },
        attended,
    ),
)


@pytest.mark.parametrize(("name", "options", "expected"), CASES, ids=[case[0] for case in CASES])
def test_heads_are_those_of_the_formula(name: str, options: dict[str, Any], expected: Callable[[], Any]) -> None:
    result, weights = expected()
    found, shares = forward(**options)
    np.testing.assert_allclose(found.numpy(), result, rtol=1e-9)
    np.testing.assert_allclose(shares.numpy(), weights.mean(1), rtol=1e-9, atol=1e-12)
    _, shares = forward(average_attn_weights=False, **options)
    np.testing.assert_allclose(shares.numpy(), weights, rtol=1e-9, atol=1e-12)
    found, shares = forward(need_weights=False, **options)
    np.testing.assert_allclose(found.numpy(), result, rtol=1e-9)
    assert shares is None


@pytest.mark.parametrize("masks", [{}, {"is_causal": True}])
def test_sizes_that_are_known_in_the_run_give_the_same(masks: dict[str, Any]) -> None:
    types = ("f32[n,l,d]", "f32[n,s,d]", "f32[n,s,d]")
    general = g.symbolic_trace(lambda q, k, v: F.scaled_dot_product_attention(q, k, v, **masks), *types).compile()
    rng = np.random.default_rng(3)
    for samples, rows, columns, features in ((2, 3, 5, 4), (3, 7, 33, 6)):
        given = [rng.normal(size=(samples, n, features)).astype(np.float32) for n in (rows, columns, columns)]
        found = F.scaled_dot_product_attention(*map(g.from_numpy, given), **masks)
        np.testing.assert_allclose(general(*given), found.numpy(), rtol=1e-6, atol=1e-7)
        scores = given[0] @ given[1].swapaxes(1, 2) / features**0.5
        if masks:
            scores = np.where(np.tri(rows, columns, dtype=bool), scores, -np.inf)
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        np.testing.assert_allclose(
            found.numpy(), shares / shares.sum(-1, keepdims=True) @ given[2], rtol=1e-5, atol=1e-6
        )


def test_a_single_sample_needs_no_dimension() -> None:
    weights = [g.tensor(x) for x in (PACKED, BIAS, OUT, OUT_BIAS)]
    inputs = [g.tensor(x[:, 0]) for x in (QUERY, KEY, VALUE)]
    found, shares = F.multi_head_attention_forward(
        *inputs, FEATURES, HEADS, *weights[:2], None, None, False, 0.0, *weights[2:]
    )
    np.testing.assert_allclose(found.numpy(), attended()[0][:, 0], rtol=1e-9)
    assert tuple(shares.shape) == (ROWS, COLUMNS)


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"attn_mask": MASKS[:2]}, RuntimeError, "The shape of the 3D attn_mask is"),
        ({"key_padding_mask": PADDING[0]}, AssertionError, "expected `key_padding_mask` to be `None` or 2-D but found"),
        ({"attn_mask": MASK.astype(np.int64)}, AssertionError, "only bool and floating types of attn_mask"),
        ({"bias_k": BIAS_K}, AssertionError, "bias_k is set but bias_v is None"),
        ({"is_causal": True}, RuntimeError, "Need attn_mask if specifying the is_causal hint"),
    ],
)
def test_what_does_not_fit_is_refused(options: dict[str, Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        forward(**options)


def test_any_kernel_may_be_asked_for() -> None:
    with sdpa_kernel([SDPBackend.MATH, SDPBackend.FLASH_ATTENTION], set_priority=True) as given:
        assert given == {}
    assert (str(SDPBackend.MATH), repr(SDPBackend.MATH)) == ("SDPBackend.MATH", "<SDPBackend.MATH: 0>")
    message = "Backend must be an instance of SDPBackend or a list of SDPBackend instances, got int"
    with pytest.raises(AssertionError, match=message), sdpa_kernel(5):
        pass
