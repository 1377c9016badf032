"""Where in the user's code a node comes from.

In: the running stack. Out: the innermost frame that isn't graphc's own. A pass that builds nodes on behalf of others
keeps their location with `using`.
"""

from __future__ import annotations

import linecache
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

_OWN_PACKAGE = "graphc"


@dataclass(frozen=True, slots=True)
class Location:
    """A line of the user's code."""

    file: str
    line: int
    function: str = ""

    def __str__(self) -> str:
        return f"{os.path.basename(self.file)}:{self.line}"

    def describe(self) -> str:
        """File, line, function and the line's text, as one line."""
        text = linecache.getline(self.file, self.line).strip()
        where = f"{self.file}:{self.line}" + (f" in {self.function}" if self.function else "")
        return f"{where}: {text}" if text else where


class _State(threading.local):
    override: Location | None = None
    active: bool = False


_state = _State()


def current_location() -> Location | None:
    """The location set by `using`, else the innermost frame outside graphc; None if there is none."""
    if _state.active:
        return _state.override
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        if not is_own(frame) and not code.co_filename.startswith("<frozen "):  # what starts `python -m` is frozen
            return Location(code.co_filename, frame.f_lineno, "" if code.co_name == "<module>" else code.co_name)
        frame = frame.f_back
    return None


def is_own(frame: FrameType) -> bool:
    """Whether the frame runs graphc's own code: that of the package, not of a file or package with a name like it."""
    module = frame.f_globals.get("__name__")  # code run by `exec` may have none, or anything
    if not isinstance(module, str):
        return False
    # An example in a docstring runs under the name of the module it explains, but it is a user's code.
    if module.partition(".")[0] == _OWN_PACKAGE:
        return not frame.f_code.co_filename.startswith("<doctest ")
    return module == "__main__" and _is_our_command(frame)


def _is_our_command(frame: FrameType) -> bool:
    """Whether the main module is the script `graphc` that the installer writes, or `python -m graphc`."""
    spec = frame.f_globals.get("__spec__")
    if getattr(spec, "name", None) == f"{_OWN_PACKAGE}.__main__":
        return True
    return os.path.splitext(os.path.basename(frame.f_code.co_filename))[0] == _OWN_PACKAGE and "sys" in frame.f_globals


@contextmanager
def using(location: Location | None) -> Iterator[None]:
    """Give every node built inside this location."""
    before = _state.override, _state.active
    _state.override, _state.active = location, True
    try:
        yield
    finally:
        _state.override, _state.active = before
