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
import warnings
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from graphc.eager.mode import MODE, no_grad, set_grad_enabled
from graphc.eager.node import AutogradError, Cotangents, Edge, GradNode, SavedValue, edge_of
from graphc.eager.tensor import AutogradMeta, Tensor, meta_of, wrap, wrap_shared
from graphc.eager.view import rebase


class FunctionCtx:
    """What `forward` tells `backward`: any attributes, saved tensors, and marks on inputs and outputs."""

    def __init__(self) -> None:
        self.needs_input_grad: tuple[bool, ...] = ()
        """Whether each argument of `forward` needs a gradient."""
        self.materialize_grads = True
        self._to_save: tuple[Tensor | None, ...] = ()
        self._dirty: tuple[Tensor, ...] = ()
        self._constant: tuple[Tensor, ...] = ()
        self._saved: list[SavedValue | None] = []
        self._node: weakref.ref[FunctionNode] | None = None

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep tensors for `backward`, which finds them in `saved_tensors`; a later write to them is noticed."""
        for each in tensors:
            if each is not None and not isinstance(each, Tensor):
                raise TypeError(
                    f"save_for_backward can only save variables, but argument {tensors.index(each)} is of type "
                    f"{type(each).__name__}"
                )
        self._to_save = tensors

    save_for_forward = save_for_backward

    def mark_dirty(self, *tensors: Tensor) -> None:
        """Say which inputs `forward` has written to; they must be among its results."""
        self._dirty = tensors

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """Say which results have no gradient."""
        self._constant = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """Whether `backward` gets zeros, or None, for results that no gradient has reached."""
        self.materialize_grads = value

    @property
    def saved_tensors(self) -> tuple[Tensor | None, ...]:
        """The tensors that `forward` has saved."""
        node = None if self._node is None else self._node()
        if node is None:
            return self._to_save
        return tuple(None if each is None else each.get(node) for each in self._saved)


class FunctionNode(GradNode):
    """The node of a `Function`."""

    __slots__ = ("context", "function", "templates")

    def __init__(
        self, function: type[Function], context: FunctionCtx, edges: tuple[Edge | None, ...], outputs: Sequence[object]
    ) -> None:
        super().__init__(edges, len(outputs))
        self.function = function
        self.context = context
        self.templates = [
            (each._array.shape, each._array.dtype) if isinstance(each, Tensor) else None for each in outputs
        ]
        """Shape and dtype of each result, for zeros in place of gradients that haven't come."""

    def run(self, cotangents: Cotangents, create_graph: bool) -> Cotangents:
        """Call `backward`."""
        given = list(cotangents)
        if self.context.materialize_grads:
            for index, template in enumerate(self.templates):
                if given[index] is None and template is not None:
                    given[index] = wrap(np.zeros(*template))
        with set_grad_enabled(create_graph):
            returned = self.function.backward(self.context, *given)
        gradients = list(returned) if isinstance(returned, tuple | list) else [returned]
        wanted = len(self.context.needs_input_grad)
        if len(gradients) > wanted and all(each is None for each in gradients[wanted:]):
            gradients = gradients[:wanted]
        if len(gradients) != wanted:
            raise AutogradError(
                f"function {self.name()} returned an incorrect number of gradients (expected {wanted}, got "
                f"{len(gradients)})"
            )
        results: list[Tensor | None] = []
        for position, (gradient, edge) in enumerate(zip(gradients, self.edges)):
            if gradient is not None and not isinstance(gradient, Tensor):
                raise TypeError(
                    f"expected Variable or None (got {'a ' if False else ''}{type(gradient).__name__}) as gradient "
                    f"{position} of {self.name()}"
                )
            results.append(None if edge is None or gradient is None else self._fitting(gradient, edge, position))
        return results

    def _fitting(self, gradient: Tensor, edge: Edge, position: int) -> Tensor:
        """The gradient with the shape and dtype of the argument that it is for."""
        shape, dtype = self.context._inputs[position]  # type: ignore[attr-defined]  # `apply` has set it
        if gradient._array.shape != shape:
            from graphc.eager.dispatch import function_of  # late: most gradients fit

            try:
                fits = np.broadcast_shapes(gradient._array.shape, shape) == gradient._array.shape
            except ValueError:
                fits = False
            if not fits:
                raise AutogradError(
                    f"Function {self.name()} returned an invalid gradient at index {position} - got "
                    f"{list(gradient._array.shape)} but expected shape compatible with {list(shape)}"
                )
            extra = gradient._array.ndim - len(shape)
            axes = [
                axis
                for axis, size in enumerate(gradient._array.shape)
                if axis < extra or (shape[axis - extra] == 1 and size != 1)
            ]
            summed: Any = function_of("sum")(gradient, axes, keepdim=True)
            gradient = summed.reshape(shape)
        if gradient._array.dtype != dtype:
            from graphc.eager.dispatch import function_of  # late, as above
            from graphc.ir.dtype import dtype as to_dtype

            converted: Any = function_of("to")(gradient, to_dtype(dtype))
            gradient = converted
        if gradient._storage.owner is None:
            gradient._storage.owner = gradient._array  # the function may keep it
        return gradient

    def release(self) -> None:
        """Let go of saved tensors."""
        for each in self.context._saved:
            if each is not None:
                each.release()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in ("context", "function"):
            raise AttributeError(name)
        return getattr(self.context, name)  # to users node and context are one


@functools.cache
def _node_type(name: str) -> type[FunctionNode]:
    made = type(f"{name}Backward", (FunctionNode,), {"__slots__": (), "__module__": "builtins"})
    assert issubclass(made, FunctionNode)
    return made


class Function:
    """A function with a gradient of its own: subclass it, define `forward` and `backward`, call `apply`.

    `forward(ctx, *args)` may save tensors in `ctx`; or `forward(*args)` does not see it and `setup_context(ctx, inputs,
    output)` saves. `backward(ctx, *grads)` gives one gradient per argument of `forward`, None for those without.
    """

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
        context = FunctionCtx()
        tensors = [each if isinstance(each, Tensor) else None for each in args]
        needs = tuple([each is not None and each.requires_grad for each in tensors])
        is_recorded = MODE.grad and True in needs
        context.needs_input_grad = needs
        context._inputs = [  # type: ignore[attr-defined]  # the node's own
            None if each is None else (each._array.shape, each._array.dtype) for each in tensors
        ]
        edges = tuple([edge_of(each) if needed else None for each, needed in zip(tensors, needs)])  # type: ignore[arg-type]
        with no_grad():
            if cls.setup_context is not Function.setup_context:
                returned = cls.forward(*args, **kwargs)
                cls.setup_context(context, args, returned)
            else:
                returned = cls.forward(context, *args, **kwargs)
        is_single = not isinstance(returned, tuple)
        outputs: list[object] = [returned] if is_single else list(returned)
        for dirty in context._dirty:
            if not any(each is dirty for each in outputs):
                raise AutogradError(
                    "Some elements marked as dirty during the forward method were not returned as output. The inputs "
                    "that are modified inplace must all be outputs of the Function."
                )
        if not is_recorded:
            return returned
        node = _node_type(cls.__name__)(cls, context, edges, outputs)
        results = [cls._result(each, index, node, context, tensors) for index, each in enumerate(outputs)]
        context._saved = [cls._save(each, outputs, results, node) for each in context._to_save]
        context._to_save = ()
        context._node = weakref.ref(node)
        return results[0] if is_single else tuple(results)

    @classmethod
    def _result(
        cls, output: object, index: int, node: FunctionNode, context: FunctionCtx, inputs: Sequence[Tensor | None]
    ) -> object:
        """The output with its place on the tape; an input that comes back unchanged is another tensor then."""
        if not isinstance(output, Tensor):
            return output
        is_constant = any(each is output for each in context._constant) or not output.dtype.is_differentiable
        is_dirty = any(each is output for each in context._dirty)
        if is_dirty:
            written = wrap_shared(output._array, output._storage)
            written._meta = AutogradMeta(True, node, index)
            if output._meta is not None and output._meta.node is None and output._meta.view is None:
                if output.requires_grad:
                    raise AutogradError("a leaf Variable that requires grad is being used in an in-place operation.")
            rebase(output, written)
            return output
        result = output
        if any(each is output for each in inputs) or output._meta is not None:
            result = wrap_shared(output._array, output._storage)
            output._storage.owner = output._array if output._storage.owner is None else output._storage.owner
        if is_constant:
            return result
        meta = meta_of(result)
        meta.requires_grad, meta.node, meta.index = True, node, index
        return result

    @classmethod
    def _save(
        cls, tensor: Tensor | None, outputs: Sequence[object], results: Sequence[object], node: FunctionNode
    ) -> SavedValue | None:
        if tensor is None:
            return None
        for index, each in enumerate(outputs):
            if each is tensor:
                result = results[index]
                assert isinstance(result, Tensor)
                needs = result.requires_grad
                return SavedValue(result._array, result._storage, None, needs, weakref.ref(node), index)
        return SavedValue(tensor._array, tensor._storage, edge_of(tensor), tensor.requires_grad)


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
        with no_grad():
            returned = backward(ctx, *gradients)
        if not is_recorded:
            return returned
        listed = returned if isinstance(returned, tuple) else (returned,)
        refused = tuple(_Refuse.apply(each) if isinstance(each, Tensor) else each for each in listed)
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
