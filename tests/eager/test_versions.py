"""Writes in place and gradients: what is noticed, by which name, and what is allowed."""

from collections.abc import Callable

import pytest

import graphc as torch


def fresh() -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    return x, x * 1


def _result() -> torch.Tensor:
    y = fresh()[0].exp()
    loss = y.sum()
    with torch.no_grad():
        y.add_(1)
    return loss


def _operand(write: Callable[[torch.Tensor], object]) -> Callable[[], torch.Tensor]:
    def make() -> torch.Tensor:
        _, y = fresh()
        loss = (y * y).sum()
        write(y)
        return loss

    return make


def _leaf() -> torch.Tensor:
    x, _ = fresh()
    loss = (x * x).sum()
    with torch.no_grad():
        x.add_(1)
    return loss


def _constant() -> torch.Tensor:
    x, _ = fresh()
    w = torch.tensor([3.0, 4.0])
    loss = (x * w).sum()
    w.zero_()
    return loss


def _set_first(y: torch.Tensor) -> None:
    y[0] = 5


OVERWRITTEN = {
    "a result": (_result, "[torch.FloatTensor [2]], which is output 0 of Exp, is at version 1; expected version 0"),
    "an operand": (_operand(lambda y: y.add_(1)), "which is output 0 of Add, is at version 1; expected version 0"),
    "through a view": (
        _operand(lambda y: y.view(2, 1).mul_(2)),
        "which is output 0 of torch::autograd::CopySlices, is at version 1",
    ),
    "by an index": (_operand(_set_first), "which is output 0 of torch::autograd::CopySlices, is at version 1"),
    "through detach": (_operand(lambda y: y.detach().add_(1)), "which is output 0 of Mul, is at version 1"),
    "twice": (_operand(lambda y: y.add_(1).add_(1)), "is at version 2; expected version 0 instead."),
    "a leaf": (_leaf, "[torch.FloatTensor [2]] is at version 1; expected version 0 instead."),
    "a constant": (_constant, "[torch.FloatTensor [2]] is at version 1; expected version 0 instead."),
}


@pytest.mark.parametrize("case", OVERWRITTEN)
def test_an_overwritten_value_is_noticed(case: str) -> None:
    make, text = OVERWRITTEN[case]
    with pytest.raises(RuntimeError) as caught:
        make().backward()
    message = str(caught.value)
    assert message.startswith(
        "one of the variables needed for gradient computation has been modified by an inplace operation: "
    )
    assert text in message
    assert message.endswith("with torch.autograd.set_detect_anomaly(True, check_nan=False).")


def test_data_is_not_watched() -> None:
    x, y = fresh()
    loss = (y * y).sum()
    y.data.add_(1)
    assert y._version == 0
    loss.backward()
    assert x.grad.tolist() == [4.0, 6.0]


def test_values_that_no_gradient_reads_may_change() -> None:
    x, y = fresh()
    loss = (y + 1).sum()
    y.mul_(3)
    loss.backward()
    assert x.grad.tolist() == [1.0, 1.0]


def test_versions_count_writes_of_all_that_share_memory() -> None:
    _, y = fresh()
    other, data = y.detach(), y.data
    y += 1
    y.copy_(torch.tensor([5.0, 6.0]))
    other.fill_(1)
    y[0].zero_()
    data.add_(1)
    assert (y._version, other._version, data._version) == (4, 4, 1)
    y.data = torch.tensor([7.0, 8.0])
    assert (y.tolist(), y._version, other.tolist()) == ([7.0, 8.0], 4, [1.0, 2.0])


@pytest.mark.parametrize(
    ("write", "text"),
    [
        (lambda x: x.add_(1), "a leaf Variable that requires grad is being used in an in-place operation."),
        (lambda x: x.view(2).mul_(2), "a view of a leaf Variable that requires grad is being used in an in-place"),
        (lambda x: (x * 1).unbind()[1].add_(1), "Output 1 of Unbind is a view and is being modified inplace."),
    ],
)
def test_writes_that_have_no_gradient(write: Callable[[torch.Tensor], object], text: str) -> None:
    with pytest.raises(RuntimeError) as caught:
        write(fresh()[0])
    assert str(caught.value).startswith(text)


def test_writes_to_views_and_bases_are_followed() -> None:
    x, y = fresh()
    first = y[0]
    first.mul_(5)
    assert y.grad_fn.name() == "torch::autograd::CopySlices"
    y.sum().backward()
    assert x.grad.tolist() == [5.0, 1.0]
    x, y = fresh()
    first = y[:1]
    y.mul_(3)
    first.sum().backward()
    assert x.grad.tolist() == [3.0, 0.0]
    x, _ = fresh()
    whole = torch.zeros(3)
    whole[1:] = x
    (whole * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert x.grad.tolist() == [2.0, 3.0]
