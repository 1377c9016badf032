"""The verifier finds every way in which a pass may break a graph, and shows the node."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from graphc.ir.attribute import Attribute
from graphc.ir.dim import symbol
from graphc.ir.dtype import f32, f64, i64
from graphc.ir.errors import ArgumentError, VerifyError
from graphc.ir.graph import FUSED, GET, INPUT, Graph, Node, make_input
from graphc.ir.location import Location
from graphc.ir.op import Op, find_op
from graphc.ir.type import Shape, TensorType, TupleType
from graphc.ir.verify import verify
from graphc.ops import creation, elementwise

HERE = Location("train.py", 12)
n = symbol("n", 1, 64)
x = make_input("x", TensorType((n, 4), f32), HERE)
y = elementwise.neg(x)


def node(op: Op, inputs: tuple[Node, ...], type: object, **attributes: object) -> Node:
    """A node that nobody checked."""
    return Node(op, inputs, tuple(sorted(attributes.items())), type, HERE)  # type: ignore[arg-type]


def graph(*outputs: Node, inputs: tuple[Node, ...] = (x,)) -> Graph:
    return Graph("step", inputs, outputs)


def iota(shape: Shape) -> Node:
    return creation.iota(shape=shape, axis=0, dtype=f32)


def fused(body: Graph, *operands: Node) -> Node:
    return FUSED(*operands, body=body)


a = make_input("a", TensorType((n, 4), f32), HERE)
two_results = fused(Graph("body", (a,), (elementwise.neg(a), a)), x)
stranger = make_input("z", TensorType((4,), f32))
NEG = elementwise.neg

BROKEN: tuple[tuple[Graph, str], ...] = (
    (graph(node(NEG, (x,), TensorType((n, 5), f32))), "the type rule of neg gives f32[n,4], the node has f32[n,5]"),
    (graph(node(NEG, (x,), TensorType((n, 4), f64))), "the type rule of neg gives f32[n,4], the node has f64[n,4]"),
    (graph(node(NEG, (x, x), x.type)), "the type rule of neg refuses its operands: "),
    (graph(node(NEG, (x,), x.type, axes=1)), "the type rule of neg refuses its operands: "),
    (graph(node(find_op("sum"), (x,), x.type)), "the type rule of sum refuses its operands: "),
    (graph(node(find_op("sum"), (x,), x.type, axes=(7,))), "the type rule of sum refuses its operands: "),
    (graph(node(GET, (x,), x.type, index=0)), "the type rule of get refuses its operands: get takes from a tuple"),
    (graph(node(Op("no_op", "", lambda: x.type, lambda: 0), (), x.type)), "there is no op 'no_op'"),
    (graph(node(replace(NEG), (x,), x.type)), "the op 'neg' is not the one registered under this name"),
    (graph(elementwise.neg(stranger)), "the input is none of the graph's inputs"),
    (graph(inputs=(x, x)), "the node is listed as an input twice"),
    (graph(inputs=(x, y)), "neg is listed as an input"),
    (graph(node(INPUT, (), x.type, name=3), inputs=()), "the input is none of the graph's inputs"),
    (graph(inputs=(node(INPUT, (), x.type, name=3),)), "an input has a name, and no operands"),
    (graph(inputs=(node(INPUT, (), x.type),)), "an input has a name, and no operands"),
    (graph(inputs=(node(INPUT, (x,), x.type, name="y"), x)), "an input has a name, and no operands"),
    (graph(inputs=(node(INPUT, (), TupleType((x.tensor,)), name="t"),)), "the type of an input is that of a tensor"),
    (graph(two_results), "only tensors are returned, not (f32[n,4], f32[n,4])"),
    (graph(inputs=(make_input("x", TensorType((-1,), f32), HERE),)), "the size -1 is negative"),
    (graph(inputs=(make_input("x", TensorType((-n - 1,), f32), HERE),)), "the size -n - 1 is negative"),
    (graph(inputs=(make_input("x", TensorType((True,), f32), HERE),)), "a size is an int or symbolic, not True"),
    (
        graph(inputs=(make_input("x", TensorType((np.int64(3),), f32), HERE),)),  # type: ignore[arg-type]
        "a size is an int or symbolic, not np.int64(3)",
    ),
    (graph(inputs=(make_input("x", TensorType([3], f32), HERE),)), "[3] is no shape"),  # type: ignore[arg-type]
    (graph(inputs=(make_input("x", TensorType((3,), "f32"), HERE),)), "'f32' is no dtype"),  # type: ignore[arg-type]
    (graph(iota((symbol("m"),))), "the size m in m is in no input's shape"),
    (graph(iota((symbol("n", 0, 64),))), "the size n in n has two ranges"),
    (graph(inputs=(make_input("x", TensorType((n, symbol("n")), f32), HERE),)), "the size n has two ranges"),
    (graph(inputs=(make_input("x", TensorType((symbol("f32"),), f32), HERE),)), "a size can't be called 'f32'"),
    (graph(inputs=(make_input("x", TensorType((symbol("my n"),), f32), HERE),)), "a size can't be called 'my n'"),
    (graph(inputs=(make_input("x", TensorType((symbol("i", 0, n - 1),), f32), HERE),)), "the size i has the bounds"),
    (graph(inputs=(make_input("x", TensorType((symbol("i", -4, 5),), f32), HERE),)), "the size i has the bounds -4..5"),
    (
        graph(fused(Graph("body", (a,), (node(NEG, (a,), TensorType((4,), f32)),)), x)),
        "graph body: the type rule of neg gives f32[n,4], the node has f32[4]",
    ),
    (
        graph(node(FUSED, (x,), TensorType((4,), f32), body=Graph("body", (stranger,), (stranger,)), outer=None)),
        "operands of fused don't match its body",
    ),
    (graph(node(FUSED, (x,), x.type, body=Graph("b", (a,), (a,)))), "the type rule of fused refuses its operands"),
    (
        graph(fused(Graph("body", (a,), (creation.size(value=symbol("k"), dtype=i64),)), x)),
        "graph body: the size k in k is in no input's shape",
    ),
)


@pytest.mark.parametrize(("broken", "message"), BROKEN, ids=range(len(BROKEN)))
def test_a_broken_graph_is_found_and_shown(broken: Graph, message: str) -> None:
    with pytest.raises(VerifyError) as caught:
        verify(broken)
    first, shown = caught.value.message.splitlines()
    assert message in first
    assert shown.startswith("  in %")


class Odd:
    """No attribute."""

    def __repr__(self) -> str:
        return "odd"  # the same in every process, as the names of tests are


ATTRIBUTES: tuple[object, ...] = (
    Odd(),
    [1],
    {"a": 1},
    1j,
    np.float64(1.0),
    np.int64(1),
    np.zeros(3),
    2**128,
    -(2**128),
    (1, (Odd(),)),
    (symbol("k"),),
)


@pytest.mark.parametrize("value", ATTRIBUTES, ids=str)
def test_what_is_no_attribute_is_refused(value: object, probe: Op) -> None:
    with pytest.raises(VerifyError, match=r"is no attribute|in no input's shape"):
        verify(graph(node(probe, (x,), TensorType((), f32), value=value)))


def test_attributes_are_sorted_and_named_once(probe: Op) -> None:
    for names in ("ba", "aa"):
        attributes = tuple((name, 1) for name in names)
        with pytest.raises(VerifyError, match="sorted and named once"):
            verify(graph(Node(probe, (x,), attributes, TensorType((), f32))))


def test_tuples_nest_up_to_a_limit(probe: Op) -> None:
    value: Attribute = 1
    for _ in range(32):
        value = (value,)
    verify(graph(node(probe, (x,), TensorType((), f32), value=value)))
    with pytest.raises(VerifyError, match="nests deeper than 32 levels"):
        verify(graph(node(probe, (x,), TensorType((), f32), value=(value,))))


def test_bodies_nest_up_to_a_limit() -> None:
    body = Graph("body", (a,), (elementwise.neg(a),))
    for _ in range(32):
        body = Graph("body", (a,), (fused(body, a),))
    verify(Graph("step", (x,), (elementwise.neg(x),)))
    verify(body)
    with pytest.raises(VerifyError, match="bodies nest deeper than 32 levels"):
        verify(graph(fused(body, x)))


def test_the_error_says_the_line_of_the_user_and_the_node() -> None:
    with pytest.raises(VerifyError) as caught:
        verify(graph(node(NEG, (y,), TensorType((4,), f32))))
    assert str(caught.value) == (
        "graph step: the type rule of neg gives f32[n,4], the node has f32[4]\n"
        "  in %1 = neg(%0) : f32[4]\n"
        "  at train.py:12"
    )


def test_the_cause_is_kept() -> None:
    with pytest.raises(VerifyError) as caught:
        verify(graph(node(find_op("sum"), (x,), x.type, axes=(7,))))
    assert isinstance(caught.value.__cause__, ArgumentError | IndexError | ValueError)


@pytest.mark.parametrize("seed", range(20))
def test_graphs_that_ops_build_are_valid(seed: int, random_graph: Callable[[int], Graph]) -> None:
    verify(random_graph(1000 + seed))


def test_a_deep_graph_with_many_bodies_is_verified_without_recursion() -> None:
    body = Graph("body", (a,), (elementwise.exp(a),))
    value: Node = x
    for _ in range(4 * sys.getrecursionlimit()):
        value = fused(body, value)
    verify(graph(value))


def test_an_input_may_stand_for_a_number() -> None:
    node = make_input("x", TensorType((), f64))
    weak = Node(INPUT, (), (*node.attributes, ("weak", True)), node.type)
    verify(Graph("g", (weak,), (elementwise.neg(weak),)))
    odd = Node(INPUT, (), (*node.attributes, ("weak", False)), node.type)
    with pytest.raises(VerifyError, match="an input has a name"):
        verify(Graph("g", (odd,), (elementwise.neg(odd),)))
