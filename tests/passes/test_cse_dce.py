"""Merging equal nodes and dropping dead results: text to text."""

from __future__ import annotations

import numpy as np
import pytest

from graphc.ir.graph import Graph
from graphc.ir.text import print_graph
from graphc.ir.verify import verify
from graphc.passes.cse import merge_common_subexpressions
from graphc.passes.dce import drop_dead_code
from graphc.passes.fuse import fuse
from graphc.passes.instrument import random_arguments
from tests.passes.text import assert_becomes, assert_stays, graph_of


def test_equal_nodes_merge_to_the_first() -> None:
    assert_becomes(
        merge_common_subexpressions,
        """graph f(%x: f32[4], %y: f32[4]) {
          %0 = add(%x, %y) : f32[4]
          %1 = add(%y, %x) : f32[4]
          %2 = exp(%0) : f32[4]
          %3 = exp(%1) : f32[4]
          %4 = sub(%2, %3) : f32[4]
          return %4, %3
        }""",
        """graph f(%x: f32[4], %y: f32[4]) {
          %0 = add(%x, %y) : f32[4]
          %1 = exp(%0) : f32[4]
          %2 = sub(%1, %1) : f32[4]
          return %2, %1
        }""",
    )


def test_constants_merge_only_with_the_same_bits() -> None:
    assert_becomes(
        merge_common_subexpressions,
        """graph f() {
          %0 = constant() {value=dense<f32[]: 0.0>} : f32[]
          %1 = constant() {value=dense<f32[]: -0.0>} : f32[]
          %2 = constant() {value=dense<f32[]: 0.0>} : f32[]
          return %0, %1, %2
        }""",
        """graph f() {
          %0 = constant() {value=dense<f32[]: 0.0>} : f32[]
          %1 = constant() {value=dense<f32[]: -0.0>} : f32[]
          return %0, %1, %0
        }""",
    )


def test_operands_of_other_ops_keep_their_order() -> None:
    assert_stays(
        merge_common_subexpressions,
        """graph f(%x: f32[4], %y: f32[4]) {
          %0 = sub(%x, %y) : f32[4]
          %1 = sub(%y, %x) : f32[4]
          return %0, %1
        }""",
    )


FUSED = """graph f(%x: f32[4], %y: f32[4], %z: f32[4]) {
  %0 = fused(%x, %y, %z) {body=graph body(%a: f32[4], %b: f32[4], %c: f32[4]) {
    %0 = exp(%a) : f32[4]
    %1 = neg(%b) : f32[4]
    %2 = add(%0, %c) : f32[4]
    return %0, %1, %2
  }} : (f32[4], f32[4], f32[4])
  RESULTS
}"""


def test_results_that_nobody_reads_are_dropped_with_their_operands() -> None:
    assert_becomes(
        drop_dead_code,
        FUSED.replace(
            "RESULTS",
            """%1 = get(%0) {index=0} : f32[4]
               %2 = get(%0) {index=2} : f32[4]
               return %2, %1""",
        ),
        """graph f(%x: f32[4], %y: f32[4], %z: f32[4]) {
          %0 = fused(%x, %z) {body=graph body(%a: f32[4], %c: f32[4]) {
            %0 = exp(%a) : f32[4]
            %1 = add(%0, %c) : f32[4]
            return %0, %1
          }} : (f32[4], f32[4])
          %1 = get(%0) {index=1} : f32[4]
          %2 = get(%0) {index=0} : f32[4]
          return %1, %2
        }""",
    )


def test_a_single_result_that_is_left_needs_no_tuple() -> None:
    assert_becomes(
        drop_dead_code,
        FUSED.replace("RESULTS", "%1 = get(%0) {index=1} : f32[4]\n return %1"),
        """graph f(%x: f32[4], %y: f32[4], %z: f32[4]) {
          %0 = fused(%y) {body=graph body(%b: f32[4]) {
            %0 = neg(%b) : f32[4]
            return %0
          }} : f32[4]
          return %0
        }""",
    )


def test_a_graph_whose_results_are_all_read_stays() -> None:
    assert_stays(
        drop_dead_code,
        FUSED.replace(
            "RESULTS",
            """%1 = get(%0) {index=0} : f32[4]
               %2 = get(%0) {index=1} : f32[4]
               %3 = get(%0) {index=2} : f32[4]
               return %1, %2, %3""",
        ),
    )


def test_unused_inputs_of_the_graph_stay() -> None:
    assert_stays(drop_dead_code, "graph f(%x: f32[4], %y: f32[4]) {\n return %y\n}")


ROWS = """graph f(%x: f32[8,5]) {
  %0 = max(%x) {axes=(1)} : f32[8]
  %1 = reshape(%0) {shape=(8,1)} : f32[8,1]
  %2 = broadcast(%1) {shape=(8,5)} : f32[8,5]
  %3 = sub(%x, %2) : f32[8,5]
  %4 = neg(%3) : f32[8,5]
  return %4, %3, %0
}"""


@pytest.mark.parametrize("kept", [(0,), (1,), (2,), (1, 2), (2, 1), (0, 2)])
def test_a_fused_node_that_loses_results_still_computes_the_others(kept: tuple[int, ...]) -> None:
    fused = fuse(graph_of(ROWS))
    assert sum(node.op.name == "fused" for node in fused.nodes) == 1
    some = Graph(fused.name, fused.inputs, tuple(fused.outputs[index] for index in kept))
    pruned = drop_dead_code(some)
    verify(pruned)
    (x,) = random_arguments(fused, 1)
    row = x.max(axis=1)
    expected = (row[:, None] - x, x - row[:, None], row)
    result = graph_of(print_graph(pruned)).compile(passes="fuse")(x)
    results = result if isinstance(result, tuple) else (result,)
    for actual, index in zip(results, kept, strict=True):
        np.testing.assert_array_equal(actual, expected[index])
