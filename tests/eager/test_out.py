"""`out=`: which tensors may hold a result, and what happens to them."""

import pytest

import graphc as torch

A = torch.ones(3)


def test_a_result_is_written_to_the_tensor_given():
    out = torch.zeros(3)
    assert torch.add(A, 1, out=out) is out
    assert out.tolist() == [2.0, 2.0, 2.0]
    assert out._version == 1
    values, indices = torch.zeros(3), torch.zeros(3, dtype=torch.int64)
    found = torch.max(torch.eye(3), 1, out=(values, indices))
    assert found.values is values
    assert indices.tolist() == [0, 1, 2]


def test_a_part_of_a_tensor_may_hold_a_result():
    whole = torch.zeros(3, 2)
    torch.add(A, 1, out=whole[:, 1])
    assert whole.tolist() == [[0.0, 2.0]] * 3


def test_an_empty_tensor_gets_the_size_of_the_result():
    out = torch.empty(0)
    torch.mul(A, 4, out=out)
    assert out.tolist() == [4.0, 4.0, 4.0]


def test_a_tensor_of_another_size_is_resized_with_a_warning():
    out = torch.zeros(2)
    with pytest.warns(
        UserWarning, match=r"since it had shape \[2\], which does not match the required output shape \[3\]"
    ):
        torch.add(A, 1, out=out)
    assert out.tolist() == [2.0, 2.0, 2.0]


@pytest.mark.parametrize(
    ("call", "values"),
    [
        (lambda: torch.add(A, 1, out=torch.zeros(3, dtype=torch.float64)), [2.0, 2.0, 2.0]),
        (lambda: torch.eq(A, 1, out=torch.zeros(3)), [1.0, 1.0, 1.0]),
        (lambda: torch.cumsum(A, 0, out=torch.zeros(3, dtype=torch.int64)), [1, 2, 3]),
        (lambda: torch.all(A > 0, 0, out=torch.zeros((), dtype=torch.uint8)), 1),
        (lambda: torch.cat([A, A], out=torch.zeros(6, dtype=torch.float64)), [1.0] * 6),
        (lambda: torch.nonzero(A, out=torch.zeros(0, dtype=torch.int64)), [[0], [1], [2]]),
    ],
)
def test_results_are_converted_where_the_function_allows_it(call, values):
    assert call().tolist() == values


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (
            lambda: torch.add(A, 1, out=torch.zeros(3, dtype=torch.int64)),
            RuntimeError,
            "result type Float can't be cast to the desired output type Long",
        ),
        (
            lambda: torch.matmul(torch.eye(3), torch.eye(3), out=torch.zeros(3, 3, dtype=torch.float64)),
            RuntimeError,
            "Expected out tensor to have dtype float, but got double instead",
        ),
        (
            lambda: torch.max(torch.eye(3), 1, out=(torch.zeros(3), torch.zeros(3))),
            RuntimeError,
            "Expected out tensor to have dtype long int, but got float instead",
        ),
        (
            lambda: torch.index_select(A, 0, torch.tensor([0]), out=torch.zeros(1, dtype=torch.float64)),
            RuntimeError,
            "index_select(): self and result must have the same scalar type",
        ),
        (
            lambda: torch.where(A > 0, A, A, out=torch.zeros(3, dtype=torch.float64)),
            RuntimeError,
            "Expected out type to be Float but got Double",
        ),
        (
            lambda: torch.take(A, torch.tensor([0]), out=torch.zeros(1, dtype=torch.float64)),
            RuntimeError,
            "take(): self and out expected to have the same dtype, but got self.dtype = Float and out.dtype = Double",
        ),
        (
            lambda: torch.any(A > 0, 0, out=torch.zeros(())),
            RuntimeError,
            "any only supports bool tensor for result, got: Float",
        ),
        (
            lambda: torch.add(A, 1, out=torch.zeros(1).expand(3)),
            RuntimeError,
            "unsupported operation: more than one element of the written-to tensor refers to a single memory location. "
            "Please clone() the tensor before performing the operation.",
        ),
        (
            lambda: torch.add(A, 1, out=torch.zeros(3, requires_grad=True)),
            RuntimeError,
            "add(): functions with out=... arguments don't support automatic differentiation, but one of the arguments "
            "requires grad.",
        ),
        (lambda: torch.add(A, 1, out=3), TypeError, "add(): argument 'out' must be Tensor, not int"),
    ],
)
def test_a_tensor_that_cannot_hold_the_result_is_refused(call, kind, text):
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == text
