"""Types of values, and what is wrong with things that should be types."""

from __future__ import annotations

import pytest

from graphc.ir.dim import symbol
from graphc.ir.dtype import bf16, c128, f32, i64
from graphc.ir.type import TensorType, TupleType, problem_of

n = symbol("n", 1, 64)


def test_a_tensor_type_knows_its_rank_and_extent() -> None:
    type = TensorType((n, 10), bf16)
    assert (type.rank, type.size, type.nbytes) == (2, 10 * n, 20 * n)
    assert (TensorType((), c128).rank, TensorType((), c128).size, TensorType((), c128).nbytes) == (0, 1, 16)
    assert TensorType((3, 0), f32).nbytes == 0


def test_types_are_equal_by_content() -> None:
    assert TensorType((n, 10), f32) == TensorType((symbol("n", 1, 64), 10), f32)
    assert TensorType((n, 10), f32) != TensorType((symbol("n", 0, 64), 10), f32)
    assert len({TensorType((2,), f32), TensorType((2,), f32), TensorType((2,), i64), TensorType((2, 1), f32)}) == 3
    assert TensorType((2,), f32).with_dtype(i64) == TensorType((2,), i64)
    assert TensorType((2,), f32).with_shape(()) == TensorType((), f32)


def test_types_print_short() -> None:
    assert str(TensorType((n + 1, 10), f32)) == "f32[n + 1,10]"
    assert str(TupleType((TensorType((), f32), TensorType((2,), i64)))) == "(f32[], i64[2])"
    assert str(TupleType(())) == "()"


FINE = (TensorType((), f32), TensorType((0, n, 2 * n - 1), f32), TupleType(()), TupleType((TensorType((n,), f32),)))
WRONG = (
    (None, "None is no type"),
    ("f32[2]", "'f32[2]' is no type"),
    (TensorType((2,), "f32"), "'f32' is no dtype"),  # type: ignore[arg-type]  # what is wrong is the point
    (TensorType([2], f32), "[2] is no shape"),  # type: ignore[arg-type]
    (TensorType((2.0,), f32), "a size is an int or symbolic, not 2.0"),  # type: ignore[arg-type]
    (TensorType((2, -1), f32), "the size -1 is negative"),
    (TensorType((-n,), f32), "the size -n is negative"),
    (TupleType((TensorType((-1,), f32),)), "the size -1 is negative"),
    (TupleType((TupleType(()),)), "TupleType(elements=()) is no type"),  # type: ignore[arg-type]
)


@pytest.mark.parametrize("type", FINE, ids=str)
def test_a_type_has_no_problem(type: object) -> None:
    assert problem_of(type) is None


@pytest.mark.parametrize(("type", "problem"), WRONG, ids=[problem for _, problem in WRONG])
def test_what_is_no_type_is_explained(type: object, problem: str) -> None:
    assert problem_of(type) == problem
