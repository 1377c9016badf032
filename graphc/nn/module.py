"""Modules: objects with parameters, buffers and other modules inside, and a `forward`.

In: attributes that are parameters, buffers and modules. Out: their names and values in order, moved, copied, saved and
loaded together.

Two small facilities serve what compiles whole steps: while `observer` is not None, every call of a module tells it the
module first; and a callable that a module has as `_watch` is called with the module and a name whenever an attribute, a
part or the `training` flag of that module was set or deleted. `_watch` belongs to the module alone: neither copies nor
pickles have it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

from graphc.eager.mode import no_grad
from graphc.eager.tensor import Tensor
from graphc.nn.parameter import Buffer, Parameter

__all__ = ["Module"]

M = TypeVar("M", bound="Module")

observer: Callable[[Module], object] | None = None
"""Called with each module that is called, before its `forward`."""


class Incompatible(NamedTuple):
    """The keys that `load_state_dict` lacked, and those that it had no place for."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return f"_IncompatibleKeys(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})"

    def __str__(self) -> str:
        return repr(self)


class Module:
    """The base of all parts of networks: subclass it, set parts as attributes in `__init__`, define `forward`."""

    training: bool

    def __init__(self) -> None:
        fields: dict[str, object] = {
            "training": True,
            "_parameters": OrderedDict(),
            "_buffers": OrderedDict(),
            "_non_persistent_buffers_set": set(),
            "_modules": OrderedDict(),
        }
        self.__dict__.update(fields)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What calling the module computes; each module defines its own."""
        raise NotImplementedError(f'Module [{type(self).__name__}] is missing the required "forward" function')

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if observer is not None:
            observer(self)
        return self.forward(*args, **kwargs)

    # Attributes

    def __setattr__(self, name: str, value: Any) -> None:
        parts = self.__dict__
        if isinstance(value, Parameter):
            if "_parameters" not in parts:
                raise AttributeError("cannot assign parameters before Module.__init__() call")
            self._forget(name)
            self.register_parameter(name, value)
        elif isinstance(value, Module):
            if "_modules" not in parts:
                raise AttributeError("cannot assign module before Module.__init__() call")
            self._forget(name)
            parts["_modules"][name] = value
        elif isinstance(value, Buffer):
            self._forget(name)
            self.register_buffer(name, value, value.persistent)
        elif name in parts.get("_parameters", ()):
            if value is not None:
                raise TypeError(
                    f"cannot assign '{_type_name(value)}' as parameter '{name}' (torch.nn.Parameter or None expected)"
                )
            self.register_parameter(name, None)
        elif name in parts.get("_modules", ()):
            if value is not None:
                raise TypeError(
                    f"cannot assign '{_type_name(value)}' as child module '{name}' (torch.nn.Module or None expected)"
                )
            parts["_modules"][name] = None
        elif name in parts.get("_buffers", ()):
            if value is not None and not isinstance(value, Tensor):
                raise TypeError(
                    f"cannot assign '{_type_name(value)}' as buffer '{name}' (torch.nn.Buffer, torch.Tensor or None "
                    "expected)"
                )
            parts["_buffers"][name] = value
        else:
            object.__setattr__(self, name, value)
        if parts.get("_watch") is not None:
            self._tell(name)

    def _tell(self, name: str) -> None:
        """Tell who watches the module that this attribute has changed."""
        watch = self.__dict__.get("_watch")
        if watch is not None and name != "_watch":
            watch(self, name)

    def __reduce_ex__(self, protocol: Any) -> Any:
        reduced = super().__reduce_ex__(protocol)
        if isinstance(reduced, tuple) and len(reduced) > 2 and isinstance(reduced[2], dict) and "_watch" in reduced[2]:
            state = {name: value for name, value in reduced[2].items() if name != "_watch"}
            reduced = (*reduced[:2], state, *reduced[3:])
        return reduced

    def __getattr__(self, name: str) -> Any:
        parts = self.__dict__
        for kind in ("_parameters", "_buffers", "_modules"):
            if name in parts.get(kind, ()):
                return parts[kind][name]
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __delattr__(self, name: str) -> None:
        for kind in ("_parameters", "_buffers", "_modules"):
            if name in self.__dict__[kind]:
                del self.__dict__[kind][name]
                self._non_persistent_buffers_set.discard(name)
                self._tell(name)
                return
        object.__delattr__(self, name)
        self._tell(name)

    def __dir__(self) -> list[str]:
        return sorted({*object.__dir__(self), *self._parameters, *self._buffers, *self._modules} - {"_watch"})

    def _forget(self, name: str) -> None:
        """Take away what has this name, of whatever kind it is."""
        self.__dict__.pop(name, None)
        for kind in ("_parameters", "_buffers", "_modules"):
            self.__dict__.get(kind, {}).pop(name, None)
        self.__dict__.get("_non_persistent_buffers_set", set()).discard(name)

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter; None keeps a place for one."""
        self._check_name(name, "parameter", "_parameters")
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(
                f"cannot assign '{_type_name(param)}' object to parameter '{name}' "
                "(torch.nn.Parameter or None required)"
            )
        if param is not None and param.grad_fn is not None:  # type: ignore[attr-defined]  # installed on tensors
            raise ValueError(
                f"Cannot assign non-leaf Tensor to parameter '{name}'. Model parameters must be created explicitly. To "
                f"express '{name}' as a function of another Tensor, compute the value in the forward() method."
            )
        self._parameters[name] = param
        self._tell(name)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that is no parameter; it is saved with the module if `persistent`."""
        self._check_name(name, "buffer", "_buffers")
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(
                f"cannot assign '{_type_name(tensor)}' object to buffer '{name}' (torch Tensor or None required)"
            )
        self._buffers[name] = tensor
        if persistent:
            self._non_persistent_buffers_set.discard(name)
        else:
            self._non_persistent_buffers_set.add(name)
        self._tell(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a module under a name."""
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"{_type_name(module)} is not a Module subclass")
        self._check_name(name, "module", "_modules")
        self._modules[name] = module
        self._tell(name)

    register_module = add_module

    def _check_name(self, name: object, what: str, kind: str) -> None:
        if kind not in self.__dict__:
            raise AttributeError(f"cannot assign {what} before Module.__init__() call")
        if not isinstance(name, str):
            raise TypeError(f"{what} name should be a string. Got {type(name).__name__}")
        if "." in name:
            raise KeyError(f'{what} name can\'t contain "."' + (f", got: {name}" if what == "module" else ""))
        if name == "":
            raise KeyError(f'{what} name can\'t be empty string ""')
        if hasattr(self, name) and name not in self.__dict__[kind]:
            raise KeyError(f"attribute '{name}' already exists")

    # What is inside

    def named_modules(
        self, memo: set[Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """This module and all inside, each once, with dotted names."""
        seen = set() if memo is None else memo
        pending: list[tuple[str, Module]] = [(prefix, self)]
        while pending:
            name, module = pending.pop()
            if module in seen:
                continue
            if remove_duplicate:
                seen.add(module)
            yield name, module
            inside = [
                (f"{name}.{key}" if name else key, child) for key, child in module._modules.items() if child is not None
            ]
            pending += reversed(inside)

    def modules(self) -> Iterator[Module]:
        """This module and all inside, each once."""
        return (module for _, module in self.named_modules())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules directly inside, with their names."""
        seen: set[Module] = set()
        for name, module in self._modules.items():
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def children(self) -> Iterator[Module]:
        """The modules directly inside."""
        return (module for _, module in self.named_children())

    def _named(self, kind: str, prefix: str, recurse: bool, remove_duplicate: bool) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        inside = self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate) if recurse else [(prefix, self)]
        for path, module in inside:
            for name, value in module.__dict__[kind].items():
                if value is None or (remove_duplicate and id(value) in seen):
                    continue
                seen.add(id(value))
                yield f"{path}.{name}" if path else name, value

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """The parameters of this module and of those inside, with dotted names."""
        return self._named("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The parameters of this module and of those inside."""
        return (value for _, value in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """The buffers of this module and of those inside, with dotted names."""
        return self._named("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """The buffers of this module and of those inside."""
        return (value for _, value in self.named_buffers(recurse=recurse))

    def get_submodule(self, target: str) -> Module:
        """The module with this dotted name; raises AttributeError."""
        module: Module = self
        for name in target.split(".") if target else ():
            if not hasattr(module, name):
                raise AttributeError(f"{module._name()} has no attribute `{name}`")
            found = getattr(module, name)
            if not isinstance(found, Module):
                raise AttributeError(f"`{name}` is not an nn.Module")
            module = found
        return module

    def get_parameter(self, target: str) -> Parameter:
        """The parameter with this dotted name; raises AttributeError."""
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        if not hasattr(module, name):
            raise AttributeError(f"{module._name()} has no attribute `{name}`")
        found = getattr(module, name)
        if not isinstance(found, Parameter):
            raise AttributeError(f"`{name}` is not an nn.Parameter")
        return found

    def get_buffer(self, target: str) -> Tensor:
        """The buffer with this dotted name; raises AttributeError."""
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        if not hasattr(module, name):
            raise AttributeError(f"{module._name()} has no attribute `{name}`")
        if name not in module._buffers:
            raise AttributeError(f"`{name}` is not a buffer")
        found = getattr(module, name)
        assert isinstance(found, Tensor)
        return found

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
        for module in self.modules():
            module.training = mode
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
        for parameter in self.parameters():
            gradient = parameter.grad  # type: ignore[attr-defined]  # installed on tensors
            if gradient is None:
                continue
            if set_to_none:
                parameter.grad = None  # type: ignore[attr-defined]
            else:
                parameter.grad = gradient.detach().zero_()  # type: ignore[attr-defined]

    def _apply(self: M, fn: Callable[[Any], Any]) -> M:
        """Replace the values of all parameters, their gradients, and buffers by what `fn` makes of them."""
        for module in self.modules():
            for parameter in module._parameters.values():
                if parameter is None:
                    continue
                with no_grad():
                    gradient = parameter.grad
                    parameter.grad = None
                    parameter.data = fn(parameter.data)
                    if gradient is not None:
                        parameter.grad = fn(gradient)
            for name, buffer in module._buffers.items():
                if buffer is not None:
                    module._buffers[name] = fn(buffer)
        return self

    def to(self: M, *args: Any, **kwargs: Any) -> M:
        """Convert parameters and buffers of floats as `Tensor.to` does; integers keep their dtype."""
        if kwargs.get("dtype") is not None or any(not isinstance(each, str | Tensor) for each in args):
            return self._apply(lambda x: x.to(*args, **kwargs) if x.is_floating_point() or x.is_complex() else x)
        return self._apply(lambda x: x.to(*args, **kwargs))

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

    # Saving and loading

    def state_dict(
        self, *, destination: dict[str, Any] | None = None, prefix: str = "", keep_vars: bool = False
    ) -> dict[str, Any]:
        """All parameters and persistent buffers by dotted name; detached, over the same memory."""
        found: dict[str, Any] = OrderedDict() if destination is None else destination
        for path, module in self.named_modules(prefix=prefix.removesuffix("."), remove_duplicate=False):
            for kind in ("_parameters", "_buffers"):
                for name, value in module.__dict__[kind].items():
                    if value is not None and name not in module._non_persistent_buffers_set:
                        found[f"{path}.{name}" if path else name] = value if keep_vars else value.detach()
        return found

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Incompatible:
        """Copy values by dotted name into parameters and buffers; with `strict` the names must be the same."""
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
        own = self.state_dict(keep_vars=True)
        missing = [name for name in own if name not in state_dict]
        unexpected = [name for name in state_dict if name not in own]
        problems: list[str] = []
        for name, target in own.items():
            if name not in state_dict:
                continue
            source = state_dict[name]
            if not isinstance(source, Tensor):
                problems.append(
                    f'While copying the parameter named "{name}", expected torch.Tensor or Tensor-like object from '
                    f"checkpoint but received {type(source)}"
                )
            elif source.shape != target.shape:
                problems.append(
                    f"size mismatch for {name}: copying a param with shape {source.shape} from checkpoint, the shape "
                    f"in current model is {target.shape}."
                )
            elif assign:
                path, _, last = name.rpartition(".")
                needs = target.requires_grad
                setattr(self.get_submodule(path), last, Parameter(source, needs) if needs else source)
            else:
                with no_grad():
                    target.copy_(source)
        if strict:
            if unexpected:
                problems.insert(0, f"Unexpected key(s) in state_dict: {_listed(unexpected)}. ")
            if missing:
                problems.insert(0, f"Missing key(s) in state_dict: {_listed(missing)}. ")
        if problems:
            lines = "\n\t".join(problems)
            raise RuntimeError(f"Error(s) in loading state_dict for {self._name()}:\n\t{lines}")
        return Incompatible(missing, unexpected)

    # Text

    def _name(self) -> str:
        return type(self).__name__

    def extra_repr(self) -> str:
        """What stands between the parentheses of the module's text."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr().split("\n") if self.extra_repr() else []
        inside = [f"({name}): {_indented(repr(module))}" for name, module in self._modules.items()]
        if not inside and len(extra) < 2:
            return f"{self._name()}({''.join(extra)})"
        return f"{self._name()}(\n  " + "\n  ".join([*extra, *inside]) + "\n)"


def _indented(text: str) -> str:
    return text.replace("\n", "\n  ")


def _listed(names: list[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _type_name(value: object) -> str:
    kind = type(value)
    if isinstance(value, Tensor) and kind is Tensor:
        return "torch.FloatTensor"
    return f"{kind.__module__}.{kind.__name__}" if kind.__module__ != "builtins" else kind.__name__
