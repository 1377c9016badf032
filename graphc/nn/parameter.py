"""Tensors that belong to modules: parameters, which training changes, and buffers, which it does not.

In: a tensor. Out: a leaf over its memory that modules know by its kind. Either may be uninitialized: it has no shape
until it is materialized.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from graphc.eager.arguments import sizes_of
from graphc.eager.creation import empty
from graphc.eager.dispatch import PLAIN_TYPES
from graphc.eager.methods import of_table
from graphc.eager.subclass import disabled_torch_function
from graphc.eager.tensor import AutogradMeta, Tensor, wrap
from graphc.eager.together import can_run_together, change_together
from graphc.eager.watch import WATCHING
from graphc.ir.dtype import DType

__all__ = [
    "Buffer",
    "Parameter",
    "UninitializedBuffer",
    "UninitializedParameter",
    "UninitializedTensorMixin",
    "is_lazy",
]

_zeros_like = of_table("zeros_like")


class _ParameterMeta(type):
    """Tensors of other classes may be parameters too: those that say so."""

    def __instancecheck__(cls, instance: object) -> bool:
        if super().__instancecheck__(instance):
            return True
        return cls is Parameter and isinstance(instance, Tensor) and getattr(instance, "_is_param", False)

    def __repr__(cls) -> str:
        return "<class 'torch.nn.parameter.Parameter'>" if cls is Parameter else super().__repr__()


class Parameter(Tensor, metaclass=_ParameterMeta):
    """A tensor that a module counts among its parameters when it becomes one of its attributes.

    It shares the memory of `data` and is a leaf; results computed from it are plain tensors.
    """

    __slots__ = ()
    _is_param = True

    def __new__(cls, data: Tensor | None = None, requires_grad: bool = True) -> Any:
        given: Any = empty(0) if data is None else data
        if isinstance(given, Tensor) and (type(given) in PLAIN_TYPES or isinstance(given, cls)):
            return _over(cls, given, requires_grad)
        made = given.detach().requires_grad_(requires_grad)
        if type(made) is not type(given):
            raise RuntimeError(
                f"Creating a Parameter from an instance of type {type(given).__name__} requires that detach() returns "
                f"an instance of the same type, but return type {type(made).__name__} was found instead. To use the "
                "type as a Parameter, please correct the detach() semantics defined by its __torch_dispatch__() "
                "implementation."
            )
        made._is_param = True
        return made

    def __init__(self, data: Tensor | None = None, requires_grad: bool = True) -> None:
        pass

    def __deepcopy__(self, memo: dict[int, object]) -> Parameter:
        found = memo.get(id(self))
        if found is None:
            copied = wrap(self._array.copy(order="K"))
            found = memo[id(self)] = type(self)(copied, self.requires_grad)
        assert isinstance(found, Parameter)
        return found

    def __reduce_ex__(self, protocol: object) -> tuple[object, ...]:
        state = dict(self.__dict__)
        made = (type(self), Tensor.detach(self), self.requires_grad)  # type: ignore[attr-defined]  # installed
        return _rebuild, (*made, state) if state else made


class _BufferMeta(type):
    """Buffers are tensors that say so: their class is that of what they were made of."""

    def __instancecheck__(cls, instance: object) -> bool:
        if super().__instancecheck__(instance):
            return True
        return cls is Buffer and isinstance(instance, Tensor) and getattr(instance, "_is_buffer", False)


class Buffer(Tensor, metaclass=_BufferMeta):
    """A tensor that a module counts among its buffers when it becomes one of its attributes.

    It is a plain tensor over the memory of `data` with a mark, and `persistent` says whether it is saved.
    """

    __slots__ = ()

    persistent: bool

    def __new__(cls, data: Tensor | None = None, *, persistent: bool = True) -> Any:
        given: Any = empty(0) if data is None else data
        made = given.detach().requires_grad_(given.requires_grad)
        made.persistent = persistent
        made._is_buffer = True
        return made


PLAIN_TYPES.update((Parameter, Buffer))


def _over(cls: type[Tensor], data: Tensor, requires_grad: bool) -> Any:
    """A tensor of this class over the memory of `data`."""
    made = object.__new__(cls)
    if data._storage.owner is None:
        data._storage.owner = data._array
    made._array, made._storage, made._meta = data._array, data._storage, None
    if requires_grad:
        if not data.dtype.is_differentiable:
            raise RuntimeError("Only Tensors of floating point and complex dtype can require gradients")
        made._meta = AutogradMeta(True)
    return made


def _rebuild(
    cls: type[Parameter], data: Tensor, requires_grad: bool, state: Mapping[str, object] | None = None
) -> Parameter:
    made = cls(data, requires_grad)
    made.__dict__.update(state or {})
    return made


def zero_gradients(parameters: Iterable[Any], set_to_none: bool) -> None:
    """Forget the gradients of parameters, or cut their history and fill them with zeros."""
    found: list[Any] = []
    for parameter in parameters:
        gradient = parameter.grad
        if gradient is None:
            continue
        if set_to_none:
            parameter.grad = None
            continue
        if gradient.grad_fn is not None:
            gradient.detach_()
        else:
            gradient.requires_grad_(False)
        found.append(gradient)
    if len(found) > 1 and not WATCHING and can_run_together(found):
        change_together("zero", lambda changed, _: [_zeros_like(each) for each in changed], found, ())
        return
    for gradient in found:
        gradient.zero_()


_ALLOWED = frozenset(
    (
        "__hash__", "__deepcopy__", "__reduce_ex__", "__repr__", "size", "copy_", "is_complex", "is_floating_point",
        "half", "float", "double", "bfloat16", "char", "short", "int", "long", "cuda", "cpu", "to", "get_device",
        "share_memory_", "type",
    )
)  # fmt: skip
"""What can be done with a tensor that has no shape yet."""


class UninitializedTensorMixin:
    """A tensor whose shape is not known yet: it has a dtype and a device, and `materialize` gives it memory."""

    cls_to_become: type[Tensor]

    def materialize(self: Any, shape: Any, device: object = None, dtype: DType | None = None) -> None:
        """Become a tensor of this shape with values that are not set."""
        sizes = (shape,) if isinstance(shape, int) else tuple(shape)
        self.data = empty(sizes_of("empty", (sizes,)), device=device, dtype=dtype or self.dtype)
        self.__class__ = self.cls_to_become

    @property
    def shape(self) -> Any:
        """There is none."""
        raise RuntimeError(
            "Can't access the shape of an uninitialized parameter or buffer. This error usually happens in "
            "`load_state_dict` when trying to load an uninitialized parameter into an initialized one. Call "
            "`forward` to initialize the parameters before accessing their attributes."
        )

    def share_memory_(self) -> Any:
        """There is no memory to share."""
        raise RuntimeError(
            "Can't share memory on an uninitialized parameter or buffer. Call `forward` to initialize the parameters "
            "before calling `module.share_memory()`."
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., object],
        types: Sequence[type],
        args: Sequence[object] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        name = getattr(func, "__name__", str(func))
        if name in _ALLOWED or isinstance(getattr(Tensor, name, None), property):
            return disabled_torch_function(func, types, args, kwargs)
        raise _refused(name)

    def dim(self) -> int:
        """There are none."""
        raise _refused("dim")

    def numel(self) -> int:
        """There are none."""
        raise _refused("numel")


def _refused(name: str) -> ValueError:
    return ValueError(
        f"Attempted to use an uninitialized parameter in <method '{name}' of 'torch._C.TensorBase' objects>. This "
        "error happens when you are using a `LazyModule` or explicitly manipulating "
        "`torch.nn.parameter.UninitializedParameter` objects. When using LazyModules Call `forward` with a dummy batch "
        "to initialize the parameters before calling torch functions"
    )


def is_lazy(param: object) -> bool:
    """Whether a parameter or buffer has no shape yet."""
    return isinstance(param, UninitializedTensorMixin)


class UninitializedParameter(UninitializedTensorMixin, Parameter):
    """A parameter without a shape; `materialize` makes it a `Parameter`."""

    __slots__ = ()
    cls_to_become = Parameter

    def __new__(cls, requires_grad: bool = True, device: object = None, dtype: DType | None = None) -> Any:
        return _over(cls, empty(0, device=device, dtype=dtype), requires_grad)

    def __init__(self, requires_grad: bool = True, device: object = None, dtype: DType | None = None) -> None:
        pass

    def __deepcopy__(self, memo: dict[int, object]) -> Any:
        found = memo.get(id(self))
        if found is None:
            found = memo[id(self)] = type(self)(self.requires_grad, None, self.dtype)
        return found

    def __reduce_ex__(self, protocol: object) -> tuple[object, ...]:
        return type(self), (self.requires_grad, None, self.dtype)


class UninitializedBuffer(UninitializedTensorMixin, Tensor):
    """A buffer without a shape; `materialize` makes it a plain tensor."""

    __slots__ = ()
    cls_to_become = Tensor
    _is_buffer = True

    persistent: bool

    def __new__(
        cls,
        requires_grad: bool = False,
        device: object = None,
        dtype: DType | None = None,
        persistent: bool = True,
    ) -> Any:
        made = _over(cls, empty(0, device=device, dtype=dtype), requires_grad)
        made.persistent = persistent
        return made

    def __init__(self, *args: object, **kwargs: object) -> None:
        pass

    def __deepcopy__(self, memo: dict[int, object]) -> Any:
        found = memo.get(id(self))
        if found is None:
            found = memo[id(self)] = type(self)(self.requires_grad, None, self.dtype, self.persistent)
        return found

    def __reduce_ex__(self, protocol: object) -> tuple[object, ...]:
        return type(self), (self.requires_grad, None, self.dtype, self.persistent)
