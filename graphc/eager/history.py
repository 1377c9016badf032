"""Tensors and autograd: `requires_grad`, `grad`, `grad_fn`, `backward`, hooks, `detach`.

Level: methods of `Tensor`, installed by `graphc/eager/methods.py`, and `backward` and `grad` of `graphc.autograd`.
"""

from __future__ import annotations

import warnings
import weakref
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from graphc.eager.anomaly import is_anomaly_check_nan_enabled, is_anomaly_enabled
from graphc.eager.engine import run_backward
from graphc.eager.mode import MODE
from graphc.eager.node import AutogradError, Edge, GradNode, edge_of
from graphc.eager.tensor import Storage, Tensor, meta_of, wrap, wrap_shared
from graphc.eager.view import refresh
from graphc.ir.errors import SignatureError


class RemovableHandle:
    """What registering a hook gives: `remove()` takes the hook away; so does leaving a `with` block."""

    _count = 0

    def __init__(self, hooks: OrderedDict[int, Any]) -> None:
        RemovableHandle._count += 1
        self.id = RemovableHandle._count
        self._hooks = weakref.ref(hooks) if hasattr(hooks, "__weakref__") else (lambda: hooks)

    def remove(self) -> None:
        """Take the hook away, if it is still there."""
        hooks = self._hooks()
        if hooks is not None:
            hooks.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()


def add_hook(hooks: OrderedDict[int, Any], hook: Callable[..., object]) -> RemovableHandle:
    """Append a hook, and give what removes it."""
    handle = RemovableHandle(hooks)
    hooks[handle.id] = hook
    return handle


def is_leaf(self: Tensor) -> bool:
    """Whether no recorded operation made it: its gradient, if it requires one, is kept in `grad`."""
    return grad_fn(self) is None


def grad_fn(self: Tensor) -> GradNode | None:
    """The node of the operation that made it; None for a leaf."""
    meta = self._meta
    if meta is None:
        return None
    if meta.view is not None:
        refresh(self)
    return meta.node


def set_requires_grad(self: Tensor, value: bool) -> None:
    """Start or stop recording what is done with a leaf."""
    if not isinstance(value, bool | int):
        raise SignatureError("requires_grad must be a bool")
    value = bool(value)
    if value == self.requires_grad:
        return
    if not value and grad_fn(self) is not None:
        raise AutogradError(
            "you can only change requires_grad flags of leaf variables. If you want to use a computed variable in a "
            "subgraph that doesn't require differentiation use var_no_grad = var.detach()."
        )
    if value and not self.dtype.is_differentiable:
        raise AutogradError("only Tensors of floating point and complex dtype can require gradients")
    if value and self._storage.version < 0 and not MODE.inference:
        raise AutogradError("Setting requires_grad=True on inference tensor outside InferenceMode is not allowed.")
    meta_of(self).requires_grad = value


def requires_grad_(self: Tensor, requires_grad: bool = True) -> Tensor:
    """Set `requires_grad`, and return the tensor."""
    set_requires_grad(self, requires_grad)
    return self


def get_grad(self: Tensor) -> Tensor | None:
    """The gradient that `backward` has gathered; None before the first."""
    meta = self._meta
    if meta is None:
        return None
    if meta.grad is None and meta.requires_grad and not meta.retains_grad and not is_leaf(self):
        warnings.warn(
            "The .grad attribute of a Tensor that is not a leaf Tensor is being accessed. Its .grad attribute won't be "
            "populated during autograd.backward(). If you indeed want the .grad field to be populated for a non-leaf "
            "Tensor, use .retain_grad() on the non-leaf Tensor. If you access the non-leaf Tensor by mistake, make "
            "sure you access the leaf Tensor instead.",
            stacklevel=2,
        )
    return meta.grad


def set_grad(self: Tensor, value: Tensor | None) -> None:
    """Replace the gradient by another of the same shape and dtype, or by None."""
    if value is None:
        if self._meta is not None:
            self._meta.grad = None
        return
    if not isinstance(value, Tensor):
        raise SignatureError(
            f"assigned grad expected to be a Tensor or None but got grad of type {type(value).__name__}"
        )
    if value is self:
        raise AutogradError("can't assign Variable as its own grad")
    if value.dtype is not self.dtype:
        raise AutogradError(
            f"attempting to assign a gradient with dtype '{_word(value)}' to a tensor with dtype '{_word(self)}'. "
            "The gradient must match the tensor's dtype (obtained from the tensor's grad_dtype if set). You can set "
            "the tensor's grad_dtype attribute with a specific dtype, or None to allow any dtype. Set grad_dtype with "
            "caution. Diverging the dtypes of a tensor and its gradient may break downstream systems that assume that "
            "they match."
        )
    if value._array.shape != self._array.shape:
        raise AutogradError("assigned grad has data of a different size")
    meta_of(self).grad = value


def _word(tensor: Tensor) -> str:
    name = str(tensor._array.dtype)
    return {"float32": "float", "float64": "double", "float16": "c10::Half", "bfloat16": "c10::BFloat16"}.get(
        name, name
    )


def del_grad(self: Tensor) -> None:
    """`del tensor.grad` is `tensor.grad = None`."""
    set_grad(self, None)


def detach(self: Tensor) -> Tensor:
    """The same memory without a history: it requires no gradient."""
    if self._storage.owner is None:
        self._storage.owner = self._array
    return wrap_shared(self._array, self._storage)


def detach_(self: Tensor) -> Tensor:
    """Forget the history: the tensor becomes a leaf that requires no gradient."""
    meta = self._meta
    if meta is not None:
        if meta.view is not None:
            raise AutogradError(
                "Can't detach views in-place. Use detach() instead. If you are using DistributedDataParallel (DDP) for "
                "training, and gradient_as_bucket_view is set as True, gradients are views of DDP buckets, and hence "
                "detach_() cannot be called on these gradients. To fix this error, please refer to the "
                "Optimizer.zero_grad() function in torch/optim/optimizer.py as a reference."
            )
        meta.requires_grad, meta.node, meta.index = False, None, 0
    return self


def get_data(self: Tensor) -> Tensor:
    """The same memory without a history; writes to it are not noticed by autograd."""
    if self._storage.owner is None:
        self._storage.owner = self._array
    result = wrap_shared(self._array, Storage(self._storage.owner))
    if self._storage.version < 0:
        result._storage.version = self._storage.version
    return result


def set_data(self: Tensor, value: Tensor) -> None:
    """Let the tensor use the memory of another; its history stays."""
    if not isinstance(value, Tensor):
        raise SignatureError(f"Variable data has to be a tensor, but got {type(value).__name__}")
    self._array = value._array
    self._storage = value._storage
    if value._storage.owner is None:
        value._storage.owner = value._array


def retain_grad(self: Tensor) -> None:
    """Keep the gradient of a tensor that is no leaf in its `grad` too."""
    if not self.requires_grad:
        raise AutogradError("can't retain_grad on Tensor that has requires_grad=False")
    node = grad_fn(self)
    meta = meta_of(self)
    if node is None or meta.retains_grad:
        return
    meta.retains_grad = True
    if node.retained is None:
        node.retained = {}
    node.retained[meta.index] = weakref.ref(self)


def retains_grad(self: Tensor) -> bool:
    """Whether a tensor that is no leaf keeps its gradient."""
    return self._meta is not None and self._meta.retains_grad


def register_hook(self: Tensor, hook: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
    """Call `hook(grad)` whenever a gradient of the tensor is computed; what it returns, unless None, replaces it."""
    if not self.requires_grad:
        raise AutogradError("cannot register a hook on a tensor that doesn't require gradient")
    node = grad_fn(self)
    meta = meta_of(self)
    if node is None:
        if meta.hooks is None:
            meta.hooks = OrderedDict()
        return add_hook(meta.hooks, hook)
    if node.tensor_hooks is None:
        node.tensor_hooks = {}
    return add_hook(node.tensor_hooks.setdefault(meta.index, OrderedDict()), hook)


def register_post_accumulate_grad_hook(self: Tensor, hook: Callable[[Tensor], None]) -> RemovableHandle:
    """Call `hook(tensor)` after a gradient was added to the leaf's `grad`."""
    if not self.requires_grad:
        raise AutogradError("cannot register a hook on a tensor that doesn't require gradient")
    if grad_fn(self) is not None:
        raise AutogradError("post accumulate grad hooks cannot be registered on non-leaf tensors")
    meta = meta_of(self)
    if meta.post_hooks is None:
        meta.post_hooks = OrderedDict()
    return add_hook(meta.post_hooks, hook)


def tensor_backward(
    self: Tensor,
    gradient: Tensor | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Tensor | Sequence[Tensor] | None = None,
) -> None:
    """Compute the gradients of the leaves behind this tensor, and add them to their `grad`.

    `gradient` is the cotangent, of the tensor's shape; a tensor of one element needs none.
    """
    backward(self, gradient, retain_graph, create_graph, inputs=inputs)


def backward(
    tensors: Tensor | Sequence[Tensor],
    grad_tensors: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    grad_variables: Tensor | Sequence[Tensor | None] | None = None,
    inputs: Tensor | Sequence[Tensor] | None = None,
) -> None:
    """Compute the sum of the gradients of `tensors` by the leaves, and add it to their `grad`.

    `grad_tensors` are the cotangents, one for each tensor that has more than one element. With `inputs` only their
    `grad` changes.
    """
    outputs = (tensors,) if isinstance(tensors, Tensor) else tuple(tensors)
    given = grad_tensors if grad_tensors is not None else grad_variables
    places: list[Edge] | None = None
    if inputs is not None:
        sources = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
        if not sources:
            raise AutogradError("`inputs` argument to `backward()` cannot be empty.")
        places = [_place(each) for each in sources]
    roots = _roots(outputs, given)
    keep = create_graph if retain_graph is None else retain_graph
    found = run_backward(roots, places, keep_graph=bool(keep), create_graph=bool(create_graph))
    if inputs is not None:
        for source, gradient in zip(sources, found):
            if gradient is not None and grad_fn(source) is not None:
                meta = meta_of(source)
                meta.grad = gradient if meta.grad is None else wrap(meta.grad._array + gradient._array)


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple[Tensor | None, ...]:
    """The sum of the gradients of `outputs` by each of `inputs`; no `grad` changes.

    With `create_graph` the results can be differentiated again. An input that the outputs don't depend on is an error,
    or None with `allow_unused`, or zeros with `materialize_grads`.
    """
    if materialize_grads and allow_unused is False:
        raise ValueError(
            "Expected allow_unused to be True or not passed when materialize_grads=True, but got: allow_unused=False."
        )
    if is_grads_batched:
        raise NotImplementedError("is_grads_batched needs vmap: compute the gradients one by one")
    results = (outputs,) if isinstance(outputs, Tensor) else tuple(outputs)
    sources = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    for each in sources:
        if not each.requires_grad:
            raise AutogradError("One of the differentiated Tensors does not require grad")
    roots = _roots(results, grad_outputs)
    keep = create_graph if retain_graph is None else retain_graph
    places = [_place(each) for each in sources]
    found = run_backward(roots, places, keep_graph=bool(keep), create_graph=bool(create_graph), accumulate=False)
    if materialize_grads:
        return tuple(
            wrap(np.zeros_like(source._array)) if each is None else each for source, each in zip(sources, found)
        )
    if None in [each if each is None else 1 for each in found] and not allow_unused:
        raise AutogradError(
            "One of the differentiated Tensors appears to not have been used in the graph. Set allow_unused=True if "
            "this is the desired behavior."
        )
    return tuple(None if each is None else _own(each, create_graph) for each in found)


def _own(gradient: Tensor, create_graph: bool) -> Tensor:
    return gradient if create_graph else wrap_shared(gradient._array, gradient._storage)


def _place(tensor: Tensor) -> Edge:
    edge = edge_of(tensor)
    if edge is None:
        raise AutogradError("One of the differentiated Tensors does not require grad")
    return edge


def _roots(
    outputs: Sequence[Tensor],
    given: Tensor | Sequence[Tensor | None] | None,
) -> list[tuple[Edge, Tensor]]:
    """Where the backward pass starts, and with which cotangents."""
    cotangents = (given,) if isinstance(given, Tensor) else (None,) * len(outputs) if given is None else tuple(given)
    if len(cotangents) != len(outputs):
        raise AutogradError(f"got {len(outputs)} tensors and {len(cotangents)} gradients")
    roots: list[tuple[Edge, Tensor]] = []
    for index, (output, cotangent) in enumerate(zip(outputs, cotangents)):
        edge = edge_of(output)
        if edge is None:
            raise AutogradError(
                f"element {index} of tensors does not require grad and does not have a grad_fn",
            )
        if cotangent is None:
            if output._array.size != 1:
                raise AutogradError("grad can be implicitly created only for scalar outputs")
            if not output.dtype.is_floating_point:
                raise AutogradError(
                    f"grad can be implicitly created only for real scalar outputs but got {output.dtype}"
                )
            cotangent = wrap(np.ones_like(output._array))
        elif not isinstance(cotangent, Tensor):
            raise SignatureError(f"gradients can be either Tensors or None, but got {type(cotangent).__name__}")
        elif cotangent._array.shape != output._array.shape:
            raise AutogradError(
                f"Mismatch in shape: grad_output[{index}] has a shape of {cotangent.shape} and output[{index}] has a "
                f"shape of {output.shape}."
            )
        elif cotangent._array.dtype != output._array.dtype:
            cotangent = wrap(cotangent._array.astype(output._array.dtype))
        roots.append((edge, cotangent))
    return roots


FUNCTIONS: dict[str, Callable[..., object]] = {
    "is_anomaly_check_nan_enabled": is_anomaly_check_nan_enabled,
    "is_anomaly_enabled": is_anomaly_enabled,
}
_requires_grad = Tensor.requires_grad.fget  # type: ignore[attr-defined]  # it is a property
METHODS: dict[str, Callable[..., object]] = {
    "backward": tensor_backward,
    "detach": detach,
    "detach_": detach_,
    "register_hook": register_hook,
    "register_post_accumulate_grad_hook": register_post_accumulate_grad_hook,
    "requires_grad_": requires_grad_,
    "retain_grad": retain_grad,
}
ATTRIBUTES: dict[str, tuple[Callable[..., object] | None, ...]] = {
    "data": (get_data, set_data, None),
    "grad": (get_grad, set_grad, del_grad),
    "grad_fn": (grad_fn, None, None),
    "is_leaf": (is_leaf, None, None),
    "requires_grad": (_requires_grad, set_requires_grad, None),
    "retains_grad": (retains_grad, None, None),
}
