"""Reading graphs: what texts may leave out, and what is said of texts that are no graph."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from graphc.ir.dim import Dim
from graphc.ir.errors import ParseError
from graphc.ir.graph import Graph
from graphc.ir.location import Location
from graphc.ir.op import Op
from graphc.ir.parse import parse_graph
from graphc.ir.text import print_graph

VALID = """\
graph step(%x: f32[n,4], %w: f32[4]) where n in 1..64 {
  %0 = reshape(%w) {shape=(1,4)} : f32[1,4]
  %1 = fused(%x, %x) {body=graph body(%a: f32[n,4], %b: f32[n,4]) {
    %0 = add(%a, %b) : f32[n,4]   # train.py:3
    return %0
  }} : f32[n,4]
  %2 = sum(%1) {axes=(0,1)} : f32[]   # train.py:4
  %3 = constant() {value=dense<f32[2,2]: 1.0 -0.0 inf nan>} : f32[2,2]
  %4 = slice(%x) {start=(0,0), step=(1,2), stop=(n,4)} : f32[n,2]
  return %0, %2, %3, %4
}
"""


def parsed(text: str) -> Graph | ParseError:
    """The graph, or what is wrong with the text."""
    try:
        return parse_graph(text)
    except ParseError as error:
        return error


def with_line(line: str, result: str = "%y", inputs: str = "%x: f32[n,4], %w: f32[4]") -> str:
    return f"graph f({inputs}) {{\n  {line}\n  return {result}\n}}\n"


def test_types_may_be_left_out_and_lines_joined() -> None:
    graph = parse_graph("graph f(%x: f32[n]) { %a = neg(%x) %b = add(%a, %x) return %b }")
    assert [str(node.type) for node in graph.nodes] == ["f32[n]"] * 3


def test_names_of_nodes_are_free() -> None:
    graph = parse_graph(
        'graph f(%x: f32[2]) { %sum.of_all = neg(%x) %"odd name" = neg(%sum.of_all) return %"odd name" }'
    )
    assert print_graph(graph).splitlines()[1:3] == ["  %0 = neg(%x) : f32[2]", "  %1 = neg(%0) : f32[2]"]


def test_comments_behind_nodes_are_locations_and_others_are_nothing() -> None:
    text = "# a note: 5\ngraph f(%x: f32[2]) { # see below\n%0 = neg(%x) # train.py:12\n# train.py:13\nreturn %0 }# end"
    graph = parse_graph(text)
    assert graph.outputs[0].location == Location("train.py", 12)
    assert graph.inputs[0].location is None


def test_sizes_in_the_head_need_no_declaration() -> None:
    (x,) = parse_graph("graph f(%x: f32[2*n + m,n // 2]) { return %x }").inputs
    assert isinstance(x.shape[0], Dim)
    assert str(x.type) == "f32[m + 2*n,(n // 2)]"


def test_a_size_with_one_possible_value_is_that_number() -> None:
    (x,) = parse_graph("graph f(%x: f32[n,2*n]) where n in 4..4 { return %x }").inputs
    assert x.shape == (4, 8)


def test_unused_nodes_are_no_part_of_the_graph() -> None:
    assert len(parse_graph(with_line("%y = neg(%x) %z = exp(%y)")).nodes) == 3


# What the text is, where the error is, what it says, and the hint if there is one.
MALFORMED = (
    ("", "1:1", "expected 'graph', found the end of the text", None),
    ("graph", "1:6", "expected the name of the graph, found the end of the text", None),
    ("graph f", "1:8", "expected '(', found the end of the text", None),
    ("graph f(x: f32[2]) { return }", "1:9", "expected an input such as %x, found 'x'", None),
    ("graph f(%x f32[2]) { return }", "1:12", "expected ':', found 'f32'", None),
    ("graph f(%x: f33[2]) { return }", "1:13", "'f33' is no dtype", "did you mean 'f32'?"),
    ("graph f(%x: f32[2) { return }", "1:18", "expected ',' or ']', found ')'", None),
    ("graph f(%x: f32[-2]) { return }", "1:17", "the size -2 is negative", None),
    ("graph f(%x: f32[2 $ 3]) { return }", "1:19", "expected ',' or ']', found the character '$'", None),
    ("graph f(%x: f32[n // 0]) { return }", "1:22", "division by zero", None),
    ("graph f(%x: f32[min]) { return }", "1:17", "a size can't be called 'min'", None),
    (
        "graph f(%x: f32[f32]) { return }",
        "1:17",
        "a size can't be called 'f32'",
        "choose a name that means nothing else",
    ),
    ("graph f(%x: f32[2], %x: f32[2]) { return }", "1:21", "%x is defined twice", None),
    ("graph f(%x: (f32[2])) { return }", "1:13", "expected a dtype such as f32, found '('", None),
    ("graph f(%x: f32[2] { return }", "1:20", "expected ',' or ')', found '{'", None),
    ("graph f() where n in 4..2 { return }", "1:22", "no size is in 4..2", None),
    ("graph f() where n in 1..2, n in 1..3 { return }", "1:28", "the size 'n' has two ranges", None),
    ("graph f() where n = 3 { return }", "1:19", "expected 'in', found '='", None),
    ("graph f() { %0 }", "1:16", "expected '=', found '}'", None),
    ("graph f() { return %0 }", "1:20", "%0 is not defined above", None),
    (
        "graph f() { return } graph g() { return }",
        "1:22",
        "expected the end of the text: it holds one graph, found 'graph'",
        None,
    ),
    ("graph f() {", "1:12", "expected 'return', found the end of the text", None),
    ("graph f() { return", "1:19", "expected '}' or a value such as %0, found the end of the text", None),
    ('graph "f() {', "1:7", "expected the name of the graph, found a quote that isn't closed", None),
    ('graph "\\q"() { return }', "1:7", "'\\\\' is no escape in a string", None),
    (with_line("%y = ngg(%x)"), "2:8", "there is no op 'ngg'", "did you mean 'neg'?"),
    (with_line("%y = input(%x)"), "2:8", "inputs stand in the head of the graph", None),
    (with_line("%y = neg(%z)"), "2:12", "%z is not defined above", None),
    (with_line("%x = neg(%x)"), "2:3", "%x is defined twice", None),
    (with_line("%y = neg(%x, %x)"), "2:8", "neg takes 1 operands, 2 given", None),
    (with_line("%y = concat() {axis=0}"), "2:8", "concat: nothing to put together", None),
    (with_line("%y = neg(%x) {axes=(1)}"), "2:8", "neg has no attribute 'axes'", "its attributes: none"),
    (with_line("%y = sum(%x)"), "2:8", "sum needs the attribute 'axes'", None),
    (with_line("%y = sum(%x) {axis=1, axes=(1)}"), "2:8", "sum has no attribute 'axis'", "its attributes: axes"),
    (with_line("%y = sum(%x) {axes=(1), axes=(1)}"), "2:27", "the attribute 'axes' is given twice", None),
    (with_line("%y = sum(%x) {axes=}"), "2:22", "expected a value, found '}'", None),
    (with_line("%y = sum(%x) {axes=(1}"), "2:24", "expected ',' or ')', found '}'", None),
    (
        with_line("%y = reshape(%x) {shape=(rows1,4)}", inputs="%x: f32[rows,4]"),
        "2:28",
        "the size 'rows1' is not known",
        "did you mean 'rows'?",
    ),
    (
        with_line("%y = reshape(%x) {shape=(k,4)}"),
        "2:28",
        "the size 'k' is not known",
        "the sizes in the shapes of the inputs are known here",
    ),
    (with_line("%y = neg(%x) : f32[n,5]"), "2:18", "neg gives f32[n,4] here, the text says f32[n,5]", None),
    (with_line("%y = neg(%x) : f64[n,4]"), "2:18", "neg gives f32[n,4] here, the text says f64[n,4]", None),
    (
        with_line("%y = constant() {value=dense<f32[n]: 1.0>}"),
        "2:26",
        "the sizes of a constant array are numbers",
        None,
    ),
    (with_line("%y = constant() {value=dense<f32[2]: 1.0>}"), "2:26", "the shape takes 2 elements, there are 1", None),
    (with_line("%y = constant() {value=dense<u8[1]: 300>}"), "2:26", "an element is beyond uint8", None),
    (with_line("%y = constant() {value=dense<i8[1]: 1.5>}"), "2:39", "expected a number, found '1.5'", None),
    (with_line("%y = constant() {value=dense<bool[1]: 1>}"), "2:41", "expected true, false or '>', found '1'", None),
    (with_line('%y = constant() {value=dense<f32[1]: "AA">}'), "2:26", "the text isn't base64", None),
    (
        with_line('%y = constant() {value=dense<f32[1]: "AAAA">}'),
        "2:26",
        "3 bytes are no whole number of elements",
        None,
    ),
    (with_line('%y = constant() {value=dense<bool[1]: "Ag==">}'), "2:26", "a bool is a byte of 0 or 1", None),
    (
        with_line("%y = constant() {value=dense<f32[99999999999999]: 1.0>}"),
        "2:26",
        "the shape takes 99999999999999",
        None,
    ),
    (with_line("%y = cast(%x) {dtype=3}"), "2:8", "cast does not take these operands and attributes", None),
    (
        with_line("%y = fused(%x) {body=graph g(%a: f32[4]) { return %a }}"),
        "2:8",
        "fused does not take these operands",
        None,
    ),
    (with_line("%y = fused(%x) {body=graph g(%a: f32[k]) { return %a }}"), "2:40", "the size 'k' is not known", None),
    (with_line("%y = add(%x, %w)"), "2:8", "add: ", None),
)


@pytest.mark.parametrize(("text", "where", "message", "hint"), MALFORMED, ids=[m[0][:40] for m in MALFORMED])
def test_malformed_text_is_explained(text: str, where: str, message: str, hint: str | None) -> None:
    with pytest.raises(ParseError) as caught:
        parse_graph(text)
    error = caught.value
    assert error.message.startswith(f"{where}: {message}")
    assert where == f"{error.line}:{error.column}"
    if hint is not None:
        assert error.hint == hint


def test_the_line_is_shown_with_a_mark_under_the_place() -> None:
    with pytest.raises(ParseError) as caught:
        parse_graph(with_line("%y = ngg(%x)"))
    assert str(caught.value) == ("2:8: there is no op 'ngg'\n    %y = ngg(%x)\n         ^\n  did you mean 'neg'?")


def test_a_long_line_is_cut_around_the_place() -> None:
    with pytest.raises(ParseError) as caught:
        parse_graph(
            with_line("%y = neg(%x) " + " ".join(f"%y{i} = neg(%x)" for i in range(1000)) + " %z = ngg(%x)" + " " * 500)
        )
    assert max(map(len, str(caught.value).splitlines())) < 130


@pytest.mark.parametrize(
    "text",
    (
        with_line("%y = probe(%x) {value=" + "(" * 3000),
        with_line("%y = probe(%x) {value=" + "(" * 3000 + ")" * 3000 + "}"),
        with_line("%y = probe(%x) {value=" + "-" * 3000 + "1}"),
        with_line("%y = probe(%x) {value=" + "n*(" * 3000),
        with_line("%y = probe(%x) {value=" + "graph g() {%y = probe() {value=" * 3000),
        with_line("%y = probe(%x) {value=" + "9" * 10_000 + "}"),
        with_line("%y = probe(%x) {value=" + "*".join(["9" * 30] * 100) + "*n}"),
        with_line("%y = probe(%x) {value=" + "*".join(["(n + m + k)"] * 100) + "}", inputs="%x: f32[n,m,k]"),
        with_line("%y = probe(%x) {value=" + "9" * 10_000 + ".0}"),
        with_line("%y = probe(%x)", inputs="%x: f32[" + ",".join(["n"] * 10_000) + "]"),
        '"' * 10_001,
        "\x00" * 100,
        "%" * 1000,
    ),
    ids=range(13),
)
def test_monstrous_text_gives_a_graph_or_a_parse_error(text: str, probe: Op) -> None:
    result = parsed(text)
    assert isinstance(result, Graph) or len(str(result)) < 1000


@pytest.mark.parametrize("seed", range(60))
def test_damaged_text_never_gives_another_exception(seed: int, random_graph: Callable[[int], Graph]) -> None:
    chance = random.Random(seed)
    original = VALID if seed % 3 == 0 else print_graph(random_graph(seed))
    words = original.split()
    for _ in range(25):
        text = original
        for _ in range(chance.randint(1, 4)):
            text = damage(text, words, chance)
        result = parsed(text)
        if isinstance(result, ParseError):
            assert result.line is not None
            assert result.message.startswith(f"{result.line}:{result.column}: ")
        else:
            print_graph(result)


def damage(text: str, words: list[str], chance: random.Random) -> str:
    at = chance.randrange(len(text) + 1)
    behind = min(len(text), at + chance.choice((1, 1, 1, 3, 30)))
    inserted = chance.choice(
        (
            "",
            chance.choice(words),
            chance.choice('(){}[]<>,:=+-*%/#"\\@.\n 0123456789eE_abn\x00é\u2028'),
            chance.choice(
                ("n", "f32", "none", "-1", "inf", "1e999", "99999999999999999999", "min(", "graph", "dense<")
            ),
            text[at : at + chance.randrange(40)],
        )
    )
    return text[:at] + inserted + text[behind if chance.random() < 0.5 else at :]


def test_the_valid_text_is_the_printed_one() -> None:
    assert print_graph(parse_graph(VALID)) == VALID
