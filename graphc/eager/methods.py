"""What eager tensors can do, put onto `Tensor`: the table's methods, their forms in place, operators, autograd.

In: the table of functions. Out: `Tensor` with all its methods, and `free_functions`, the functions of `graphc` and its
namespaces, which compute at once on tensors and build nodes while a function is traced.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graphc.eager import (
    assignment,
    attributes,
    backward,
    compile,
    conversion,
    copying,
    creation,
    dependent,
    determinism,
    distributions,
    dlpack,
    generator,
    history,
    indexing,
    inplace,
    interop,
    legacy,
    memory,
    process,
    python_value,
    random,
    ranges,
    shapes,
    subclass,
    text,
    view,
    view_copy,
    windows,
)
from graphc.eager.autocast import autocast_call
from graphc.eager.call_errors import argument_error, is_operand
from graphc.eager.dispatch import EagerFunction, function_of
from graphc.eager.guard import guarded, shorten
from graphc.eager.keyed import keyed_functions
from graphc.eager.out import with_out
from graphc.eager.subclass import is_overridden
from graphc.eager.tensor import Tensor
from graphc.eager.view import MAYBE_VIEWS, VIEWS, view_function
from graphc.eager.watch import WATCHING
from graphc.frontend.autocast import CASTING
from graphc.frontend.autocast_rules import is_listed
from graphc.frontend.entry import show_as
from graphc.frontend.scope import TRACING, current_scope
from graphc.frontend.tensor import PROPERTIES, SymbolicTensor
from graphc.frontend.tensor import call as call_symbolically
from graphc.ir.boundary import hide_frames
from graphc.ops.function import Function, functions

MODULES = (
    history,
    creation,
    ranges,
    interop,
    dlpack,
    conversion,
    python_value,
    view,
    memory,
    view_copy,
    inplace,
    indexing,
    assignment,
    backward,
    dependent,
    text,
    generator,
    random,
    distributions,
    attributes,
    copying,
    subclass,
    legacy,
    shapes,
    determinism,
    process,
    windows,
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


def of_table(name: str) -> Callable[..., Any]:
    """The function of `graphc` that the entry of this name gives, for Python code that computes with tensors."""
    return free_function(functions()[name])


def free_function(entry: Function, shown: str | None = None) -> Callable[..., object]:
    """The function of `graphc` that an entry gives: eager, or symbolic while a function is traced.

    Errors about arguments call it by its name, or as `shown` if that is given.
    """
    shown = shown or entry.name
    compute = eager_form(entry)
    of_one, of_two, plain = _ways(compute)
    if "out" not in entry.build.__annotations__ and "out" not in (getattr(compute, "__kwdefaults__", None) or ()):
        compute = with_out(compute, entry.name)
    described = OVERRIDES.get(entry.name, entry.build)
    casting = CASTING if is_listed(entry.name) else ()

    def call(*args: object, **kwargs: object) -> object:
        if not kwargs and args and type(args[0]) is Tensor and not (TRACING or WATCHING or casting):  # what runs most
            try:
                count = len(args)
                found = of_two(*args) if count == 2 else of_one(*args) if count == 1 else None
                return plain(*args) if found is None else found
            except Exception as error:
                wrong = argument_error(described, shown, args, kwargs, error)
                if wrong is not None:
                    raise wrong from None
                shorten(error)
                raise
        if (TRACING and current_scope() is not None) or (special := _special(args, kwargs)) is SymbolicTensor:
            try:
                return call_symbolically(entry, args, kwargs)
            except Exception as error:
                hide_frames(error)
                raise
        if special is not None and is_overridden(special):
            return special.__torch_function__(call, (special,), args, kwargs)
        try:
            return autocast_call(entry, compute, args, kwargs) if casting else compute(*args, **kwargs)
        except Exception as error:
            wrong = argument_error(described, shown, args, kwargs, error)
            if wrong is not None:
                raise wrong from None
            shorten(error)
            raise

    namespace, _, short = entry.name.rpartition(".")
    call.__name__ = call.__qualname__ = short
    call.__module__ = f"graphc.{namespace}" if namespace else "graphc"
    show_as(call, entry)
    return call


def _ways(compute: Callable[..., object]) -> tuple[Callable[..., object], ...]:
    """The short ways of a form on one argument and on two, and the long one; only table entries have short ones."""
    if isinstance(compute, EagerFunction):
        return compute.of_one, compute.of_two, compute.compute
    return _no_way, _no_way, compute


def _no_way(*args: object) -> None:
    """In place of a short way."""


def _special(args: tuple[object, ...], kwargs: dict[str, object]) -> Any:
    """SymbolicTensor, or the subclass of Tensor, that the first tensor among the arguments is; None for a Tensor."""
    for each in (*args, *kwargs.values()):
        kind = type(each)
        if kind is Tensor:
            return None
        if isinstance(each, SymbolicTensor):
            return SymbolicTensor
        if isinstance(each, Tensor):
            return kind
        if isinstance(each, list | tuple):
            found = next((one for one in each if isinstance(one, Tensor | SymbolicTensor)), None)
            if found is not None and type(found) is not Tensor:
                return SymbolicTensor if isinstance(found, SymbolicTensor) else type(found)
    return None


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


_KEEP_CLASS = ("T", "data", "imag", "real")
"""Attributes of a subclass's tensors that are tensors of it too."""


_OPERATORS = frozenset(
    f"__{prefix}{name}__"
    for prefix in ("", "r", "i")
    for name in "add sub mul truediv floordiv mod pow matmul and or xor lshift rshift eq ne lt le gt ge".split()
)
"""Methods that Python calls with one operand."""


def _method(
    name: str,
    compute: Callable[..., object],
    build: Callable[..., object] | None = None,
    entry: Function | None = None,
) -> Callable[..., object]:
    """A method that computes so; `build` tells its parameters, if `compute` doesn't, `entry` what `autocast` asks."""
    of_one, of_two, plain = _ways(compute)
    casting = CASTING if entry is not None and is_listed(entry.name) else ()
    has_short_ways = isinstance(compute, EagerFunction)
    described = build or compute

    def method(self: Tensor, *args: object, **kwargs: object) -> object:
        kind = type(self)
        if kind is not Tensor and is_overridden(kind):
            return kind.__torch_function__(method, (kind,), (self, *args), kwargs)  # type: ignore[attr-defined]
        try:
            if casting:
                assert entry is not None, "what is listed is in the table"
                return autocast_call(entry, compute, (self, *args), kwargs)
            if has_short_ways and not (kwargs or WATCHING):
                count = len(args)
                found = of_two(self, args[0]) if count == 1 else None if count else of_one(self)
                if found is not None:
                    return found
            return plain(self, *args, **kwargs)
        except Exception as error:
            instead = _instead(error, name, described, (self, *args), kwargs)
            if instead is not None:
                raise instead from None
            raise

    def operator(self: Tensor, other: object) -> object:
        kind = type(self)
        if kind is not Tensor and is_overridden(kind):
            return kind.__torch_function__(operator, (kind,), (self, other), {})  # type: ignore[attr-defined]
        try:
            if casting:
                assert entry is not None, "what is listed is in the table"
                return autocast_call(entry, compute, (self, other), {})
            found = None if WATCHING else of_two(self, other)
            return plain(self, other) if found is None else found
        except Exception as error:
            if not is_operand(other, name):
                return NotImplemented
            shorten(error)
            raise

    made = operator if name in _OPERATORS else method
    made.__name__ = name
    made.__qualname__ = f"Tensor.{name}"
    made.__module__ = "graphc"
    return made


def _instead(
    error: Exception, name: str, described: Callable[..., object], args: tuple[object, ...], kwargs: dict[str, object]
) -> Exception | None:
    """What to raise for a call that failed; None where that is its own error, which is brief then."""
    if not name.startswith("__"):
        wrong = argument_error(described, name, args, kwargs, error, is_method=True)
        if wrong is not None:
            return wrong
    shorten(error)
    return None


def install() -> None:
    """Put everything onto `Tensor`, and let compiled functions take tensors."""
    compile.install()
    for entry in functions().values():
        name = entry.name
        if not entry.is_method or name in vars(Tensor):
            continue
        method = _method(name, eager_form(entry), OVERRIDES.get(name, entry.build), entry)
        show_as(method, entry)
        setattr(Tensor, name, property(method) if name in PROPERTIES else method)
    for name in inplace.IN_PLACE:
        if name in functions():
            build = functions()[name].build
            setattr(Tensor, f"{name}_", _method(f"{name}_", inplace.in_place(name), build))
    for operator, name in _AUGMENTED.items():
        setattr(Tensor, operator, _method(operator, inplace.in_place(name)))
    for module in MODULES:
        for name, function in getattr(module, "METHODS", {}).items():
            setattr(Tensor, name, _method(name, function))
        for name, (getter, setter, deleter) in getattr(module, "ATTRIBUTES", {}).items():
            written: list[Any] = [None if each is None else _method(name, each) for each in (setter, deleter)]
            setattr(Tensor, name, property(_method(name, getter) if name in _KEEP_CLASS else getter, *written))
    for name, member in {**subclass.STATIC, **legacy.STATIC}.items():
        setattr(Tensor, name, member)
