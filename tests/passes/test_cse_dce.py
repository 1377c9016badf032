"""Merging equal nodes and dropping dead results: text to text."""

from __future__ import annotations

from graphc.passes.cse import merge_common_subexpressions
from graphc.passes.dce import drop_dead_code
from tests.passes.text import assert_becomes, assert_stays


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
