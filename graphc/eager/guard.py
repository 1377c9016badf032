"""The border to users' code: errors that leave an eager call are brief and show the user's frames only.

In: a function. Out: the same, guarded. In: a class that others share their methods through. Out: methods that errors
call by the names of those classes.
"""

from __future__ import annotations

import functools
import re
import types
from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

from graphc.ir.boundary import hide_frames
from graphc.ir.errors import GraphcError, TraceError

R = TypeVar("R")


def guarded(function: Callable[..., R], is_python: bool = False) -> Callable[..., R]:
    """A public form of an eager function: its errors are brief and have the user's frames only.

    Of arguments that are missing it speaks as PyTorch's parser does, or, `is_python`, as Python does.
    """

    @functools.wraps(function, updated=())
    def call(*args: object, **kwargs: object) -> R:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            shorten(error, is_python)
            raise

    return call


def shorten(error: Exception, is_python: bool = False) -> None:
    """Let an error of ours say its message alone, as PyTorch's do; the way out becomes a note below the traceback.

    Errors of tracing, which PyTorch doesn't have, stay whole.
    """
    if isinstance(error, GraphcError) and not error.is_brief and not isinstance(error, TraceError):
        error.is_brief = True
        error.args = (error.message,)
        if error.hint is not None and hasattr(error, "add_note"):
            error.add_note(error.hint)
    elif type(error) is TypeError and error.args and not is_python:
        missing = _MISSING.fullmatch(str(error.args[0]))
        if missing is not None:
            names = ", ".join(f'"{name}"' for name in _NAME.findall(missing[2]))
            count = names.count(",") + 1
            error.args = (f"{missing[1]}() missing {count} required positional argument{'s' * (count == 1)}: {names}",)
    hide_frames(error)


class NamedByClass:
    """A base of private classes whose methods each public class below has under its own name.

    So what Python says of wrong arguments names the class that was called: `Conv2d.__init__() missing ...`.
    """

    _named: ClassVar[tuple[str, ...]] = ("__init__", "forward")

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.__name__.startswith("_"):
            return
        for name in cls._named:
            shared = getattr(cls, name)
            if shared.__qualname__.startswith("_"):
                own = types.FunctionType(
                    shared.__code__, shared.__globals__, name, shared.__defaults__, shared.__closure__
                )
                functools.update_wrapper(own, shared)
                del own.__wrapped__  # type: ignore[attr-defined]  # it is no wrapper
                own.__kwdefaults__ = shared.__kwdefaults__
                own.__qualname__ = f"{cls.__qualname__}.{name}"
                setattr(cls, name, own)


_MISSING = re.compile(r"([\w.]+)\(\) missing \d+ required (?:positional|keyword-only) arguments?: (.*)")
_NAME = re.compile(r"'(\w+)'")
"""What Python says of arguments that a call leaves out; PyTorch has its plural where there is one."""
