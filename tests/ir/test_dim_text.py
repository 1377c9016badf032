"""Reading sizes from text: what is accepted, and what is refused with which words and where."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphc.ir.dim import Size, SizeSyntaxError, Symbol, parse_size, quotient, read_size

N, M = Symbol("n", 1, 64).size, Symbol("m", 1, 8).size
KNOWN: dict[str, Size] = {"n": N, "m": M, "lambda": Symbol("lambda").size, "i.1": Symbol("i.1").size, "min": N}

ACCEPTED: list[tuple[str, Size]] = [
    ("7", 7),
    ("-7", -7),
    (" n ", N),
    ("n+m*2-1", N + 2 * M - 1),
    ("(n + 1)*(n - 1)", N * N - 1),
    ("-n // 4", quotient(-N, 4)),
    ("n // 4 * 4", 4 * quotient(N, 4)),
    ("n - m - 1", N - M - 1),
    ("--n", N),
    ("min + 1", N + 1),
    ("min(n, 3, m)", parse_size("min(3, min(m, n))", {"n": N, "m": M})),
    ("lambda*2", Symbol("lambda").size * 2),
    ("i.1 + 1", Symbol("i.1").size + 1),
    ("(" * 90 + "n" + ")" * 90, N),
    ("+".join(["n"] * 5000), N * 5000),
]


@pytest.mark.parametrize("text, size", ACCEPTED, ids=lambda x: str(x)[:20])
def test_reads(text: str, size: Size) -> None:
    assert parse_size(text, KNOWN) == size


REFUSED = [
    ("", 0, "expected a size, got the end"),
    ("n +", 3, "expected a size, got the end"),
    ("n ** 2", 3, "expected a size, got '*'"),
    ("n m", 1, "expected an operator or the end, got 'm'"),
    ("n + x", 4, "unknown size 'x'"),
    ("(n", 2, "expected ')', got the end"),
    ("max(n", 5, "expected ')', got the end"),
    ("max()", 4, "expected a size, got ')'"),
    ("n // 0", 4, "division by zero"),
    ("n % (1 - 1)", 3, "division by zero"),
    ("n / 2", 1, "expected an operator or the end, got '/ 2'"),
    ("n + 1.5", 5, "expected an operator or the end, got '.5'"),
    ("abs(n)", 0, "unknown size 'abs'"),
    ("9" * 41, 0, "a number too large for a size"),
    ("(" * 200 + "n" + ")" * 200, 101, "parentheses nest deeper than 100"),
    ("n\x00", 1, "expected an operator or the end"),
    ("٣", 0, "expected a size"),
]


@pytest.mark.parametrize("text, position, message", REFUSED, ids=lambda x: str(x)[:20])
def test_refuses(text: str, position: int, message: str) -> None:
    with pytest.raises(SizeSyntaxError) as caught:
        parse_size(text, KNOWN)
    assert message in str(caught.value)
    assert caught.value.position == position


@given(st.text(alphabet="nm+-*/%(), 0123min", max_size=24))
def test_any_text_is_a_size_or_a_syntax_error(text: str) -> None:
    try:
        size = parse_size(text, KNOWN)
    except SizeSyntaxError:
        return
    assert parse_size(str(size), KNOWN) == size


def test_reads_as_far_as_the_expression_goes() -> None:
    assert read_size("x[n*2 + 1] = 3", 2, KNOWN) == (2 * N + 1, 9)
    assert read_size("n in 0..4", 0, KNOWN) == (N, 1)
