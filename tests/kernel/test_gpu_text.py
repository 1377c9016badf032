"""Kernels for a GPU as text: what is printed reads back, and anything else is refused where it is wrong."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphc.ir.errors import ParseError
from graphc.kernel.expand import expand
from graphc.kernel.ir import (
    Barrier,
    Choose,
    CommitCopies,
    CopyAsync,
    Kernel,
    LoadMatrix,
    Loop,
    LoopKind,
    MultiplyMatrices,
    Shuffle,
    Statement,
    WaitCopies,
)
from graphc.kernel.parse import parse_kernel
from graphc.kernel.text import kernel_key, print_kernel, statement_text

EVERYTHING = """\
kernel everything {
  size n in 1..64
  read x: f16[256*n]
  write y: f32[64*n]
  read z: f32[7]
  %p: bool = lt 1:i64, 2:i64
  block b < n {
    allocate s: f16[512] shared
    thread t < 32 {
      allocate own: f32[2] local
      copy_async s[8*t] = x[256*b + 8*t] * 8 where %p
      copy_async s[8*t + 256] = x[256*b + 8*t] * 4
      commit_copies
      wait_copies 0
      barrier
      (%0: u32, %1: u32) = load_matrix s[8*t] transposed
      (%2: u32) = load_matrix s[8*t]
      (%3: f32, %4: f32, %5: f32, %6: f32) = multiply_matrices bf16 (%0, %1, %0, %1), (%0, 7:u32), (%7, 0.0:f32, \
0.0:f32, 0.0:f32)
      %8: f32 = shuffle xor %3, 16:i32
      %9: f32 = shuffle index %8, 0:i32
      unrolled u < 2 {
        store own[u] = %9
      }
      choose 1:i32 (c: f32[7*n]) of (y), (z) {
        %10: f32 = load c[n]
        store own[0] = %10
      }
    }
  }
}
""".replace("      (%3", "      %7: f32 = neg 1.0:f32\n      (%3")


def thread_body(kernel: Kernel) -> tuple[Statement, ...]:
    blocks = kernel.body[-1]
    assert isinstance(blocks, Loop)
    assert blocks.kind is LoopKind.BLOCK
    threads = blocks.body[-1]
    assert isinstance(threads, Loop)
    assert threads.kind is LoopKind.THREAD
    return threads.body


def test_every_statement_reads_back_as_itself() -> None:
    kernel = parse_kernel(EVERYTHING)
    assert print_kernel(kernel) == EVERYTHING
    kinds = {type(statement) for statement in thread_body(kernel)}
    assert {Barrier, Choose, Shuffle, CopyAsync, CommitCopies, WaitCopies, LoadMatrix, MultiplyMatrices} <= kinds
    barrier = next(s for s in thread_body(kernel) if isinstance(s, Barrier))
    assert statement_text(kernel, barrier) == "barrier"


def test_the_key_leaves_out_names() -> None:
    renamed = EVERYTHING.replace("%0", "%zero").replace("s[", "tile[").replace(" s:", " tile:").replace("own", "mine")
    renamed = (
        renamed.replace("8*t", "8*lane").replace("thread t", "thread lane").replace("kernel everything", "kernel k")
    )
    assert renamed.count("tile") > 3
    assert kernel_key(parse_kernel(renamed)) == kernel_key(parse_kernel(EVERYTHING))


@pytest.mark.parametrize(
    "old, new",
    [
        ("* 8 where", "* 4 where"),
        ("* 8 where %p", "* 8"),
        ("wait_copies 0", "wait_copies 1"),
        ("commit_copies", "barrier"),
        (" transposed", ""),
        ("multiply_matrices bf16", "multiply_matrices f16"),
        ("7:u32", "8:u32"),
        ("shuffle xor", "shuffle up"),
        ("unrolled", "serial"),
        ("choose 1:i32", "choose 0:i32"),
        ("(y), (z)", "(z), (y)"),
        ("shared", "local"),
        ("thread t < 32", "thread t < 64"),
    ],
)
def test_the_key_holds_what_code_depends_on(old: str, new: str) -> None:
    assert kernel_key(parse_kernel(EVERYTHING.replace(old, new))) != kernel_key(parse_kernel(EVERYTHING))


def test_operands_follow_the_formulas_that_replace_ops() -> None:
    text = EVERYTHING.replace("neg 1.0:f32", "sub 1.0:f32, 1.0:f32").replace("xor %3", "xor %7")
    expanded = print_kernel(expand(parse_kernel(text)))
    assert "* 8 where true:bool" in expanded
    assert "(%0, 7:u32), (0.0:f32, 0.0:f32, 0.0:f32, 0.0:f32)" in expanded
    assert "shuffle xor 0.0:f32, 16:i32" in expanded


def test_a_kernel_without_formulas_stays_the_same_object() -> None:
    text = EVERYTHING.replace("lt 1:i64, 2:i64", "load q[0]").replace("neg 1.0:f32", "load y[0]")
    kernel = parse_kernel(text.replace("  write", "  read q: bool[1]\n  write"))
    assert expand(kernel) is kernel


HEAD = "kernel k {\n  read x: f32[8]\n  allocate s: f32[8] shared\n"

REFUSED = [
    ("  copy_async s[0] x[0] * 1\n}", 4, 19, "expected '=', found 'x'"),
    ("  copy_async s[0] = x[0]\n}", 5, 1, "expected '*', found '}'"),
    ("  copy_async s[0] = x[0] * n\n}", 4, 28, "expected a number, found 'n'"),
    ("  copy_async z[0] = x[0] * 1\n}", 4, 14, "no buffer 'z' is known here"),
    ("  choose 0:i32 (c: f32[8]) of x {}\n}", 4, 31, "expected '(', found 'x'"),
    ("  choose 0:i32 (x: f32[8]) of (x) {}\n}", 4, 17, "a buffer 'x' exists already"),
    ("  choose 0:i32 (c: f32[8]) of (q) {}\n}", 4, 32, "no buffer 'q' is known here"),
    ("  wait_copies\n}", 5, 1, "expected a number, found '}'"),
    ("  wait_copies -1\n}", 4, 15, "expected a number, found '-'"),
    ("  %0: f32 = shuffle 1.0:f32, 1:i32\n}", 4, 21, "expected a mode: xor, up, down or index, found '1.0'"),
    ("  %0: f32 = shuffle up 1.0:f32 1:i32\n}", 4, 32, "expected ',', found '1'"),
    ("  %0: f32 = shuffle up %0, 1:i32\n}", 4, 24, "no value %0 is known here"),
    ("  () = load_matrix s[0]\n}", 4, 4, "expected the name of a value, found ')'"),
    ("  (%0: u32 = load_matrix s[0]\n}", 4, 12, "expected ')', found '='"),
    ("  (%0: u32, %0: u32) = load_matrix s[0]\n}", 4, 13, "%0 is defined twice"),
    ("  multiply_shared f16 x = s[0] (8, 8), s[0] (8, 8)\n}", 4, 23, "expected 'depth', found 'x'"),
    ("  multiply_shared f16 depth 16 z = s[0] (8, 8), s[0] (8, 8)\n}", 4, 32, "no buffer 'z' is known here"),
    ("  multiply_shared f16 depth 16 x = s[0], s[0] (8, 8)\n}", 4, 40, "expected '(', found ','"),
    ("  multiply_shared f16 depth 16 x = s[0] (8, n), s[0] (8, 8)\n}", 4, 45, "expected a number, found 'n'"),
    ("  wait_products 0\n}", 4, 17, "expected the name of a buffer, found '0'"),
    ("  (%0: u32) = neg 1:u32\n}", 4, 15, "expected load_matrix or multiply_matrices, found 'neg'"),
    ("  (%0: u32) = multiply_matrices (1:u32)\n}", 4, 33, "expected the dtype of the factors"),
    ("  (%0: u32) = multiply_matrices f16 (1:u32)\n}", 5, 1, "expected ',', found '}'"),
    ("  (%0: u32) = multiply_matrices f16 (1:u32), ()\n}", 4, 47, "expected a value or a number, found ')'"),
    ("  (%0: u32) = multiply_matrices f16 (%0), (1:u32), (1:u32)\n}", 4, 38, "no value %0 is known here"),
    ("  warp w < 2 {\n  }\n}", 4, 3, "expected a statement or '}', found 'warp'"),
]


@pytest.mark.parametrize("body, line, column, message", REFUSED, ids=range(len(REFUSED)))
def test_malformed_text_is_refused_where_it_is_wrong(body: str, line: int, column: int, message: str) -> None:
    with pytest.raises(ParseError) as caught:
        parse_kernel(HEAD + body)
    assert (caught.value.line, caught.value.column) == (line, column)
    assert message in str(caught.value)


@given(st.integers(0, len(EVERYTHING)), st.integers(0, 12), st.text("(){}[]%,=*:12abst \n", max_size=4))
@settings(max_examples=100, deadline=None)
def test_damaged_text_raises_nothing_but_parse_errors(start: int, length: int, new: str) -> None:
    with contextlib.suppress(ParseError):
        parse_kernel(EVERYTHING[:start] + new + EVERYTHING[start + length :])
