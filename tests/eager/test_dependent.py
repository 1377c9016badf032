"""Functions whose result's size depends on values, and those that give Python values."""

import pytest

import graphc as torch

T = torch.tensor
X = T([[1.0, 0, 2], [0, 3, 1]])
I = T([3, 1, 1, 2, 3])  # short, as it stands in a table
ROWS = T([[1, 2], [1, 2], [0, 3]])
NAN = float("nan")


def values(result):
    """Lists for tensors."""
    if isinstance(result, tuple):
        return [values(each) for each in result]
    return result.tolist() if isinstance(result, torch.Tensor) else result


CASES = [
    (lambda: torch.nonzero(X), [[0, 0], [0, 2], [1, 1], [1, 2]]),
    (lambda: X.nonzero(as_tuple=True), [[0, 0, 1, 1], [0, 2, 1, 2]]),
    (lambda: torch.nonzero(T(3.0)), [[]]),
    (lambda: torch.nonzero(T(3.0), as_tuple=True), [[0]]),
    (lambda: torch.argwhere(X), [[0, 0], [0, 2], [1, 1], [1, 2]]),
    (lambda: torch.where(X > 0), [[0, 0, 1, 1], [0, 2, 1, 2]]),
    (lambda: torch.where(X > 0, X, 9.0), [[1.0, 9.0, 2.0], [9.0, 3.0, 1.0]]),
    (lambda: torch.masked_select(X, X > 1), [2.0, 3.0]),
    (lambda: X.masked_select(T([True, False, True])), [1.0, 2.0, 0.0, 1.0]),
    (lambda: torch.masked_select(T(1.0), T(True)), [1.0]),
    (lambda: torch.unique(I), [1, 2, 3]),
    (lambda: torch.unique(I, return_inverse=True, return_counts=True), [[1, 2, 3], [2, 0, 0, 1, 2], [2, 1, 2]]),
    (lambda: torch.unique(X), [0.0, 1.0, 2.0, 3.0]),
    (lambda: torch.unique(X, return_inverse=True)[1], [[1, 0, 2], [0, 3, 1]]),
    (lambda: torch.unique(T([True, False, True])), [False, True]),
    (
        lambda: torch.unique(ROWS, dim=0, return_inverse=True, return_counts=True),
        [[[0, 3], [1, 2]], [1, 1, 0], [1, 2]],
    ),
    (lambda: torch.unique(ROWS, dim=1), [[1, 2], [1, 2], [0, 3]]),
    (lambda: len(torch.unique(T([NAN, 1.0, NAN]))), 3),
    (
        lambda: torch.unique_consecutive(I, return_inverse=True, return_counts=True),
        [[3, 1, 2, 3], [0, 1, 1, 2, 3], [1, 2, 1, 1]],
    ),
    (lambda: torch.unique_consecutive(ROWS, dim=0, return_counts=True), [[[1, 2], [0, 3]], [2, 1]]),
    (lambda: torch.bincount(I), [0, 2, 1, 2]),
    (lambda: torch.bincount(I, minlength=6), [0, 2, 1, 2, 0, 0]),
    (lambda: torch.bincount(I, T([1.0, 2, 3, 4, 5])), [0.0, 5.0, 4.0, 6.0]),
    (lambda: torch.bincount(T([], dtype=torch.int64)), []),
    (lambda: torch.repeat_interleave(X, T([1, 2]), dim=0), [[1.0, 0.0, 2.0], [0.0, 3.0, 1.0], [0.0, 3.0, 1.0]]),
    (lambda: torch.repeat_interleave(T([1, 2, 0])), [0, 1, 1]),
    (lambda: I.repeat_interleave(2)[:4], [3, 3, 1, 1]),
    (lambda: torch.tensor_split(I, T([1, 2])), [[3], [1], [1, 2, 3]]),
    (lambda: torch.equal(I, I.float()), True),
    (lambda: torch.equal(I, I[:2]), False),
    (lambda: torch.allclose(X, X + 1e-9), True),
    (lambda: torch.allclose(X, X + 1), False),
    (lambda: torch.isin(I, T([1])), [False, True, True, False, False]),
    (lambda: torch.hash_tensor(torch.arange(6).reshape(2, 3)), 1),
    (lambda: torch.arange(6).reshape(2, 3).hash_tensor(1, keepdim=True), [[3], [2]]),
    (lambda: torch.hash_tensor(T([1.5, 2.5])), 0x3FF8000000000000 ^ 0x4004000000000000),
    (lambda: torch.hash_tensor(T(-1, dtype=torch.int8)), 2**64 - 1),
    (lambda: torch.hash_tensor(torch.ones(2, 0), 0), []),
]


@pytest.mark.parametrize("case", range(len(CASES)))
def test_values_decide_what_there_is(case):
    call, expected = CASES[case]
    assert values(call()) == expected


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda: torch.masked_select(X, X), RuntimeError, "masked_select: expected BoolTensor for mask"),
        (
            lambda: torch.masked_select(X, T([True, False])),
            RuntimeError,
            "The size of tensor a (2) must match the size of tensor b (3) at non-singleton dimension 1",
        ),
        (
            lambda: torch.bincount(T([-1])),
            RuntimeError,
            "bincount only supports 1-d non-negative integral inputs.",
        ),
        (lambda: torch.bincount(T([1.0])), NotImplementedError, "\"bincount_cpu\" not implemented for 'Float'"),
        (
            lambda: torch.bincount(I, torch.ones(2)),
            RuntimeError,
            "weights should be 1-d and have the same length as input",
        ),
        (
            lambda: X.unique(dim=5),
            IndexError,
            "Dimension out of range (expected to be in range of [-2, 1], but got 5)",
        ),
        (lambda: X.repeat_interleave(T([-1, 1]), 0), RuntimeError, "repeats can not be negative"),
        (lambda: torch.hash_tensor(X, mode=1), RuntimeError, "Unknown hash_tensor mode: 1"),
    ],
)
def test_what_has_no_result_is_refused(call, kind, text):
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda x: x.masked_select(x > 1), [[0.0, 0.0, 4.0], [0.0, 6.0, 0.0]]),
        (lambda x: torch.repeat_interleave(x, T([1, 2]), dim=0), [[2.0, 0.0, 4.0], [0.0, 12.0, 4.0]]),
        (lambda x: x[x.nonzero(as_tuple=True)], [[2.0, 0.0, 4.0], [0.0, 6.0, 2.0]]),
        (lambda x: x.tensor_split(T([1]))[1], [[0.0, 0.0, 0.0], [0.0, 6.0, 2.0]]),
    ],
)
def test_elements_that_were_chosen_have_a_gradient(call, expected):
    x = X.clone().requires_grad_()
    (call(x) ** 2).sum().backward()
    assert x.grad.tolist() == expected
