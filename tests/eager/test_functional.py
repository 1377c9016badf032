"""`autograd.functional`: Jacobians, Hessians and their products with vectors."""

from collections.abc import Callable

import pytest

import graphc as torch
from graphc.autograd import functional

X = torch.tensor([1.0, 2.0])
Y = torch.tensor([[1.0, 2.0], [3.0, 4.0]])


def cube(x: torch.Tensor) -> torch.Tensor:
    return (x**3).sum()


def test_jacobians_go_together_as_arguments_and_results_do() -> None:
    assert functional.jacobian(lambda x: x**2, X).tolist() == [[2.0, 0.0], [0.0, 4.0]]
    by_inputs = functional.jacobian(lambda x, y: x * y.sum(), (X, Y))
    assert [each.tolist() for each in by_inputs] == [[[10, 0], [0, 10]], [[[1, 1], [1, 1]], [[2, 2], [2, 2]]]]
    by_outputs = functional.jacobian(lambda x: (x, x.sum()), X)
    assert [each.tolist() for each in by_outputs] == [[[1.0, 0.0], [0.0, 1.0]], [1.0, 1.0]]
    both = functional.jacobian(lambda x, y: (x * 2, y.sum()), (X, Y))
    assert both[0][0].tolist() == [[2.0, 0.0], [0.0, 2.0]]
    assert both[0][1].shape == (2, 2, 2)
    assert not both[0][1].any()
    assert both[1][1].tolist() == [[1.0, 1.0], [1.0, 1.0]]


@pytest.mark.parametrize("options", [{}, {"vectorize": True}, {"vectorize": True, "strategy": "forward-mode"}])
def test_ways_to_compute_a_jacobian_agree(options: dict[str, object]) -> None:
    (dx, dy), (ex, ey) = functional.jacobian(lambda x, y: (x * y, y.sum()), (X, Y), **options)
    assert dx.tolist() == [[[1, 0], [0, 2]], [[3, 0], [0, 4]]]
    assert dy.tolist() == [[[[1, 0], [0, 0]], [[0, 2], [0, 0]]], [[[0, 0], [1, 0]], [[0, 0], [0, 2]]]]
    assert ex.tolist() == [0, 0]
    assert ey.tolist() == [[1, 1], [1, 1]]


def test_hessians() -> None:
    assert functional.hessian(cube, X).tolist() == [[6.0, 0.0], [0.0, 12.0]]
    ((xx, xy), (yx, yy)) = functional.hessian(lambda x, y: (x * x * y).sum(), (X, X + 1))
    assert xx.tolist() == [[4, 0], [0, 6]]
    assert yy.tolist() == [[0, 0], [0, 0]]
    assert xy.tolist() == yx.tolist() == [[2, 0], [0, 4]]


def test_products() -> None:
    value, product = functional.vjp(lambda x: x**2, X, X)
    assert (value.tolist(), product.tolist()) == ([1.0, 4.0], [2.0, 8.0])
    value, product = functional.jvp(lambda x: (x**2, x.sum()), X, X)
    assert [each.tolist() for each in (*value, *product)] == [[1.0, 4.0], 3.0, [2.0, 8.0], 3.0]
    for times in (functional.hvp, functional.vhp):
        value, product = times(cube, X, X)
        assert (value.item(), product.tolist()) == (9.0, [6.0, 24.0])
    assert functional.vjp(cube, X)[1].tolist() == [3.0, 12.0]
    assert functional.jvp(lambda x: x * 3, torch.tensor(2.0))[1].item() == 3.0


def test_results_are_recorded_where_the_graph_is_wanted() -> None:
    z = torch.tensor([1.0, 2.0], requires_grad=True)
    for recorded in (
        functional.jacobian(lambda x: x**3, z, create_graph=True),
        functional.hessian(cube, z, create_graph=True),
        functional.vjp(lambda x: x**3, z, X, create_graph=True)[1],
        functional.jvp(lambda x: x**3, z, X, create_graph=True)[1],
        functional.vhp(cube, z, X, create_graph=True)[1],
        functional.hvp(cube, z, X, create_graph=True)[1],
    ):
        assert recorded.requires_grad
    functional.jacobian(lambda x: x**3, z, create_graph=True).sum().backward()
    assert z.grad.tolist() == [6.0, 12.0]
    assert not functional.jacobian(lambda x: x**3, z).requires_grad
    with torch.no_grad():
        assert functional.jacobian(lambda x: x**2, X).tolist() == [[2.0, 0.0], [0.0, 4.0]]
        assert functional.jvp(lambda x: x**2, X, X)[1].tolist() == [2.0, 8.0]


REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "a list": (
        lambda: functional.jacobian(cube, [X]),
        "The inputs given to jacobian must be either a Tensor or a tuple of Tensors but the given inputs has",
    ),
    "a number in a tuple": (lambda: functional.jacobian(cube, (X, 3)), "the value at index 1 has type <class 'int'>."),
    "a result that is none": (
        lambda: functional.jvp(lambda x: 3, X, X),
        "The outputs of the user-provided function given to jvp must be either",
    ),
    "no vector": (
        lambda: functional.vjp(lambda x: x, X),
        "The vector v can only be None if the user-provided function returns a single Tensor with a single element.",
    ),
    "no direction": (
        lambda: functional.hvp(cube, X),
        "The vector v can only be None if the input to the user-provided function is a single Tensor "
        "with a single element.",
    ),
    "two vectors": (lambda: functional.vjp(lambda x: x, X, (X, X)), "The given v should contain a single Tensor."),
    "a short tuple": (
        lambda: functional.jvp(lambda x, y: x, (X, Y), (X,)),
        "v is a tuple of invalid length: should be 2 but got 1.",
    ),
    "a wrong shape": (
        lambda: functional.vjp(lambda x: x, X, Y),
        "v has invalid size: should be torch.Size([2]) but got torch.Size([2, 2]).",
    ),
    "no scalar": (
        lambda: functional.hessian(lambda x: x, X),
        "The Tensor returned by the function given to hessian should contain a single element",
    ),
    "a tuple": (
        lambda: functional.vhp(lambda x: (x.sum(),), X, X),
        "The function given to vhp should return a single Tensor",
    ),
    "no influence": (
        lambda: functional.jacobian(lambda x, y: x, (X, Y), strict=True),
        "Output 0 of the user-provided function is independent of input 1. This is not allowed in strict mode.",
    ),
    "a constant": (
        lambda: functional.jacobian(lambda x: X, X, strict=True),
        "Output 0 of the user-provided function does not require gradients.",
    ),
    "a linear function": (
        lambda: functional.hessian(lambda x: x.sum(), X, strict=True),
        "While computing the hessian, found that the jacobian of the user-provided function with "
        "respect to input 0 is independent of the input.",
    ),
    "linear in jvp": (
        lambda: functional.jvp(lambda x: X, X, X, strict=True),
        "Output 0 of the user-provided function does not require gradients.",
    ),
    "strict and vectorized": (
        lambda: functional.jacobian(cube, X, strict=True, vectorize=True),
        "`strict=True` and `vectorized=True` are not supported together.",
    ),
    "strict and forward": (
        lambda: functional.jacobian(cube, X, strict=True, strategy="forward-mode"),
        '`strict=True` and `strategy="forward-mode"` are not supported together (yet).',
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_misuse_is_told(case: str) -> None:
    call, text = REFUSED[case]
    with pytest.raises((RuntimeError, TypeError)) as caught:
        call()
    assert text in str(caught.value)


def test_a_strategy_must_be_known() -> None:
    with pytest.raises(AssertionError, match='either "forward-mode" or "reverse-mode"'):
        functional.jacobian(cube, X, strategy="sideways")
    with pytest.raises(NotImplementedError, match="only implemented for `vectorize=True`"):
        functional.jacobian(cube, X, strategy="forward-mode")
