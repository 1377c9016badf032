"""graphc.masked: functions of the elements for which a mask holds, against numpy on just these."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc as g
from graphc import masked

X = np.array([[1.5, -2.0, 0.5, 4.0], [3.0, 0.25, -1.0, 2.0], [0.5, 1.0, 2.0, -4.0]])
MASK = np.array([[True, False, True, True], [False, True, True, False], [True, True, True, True]])
x, mask = g.tensor(X), g.tensor(MASK)

REDUCTIONS: list[tuple[Callable[..., Any], Callable[[Any], Any]]] = [
    (masked.sum, np.sum),
    (masked.prod, np.prod),
    (masked.amax, np.max),
    (masked.amin, np.min),
    (masked.mean, np.mean),
    (masked.var, lambda row: np.var(row, ddof=1)),
    (masked.std, lambda row: np.std(row, ddof=1)),
    (masked.logsumexp, lambda row: np.log(np.sum(np.exp(row)))),
    (lambda x, dim, **rest: masked.norm(x, 2.0, dim, **rest), lambda row: np.sqrt(np.sum(row * row))),
    (lambda x, dim, **rest: masked.norm(x, -math.inf, dim, **rest), lambda row: np.min(np.abs(row))),
    (masked.median, lambda row: np.sort(row)[(len(row) - 1) // 2]),
]
"""Functions of a dimension, and what they are of one row."""


@pytest.mark.parametrize("case", range(len(REDUCTIONS)))
def test_only_elements_with_a_mask_count(case: int) -> None:
    function, of_row = REDUCTIONS[case]
    expected = [of_row(row[kept]) for row, kept in zip(X, MASK)]
    np.testing.assert_allclose(function(x, 1, mask=mask).numpy(), expected, rtol=1e-12)
    np.testing.assert_allclose(function(x, 1).numpy(), [of_row(row) for row in X], rtol=1e-12)
    assert function(x, 1, keepdim=True, mask=mask).shape == (3, 1)


def test_rows_keep_their_length() -> None:
    kept = np.where(MASK, np.exp(X), 0)
    soft = kept / kept.sum(1, keepdims=True)
    np.testing.assert_allclose(masked.softmax(x, 1, mask=mask).numpy(), soft, rtol=1e-12)
    logs = masked.log_softmax(x, 1, mask=mask).numpy()
    np.testing.assert_allclose(np.exp(logs), soft, rtol=1e-12)
    assert np.isneginf(logs[~MASK]).all()
    np.testing.assert_allclose(masked.softmin(-x, 1, mask=mask).numpy(), soft, rtol=1e-12)
    np.testing.assert_allclose(masked.cumsum(x, 1, mask=mask).numpy(), np.cumsum(np.where(MASK, X, 0), 1), rtol=1e-12)
    np.testing.assert_allclose(masked.cumprod(x, 1, mask=mask).numpy(), np.cumprod(np.where(MASK, X, 1), 1), rtol=1e-12)
    lengths = np.sqrt(np.where(MASK, X * X, 0).sum(1, keepdims=True))
    found = masked.normalize(x, 2.0, 1, mask=mask).numpy()
    np.testing.assert_allclose(found, np.where(MASK, X, 0) / lengths, rtol=1e-12)


def test_indices_count_all_elements() -> None:
    assert masked.argmax(x, 1, mask=mask).tolist() == [3.0, 1.0, 2.0]
    assert masked.argmin(g.tensor([3, 1, 2]), 0, mask=g.tensor([True, False, True])).item() == 2


def test_no_elements_give_the_neutral_one() -> None:
    numbers, nothing = g.tensor([[1, 2]]), g.tensor([False])
    floats = numbers.float()
    assert masked.sum(numbers, 1, mask=nothing).item() == 0
    assert masked.prod(numbers, 1, mask=nothing).item() == 1
    assert masked.amax(numbers, 1, mask=nothing).item() == -(2**63)
    assert masked.amin(floats, 1, mask=nothing).item() == math.inf
    assert masked.mean(floats, 1, mask=nothing).isnan().item()
    assert masked.var(floats, 1, mask=nothing).isnan().item()
    assert masked.median(floats, 1, mask=nothing).isnan().item()
    with pytest.raises(ValueError, match="no fully masked out rows if dtype is not floating point"):
        masked.median(numbers, 1, mask=nothing)


def test_small_integers_are_summed_in_int64() -> None:
    assert masked.sum(g.tensor([100, 100, 100], dtype=g.int8)).item() == 300
    assert masked.prod(g.tensor([True, True])).dtype is g.int64
    assert masked.amax(g.tensor([1, 2], dtype=g.int8)).dtype is g.int8


def test_two_masks_for_two_tensors() -> None:
    found = masked.logaddexp(
        g.tensor([-100.0, -200.0, -300.0]),
        g.tensor([-1.0, -2.0, -3.0]),
        input_mask=g.tensor([True, False, True]),
        other_mask=g.tensor([True, False, False]),
    )
    assert found.tolist() == [-1.0, -math.inf, -300.0]


def test_gradients_reach_what_counts() -> None:
    row = g.tensor([1.0, 2.0, 5.0], requires_grad=True)
    masked.mean(row, mask=g.tensor([True, False, True])).backward()
    assert row.grad is not None
    assert row.grad.tolist() == [0.5, 0.0, 0.5]


def test_masked_functions_compile() -> None:
    compiled = g.compile(lambda x, mask: masked.softmax(x, 1, mask=mask))
    np.testing.assert_allclose(compiled(x, mask).numpy(), masked.softmax(x, 1, mask=mask).numpy(), rtol=1e-12)


REFUSALS: list[tuple[Callable[[], object], type[Exception], str]] = [
    (lambda: masked.sum(x, mask=mask[None]), IndexError, "expected broadcastable mask"),
    (lambda: masked.sum(x, (0, 0)), RuntimeError, "^dim=0 appears multiple times in the list of dims$"),
    (
        lambda: masked.amax(x, 2),
        IndexError,
        r"^Dimension out of range \(expected to be in range of \[-2, 1\], but got 2",
    ),
    (lambda: masked.mean(g.tensor([1])), ValueError, r"^mean\(\): Could not infer output dtype. Input dtype must be"),
    (lambda: masked.amax(mask, mask=mask), NotImplementedError, "^identity of amax on torch.bool input$"),
]


@pytest.mark.parametrize("case", range(len(REFUSALS)))
def test_refusals(case: int) -> None:
    call, kind, text = REFUSALS[case]
    with pytest.raises(kind, match=text):
        call()
