"""The text form: what it looks like, and that it says everything about a graph."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphc.ir.attribute import Array, Attribute, exact
from graphc.ir.dim import symbol
from graphc.ir.dtype import DTYPES, DType, bf16, bool_, f32
from graphc.ir.fingerprint import fingerprint
from graphc.ir.graph import FUSED, Graph, Node, make_input
from graphc.ir.location import Location, using
from graphc.ir.op import Op
from graphc.ir.parse import parse_graph
from graphc.ir.spec import parse_specs
from graphc.ir.text import attribute_text, name_nodes, node_text, print_graph
from graphc.ir.type import TensorType
from graphc.ir.verify import verify
from graphc.ops import contraction, elementwise, movement, reduction


def softmax_graph() -> Graph:
    a, b = parse_specs(("f32[n,1000] where n in 1..4096", "f32[1000,10]"))
    x, w = make_input("x", a), make_input("w", b)
    with using(Location("/home/me/train.py", 12, "loss")):
        y = contraction.dot(x, w, contract=((1,), (0,)), batch=((), ()))
    with using(None):
        largest = reduction.max_(y, axes=(1,))
        kept = movement.broadcast(movement.reshape(largest, shape=(y.shape[0], 1)), shape=y.shape)
        inner, top = make_input("y", y.tensor), make_input("largest", y.tensor)
        with using(Location("train.py", 13)):
            body = Graph("body", (inner, top), (elementwise.exp(elementwise.sub(inner, top)),))
        return Graph("softmax", (x, w), (FUSED(y, kept, body=body), y))


def test_a_graph_reads_as_one_line_a_node() -> None:
    assert print_graph(softmax_graph()) == (
        """\
graph softmax(%x: f32[n,1000], %w: f32[1000,10]) where n in 1..4096 {
  %0 = dot(%x, %w) {contract=((1),(0))} : f32[n,10]   # train.py:12
  %1 = max(%0) {axes=(1)} : f32[n]
  %2 = reshape(%1) {shape=(n,1)} : f32[n,1]
  %3 = broadcast(%2) {shape=(n,10)} : f32[n,10]
  %4 = fused(%0, %3) {body=graph body(%y: f32[n,10], %largest: f32[n,10]) {
    %0 = sub(%y, %largest) : f32[n,10]   # train.py:13
    %1 = exp(%0) : f32[n,10]   # train.py:13
    return %1
  }} : f32[n,10]
  return %4, %0
}
"""
    )


def test_locations_can_be_left_out() -> None:
    assert "#" not in print_graph(softmax_graph(), locations=False)


def test_a_long_head_has_its_inputs_on_lines_of_their_own() -> None:
    with using(Location("train.py", 3)):
        inputs = tuple(make_input(f"parameter_{i}", TensorType((1000, 1000), f32)) for i in range(5))
    graph = Graph("long", inputs, inputs[:1])
    text = print_graph(graph)
    assert text.splitlines()[:2] == ["graph long(", "  %parameter_0: f32[1000,1000],   # train.py:3"]
    assert parse_graph(text).inputs[4].location == Location("train.py", 3)
    assert print_graph(parse_graph(text)) == text


def test_parsing_what_was_printed_gives_the_graph_back() -> None:
    graph = softmax_graph()
    again = parse_graph(print_graph(graph))
    verify(again)
    assert fingerprint(again) == fingerprint(graph)
    assert print_graph(again) == print_graph(graph)
    assert [str(node.location) for node in again.nodes if node.location] == ["train.py:12"]


@pytest.mark.parametrize("seed", range(150))
def test_any_graph_comes_back_from_its_text(seed: int, random_graph: Callable[[int], Graph]) -> None:
    graph = random_graph(seed)
    verify(graph)
    text = print_graph(graph)
    again = parse_graph(text)
    verify(again)
    assert fingerprint(again) == fingerprint(graph)
    assert print_graph(again) == text
    assert [node.attribute("name") for node in again.inputs] == [node.attribute("name") for node in graph.inputs]
    assert again.name == graph.name


n = symbol("n", 1, 64)
m = symbol("m")

ATTRIBUTES: tuple[tuple[Attribute, str], ...] = (
    (None, "none"),
    (True, "true"),
    (False, "false"),
    (0, "0"),
    (-7, "-7"),
    (2**63, "9223372036854775808"),
    (0.0, "0.0"),
    (-0.0, "-0.0"),
    (1e22, "1e+22"),
    (5e-324, "5e-324"),
    (math.inf, "inf"),
    (-math.inf, "-inf"),
    (math.nan, "nan"),
    ("", '""'),
    ('a "b" \\ c\n\t\x00\x7fé\u2028\U0001f600', '"a \\"b\\" \\\\ c\\n\\t\\x00\\x7fé\\u2028\U0001f600"'),
    ("\ud83d\ude00", '"\\ud83d\\ude00"'),
    (bool_, "bool"),
    (bf16, "bf16"),
    (n, "n"),
    (n + 1, "n + 1"),
    (-n, "-n"),
    (2 * n * m - 3, "2*m*n - 3"),
    (m // 2, "m // 2"),
    (m % 8, "m % 8"),
    ((m // 2) * 3, "3*(m // 2)"),
    ((m // 2) * (m % 3), "(m % 3)*(m // 2)"),
    ((m // 2,), "(m // 2)"),
    (((m // 2) + (m % 3), 1), "((m % 3) + (m // 2),1)"),
    (((m // 2) - 1,), "((m // 2) - 1)"),
    ((), "()"),
    ((1,), "(1)"),
    (((),), "(())"),
    (((1,), (0,)), "((1),(0))"),
    ((1, -2.0, "x", None, f32, True, (n,)), '(1,-2.0,"x",none,f32,true,(n))'),
    (Array(np.array([[1, 2], [3, 4.5]], np.float32)), "dense<f32[2,2]: 1.0 2.0 3.0 4.5>"),
    (Array(np.array(0.1, np.float16)), "dense<f16[]: 0.1>"),
    (Array(np.array([0.1, -0.0]).astype(bf16.numpy)), "dense<bf16[2]: 0.100098 -0.0>"),
    (Array(np.array([math.inf, -math.inf, math.nan])), "dense<f64[3]: inf -inf nan>"),
    (Array(np.array([complex(1, -0.0), complex(math.nan, 2)], np.complex64)), "dense<c64[2]: (1.0,-0.0) (nan,2.0)>"),
    (Array(np.array([True, False])), "dense<bool[2]: true false>"),
    (Array(np.array([-128, 127], np.int8)), "dense<i8[2]: -128 127>"),
    (Array(np.array([2**64 - 1], np.uint64)), "dense<u64[1]: 18446744073709551615>"),
    (Array(np.zeros((0, 3), np.int64)), "dense<i64[0,3]:>"),
    (Array(np.arange(17, dtype=np.uint8)), 'dense<u8[17]: "AAECAwQFBgcICQoLDA0ODxA=">'),
    (Array(np.array([0x7FC00001], np.uint32).view(np.float32)), 'dense<f32[1]: "AQDAfw==">'),
)


@pytest.mark.parametrize(("value", "text"), ATTRIBUTES, ids=[text[:30] for _, text in ATTRIBUTES])
def test_attributes_print_and_parse_exactly(value: Attribute, text: str, probe: Op) -> None:
    assert attribute_text(value) == text
    # The probe has no operands; the input declares the sizes.
    x = make_input("x", TensorType((n, m), f32))
    graph = Graph("g", (x,), (probe(x, value=value),))
    again = parse_graph(print_graph(graph)).outputs[0].attribute("value")
    assert type(again) is type(value)
    assert exact(again) == exact(value)
    assert attribute_text(again) == text


@given(st.binary(min_size=8, max_size=8), st.sampled_from([d for d in DTYPES if d.name != "bool"]))
def test_arrays_of_any_bits_come_back(data: bytes, element: DType) -> None:
    value = np.frombuffer(data * 2, dtype=element.numpy)
    text = f"graph g() {{ %0 = constant() {{value={attribute_text(Array(value))}}} return %0 }}"
    again = parse_graph(text).outputs[0].attribute("value")
    assert isinstance(again, Array)
    assert again.value.dtype == value.dtype
    assert again.value.tobytes() == value.tobytes()


@given(st.text(alphabet=st.characters()), st.floats())
def test_strings_and_floats_of_any_kind_come_back(string: str, number: float) -> None:
    text = f"graph {attribute_text(string)}() {{ return }}"
    assert parse_graph(text).name == string
    value = Array(np.array(number))
    again = parse_graph(f"graph g() {{ %0 = constant() {{value=dense<f64[]: {number!r}>}} return %0 }}")
    if not math.isnan(number):
        assert again.outputs[0].attribute("value") == value


def test_sizes_without_bounds_are_declared_only_where_no_input_names_them() -> None:
    x = make_input("x", TensorType((m, n), f32))
    assert print_graph(Graph("g", (x,), (x,))).startswith("graph g(%x: f32[m,n]) where n in 1..64 {")
    lone = make_input("y", TensorType((), f32))
    wide = movement.broadcast(movement.reshape(lone, shape=(1,)), shape=(m,))
    text = print_graph(Graph("g", (lone,), (wide,)))
    assert text.startswith("graph g(%y: f32[]) where m in 0.. {")
    assert print_graph(parse_graph(text)) == text


def test_default_attributes_are_left_out_unless_only_python_takes_them_for_equal() -> None:
    x = make_input("x", TensorType((3,), f32))
    op = Op("cumsum", "", lambda x, **a: x, lambda out, x, **a: x, defaults=(("scale", 0.0),))
    names = name_nodes(Graph("g", (x,), ()))
    assert "{" not in node_text(op(x), names)
    assert "{scale=-0.0}" in node_text(op(x, scale=-0.0), names)
    assert "{scale=0}" in node_text(op(x, scale=0), names)


def test_inputs_keep_their_names_and_others_are_numbered() -> None:
    names = ("x", "x", "layer.weight", "0", 'say "x"', "x@1")
    inputs = tuple(make_input(name, TensorType((), f32)) for name in names)
    graph = Graph("g", inputs, (elementwise.neg(inputs[0]),))
    assert list(name_nodes(graph).values()) == [
        "%x",
        "%x@1",
        "%layer.weight",
        '%"0"',
        '%"say \\"x\\""',
        '%"x@1"',
        "%0",
    ]
    assert [node.attribute("name") for node in parse_graph(print_graph(graph)).inputs] == list(names)


def chain(length: int) -> Graph:
    x = make_input("x", TensorType((4,), f32))
    value: Node = x
    for _ in range(length // 2):
        value = elementwise.add(elementwise.sin(value), value)
    return Graph("chain", (x,), (value,))


def test_ten_thousand_nodes_print_parse_and_verify_without_recursion() -> None:
    graph = chain(10_000)
    text = print_graph(graph)
    again = parse_graph(text)
    verify(again)
    assert fingerprint(again) == fingerprint(graph)
    assert len(text.splitlines()) == 10_003


def test_the_text_is_the_same_for_equal_graphs() -> None:
    assert print_graph(softmax_graph(), locations=False) == print_graph(softmax_graph(), locations=False)
