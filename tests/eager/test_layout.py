"""The memory order of results: that of the operands, or row-major."""

import pytest

import graphc as torch


def t():
    return torch.ones(2, 3).t()


def p():
    return torch.ones(2, 3, 4).permute(2, 0, 1)


def q():
    return torch.ones(2, 3, 4, 5).permute(3, 1, 0, 2)


def image():
    return torch.ones(2, 3, 4, 5).contiguous(memory_format=torch.channels_last)


CASES = [
    (lambda: t() + 1, (1, 3)),
    (lambda: t() + torch.ones(3, 2), (1, 3)),
    (lambda: torch.ones(3, 2) + t(), (2, 1)),
    (lambda: t().exp(), (1, 3)),
    (lambda: t().double(), (1, 3)),
    (lambda: t() > 0, (1, 3)),
    (lambda: t().clamp(0), (1, 3)),
    (lambda: torch.where(t() > 0, 1.0, torch.ones(3, 2)), (1, 3)),
    (lambda: t().lerp(torch.ones(3, 2), 0.5), (1, 3)),
    (lambda: torch.zeros_like(t()), (1, 3)),
    (lambda: t().flip(0), (1, 3)),
    (lambda: torch.sort(t())[0], (1, 3)),
    (lambda: torch.argsort(t()), (1, 3)),
    (lambda: torch.logaddexp(t(), t()), (1, 3)),
    (lambda: torch.hypot(t(), torch.ones(2)), (1, 3)),
    (lambda: t().select_scatter(torch.ones(2), 0, 1), (1, 3)),
    (lambda: t().index_put((torch.tensor([0]),), torch.tensor(1.0)), (1, 3)),
    (lambda: torch.ones(4, 6)[::2, ::3] * 2, (2, 1)),
    (lambda: torch.ones(2, 1) + torch.ones(3, 1, 4), (8, 4, 1)),
    (lambda: t()[:, None] + torch.ones(1, 4, 1), (1, 3, 12)),
    (lambda: torch.ones(3, 4).expand(2, 3, 4) * 2, (12, 4, 1)),
    (lambda: q() * 2, (1, 20, 60, 5)),
    (lambda: q()[:, :, ::2] * 2, (1, 20, 60, 5)),
    (lambda: torch.ones(5)[::2] * 2, (1,)),
    (lambda: image() + 1, (60, 1, 15, 3)),
    (lambda: torch.cat([image()] * 2), (60, 1, 15, 3)),
    (lambda: t().masked_fill(torch.ones(3, 2) > 2, 0.0), (2, 1)),
    (lambda: t().tril(), (2, 1)),
    (lambda: t().softmax(0), (2, 1)),
    (lambda: t().roll(1), (2, 1)),
    (lambda: t().gather(0, torch.tensor([[0, 0]])), (2, 1)),
    (lambda: t().index_select(0, torch.tensor([0, 1])), (2, 1)),
    (lambda: torch.cat([t()] * 2), (2, 1)),
    (lambda: torch.stack([t()] * 2), (6, 2, 1)),
    (lambda: t().repeat(2, 1), (2, 1)),
    (lambda: p().sum(1), (3, 1)),
    (lambda: p().sum(1, keepdim=True), (3, 3, 1)),
    (lambda: p().cumsum(0), (6, 3, 1)),
    (lambda: p().argmax(1), (3, 1)),
    (lambda: image().sum(1), (20, 5, 1)),
    (lambda: t().t() @ torch.ones(3, 4), (4, 1)),
    (lambda: torch.ones(4, 2, 3).transpose(0, 1).matmul(torch.ones(3, 5)), (20, 5, 1)),
    (lambda: torch.arange(12).reshape(2, 3, 2).unique(dim=1), (2, 4, 1)),
    (lambda: torch.arange(12).reshape(2, 3, 2).unique(dim=2), (3, 1, 6)),
    (lambda: torch.arange(12).reshape(2, 3, 2).unique_consecutive(dim=1), (2, 4, 1)),
    (lambda: torch.ones(3, 4).nonzero(as_tuple=True)[1], (1,)),
    (lambda: torch.unravel_index(torch.arange(4), (2, 2))[1], (2,)),
    (lambda: torch.ones(2, 3, 4).quantile(torch.tensor([0.25, 0.5, 0.75]), dim=1), (1, 12, 3)),
    (lambda: torch.ones(2, 3, 4).quantile(torch.tensor([0.25, 0.5, 0.75]), dim=1, keepdim=True), (1, 12, 12, 3)),
    (lambda: torch.ones(2, 3, 4).nanquantile(0.5, dim=1), (4, 1)),
    (lambda: torch.ones(2, 3, dtype=torch.complex64).adjoint(), (1, 3)),
    (lambda: torch.ones(2, 3, 4, dtype=torch.complex64).mH, (12, 1, 4)),
    (lambda: torch.linalg.solve(torch.eye(3).expand(2, 3, 3), torch.ones(3)), (1, 2)),
    (lambda: torch.linalg.solve(torch.eye(3).expand(4, 2, 3, 3), torch.ones(3)), (6, 1, 2)),
]


@pytest.mark.parametrize("case", range(len(CASES)))
def test_a_result_lies_in_memory_as_its_operands_say(case):
    make, strides = CASES[case]
    assert make().stride() == strides


def test_values_in_another_order_are_right():
    x = torch.arange(6.0).reshape(2, 3)
    assert (x.t() * 2 + x.reshape(3, 2)).tolist() == [[0.0, 7.0], [4.0, 11.0], [8.0, 15.0]]
