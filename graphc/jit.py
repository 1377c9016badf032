"""graphc.jit: names of TorchScript's. graphc has none: what is to be scripted or traced runs eagerly, as it is.

`script` and `trace` give back what they are given, and say so in one warning; decorators and questions that programs
put beside them are harmless. `graphc.compile` is what compiles. Files of scripted programs can't be read or written.

>>> is_scripting(), is_tracing(), annotate(int, 3)
(False, False, 3)
"""

from __future__ import annotations

import builtins
import contextlib
import functools
import types
import typing
import warnings
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple, NoReturn, TypeVar

from graphc.eager.guard import guarded
from graphc.ir.errors import MissingFeature
from graphc.nn.module import Module

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

__all__ = [
    "Attribute",
    "Error",
    "Final",
    "Future",
    "ScriptFunction",
    "ScriptModule",
    "annotate",
    "export",
    "fork",
    "freeze",
    "ignore",
    "interface",
    "is_scripting",
    "is_tracing",
    "isinstance",
    "load",
    "optimize_for_inference",
    "optimized_execution",
    "save",
    "script",
    "script_if_tracing",
    "script_method",
    "trace",
    "trace_module",
    "unused",
    "wait",
]


class Error(RuntimeError):
    """What TorchScript raises; graphc never does."""


class ScriptFunction:
    """The class of scripted functions, of which there are none."""


class ScriptModule(Module):
    """The base of modules that programs write as scripted ones: a module like others, which runs eagerly.

    What `script` gives back is none, but the module itself.
    """


class Attribute(NamedTuple):
    """A value with the type it was said to have."""

    value: Any
    type: Any


@functools.cache
def _say_once() -> None:
    warnings.warn(
        "graphc has no TorchScript: what torch.jit.script and torch.jit.trace are given stays as it is and runs "
        "eagerly; graphc.compile compiles functions, modules and training steps",
        stacklevel=4,
    )


def _unchanged(value: T) -> T:
    _say_once()
    return value


def script(obj: T, *args: Any, **kwargs: Any) -> T:
    """The function, class or module itself; a warning says that it runs eagerly."""
    return _unchanged(obj)


def trace(func: T, example_inputs: Any = None, *args: Any, **kwargs: Any) -> T:
    """The function or module itself; a warning says that it runs eagerly."""
    return _unchanged(func)


def trace_module(mod: T, inputs: Any, *args: Any, **kwargs: Any) -> T:
    """The module itself; a warning says that it runs eagerly."""
    return _unchanged(mod)


def freeze(mod: T, *args: Any, **kwargs: Any) -> T:
    """The module itself; a warning says that it runs eagerly."""
    return _unchanged(mod)


def optimize_for_inference(mod: T, *args: Any, **kwargs: Any) -> T:
    """The module itself; a warning says that it runs eagerly."""
    return _unchanged(mod)


def _refuse(what: str) -> NoReturn:
    raise MissingFeature(
        f"graphc has no TorchScript, so it can't {what} scripted programs",
        hint="torch.save and torch.load take the state_dict of a module",
    )


@guarded
def save(m: object, f: object, _extra_files: object = None) -> None:
    """Raises MissingFeature (a NotImplementedError)."""
    _refuse("write")


@guarded
def load(f: object, map_location: object = None, _extra_files: object = None) -> Any:
    """Raises MissingFeature (a NotImplementedError)."""
    _refuse("read")


# What stands beside scripted code


def is_scripting() -> bool:
    """Whether the code runs as TorchScript: False."""
    return False


def is_tracing() -> bool:
    """Whether the code is traced into TorchScript: False."""
    return False


def annotate(the_type: object, the_value: T) -> T:
    """The value."""
    return the_value


def export(fn: F) -> F:
    """The function."""
    return fn


def unused(fn: F) -> F:
    """The function."""
    return fn


def script_method(fn: F) -> F:
    """The method of a ScriptModule, as it is."""
    return fn


@contextlib.contextmanager
def optimized_execution(should_optimize: bool) -> Iterator[None]:
    """Nothing else than the code inside: there is no TorchScript to optimize or not."""
    yield


def ignore(drop: Any = False, **kwargs: Any) -> Any:
    """The function, whether it is called as `@ignore` or `@ignore(drop=True)`."""
    return drop if callable(drop) else lambda function: function


def interface(obj: T) -> T:
    """The class."""
    return obj


def script_if_tracing(fn: F) -> F:
    """The function: nothing is traced."""
    return fn


def isinstance(obj: object, target_type: Any) -> bool:
    """Whether the object is of a type, which may have parameters (`List[int]`) or be a union, or of one of a tuple."""
    if builtins.isinstance(target_type, tuple):
        return any(isinstance(obj, each) for each in target_type)
    origin, arguments = typing.get_origin(target_type), typing.get_args(target_type)
    if target_type is Any:
        return True
    if target_type is None:
        return obj is None
    if origin is None:
        return builtins.isinstance(obj, target_type)
    if origin in (typing.Union, types.UnionType):
        return any(isinstance(obj, each) for each in arguments)
    if not builtins.isinstance(obj, origin):
        return False
    if builtins.isinstance(obj, dict):
        return all(isinstance(k, arguments[0]) and isinstance(v, arguments[1]) for k, v in obj.items())
    if builtins.isinstance(obj, tuple) and not (len(arguments) == 2 and arguments[1] is ...):
        return len(obj) == len(arguments) and all(map(isinstance, obj, arguments))
    return all(isinstance(each, arguments[0]) for each in obj) if builtins.isinstance(obj, list | tuple) else True


class Future:
    """What `fork` gives: a result that is there already."""

    def __init__(self, result: object) -> None:
        self._result = result

    def value(self) -> Any:
        """The result."""
        return self._result

    wait = value


def fork(func: Callable[..., object], *args: object, **kwargs: object) -> Future:
    """Call the function, now."""
    return Future(func(*args, **kwargs))


def wait(future: Future) -> Any:
    """The result of what was forked."""
    return future.wait()
