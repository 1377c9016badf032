"""Modules: objects with parameters, buffers and other modules inside, and a `forward`.

In: attributes that are parameters, buffers and modules. Out: their names and values in order, moved, copied, saved and
loaded together. What a module is made of is in `parts.py`, what is called around `forward` in `module_hooks.py`, saving
and loading in `state.py`.

What records whole steps is told of every module that is called (`graphc/eager/watch.py`), and of what changes in it
(`_watch`, see `parts.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from graphc.eager.arguments import invalid_combination
from graphc.eager.creation import empty_like
from graphc.eager.device import device as to_device
from graphc.eager.mode import no_grad
from graphc.eager.tensor import Tensor
from graphc.eager.watch import WATCHING, call
from graphc.ir.dtype import DType
from graphc.nn.module_hooks import (
    Hooks,
    fresh_hooks,
    global_backward_hooks,
    global_backward_pre_hooks,
    global_forward_hooks,
    global_forward_hooks_always_called,
    global_forward_hooks_with_kwargs,
    global_forward_pre_hooks,
    register_module_backward_hook,
    register_module_forward_hook,
    register_module_forward_pre_hook,
    register_module_full_backward_hook,
    register_module_full_backward_pre_hook,
)
from graphc.nn.parameter import zero_gradients
from graphc.nn.parts import (
    Parts,
    register_module_buffer_registration_hook,
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)
from graphc.nn.state import State, fresh_state_hooks

__all__ = [
    "Module",
    "register_module_backward_hook",
    "register_module_buffer_registration_hook",
    "register_module_forward_hook",
    "register_module_forward_pre_hook",
    "register_module_full_backward_hook",
    "register_module_full_backward_pre_hook",
    "register_module_module_registration_hook",
    "register_module_parameter_registration_hook",
]

M = TypeVar("M", bound="Module")


class Module(Hooks, State):
    """The base of all parts of networks: subclass it, set parts as attributes in `__init__`, define `forward`."""

    dump_patches: bool = False
    call_super_init: bool = False
    """Whether `__init__` passes its arguments on to the next class, for a class that has other bases too."""
    T_destination = TypeVar("T_destination", bound=dict[str, Any])

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if not self.call_super_init:
            name = type(self).__name__
            if kwargs:
                raise TypeError(f"{name}.__init__() got an unexpected keyword argument '{next(iter(kwargs))}'")
            if args:
                raise TypeError(f"{name}.__init__() takes 1 positional argument but {len(args) + 1} were given")
        self.__dict__.update(_fresh())
        if self.call_super_init:
            super().__init__(*args, **kwargs)

    def forward(self, *input: Any, **kwargs: Any) -> Any:
        """What calling the module computes; each module defines its own."""
        raise NotImplementedError(f'Module [{type(self).__name__}] is missing the required "forward" function')

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if WATCHING:
            call(self)
        if self._has_hooks:
            return (self._compiled_call_impl or self._call_impl)(*args, **kwargs)
        return self.forward(*args, **kwargs)

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile the call of the module with these options of `graphc.compile`; from now on it runs compiled."""
        import graphc  # late: the package imports this module

        self.__dict__["_compiled_call_impl"] = graphc.compile(self._call_impl, *args, **kwargs)
        self.__dict__["_has_hooks"] = True

    # Copies

    def __reduce_ex__(self, protocol: Any) -> Any:
        reduced = super().__reduce_ex__(protocol)
        if isinstance(reduced, tuple) and len(reduced) > 2 and isinstance(reduced[2], dict):
            state = {name: value for name, value in reduced[2].items() if name not in OWN}
            reduced = (*reduced[:2], state, *reduced[3:])
        return reduced

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        for name, value in _fresh().items():
            self.__dict__.setdefault(name, value)

    # What is done with all of it

    def apply(self: M, fn: Callable[[Module], object]) -> M:
        """Call `fn` on every module inside, then on this one."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def train(self: M, mode: bool = True) -> M:
        """Set `training` here and inside."""
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        self.training = mode
        for module in self.children():
            module.train(mode)
        return self

    def eval(self: M) -> M:
        """`train(False)`."""
        return self.train(False)

    def requires_grad_(self: M, requires_grad: bool = True) -> M:
        """Set `requires_grad` of all parameters."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)  # type: ignore[attr-defined]  # installed on tensors
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters, or fill them with zeros."""
        zero_gradients(self.parameters(), set_to_none)

    def _apply(self: M, fn: Callable[[Any], Any], recurse: bool = True) -> M:
        """Replace the values of all parameters, their gradients, and buffers by what `fn` makes of them."""
        if recurse:
            for module in self.children():
                module._apply(fn)
        parameter: Any
        for parameter in self._parameters.values():
            if parameter is None:
                continue
            with no_grad():
                gradient = parameter.grad
                applied = fn(parameter)
                if gradient is not None:
                    parameter.grad = None  # it has the shape and dtype of what is replaced
                parameter.data = applied
                if gradient is not None:
                    gradient.data = fn(gradient)
                    parameter.grad = gradient
        for name, buffer in self._buffers.items():
            if buffer is not None:
                self._buffers[name] = fn(buffer)
                self._tell(name)
        return self

    def to(self: M, *args: Any, **kwargs: Any) -> M:
        """Convert parameters and buffers as `Tensor.to` does; of another dtype only floats and complex numbers.

        Takes `to(device, dtype)`, `to(dtype)` or `to(tensor)`, each with `non_blocking`, and `memory_format`, which is
        for tensors of four or five dimensions. Raises TypeError for a dtype of integers.
        """
        place, dtype, order = _parse(args, kwargs)
        if dtype is not None and not (dtype.is_floating_point or dtype.is_complex):
            raise TypeError(
                f"nn.Module.to only accepts floating point or complex dtypes, but got desired dtype={dtype}"
            )

        def convert(tensor: Any) -> Any:
            own = dtype if tensor.is_floating_point() or tensor.is_complex() else None
            if order is not None and tensor.dim() in (4, 5):
                return tensor.to(place, own, memory_format=order)
            return tensor.to(place, own)

        return self._apply(convert)

    def to_empty(self: M, *, device: Any, recurse: bool = True) -> M:
        """Give parameters and buffers new memory on a device, whose values are not set."""
        return self._apply(lambda tensor: empty_like(tensor, device=device), recurse)

    def type(self: M, dst_type: Any) -> M:
        """Convert all parameters and buffers to a dtype, also those of integers."""
        return self._apply(lambda tensor: tensor.type(dst_type))

    def float(self: M) -> M:
        """Parameters and buffers of floats as float32."""
        return self._apply(lambda x: x.float() if x.is_floating_point() else x)

    def double(self: M) -> M:
        """Parameters and buffers of floats as float64."""
        return self._apply(lambda x: x.double() if x.is_floating_point() else x)

    def half(self: M) -> M:
        """Parameters and buffers of floats as float16."""
        return self._apply(lambda x: x.half() if x.is_floating_point() else x)

    def bfloat16(self: M) -> M:
        """Parameters and buffers of floats as bfloat16."""
        return self._apply(lambda x: x.bfloat16() if x.is_floating_point() else x)

    def cpu(self: M) -> M:
        """Parameters and buffers in main memory."""
        return self._apply(lambda x: x.cpu())

    def cuda(self: M, device: Any = None) -> M:
        """Parameters and buffers on a GPU; raises as `Tensor.cuda` does where there is none."""
        return self._apply(lambda x: x.cuda(device))

    def xpu(self: M, device: Any = None) -> M:
        """Parameters and buffers on an XPU; raises as `Tensor.to` does where there is none."""
        return self._apply(lambda x: x.to(to_device("xpu") if device is None else device))

    def share_memory(self: M) -> M:
        """`share_memory_` of parameters and buffers, which says that their memory stays with the process."""
        return self._apply(lambda x: x.share_memory_())

    # Text

    def _get_name(self) -> str:
        return type(self).__name__

    def extra_repr(self) -> str:
        """What stands between the parentheses of the module's text."""
        return ""

    def __repr__(self) -> str:
        text = self.extra_repr()
        extra = text.split("\n") if text else []
        inside = [f"({name}): {indented(repr(module))}" for name, module in self._modules.items()]
        if not inside and len(extra) < 2:
            return f"{self._get_name()}({''.join(extra)})"
        return f"{self._get_name()}(\n  " + "\n  ".join([*extra, *inside]) + "\n)"


for _base in (Parts, Hooks, State):
    for _name, _member in vars(_base).items():
        if callable(_member) and hasattr(_member, "__qualname__"):
            _member.__qualname__ = f"Module.{_name}"  # what Python's errors about arguments call it

OWN = frozenset(("_watch", "_compiled_call_impl"))
"""Attributes that belong to the one object: copies don't have them."""

_FORMS = (
    "(torch.device device = None, torch.dtype dtype = None, bool non_blocking = False, bool copy = False, *, "
    "torch.memory_format memory_format = None)",
    "(torch.dtype dtype, bool non_blocking = False, bool copy = False, *, torch.memory_format memory_format = None)",
    "(Tensor tensor, bool non_blocking = False, bool copy = False, *, torch.memory_format memory_format = None)",
)


def _fresh() -> dict[str, Any]:
    """The attributes of a module that has nothing inside."""
    return {
        "training": True,
        "_parameters": {},
        "_buffers": {},
        "_non_persistent_buffers_set": set(),
        **dict(fresh_hooks()),
        **dict(fresh_state_hooks()),
        "_modules": {},
    }


def _parse(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, DType | None, Any]:
    """The device, dtype and memory format that the arguments of `to` say."""
    given = dict(kwargs)
    order = given.pop("memory_format", None)
    first = args[0] if args else given.get("tensor", given.get("dtype") if "device" not in given else None)
    names: tuple[str, ...] = ("device", "dtype", "non_blocking", "copy")
    if isinstance(first, Tensor):
        names = ("tensor", "non_blocking", "copy")
    elif isinstance(first, DType):
        names = ("dtype", "non_blocking", "copy")
    if len(args) > len(names) or not given.keys() <= set(names[len(args) :]):
        raise invalid_combination("to", args, kwargs, _FORMS)
    given.update(zip(names, args))
    other = given.get("tensor")
    if other is not None:
        return other.device, other.dtype, order
    dtype = given.get("dtype")
    if dtype is not None and not isinstance(dtype, DType):
        raise invalid_combination("to", args, kwargs, _FORMS)
    place = given.get("device")
    return None if place is None else to_device(place), dtype, order


def indented(text: str, count: int = 2) -> str:
    """The text with its lines after the first moved to the right, but for blank ones."""
    first, *rest = text.split("\n")
    return "\n".join([first, *(" " * count + line if line.strip() else "" for line in rest)])


_addindent = indented
_global_backward_hooks = global_backward_hooks
_global_backward_pre_hooks = global_backward_pre_hooks
_global_forward_hooks = global_forward_hooks
_global_forward_hooks_always_called = global_forward_hooks_always_called
_global_forward_hooks_with_kwargs = global_forward_hooks_with_kwargs
_global_forward_pre_hooks = global_forward_pre_hooks
