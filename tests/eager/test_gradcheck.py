"""`gradcheck` and `gradgradcheck`: right gradients pass, and each way to be wrong has its own text."""

from typing import Any

import pytest

import graphc as torch
from graphc.autograd import Function, gradcheck, gradgradcheck
from graphc.autograd.gradcheck import GradcheckError


def double(*values: Any) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


class Times(Function):
    """Twice the input, with a gradient that the class says."""

    factor: Any = 2.0
    extra = 0.0

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return x * 2

    @classmethod
    def backward(cls, ctx: Any, grad: torch.Tensor) -> torch.Tensor:
        return grad * cls.factor + cls.extra


class Three(Times):
    factor = 3.0


class Shifted(Times):
    extra = 1e-9


class Wandering(Times):
    @classmethod
    def backward(cls, ctx: Any, grad: torch.Tensor) -> torch.Tensor:
        cls.factor = cls.factor + 1e-8
        return grad * cls.factor


class NeedsAll(Times):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        ctx.set_materialize_grads(False)
        return x * 2

    @classmethod
    def backward(cls, ctx: Any, grad: torch.Tensor) -> torch.Tensor:
        if grad is None:
            raise RuntimeError("a gradient is missing")
        return grad * 2


@pytest.mark.parametrize("fast", [False, True])
def test_right_gradients_pass(fast: bool) -> None:
    x, w = double(1.0, 2.0), double([0.5, 1.5])
    assert gradcheck(lambda x: x.sin(), x, fast_mode=fast)
    assert gradcheck(lambda x, w: (x * w, w.exp()), (x, w), fast_mode=fast)
    assert gradgradcheck(lambda x, w: (x * w, w.exp()), [x, w], fast_mode=fast)
    assert gradcheck(lambda x: x.t().contiguous().view(-1).cumsum(0), double([1.0, 2.0], [3.0, 4.0]), fast_mode=fast)


def test_complex_inputs_and_outputs() -> None:
    z = torch.tensor([1 + 2j, 3 - 1j], dtype=torch.complex128, requires_grad=True)
    assert gradcheck(lambda z: z * z, z)
    assert gradcheck(lambda z: z.abs(), z)
    assert gradcheck(lambda x: x * (1 + 2j), double(1.0, 2.0))
    assert gradgradcheck(lambda z: z * z * z, z)

    class Unconjugated(Times):
        @staticmethod
        def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
            return x * 2j

        factor = 2j

    with pytest.raises(
        GradcheckError, match=r"^While considering the imaginary part of complex outputs only, Jacobian"
    ):
        gradcheck(Unconjugated.apply, z)


def test_a_wrong_gradient_shows_both_jacobians() -> None:
    with pytest.raises(GradcheckError) as caught:
        gradcheck(lambda a, b: (a + b, Three.apply(b)), (double(1.0, 2.0), double(1.0, 2.0)))
    assert str(caught.value) == (
        "Jacobian mismatch for output 1 with respect to input 1,\n"
        "numerical:tensor([[2.0000, 0.0000],\n        [0.0000, 2.0000]], dtype=torch.float64)\n"
        "analytical:tensor([[3., 0.],\n        [0., 3.]], dtype=torch.float64)\n"
    )
    assert gradcheck(Three.apply, double(1.0), raise_exception=False) is False
    with pytest.raises(
        GradcheckError, match=r"in fast mode(.|\n)*The max per-element difference \(slow mode\) is: 1.0"
    ):
        gradcheck(Three.apply, double(1.0), fast_mode=True)


def test_other_ways_to_be_wrong() -> None:
    x = double(1.0, 2.0)
    with pytest.raises(GradcheckError, match=r"^backward not multiplied by grad_output$"):
        gradcheck(Shifted.apply, x)
    with pytest.raises(GradcheckError, match=r"^Backward is not reentrant, i.e., running backward with same input"):
        gradcheck(Wandering.apply, x)
    assert gradcheck(Wandering.apply, x, nondet_tol=1e-3)
    warned = pytest.warns(UserWarning, match="Backwards compatibility: New undefined gradient support")
    with warned, pytest.raises(GradcheckError, match=r"^Expected backward function to handle undefined output grads."):
        gradcheck(NeedsAll.apply, x)
    assert gradcheck(NeedsAll.apply, x, check_undefined_grad=False)
    with pytest.raises(GradcheckError, match=r"^Numerical gradient for function expected to be zero$"):
        gradcheck(lambda x: x.detach() * 2, x)
    assert gradcheck(lambda x: x.detach().sign(), x)


def test_inputs_are_looked_at_first() -> None:
    with pytest.raises(ValueError, match=r"^gradcheck expects at least one input tensor to require gradient"):
        gradcheck(lambda x: x, torch.tensor([1.0]))
    with pytest.raises(RuntimeError, match=r"^The 0th input has a dimension with stride 0"):
        gradcheck(lambda x: x, double(1.0).expand(2))
    with pytest.warns(UserWarning, match=r"^Input #0 requires gradient and is not a double precision"):
        assert gradcheck(lambda x: x * 0, torch.tensor([1.0], requires_grad=True))
    with pytest.raises(AssertionError, match=r"^Expected at least one of check_forward_ad or check_backward_ad"):
        gradcheck(lambda x: x, double(1.0), check_backward_ad=False)
    with pytest.raises(AssertionError, match=r"^Expected `func` to return outputs with the same shape when inputs are"):
        gradcheck(lambda x: x if x[0].item() < 1 else x[:1], double(1.0, 2.0))
