"""Writing in place: to tensors, through views, with gradients; and what is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import graphc as torch

T = torch.tensor

OVERLAP = (
    "unsupported operation: more than one element of the written-to tensor refers to a single memory location. Please "
    "clone() the tensor before performing the operation."
)
PARTIAL = (
    "unsupported operation: some elements of the input tensor and the written-to tensor refer to a single memory "
    "location. Please clone() the tensor before performing the operation."
)
LEAF = "a leaf Variable that requires grad is being used in an in-place operation."
VIEW_OF_LEAF = "a view of a leaf Variable that requires grad is being used in an in-place operation."
MULTIPLE = (
    "is a view and is being modified inplace. This view is the output of a function that returns multiple views. Such "
    "functions do not allow the output views to be modified inplace. You should replace the inplace operation by an "
    "out-of-place one."
)
NO_GRAD = (
    "A view was created in no_grad mode and is being modified inplace with grad mode enabled. Given that this use case "
    "is ambiguous and error-prone, it is forbidden. You can clarify your code by moving both the view and the inplace "
    "either both inside the no_grad block (if you don't want the inplace to be tracked) or both outside (if you want "
    "the inplace to be tracked)."
)


def m():
    return torch.ones(3, 4)


def leaf():
    return torch.ones(3, requires_grad=True)


def seen_without_gradients():
    y = leaf() * 1
    with torch.no_grad():
        return y[:2]


REFUSED = [
    (lambda: m().expand(2, 3, 4).add_(1), OVERLAP),
    (lambda: m()[:1].expand(3, 4).copy_(m()), OVERLAP),
    (lambda: (x := m())[0, :3].add_(x[0, 1:]), PARTIAL),
    (lambda: (x := m())[:2].copy_(x[1:]), PARTIAL),
    (lambda: m().add_(torch.ones(2, 3, 4)), "output with shape [3, 4] doesn't match the broadcast shape [2, 3, 4]"),
    (
        lambda: m().add_(torch.ones(5)),
        "The size of tensor a (4) must match the size of tensor b (5) at non-singleton dimension 1",
    ),
    (lambda: m().copy_(torch.ones(1, 3, 4)), "output with shape [3, 4] doesn't match the broadcast shape [1, 3, 4]"),
    (
        lambda: m().fill_(torch.ones(2)),
        "fill_ only supports 0-dimension value tensor but got tensor with 1 dimensions.",
    ),
    (lambda: m().fill_(1j), "value cannot be converted to type float without overflow"),
    (lambda: T([1, 2]).add_(1.5), "result type Float can't be cast to the desired output type Long"),
    (lambda: T([1, 2]).div_(2), "result type Float can't be cast to the desired output type Long"),
    (lambda: T([True]).add_(2), "result type Long can't be cast to the desired output type Bool"),
    (lambda: m().add_(1j), "result type ComplexFloat can't be cast to the desired output type Float"),
    (
        lambda: m().float_power_(2),
        "the base given to float_power_ has dtype Float but the operation's result requires dtype Double",
    ),
    (lambda: leaf().mul_(2), LEAF),
    (lambda: leaf().t_(), LEAF),
    (lambda: leaf().__setitem__([0], 1.0), LEAF),
    (lambda: leaf()[0].mul_(2), VIEW_OF_LEAF),
    (lambda: leaf().view(-1).zero_(), VIEW_OF_LEAF),
    (lambda: leaf().__setitem__(0, 1.0), VIEW_OF_LEAF),
    (lambda: (leaf() * 1).unbind()[0].mul_(2), f"Output 0 of Unbind {MULTIPLE}"),
    (lambda: (leaf() * 1).split(1)[1].mul_(2), f"Output 1 of Split {MULTIPLE}"),
    (lambda: seen_without_gradients().mul_(2), NO_GRAD),
    (
        lambda: leaf().apply_(abs),
        "Can't call apply_() on Variable that requires grad. Use var.detach().apply_() instead.",
    ),
]


@pytest.mark.parametrize("case", range(len(REFUSED)))
def test_a_write_without_one_meaning_is_refused(case):
    write, text = REFUSED[case]
    with pytest.raises(RuntimeError) as caught:
        write()
    assert str(caught.value) == text


def test_a_write_keeps_dtype_memory_and_identity_and_counts():
    x = T([1.0, -2.0, 3.0])
    address, whole = x.data_ptr(), x.view(3)
    assert x.mul_(T([2, 2, 2])) is x
    assert (x.dtype, x.data_ptr(), x._version) == (torch.float32, address, 1)
    assert whole.tolist() == [2.0, -4.0, 6.0]
    assert x.gt_(0).tolist() == [1.0, 0.0, 1.0]
    assert T([5, 6], dtype=torch.uint8).sub_(T([7, 7])).tolist() == [254, 255]
    x += x
    assert x.tolist() == [2.0, 0.0, 2.0]
    assert x._version == 3


def test_a_write_may_read_what_it_writes_in_another_order():
    x = torch.arange(9.0).reshape(3, 3)
    x[0:2, 0:2].add_(x.t()[0:2, 0:2])
    assert x.tolist() == [[0.0, 4.0, 2.0], [4.0, 8.0, 5.0], [6.0, 7.0, 8.0]]


def test_fills_may_repeat_elements():
    x = torch.ones(1, 3)
    x.expand(2, 3).fill_(4)
    assert x.tolist() == [[4.0, 4.0, 4.0]]


def test_python_functions_replace_elements():
    x = T([[1.0, 2.0], [3.0, 4.0]])
    x.apply_(lambda a: a + 1)
    x.map_(T([1.0, 10.0]), lambda a, b: a * b)
    assert x.tolist() == [[2.0, 30.0], [4.0, 50.0]]
    assert x.map2_(x, x, lambda a, b, c: a + b - c).tolist() == [[2.0, 30.0], [4.0, 50.0]]


@pytest.mark.parametrize(
    ("write", "name"),
    [
        (lambda y, w: y.fill_(2), "FillBackward2"),
        (lambda y, w: y.fill_(w[0]), "FillBackward3"),
        (lambda y, w: y.zero_(), "ZeroBackward0"),
        (lambda y, w: y.copy_(w), "CopyBackwards"),
        (lambda y, w: y.__setitem__(0, 1.0), "CopySlices"),
        (lambda y, w: y.__setitem__([0], 1.0), "IndexPutBackward0"),
        (lambda y, w: y.__setitem__(slice(None), w), "CopyBackwards"),
        (lambda y, w: y[:2].mul_(2), "CopySlices"),
        (lambda y, w: y.add_(w), "AddBackward0"),
        (lambda y, w: torch.relu_(y), "ReluBackward0"),
        (lambda y, w: y.gt_(1), "GtBackward0"),
        (lambda y, w: y.clamp_(0, 1), "ClampBackward1"),
        (lambda y, w: y.masked_fill_(y > 1, 0), "MaskedFillBackward0"),
    ],
)
def test_a_write_is_the_last_node_of_the_tensor(write, name):
    y, w = leaf() * 1, leaf()
    write(y, w)
    assert type(y.grad_fn).__name__ == name
    y.sum().backward()


def test_views_see_the_history_of_a_write_to_their_base():
    x = leaf()
    y = x * 1
    part, other = y[:2], y[1:]
    part.mul_(3)
    assert (type(y.grad_fn).__name__, type(part.grad_fn).__name__, type(other.grad_fn).__name__) == (
        "CopySlices",
        "AsStridedBackward0",
        "AsStridedBackward0",
    )
    other.sum().backward()
    assert x.grad.tolist() == [0.0, 3.0, 1.0]


def test_a_view_of_plain_memory_gets_a_history_with_its_base():
    y = torch.zeros(3, 2)
    row = y[0]
    y.add_(T([1.0, 2.0], requires_grad=True))
    assert row.requires_grad
    assert type(row.grad_fn).__name__ == "AsStridedBackward0"


def test_an_earlier_write_to_one_of_several_views_is_noticed():
    y = leaf() * 1
    first, second = y.split([1, 2])
    with torch.no_grad():
        first.mul_(2)
    with pytest.raises(RuntimeError, match="Output 1 of SplitWithSizes is a view and its base or another view of its"):
        second * 2


@pytest.mark.parametrize(
    ("use", "name"),
    [(lambda y: y.exp(), "Exp"), (lambda y: y.sqrt(), "Sqrt"), (lambda y: y.sigmoid(), "Sigmoid")],
)
def test_a_result_that_the_gradient_needs_may_not_be_overwritten(use, name):
    y = use(leaf() * 2)
    total = y.sum()
    y.add_(1)
    with pytest.raises(
        RuntimeError, match=rf"which is output 0 of {name}, is at version 1; expected version 0 instead"
    ):
        total.backward()


@pytest.mark.parametrize("use", [lambda y: y * 3, lambda y: y / T([4.0]), lambda y: y.sin(), lambda y: y.erfinv()])
def test_a_result_that_the_gradient_does_not_need_may_be_overwritten(use):
    x = T([0.1, 0.2], requires_grad=True)
    y = use(x)
    total = y.sum()
    y.add_(1)
    total.backward()
    expected = torch.autograd.grad(use(x).sum(), x)[0]
    assert x.grad.tolist() == expected.tolist()


# Random chains of views and writes, against numpy on the same memory and against functions without writes

VIEWS = {
    "first": lambda x: x[0],
    "from one": lambda x: x[1:],
    "every second": lambda x: x[..., ::2],
    "turned": lambda x: x.transpose(0, -1) if isinstance(x, torch.Tensor) else x.swapaxes(0, -1),
    "new": lambda x: x[:, None],
}
WRITES = {
    "doubled": (lambda x: x.mul_(2), lambda x: np.multiply(x, 2, out=x)),
    "shifted": (lambda x: x.add_(1), lambda x: np.add(x, 1, out=x)),
    "set": (lambda x: x.__setitem__(..., 3.0), lambda x: x.__setitem__(..., 3.0)),
    "cleared in front": (lambda x: x.__setitem__(0, 0.0), lambda x: x.__setitem__(0, 0.0)),
    "added to itself": (lambda x: x.add_(x), lambda x: np.add(x, x, out=x)),
    "squared": (lambda x: x.pow_(2), lambda x: np.multiply(x, x, out=x)),
    "picked": (lambda x: x.__setitem__([0], x[-1] * 0.5), lambda x: x.__setitem__([0], x[-1] * 0.5)),
    "masked": (lambda x: x.__setitem__(x > 4, -1.0), lambda x: x.__setitem__(x > 4, -1.0)),
}
STEPS = st.lists(st.tuples(st.integers(0, 5), st.sampled_from([*VIEWS, *WRITES])), min_size=1, max_size=8)


@settings(max_examples=60)
@given(STEPS)
def test_chains_of_views_and_writes_change_memory_as_numpy_does(steps):
    array = np.arange(24.0).reshape(2, 3, 4) / 10
    pairs = [(torch.from_numpy(array.copy()), array)]
    for which, name in steps:
        tensor, expected = pairs[which % len(pairs)]
        if not expected.size or expected.ndim < 2:
            continue
        if name in VIEWS:
            pairs.append((VIEWS[name](tensor), VIEWS[name](expected)))
        else:
            ours, numpys = WRITES[name]
            ours(tensor)
            numpys(expected)
        for tensor, expected in pairs:
            assert tensor.tolist() == expected.tolist()
            assert tensor._is_view() == (tensor is not pairs[0][0])


def _replay(steps, x):
    """The steps without a write: views are numbers of elements, and each write makes a new vector of all elements."""
    numbers = [np.arange(x.numel()).reshape(2, 3, 4)]
    values = x.reshape(-1)
    for which, name in steps:
        places = numbers[which % len(numbers)]
        if not places.size or places.ndim < 2:
            continue
        if name in VIEWS:
            numbers.append(VIEWS[name](places))
            continue
        part = torch.take(values, torch.from_numpy(np.ascontiguousarray(places)))
        match name:
            case "doubled" | "added to itself":
                part = part * 2
            case "shifted":
                part = part + 1
            case "set":
                part = torch.full_like(part, 3.0)
            case "cleared in front":
                part = torch.cat([torch.zeros_like(part[:1]), part[1:]])
            case "squared":
                part = part * part
            case "picked":
                part = torch.cat([(part[-1] * 0.5)[None], part[1:]])
            case "masked":
                part = torch.where(part > 4, -1.0, part)
        flat = torch.from_numpy(np.ascontiguousarray(places.reshape(-1)))
        values = values.index_copy(0, flat, part.reshape(-1))
    return [torch.take(values, torch.from_numpy(np.ascontiguousarray(each))) for each in numbers]


@settings(max_examples=15)
@given(STEPS)
def test_gradients_through_writes_are_those_of_functions_without_writes(steps):
    start = torch.arange(24.0).reshape(2, 3, 4) / 10
    first, second = start.clone().requires_grad_(), start.clone().requires_grad_()
    tensors = [first * 1]
    for which, name in steps:
        tensor = tensors[which % len(tensors)]
        if not tensor.numel() or tensor.dim() < 2:
            continue
        if name in VIEWS:
            tensors.append(VIEWS[name](tensor))
        else:
            WRITES[name][0](tensor)
    expected = _replay(steps, second * 1)
    assert len(expected) == len(tensors)

    def total(parts):
        return sum((i + 1) * (part.sin() * (k := i + 2) + part / k).sum() for i, part in enumerate(parts))

    total(tensors).backward()
    total(expected).backward()
    np.testing.assert_allclose(first.grad.numpy(), second.grad.numpy(), rtol=1e-4, atol=1e-4)
