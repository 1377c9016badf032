"""Programs run launch by launch on the memory that their plan gives them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from graphc.ir.attribute import Array
from graphc.ir.dim import Size, Symbol
from graphc.ir.dtype import c64, f32, i64
from graphc.ir.errors import ArgumentError, IndexOutOfRange, ShapeError
from graphc.ir.location import Location
from graphc.ir.type import TensorType
from graphc.kernel.interpret import KernelFault, RaceFault, UnwrittenRead, run_program
from graphc.kernel.parse import parse_kernel
from graphc.kernel.program import CheckSite, ConstantData, Input, Launch, Memory, Output, Program, Temporary

N = Symbol("n", 0, 64)
ADD = parse_kernel(
    "kernel add { size n in 0..64 read x: f32[n] read y: f32[n] write z: f32[n] "
    "vector i < n { %0: f32 = load x[i] %1: f32 = load y[i] %2: f32 = add %0, %1 store z[i] = %2 } }"
)
TAIL = parse_kernel(
    "kernel tail { size n in 0..64 read x: f32[n] write z: f32[n] "
    "vector i < n - 1 { %0: f32 = load x[i + 1] store z[i] = %0 } }"
)
CHECKED = parse_kernel(
    "kernel gather { read x: f32[4] read g: i64[] write z: f32[1] %0: i64 = load g[0] %1: bool = lt %0, 4:i64 "
    "check %1 else 3 bind s < 4 = %0 %2: f32 = load x[s] store z[0] = %2 }".replace("i64[]", "i64[1]")
)
X, Y = Input(0, TensorType((N.size,), f32)), Input(1, TensorType((N.size,), f32))
Z = Output(0, TensorType((N.size,), f32))
ONE = np.array([1, 2, 3], np.float32)


def program(*launches: Launch, arena: Size = 0, **changes: object) -> Program:
    made = Program("p", (X, Y), (Z,), (), (N,), launches, arena)
    return replace(made, **changes)  # type: ignore[arg-type]


def piece(offset: Size, size: Size = 4 * N.size) -> Temporary:
    return Temporary(offset, size, f32)


def launch(*memories: Memory, kernel: object = ADD) -> Launch:
    return Launch(kernel, memories, (N.size,))  # type: ignore[arg-type]


def test_launches_run_in_order_over_the_arena() -> None:
    first, second = piece(0), piece(4 * N.size)
    p = program(launch(X, Y, first), launch(first, Y, second), launch(first, second, Z), arena=8 * N.size)
    (z,) = run_program(p, [ONE, 10 * ONE])
    assert (z == 32 * ONE).all()
    assert (ONE == [1, 2, 3]).all()


def test_a_result_may_take_the_place_of_an_operand() -> None:
    place = piece(0)
    p = program(launch(X, Y, place), launch(place, X, piece(0)), launch(place, Y, Z), arena=4 * N.size)
    (z,) = run_program(p, [ONE, 10 * ONE])
    assert (z == 22 * ONE).all()


def test_pieces_that_overlap_by_mistake_are_found() -> None:
    p = program(launch(X, Y, piece(0)), launch(piece(0), X, piece(4)), launch(X, Y, Z), arena=4 * N.size + 4)
    with pytest.raises(RaceFault, match="kernel add"):
        run_program(p, [ONE, ONE])


def test_reading_ahead_in_place_is_found() -> None:
    # The interpreter reads all before it writes any, vector code reads and writes in turn.
    place = piece(0)
    shift = Launch(TAIL, (place, place), (N.size,))
    with pytest.raises(RaceFault, match="another iteration of i"):
        run_program(program(launch(X, Y, place), shift, launch(X, Y, Z), arena=4 * N.size), [ONE, ONE])


def test_reading_what_no_launch_wrote_is_found() -> None:
    with pytest.raises(UnwrittenRead, match="reads an element that nothing has written at i = 0"):
        run_program(program(launch(X, piece(0), Z), arena=4 * N.size), [ONE, ONE])
    with pytest.raises(UnwrittenRead, match=r"element 2 of a result f32\[n\] is never written"):
        run_program(program(Launch(TAIL, (X, Z), (N.size,))), [ONE, ONE])


def test_memory_that_is_too_small_is_found() -> None:
    with pytest.raises(KernelFault, match="leaves the arena of 8 bytes"):
        run_program(program(launch(X, Y, piece(0)), arena=8), [ONE, ONE])
    with pytest.raises(KernelFault, match="takes 12 bytes, its memory has 8"):
        run_program(program(launch(X, Y, piece(0, 8)), arena=64), [ONE, ONE])


def test_constants_are_read_and_kept() -> None:
    constant = ConstantData(Array(5 * ONE))
    p = program(launch(X, constant, Z), constants=(constant,))
    assert (run_program(p, [ONE, ONE])[0] == 6 * ONE).all()
    with pytest.raises(KernelFault, match="writes to the constant bound to z"):
        run_program(program(launch(X, Y, constant), constants=(constant,)), [ONE, ONE])


def checked(checks: tuple[CheckSite, ...]) -> Program:
    x, g, z = Input(0, TensorType((4,), f32)), Input(1, TensorType((), i64)), Output(0, TensorType((1,), f32))
    return Program("p", (x, g), (z,), (), (), (Launch(CHECKED, (x, g, z), ()),), 0, checks)


def test_a_check_that_fails_is_the_users_error() -> None:
    here = Location("/home/user/train.py", 12)
    p = checked((CheckSite(3, "gather: index out of range", here),))
    x = np.arange(4, dtype=np.float32)
    assert run_program(p, [x, np.array(2)])[0] == 2
    with pytest.raises(IndexOutOfRange, match="gather: index out of range") as caught:
        run_program(p, [x, np.array(4)])
    assert caught.value.location is here
    with pytest.raises(KernelFault, match="reports the code 3, which stands for nothing"):
        run_program(checked(()), [x, np.array(4)])


def test_complex_arrays_are_bound_as_pairs() -> None:
    kernel = parse_kernel(
        "kernel k { read x: f32[4] write z: f32[4] vector i < 4 { %0: f32 = load x[i] store z[i] = %0 } }"
    )
    x, z = Input(0, TensorType((2,), c64)), Output(0, TensorType((2,), c64))
    p = Program("p", (x,), (z,), (), (), (Launch(kernel, (x, z), ()),), 0)
    given = np.array([1 + 2j, -3j], np.complex64)
    (result,) = run_program(p, [given])
    assert result.dtype == np.complex64
    assert (result == given).all()


@pytest.mark.parametrize("count", [0, 1, 64])
def test_sizes_come_from_shapes(count: int) -> None:
    x = np.ones(count, np.float32)
    (z,) = run_program(program(launch(X, Y, Z)), [x, x])
    assert z.shape == (count,)
    double = Input(0, TensorType((2 * N.size + 1,), f32))
    p = Program("p", (double,), (), (), (N,), (), N.size)
    assert run_program(p, [np.ones(7, np.float32)]) == ()


def test_arguments_have_to_fit() -> None:
    p = program(launch(X, Y, Z))
    with pytest.raises(ArgumentError, match="p takes 2 arguments, 1 given"):
        run_program(p, [ONE])
    with pytest.raises(ArgumentError, match=r"argument 1 is float64\(3,\), expected f32\[n\]"):
        run_program(p, [ONE, ONE.astype(float)])
    with pytest.raises(ShapeError, match="a dimension of p's arguments is 4, expected n"):
        run_program(p, [ONE, np.ones(4, np.float32)])
