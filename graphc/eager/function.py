"""Gradients written in Python: `autograd.Function`.

In: a class with a static `forward` and `backward`. Out: `apply`, whose results have a node that calls `backward`. What
`forward` computes is not recorded; with `create_graph` what `backward` computes is.

    class Cube(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx, grad):
            (x,) = ctx.saved_tensors
            return 3 * x**2 * grad
"""

from __future__ import annotations

import functools
import inspect
import warnings
import weakref
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from graphc.eager.function_node import (
    FunctionCtx,
    FunctionNode,
    SavedTensor,
    is_among,
    saved_result,
    template_of,
)
from graphc.eager.history import detach, requires_grad_
from graphc.eager.mode import MODE, enable_grad, unrecorded
from graphc.eager.node import AutogradError, SavedValue, edge_of
from graphc.eager.tensor import AutogradMeta, Tensor, meta_of, wrap_shared
from graphc.eager.view import rebase, share
from graphc.eager.watch import WATCHING, own_gradient

__all__ = ["Function", "FunctionCtx", "InplaceFunction", "once_differentiable", "undefined_grad"]


class Function:
    """A function with a gradient of its own: subclass it, define `forward` and `backward`, call `apply`.

    `forward(ctx, *args)` may save tensors in `ctx`; or `forward(*args)` does not see it and `setup_context(ctx, inputs,
    output)` saves. `backward(ctx, *grads)` gives one gradient per argument of `forward`, None for those without.
    """

    _backward_cls: ClassVar[type[FunctionNode]] = FunctionNode

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        made = type(f"{cls.__name__}Backward", (FunctionNode,), {"_forward_cls": cls})
        made.__module__ = "torch.autograd.function"  # as PyTorch prints it
        cls._backward_cls = made

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """Compute the results; nothing in it is recorded."""
        raise NotImplementedError("You must implement the forward function for custom autograd.Function.")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> Any:
        """Keep what `backward` needs, where `forward` takes no `ctx`."""
        raise NotImplementedError("setup_context is not implemented.")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """The gradients of the arguments, from those of the results."""
        raise NotImplementedError(
            "You must implement either the backward or vjp method for your custom autograd.Function to use it with "
            "backward mode AD."
        )

    vjp = backward

    def __init__(self, *args: object, **kwargs: object) -> None:
        warnings.warn(
            f"{type(self)} should not be instantiated. Methods on autograd functions are all static, so you should "
            "invoke them on the class itself. Instantiating an autograd function will raise an error in a future "
            "version of PyTorch.",
            DeprecationWarning,
            stacklevel=2,
        )

    def __call__(self, *args: object, **kwargs: object) -> Any:
        raise AutogradError(
            "Legacy autograd function with non-static forward method is deprecated. Please use new-style autograd "
            "function with static forward method. (Example: "
            "https://pytorch.org/docs/stable/autograd.html#torch.autograd.Function)"
        )

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Call `forward`, and record that `backward` is its gradient."""
        has_setup = cls.setup_context is not Function.setup_context
        if has_setup:
            bound = inspect.signature(cls.forward).bind(*args, **kwargs)
            bound.apply_defaults()
            args, kwargs = bound.args, bound.kwargs
        tensors = tuple([each if isinstance(each, Tensor) else None for each in args])
        needs = tuple([each is not None and each.requires_grad for each in tensors])
        is_recorded = MODE.grad and True in needs
        if WATCHING and is_recorded:
            own_gradient()
        edges = tuple([edge_of(each) if needed else None for each, needed in zip(tensors, needs)])  # type: ignore[arg-type]  # what needs is a tensor
        node = cls._backward_cls(edges if is_recorded else (None,) * len(edges), 1)
        node.needs_input_grad = needs
        node.inputs = tuple([template_of(each) for each in tensors])
        returned = unrecorded(lambda: _forward(cls, node, has_setup, args, kwargs))
        outputs = returned if isinstance(returned, tuple) else (returned,)
        _check_marks(node, outputs, tensors)
        node.outputs = len(outputs)
        node.templates = tuple([template_of(each) for each in outputs])
        results = tuple([_result(each, index, node, tensors, is_recorded) for index, each in enumerate(outputs)])
        if is_recorded:
            _forbid_writes(results, tensors, node)
            reference = weakref.ref(node)
            node._saved = tuple([_save(each, outputs, results, node, reference) for each in node.to_save or ()])
        node.to_save = node.dirty_tensors = node.non_differentiable = None
        return results if isinstance(returned, tuple) else results[0]

    @classmethod
    def _backward(cls) -> Callable[..., Any]:
        """What computes the gradients: `backward`, or `vjp` where that is what the class defines."""
        if cls.vjp is Function.vjp:
            return cls.backward
        if cls.backward is Function.backward:
            return cls.vjp
        raise AutogradError(
            "Implementing both 'backward' and 'vjp' for a custom Function is not allowed. You should only implement "
            "one of them."
        )


def _check_marks(node: FunctionNode, outputs: Sequence[object], inputs: Sequence[object]) -> None:
    """Raise where `forward` has marked or saved what it must not; count the writes that it names."""
    for index, each in enumerate(node.to_save or ()):
        if each is not None and not isinstance(each, Tensor):
            raise TypeError(
                f"save_for_backward can only save variables, but argument {index} is of type {type(each).__name__}"
            )
    for each in node.non_differentiable or ():
        if not isinstance(each, Tensor):
            raise AutogradError(
                f"mark_non_differentiable only accepts variable arguments, but got {type(each).__name__}"
            )
    for index, each in enumerate(node.dirty_tensors or ()):
        if not isinstance(each, Tensor):
            raise AutogradError(
                f"mark_dirty can only accept variables, but argument {index} is of type {type(each).__name__}"
            )
        if not is_among(each, inputs):
            warnings.warn(
                "ctx.mark_dirty() received a tensor that was not an input. Only input Tensors that have been mutated "
                "should be passed to ctx.mark_dirty().",
                stacklevel=3,
            )
        each._storage.version += 1
        if not is_among(each, outputs):
            raise AutogradError(
                "Some elements marked as dirty during the forward method were not returned as output. The inputs "
                "that are modified inplace must all be outputs of the Function."
            )


def _result(output: object, index: int, node: FunctionNode, inputs: Sequence[object], is_recorded: bool) -> object:
    """The output with its place on the tape; an input that comes back unchanged is a view of it then."""
    if not isinstance(output, Tensor):
        return output
    is_input = is_among(output, inputs)
    if is_input and is_among(output, node.dirty_tensors):
        return _written(output, index, node) if is_recorded else output
    if is_among(output, node.non_differentiable) or not output.dtype.is_differentiable:
        return detach(output) if is_input or output.requires_grad else output
    if is_input and not MODE.grad:
        return detach(output)
    if is_input:
        output = share(output, output._array)
        assert output._meta is not None
        assert output._meta.view is not None
        output._meta.view.origin = "custom"
    if is_recorded:
        meta = meta_of(output)
        meta.requires_grad, meta.node, meta.index = True, node, index
        if meta.view is not None:
            meta.view.version = output._storage.version
    return output


def _written(tensor: Tensor, index: int, node: FunctionNode) -> Tensor:
    """An input that `forward` has written to: its history is this node now."""
    meta = meta_of(tensor)
    if meta.view is None and meta.node is None and meta.requires_grad:
        raise AutogradError("a leaf Variable that requires grad has been used in an in-place operation.")
    if meta.view is not None:
        base = meta.view.base
        if base._meta is not None and base._meta.requires_grad and base._meta.node is None:
            raise AutogradError("a view of a leaf Variable that requires grad is being used in an in-place operation.")
        if node.outputs > 1:
            raise AutogradError(
                "If your Function modifies inplace an input that is a view of another Tensor, your Function cannot "
                "return more than one Tensor. This is not supported by the current autograd engine. You should either "
                "make sure the input is not a view (using .clone() for example) or make your Function only return one "
                "Tensor (potentially splitting it into two Functions: one doing the inplace that returns a single "
                "Tensor and a second one that does the other operations). You can ask on the forum "
                "https://discuss.pytorch.org/ if you need help to do this change."
            )
    written = wrap_shared(tensor._array, tensor._storage)
    written._meta = AutogradMeta(True, node, index)
    with enable_grad():
        rebase(tensor, written)
    return tensor


def _forbid_writes(results: Sequence[object], inputs: Sequence[object], node: FunctionNode) -> None:
    """Views that `forward` has made must not be written to: their gradient is the class's, not the base's."""
    count = sum(isinstance(each, Tensor) and each.requires_grad for each in results)
    for index, each in enumerate(results):
        view = each._meta.view if isinstance(each, Tensor) and each._meta is not None else None
        if view is None or is_among(each, inputs) or not each.requires_grad:  # type: ignore[attr-defined]  # see view
            continue
        view.origin = "multiple" if count > 1 else "custom"
        view.source = (node.name().removesuffix("Backward"), index)


def _save(
    tensor: Tensor | None, outputs: Sequence[object], results: Sequence[object], node: FunctionNode, reference: Any
) -> SavedValue | None:
    if tensor is None:
        return None
    for index, each in enumerate(outputs):
        if each is tensor:
            result = results[index]
            assert isinstance(result, Tensor)
            return saved_result(result, node, index, reference)
    return SavedTensor(tensor, edge_of(tensor))


def _forward(cls: Any, node: Any, has_setup: bool, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What `forward` returns; the node keeps what the gradient will need."""
    if not has_setup:
        return cls.forward(node, *args, **kwargs)
    returned = cls.forward(*args, **kwargs)
    cls.setup_context(node, args, returned)
    return returned


class InplaceFunction(Function):
    """A `Function` that may write to its input; kept for programs that derive from it."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace


def once_differentiable(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a `backward` that must not be differentiated again."""

    @functools.wraps(backward)
    def call(ctx: Any, *gradients: Tensor) -> Any:
        is_recorded = MODE.grad and any(isinstance(each, Tensor) and each.requires_grad for each in gradients)
        returned = unrecorded(lambda: backward(ctx, *gradients))
        if not is_recorded:
            return returned
        listed = returned if isinstance(returned, tuple) else (returned,)
        refused = tuple(
            _Refuse.apply(requires_grad_(detach(each))) if isinstance(each, Tensor) else each for each in listed
        )
        return refused if isinstance(returned, tuple) else refused[0]

    return call


class _Refuse(Function):
    """A result of which no gradient can be asked for."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return value

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        raise AutogradError("trying to differentiate twice a function that was marked with @once_differentiable")


class _Lost(Function):
    """A value whose gradient doesn't come through."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return value

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return None


def undefined_grad(tensor: Tensor) -> Tensor:
    """The same values; the gradient of what they are used for is missing behind them."""
    result = _Lost.apply(tensor)
    assert isinstance(result, Tensor)
    return result
