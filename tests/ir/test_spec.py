"""Specs: types of arguments as users write them."""

from __future__ import annotations

import pytest

from graphc.ir.dim import MAX_SIZE, bounds, symbol
from graphc.ir.dtype import DTYPES, DType, bf16, bool_, f32, i64
from graphc.ir.errors import ParseError
from graphc.ir.spec import parse_spec, parse_specs
from graphc.ir.type import TensorType

n, m = symbol("n"), symbol("m")

SPECS = (
    ("f32[]", TensorType((), f32)),
    ("f32[64,1000]", TensorType((64, 1000), f32)),
    ("float32[64, 1000]", TensorType((64, 1000), f32)),
    (" bfloat16 [ 1 ] ", TensorType((1,), bf16)),
    ("bool[0]", TensorType((0,), bool_)),
    ("long[n]", TensorType((n,), i64)),
    ("f32[n,n]", TensorType((n, n), f32)),
    ("f32[2*n + 1,n*m]", TensorType((2 * n + 1, n * m), f32)),
    ("f32[n//2,n%m]", TensorType((n // 2, n % m), f32)),
    ("f32[(n + 3) // 2]", TensorType(((n + 3) // 2,), f32)),
    ("f32[4*3]", TensorType((12,), f32)),
    ("f32[n] where n in 1..64", TensorType((symbol("n", 1, 64),), f32)),
    ("f32[n] where n in 1..", TensorType((symbol("n", 1),), f32)),
    ("f32[n,3] where n in 7..7", TensorType((7, 3), f32)),
    ("f32[n\n, m] where n in 1..64,\n m in 2..3", TensorType((symbol("n", 1, 64), symbol("m", 2, 3)), f32)),
)


@pytest.mark.parametrize(("text", "expected"), SPECS, ids=[text for text, _ in SPECS])
def test_a_spec_is_a_type(text: str, expected: TensorType) -> None:
    assert parse_spec(text) == expected


@pytest.mark.parametrize("d", DTYPES, ids=str)
def test_the_text_of_a_type_is_a_spec(d: DType) -> None:
    type = TensorType((n, 2 * m + 1, 10), d)
    assert parse_spec(str(type)) == type


def test_one_name_is_one_size_in_all_specs_of_a_call() -> None:
    x, w = parse_specs(("f32[n,10]", "f32[10,n] where n in 1..8"))
    assert x.shape[0] == w.shape[1] == symbol("n", 1, 8)


def test_sizes_known_before_keep_their_bounds() -> None:
    (x,) = parse_specs(("f32[n,m]",), {"n": symbol("n", 2, 5)})
    assert [bounds(size) for size in x.shape] == [(2, 5), (0, MAX_SIZE)]


def test_two_ranges_for_one_size_are_refused() -> None:
    with pytest.raises(ParseError, match="the size 'n' has two ranges"):
        parse_specs(("f32[n] where n in 1..8", "f32[n] where n in 1..9"))
    assert parse_specs(("f32[n] where n in 1..8", "f32[n] where n in 1..8"))


MALFORMED = (
    ("", "1:1: expected a dtype such as f32, found the end of the text"),
    ("f32", "1:4: expected '[', found the end of the text"),
    ("f32[", "1:5: expected a size, found the end of the text"),
    ("f32[2", "1:6: expected ',' or ']', found the end of the text"),
    ("f32[2,]", "1:7: expected a size, found ']'"),
    ("f32[2][3]", "1:7: expected the end of the spec, or 'where', found '['"),
    ("f32[2.5]", "1:5: expected a size, found '2.5'"),
    ("f32[-3]", "1:5: the size -3 is negative"),
    ("f32[n + ]", "1:9: expected a size"),
    ("f32[n // (m - m)]", "1:10: division by zero"),
    ("f32[min]", "1:5: a size can't be called 'min'"),
    ("f32[lambda]", "1:5: a size can't be called 'lambda'"),
    ("f32[f64]", "1:5: a size can't be called 'f64'"),
    ("f32[None]", "1:5: a size can't be called 'None'"),
    ("f32[é]", "1:5: expected a size, found the character 'é'"),
    ("f32[2] where", "1:13: expected the name of a size, found the end of the text"),
    ("f32[n] where n", "1:15: expected 'in', found the end of the text"),
    ("f32[n] where n in 3", "1:20: expected '..', found the end of the text"),
    ("f32[n] where n in 9..3", "1:19: no size is in 9..3"),
    ("f32[n] where n in 1..3 and more", "1:24: expected the end of the spec, or 'where', found 'and'"),
    ("float33[2]", "1:1: 'float33' is no dtype"),
    ("f32[" + "9" * 50 + "]", "1:5: a number too large for a size"),
    ("f32[" + "(" * 200 + "n" + ")" * 200 + "]", "1:106: parentheses nest deeper than 100"),
)


@pytest.mark.parametrize(("text", "message"), MALFORMED, ids=[text[:30] for text, _ in MALFORMED])
def test_malformed_specs_are_explained(text: str, message: str) -> None:
    with pytest.raises(ParseError) as caught:
        parse_spec(text)
    assert caught.value.message.startswith(message)


def test_the_error_shows_the_spec_and_the_place() -> None:
    with pytest.raises(ParseError) as caught:
        parse_spec("flaot32[n]")
    assert str(caught.value) == "1:1: 'flaot32' is no dtype\n  flaot32[n]\n  ^\n  did you mean 'float32'?"
