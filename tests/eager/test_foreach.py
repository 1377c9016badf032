"""Functions of lists of tensors, `_foreach_*`: values, what they return, and refusals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import graphc

g: Any = graphc


def _lists(found: Any) -> list[Any]:
    return [each.tolist() for each in found]


def _pair() -> list[Any]:
    return [g.tensor([1.0, 4.0]), g.tensor([9.0])]


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda x: g._foreach_add(x, 1), [[2.0, 5.0], [10.0]]),
        (lambda x: g._foreach_add(x, [1.0, 2.0]), [[2.0, 5.0], [11.0]]),
        (lambda x: g._foreach_add(x, x, alpha=0.5), [[1.5, 6.0], [13.5]]),
        (lambda x: g._foreach_sub(x, x), [[0.0, 0.0], [0.0]]),
        (lambda x: g._foreach_mul(x, g.tensor(2.0)), [[2.0, 8.0], [18.0]]),
        (lambda x: g._foreach_div(x, scalar=2), [[0.5, 2.0], [4.5]]),
        (lambda x: g._foreach_maximum(x, 4), [[4.0, 4.0], [9.0]]),
        (lambda x: g._foreach_minimum(x, [x[0] * 0, x[1]]), [[0.0, 0.0], [9.0]]),
        (lambda x: g._foreach_pow(x, 2), [[1.0, 16.0], [81.0]]),
        (lambda x: g._foreach_pow(2.0, x), [[2.0, 16.0], [512.0]]),
        (lambda x: g._foreach_sqrt(x), [[1.0, 2.0], [3.0]]),
        (lambda x: g._foreach_neg(x), [[-1.0, -4.0], [-9.0]]),
        (lambda x: g._foreach_addcmul(x, x, x, 2), [[3.0, 36.0], [171.0]]),
        (lambda x: g._foreach_addcmul(x, x, x, g.tensor([1.0, 0.0])), [[2.0, 20.0], [9.0]]),
        (lambda x: g._foreach_addcdiv(x, x, x, scalars=[1, 2]), [[2.0, 5.0], [11.0]]),
        (lambda x: g._foreach_lerp(x, [x[0] + 2, x[1]], 0.5), [[2.0, 5.0], [9.0]]),
        (lambda x: g._foreach_norm([x[0] - 1, x[1]]), [3.0, 9.0]),
        (lambda x: g._foreach_norm(x, 1), [5.0, 9.0]),
        (lambda x: g._foreach_max(x), [4.0, 9.0]),
        (lambda x: g._foreach_clone(x), [[1.0, 4.0], [9.0]]),
    ],
)
def test_each_tensor_has_its_result(call: Callable[[Any], Any], expected: list[Any]) -> None:
    found = call(_pair())
    assert isinstance(found, tuple)
    assert _lists(found) == expected


def test_tensors_are_written_and_the_list_is_given_back() -> None:
    tensors, velocities = _pair(), [g.ones(2), g.ones(1)]
    first = tensors[0]
    assert g._foreach_mul_(velocities, 0.5) is velocities
    g._foreach_add_(velocities, tensors)
    g._foreach_add_(tensors, velocities, alpha=-1)
    g._foreach_sqrt_(velocities)
    assert tensors[0] is first
    assert _lists(tensors) == [[-0.5, -0.5], [-0.5]]
    g._foreach_copy_(tensors, velocities)
    g._foreach_zero_(velocities)
    assert (_lists(velocities), tensors[0][0].item()) == ([[0.0, 0.0], [0.0]], pytest.approx(1.5**0.5))


def test_gradients_pass_through() -> None:
    x = [g.tensor([3.0], requires_grad=True), g.tensor([1.0, 2.0], requires_grad=True)]
    sum(each.sum() for each in g._foreach_mul(x, x)).backward()
    assert _lists(each.grad for each in x) == [[6.0], [2.0, 4.0]]


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda x: g._foreach_add(x, x[:1]), "Tensor lists must have the same number of tensors, got 2 and 1"),
        (lambda x: g._foreach_add_(x, [1.0]), "Tensor list must have same number of elements as scalar list."),
        (lambda x: g._foreach_sqrt([]), "Tensor list must have at least one tensor."),
        (lambda x: g._foreach_mul([], 2), "Tensor list must have at least one tensor."),
        (lambda x: g._foreach_addcmul(x, x, x[1:]), "Tensor lists must have the same number of tensors, got 2 and 1"),
    ],
)
def test_lists_that_do_not_fit_are_refused(call: Callable[[Any], Any], text: str) -> None:
    with pytest.raises(RuntimeError) as info:
        call(_pair())
    assert str(info.value) == text


def test_other_names_are_not_there() -> None:
    with pytest.raises(AttributeError, match="has no attribute '_foreach_nothing'"):
        _ = g._foreach_nothing
