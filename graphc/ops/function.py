"""The table of functions and methods: every name of the tensor language, once.

Level: between ops and the ways to write programs. An entry's `build` takes nodes (and plain Python values) in PyTorch's
argument order and returns nodes. The symbolic tensors of the frontend and eager tensors are made from this table: what
one has as a function or method, the other has too.

    @function(method=True)
    def relu(input: Node) -> Node:
        \"\"\"max(x, 0), element by element.\"\"\"
"""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar, cast

Build = TypeVar("Build", bound=Callable[..., object])


@dataclass(frozen=True, slots=True)
class Function:
    """One entry: its name, what builds it, and where the name is to be found."""

    name: str
    build: Callable[..., object]
    is_function: bool
    """`graphc.name(x, ...)`; a name with a dot stands in that namespace."""
    is_method: bool
    """`x.name(...)`."""


_FUNCTIONS: dict[str, Function] = {}


def function(
    *, method: bool = False, free: bool = True, names: tuple[str, ...] = (), namespace: str = ""
) -> Callable[[Build], Build]:
    """Enter a builder into the table under its own name (without a trailing underscore) and under `names`.

    With a namespace ("linalg") its own name is in there: the function is `graphc.linalg.name`. `names` are whole names:
    "linalg.det" is in a namespace, "det" is in graphc itself. Only names outside namespaces can be methods.
    """

    def enter(build: Build) -> Build:
        build = _with_named_rest(build)
        own = build.__name__ if build.__name__.startswith("__") else build.__name__.rstrip("_")
        for name in (f"{namespace}.{own}" if namespace else own, *names):
            assert name not in _FUNCTIONS, f"{name} is in the table already"
            _FUNCTIONS[name] = Function(name, build, free, method and "." not in name)
        return build

    return enter


def _with_named_rest(build: Build) -> Build:
    """A builder whose last positional parameter takes any number of values, `*dims`, also takes them as `dims=`."""
    rest = _name_of_rest(build)
    if rest is None:
        return build

    @functools.wraps(build)
    def named(*args: object, **kwargs: object) -> object:
        if rest in kwargs:
            args = (*args, kwargs.pop(rest))
        return build(*args, **kwargs)

    return cast("Build", named)  # it is called in the same ways, and one more


def _name_of_rest(build: Callable[..., object]) -> str | None:
    """The parameter that takes all further positional arguments; from the code, as signatures take long to make."""
    plain = inspect.unwrap(build, stop=lambda each: hasattr(each, "__signature__"))
    if not isinstance(plain, types.FunctionType) or hasattr(plain, "__signature__"):
        found = inspect.signature(build).parameters.values()
        return next((each.name for each in found if each.kind is each.VAR_POSITIONAL), None)
    code = plain.__code__
    if not code.co_flags & inspect.CO_VARARGS:
        return None
    return code.co_varnames[code.co_argcount + code.co_kwonlyargcount]


def functions() -> dict[str, Function]:
    """The whole table, by name."""
    # The entries stand in modules that import this one.
    import graphc.ops.composite  # noqa: F401

    return _FUNCTIONS
