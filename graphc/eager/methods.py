"""What eager tensors can do, put onto `Tensor`: the table's methods, their forms in place, operators, autograd.

In: the table of functions. Out: `Tensor` with all its methods, and `free_functions`, the functions of `graphc` and its
namespaces, which compute at once on tensors and build nodes while a function is traced.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from graphc.eager import (
    assignment,
    compile,
    conversion,
    creation,
    dependent,
    distributions,
    generator,
    history,
    indexing,
    inplace,
    interop,
    memory,
    python_value,
    random,
    text,
    view,
)
from graphc.eager.dispatch import function_of
from graphc.eager.keyed import keyed_functions
from graphc.eager.out import with_out
from graphc.eager.tensor import Tensor
from graphc.eager.view import MAYBE_VIEWS, VIEWS, view_function
from graphc.frontend import tensor as symbolic
from graphc.frontend.entry import annotations_of, signature_of
from graphc.frontend.scope import TRACING, current_scope
from graphc.frontend.tensor import PROPERTIES, SymbolicTensor
from graphc.ir.boundary import hide_frames
from graphc.ir.errors import GraphcError
from graphc.ops.function import Function, functions

MODULES = (
    history,
    creation,
    interop,
    conversion,
    python_value,
    view,
    memory,
    inplace,
    indexing,
    assignment,
    dependent,
    text,
    generator,
    random,
    distributions,
)
"""What has functions, methods and attributes of eager tensors beside those of the table."""

OVERRIDES: dict[str, Callable[..., object]] = {
    name: function for module in MODULES for name, function in getattr(module, "FUNCTIONS", {}).items()
}
"""Functions that eager tensors compute in a way of their own, since their results depend on values or are memory of a
certain kind, and those that only eager tensors have. A name with a dot stands in that namespace."""
OVERRIDES |= keyed_functions(OVERRIDES.__contains__)

_AUGMENTED = {
    "__iadd__": "add", "__isub__": "sub", "__imul__": "mul", "__itruediv__": "div", "__ifloordiv__": "floor_divide",
    "__imod__": "remainder", "__ipow__": "pow", "__iand__": "bitwise_and", "__ior__": "bitwise_or",
    "__ixor__": "bitwise_xor", "__ilshift__": "bitwise_left_shift", "__irshift__": "bitwise_right_shift",
}  # fmt: skip


def eager_form(entry: Function) -> Callable[..., object]:
    """How an entry computes on eager tensors."""
    name = entry.name
    found = OVERRIDES.get(name)
    if found is not None:
        return found
    if name in VIEWS or name in MAYBE_VIEWS:
        return view_function(name)
    return function_of(name)


def guarded(function: Callable[..., object]) -> Callable[..., object]:
    """A public form of an eager function: its errors are brief and have the user's frames only."""

    @functools.wraps(function, updated=())
    def call(*args: object, **kwargs: object) -> object:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            shorten(error)
            raise

    return call


def shorten(error: Exception) -> None:
    """Let an error of ours say its message alone, as PyTorch's do; the way out becomes a note below the traceback."""
    if isinstance(error, GraphcError) and not error.is_brief:
        error.is_brief = True
        error.args = (error.message,)
        if error.hint is not None and hasattr(error, "add_note"):
            error.add_note(error.hint)
    hide_frames(error)


def free_function(entry: Function) -> Callable[..., object]:
    """The function of `graphc` that an entry gives: eager, or symbolic while a function is traced."""
    compute = eager_form(entry)
    if "out" not in signature_of(entry).parameters and "out" not in (getattr(compute, "__kwdefaults__", None) or ()):
        compute = with_out(compute, entry.name)
    build = symbolic.free_function(entry)

    def call(*args: object, **kwargs: object) -> object:
        if (TRACING and current_scope() is not None) or _is_symbolic(args, kwargs):
            return build(*args, **kwargs)
        try:
            return compute(*args, **kwargs)
        except Exception as error:
            shorten(error)
            raise

    functools.update_wrapper(call, build)
    return call


def _is_symbolic(args: tuple[object, ...], kwargs: dict[str, object]) -> bool:
    for each in args:
        if type(each) is Tensor:
            return False
        if isinstance(each, SymbolicTensor):
            return True
        if isinstance(each, list | tuple) and any(isinstance(one, SymbolicTensor) for one in each):
            return True
    return any(isinstance(each, SymbolicTensor) for each in kwargs.values())


def free_functions(namespace: str = "") -> dict[str, Callable[..., object]]:
    """The functions of `graphc` or of one of its namespaces, by short name."""
    found: dict[str, Callable[..., object]] = {}
    for name, entry in functions().items():
        where, _, short = name.rpartition(".")
        if where == namespace and entry.is_function:
            found[short] = free_function(entry)
    if not namespace:
        found |= {f"{name}_": guarded(inplace.in_place(name)) for name in inplace.FREE if name in functions()}
    for name, function in OVERRIDES.items():
        where, _, short = name.rpartition(".")
        if where == namespace and short not in found and not short.startswith("_"):
            found[short] = guarded(function)
    return found


def _method(name: str, compute: Callable[..., object]) -> Callable[..., object]:
    def method(self: Tensor, *args: object, **kwargs: object) -> object:
        try:
            return compute(self, *args, **kwargs)
        except Exception as error:
            shorten(error)
            raise

    method.__name__ = name
    method.__qualname__ = f"Tensor.{name}"
    method.__module__ = "graphc"
    return method


def install() -> None:
    """Put everything onto `Tensor`, and let compiled functions take tensors."""
    compile.install()
    for entry in functions().values():
        name = entry.name
        if not entry.is_method or name in vars(Tensor):
            continue
        method = _method(name, eager_form(entry))
        method.__doc__ = entry.build.__doc__
        signature = signature_of(entry)
        method.__signature__ = signature  # type: ignore[attr-defined]  # inspect.signature asks for it
        method.__annotations__ = annotations_of(signature)
        setattr(Tensor, name, property(method) if name in PROPERTIES else method)
    for name in inplace.IN_PLACE:
        if name in functions():
            setattr(Tensor, f"{name}_", _method(f"{name}_", inplace.in_place(name)))
    for operator, name in _AUGMENTED.items():
        setattr(Tensor, operator, _method(operator, inplace.in_place(name)))
    for module in MODULES:
        for name, function in getattr(module, "METHODS", {}).items():
            setattr(Tensor, name, _method(name, function))
        for name, (getter, setter, deleter) in getattr(module, "ATTRIBUTES", {}).items():
            written: list[Any] = [None if each is None else _method(name, each) for each in (setter, deleter)]
            setattr(Tensor, name, property(getter, *written))
