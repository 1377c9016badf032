"""What graphc raises, in the user's terms.

An error's first line says what is wrong with the values; then comes the user's own file and line; then the way out.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from graphc.ir.location import Location


class GraphcError(Exception):
    """A mistake of the caller: what is wrong, where in the caller's code, and what would fix it."""

    def __init__(self, message: str, *, location: Location | None = None, hint: str | None = None) -> None:
        self.message = message
        self.location = location
        self.hint = hint
        self.is_brief = False
        """Whether `str` gives the message alone: an eager call was at fault, whose line stands in the traceback."""
        super().__init__(message)

    def __str__(self) -> str:
        lines = [self.message]
        if self.is_brief:
            return self.message
        if self.location is not None:
            lines.append(f"  at {self.location.describe()}")
        if self.hint is not None:
            lines.append(f"  {self.hint}")
        return "\n".join(lines)


# PyTorch has RuntimeError for most of these, where Python would have ValueError or TypeError: they are both.


class ShapeError(GraphcError, RuntimeError, ValueError):
    """Sizes that don't fit each other or the operation."""


class DTypeError(GraphcError, RuntimeError, TypeError):
    """Dtypes that don't fit the operation."""


class UnsupportedDType(DTypeError, NotImplementedError):
    """A dtype that the operation is not made for, where PyTorch has a NotImplementedError."""


class DeviceUnavailable(GraphcError, AssertionError, RuntimeError):
    """A device that has no memory in this build; PyTorch fails an assertion, or raises RuntimeError."""


class DeviceMismatch(GraphcError, RuntimeError, ValueError):
    """Tensors of one call that are on different devices."""


class MissingGradient(GraphcError, NotImplementedError):
    """A derivative that nobody has a formula for."""


class MissingFeature(GraphcError, NotImplementedError):
    """A part of PyTorch that graphc doesn't have, or has in another form."""


class ArgumentError(GraphcError, RuntimeError, ValueError):
    """An argument outside what the operation takes."""


class DimensionError(ArgumentError, IndexError):
    """A dimension that a tensor doesn't have."""


class IntegerOverflow(ArgumentError, OverflowError):
    """A Python int of more than 64 bits."""


class SignatureError(GraphcError, TypeError):
    """Arguments of other Python types than the function takes."""


class TraceError(GraphcError, TypeError):
    """Python code that asks a traced value for what only a run can know."""


class UnknownAttribute(GraphcError, AttributeError):
    """A method or property that a tensor doesn't have."""


class IndexOutOfRange(GraphcError, IndexError, RuntimeError, ValueError):
    """An index that names no element, or a value that an operation refuses, found while a program ran."""


class LinAlgError(GraphcError, RuntimeError):
    """A matrix that the operation can't take, found while a program ran: a singular one, say."""


class ParseError(GraphcError, ValueError):
    """Text that is no program of ours. `line` and `column` count from 1 and are in the message too, where known."""

    line: int | None = None
    column: int | None = None


class VerifyError(GraphcError):
    """A graph or kernel that breaks the rules of its level: a mistake of a pass, not of the caller."""


class MemoryExceeded(GraphcError, MemoryError, RuntimeError):
    """Sizes that overflow the address space or exhaust the memory."""


class CodeMemoryFull(MemoryExceeded):
    """No room for more native code in this process."""


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that is most like a wrong one, if any is close: it may have been meant."""
    from difflib import get_close_matches  # late: importing graphc must be quick, and few programs are wrong

    return next(iter(get_close_matches(word, list(known), n=1)), None)


def describe(value: object) -> str:
    """What kind of thing a value is."""
    return "None" if value is None else with_article(type(value).__name__)


def with_article(noun: str) -> str:
    """A noun with "a" or "an"."""
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"
