"""Hooks on tensors, leaves and nodes: when they are called, with what, and what they may return."""

from collections.abc import Callable
from typing import Any

import pytest

import graphc as torch
from graphc.autograd.graph import register_multi_grad_hook


def leaf(*values: float) -> torch.Tensor:
    return torch.tensor(values, requires_grad=True)


def test_a_hook_may_look_or_replace() -> None:
    x = leaf(1.0, 2.0)
    seen: list[Any] = []
    looking = x.register_hook(lambda grad: seen.append(grad.tolist()))
    doubling = x.register_hook(lambda grad: grad * 2)
    x.register_hook(lambda grad: grad + 1)
    (x * 3).sum().backward()
    assert (seen, x.grad.tolist()) == ([[3.0, 3.0]], [7.0, 7.0])
    looking.remove()
    looking.remove()
    doubling.remove()
    x.grad = None
    (x * 3).sum().backward()
    assert (seen, x.grad.tolist()) == ([[3.0, 3.0]], [4.0, 4.0])
    assert len(x._backward_hooks) == 1


def test_a_handle_is_a_context() -> None:
    x = leaf(1.0)
    with x.register_hook(lambda grad: grad * 10):
        x.sum().backward()
    x.sum().backward()
    assert x.grad.tolist() == [11.0]


def test_the_order_of_all_hooks() -> None:
    x, log = leaf(1.0, 2.0), []
    y = x * 2
    y.retain_grad()
    y.grad_fn.register_hook(lambda given, got: log.append(("after", given[0].tolist(), got[0].tolist())))
    y.grad_fn.register_prehook(lambda got: log.append(("before", got[0].tolist())) or (got[0] + 1,))
    y.register_hook(lambda grad: log.append(("tensor", grad.tolist())) or grad * 10)
    x.register_hook(lambda grad: log.append(("leaf", grad.tolist())))
    x.register_post_accumulate_grad_hook(lambda tensor: log.append(("done", tensor.grad.tolist())))
    (y * 3).sum().backward()
    assert log == [
        ("tensor", [3.0, 3.0]),
        ("before", [30.0, 30.0]),
        ("after", [62.0, 62.0], [31.0, 31.0]),
        ("leaf", [62.0, 62.0]),
        ("done", [62.0, 62.0]),
    ]
    assert y.grad.tolist() == [30.0, 30.0]


WRONG: dict[str, tuple[Callable[[torch.Tensor], object], str]] = {
    "a number": (lambda grad: 3, "expected Variable, but hook returned 'int'"),
    "another shape": (lambda grad: grad[0], "hook '<lambda>' has changed the size of value"),
    "another dtype": (
        lambda grad: grad.double(),
        "hook '<lambda>' has changed the type of value (was torch.FloatTensor got torch.DoubleTensor)",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_a_hook_must_not_return(case: str) -> None:
    hook, text = WRONG[case]
    y = leaf(1.0, 2.0) * 2
    y.register_hook(hook)
    with pytest.raises((RuntimeError, TypeError)) as caught:
        y.sum().backward()
    assert str(caught.value) == text


def test_what_a_hook_of_a_node_must_not_return() -> None:
    for returned, text in (
        (3, "expected tuple, but hook returned 'int'"),
        ((None,), "hook '<lambda>' has returned an incorrect number of values (got 1, but expected 2)"),
        ((3, None), "expected Variable, but hook returned 'int'"),
    ):
        y = leaf(1.0, 2.0) * leaf(3.0, 4.0)
        y.grad_fn.register_hook(lambda given, got, returned=returned: returned)
        with pytest.raises((RuntimeError, TypeError)) as caught:
            y.sum().backward()
        assert str(caught.value) == text


def test_where_a_hook_can_not_be() -> None:
    with pytest.raises(RuntimeError, match=r"^cannot register a hook on a tensor that doesn't require gradient$"):
        torch.tensor([1.0]).register_hook(print)
    with pytest.raises(RuntimeError, match=r"^post accumulate grad hooks cannot be registered on non-leaf tensors$"):
        (leaf(1.0) * 2).register_post_accumulate_grad_hook(print)
    with pytest.raises(RuntimeError, match=r"^can't retain_grad on Tensor that has requires_grad=False$"):
        torch.tensor([1.0]).retain_grad()


def test_an_error_in_a_hook_reaches_the_caller() -> None:
    y = leaf(1.0) * 2
    y.register_hook(lambda grad: grad.nowhere)
    with pytest.raises(AttributeError, match="nowhere"):
        y.sum().backward()


def test_gradients_asked_for_and_hooks() -> None:
    x = leaf(1.0, 2.0)
    y = x * 1
    y.register_hook(lambda grad: grad * 10)
    # On the way to others the gradient is taken before the hooks, at the end of the way after them.
    found = torch.autograd.grad((y * 2).sum(), [y, x], retain_graph=True)
    assert [each.tolist() for each in found] == [[2.0, 2.0], [20.0, 20.0]]
    assert torch.autograd.grad((y * 2).sum(), y)[0].tolist() == [20.0, 20.0]


def test_a_hook_is_recorded_with_the_graph() -> None:
    x = leaf(2.0, 3.0)
    y = x * 1
    y.register_hook(lambda grad: grad * x)
    (first,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    assert first.tolist() == [2.0, 3.0]
    assert torch.autograd.grad(first.sum(), x)[0].tolist() == [1.0, 1.0]


def test_hooks_stay_with_the_history_that_they_were_put_on() -> None:
    x, log = leaf(1.0, 2.0), []
    y = x * 1
    y.register_hook(lambda grad: log.append(("old", grad.tolist())))
    y.mul_(3)
    y.register_hook(lambda grad: log.append(("new", grad.tolist())))
    y.sum().backward()
    assert log == [("new", [1.0, 1.0]), ("old", [3.0, 3.0])]


def test_a_gradient_that_is_kept_adds_up() -> None:
    y = leaf(1.0) * 2
    y.retain_grad()
    assert y.retains_grad
    for count in (1, 2, 3):
        y.sum().backward(retain_graph=True)
        assert y.grad.tolist() == [float(count)]


def test_a_hook_of_several_gradients() -> None:
    a, b = leaf(1.0), leaf(2.0)
    c, d = a * b, a + b
    seen: list[Any] = []
    handle = register_multi_grad_hook((a, b, c, d), lambda grads: seen.append([g and g.item() for g in grads]))
    (c * 1).sum().backward(retain_graph=True)
    (c * 1).sum().backward(inputs=[a], retain_graph=True)
    (c + d).sum().backward(retain_graph=True)
    assert seen == [[2.0, 1.0, 1.0, None], [2.0, None, 1.0, None], [3.0, 2.0, 1.0, 1.0]]
    handle.remove()
    first: list[float] = []
    with register_multi_grad_hook((c, d), lambda grad: first.append(grad.item()), mode="any"):
        (c + d).sum().backward(retain_graph=True)
        (c * 2).sum().backward(retain_graph=True)
    (c + d).sum().backward()
    assert first == [1.0, 2.0]
    with pytest.raises(ValueError, match=r"^Expects mode to be one of \('all', 'any'\) but got some$"):
        register_multi_grad_hook((a,), print, mode="some")


def test_a_hook_may_run_a_pass_of_its_own() -> None:
    x = leaf(1.0, 2.0)
    y = x * 2

    def again(grad: torch.Tensor) -> None:
        with torch.enable_grad():
            inner = (x * 3).sum()
        inner.backward()

    y.register_hook(again)
    y.sum().backward()
    assert x.grad.tolist() == [5.0, 5.0]
