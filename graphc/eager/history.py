"""Tensors and autograd: `requires_grad`, `grad`, `grad_fn`, hooks, `detach`.

Level: methods of `Tensor`, installed by `graphc/eager/methods.py`.
"""

from __future__ import annotations

import warnings
import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from graphc.eager.anomaly import is_anomaly_check_nan_enabled, is_anomaly_enabled
from graphc.eager.handle import RemovableHandle, add_hook
from graphc.eager.mode import MODE
from graphc.eager.node import AutogradError, GradNode
from graphc.eager.placement import gpu_of
from graphc.eager.record import see
from graphc.eager.tensor import Hooks, Storage, Tensor, meta_of, wrap_shared
from graphc.eager.view import refresh
from graphc.eager.watch import WATCHING, refuse, see_gradient
from graphc.ir.errors import SignatureError


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


def set_requires_grad(self: Tensor, value: Any) -> None:
    """Start or stop recording what is done with a leaf."""
    if not isinstance(value, bool):
        raise AutogradError("requires_grad must be a bool")
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


def write_requires_grad(self: Tensor, value: Any) -> None:
    """`tensor.requires_grad = value`, which only leaves allow."""
    if value is True and grad_fn(self) is not None:
        raise AutogradError("you can only change requires_grad flags of leaf variables.")
    set_requires_grad(self, value)


def _read_only(name: str) -> Callable[..., object]:
    def refuse(self: Tensor, value: object) -> None:
        raise AttributeError(f"attribute '{name}' of 'torch._C.TensorBase' objects is not writable")

    return refuse


def requires_grad_(self: Tensor, requires_grad: bool = True) -> Tensor:
    """Set `requires_grad`, and return the tensor."""
    if not isinstance(requires_grad, bool):
        raise SignatureError(
            f"requires_grad_(): argument 'requires_grad' (position 1) must be bool, not {type(requires_grad).__name__}"
        )
    if requires_grad and not self.dtype.is_differentiable:
        raise AutogradError("only Tensors of floating point dtype can require gradients")
    set_requires_grad(self, requires_grad)
    return self


def get_grad(self: Tensor) -> Tensor | None:
    """The gradient that `backward` has gathered; None before the first."""
    if WATCHING:
        see_gradient(self)
    meta = self._meta
    if meta is None:
        return None
    if meta.grad is None and meta.requires_grad and not meta.retains_grad and not is_leaf(self):
        warnings.warn(
            "The .grad attribute of a Tensor that is not a leaf Tensor is being accessed. Its .grad attribute won't be "
            "populated during autograd.backward(). If you indeed want the .grad field to be populated for a non-leaf "
            "Tensor, use .retain_grad() on the non-leaf Tensor. If you access the non-leaf Tensor by mistake, make "
            "sure you access the leaf Tensor instead. See github.com/pytorch/pytorch/pull/30531 for more informations.",
            stacklevel=2,
        )
    return meta.grad


def set_grad(self: Tensor, value: Tensor | None) -> None:
    """Replace the gradient by another of the same shape and dtype, or by None."""
    if WATCHING:
        see_gradient(self)
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
            f"attempting to assign a gradient with dtype '{_C_NAMES.get(value.dtype.scalar, value.dtype.scalar)}' to a "
            f"tensor with grad_dtype '{self.dtype.scalar}'. The gradient must match the tensor's grad_dtype (defaults "
            "to the tensor's dtype). You can set the tensor's grad_dtype attribute with a specific dtype, or None to "
            "allow any dtype. Set grad_dtype with caution. Diverging the dtypes of a tensor and its gradient may break "
            "downstream systems that assume they match."
        )
    if gpu_of(value._array) != gpu_of(self._array):
        raise AutogradError("assigned grad has data located on a different device")
    if value._array.shape != self._array.shape:
        raise AutogradError(
            f"attempting to assign a gradient of size '{list(value._array.shape)}' to a tensor of size "
            f"'{list(self._array.shape)}'. Please ensure that the gradient and the tensor are the same size"
        )
    meta_of(self).grad = value


_C_NAMES = {
    "Float": "float", "Double": "double", "Half": "c10::Half", "BFloat16": "c10::BFloat16", "Bool": "bool",
    "ComplexFloat": "c10::complex<float>", "ComplexDouble": "c10::complex<double>", "Long": "long int", "Int": "int",
    "Short": "short int", "Char": "signed char", "Byte": "unsigned char",
}  # fmt: skip
"""What C++ calls the types of numbers."""


def del_grad(self: Tensor) -> None:
    """`del tensor.grad` is `tensor.grad = None`."""
    set_grad(self, None)


def detach(self: Tensor) -> Tensor:
    """The same memory without a history: it requires no gradient."""
    if WATCHING:
        see((self,))
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
                "Optimizer.zero_grad() function in torch/optim/optimizer.py as the solution."
            )
        meta.requires_grad, meta.node, meta.index = False, None, 0
    return self


def get_data(self: Tensor) -> Tensor:
    """The same memory without a history; writes to it are not noticed by autograd."""
    if WATCHING:
        see((self,))
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
    if WATCHING:
        refuse("replaces a tensor's memory (.data = ...)", "write to it in place, with copy_()")
    if self.requires_grad and not value.dtype.is_differentiable:
        raise AutogradError("data set to a tensor that requires gradients must be floating point or complex dtype")
    if value._storage.owner is None:
        value._storage.owner = value._array
    version = self._storage.version
    self._array, self._storage = value._array, Storage(value._storage.owner)
    self._storage.version = version


def get_hooks(self: Tensor) -> Hooks | None:
    """The hooks that see the tensor's gradient; None before the first."""
    node, meta = grad_fn(self), self._meta
    if meta is None or node is None:
        return None if meta is None else meta.hooks
    return None if node.tensor_hooks is None else node.tensor_hooks.get(meta.index)


def get_post_hooks(self: Tensor) -> Hooks | None:
    """The hooks that are called when the leaf's gradient has been added to; None before the first."""
    return None if self._meta is None else self._meta.post_hooks


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


FUNCTIONS: dict[str, Callable[..., object]] = {
    "is_anomaly_check_nan_enabled": is_anomaly_check_nan_enabled,
    "is_anomaly_enabled": is_anomaly_enabled,
}
_requires_grad = Tensor.requires_grad.fget  # type: ignore[attr-defined]  # it is a property
METHODS: dict[str, Callable[..., object]] = {
    "detach": detach,
    "detach_": detach_,
    "register_hook": register_hook,
    "register_post_accumulate_grad_hook": register_post_accumulate_grad_hook,
    "requires_grad_": requires_grad_,
    "retain_grad": retain_grad,
}
ATTRIBUTES: dict[str, tuple[Callable[..., object] | None, ...]] = {
    "_backward_hooks": (get_hooks, None, None),
    "_post_accumulate_grad_hooks": (get_post_hooks, None, None),
    "data": (get_data, set_data, None),
    "grad": (get_grad, set_grad, del_grad),
    "grad_fn": (grad_fn, _read_only("grad_fn"), None),
    "is_leaf": (is_leaf, _read_only("is_leaf"), None),
    "requires_grad": (_requires_grad, write_requires_grad, None),
    "retains_grad": (retains_grad, _read_only("retains_grad"), None),
}
