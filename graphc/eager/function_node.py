"""The node of a gradient written in Python, which is also what `forward` and `backward` know as `ctx`.

In: the cotangents of the results. Out: what the class's `backward` makes of them, checked against the arguments.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from graphc.eager.dispatch import function_of
from graphc.eager.mode import set_grad_enabled
from graphc.eager.node import FREED, AutogradError, Cotangents, Edge, GradNode, SavedValue
from graphc.eager.tensor import AnyArray, Tensor, wrap_constant
from graphc.ir.dtype import dtype as to_dtype
from graphc.ir.type import TensorType

if TYPE_CHECKING:
    from graphc.eager.function import Function


class FunctionCtx:
    """What `forward` tells `backward`: any attributes, saved tensors, and marks on inputs and outputs."""

    needs_input_grad: tuple[bool, ...] = ()
    """Whether each argument of `forward` needs a gradient."""
    materialize_grads = True
    to_save: tuple[Tensor | None, ...] | None = None
    """What `save_for_backward` was given, until `forward` is done."""
    dirty_tensors: tuple[Tensor, ...] | None = None
    non_differentiable: tuple[Tensor, ...] | None = None

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep tensors for `backward`, which finds them in `saved_tensors`; a later write to them is noticed."""
        self.to_save = tensors

    def save_for_forward(self, *tensors: Tensor | None) -> None:
        """Keep tensors for a forward-mode gradient: there is none here."""

    def mark_dirty(self, *args: Tensor) -> None:
        """Say which inputs `forward` has written to; they must be among its results."""
        self.dirty_tensors = args

    def mark_non_differentiable(self, *args: Tensor) -> None:
        """Say which results have no gradient."""
        self.non_differentiable = args

    def set_materialize_grads(self, value: bool) -> None:
        """Whether `backward` gets zeros, or None, for results that no gradient has reached."""
        self.materialize_grads = value


class SavedTensor(SavedValue):
    """A tensor that `backward` finds again as the very object that was saved."""

    __slots__ = ("original",)

    def __init__(self, tensor: Tensor, edge: Edge | None) -> None:
        super().__init__(tensor._array, tensor._storage, edge, tensor.requires_grad)
        self.original: Tensor | None = tensor if self.unpack is None else None

    def get(self, node: GradNode) -> Tensor:
        """The tensor; raises AutogradError where it was freed or overwritten since."""
        found = super().get(node)
        return found if self.original is None else self.original

    def release(self) -> None:
        """Let go of the tensor."""
        super().release()
        self.original = None


class FunctionNode(GradNode, FunctionCtx):
    """The node of a `Function`; each class has its own subclass of it."""

    _forward_cls: type[Function]
    _saved: tuple[SavedValue | None, ...] | None = ()
    inputs: tuple[tuple[tuple[int, ...], np.dtype[Any]] | None, ...] = ()
    """Shape and dtype of each tensor among the arguments."""
    templates: tuple[tuple[tuple[int, ...], np.dtype[Any]] | None, ...] = ()
    """Shape and dtype of each result, for zeros in place of gradients that haven't come."""

    def __repr__(self) -> str:
        return f"<torch.autograd.function.{type(self).__name__} object at {id(self):#x}>"

    @property
    def shown(self) -> Sequence[int]:
        """The edges of the tensors among the arguments."""
        return [index for index, tensor in enumerate(self.inputs) if tensor is not None]

    def result(self, index: int) -> TensorType:
        """Shape and dtype of one of its results."""
        found = self.templates[index]
        assert found is not None
        return TensorType(found[0], to_dtype(found[1]))

    @property
    def _raw_saved_tensors(self) -> tuple[SavedValue | None, ...]:
        if self._saved is None:
            raise AutogradError(FREED)
        return self._saved

    @property
    def saved_tensors(self) -> tuple[Tensor | None, ...]:
        """The tensors that `forward` has saved."""
        if self._saved is None:
            raise AutogradError(FREED)
        return tuple(None if each is None else each.get(self) for each in self._saved)

    def run(self, cotangents: Cotangents, create_graph: bool) -> Cotangents:
        """Call `backward`."""
        given = list(cotangents)
        if self.materialize_grads:
            for index, template in enumerate(self.templates):
                if given[index] is None and template is not None:
                    given[index] = wrap_constant(np.zeros(*template))
        with set_grad_enabled(create_graph):
            returned = self._forward_cls._backward()(self, *given)
            return self._checked(returned if isinstance(returned, tuple) else (returned,))

    def release(self) -> None:
        """Let go of saved tensors."""
        for each in self._saved or ():
            if each is not None:
                each.release()
        if self._saved:
            self._saved = None

    def _checked(self, gradients: tuple[Any, ...]) -> Cotangents:
        wanted = len(self.needs_input_grad)
        if len(gradients) > wanted and all(each is None for each in gradients[wanted:]):
            gradients = gradients[:wanted]
        if len(gradients) != wanted:
            raise AutogradError(
                f"function {self.name()} returned an incorrect number of gradients (expected {wanted}, got "
                f"{len(gradients)})"
            )
        for gradient in gradients:
            if gradient is not None and not isinstance(gradient, Tensor):
                raise AutogradError(f"expected Variable or None (got {type(gradient).__name__})")
        for position, (gradient, like) in enumerate(zip(gradients, self.inputs)):
            if like is None and gradient is not None:
                raise AutogradError(
                    f"function {self.name()} returned a gradient different than None at position {position + 1}, but "
                    "the corresponding forward input was not a Variable"
                )
        places = [position for position, like in enumerate(self.inputs) if like is not None]
        return [
            gradient  # hooks see also those that nobody needs
            if gradient is None or self.edges[position] is None
            else self._fitting(gradient, position, places.index(position))
            for position, gradient in enumerate(gradients)
        ]

    def _fitting(self, gradient: Tensor, position: int, index: int) -> Tensor:
        """The gradient with the shape and dtype of the argument that it is for."""
        like = self.inputs[position]
        assert like is not None
        shape, dtype = like
        if gradient._array.shape != shape:
            gradient = self._summed(gradient, shape, index)
        if gradient._array.dtype != dtype:
            if gradient._array.dtype.kind == "c" and dtype.kind != "c":
                raise AutogradError(
                    "Expected isFloatingType(grad.scalar_type()) || (input_is_complex == grad_is_complex) to be true, "
                    "but got false.  (Could this error message be improved?  If so, please report an enhancement "
                    "request to PyTorch.)"
                )
            converted: Any = function_of("to")(gradient, to_dtype(dtype))
            gradient = converted
        if gradient._storage.owner is None:
            gradient._storage.owner = gradient._array  # the function may keep it
        return gradient

    def _summed(self, gradient: Tensor, shape: tuple[int, ...], index: int) -> Tensor:
        """A gradient that was not summed over dimensions that the argument was repeated along."""
        given = gradient._array.shape
        extra = len(given) - len(shape)
        if extra < 0 or any(size not in (1, own) for size, own in zip(shape, given[extra:])):
            raise AutogradError(
                f"Function {self.name()} returned an invalid gradient at index {index} - got {list(given)} but "
                f"expected shape compatible with {list(shape)}"
            )
        axes = [axis for axis, size in enumerate(given) if axis < extra or (shape[axis - extra] == 1 and size != 1)]
        summed = function_of("sum")(gradient, axes, keepdim=True)
        result = function_of("reshape")(summed, shape)
        assert isinstance(result, Tensor)
        return result


def template_of(value: object) -> tuple[tuple[int, ...], np.dtype[Any]] | None:
    """Shape and dtype of a tensor."""
    if not isinstance(value, Tensor):
        return None
    array: AnyArray = value._array
    return array.shape, array.dtype


def saved_result(result: Tensor, node: FunctionNode, index: int, reference: Any) -> SavedValue:
    """A result of the node that it saves itself: it must not hold the tensor that holds it."""
    return SavedValue(result._array, result._storage, None, result.requires_grad, reference, index)


def is_among(tensor: object, tensors: Sequence[object] | None) -> bool:
    """Whether this very tensor is one of them."""
    return tensors is not None and any(each is tensor for each in tensors)
