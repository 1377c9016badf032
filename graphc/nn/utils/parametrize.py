"""Tensors of modules that are computed from others whenever they are asked for.

In: a module, the name of a parameter or buffer, and a module that computes its value from a free tensor. Out: the
module with a class of its own, in which the name is a property; the free tensor is `parametrizations.<name>.original`.
Assigning to the property calls the parametrizations' `right_inverse`.

>>> import graphc
>>> from graphc import nn
>>> class Symmetric(nn.Module):
...     def forward(self, x):
...         return x.triu() + x.triu(1).T
>>> layer = register_parametrization(nn.Linear(2, 2), "weight", Symmetric())
>>> graphc.equal(layer.weight, layer.weight.T), type(layer).__name__
(True, 'ParametrizedLinear')
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

from graphc.eager.mode import no_grad
from graphc.eager.tensor import Tensor
from graphc.nn.module import OWN, Module
from graphc.nn.modules.container import ModuleDict, ModuleList
from graphc.nn.parameter import Parameter

__all__ = [
    "ParametrizationList",
    "cached",
    "is_parametrized",
    "register_parametrization",
    "remove_parametrizations",
    "transfer_parametrizations_and_params",
    "type_before_parametrizations",
]

_caches: list[dict[tuple[int, str], Any]] = []
"""What was computed in the blocks of `cached` that run; the innermost is not another one: they share the first."""


@contextlib.contextmanager
def cached() -> Iterator[None]:
    """In this block each parametrized tensor is computed once."""
    _caches.append(_caches[0] if _caches else {})
    try:
        yield
    finally:
        _caches.pop()


class ParametrizationList(ModuleList):
    """The parametrizations of one tensor, in the order in which they are applied, and the tensors they start from.

    These are `original`, or `original0`, `original1`... where the first `right_inverse` gives several.
    """

    original: Any
    unsafe: bool

    def __init__(self, modules: Sequence[Module], original: Any, unsafe: bool = False) -> None:
        if len(modules) == 0:
            raise ValueError("ParametrizationList requires one or more modules.")
        super().__init__(modules)
        self.unsafe = unsafe
        shape, dtype = original.shape, original.dtype
        with no_grad():
            new = original
            for module in reversed(list(self)):
                if hasattr(module, "right_inverse"):
                    with contextlib.suppress(NotImplementedError):
                        new = module.right_inverse(new)
        if not isinstance(new, Tensor | Sequence):
            raise ValueError(
                "'right_inverse' must return a Tensor or a Sequence of tensors (list, tuple...). Got "
                f"{type(new).__name__}"
            )
        self.is_tensor = isinstance(new, Tensor)
        self.ntensors = 1 if isinstance(new, Tensor) else len(new)
        if isinstance(new, Tensor):
            if original.dtype != new.dtype:
                raise ValueError(
                    "When `right_inverse` outputs one tensor, it may not change the dtype.\n"
                    f"original.dtype: {original.dtype}\n"
                    f"right_inverse(original).dtype: {new.dtype}"
                )
            _set(original, new)  # the same object: an optimizer may have it already
            _register(self, "original", original)
        else:
            for index, each in enumerate(new):
                if not isinstance(each, Tensor):
                    raise ValueError(
                        "'right_inverse' must return a Tensor or a Sequence of tensors (list, tuple...). Got element "
                        f"{index} of the sequence with type {type(each).__name__}."
                    )
                part: Any = Parameter(each, original.requires_grad) if isinstance(original, Parameter) else each
                part.requires_grad_(original.requires_grad)
                _register(self, f"original{index}", part)
        if not unsafe:
            value = self()
            if not isinstance(value, Tensor):
                raise ValueError(f"A parametrization must return a tensor. Got {type(value).__name__}.")
            for what, before, after in (("dtype", dtype, value.dtype), ("shape", shape, value.shape)):
                if before != after:
                    raise ValueError(
                        f"Registering a parametrization may not change the {what} of the tensor, unless `unsafe` flag "
                        f"is enabled.\nunparametrized {what}: {before}\nparametrized {what}: {after}"
                    )

    def originals(self) -> list[Any]:
        """The tensors that the value is computed from."""
        return [self.original] if self.is_tensor else [getattr(self, f"original{i}") for i in range(self.ntensors)]

    @no_grad()
    def right_inverse(self, value: Any) -> None:
        """Set the tensors it starts from so that the parametrized one gets this value."""
        for module in reversed(list(self)):
            if not hasattr(module, "right_inverse"):
                raise RuntimeError(f"parametrization {type(module).__name__} does not implement right_inverse.")
            value = module.right_inverse(value)
        if self.is_tensor:
            if not isinstance(value, Tensor):
                raise ValueError(f"`right_inverse` should return a tensor. Got {type(value).__name__}")
            if value.dtype != self.original.dtype:
                raise ValueError(
                    f"The tensor returned by `right_inverse` has dtype {value.dtype} while `original` has dtype "
                    f"{self.original.dtype}"
                )
            _set(self.original, value)
            return
        if not isinstance(value, Sequence):
            raise ValueError(f"'right_inverse' must return a sequence of tensors. Got {type(value).__name__}.")
        if len(value) != self.ntensors:
            raise ValueError(
                f"'right_inverse' must return a sequence of tensors of length {self.ntensors}. Got a sequence of "
                f"length {len(value)}."
            )
        for index, (each, own) in enumerate(zip(value, self.originals())):
            if not isinstance(each, Tensor):
                raise ValueError(
                    "'right_inverse' must return a sequence of tensors or reference-type opaques. Got element "
                    f"{index} of type {type(each).__name__}."
                )
            if own.dtype != each.dtype:
                raise ValueError(
                    f"Tensor {index} returned by `right_inverse` has dtype {each.dtype} while `original{index}` has "
                    f"dtype {own.dtype}"
                )
            _set(own, each)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The value."""
        first, *others = self
        value = first(*self.originals())
        for module in others:
            value = module(value)
        return value


def register_parametrization(
    module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> Module:
    """Compute a parameter or buffer of the module by another module from now on; again for one more step.

    Unless `unsafe`, the value must keep its shape and dtype. Raises ValueError where it does not, or where nothing has
    this name.
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        if not unsafe:
            _check_step(module, tensor_name, parametrization)
        steps: Any = module.parametrizations[tensor_name]
        steps.append(parametrization)
        steps.unsafe |= unsafe
    elif tensor_name in module._buffers or tensor_name in module._parameters:
        steps = ParametrizationList([parametrization], getattr(module, tensor_name), unsafe=unsafe)
        delattr(module, tensor_name)
        if not is_parametrized(module):
            _give_class(module)
            module.parametrizations = ModuleDict()
        setattr(type(module), tensor_name, _computed(tensor_name))
        module.parametrizations[tensor_name] = steps
    else:
        raise ValueError(
            f"Module '{module}' does not have a parameter, a buffer, or a parametrized element with name "
            f"'{tensor_name}'"
        )
    return module


def _check_step(module: Module, name: str, parametrization: Any) -> None:
    """Raise where a further parametrization changes the shape or dtype, forth or back."""
    before = getattr(module, name)
    after = parametrization(before)
    if not isinstance(after, Tensor):
        raise ValueError(f"A parametrization must return a tensor. Got {type(after).__name__}.")
    for what in ("dtype", "shape"):
        if getattr(before, what) != getattr(after, what):
            raise ValueError(
                f"Registering a parametrization may not change the {what} of the tensor, unless the `unsafe` flag is "
                f"enabled.\nmodule.{name}.{what}: {getattr(before, what)}\n"
                f"parametrization(module.{name}).{what}: {getattr(after, what)}"
            )
    if not hasattr(parametrization, "right_inverse"):
        return
    try:
        back = parametrization.right_inverse(after)
    except NotImplementedError:
        return
    if not isinstance(back, Tensor):
        raise ValueError(f"parametrization.right_inverse must return a tensor. Got: {type(back).__name__}")
    for what in ("dtype", "shape"):
        if getattr(before, what) != getattr(back, what):
            raise ValueError(
                f"The tensor returned by parametrization.right_inverse must have the same {what} as module.{name}, "
                f"unless the `unsafe` flag is enabled.\nmodule.{name}.{what}: {getattr(before, what)}\n"
                f"returned {what}: {getattr(back, what)}"
            )


def _computed(name: str) -> property:
    """The property that computes a parametrized tensor."""

    def get(self: Any) -> Any:
        if not _caches:
            return self.parametrizations[name]()
        cache = _caches[0]
        key = (id(self), name)
        if key not in cache:
            cache[key] = self.parametrizations[name]()
        return cache[key]

    def assign(self: Any, value: Any) -> None:
        self.parametrizations[name].right_inverse(value)

    return property(get, assign)


def _give_class(module: Module) -> None:
    """Give the module a class of its own, which can have properties."""
    base = type(module)
    members = {"__deepcopy__": _deepcopy, "__reduce_ex__": _refuse_pickle}
    module.__class__ = type(f"Parametrized{base.__name__}", (base,), members)


def _deepcopy(self: Any, memo: dict[int, Any]) -> Any:
    found = memo.get(id(self))
    if found is not None:
        return found
    made = object.__new__(type(self))
    memo[id(self)] = made
    made.__dict__.update({name: copy.deepcopy(each, memo) for name, each in self.__dict__.items() if name not in OWN})
    _give_copied_class(made)
    return made


def _give_copied_class(module: Any) -> None:
    """A copy needs a class of its own: taking a parametrization off one module leaves the other's."""
    own = type(module)
    module.__class__ = type(own.__name__, own.__bases__, dict(own.__dict__))


def _refuse_pickle(self: Module, protocol: Any) -> NoReturn:
    raise RuntimeError(
        "Serialization of parametrized modules is only supported through state_dict(). See:\n"
        "https://pytorch.org/tutorials/beginner/saving_loading_models.html"
        "#saving-loading-a-general-checkpoint-for-inference-and-or-resuming-training"
    )


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether the module computes this tensor, or any if no name is given."""
    steps = getattr(module, "parametrizations", None)
    if not isinstance(steps, ModuleDict):
        return False
    return len(steps) > 0 if tensor_name is None else tensor_name in steps


def remove_parametrizations(module: Module, tensor_name: str, leave_parametrized: bool = True) -> Module:
    """Make the tensor a parameter or buffer again: with its computed value, or with the original's.

    Raises ValueError where it is not parametrized, or where there are several originals to be left.
    """
    if not is_parametrized(module, tensor_name):
        raise ValueError(f"Module {module} does not have a parametrization on {tensor_name}")
    steps: Any = module.parametrizations[tensor_name]
    if steps.is_tensor:
        kept = steps.original
        if leave_parametrized:
            with no_grad():
                _set(kept, getattr(module, tensor_name))
    elif leave_parametrized:
        value = getattr(module, tensor_name)
        kept = Parameter(value) if value.requires_grad else value
    else:
        raise ValueError(
            "Cannot leave unparametrized (`leave_parametrized=False`) a tensor that is parametrized in terms of a "
            "sequence of tensors."
        )
    delattr(type(module), tensor_name)
    del module.parametrizations[tensor_name]
    _register(module, tensor_name, kept)
    if not is_parametrized(module):
        del module.parametrizations
        module.__class__ = type(module).__bases__[0]
    return module


def type_before_parametrizations(module: Module) -> type:
    """The class that the module had before a tensor of it was parametrized."""
    return type(module).__bases__[0] if is_parametrized(module) else type(module)


def transfer_parametrizations_and_params(from_module: Any, to_module: Any, tensor_name: str | None = None) -> Any:
    """Give the parametrizations of one module, and the tensors they start from, to another of the same class."""
    if not is_parametrized(from_module):
        return to_module
    names = [tensor_name] if tensor_name is not None else list(from_module.parametrizations.keys())
    for name in names:
        if not hasattr(to_module, name):
            setattr(to_module, name, copy.deepcopy(from_module.parametrizations[name].original))
        for step in from_module.parametrizations[name]:
            register_parametrization(to_module, name, step)
        source, target = from_module.parametrizations[name], to_module.parametrizations[name]
        if hasattr(source, "original"):
            target.original = source.original
        else:
            for index in range(source.ntensors):
                setattr(target, f"original{index}", getattr(source, f"original{index}"))
    return to_module


def _register(module: Module, name: str, tensor: Any) -> None:
    if isinstance(tensor, Parameter):
        module.register_parameter(name, tensor)
    else:
        module.register_buffer(name, tensor)


def _set(target: Any, source: Any) -> None:
    """Let a tensor have the values, strides and memory of another."""
    if target is not source:
        target.data = source.detach()
