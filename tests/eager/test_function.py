"""Gradients written in Python: `autograd.Function` in its odd corners."""

import gc
import weakref
from typing import Any

import pytest

import graphc as torch
from graphc.autograd import Function
from graphc.autograd.function import FunctionCtx, once_differentiable


def leaf(*values: float) -> torch.Tensor:
    return torch.tensor(values, requires_grad=True)


class Cube(Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> Any:
        (x,) = ctx.saved_tensors
        return 3 * x**2 * grad


def returning(*gradients: Any) -> type[Function]:
    """A function of two arguments with these gradients."""

    class Given(Function):
        @staticmethod
        def forward(ctx: Any, x: torch.Tensor, y: Any) -> torch.Tensor:
            return x * 1

        @staticmethod
        def backward(ctx: Any, grad: torch.Tensor) -> Any:
            return gradients if len(gradients) != 1 else gradients[0]

    return Given


def test_values_gradients_and_gradients_of_gradients() -> None:
    x = leaf(1.0, 2.0)
    y = Cube.apply(x)
    assert str(y) == "tensor([1., 8.], grad_fn=<CubeBackward>)"
    assert repr(y.grad_fn).startswith("<torch.autograd.function.CubeBackward object at 0x")
    assert isinstance(y.grad_fn, FunctionCtx)
    assert y.grad_fn.saved_tensors[0] is x
    (first,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x, create_graph=True)
    (third,) = torch.autograd.grad(second.sum(), x)
    assert [each.tolist() for each in (first, second, third)] == [[3.0, 12.0], [6.0, 12.0], [6.0, 6.0]]
    assert not Cube.apply(torch.tensor([2.0])).requires_grad
    with torch.no_grad():
        assert not Cube.apply(x).requires_grad


def test_saved_tensors_are_gone_after_the_pass() -> None:
    y = Cube.apply(leaf(1.0))
    y.sum().backward()
    with pytest.raises(RuntimeError, match=r"^Trying to backward through the graph a second time"):
        _ = y.grad_fn.saved_tensors
    with pytest.raises(RuntimeError, match=r"^Trying to backward through the graph a second time"):
        y.sum().backward()


def test_what_the_context_knows() -> None:
    seen: list[Any] = []

    class Asked(Function):
        @staticmethod
        def forward(ctx: Any, x: torch.Tensor, factor: float, y: torch.Tensor, name: str) -> Any:
            ctx.factor = factor
            ctx.save_for_backward(x, None, y)
            seen.append((ctx.needs_input_grad, torch.is_grad_enabled(), ctx.saved_tensors, ctx.name()))
            return x * factor, 7, y + 1

        @staticmethod
        def backward(ctx: Any, grad: Any, nothing: Any, other: Any) -> Any:
            seen.append(([each is None for each in ctx.saved_tensors], nothing, other.tolist(), ctx.factor))
            return grad * ctx.factor, None, None, None

    x = leaf(1.0, 2.0)
    product, seven, _ = Asked.apply(x, 4.0, torch.tensor([1.0]), "name")
    assert seven == 7
    product.sum().backward()
    assert x.grad.tolist() == [4.0, 4.0]
    assert seen == [
        ((True, False, False, False), False, (), "AskedBackward"),
        ([False, True, False], None, [0.0], 4.0),
    ]


def test_missing_gradients_are_zeros_or_none() -> None:
    for materialize, expected in ((True, [0.0, 0.0]), (False, None)):
        seen: list[Any] = []

        class Pair(Function):
            @staticmethod
            def forward(ctx: Any, x: torch.Tensor, wish: bool) -> Any:
                ctx.set_materialize_grads(wish)
                return x * 2, x * 3

            @staticmethod
            def backward(ctx: Any, first: Any, second: Any) -> Any:
                seen.append(first if first is None else first.tolist())  # noqa: B023  # it runs in this round
                return second, None

        x = leaf(1.0, 2.0)
        Pair.apply(x, materialize)[1].sum().backward()
        assert seen == [expected]
        assert x.grad.tolist() == [1.0, 1.0]


def test_a_gradient_of_none_reaches_a_function_below_as_zeros() -> None:
    x = leaf(1.0, 2.0)
    inner = Cube.apply(x)
    returning(None, None).apply(inner, 3).sum().backward()
    assert x.grad.tolist() == [0.0, 0.0]


def test_results_without_gradients() -> None:
    class Marked(Function):
        @staticmethod
        def forward(ctx: Any, x: torch.Tensor) -> Any:
            index, copy = x.argmax(), x * 2
            ctx.mark_non_differentiable(index, copy)
            return x * 3, index, copy

        @staticmethod
        def backward(ctx: Any, grad: torch.Tensor, *others: Any) -> torch.Tensor:
            return grad

    value, index, copy = Marked.apply(leaf(1.0, 2.0))
    assert (value.requires_grad, index.requires_grad, copy.requires_grad) == (True, False, False)
    assert copy.is_leaf


class Doubled(Function):
    """Writes to its input."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        x.mul_(2)
        ctx.mark_dirty(x)
        return x

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
        return grad * 2


def test_writing_to_the_input() -> None:
    x = leaf(1.0, 2.0)
    y = x * 1
    assert Doubled.apply(y) is y
    assert (y.tolist(), y.grad_fn.name(), y._version) == ([2.0, 4.0], "DoubledBackward", 2)
    y.sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]
    x.grad = None
    whole = x * 1
    Doubled.apply(whole[0])
    assert whole.tolist() == [2.0, 2.0]
    whole.sum().backward()
    assert x.grad.tolist() == [2.0, 1.0]
    with pytest.raises(
        RuntimeError, match=r"^a leaf Variable that requires grad has been used in an in-place operation"
    ):
        Doubled.apply(x)


def test_a_written_input_must_be_returned() -> None:
    class Kept(Doubled):
        @staticmethod
        def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
            ctx.mark_dirty(x)
            return x * 1

    with pytest.raises(
        RuntimeError, match=r"^Some elements marked as dirty during the forward method were not returned"
    ):
        Kept.apply(leaf(1.0) * 1)


def test_an_input_that_comes_back_is_another_tensor() -> None:
    class Same(Function):
        @staticmethod
        def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
            return x

        @staticmethod
        def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
            return grad * 5

    x = leaf(1.0, 2.0)
    y = Same.apply(x)
    assert y is not x
    assert y.data_ptr() == x.data_ptr()
    y.sum().backward()
    assert x.grad.tolist() == [5.0, 5.0]
    with pytest.raises(RuntimeError, match=r"^Output 0 of Same is a view and is being modified inplace. This view was"):
        Same.apply(x * 1).add_(1)


def test_a_view_of_the_input() -> None:
    class Flat(Function):
        @staticmethod
        def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
            return x.view(-1)

        @staticmethod
        def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
            return grad.view(1, 2) * 3

    x = torch.tensor([[1.0, 2.0]], requires_grad=True)
    Flat.apply(x).sum().backward()
    assert x.grad.tolist() == [[3.0, 3.0]]


@pytest.mark.parametrize(
    ("gradients", "text"),
    [
        ((torch.ones(2),), "function GivenBackward returned an incorrect number of gradients (expected 2, got 1)"),
        (
            (torch.ones(2), None, torch.ones(2)),
            "function GivenBackward returned an incorrect number of gradients (expected 2, got 3)",
        ),
        (
            (torch.ones(3), None),
            "Function GivenBackward returned an invalid gradient at index 0 - got [3] but expected shape compatible "
            "with [2]",
        ),
        ((3.0, None), "expected Variable or None (got float)"),
        ([[1.0], None], "expected Variable or None (got list)"),
        (
            (torch.ones(2), torch.ones(2)),
            "function GivenBackward returned a gradient different than None at position 2, but the corresponding "
            "forward input was not a Variable",
        ),
    ],
)
def test_gradients_that_do_not_fit(gradients: Any, text: str) -> None:
    with pytest.raises(RuntimeError) as caught:
        returning(*gradients).apply(leaf(1.0, 2.0), 3).sum().backward()
    assert str(caught.value) == text


def test_gradients_that_are_made_to_fit() -> None:
    x = leaf(1.0, 2.0)
    returning(torch.ones(3, 2, dtype=torch.float64), None, None).apply(x, 3).sum().backward()
    assert (x.grad.tolist(), x.grad.dtype) == ([3.0, 3.0], torch.float32)


def test_a_context_that_is_set_up_apart() -> None:
    class Scaled(Function):
        @staticmethod
        def forward(x: torch.Tensor, factor: float = 3.0) -> torch.Tensor:
            return x * factor

        @staticmethod
        def setup_context(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
            ctx.factor = inputs[1]
            ctx.save_for_backward(output)

        @staticmethod
        def vjp(ctx: Any, grad: torch.Tensor) -> Any:
            assert ctx.saved_tensors[0].requires_grad
            return grad * ctx.factor, None

    x = leaf(1.0, 2.0)
    Scaled.apply(x).sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]


def test_a_gradient_that_can_not_be_differentiated() -> None:
    class Once(Cube):
        @staticmethod
        @once_differentiable
        def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
            assert not torch.is_grad_enabled()
            return Cube.backward(ctx, grad)

    x = leaf(1.0, 2.0)
    Once.apply(x).sum().backward()
    assert x.grad.tolist() == [3.0, 12.0]
    (first,) = torch.autograd.grad((Once.apply(x) ** 2).sum(), x, create_graph=True)
    with pytest.raises(
        RuntimeError, match=r"^trying to differentiate twice a function that was marked with @once_diff"
    ):
        first.sum().backward()


def test_misuse_is_told() -> None:
    x = leaf(1.0)

    class Empty(Function):
        pass

    class NoGradient(Function):
        @staticmethod
        def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
            return x * 2

    class Saving(NoGradient):
        @staticmethod
        def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
            ctx.save_for_backward(3)
            return x * 2

    with pytest.raises(
        NotImplementedError, match=r"^You must implement the forward function for custom autograd.Function"
    ):
        Empty.apply(x)
    with pytest.raises(
        NotImplementedError, match=r"^You must implement either the backward or vjp method for your custom"
    ):
        NoGradient.apply(x).backward()
    with pytest.raises(TypeError, match=r"^save_for_backward can only save variables, but argument 0 is of type int$"):
        Saving.apply(x)
    with pytest.warns(DeprecationWarning, match="should not be instantiated"):
        made = Cube()
    with pytest.raises(RuntimeError, match=r"^Legacy autograd function with non-static forward method is deprecated."):
        made(x)


def test_an_overwritten_value_is_noticed() -> None:
    x = leaf(1.0, 2.0)
    y = x * 1
    z = Cube.apply(y)
    y.add_(1)
    with pytest.raises(
        RuntimeError, match=r"modified by an inplace operation: \[torch.FloatTensor \[2\]\], which is outp"
    ):
        z.sum().backward()


def test_a_saved_result_does_not_hold_its_node() -> None:
    class Exp(Function):
        @staticmethod
        def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
            result = x.exp()
            ctx.save_for_backward(result)
            return result

        @staticmethod
        def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
            return grad * ctx.saved_tensors[0]

    gc.collect()
    gc.disable()
    try:
        y = Exp.apply(leaf(0.0))
        assert y.grad_fn.saved_tensors[0].grad_fn is y.grad_fn
        node = weakref.ref(y.grad_fn)
        del y
        assert node() is None
    finally:
        gc.enable()


def test_functions_inside_functions() -> None:
    class Twice(Function):
        @staticmethod
        def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
            ctx.save_for_backward(x)
            return Cube.apply(x) * 2

        @staticmethod
        def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
            x = ctx.saved_tensors[0].detach().requires_grad_()
            with torch.enable_grad():
                y = Cube.apply(x) * 2
            return torch.autograd.grad(y, x, grad)[0]

    x = leaf(1.0, 2.0)
    Twice.apply(x).sum().backward()
    assert x.grad.tolist() == [6.0, 24.0]


def test_hooks_of_the_node_see_gradients_that_nobody_needs() -> None:
    class Product(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, y):
            return x * y

        @staticmethod
        def backward(ctx, gradient):
            return gradient * 3, gradient * 5

    x, y = torch.tensor(2.0, requires_grad=True), torch.tensor(7.0)
    result, seen = Product.apply(x, y), []
    result.grad_fn.register_hook(lambda inputs, outputs: seen.append([each.item() for each in inputs]))
    result.backward()
    assert seen == [[3.0, 5.0]]
    assert (x.grad.item(), y.grad) == (3.0, None)
