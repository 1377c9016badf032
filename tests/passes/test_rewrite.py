"""The rewrite driver: merging, rules, locations, and calling a graph on nodes."""

from __future__ import annotations

import pytest

from graphc.ir.dtype import f32
from graphc.ir.errors import VerifyError
from graphc.ir.graph import FUSED, GET, Graph, Node, make_input
from graphc.ir.location import Location, using
from graphc.ir.replace import inline, replace_nodes
from graphc.ir.text import print_graph
from graphc.ir.type import TensorType
from graphc.ir.verify import verify
from graphc.ops import elementwise as ew
from graphc.ops import reduction as rd
from graphc.passes.fuse import fuse
from graphc.passes.rewrite import RuleSet, inline_fused, rewrite
from tests.passes.text import assert_becomes, assert_stays, graph_of


def drop_double_negation() -> RuleSet:
    rules = RuleSet()

    @rules.rule("neg")
    def drop(node: Node) -> Node | None:
        (x,) = node.inputs
        return x.inputs[0] if x.op.name == "neg" else None

    return rules


def test_rules_apply_until_none_does() -> None:
    rules = drop_double_negation()
    assert_becomes(
        lambda graph: rewrite(graph, rules),
        """graph f(%x: f32[4]) {
          %0 = neg(%x) : f32[4]
          %1 = neg(%0) : f32[4]
          %2 = neg(%1) : f32[4]
          %3 = exp(%2) : f32[4]
          return %3
        }""",
        """graph f(%x: f32[4]) {
          %0 = neg(%x) : f32[4]
          %1 = exp(%0) : f32[4]
          return %1
        }""",
    )


def test_unchanged_graph_is_the_same_object() -> None:
    assert_stays(
        lambda graph: rewrite(graph, drop_double_negation()),
        """graph f(%x: f32[4], %y: f32[4]) {
          %0 = neg(%x) : f32[4]
          %1 = sub(%0, %y) : f32[4]
          return %1, %x
        }""",
    )


def test_equal_nodes_merge_whatever_the_order_of_commuting_operands() -> None:
    x, y = (make_input(name, TensorType((4,), f32)) for name in "xy")
    sums = ew.add(x, y), ew.add(y, x)
    differences = ew.sub(x, y), ew.sub(y, x)
    result = rewrite(Graph("f", (x, y), (*sums, *differences)))
    assert result.outputs == (sums[0], sums[0], *differences)


def test_attributes_that_differ_keep_nodes_apart() -> None:
    x = make_input("x", TensorType((4, 4), f32))
    graph = Graph("f", (x,), (rd.sum_(x, axes=(0,)), rd.sum_(x, axes=(1,))))
    assert rewrite(graph) is graph


def test_new_nodes_have_the_location_of_the_replaced_one() -> None:
    rules = RuleSet()

    @rules.rule("sub")
    def as_sum(node: Node) -> Node:
        x, y = node.inputs
        return ew.add(x, ew.neg(y))

    here = Location("model.py", 7)
    x, y = (make_input(name, TensorType((4,), f32)) for name in "xy")
    with using(here):
        difference = ew.sub(x, y)
    (total,) = rewrite(Graph("f", (x, y), (difference,)), rules).outputs
    assert (total.op.name, total.location, total.inputs[1].location) == ("add", here, here)


def test_rules_that_undo_each_other_are_an_error_at_the_users_line() -> None:
    rules = RuleSet()

    @rules.rule("add")
    def swap(node: Node) -> Node:
        return ew.sub(node.inputs[0], ew.neg(node.inputs[1]))

    @rules.rule("sub")
    def swap_back(node: Node) -> Node | None:
        x, y = node.inputs
        return ew.add(x, y.inputs[0]) if y.op.name == "neg" else None

    x = make_input("x", TensorType((4,), f32))
    with using(Location("model.py", 7)):
        total = ew.add(x, x)
    with pytest.raises(VerifyError, match="two rules undo each other") as caught:
        rewrite(Graph("f", (x,), (total,)), rules)
    assert "model.py:7" in str(caught.value)


def test_a_rule_that_grows_without_end_is_an_error() -> None:
    rules = RuleSet()

    @rules.rule("exp")
    def grow(node: Node) -> Node:
        return ew.exp(ew.neg(node))

    x = make_input("x", TensorType((4,), f32))
    with pytest.raises(VerifyError, match="exp of type"):
        rewrite(Graph("f", (x,), (ew.exp(x),)), rules)


def test_a_rule_that_changes_the_type_is_named() -> None:
    rules = RuleSet()

    @rules.rule("exp")
    def sum_up(node: Node) -> Node:
        return rd.sum_(node.inputs[0], axes=(0,))

    x = make_input("x", TensorType((4,), f32))
    with pytest.raises(VerifyError, match=r"sum_up replaced exp of type f32\[4\] by f32\[\]"):
        rewrite(Graph("f", (x,), (ew.exp(x),)), rules)


def test_each_node_is_visited_once_on_a_long_chain() -> None:
    visits: list[Node] = []
    rules = RuleSet()

    @rules.rule("*")
    def look(node: Node) -> None:
        visits.append(node)

    x = make_input("x", TensorType((4,), f32))
    node = x
    for _ in range(10_000):
        node = ew.neg(node)
    graph = Graph("f", (x,), (node,))
    assert rewrite(graph, rules) is graph
    assert len(visits) == 10_001


def test_a_chain_of_ten_thousand_collapses_in_as_many_rule_calls() -> None:
    calls = 0
    rules = RuleSet(drop_double_negation())

    @rules.rule("neg")
    def count(node: Node) -> None:
        nonlocal calls
        calls += 1

    x = make_input("x", TensorType((4,), f32))
    node = x
    for _ in range(10_000):
        node = ew.neg(node)
    assert rewrite(Graph("f", (x,), (node,)), rules).outputs == (x,)
    assert calls <= 10_000


def fused_pair() -> Graph:
    x, y, a, b = (make_input(name, TensorType((4,), f32)) for name in "xyab")
    inner = Graph("body", (a, b), (ew.neg(ew.neg(a)), ew.exp(b)))
    pair = FUSED(x, y, body=inner)
    return Graph("f", (x, y), (GET(pair, index=1), ew.neg(GET(pair, index=0))))


def test_bodies_of_fused_nodes_are_rewritten_if_asked() -> None:
    graph = fused_pair()
    rules = drop_double_negation()
    assert rewrite(graph, rules) is graph
    inside = rewrite(graph, rules, inside_fused=True)
    assert "neg" not in print_graph(inside, locations=False).partition("get")[0]
    assert rewrite(inside, rules, inside_fused=True) is inside


def test_inlining_fused_nodes_gives_their_bodies_back() -> None:
    text = print_graph(inline_fused(fused_pair()), locations=False)
    expected = graph_of(
        """graph f(%x: f32[4], %y: f32[4]) {
          %0 = exp(%y) : f32[4]
          %1 = neg(%x) : f32[4]
          %2 = neg(%1) : f32[4]
          %3 = neg(%2) : f32[4]
          return %0, %3
        }"""
    )
    assert text == print_graph(expected, locations=False)


def test_a_graph_can_be_called_on_nodes_of_another_size() -> None:
    graph = graph_of(
        """graph f(%x: f32[4]) {
          %0 = sum(%x) {axes=(0)} : f32[]
          return %0
        }"""
    )
    y = make_input("y", TensorType((7, 3), f32))
    (total,) = inline(graph, (y,))
    assert str(total.type) == "f32[3]"
    assert total.inputs == (y,)


def test_replacing_a_node_rebuilds_only_what_uses_it() -> None:
    x, y = (make_input(name, TensorType((4,), f32)) for name in "xy")
    kept, changed = ew.exp(y), ew.exp(x)
    first, second = replace_nodes((kept, ew.add(changed, kept)), {changed: y})
    assert first is kept
    assert second.inputs == (y, kept)


def test_rewriting_inside_a_fused_node_keeps_how_it_loops() -> None:
    fused = fuse(
        graph_of("""graph f(%x: f32[8,5]) {
      %0 = sum(%x) {axes=(1)} : f32[8]
      %1 = reshape(%0) {shape=(8,1)} : f32[8,1]
      %2 = broadcast(%1) {shape=(8,5)} : f32[8,5]
      %3 = neg(%x) : f32[8,5]
      %4 = mul(%3, %2) : f32[8,5]
      return %4
    }""")
    )
    rules = RuleSet()

    @rules.rule("neg")
    def absolute(node: Node) -> Node:
        return ew.abs_(node.inputs[0])

    changed = rewrite(fused, rules, inside_fused=True)
    verify(changed)
    (node,) = [node for node in changed.nodes if node.op is FUSED]
    assert node.attribute("outer") == (0,)
    assert "abs" in print_graph(changed)
