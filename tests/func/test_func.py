"""Gradients of functions as functions, and modules as functions of their parameters."""

import pytest

import graphc as torch
from graphc import nn
from graphc.func import (
    functional_call,
    grad,
    grad_and_value,
    hessian,
    jacfwd,
    jacrev,
    stack_module_state,
    vjp,
)

X, Y = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 5.0])


def cubes(x):
    return (x**3).sum()


def test_gradients() -> None:
    assert grad(cubes)(X).tolist() == [3.0, 12.0]
    assert grad(grad(grad(lambda x: x**3)))(torch.tensor(2.0)).item() == 6.0
    assert grad(lambda a, b: (a * b).sum(), argnums=1)(X, Y).tolist() == [1.0, 2.0]
    both = grad(lambda a, b: (a * b).sum(), argnums=(0, 1))(X, Y)
    assert [each.tolist() for each in both] == [[3.0, 5.0], [1.0, 2.0]]
    gradient, (value, more) = grad_and_value(lambda x: (cubes(x), x * 2), has_aux=True)(X)
    assert (gradient.tolist(), value.item(), more.tolist()) == ([3.0, 12.0], 9.0, [2.0, 4.0])
    assert [each.requires_grad for each in (gradient, value, more)] == [False] * 3
    assert grad(lambda x: Y.sum())(X).tolist() == [0.0, 0.0]


def test_gradients_in_dictionaries_and_lists() -> None:
    found = grad(lambda d: (d["a"] * d["b"][0]).sum())({"a": X, "b": [Y]})
    assert (found["a"].tolist(), found["b"][0].tolist()) == ([3.0, 5.0], [1.0, 2.0])


def test_what_requires_gradients_outside_stays_connected() -> None:
    point = X.clone().requires_grad_()
    grad(cubes)(point).sum().backward()
    assert point.grad.tolist() == [6.0, 12.0]
    weight = torch.tensor(2.0, requires_grad=True)
    grad(lambda x: (x * x * weight).sum())(X).sum().backward()
    assert weight.grad.item() == 6.0
    with torch.no_grad():
        assert not grad(cubes)(point).requires_grad


def test_products_with_the_jacobian() -> None:
    value, pull_back = vjp(lambda x: x * x, X)
    assert (value.tolist(), value.requires_grad) == ([1.0, 4.0], False)
    assert [each.tolist() for each in pull_back(Y)] == [[6.0, 20.0]]
    assert [each.tolist() for each in pull_back(Y)] == [[6.0, 20.0]]
    _, pull_back, more = vjp(lambda a, b: ((a * b, a + b), a), X, Y, has_aux=True)
    assert [each.tolist() for each in pull_back((Y, X))] == [[10.0, 27.0], [4.0, 12.0]]
    assert more.tolist() == [1.0, 2.0]


def test_jacobians_and_hessians() -> None:
    assert jacrev(lambda x: x * x)(X).tolist() == [[2.0, 0.0], [0.0, 4.0]]
    assert jacfwd(lambda x: x.sum())(X).tolist() == [1.0, 1.0]
    assert hessian(cubes)(X).tolist() == [[6.0, 0.0], [0.0, 12.0]]
    first, second = jacrev(lambda a, b: a * b, argnums=(0, 1))(X, Y)
    assert (first.tolist(), second.tolist()) == ([[3.0, 0.0], [0.0, 5.0]], [[1.0, 0.0], [0.0, 2.0]])


@pytest.mark.parametrize(
    "use, text",
    [
        (
            lambda: grad(lambda x: x)(X),
            "grad_and_value(f)(*args): Expected f(*args) to return a scalar Tensor, got tensor with 1 dims. Maybe you "
            "wanted to use the vjp or jacrev APIs instead?",
        ),
        (
            lambda: grad(lambda x: 3)(X),
            "grad_and_value(f)(*args): Expected f(*args) to return a Tensor, got <class 'int'>",
        ),
        (
            lambda: grad(cubes, has_aux=True)(X),
            "grad_and_value(f)(*args): output of function f should be a tuple: (output, aux) if has_aux is True",
        ),
        (lambda: stack_module_state([]), "stack_module_state: Expected at least one model, got 0."),
        (
            lambda: stack_module_state([nn.Identity(), nn.ReLU()]),
            "stack_module_state: Expected all models to be of the same class.",
        ),
    ],
)
def test_refusals(use, text) -> None:
    with pytest.raises(RuntimeError) as error:
        use()
    assert str(error.value) == text


def test_modules_are_functions_of_their_parameters() -> None:
    net = nn.Linear(2, 1)
    values = {"weight": torch.tensor([[1.0, 2.0]]), "bias": torch.zeros(1)}
    found = grad(lambda values: functional_call(net, values, (X,)).sum())(values)
    assert (found["weight"].tolist(), found["bias"].tolist()) == ([[1.0, 2.0]], [1.0])
    assert net.weight.grad is None


def test_several_modules_as_one() -> None:
    parameters, buffers = stack_module_state([nn.BatchNorm1d(2), nn.BatchNorm1d(2)])
    assert {name: tuple(value.shape) for name, value in parameters.items()} == {"weight": (2, 2), "bias": (2, 2)}
    assert parameters["weight"].requires_grad
    assert parameters["weight"].is_leaf
    assert list(buffers) == ["running_mean", "running_var", "num_batches_tracked"]
