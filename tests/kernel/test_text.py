"""Kernels as text: what is printed, that it reads back, and what the key of a kernel holds."""

from __future__ import annotations

import math
import struct
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphc.ir.attribute import Array
from graphc.ir.dim import Symbol
from graphc.ir.dtype import f32, f64, i64
from graphc.ir.location import Location
from graphc.ir.type import TensorType
from graphc.kernel.ir import Apply, Buffer, Kernel, Literal, Load, Loop, LoopKind, Space, Statement, Store, Value
from graphc.kernel.parse import parse_kernel
from graphc.kernel.program import CheckSite, ConstantData, Input, Launch, Output, Program, Temporary
from graphc.kernel.text import kernel_key, literal_text, print_kernel, print_program, statement_text
from graphc.kernel.verify import verify_kernel
from tests.kernel.kernels import MATMUL, SOFTMAX, TEXTS, RandomKernel


@pytest.mark.parametrize("name", TEXTS)
def test_text_reads_back_as_itself(name: str) -> None:
    kernel = parse_kernel(TEXTS[name])
    verify_kernel(kernel)
    assert print_kernel(kernel) == TEXTS[name]


@given(st.integers(0, 10**9))
@settings(max_examples=100, deadline=None)
def test_random_kernels_read_back(seed: int) -> None:
    kernel = RandomKernel(seed).kernel
    verify_kernel(kernel)
    text = print_kernel(kernel)
    again = parse_kernel(text)
    verify_kernel(again)
    assert print_kernel(again) == text
    assert kernel_key(again) == kernel_key(kernel)


@given(st.floats(allow_nan=True, allow_subnormal=True))
def test_floats_read_back_to_the_bit(number: float) -> None:
    kernel = Kernel("k", (Y,), (), (Store(Y, 0, Literal(number, f64)),), frozenset({Y}))
    (statement,) = parse_kernel(print_kernel(kernel)).body
    assert isinstance(statement, Store)
    assert isinstance(statement.operand, Literal)
    assert isinstance(statement.operand.value, float)
    assert struct.pack("<d", statement.operand.value) == struct.pack("<d", number)


Y = Buffer("y", f64, 4)


@pytest.mark.parametrize(
    "value, text",
    [
        (0.0, "0.0"),
        (-0.0, "-0.0"),
        (math.inf, "inf"),
        (-math.inf, "-inf"),
        (math.nan, "nan"),
        (-math.nan, "-nan"),
        (struct.unpack("<d", struct.pack("<Q", 0xFFF800000000ABCD))[0], '-nan("7ff800000000abcd")'),
        (5e-324, "5e-324"),
        (1e300, "1e+300"),
        (True, "true"),
        (-(2**63), "-9223372036854775808"),
    ],
)
def test_literal_text(value: float, text: str) -> None:
    assert literal_text(value) == text


def one_loop(**changes: object) -> Kernel:
    """y[i] = x[i] * 2 for i < 8, with parts replaced."""
    x = Buffer(str(changes.get("x", "x")), changes.get("dtype", f32), changes.get("size", 8))  # type: ignore[arg-type]
    y = Buffer("y", f32, 8)
    i = Symbol(str(changes.get("i", "i")), 0, 7)
    a, b = Value(str(changes.get("a", "a")), f32), Value(str(changes.get("b", "b")), f32)
    body: tuple[Statement, ...] = (
        Load(a, x, i.size * int(str(changes.get("stride", 1)))),
        Apply(b, str(changes.get("op", "mul")), (a, changes.get("literal", Literal(2.0, f32)))),  # type: ignore[arg-type]
        Store(y, i.size, b),
    )
    kind = changes.get("kind", LoopKind.PARALLEL)
    loop = Loop(i, 8, kind, body)  # type: ignore[arg-type]
    writes = changes.get("writes", frozenset({y}))
    return Kernel(str(changes.get("name", "k")), (x, y), (), (loop,), writes if writes else frozenset({x, y}))  # type: ignore[arg-type]


@pytest.mark.parametrize("change", [{"name": "other"}, {"x": "z"}, {"a": "c"}, {"a": "b"}, {"a": ""}, {"i": "zz"}])
def test_the_key_leaves_out_names(change: dict[str, object]) -> None:
    assert kernel_key(one_loop(**change)) == kernel_key(one_loop())


@pytest.mark.parametrize(
    "change",
    [
        {"op": "add"},
        {"literal": Literal(-2.0, f32)},
        {"literal": Literal(2.0, f64)},
        {"kind": LoopKind.VECTOR},
        {"size": 16},
        {"dtype": f64},
        {"stride": 2},
        {"writes": None},
    ],
)
def test_the_key_holds_what_code_depends_on(change: dict[str, object]) -> None:
    assert kernel_key(one_loop(**change)) != kernel_key(one_loop())


def test_the_key_tells_zeros_and_bounds_apart() -> None:
    assert kernel_key(one_loop(literal=Literal(0.0, f32))) != kernel_key(one_loop(literal=Literal(-0.0, f32)))
    narrow = SOFTMAX.replace("1..64", "1..63")
    assert kernel_key(parse_kernel(narrow)) != kernel_key(parse_kernel(SOFTMAX))
    serial = MATMUL.replace(" parallel {", " {")
    assert kernel_key(parse_kernel(serial)) != kernel_key(parse_kernel(MATMUL))


def test_the_key_does_not_depend_on_the_order_that_names_give_to_terms() -> None:
    swapped = (
        SOFTMAX.replace("10*i + j", "j + 10*zi").replace("10*i + k", "k + 10*zi").replace("parallel i", "parallel zi")
    )
    assert swapped != SOFTMAX
    assert kernel_key(parse_kernel(swapped)) == kernel_key(parse_kernel(SOFTMAX))


def test_names_are_made_unique() -> None:
    values = [Value("a", f32), Value("a", f32), Value("a_1", f32), Value("", f32), Value("", f32), Value("a b", f32)]
    body = tuple(Apply(v, "neg", (Literal(1.0, f32),)) for v in values)
    scratch = Buffer("x", f32, 1)
    kernel = Kernel("two words", (Buffer("x", f32, 1), scratch, Buffer("p q", f32, 1)), (), body, frozenset({scratch}))
    text = print_kernel(kernel)
    assert text == (
        'kernel "two words" {\n'
        "  read x: f32[1]\n"
        "  write x_1: f32[1]\n"
        '  read "p q": f32[1]\n'
        "  %a: f32 = neg 1.0:f32\n"
        "  %a_1: f32 = neg 1.0:f32\n"
        "  %a_1_1: f32 = neg 1.0:f32\n"
        "  %0: f32 = neg 1.0:f32\n"
        "  %1: f32 = neg 1.0:f32\n"
        '  %"a b": f32 = neg 1.0:f32\n'
        "}\n"
    )
    assert print_kernel(parse_kernel(text)) == text


def test_bounds_other_than_the_extent_say_so() -> None:
    text = "kernel k {\n  size n in 2..n2\n  serial i < n in -1..100 {\n  }\n}\n".replace("n2", "9")
    kernel = parse_kernel(text)
    (loop,) = kernel.body
    assert isinstance(loop, Loop)
    assert loop.symbol == Symbol("i", -1, 100)
    assert kernel.sizes == (Symbol("n", 2, 9),)
    assert print_kernel(kernel) == text


def test_statement_text_is_the_line() -> None:
    kernel = parse_kernel(SOFTMAX)
    (loop,) = kernel.body
    assert isinstance(loop, Loop)
    assert statement_text(kernel, loop) == "parallel i < n {"
    assert statement_text(kernel, loop.body[-1]) == "vector j < 10 {"
    other = replace(loop, kind=LoopKind.SERIAL)
    assert statement_text(kernel, other) == "a statement that the kernel does not hold"


def test_a_long_kernel_prints_and_parses() -> None:
    y = Buffer("y", f32, 5000)
    body = tuple(Store(y, position, Literal(float(position), f32)) for position in range(5000))
    text = print_kernel(Kernel("long", (y,), (), body, frozenset({y})))
    assert print_kernel(parse_kernel(text)) == text


def test_a_program_shows_its_memory() -> None:
    n = Symbol("n", 1, 64)
    kernel = parse_kernel(SOFTMAX)
    x, y = Input(0, TensorType((n.size, 10), f32)), Output(0, TensorType((n.size, 10), f32))
    small, large = ConstantData(Array(np.arange(3))), ConstantData(Array(np.zeros(100, np.float32)))
    scratch = Temporary(64, n.size * 40, f32)
    here = Location("/home/user/train.py", 12)
    program = Program(
        "step", (x,), (y,), (small, large), (n,),
        (Launch(kernel, (x, scratch), (n.size,), here), Launch(kernel, (scratch, y), (n.size,))),
        n.size * 40 + 64, (CheckSite(3, "gather: index out of range", here),),
    )  # fmt: skip
    digest = large.value.digest.hex()[:16]
    assert print_program(program) == (
        "program step {\n"
        "  size n in 1..64\n"
        "  input 0: f32[n,10]\n"
        "  output 0: f32[n,10]\n"
        "  constant 0: i64[3]: 0 1 2\n"
        f"  constant 1: f32[100] sha256 {digest}\n"
        "  arena: 40*n + 64 bytes, with the results 80*n + 64\n"
        "  t0: f32, 40*n bytes at 64\n"
        "  launch softmax(x <- input 0, y -> t0, n = n)  # train.py:12\n"
        "  launch softmax(x <- t0, y -> output 0, n = n)\n"
        '  check 3: "gather: index out of range"  # train.py:12\n'
        "}\n"
    )


def test_scratch_shows_its_space() -> None:
    y = Buffer("y", i64, 1, Space.SHARED)
    text = print_kernel(Kernel("k", (y,), (), ()))
    assert "read y: i64[1] shared" in text
    assert print_kernel(parse_kernel(text)) == text
