"""Malformed kernel texts: each is refused with line, column and what was expected; nothing else is raised."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphc.ir.errors import ParseError
from graphc.kernel.parse import parse_kernel
from tests.kernel.kernels import GATHER, MATMUL, SOFTMAX, TEXTS

HEAD = "kernel k {\n  size n\n  read x: f32[n]\n  write y: f32[n]\n"

REFUSED = [
    ("", 1, 1, "expected 'kernel', found the end of the text"),
    ("graph g {}", 1, 1, "expected 'kernel', found 'graph'"),
    ("kernel {}", 1, 8, "expected the kernel's name, found '{'"),
    ("kernel k {", 1, 11, "expected a statement or '}', found the end of the text"),
    ("kernel k {} kernel", 1, 13, "expected the end of the text, found 'kernel'"),
    ("kernel k {\n  size n in 3\n}", 3, 1, "expected '..', found '}'"),
    ("kernel k {\n  size n\n  size n\n}", 3, 8, "the symbol 'n' is in use here"),
    ("kernel k {\n  read x f32[1]\n}", 2, 10, "expected ':', found 'f32'"),
    ("kernel k {\n  read x: f33[1]\n}", 2, 11, "'f33' is no dtype"),
    ("kernel k {\n  read x: f32[m]\n}", 2, 15, "the size 'm' is not known"),
    ("kernel k {\n  read x: f32[1]\n  read x: f32[1]\n}", 3, 8, "a buffer 'x' exists already"),
    (HEAD + "  jump\n}", 5, 3, "expected a statement or '}', found 'jump'"),
    (HEAD + "  %0 f32 = neg 1.0:f32\n}", 5, 6, "expected ':', found 'f32'"),
    (HEAD + "  %0: f32 = neg\n}", 6, 1, "expected a value or a number, found '}'"),
    (HEAD + "  %0: f32 = neg 1.0:f32\n  %0: f32 = neg 1.0:f32\n}", 6, 3, "%0 is defined twice"),
    (HEAD + "  %0: f32 = neg %1\n}", 5, 17, "no value %1 is known here"),
    (HEAD + "  %0: f32 = neg %0\n}", 5, 17, "no value %0 is known here"),
    (HEAD + "  %0: f32 = neg 1.0\n}", 6, 1, "expected ':', found '}'"),
    (HEAD + "  %0: i32 = neg 1.5:i32\n}", 5, 21, "1.5 is no int32"),
    (HEAD + "  %0: i32 = neg true:i32\n}", 5, 22, "True is no int32"),
    (HEAD + "  %0: f32 = neg 1e999:f32\n}", 5, 17, "the number is beyond float64"),
    (HEAD + '  %0: f32 = neg nan("7"):f32\n}', 5, 21, "these are not the bits of a nan"),
    (HEAD + "  %0: f32 = load z[0]\n}", 5, 18, "no buffer 'z' is known here"),
    (HEAD + "  %0: f32 = load x(0)\n}", 5, 19, "expected '[', found '('"),
    (HEAD + "  %0: f32 = load x[i]\n}", 5, 20, "the size 'i' is not known"),
    (HEAD + "  %0: f32 = load x[n // 0]\n}", 5, 25, "division by zero"),
    (HEAD + "  store y[0] 1.0:f32\n}", 5, 14, "expected '=', found '1.0'"),
    (HEAD + "  vector i n {\n  }\n}", 5, 12, "expected '<', found 'n'"),
    (HEAD + "  vector i < n\n}", 6, 1, "expected '{', found '}'"),
    (HEAD + "  vector i < n {\n  vector i < 3 {\n  }\n  }\n}", 6, 10, "the symbol 'i' is in use here"),
    (HEAD + "  vector i < n {\n  }\n  store y[i] = 1.0:f32\n}", 7, 11, "the size 'i' is not known"),
    (HEAD + "  if true:bool {\n  %0: f32 = neg 1.0:f32\n  }\n  store y[0] = %0\n}", 8, 16, "no value %0 is known"),
    (HEAD + "  %0: f32 = reduce sum k < n {\n  }\n}", 6, 3, "expected a statement or 'yield', found '}'"),
    (HEAD + "  allocate t: f32[4]\n}", 6, 1, "expected a space: global, shared, local, found '}'"),
    (HEAD + "  check true:bool\n}", 6, 1, "expected 'else', found '}'"),
    (HEAD + "  check true:bool else -1\n}", 5, 24, "expected a number, found '-'"),
    (HEAD + '  %"a"@1: f32 = neg 1.0:f32\n}', 5, 3, "'@' has no meaning in a kernel"),
    (HEAD + "  $\n}", 5, 3, "expected a statement or '}', found the character '$'"),
    (MATMUL.replace("b[j + 7*k]", "b[j + 7*i]"), 13, 30, "the size 'i' is not known"),
    (MATMUL.replace("a[300*i + k]", "a[300*i + j]"), 9, 32, "the size 'j' is not known"),
    (MATMUL.replace("c[7*i + j]", "c[7*i + k]"), 19, 21, "the size 'k' is not known"),
    (MATMUL.replace("right", "wrong"), 12, 5, "expected 'right', found 'wrong'"),
    (SOFTMAX.replace("store e[j]", "store x[k]"), 15, 15, "the size 'k' is not known"),
    (GATHER.replace("bind row < n in 0..max(0, n - 1) = %0", "bind row < n"), 15, 5, "expected '=', found"),
]


@pytest.mark.parametrize("text, line, column, message", REFUSED, ids=range(len(REFUSED)))
def test_refuses_with_place_and_expectation(text: str, line: int, column: int, message: str) -> None:
    with pytest.raises(ParseError) as caught:
        parse_kernel(text)
    first = str(caught.value).splitlines()[0]
    assert first.startswith(f"{line}:{column}: ")
    assert message in first


@pytest.mark.parametrize("depth, is_fine", [(99, True), (100, False), (5000, False)])
def test_depth_is_bounded(depth: int, is_fine: bool) -> None:
    text = "kernel deep {\n" + "if true:bool {\n" * depth + "}\n" * depth + "}\n"
    if is_fine:
        parse_kernel(text)
    else:
        with pytest.raises(ParseError, match="bodies nest deeper than 100"):
            parse_kernel(text)


def test_comments_and_spaces_do_not_matter() -> None:
    text = "# scale\nkernel k { size n # rows\n read x: f32[n]\n\n write y:f32[n] vector i<n{%0:f32=load x[i]"
    text += " store y[i]=%0}}"
    assert len(parse_kernel(text).body) == 1


@given(st.sampled_from(tuple(TEXTS.values())), st.data())
@settings(max_examples=300, deadline=None)
def test_damaged_text_is_a_kernel_or_a_parse_error(text: str, data: st.DataObject) -> None:
    position = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(position, min(len(text), position + 12)))
    junk = data.draw(st.text(alphabet='%{}[]()<>=:.,-+*/ \n"0123456789abinxy#@\x00é', max_size=4))
    with contextlib.suppress(ParseError):
        parse_kernel(text[:position] + junk + text[end:])
