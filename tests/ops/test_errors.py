"""What ops say about operands that don't fit: the values, and the way out."""

from __future__ import annotations

import doctest
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from graphc.ir.dim import Size, symbol
from graphc.ir.dtype import DType, bf16, bool_, c64, f16, f32, f64, i32, i64, u32, u64
from graphc.ir.errors import ArgumentError, DTypeError, GraphcError, IndexOutOfRange, ShapeError
from graphc.ir.graph import Graph, Node, make_input
from graphc.ir.interpret import evaluate_graph
from graphc.ir.type import TensorType
from graphc.ops import along as al
from graphc.ops import build, check, indices, reduction
from graphc.ops import contraction as ct
from graphc.ops import creation as cr
from graphc.ops import elementwise as ew
from graphc.ops import indexing as ix
from graphc.ops import movement as mv
from graphc.ops import ordering as od
from graphc.ops import reduction as rd
from graphc.ops import requirement as rq
from graphc.ops import scan as sc
from tests.ops.element import CheckFailed, compute

N, M = symbol("n", 0, 100), symbol("m", 0, 100)


def t(*shape: Size, dtype: DType = f32) -> Node:
    """An input of this shape."""
    return make_input("x", TensorType(shape, dtype))


def window(x: Node, size: int, stride: int = 1, dilation: int = 1) -> Node:
    """Windows along axis 0."""
    return mv.window(x, axes=(0,), size=(size,), stride=(stride,), dilation=(dilation,))


ERRORS: tuple[tuple[Callable[[], Node], type[GraphcError], str, str], ...] = (
    (
        lambda: ew.add(t(2, 3), t(2, 4)),
        ShapeError,
        "add: the shapes [2,3] and [2,4] differ in axis 1, 3 and 4",
        "reshape",
    ),
    (lambda: ew.add(t(2), t(2, 4)), ShapeError, "add: the shapes [2] and [2,4] differ in rank", "broadcast"),
    (
        lambda: ew.mul(t(N), t(M)),
        ShapeError,
        "mul: the shapes [n] and [m] may differ: the sizes n and m of axis 0 are not known to be equal",
        "the same name",
    ),
    (lambda: ew.mul(t(N), t(N + 1)), ShapeError, "mul: the shapes [n] and [n + 1] differ in axis 0", "reshape"),
    (lambda: ew.add(t(2), t(2, dtype=i64)), DTypeError, "add: the dtypes float32 and int64 differ", "x.to('int64')"),
    (
        lambda: ew.add(t(2, dtype=bool_), t(2, dtype=bool_)),
        DTypeError,
        "add: takes integers, floats or complex numbers, not bool",
        "x.to('float32')",
    ),
    (lambda: ew.exp(t(2, dtype=i32)), DTypeError, "exp: takes floats or complex numbers, not int32", "x.to('float32')"),
    (
        lambda: ew.lt(t(dtype=c64), t(dtype=c64)),
        DTypeError,
        "lt: takes bools, integers or floats, not complex64",
        "x.to(",
    ),
    (
        lambda: ew.bitwise_and(t(), t()),
        DTypeError,
        "bitwise_and: takes bools or integers, not float32",
        "x.to('int64')",
    ),
    (
        lambda: ew.select(t(2), t(2), t(2)),
        DTypeError,
        "select: takes bools as the condition, not float32",
        "x.to('bool')",
    ),
    (
        lambda: ew.select(t(3, dtype=bool_), t(2), t(2)),
        ShapeError,
        "select: the shapes [3] and [2] differ in axis 0",
        "broadcast",
    ),
    (
        lambda: ew.complex_(t(dtype=f16), t(dtype=f16)),
        DTypeError,
        "complex: no complex dtype has parts of float16",
        "float32",
    ),
    (
        lambda: ew.bitcast(t(2), dtype=i64),
        DTypeError,
        "bitcast: float32 has 32 bits and int64 has 64",
        "the same width",
    ),
    (
        lambda: ew.bitcast(t(2, dtype=c64), dtype=i64),
        DTypeError,
        "bitcast: complex64 has no single word of bits",
        "real floats",
    ),
    (lambda: mv.reshape(t(2, 3), shape=(4,)), ShapeError, "reshape: [2,3] has 6 elements and [4] has 4", "product"),
    (
        lambda: mv.reshape(t(N, 3), shape=(M, 3)),
        ShapeError,
        "reshape: [n,3] has 3*n elements and [m,3] has 3*m, which are not known to be equal",
        "in terms of the old ones",
    ),
    (lambda: mv.permute(t(2, 3), axes=(0,)), ArgumentError, "permute: axes has 1 entries for 2 axes", "every axis"),
    (lambda: mv.permute(t(2, 3), axes=(0, 0)), ArgumentError, "permute: an axis is named twice in (0, 0)", "once"),
    (lambda: mv.permute(t(2, 3), axes=(0, 2)), ArgumentError, "permute: 2 is no axis of the shape [2,3]", "0 to 1"),
    (lambda: mv.broadcast(t(2), shape=(2, 2)), ShapeError, "broadcast: [2] has 1 axes and [2,2] has 2", "reshape"),
    (
        lambda: mv.broadcast(t(2, 3), shape=(2, 6)),
        ShapeError,
        "broadcast: from [2,3] to [2,6]: the size 3 of axis 1 is neither 1 nor 6",
        "size 1 repeat",
    ),
    (
        lambda: mv.broadcast(t(N), shape=(4,)),
        ShapeError,
        "broadcast: from [n] to [4]: the size n of axis 0 is not known to be 4",
        "repeat",
    ),
    (
        lambda: mv.broadcast(t(1), shape=(-1,)),
        ShapeError,
        "broadcast: the size of axis 0 is -1, less than 0",
        "0 or more",
    ),
    (
        lambda: mv.slice_(t(5), start=(0,), stop=(5,), step=(0,)),
        ShapeError,
        "slice: the step of axis 0 is 0, less than 1",
        "flip",
    ),
    (
        lambda: mv.slice_(t(5), start=(0,), stop=(6,), step=(1,)),
        ShapeError,
        "slice: the stop of axis 0 is 6, more than 5",
        "ends at 5",
    ),
    (
        lambda: mv.slice_(t(5), start=(4,), stop=(2,), step=(1,)),
        ShapeError,
        "slice: the start of axis 0 is 4, more than 2",
        "before",
    ),
    (
        lambda: mv.slice_(t(5), start=(-1,), stop=(2,), step=(1,)),
        ShapeError,
        "slice: the start of axis 0 is -1, less than 0",
        "begins",
    ),
    (
        lambda: mv.slice_(t(N), start=(0,), stop=(3,), step=(1,)),
        ShapeError,
        "slice: the stop of axis 0 is 3, which is not known to be at most n",
        "bounds that decide it",
    ),
    (
        lambda: mv.pad(t(3), t(), low=(-2,), high=(-2,), interior=(0,)),
        ShapeError,
        "pad: the padded size of axis 0 is -1, less than 0",
        "3 there are",
    ),
    (
        lambda: mv.pad(t(3), t(), low=(0,), high=(0,), interior=(-1,)),
        ShapeError,
        "pad: the interior of axis 0 is -1",
        "0 or more",
    ),
    (
        lambda: mv.pad(t(3), t(1), low=(0,), high=(0,), interior=(0,)),
        ShapeError,
        "pad: the value has the shape [1]",
        "index it",
    ),
    (
        lambda: mv.pad(t(3), t(), low=(0, 1), high=(0,), interior=(0,)),
        ArgumentError,
        "pad: low, high or interior has 2 entries for 1 axes",
        "every axis",
    ),
    (lambda: mv.flip(t(3, 2), axes=(1, 0)), ArgumentError, "flip: the axes (1, 0) are not in rising order", "sort"),
    (lambda: mv.concat(axis=0), ArgumentError, "concat: nothing to put together", "at least one"),
    (lambda: mv.concat(t(2, 3), t(2, 4), axis=0), ShapeError, "concat: the sizes of axis 1 differ, 3 and 4", "check"),
    (
        lambda: mv.concat(t(2, 3), t(2), axis=0),
        ShapeError,
        "concat: the shapes [2,3] and [2] differ in rank",
        "reshape",
    ),
    (
        lambda: mv.concat(t(2, N), t(2, M), axis=0),
        ShapeError,
        "concat: the sizes of axis 1 n and m are not known to be equal",
        "same name",
    ),
    (
        lambda: window(t(3), 5),
        ShapeError,
        "window: the number of windows of 5 elements, 1 apart, in the 3 of axis 0 is -1",
        "pad",
    ),
    (
        lambda: window(t(N), 3),
        ShapeError,
        "window: the number of windows of 3 elements, 1 apart, in the n of axis 0 is n - 2, which is not known",
        "bounds",
    ),
    (lambda: window(t(3), 0), ShapeError, "window: the size of the window along axis 0 is 0", "1 or more"),
    (
        lambda: mv.fold(t(4, 3), axes=(0,), size=(2,), stride=(1,), dilation=(1,), extent=(6,)),
        ShapeError,
        "fold: the shape [4,3] doesn't end in the windows' sizes [2]",
        "window gives",
    ),
    (
        lambda: mv.fold(t(4, 3), axes=(0,), size=(3,), stride=(1,), dilation=(1,), extent=(7,)),
        ShapeError,
        "fold: the numbers of windows along axis 0, given and in 7, differ, 4 and 5",
        "check",
    ),
    (lambda: rd.sum_(t(3), axes=(1,)), ArgumentError, "sum: 1 is no axis of the shape [3]", "0 to 0"),
    (lambda: rd.sum_(t(), axes=(0,)), ArgumentError, "sum: 0 is no axis of the shape []", "no axes"),
    (
        lambda: rd.prod(t(3, dtype=c64), axes=(0,)),
        DTypeError,
        "prod: takes bools, integers or floats, not complex64",
        "x.to",
    ),
    (lambda: rd.max_(t(3, 0), axes=(1,)), ShapeError, "max: axis 1 of the shape [3,0] is empty", "no such element"),
    (lambda: rd.max_(t(3, dtype=bool_), axes=(0,)), DTypeError, "max: takes integers or floats, not bool", "x.to"),
    (lambda: rd.argmin(t(0), axis=0), ShapeError, "argmin: axis 0 of the shape [0] is empty", "no such element"),
    (lambda: rd.any_(t(3), axes=(0,)), DTypeError, "any: takes bools, not float32", "x.to('bool')"),
    (
        lambda: rd.cumsum(t(3, dtype=bf16), axis=0),
        DTypeError,
        "cumsum: adds up int64, float32, float64 or complex numbers, not bfloat16",
        "x.to('float32')",
    ),
    (
        lambda: rd.cumsum(t(3, dtype=i32), axis=0),
        DTypeError,
        "cumsum: adds up int64, float32, float64 or complex numbers, not int32",
        "x.to('int64')",
    ),
    (
        lambda: ct.dot(t(2, 784), t(728, 10), contract=((1,), (0,))),
        ShapeError,
        "dot: the contracted sizes differ, 784 and 728",
        "check",
    ),
    (
        lambda: ct.dot(t(2, 3, 4), t(5, 4, 2), contract=((2,), (1,)), batch=((0,), (0,))),
        ShapeError,
        "dot: the batch sizes differ, 2 and 5",
        "check",
    ),
    (
        lambda: ct.dot(t(2, N), t(M, 2), contract=((1,), (0,))),
        ShapeError,
        "dot: the contracted sizes n and m are not known to be equal",
        "same name",
    ),
    (
        lambda: ct.dot(t(2), t(2), contract=((0,), ())),
        ArgumentError,
        "dot: contract names 1 axes of the left operand and 0 of the right",
        "pairs",
    ),
    (
        lambda: ct.dot(t(2), t(2, dtype=f64), contract=((0,), (0,))),
        DTypeError,
        "dot: the dtypes float32 and float64 differ",
        "x.to('float64')",
    ),
    (
        lambda: ct.dot(t(2, dtype=bool_), t(2, dtype=bool_), contract=((0,), (0,))),
        DTypeError,
        "dot: takes integers, floats or complex numbers, not bool",
        "x.to",
    ),
    (
        lambda: ix.gather(t(3), t(2), axis=0),
        DTypeError,
        "gather: takes integers as the index, not float32",
        "x.to('int64')",
    ),
    (
        lambda: ix.gather(t(0), t(2, dtype=i64), axis=0),
        ShapeError,
        "gather: axis 0 of the shape [0] is empty",
        "another axis",
    ),
    (
        lambda: ix.scatter(t(3), t(2, dtype=i64), t(3), axis=0, mode="set"),
        ShapeError,
        "scatter: the sizes of axis 0, of the updates and of what they go into, differ, 3 and 2",
        "check",
    ),
    (
        lambda: ix.scatter(t(3), t(2, dtype=i64), t(2, 2), axis=0, mode="set"),
        ShapeError,
        "scatter: the updates have the shape [2,2], not [2]",
        "index's axes",
    ),
    (
        lambda: ix.scatter(t(3), t(2, dtype=i64), t(2), axis=0, mode="and"),
        ArgumentError,
        "scatter: there is no mode 'and'",
        "set, add, mul, max, min",
    ),
    (
        lambda: al.take_along(t(3, 2), t(3, dtype=i64), axis=0),
        ShapeError,
        "take_along: an index of shape [3] for [3,2]",
        "the same number of axes",
    ),
    (
        lambda: al.take_along(t(3, 2), t(1, 4, dtype=i64), axis=0),
        ShapeError,
        "take_along: the index's size of axis 1 is 4, more than 2",
        "no longer than the operand",
    ),
    (
        lambda: al.put_along(t(3), t(2, dtype=i64), t(3), axis=0, mode="set"),
        ShapeError,
        "put_along: the shapes [2] and [3] differ in axis 0",
        "broadcast or reshape",
    ),
    (
        lambda: al.put_along(t(3, dtype=c64), t(2, dtype=i64), t(2, dtype=c64), axis=0, mode="max"),
        DTypeError,
        "put_along: takes integers or floats, not complex64",
        "x.to",
    ),
    (lambda: od.argsort(t(3), axis=0), DTypeError, "argsort: takes integers, not float32", "x.to('int64')"),
    (lambda: od.argsort(t(3, dtype=i64), axis=1), ArgumentError, "argsort: 1 is no axis of the shape [3]", "0 to 0"),
    (
        lambda: od.search(t(2, 3), t(3, 3), right=False),
        ShapeError,
        "search: the sizes of axis 0, of the sequence and of the values, differ, 2 and 3",
        "check the shapes",
    ),
    (
        lambda: od.search(t(2, 3), t(3), right=False),
        ShapeError,
        "search: a sequence of shape [2,3] for values of [3]",
        "the leading axes of the values",
    ),
    (lambda: sc.cumargmax(t(3, dtype=bool_), axis=0), DTypeError, "cumargmax: takes integers or floats, not bool", ""),
    (
        lambda: sc.recurrence(t(3, dtype=f16), t(3, dtype=f16), axis=0),
        DTypeError,
        "recurrence: adds up int64",
        "x.to('float32')",
    ),
    (lambda: sc.logcumsumexp(t(3, dtype=i64), axis=0), DTypeError, "logcumsumexp: takes floats, not int64", "float32"),
    (
        lambda: ix.scatter(t(3, dtype=f16), t(2, dtype=i64), t(2, dtype=f16), axis=0, mode="add"),
        DTypeError,
        "scatter: adds up int64",
        "x.to('float32')",
    ),
    (
        lambda: ix.dynamic_slice(t(3), t(dtype=i64), sizes=(4,)),
        ShapeError,
        "dynamic_slice: the size along axis 0 is 4, more than 3",
        "no more",
    ),
    (lambda: ix.dynamic_slice(t(3), sizes=(1,)), ArgumentError, "dynamic_slice: 0 starts for 1 axes", "every axis"),
    (
        lambda: ix.dynamic_slice(t(3), t(1, dtype=i64), sizes=(1,)),
        ShapeError,
        "dynamic_slice: the start of axis 0 has the shape [1]",
        "index it",
    ),
    (
        lambda: ix.dynamic_update(t(3), t(2), t()),
        DTypeError,
        "dynamic_update: takes integers as a start, not float32",
        "x.to('int64')",
    ),
    (
        lambda: cr.iota(shape=(3,), axis=0, dtype=bool_),
        DTypeError,
        "iota: takes integers or floats as its dtype, not bool",
        "x.to",
    ),
    (lambda: cr.iota(shape=(3,), axis=1, dtype=i64), ArgumentError, "iota: 1 is no axis of the shape [3]", "0 to 0"),
    (
        lambda: cr.random_bits(t(dtype=i64), shape=(3,), dtype=u32),
        DTypeError,
        "random_bits: the key has dtype int64",
        "uint64",
    ),
    (
        lambda: cr.random_bits(t(dtype=u64), shape=(3,), dtype=f32),
        DTypeError,
        "random_bits: no bits of dtype float32",
        "uint32",
    ),
)


@pytest.mark.parametrize("build_node, kind, message, way_out", ERRORS, ids=[text[:60] for _, _, text, _ in ERRORS])
def test_error_names_values_line_and_way_out(
    build_node: Callable[[], Node], kind: type[GraphcError], message: str, way_out: str
) -> None:
    with pytest.raises(kind) as caught:
        build_node()
    first, *rest = str(caught.value).splitlines()
    assert first.startswith(message)
    assert "test_errors.py" in rest[0]
    assert way_out in rest[1]


@pytest.mark.parametrize("index", (-4, 3, 2**40))
def test_index_out_of_range_is_found_by_interpreter_and_lowered_code(index: int) -> None:
    inputs = (t(3), make_input("i", TensorType((2,), i64)))
    node = ix.gather(*inputs, axis=0)
    arrays: tuple[Any, ...] = (np.zeros(3, np.float32), np.array([0, index]))
    with pytest.raises(IndexOutOfRange, match=f"index {index} is out of bounds for dimension 0 with size 3"):
        evaluate_graph(Graph("f", inputs, (node,)), arrays)
    with pytest.raises(CheckFailed):
        compute(node, arrays)


@pytest.mark.parametrize("index", (-1, 3))
def test_an_index_along_an_axis_counts_from_0_alone(index: int) -> None:
    inputs = (t(2, 3), make_input("i", TensorType((2, 1), i64)))
    arrays: tuple[Any, ...] = (np.zeros((2, 3), np.float32), np.array([[0], [index]]))
    message = f"index {index} is out of bounds for dimension 1 with size 3"
    node = al.take_along(*inputs, axis=1)
    with pytest.raises(IndexOutOfRange, match=message):
        evaluate_graph(Graph("f", inputs, (node,)), arrays)
    with pytest.raises(CheckFailed):
        compute(node, arrays)
    placed = al.put_along(*inputs, build.zeros_like(node), axis=1, mode="set")
    with pytest.raises(IndexOutOfRange, match=message):
        evaluate_graph(Graph("f", inputs, (placed,)), arrays)


def test_a_value_that_is_refused_is_named_in_the_message_of_the_requirement() -> None:
    inputs = (t(3), make_input("c", TensorType((3,), bool_)))
    node = rq.require(*inputs, message="{} is too large, {}")
    arrays: tuple[Any, ...] = (np.array([1.0, 2.5, 4.0], np.float32), np.array([True, False, False]))
    with pytest.raises(IndexOutOfRange, match=r"2\.5 is too large, 2\.5"):
        evaluate_graph(Graph("f", inputs, (node,)), arrays)
    with pytest.raises(CheckFailed):
        compute(node, arrays)


def test_examples_in_docstrings() -> None:
    for module in (check, indices, reduction):
        results = doctest.testmod(module)
        assert results.attempted > 0
        assert results.failed == 0
