"""How a function is called: its arguments in one order, however the caller passed them, and what each is called.

In: a function, positional and keyword arguments. Out: a `Call`, the same for `f(1, 2)` and `f(b=2, a=1)`. Defaults that
the caller leaves alone are no arguments: the function fills them in itself.

>>> def f(a, *, b): ...
>>> Signature(f).bind((1,), {"b": 2})
Call(values=(1, 2), keywords=('b',))
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from graphc.frontend.tree import Structure
from graphc.ir.errors import ArgumentError
from graphc.ir.location import Location


@dataclass(frozen=True, slots=True)
class Call:
    """The values of all arguments; the last ones are passed by the names in `keywords`."""

    values: tuple[object, ...]
    keywords: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Order:
    """A `Call` with positions for values."""

    values: tuple[int, ...]
    keywords: tuple[str, ...]


def apply(function: Callable[..., object], values: tuple[object, ...], keywords: tuple[str, ...]) -> object:
    """Call the function with the values of a `Call`."""
    if not keywords:
        return function(*values)
    count = len(values) - len(keywords)
    return function(*values[:count], **dict(zip(keywords, values[count:])))


class Signature:
    """What is known of a function's parameters; of some builtins that is nothing."""

    def __init__(self, function: Callable[..., object]) -> None:
        self.name = name_of(function)
        self.location = definition_of(function)
        self._orders: dict[tuple[int, tuple[str, ...]], Order] = {}
        try:
            self.signature: inspect.Signature | None = inspect.signature(function)
        except (TypeError, ValueError):
            self.signature = None

    def bind(self, args: tuple[object, ...], kwargs: Mapping[str, object]) -> Call:
        """The call in its one form; raises ArgumentError where the function can't be called like this."""
        if not kwargs:
            return Call(args)
        # Which value goes where depends on the names alone, and asking `inspect` takes longer than a small program.
        form = len(args), tuple(kwargs)
        order = self._orders.get(form)
        if order is None:
            order = self._orders[form] = self._order(*form)
        given = (*args, *kwargs.values())
        return Call(tuple([given[position] for position in order.values]), order.keywords)

    def _order(self, count: int, names: tuple[str, ...]) -> Order:
        """The call of `count` positional arguments and these keywords, with the position of each in place of it."""
        args, kwargs = tuple(range(count)), {name: position for position, name in enumerate(names, count)}
        if self.signature is None:
            return Order((*args, *(kwargs[name] for name in sorted(kwargs))), tuple(sorted(kwargs)))
        bound = self._bound(self.signature, args, kwargs)
        positional, named = bound.args, bound.kwargs
        keywords = [name for name in self.signature.parameters if name in named]
        keywords += sorted(name for name in named if name not in keywords)
        return Order((*positional, *(named[name] for name in keywords)), tuple(keywords))

    def check(self, call: Call) -> None:
        """Raise ArgumentError where the function can't be called with so many arguments."""
        if self.signature is not None:
            count = len(call.values) - len(call.keywords)
            self._bound(self.signature, call.values[:count], dict(zip(call.keywords, call.values[count:])))

    def parameters(self, call: Call) -> tuple[str, ...]:
        """A name for each value of the call."""
        known = list(self.signature.parameters.values()) if self.signature is not None else []
        named = [p for p in known if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        rest = next((p.name for p in known if p.kind is p.VAR_POSITIONAL), "argument")
        first = len(named) if any(p.kind is p.VAR_POSITIONAL for p in known) else 0
        count = len(call.values) - len(call.keywords)
        positional = [named[i].name if i < len(named) else f"{rest}_{i - first}" for i in range(count)]
        return (*positional, *call.keywords)

    def leaf_names(self, call: Call, structure: Structure) -> tuple[str, ...]:
        """A name for each leaf of the call's values: the parameter's, with the way to the leaf behind it."""
        parameters = self.parameters(call)
        return tuple(
            path for name, entry in zip(parameters, structure.entries, strict=True) for path in entry.paths(name)
        )

    def _bound(
        self, signature: inspect.Signature, args: tuple[object, ...], kwargs: Mapping[str, object]
    ) -> inspect.BoundArguments:
        try:
            return signature.bind(*args, **kwargs)
        except TypeError as error:
            raise ArgumentError(f"{self.name}: {error}", hint=f"it is {self.name}{short_text(signature)}") from None


def short_text(signature: inspect.Signature) -> str:
    """The parameters without their annotations."""
    parameters = [each.replace(annotation=inspect.Parameter.empty) for each in signature.parameters.values()]
    return str(signature.replace(parameters=parameters, return_annotation=inspect.Signature.empty))


def name_of(function: Callable[..., object]) -> str:
    """A name for the function's graph."""
    while isinstance(function, functools.partial):
        function = function.func
    name = str(getattr(function, "__name__", type(function).__name__))
    return name if name.isidentifier() else "function"


def definition_of(function: Callable[..., object]) -> Location | None:
    """Where the function is written, if it is written in Python."""
    while isinstance(function, functools.partial):
        function = function.func
    inner = inspect.unwrap(function)
    method = vars(type(inner)).get("__call__")  # of an object that can be called
    code = getattr(inner, "__code__", None) or getattr(method, "__code__", None)
    return None if code is None else Location(code.co_filename, code.co_firstlineno, code.co_name)
