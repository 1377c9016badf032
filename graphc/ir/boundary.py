"""The border between the user's code and ours: errors cross it without our frames.

Level: above `errors`, `location` and `settings`. In: a function that users call. Out: the same function, whose errors
have a traceback of the user's own frames only; the last is the line that called us, or the line of the user's function
that failed while we ran it. Whatever looks like a mistake of ours keeps all frames (a VerifyError, an exception raised
in our code or in a library that it calls), and GRAPHC_TRACEBACK=1 brings them back for every error.

    @hide_internal_frames
    def softmax(x: Tensor, dim: int) -> Tensor: ...
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from types import TracebackType
from typing import ParamSpec, TypeVar

from graphc.ir.errors import GraphcError, VerifyError
from graphc.ir.location import current_location, is_own
from graphc.ir.settings import settings

if sys.version_info < (3, 11):
    import ctypes

P = ParamSpec("P")
R = TypeVar("R")

_LIBRARIES = sys.stdlib_module_names | {"llvmlite", "ml_dtypes", "networkx", "numpy"}
"""Modules that graphc calls: an error in a frame of theirs right below ours is ours."""


def hide_internal_frames(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function of the public interface; calls may nest, with the user's functions between."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            hide_frames(error)
            # A bare `raise` leaves the traceback as it is: any other form would add this frame to it.
            raise

    return call


def hide_frames(error: Exception) -> None:
    """What the decorator does to an error; a function too hot for it calls this in a handler and raises again.

    An error of ours that names no line yet gets that of the user's innermost frame: the call that led here.
    """
    if isinstance(error, GraphcError) and error.location is None and not isinstance(error, VerifyError):
        error.location = current_location()
    if _is_users_mistake(error) and not _shows_all():
        _strip(error)


def _shows_all() -> bool:
    try:
        return settings().traceback
    except GraphcError:  # a setting is malformed: that is the error under way
        return False


def users_frames(traceback: TracebackType | None) -> TracebackType | None:
    """The traceback without graphc's own frames."""
    kept: list[TracebackType] = []
    while traceback is not None:
        if not is_own(traceback.tb_frame):
            kept.append(traceback)
        traceback = traceback.tb_next
    result: TracebackType | None = None
    for each in reversed(kept):
        result = TracebackType(result, each.tb_frame, each.tb_lasti, each.tb_lineno)
    return result


def _is_users_mistake(error: Exception) -> bool:
    if isinstance(error, GraphcError):
        return not isinstance(error, VerifyError)
    if isinstance(error, RecursionError):
        return True  # we iterate; whoever called too deep, the frames in between say nothing
    below: TracebackType | None = None  # the frame that our innermost one called
    traceback = error.__traceback__
    while traceback is not None:
        if is_own(traceback.tb_frame):
            below = traceback.tb_next
        traceback = traceback.tb_next
    if below is None:
        return False
    module = below.tb_frame.f_globals.get("__name__")
    return not isinstance(module, str) or module.partition(".")[0] not in _LIBRARIES


def _strip(error: Exception) -> None:
    """Leave the user's frames alone in the error's traceback and in those of its causes."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        cause.__traceback__ = users_frames(cause.__traceback__)
        if isinstance(cause, GraphcError):
            cause.__suppress_context__ = True  # what we caught on the way is an internal matter
        cause = cause.__cause__ if cause.__suppress_context__ else cause.__context__
    if sys.version_info < (3, 11):
        _set_handled(error)


if sys.version_info < (3, 11):

    def _set_handled(error: BaseException) -> None:
        """Let a bare `raise` use the error's present traceback: until 3.11 the interpreter keeps one of its own."""
        api = getattr(ctypes, "pythonapi", None)
        if api is None or sys.implementation.name != "cpython":
            return
        parts = (type(error), error, error.__traceback__)
        for part in parts:
            api.Py_IncRef(ctypes.py_object(part))  # PyErr_SetExcInfo takes over one reference to each
        api.PyErr_SetExcInfo(*map(ctypes.py_object, parts))
