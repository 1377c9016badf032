"""What is wrong with the arguments of a call is said in PyTorch's words."""

from __future__ import annotations

import operator
from collections.abc import Callable

import pytest

import graphc

X = graphc.ones(2, 2)


class Odd:
    """No operand."""


CASES: list[tuple[str, Callable[[], object]]] = [
    ("add(): argument 'other' (position 2) must be Tensor, not str", lambda: graphc.add(X, "a")),
    ("add(): argument 'other' (position 1) must be Tensor, not str", lambda: X.add("a")),
    ("add_(): argument 'other' (position 1) must be Tensor, not str", lambda: X.add_("a")),
    ("add(): argument 'other' must be Tensor, not str", lambda: graphc.add(X, other="a")),
    ("add(): argument 'alpha' must be Number, not str", lambda: graphc.add(X, X, alpha="a")),
    ("add() got an unexpected keyword argument 'foo'", lambda: graphc.add(X, X, foo=1)),
    ("add() takes 2 positional arguments but 4 were given", lambda: graphc.add(X, X, X, X)),
    (
        "add() received an invalid combination of arguments - got (Tensor), but expected "
        "(Tensor input, Tensor other, *, Number alpha = 1, Tensor out = None)",
        lambda: graphc.add(X),
    ),
    ("exp(): argument 'input' (position 1) must be Tensor, not int", lambda: graphc.exp(3)),
    ('exp() missing 1 required positional arguments: "input"', lambda: graphc.exp()),
    ("TensorBase.exp() takes no keyword arguments", lambda: X.exp(foo=1)),
    ("TensorBase.relu() takes no arguments (1 given)", lambda: X.relu(1)),
    ('softmax() missing 1 required positional arguments: "dim"', lambda: graphc.softmax(X)),
    ("softmax() takes from 2 to 3 positional arguments but 5 were given", lambda: graphc.softmax(X, 0, None, 1, 1)),
    ("softmax(): argument 'dim' (position 1) must be int, not str", lambda: X.softmax("a")),
    ("softmax(): argument 'dim' must be int, not float", lambda: graphc.softmax(X, dim=1.5)),
    ("unsqueeze(): argument 'dim' (position 1) must be int, not bool", lambda: X.unsqueeze(True)),
    ("amax(): argument 'keepdim' (position 3) must be bool, not int", lambda: graphc.amax(X, 0, 1)),
    ("reshape(): argument 'shape' (position 1) must be tuple of ints, not str", lambda: X.reshape("a")),
    ("permute(): argument 'dims' (position 1) must be tuple of ints, not str", lambda: X.permute("a")),
    ("mm(): argument 'mat2' (position 2) must be Tensor, not int", lambda: graphc.mm(X, 3)),
    ("linalg_inv(): argument 'A' (position 1) must be Tensor, not int", lambda: graphc.linalg.inv(3)),
    ("linalg_eigh(): argument 'input' (position 1) must be Tensor, not list", lambda: graphc.linalg.eigh([1])),
    ("fft_fft(): argument 'input' (position 1) must be Tensor, not str", lambda: graphc.fft.fft("a")),
    ("special_erfinv(): argument 'input' (position 1) must be Tensor, not int", lambda: graphc.special.erfinv(1)),
    ("hypot(): argument 'other' (position 2) must be Tensor, not int", lambda: graphc.hypot(X, 1)),
    (
        "eq() received an invalid combination of arguments - got (int, int), but expected one of:",
        lambda: graphc.eq(1, 2),
    ),
    ("eq() received an invalid combination of arguments - got (str), but expected one of:", lambda: X.eq("a")),
    (
        "clamp() received an invalid combination of arguments - got (min=str, ), but expected one of:",
        lambda: X.clamp(min="a"),
    ),
    (
        "sum() received an invalid combination of arguments - got (Tensor, str), but expected one of:",
        lambda: graphc.sum(X, "a"),
    ),
    (
        "masked_fill() received an invalid combination of arguments - got (int, int), but expected one of:",
        lambda: X.masked_fill(1, 2),
    ),
    (
        "pow() received an invalid combination of arguments - got (int, int), but expected one of:",
        lambda: graphc.pow(2, 3),
    ),
    ("unsupported operand type(s) for +: 'Tensor' and 'str'", lambda: X + "a"),
    ("unsupported operand type(s) for -: 'NoneType' and 'Tensor'", lambda: None - X),
    ("unsupported operand type(s) for @: 'Tensor' and 'int'", lambda: X @ 3),
    ("unsupported operand type(s) for *: 'Odd' and 'Tensor'", lambda: Odd() * X),
    ("'<' not supported between instances of 'Tensor' and 'Odd'", lambda: operator.lt(X, Odd())),
]


@pytest.mark.parametrize(("text", "run"), CASES, ids=[case[0] for case in CASES])
def test_a_call_with_other_arguments_is_refused_in_words_of_pytorch(text: str, run: Callable[[], object]) -> None:
    with pytest.raises(TypeError) as caught:
        run()
    assert str(caught.value).splitlines()[0] == text


def test_a_tensor_equals_nothing_that_is_no_operand() -> None:
    assert (X == "a") is False
    assert operator.ne(X, Odd()) is True


def test_other_names_of_the_operands() -> None:
    assert graphc.add(x=X, x2=X).tolist() == [[2.0, 2.0], [2.0, 2.0]]
    assert graphc.sum(a=X, axis=0, keepdims=True).tolist() == [[2.0, 2.0]]


def test_errors_of_values() -> None:
    with pytest.raises(RuntimeError, match="step must be nonzero"):
        graphc.arange(0, 1, 0)
    with pytest.raises(IndexError, match="Dimension specified as 0 but tensor has no dimensions"):
        graphc.fft.fftn(graphc.tensor(1.0), dim=0)
    with pytest.raises(RuntimeError, match=r"Expected the dtype for input and out to match, but got Float for input's"):
        graphc.amax(graphc.ones(2), 0, out=graphc.zeros((), dtype=graphc.int32))


def test_what_has_no_gradient() -> None:
    x = graphc.eye(3).requires_grad_()
    assert [each.requires_grad for each in graphc.linalg.lu(x)] == [False, True, True]
    assert graphc.bernoulli(graphc.tensor(0.5)).shape == ()
    y = graphc.ones(2, 2, dtype=graphc.complex64, requires_grad=True)
    graphc.as_strided(y, (2,), (1,)).sum().real.backward()
    assert y.grad is not None
    assert y.grad.tolist() == [[1, 1], [0, 0]]


def test_errors_of_subscripts_and_shapes() -> None:
    scalar, empty = graphc.tensor(1.0), graphc.zeros(0, 3)
    with pytest.raises(IndexError, match=r"^too many indices for tensor of dimension 0$"):
        scalar[(0,)]
    with pytest.raises(IndexError, match=r"^index is out of bounds for dimension with size 0$"):
        empty[graphc.tensor([0])]
    with pytest.raises(RuntimeError, match=r"^expand\(CPUBoolType\{\[2, 2\]\}, size=\[2\]\): "):
        (X > 0).expand(2)
    with pytest.raises(RuntimeError, match=r"^shape mismatch: value tensor of shape"):
        X[graphc.tensor([0, 1])] = graphc.ones(3, dtype=graphc.int64)
    with pytest.raises(
        RuntimeError, match=r"tensor a \(3\) must match the size of tensor b \(2\) at non-singleton dimension 1"
    ):
        graphc.ones(4, 3) + graphc.ones(5, 2)
    with pytest.raises(OverflowError, match="int too big to convert"):
        X + 2**70


def test_a_mask_takes_one_number_of_any_dtype() -> None:
    x = graphc.ones(2, dtype=graphc.int8)
    x[graphc.tensor([True, False])] = graphc.tensor(2)
    assert x.tolist() == [2, 1]


def test_rounded_quotients_have_a_node_without_gradient() -> None:
    x = graphc.ones(2, requires_grad=True)
    assert repr(2 // x) == "tensor([2., 2.], grad_fn=<NotImplemented>)"


def test_a_tensor_is_not_written_to_elements_of_its_own() -> None:
    x = graphc.ones(2, 2)
    with pytest.raises(
        RuntimeError, match=r"^unsupported operation: some elements of the input tensor and the written-to"
    ):
        x[[0, 1]] = x
