"""The rules of PyTorch at the edges: what wraps, what rounds once, zeros with signs, and what is refused as it runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc as g
from graphc.ir.errors import GraphcError
from graphc.ir.graph import INPUT, Graph, Node, make_input
from graphc.ir.interpret import evaluate_graph
from graphc.ir.type import TensorType
from graphc.ops.function import functions
from tests.composite.case import Values, interpret, native

INF, NAN = float("inf"), float("nan")


def u8(*numbers: int) -> Values:
    """Bytes."""
    return np.array(numbers, np.uint8)


def i64(*numbers: int) -> Values:
    """Long integers."""
    return np.array(numbers, np.int64)


def f32(*numbers: float) -> Values:
    """Floats."""
    return np.array(numbers, np.float32)


def f16(*numbers: float) -> Values:
    """Halves."""
    return np.array(numbers, np.float16)


def bits(*truths: bool) -> Values:
    """Bools."""
    return np.array(truths, np.bool_)


RULES: tuple[tuple[str, Callable[..., Any], tuple[Values, ...], Values], ...] = (
    ("a number wraps into the tensor's integers", lambda x: x + 300, (u8(7, 250),), u8(51, 38)),
    ("so does one that it is compared with", lambda x: x < 300, (u8(7, 250),), bits(True, False)),
    ("a negative factor wraps", lambda x: g.add(x, x, alpha=-3), (u8(1),), u8(254)),
    ("integers and a float number compare in float32", lambda x: x == 16777216.0, (i64(16777217),), bits(True)),
    ("a number beside halves is rounded with the result", lambda x: x * 0.1, (f16(1.5),), f16(0.1500244140625)),
    ("so is a tensor without dimensions", lambda x, y: x + y, (f16(1.5), np.float32(0.1)[()]), f16(1.599609375)),
    ("a remainder of 0 has the sign of the dividend", lambda x: x % 2.0, (f32(-4.0, 4.0),), f32(-0.0, 0.0)),
    ("an infinite divisor is added like any", lambda x: x % INF, (f32(-1.0, 1.0),), f32(INF, 1.0)),
    ("floors by an infinity", lambda x: x // INF, (f32(-1.0, 1.0, INF),), f32(-1.0, 0.0, NAN)),
    ("floors by 0", lambda x: x // 0.0, (f32(-1.0, 1.0),), f32(-INF, INF)),
    ("quotients of integers drop their fraction", lambda x: g.div(x, 2, rounding_mode="trunc"), (i64(-7),), i64(-3)),
    ("a bool squared is a number", g.square, (bits(True, False),), i64(1, 0)),
    ("a bool to the True is a bool", lambda x: x.pow(True), (bits(True, False),), bits(True, False)),
    ("integers to negative tensors", lambda x, y: x**y, (i64(2, 1, -1), i64(-1, -1, -1)), i64(0, 1, -1)),
    ("a power of floats is in float64", lambda x: g.float_power(x, 2), (i64(3),), np.array([9.0])),
    ("bounds that cross give the upper one", lambda x: x.clamp(3, 1), (i64(0, 2, 9),), i64(1, 1, 1)),
    ("a bound of nan wins", lambda x: x.clamp(min=NAN), (f32(1.0, 2.0),), f32(NAN, NAN)),
    ("a bound of floats makes integers floats", lambda x: x.clamp(1.5), (i64(7, -7),), f32(7.0, 1.5)),
    ("any of bytes is a byte", lambda x: x.any(0), (u8(0, 4),), np.uint8(1)[()]),
    ("all over no dimensions", lambda x: x.all(()), (f32(0.0, 2.0),), bits(False, True)),
    ("a sum in bytes wraps", lambda x: x.sum(dtype="uint8"), (u8(7, 250),), np.uint8(1)[()]),
    ("a product of complex numbers", g.prod, (np.array([1 + 2j, 3 - 1j]),), np.array(5 + 5j)),
    ("a spread of one element", g.var, (f32(1.0),), np.float32(NAN)[()]),
    ("logsumexp of nothing", lambda x: x.logsumexp(0), (f32(),), np.float32(-INF)[()]),
    ("softmax of nothing", lambda x: x.softmax(0), (f32(),), f32()),
    ("relu keeps the sign of 0 and nan", g.relu, (f32(-0.0, -1.0, NAN),), f32(-0.0, 0.0, NAN)),
    ("round to even", g.round, (f32(-0.5, 0.5, 1.5),), f32(-0.0, 0.0, 2.0)),
    ("floor of integers", g.floor, (i64(-3),), i64(-3)),
    (
        "a range of integers counts in integers",
        lambda x: x + g.arange(-0.9, 2.1, 2.0, dtype="int64"),
        (i64(0),),
        i64(0, 2),
    ),
    ("integers between integers", lambda x: x + g.linspace(4.3, 0, 5, dtype="int64"), (i64(0),), i64(4, 3, 2, 1, 0)),
    (
        "a factor of 0 drops what is nan",
        lambda x, y: g.addmm(x, y, y, beta=0),
        (f32(NAN), f32(2.0).reshape(1, 1)),
        f32(4.0).reshape(1, 1),
    ),
)


@pytest.mark.parametrize(("what", "build", "arrays", "expected"), RULES, ids=[rule[0] for rule in RULES])
@pytest.mark.parametrize("run", [interpret, native])
def test_rule(
    what: str, build: Callable[..., Any], arrays: tuple[Values, ...], expected: Values, run: Callable[..., Any]
) -> None:
    (found,) = run(build, *arrays)
    expected = np.asarray(expected)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)
    if found.dtype.kind == "f":
        np.testing.assert_array_equal(np.signbit(found)[found == 0], np.signbit(expected)[expected == 0])


REFUSED: tuple[tuple[str, tuple[Values, ...], str], ...] = (
    ("floor_divide", (i64(1, 2), i64(1, 0)), "ZeroDivisionError"),
    ("remainder", (i64(1, 2), i64(1, 0)), "ZeroDivisionError"),
    ("fmod", (i64(1, 2), i64(0)), "ZeroDivisionError"),
)


@pytest.mark.parametrize(("name", "arrays", "message"), REFUSED)
@pytest.mark.parametrize("run", [interpret, native])
def test_a_divisor_of_0_is_refused_as_it_runs(
    name: str, arrays: tuple[Values, ...], message: str, run: Callable[..., Any]
) -> None:
    with pytest.raises(RuntimeError, match=message):
        run(getattr(g, name), *arrays)


@pytest.mark.parametrize(
    ("name", "element", "number", "message"),
    [
        ("floor_divide", "int64", 0, "ZeroDivisionError"),
        ("pow", "int64", -1, "Integers to negative integer powers are not allowed."),
        ("clamp", "int8", 300, "value cannot be converted to type int8_t without overflow"),
        ("clamp", "int8", -129, "value cannot be converted to type int8_t without overflow"),
        ("clamp", "float16", 1e5, "value cannot be converted to type c10::Half without overflow"),
    ],
)
def test_a_number_that_comes_later_is_refused_as_it_comes(name: str, element: str, number: float, message: str) -> None:
    wide = g.int64 if isinstance(number, int) else g.float64
    x = make_input("x", TensorType((2,), getattr(g, element)))
    weak = Node(INPUT, (), (("name", "number"), ("weak", True)), TensorType((), wide))
    result: Any = functions()[name].build(x, weak)
    graph = Graph("f", (x, weak), (result,))
    array = np.ones(2, getattr(g, element).numpy)
    evaluate_graph(graph, (array, np.array(2, wide.numpy)))
    with pytest.raises(GraphcError, match=message.replace("(", r"\(")):
        evaluate_graph(graph, (array, np.array(number, wide.numpy)))


TEXTS: tuple[tuple[Callable[..., Any], tuple[str, ...], type[Exception], str], ...] = (
    (
        lambda x: x - x,
        ("bool[2]",),
        RuntimeError,
        "Subtraction, the `-` operator, with two bool tensors is not supported. Use the `^` or `logical_xor()` "
        "operator instead.",
    ),
    (lambda x: x // 0, ("i64[2]",), RuntimeError, "ZeroDivisionError"),
    (lambda x: x // x, ("bool[2]",), NotImplementedError, "\"div_floor_cpu\" not implemented for 'Bool'"),
    (lambda x: x & 1, ("f32[2]",), NotImplementedError, "\"bitwise_and_cpu\" not implemented for 'Float'"),
    (lambda x: x << x, ("bool[2]",), NotImplementedError, "\"lshift_cpu\" not implemented for 'Bool'"),
    (lambda x: x < x, ("c64[2]",), NotImplementedError, "\"lt_cpu\" not implemented for 'ComplexFloat'"),
    (
        lambda x: ~x,
        ("f32[2]",),
        TypeError,
        "~ (operator.invert) is only implemented on integer and Boolean-type tensors",
    ),
    (g.abs, ("bool[2]",), NotImplementedError, "\"abs_cpu\" not implemented for 'Bool'"),
    (g.floor, ("c64[2]",), NotImplementedError, "floor is not supported for complex inputs"),
    (
        lambda x: g.maximum(x, 1),
        ("f32[2]",),
        TypeError,
        "maximum(): argument 'other' (position 2) must be Tensor, not int",
    ),
    (
        lambda x: g.add(x, x, alpha=1.5),
        ("i64[2]",),
        RuntimeError,
        "For integral input tensors, argument alpha must not be a floating point number.",
    ),
    (
        lambda x: g.where(x > 0, x, 300),
        ("i8[2]",),
        RuntimeError,
        "value cannot be converted to type int8_t without overflow",
    ),
    (
        lambda x: g.lerp(x, x.double(), 0.5),
        ("f32[2]",),
        RuntimeError,
        "expected dtype float for `end` but got dtype double",
    ),
    (
        lambda x: x.amax(1),
        ("f32[2,0]",),
        IndexError,
        "amax(): Expected reduction dim 1 to have non-zero size.",
    ),
    (g.var, ("i64[2]",), RuntimeError, "std and var only support floating point and complex dtypes"),
)


@pytest.mark.parametrize(("build", "specs", "kind", "message"), TEXTS, ids=[text[3][:40] for text in TEXTS])
def test_an_error_has_the_words_and_the_class_of_pytorch(
    build: Callable[..., Any], specs: tuple[str, ...], kind: type[Exception], message: str
) -> None:
    with pytest.raises(GraphcError) as caught:
        g.symbolic_trace(build, *specs)
    assert caught.value.message == message
    assert isinstance(caught.value, kind)
