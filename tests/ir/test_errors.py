"""Errors: what they say, in which order, and which built-in exceptions they are."""

from __future__ import annotations

import copy
import pickle

import pytest

from graphc.ir import errors
from graphc.ir.errors import GraphcError, ParseError, ShapeError
from graphc.ir.location import Location

BUILT_IN = (
    (errors.ShapeError, ValueError),
    (errors.DTypeError, TypeError),
    (errors.ArgumentError, ValueError),
    (errors.TraceError, TypeError),
    (errors.IndexOutOfRange, IndexError),
    (errors.ParseError, ValueError),
    (errors.MemoryExceeded, MemoryError),
)


@pytest.mark.parametrize(("kind", "base"), BUILT_IN)
def test_errors_are_caught_as_what_python_would_raise(kind: type[GraphcError], base: type[Exception]) -> None:
    with pytest.raises(base, match="what is wrong"):
        raise kind("what is wrong")
    assert issubclass(kind, GraphcError)


def test_first_what_is_wrong_then_where_then_the_way_out() -> None:
    error = ShapeError("dot: 784 and 728 differ", location=Location("nowhere.py", 12, "loss"), hint="transpose w")
    assert str(error) == "dot: 784 and 728 differ\n  at nowhere.py:12 in loss\n  transpose w"
    assert str(ShapeError("dot: 784 and 728 differ")) == "dot: 784 and 728 differ"


def test_errors_survive_copies_and_processes() -> None:
    error = ParseError("3:7: expected ','", location=Location("nowhere.py", 12), hint="add one")
    error.line, error.column = 3, 7
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(again) is ParseError
        assert str(again) == str(error)
        assert (again.line, again.column, again.location) == (3, 7, error.location)
