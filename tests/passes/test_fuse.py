"""Fusion: which nodes share a kernel, that no cycle arises, and that values stay."""

import networkx as nx
import numpy as np
import pytest

from graphc.ir.graph import FUSED, Graph, Node
from graphc.ir.interpret import evaluate_graph
from graphc.ir.parse import parse_graph
from graphc.ir.text import print_graph
from graphc.ir.verify import verify
from graphc.passes.fuse import fuse
from graphc.passes.instrument import random_arguments
from tests.random_graphs import random_graph

SOFTMAX = """
graph softmax(%x: f32[64,1000]) {
  %0 = max(%x) {axes=(1)} : f32[64]
  %1 = reshape(%0) {shape=(64,1)} : f32[64,1]
  %2 = broadcast(%1) {shape=(64,1000)} : f32[64,1000]
  %3 = sub(%x, %2) : f32[64,1000]
  %4 = exp(%3) : f32[64,1000]
  %5 = sum(%4) {axes=(1)} : f32[64]
  %6 = reshape(%5) {shape=(64,1)} : f32[64,1]
  %7 = broadcast(%6) {shape=(64,1000)} : f32[64,1000]
  %8 = div(%4, %7) : f32[64,1000]
  return %8
}
"""


def fused_nodes(text: str, **options: int) -> list[Node]:
    graph = fuse(parse_graph(text), **options)
    verify(graph)
    return [node for node in graph.nodes if node.op is FUSED]


def bodies(text: str) -> list[list[str]]:
    """The ops of each group, in order, movement and constants left out."""
    quiet = {"input", "reshape", "broadcast", "constant", "permute"}
    found = []
    for node in fused_nodes(text):
        body = node.attribute("body")
        assert isinstance(body, Graph)
        found.append([each.op.name for each in body.nodes if each.op.name not in quiet])
    return found


def test_softmax_is_one_group_with_its_reductions_per_row() -> None:
    (node,) = fused_nodes(SOFTMAX)
    assert node.attribute("outer") == (0,)


def test_a_function_of_a_row_is_computed_in_front_of_the_row() -> None:
    text = """
    graph f(%x: f32[64,1000]) {
      %0 = sum(%x) {axes=(1)} : f32[64]
      %1 = log(%0) : f32[64]
      %2 = reshape(%1) {shape=(64,1)} : f32[64,1]
      %3 = broadcast(%2) {shape=(64,1000)} : f32[64,1000]
      %4 = sub(%x, %3) : f32[64,1000]
      return %4
    }"""
    assert bodies(text) == [["sum", "log", "sub"]]
    (node,) = fused_nodes(text)
    assert node.attribute("outer") == (0,)


def test_elementwise_nodes_join_across_views() -> None:
    text = """
    graph f(%x: f32[4,6], %b: f32[6]) {
      %0 = reshape(%b) {shape=(1,6)} : f32[1,6]
      %1 = broadcast(%0) {shape=(4,6)} : f32[4,6]
      %2 = add(%x, %1) : f32[4,6]
      %3 = permute(%2) {axes=(1,0)} : f32[6,4]
      %4 = exp(%3) : f32[6,4]
      return %4
    }"""
    assert bodies(text) == [["add", "exp"]]


def test_contraction_takes_its_epilogue_and_what_moves_its_operands() -> None:
    text = """
    graph f(%x: f32[8,16], %w: f32[4,16], %b: f32[4]) {
      %0 = permute(%w) {axes=(1,0)} : f32[16,4]
      %1 = dot(%x, %0) {contract=((1),(0))} : f32[8,4]
      %2 = reshape(%b) {shape=(1,4)} : f32[1,4]
      %3 = broadcast(%2) {shape=(8,4)} : f32[8,4]
      %4 = add(%1, %3) : f32[8,4]
      %5 = tanh(%4) : f32[8,4]
      return %5
    }"""
    assert bodies(text) == [["dot", "add", "tanh"]]


def test_two_contractions_never_share_a_group() -> None:
    text = """
    graph f(%x: f32[8,8]) {
      %0 = dot(%x, %x) {contract=((1),(0))} : f32[8,8]
      %1 = dot(%0, %x) {contract=((1),(0))} : f32[8,8]
      %2 = add(%0, %1) : f32[8,8]
      return %2
    }"""
    assert bodies(text) == [["dot"], ["dot", "add"]]


def test_a_value_read_by_several_groups_is_written_once_by_the_first() -> None:
    text = """
    graph f(%x: f32[8,8]) {
      %0 = exp(%x) : f32[8,8]
      %1 = neg(%0) : f32[8,8]
      %2 = dot(%0, %x) {contract=((1),(0))} : f32[8,8]
      return %1, %2
    }"""
    assert [ops for ops in bodies(text) if "exp" in ops] == [["exp"]] or bodies(text)[0] == ["exp", "neg"]
    assert sum(ops.count("exp") for ops in bodies(text)) == 1


def test_movement_is_repeated_rather_than_stored() -> None:
    text = """
    graph f(%x: f32[8,4], %y: f32[4,8]) {
      %0 = permute(%x) {axes=(1,0)} : f32[4,8]
      %1 = dot(%0, %x) {contract=((1),(0))} : f32[4,4]
      %2 = add(%0, %y) : f32[4,8]
      return %1, %2
    }"""
    found = fused_nodes(text)
    assert len(found) == 2
    assert all(operand.op.name == "input" for node in found for operand in node.inputs)


def test_a_column_reduction_is_not_repeated_for_every_row() -> None:
    text = """
    graph f(%x: f32[512,512]) {
      %0 = sum(%x) {axes=(0)} : f32[512]
      %1 = reshape(%0) {shape=(1,512)} : f32[1,512]
      %2 = broadcast(%1) {shape=(512,512)} : f32[512,512]
      %3 = sub(%x, %2) : f32[512,512]
      return %3
    }"""
    assert bodies(text) == [["sum"], ["sub"]]


def test_a_reduction_of_reductions_is_not_repeated() -> None:
    text = SOFTMAX.replace("return %8", "%9 = sum(%8) {axes=(0)} : f32[1000]\n  return %9")
    assert bodies(text) == [["max", "sub", "exp"], ["sum"], ["div", "sum"]]


def test_long_functions_are_computed_once_per_element() -> None:
    text = """
    graph f(%x: f32[8,8], %y: f32[8]) {
      %0 = exp(%y) : f32[8]
      %1 = reshape(%0) {shape=(1,8)} : f32[1,8]
      %2 = broadcast(%1) {shape=(8,8)} : f32[8,8]
      %3 = mul(%x, %2) : f32[8,8]
      return %3
    }"""
    assert bodies(text) == [["exp"], ["mul"]]


def test_inputs_constants_and_repeats_as_outputs_become_copies() -> None:
    text = """
    graph f(%x: f32[3]) {
      %0 = exp(%x) : f32[3]
      return %x, %0, %0
    }"""
    graph = fuse(parse_graph(text))
    assert len(set(graph.outputs)) == 3
    x = np.arange(3, dtype=np.float32)
    for actual, expected in zip(evaluate_graph(graph, [x]), (x, np.exp(x), np.exp(x)), strict=True):
        np.testing.assert_allclose(actual, expected)


def test_an_input_that_is_the_only_output_becomes_a_copy() -> None:
    (copy,) = fused_nodes("graph f(%x: f32[4]) {\n  return %x\n}\n")
    assert copy.type == copy.inputs[0].type


def test_a_group_that_is_there_already_stays_as_it_is() -> None:
    text = """graph f(%x: f32[4]) {
  %0 = exp(%x) : f32[4]
  %1 = fused(%0) {body=graph g(%p0: f32[4]) {
    %0 = neg(%p0) : f32[4]
    %1 = sin(%p0) : f32[4]
    return %0, %1
  }} : (f32[4], f32[4])
  %2 = get(%1) {index=0} : f32[4]
  %3 = get(%1) {index=1} : f32[4]
  %4 = mul(%2, %3) : f32[4]
  return %4
}
"""
    assert bodies(text) == [["exp"], ["neg", "sin"], ["mul"]]


def test_the_limit_bounds_a_group() -> None:
    chain = "\n".join(f"  %{i + 1} = tanh(%{i}) : f32[4]" for i in range(10))
    text = f"graph f(%x: f32[4]) {{\n  %0 = tanh(%x) : f32[4]\n{chain}\n  return %10\n}}"
    assert [len(ops) for ops in bodies(text)] == [11]
    assert [len(n.attribute("body").nodes) - 1 for n in fused_nodes(text, limit=4)] == [3, 4, 4]  # type: ignore[union-attr]


def test_fusing_twice_changes_nothing() -> None:
    graph = fuse(parse_graph(SOFTMAX))
    assert fuse(graph) is graph


def test_a_fused_graph_prints_and_parses() -> None:
    text = print_graph(fuse(parse_graph(SOFTMAX)))
    assert print_graph(parse_graph(text)) == text


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("limit", [1, 3, 64])
def test_random_graphs_keep_values_and_have_no_cycles(seed: int, limit: int) -> None:
    graph = random_graph(seed, nodes=40, symbolic=seed % 3 == 0)
    fused = fuse(graph, limit=limit)
    verify(fused)
    edges = nx.DiGraph((operand, node) for node in fused.nodes for operand in node.inputs)
    assert nx.is_directed_acyclic_graph(edges)
    assert all(node.op.name in ("input", "constant", "fused", "get") for node in fused.nodes)
    arrays = random_arguments(graph, seed=seed)
    for actual, expected in zip(evaluate_graph(fused, arrays), evaluate_graph(graph, arrays), strict=True):
        np.testing.assert_array_equal(actual, expected)


def test_a_long_chain_takes_one_visit_per_node() -> None:
    chain = "\n".join(f"  %{i + 1} = neg(%{i}) : f32[4]" for i in range(10_000))
    graph = parse_graph(f"graph f(%x: f32[4]) {{\n  %0 = neg(%x) : f32[4]\n{chain}\n  return %10000\n}}")
    assert sum(node.op is FUSED for node in fuse(graph).nodes) == -(-10_001 // 64)


SOFTMAX_AND_GRADIENT = SOFTMAX.replace(
    "return %8",
    """%9 = mul(%g, %8) : f32[64,1000]
  %10 = sum(%9) {axes=(1)} : f32[64]
  %11 = reshape(%10) {shape=(64,1)} : f32[64,1]
  %12 = broadcast(%11) {shape=(64,1000)} : f32[64,1000]
  %13 = sub(%g, %12) : f32[64,1000]
  %14 = mul(%13, %4) : f32[64,1000]
  %15 = div(%14, %7) : f32[64,1000]
  %16 = sum(%15) {axes=(0)} : f32[1000]
  return %8, %15, %16""",
).replace("%x: f32[64,1000]", "%x: f32[64,1000], %g: f32[64,1000]")


def test_values_of_rows_that_other_groups_read_are_written_beside_the_rows() -> None:
    assert bodies(SOFTMAX_AND_GRADIENT) == [
        ["max", "sub", "exp", "sum", "div"],
        ["mul", "sum", "sub", "mul", "div"],
        ["sum"],
    ]


def test_a_value_kept_for_its_row_is_written_from_there() -> None:
    text = SOFTMAX.replace("return %8", "return %8, %4, %5")
    (node,) = fused_nodes(text)
    assert node.attribute("outer") == (0,)
    x = np.linspace(-3, 3, 64_000, dtype=np.float32).reshape(64, 1000)
    graph = fuse(parse_graph(text))
    for actual, expected in zip(evaluate_graph(graph, [x]), evaluate_graph(parse_graph(text), [x]), strict=True):
        np.testing.assert_array_equal(actual, expected)
