"""Leaves and their gradients: `requires_grad`, `grad`, `Variable`, the memory order of gradients, and refused calls."""

from collections.abc import Callable

import pytest

import graphc as torch
from graphc.autograd.variable import Variable


def leaf() -> torch.Tensor:
    return torch.tensor([1.0, 2.0], requires_grad=True)


def test_a_variable_is_a_tensor_over_the_same_memory() -> None:
    data = torch.tensor([1.0, 2.0])
    variable = Variable(data, requires_grad=True)
    assert isinstance(variable, Variable)
    assert isinstance(data, torch.autograd.Variable)
    assert type(variable) is torch.Tensor
    assert variable.is_leaf
    assert variable.data_ptr() == data.data_ptr()
    assert not Variable(leaf()).requires_grad
    (variable * 2).sum().backward()
    assert variable.grad.tolist() == [2.0, 2.0]


def test_a_gradient_lies_in_memory_as_its_leaf() -> None:
    x = torch.ones(2, 3).t().requires_grad_()
    (x * 2).sum().backward()
    assert x.grad.stride() == x.stride() == (1, 3)
    y = torch.ones(2, 3, requires_grad=True)
    y.t().sum().backward()
    assert y.grad.stride() == (3, 1)


def test_gradients_add_up_in_place() -> None:
    x = leaf()
    (x * 3).sum().backward()
    first = x.grad
    (x * 3).sum().backward()
    assert x.grad is first
    assert first.tolist() == [6.0, 6.0]
    seed = torch.ones(2)
    x.grad = None
    (x * 1).backward(seed)
    x.grad.add_(1)
    assert seed.tolist() == [1.0, 1.0]


def test_cotangents_by_batches_and_inputs_by_name() -> None:
    x = leaf()
    (rows,) = torch.autograd.grad(x * 2, x, torch.tensor([[1.0, 2.0], [3.0, 4.0]]), is_grads_batched=True)
    assert rows.tolist() == [[2.0, 4.0], [6.0, 8.0]]
    found = torch.autograd.grad((x * 2).sum(), {"weight": x})
    assert {name: each.tolist() for name, each in found.items()} == {"weight": [2.0, 2.0]}
    y = x * 2
    (y * 2).sum().backward(inputs=[y])
    assert (y.grad.tolist(), x.grad) == ([2.0, 2.0], None)


REFUSED: dict[str, tuple[Callable[[torch.Tensor], object], str]] = {
    "no scalar": (lambda x: (x * 2).backward(), "grad can be implicitly created only for scalar outputs"),
    "no history": (
        lambda x: x.detach().sum().backward(),
        "element 0 of tensors does not require grad and does not have a grad_fn",
    ),
    "another shape": (
        lambda x: (x * 2).backward(torch.ones(1)),
        "Mismatch in shape: grad_output[0] has a shape of torch.Size([1]) and output[0] has a shape of "
        "torch.Size([2]).",
    ),
    "complex": (
        lambda x: (x * (1 + 2j)).sum().backward(),
        "grad can be implicitly created only for real scalar outputs but got torch.complex64",
    ),
    "a complex cotangent": (
        lambda x: x.sum().backward(torch.tensor(1j)),
        "For complex Tensors, both grad_output and output are required to have the same dtype. Mismatch in dtype: "
        "grad_output[0] has a dtype of torch.complex64 and output[0] has a dtype of torch.float32.",
    ),
    "no tensor": (
        lambda x: (x * 2).backward("a"),
        "gradients can be either Tensors or None, but got str",
    ),
    "no inputs": (lambda x: x.sum().backward(inputs=[]), "`inputs` argument to `backward()` cannot be empty."),
    "nothing asked for": (lambda x: torch.autograd.grad(x.sum(), []), "`inputs` argument to `grad()` cannot be empty."),
    "a constant": (
        lambda x: torch.autograd.grad(x.sum(), torch.tensor(1.0)),
        "One of the differentiated Tensors does not require grad",
    ),
    "an unused input": (
        lambda x: torch.autograd.grad(x.sum(), [x, leaf()]),
        "The differentiated Tensor at index 1 appears to not have been used in the graph. Set allow_unused=True if "
        "this is the desired behavior.",
    ),
    "too few cotangents": (
        lambda x: torch.autograd.grad([x * 2, x * 3], x, [torch.ones(2)]),
        "got 2 tensors and 1 gradients",
    ),
    "a gradient of another size": (
        lambda x: setattr(x, "grad", torch.ones(1)),
        "attempting to assign a gradient of size '[1]' to a tensor of size '[2]'. Please ensure that the gradient and "
        "the tensor are the same size",
    ),
    "a gradient that is a number": (
        lambda x: setattr(x, "grad", 3),
        "assigned grad expected to be a Tensor or None but got grad of type int",
    ),
    "itself": (lambda x: setattr(x, "grad", x), "can't assign Variable as its own grad"),
    "a flag that is a number": (lambda x: setattr(x, "requires_grad", 1), "requires_grad must be a bool"),
    "a method's flag": (
        lambda x: x.requires_grad_(1),
        "requires_grad_(): argument 'requires_grad' (position 1) must be bool, not int",
    ),
    "no leaf": (
        lambda x: setattr(x * 2, "requires_grad", True),
        "you can only change requires_grad flags of leaf variables.",
    ),
    "integers": (
        lambda x: torch.tensor([1]).requires_grad_(),
        "only Tensors of floating point dtype can require gradients",
    ),
    "integer data": (
        lambda x: setattr(x, "data", torch.tensor([1, 2])),
        "data set to a tensor that requires gradients must be floating point or complex dtype",
    ),
    "its node": (
        lambda x: setattr(x, "grad_fn", None),
        "attribute 'grad_fn' of 'torch._C.TensorBase' objects is not writable",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(case: str) -> None:
    call, text = REFUSED[case]
    with pytest.raises((RuntimeError, TypeError, AttributeError)) as caught:
        call(leaf())
    assert str(caught.value) == text


def test_a_gradient_of_another_dtype_is_refused() -> None:
    with pytest.raises(
        RuntimeError, match=r"^attempting to assign a gradient with dtype 'double' to a tensor with grad_"
    ):
        leaf().grad = torch.ones(2, dtype=torch.float64)


def test_the_gradient_of_an_inner_tensor_is_warned_of() -> None:
    y = leaf() * 2
    with pytest.warns(
        UserWarning, match=r"^The \.grad attribute of a Tensor that is not a leaf Tensor is being accessed"
    ):
        assert y.grad is None


def test_a_recorded_gradient_in_a_leaf_is_warned_of() -> None:
    x = leaf()
    with pytest.warns(UserWarning, match=r"^Using backward\(\) with create_graph=True will create a reference cycle"):
        (x * x).sum().backward(create_graph=True)
    assert torch.autograd.grad(x.grad.sum(), x)[0].tolist() == [2.0, 2.0]
