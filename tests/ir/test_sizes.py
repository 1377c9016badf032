"""Symbolic sizes: their values from the shapes of arguments, and graphs with the values put in."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from graphc.ir.dim import symbol
from graphc.ir.dtype import f32, i64
from graphc.ir.errors import ArgumentError, DTypeError, GraphcError, ShapeError
from graphc.ir.graph import FUSED, Graph, make_input
from graphc.ir.location import Location, using
from graphc.ir.op import Op
from graphc.ir.sizes import bind_sizes, check_arguments, fix_sizes
from graphc.ir.spec import parse_specs
from graphc.ir.text import print_graph
from graphc.ir.type import TensorType
from graphc.ir.verify import verify
from graphc.ops import creation, elementwise, movement, reduction


def taking(*specs: str) -> Graph:
    types = parse_specs(specs)
    inputs = tuple(make_input(name, type) for name, type in zip("xyzw", types))
    return Graph("step", inputs, inputs[:1])


SOLVED = (
    (("f32[]",), ((),), {}),
    (("f32[3,4]",), ((3, 4),), {}),
    (("f32[n,10]",), ((5, 10),), {"n": 5}),
    (("f32[n]",), ((0,),), {"n": 0}),
    (("f32[n,m]", "f32[m,n]"), ((2, 3), (3, 2)), {"n": 2, "m": 3}),
    (("f32[2*n]",), ((8,),), {"n": 4}),
    (("f32[2*n + 1]",), ((9,),), {"n": 4}),
    (("f32[10 - n]",), ((7,),), {"n": 3}),
    # What is known helps to find the rest, in any order.
    (("f32[n*m]", "f32[n]"), ((12,), (3,)), {"n": 3, "m": 4}),
    (("f32[n + m + k]", "f32[m + k]", "f32[k]"), ((9,), (5,), (2,)), {"k": 2, "m": 3, "n": 4}),
    (("f32[n // 2,n % 4,n]",), ((3, 2, 6),), {"n": 6}),
    (("f32[n*m + (m // 2)]", "f32[m]"), ((14,), (4,)), {"m": 4, "n": 3}),
    (("f32[min(n, 4),n]",), ((4, 9),), {"n": 9}),
    (("f32[n] where n in 1..4096",), ((4096,),), {"n": 4096}),
)


@pytest.mark.parametrize(("specs", "shapes", "values"), SOLVED)
def test_sizes_follow_from_shapes(
    specs: tuple[str, ...], shapes: tuple[tuple[int, ...], ...], values: dict[str, int]
) -> None:
    assert bind_sizes(taking(*specs), shapes) == values


UNFIT = (
    (("f32[3]",), ((3,), (3,)), "step takes 1 argument, 2 given"),
    (("f32[3]", "f32[3]"), ((3,),), "step takes 2 arguments, 1 given"),
    (("f32[3]",), ((3, 1),), "argument x has 2 dimensions, shape (3, 1); its type f32[3] has 1"),
    (("f32[3,n]",), ((),), "argument x has 0 dimensions, shape (); its type f32[3,n] has 2"),
    (("f32[n,3]",), ((7, 4),), "dimension 1 of argument x is 4, expected 3 (its type is f32[n,3])"),
    (
        ("f32[n,3]", "f32[n]"),
        ((7, 3), (8,)),
        "dimension 0 of argument y is 8, expected 7, as n is 7 by dimension 0 of argument x",
    ),
    (
        ("f32[n]", "f32[2*n]"),
        ((7,), (15,)),
        "dimension 0 of argument y is 15, expected 2*n = 14, as n is 7 by dimension 0 of argument x",
    ),
    (
        ("f32[n]", "f32[m]", "f32[n + m]"),
        ((7,), (1,), (9,)),
        "dimension 0 of argument z is 9, expected m + n = 8, "
        "as m is 1 by dimension 0 of argument y and n is 7 by dimension 0 of argument x",
    ),
    (("f32[2*n]",), ((7,),), "dimension 0 of argument x is 7, which is 2*n for no whole n"),
    (("f32[n] where n in 1..8",), ((9,),), "dimension 0 of argument x is 9; n is within 1..8"),
    (("f32[n] where n in 1..",), ((0,),), "dimension 0 of argument x is 0; n is at least 1"),
    (("f32[2*n] where n in 1..8",), ((18,),), "dimension 0 of argument x is 18, so n is 9; n is within 1..8"),
    (("f32[n + 5]",), ((3,),), "dimension 0 of argument x is 3, so n is -2; n is at least 0"),
    (("f32[n*n]",), ((9,),), "the size n can't be found: dimension 0 of argument x gives n*n = 9"),
    (("f32[n*m]",), ((9,),), "the size m and n can't be found: dimension 0 of argument x gives m*n = 9"),
    (("f32[n // 2]",), ((9,),), "the size n can't be found: dimension 0 of argument x gives (n // 2) = 9"),
    (("f32[n*m]", "f32[n]"), ((0,), (0,)), "the size m can't be found: dimension 0 of argument x gives m*n = 0"),
    (
        ("f32[2*n,n]",),
        ((7, 3),),
        "dimension 0 of argument x is 7, expected 2*n = 6, as n is 3 by dimension 1 of argument x",
    ),
    (("f32[m,n,k + m // n]",), ((4, 0, 1),), "argument x: the size (m // n) + k divides by zero"),
    (("f32[m,n,m // n]",), ((4, 0, 1),), "argument x: the size (m // n) divides by zero"),
)


@pytest.mark.parametrize(("specs", "shapes", "message"), UNFIT, ids=[m[:40] for _, _, m in UNFIT])
def test_shapes_that_do_not_fit_are_explained(
    specs: tuple[str, ...], shapes: tuple[tuple[int, ...], ...], message: str
) -> None:
    with pytest.raises((ShapeError, ArgumentError)) as caught:
        bind_sizes(taking(*specs), shapes)
    assert caught.value.message == message


def test_a_size_that_can_not_be_found_comes_with_the_way_out() -> None:
    with pytest.raises(ShapeError, match="give the size n a dimension of its own in one of the arguments"):
        bind_sizes(taking("f32[n*n]"), ((9,),))


WRONG_ARGUMENTS: tuple[tuple[object, type[GraphcError], str], ...] = (
    ([1.0, 2.0], ArgumentError, "argument x is of type list, expected an array f32[n]"),
    ("text", ArgumentError, "argument x is of type str, expected an array f32[n]"),
    (None, ArgumentError, "argument x is of type NoneType, expected an array f32[n]"),
    (np.zeros(3), DTypeError, "argument x has dtype float64, expected float32 (f32[n])"),
    (np.array(["a"]), DTypeError, "argument x has dtype <U1, expected float32 (f32[n])"),
    (np.array([object()]), DTypeError, "argument x has dtype object, expected float32 (f32[n])"),
    (np.float32(1), ShapeError, "argument x has 0 dimensions, shape (); its type f32[n] has 1"),
)


@pytest.mark.parametrize(("value", "kind", "message"), WRONG_ARGUMENTS, ids=[m for _, _, m in WRONG_ARGUMENTS])
def test_what_is_no_such_array_is_refused(value: object, kind: type[GraphcError], message: str) -> None:
    with pytest.raises(kind) as caught:
        check_arguments(taking("f32[n]"), [value])
    assert caught.value.message == message


def test_a_wrong_dtype_comes_with_the_conversion() -> None:
    with pytest.raises(DTypeError, match=r"convert it: x.astype\('float32'\)"):
        check_arguments(taking("f32[n]"), [np.zeros(3)])


def test_the_order_of_bytes_in_memory_does_not_matter() -> None:
    assert check_arguments(taking("f32[n]"), [np.zeros(3, ">f4")]) == {"n": 3}


n = symbol("n", 0, 64)


def graph_with_sizes_everywhere() -> Graph:
    x = make_input("x", TensorType((n, 4), f32))
    row = movement.reshape(creation.iota(shape=(n,), axis=0, dtype=f32), shape=(n, 1))
    a = make_input("a", x.tensor)
    body = Graph("body", (a,), (elementwise.neg(movement.slice_(a, start=(0, 0), stop=(n, 4), step=(2, 1))),))
    y = FUSED(elementwise.add(x, movement.broadcast(row, shape=x.shape)), body=body)
    return Graph("step", (x,), (y, creation.size(value=n * 4, dtype=i64), reduction.sum_(x, axes=(0, 1))))


def test_numbers_take_the_place_of_sizes_in_types_attributes_and_bodies() -> None:
    fixed = fix_sizes(graph_with_sizes_everywhere(), {"n": 5})
    verify(fixed)
    assert fixed.sizes == ()
    assert print_graph(fixed, locations=False) == (
        """\
graph step(%x: f32[5,4]) {
  %0 = iota() {axis=0, dtype=f32, shape=(5)} : f32[5]
  %1 = reshape(%0) {shape=(5,1)} : f32[5,1]
  %2 = broadcast(%1) {shape=(5,4)} : f32[5,4]
  %3 = add(%x, %2) : f32[5,4]
  %4 = fused(%3) {body=graph body(%a: f32[5,4]) {
    %0 = slice(%a) {start=(0,0), step=(2,1), stop=(5,4)} : f32[3,4]
    %1 = neg(%0) : f32[3,4]
    return %1
  }} : f32[3,4]
  %5 = size() {dtype=i64, value=20} : i64[]
  %6 = sum(%x) {axes=(0,1)} : f32[]
  return %4, %5, %6
}
"""
    )


def test_a_graph_without_those_sizes_stays_the_same_object() -> None:
    graph = graph_with_sizes_everywhere()
    assert fix_sizes(graph, {}) is graph
    assert fix_sizes(graph, {"m": 5}) is graph
    fixed = fix_sizes(graph, {"n": 5})
    assert fix_sizes(fixed, {"n": 7}) is fixed


def test_a_size_below_zero_is_reported_where_it_arises(probe: Op) -> None:
    x = make_input("x", TensorType((n,), f32))
    with using(Location("train.py", 12)):
        short = probe(x, value=1)
    broken = type(short)(short.op, short.inputs, short.attributes, TensorType((n - 5,), f32), short.location)
    with pytest.raises(ShapeError) as caught:
        fix_sizes(Graph("step", (x,), (broken,)), {"n": 3})
    assert str(caught.value) == "probe: the size n - 5 is -2 for n = 3\n  at train.py:12"


def test_a_division_by_a_size_of_zero_is_reported_where_it_arises(probe: Op) -> None:
    x = make_input("x", TensorType((n,), f32))
    with pytest.raises(ShapeError, match=r"probe: the size \(100 // n\) divides by zero for n = 0"):
        fix_sizes(Graph("step", (x,), (probe(x, value=100 // n),)), {"n": 0})


@pytest.mark.parametrize("seed", range(30))
def test_random_graphs_are_valid_with_numbers(seed: int, random_graph: Callable[[int], Graph]) -> None:
    fixed = fix_sizes(random_graph(seed), {"n": 5, "m": 3})
    verify(fixed)
    assert fixed.sizes == ()
