"""The verifier: it takes what lowering and scheduling make, and names the statement that breaks a rule."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphc.ir.dim import Symbol
from graphc.ir.dtype import bool_, c64, f16, f32, i32
from graphc.ir.errors import VerifyError
from graphc.kernel.ir import Apply, Buffer, If, Kernel, Literal, Load, Loop, LoopKind, Space, Statement, Store, Value
from graphc.kernel.parse import parse_kernel
from graphc.kernel.verify import verify_kernel
from tests.kernel.kernels import GATHER, MATMUL, SOFTMAX, TEXTS, RandomKernel


@pytest.mark.parametrize("name", TEXTS)
def test_accepts(name: str) -> None:
    verify_kernel(parse_kernel(TEXTS[name]), is_scheduled=True)


@given(st.integers(0, 10**9))
@settings(max_examples=100, deadline=None)
def test_accepts_random_kernels(seed: int) -> None:
    verify_kernel(RandomKernel(seed).kernel)


HEAD = "kernel k {\n  size n in 0..9\n  read x: f32[8]\n  read p: bool[8]\n  write y: f32[8]\n"


def contract(acc: str = "f32", left: str = "yield 1.0:f32", right: str = "yield 1.0:f32", epilogue: str = "") -> str:
    head = f"%0: {acc} = contract i < 2, j < 2, k < 2 {{\n"
    return f"{head}left {{\n{left}\n}}\nright {{\n{right}\n}}\nepilogue {{\n{epilogue}\n}}\n}}"


REFUSED = [
    ("%0: f32 = foo 1.0:f32", "there is no scalar op 'foo'"),
    ("%0: f32 = add 1.0:f32, 1.0:f64", "add of (float32, float64)"),
    ("%0: f32 = add 1.0:f32", "add takes 2 operands, not 1"),
    ("%0: f64 = add 1.0:f32, 1.0:f32", "add gives float32 here, not float64"),
    ("%0: f32 = lt 1.0:f32, 1.0:f32", "lt gives bool here, not float32"),
    ("%0: f64 = bitcast 1.0:f32", "bitcast of float32 to float64"),
    ("%0: c64 = cast 1.0:f32", "value %0 is complex64"),
    ("%0: i8 = cast 300:i8", "300 is no int8"),
    ("%0: u8 = cast -1:u8", "-1 is no uint8"),
    ("%0: f32 = cast 0.1:f32", "0.1 is no float32"),
    ("%0: f32 = cast 1e300:f32", "1e+300 is no float32"),
    ("%0: bool = position n", "a position is a number, not bool"),
    ("%0: f32 = load x[n - 20]", "the index n - 20 leaves the 8 elements of x"),
    ("%0: f32 = load x[8]", "the index 8 leaves the 8 elements of x"),
    ("%0: f32 = load x[-1]", "the index -1 leaves the 8 elements of x"),
    ("%0: f64 = load x[0]", "an element of x is float32, not float64"),
    ("%0: f32 = load x[0] where 1.0:f32", "a predicate is a bool, not float32"),
    ("store x[0] = 1.0:f32", "buffer x is not among those written to"),
    ("store y[0] = 1:i32", "an element of y is float32, not int32"),
    ("check 1:i8 else 3", "a predicate is a bool, not int8"),
    ("if 1:i8 {\n}", "a predicate is a bool, not int8"),
    ("bind a < 4 = 1.0:f32", "an index is an integer, not float32"),
    ("bind a < n = 1:i64", "the symbol a in 0..n - 1 has to hold 0 to max(0, n - 1)"),
    ("serial i < 9 {\n  store y[i] = 1.0:f32\n}", "the index i leaves the 8 elements of y"),
    ("serial i < 4 {\nserial j < 3 {\n  store y[2*i + j] = 1.0:f32\n}\n}", "the index 2*i + j leaves"),
    ("serial i < 4 {\n  store y[i - 1] = 1.0:f32\n}", "the index i - 1 leaves the 8 elements of y"),
    ("serial i < 4 in 0..2 {\n}", "the symbol i in 0..2 has to hold 0 to 3"),
    ("serial i < 4 in 1..3 {\n}", "the symbol i in 1..3 has to hold 0 to 3"),
    ("serial i < -2 {\n}", "the extent -2 is negative"),
    ("allocate t: f32[-1] local", "the size -1 of buffer t is negative"),
    ("allocate t: f32[1] global", "buffer t is global, and can't be allocated"),
    ("%0: f32 = reduce sam k < 3 {\n  yield 1.0:f32\n}", "there is no combiner 'sam'"),
    ("%0: f32 = reduce any k < 3 {\n  yield 1.0:f32\n}", "any does not combine float32"),
    ("%0: f32 = reduce argmax k < 3 {\n  yield 1.0:f32\n}", "argmax of float32 gives int64, not float32"),
    ("%0: f64 = reduce sum k < 3 {\n  yield 1.0:f32\n}", "sum of float32 gives float32, not float64"),
    (contract(left="yield 1:i32"), "products of int32 are summed in float32"),
    (contract("f16", "yield 1.0:f16", "yield 1.0:f16"), "a sum in float16 loses too much"),
    (contract(right="yield 1.0:f16"), "the panels hold float32 and float16"),
    (contract(left="store y[i] = 1.0:f32\nyield 1.0:f32"), "a panel holds Apply, Position, Bind, Load, Check, Reduce"),
    (contract(epilogue="serial l < 2 {\n}"), "an epilogue holds Apply, Position, Bind, Load, Store, Check alone"),
    (contract(epilogue="store y[8*i + j] = %0"), "the index 8*i + j leaves the 8 elements of y"),
]


@pytest.mark.parametrize("statement, message", REFUSED, ids=range(len(REFUSED)))
def test_refuses_and_shows_the_statement(statement: str, message: str) -> None:
    kernel = parse_kernel(HEAD + statement + "\n}")
    with pytest.raises(VerifyError) as caught:
        verify_kernel(kernel)
    text = str(caught.value)
    assert text.startswith(f"kernel k: {message}")
    assert " in `" in text


def test_the_message_holds_the_innermost_statement() -> None:
    kernel = parse_kernel(SOFTMAX.replace("%2: f32 = sub %1, %top", "%2: f32 = sub %1, 1:i32"))
    with pytest.raises(VerifyError, match="in `%2: f32 = sub %1, 1:i32`"):
        verify_kernel(kernel)


X, Y, P = Buffer("x", f32, 8), Buffer("y", f32, 8), Buffer("p", bool_, 8)
ONE, YES = Literal(1.0, f32), Literal(True, bool_)
I = Symbol("i", 0, 7)
A, B = Value("a", f32), Value("b", f32)


def kernel_of(*body: Statement, **changes: object) -> Kernel:
    kernel = Kernel("k", (X, Y, P), (), body, frozenset({Y}))
    return replace(kernel, **changes)  # type: ignore[arg-type]


# What the text form can't even say.
BUILT = [
    (kernel_of(Apply(A, "neg", (B,))), "value %b is not defined yet"),
    (kernel_of(Apply(A, "neg", (ONE,)), Apply(A, "neg", (ONE,))), "value %a is defined twice"),
    (
        kernel_of(If(Literal(True, bool_), (Apply(A, "neg", (ONE,)),)), Apply(B, "neg", (A,))),
        "value %a is out of reach",
    ),
    (kernel_of(Load(A, Buffer("z", f32, 8), 0)), "buffer z is not known here"),
    (kernel_of(Store(Y, I.size, ONE)), "the symbol i in i is not known here"),
    (
        kernel_of(Loop(I, 8, LoopKind.SERIAL, (Store(Y, Symbol("i", 0, 3).size, ONE),))),
        "the symbol i in i is in 0..3, but was defined in 0..7",
    ),
    (kernel_of(Loop(I, 8, LoopKind.SERIAL, (Loop(I, 8, LoopKind.SERIAL, ()),))), "the symbol i is in use already"),
    (kernel_of(Loop(Symbol("i j", 0, 7), 8, LoopKind.SERIAL, ())), "a symbol can't be called 'i j'"),
    (kernel_of(Store(Y, 0, Literal(1, f32))), "1 is no float32"),
    (kernel_of(Store(P, 0, Literal(1, bool_)), writes=frozenset({P})), "1 is no bool"),
    (kernel_of(Apply(Value("a", i32), "neg", (Literal(True, i32),))), "true is no int32"),
    (kernel_of(buffers=(X, X)), "buffer x is listed twice"),
    (kernel_of(buffers=(X,)), "buffer y is written to, but is no parameter"),
    (kernel_of(buffers=(Y, Buffer("c", c64, 1))), "buffer c is complex64"),
    (kernel_of(buffers=(Y, Buffer("s", f32, 1, Space.SHARED))), "buffer s is a parameter, yet shared"),
    (kernel_of(buffers=(Y, Buffer("s", f32, Symbol("n").size))), "the symbol n in n is not known here"),
    (kernel_of(sizes=(Symbol("n"), Symbol("n"))), "the symbol n is in use already"),
]


@pytest.mark.parametrize("kernel, message", BUILT, ids=range(len(BUILT)))
def test_refuses_what_text_can_not_say(kernel: Kernel, message: str) -> None:
    with pytest.raises(VerifyError) as caught:
        verify_kernel(kernel)
    assert str(caught.value).startswith(f"kernel k: {message}")


def nested(depth: int) -> tuple[Statement, ...]:
    body: tuple[Statement, ...] = ()
    for _ in range(depth):
        body = (If(YES, body),)
    return body


def test_depth_is_bounded() -> None:
    verify_kernel(kernel_of(*nested(99)))
    with pytest.raises(VerifyError, match="bodies nest deeper than 100"):
        verify_kernel(kernel_of(*nested(100)))


POSSIBLE = [
    "serial i < n {\n  store y[i] = 1.0:f32\n}",  # n is at most 9, but may be less
    "%0: bool = load p[0]\nif %0 {\n  store y[8] = 1.0:f32\n}",
    "%0: bool = load p[0]\nstore y[8] = 1.0:f32 where %0",
    "serial i < 12 {\n  store y[(i // 2)] = 1.0:f32\n}",
    "serial i < n {\n  store y[9] = 1.0:f32\n}",
    "serial i < 4 {\n}\nserial i < 5 {\n}",
]


@pytest.mark.parametrize("statement", POSSIBLE)
def test_accepts_what_may_be_in_range(statement: str) -> None:
    verify_kernel(parse_kernel(HEAD + statement + "\n}"))


PARALLEL = [
    "serial i < 2 {\n  parallel j < 2 {\n  }\n}",
    "parallel i < 2 {\n  parallel j < 2 {\n  }\n}",
    "parallel i < 2 {\n}\nparallel j < 2 {\n}",
    "parallel i < 2 {\n}\nstore y[0] = 1.0:f32",
]


@pytest.mark.parametrize("statements", PARALLEL)
def test_a_scheduled_kernel_has_one_parallel_statement_last_at_the_top(statements: str) -> None:
    kernel = parse_kernel(HEAD + statements + "\n}")
    verify_kernel(kernel)
    with pytest.raises(VerifyError, match="what runs in parallel has to be the last statement at the top"):
        verify_kernel(kernel, is_scheduled=True)


def test_narrow_panels_are_summed_wide() -> None:
    half = MATMUL.replace("a: f32", "a: f16").replace("b: f32", "b: f16")
    half = half.replace("%0: f32 = load", "%0: f16 = load").replace("%1: f32 = load", "%1: f16 = load")
    kernel = parse_kernel(half)
    assert kernel.buffers[0].dtype is f16
    verify_kernel(kernel)


def test_gathered_rows_need_a_bound() -> None:
    verify_kernel(parse_kernel(GATHER))
