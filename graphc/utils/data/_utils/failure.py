"""Errors of workers, on their way to the loader: the type and the traceback's text.

In: the exception that is being handled. Out: one of the same type, raised in the loader's thread.
"""

from __future__ import annotations

import pickle
import traceback


class ExceptionWrapper:
    """An exception without its frames, which don't leave their process."""

    def __init__(self, error: BaseException, where: str) -> None:
        self.exc_type: type[BaseException] = type(error)
        self.exc_msg = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        self.where = where
        self._name = self.exc_type.__name__

    def for_process(self) -> ExceptionWrapper:
        """Itself, or with RuntimeError for a type that another process doesn't find."""
        try:
            pickle.dumps(self.exc_type)
        except Exception:
            self.exc_type = RuntimeError
        return self

    def reraise(self) -> None:
        """Raise the error, or a RuntimeError where its type can't be made from a text."""
        error = self._error(f"Caught {self._name} {self.where}.\nOriginal {self.exc_msg}")
        try:
            raise error
        finally:
            del error  # else its traceback's frame would keep it, and with it the loader's iterator and workers

    def _error(self, message: str) -> Exception:
        if not issubclass(self.exc_type, Exception):
            return RuntimeError(message)
        if issubclass(self.exc_type, KeyError):
            return self.exc_type(_Verbatim(message))
        try:
            return self.exc_type(message)
        except Exception:
            return RuntimeError(message)


class _Verbatim(str):
    """A text that KeyError, which shows the `repr` of its argument, shows as it is."""

    def __repr__(self) -> str:
        return str(self)
