"""Constant folding: text to text, and what stays."""

from __future__ import annotations

import pytest

from graphc.passes.fold import fold_constants
from tests.passes.text import assert_becomes, assert_stays, graph_of

TWO_ARRAYS = """%0 = constant() {value=dense<f32[3]: 1.0 2.0 -0.0>} : f32[3]
                %1 = constant() {value=dense<f32[3]: 0.5 inf 0.0>} : f32[3]"""

FOLDED: dict[str, tuple[str, str]] = {
    "arithmetic on arrays": (
        f"""graph f() {{
          {TWO_ARRAYS}
          %2 = mul(%0, %1) : f32[3]
          %3 = sub(%2, %0) : f32[3]
          return %3
        }}""",
        """graph f() {
          %0 = constant() {value=dense<f32[3]: -0.5 inf 0.0>} : f32[3]
          return %0
        }""",
    ),
    "one repeated constant stays one": (
        """graph f(%x: f32[n,4]) {
          %0 = constant() {value=dense<f32[1,1]: 3.0>} : f32[1,1]
          %1 = broadcast(%0) {shape=(n,4)} : f32[n,4]
          %2 = sqrt(%1) : f32[n,4]
          %3 = neg(%1) : f32[n,4]
          %4 = add(%x, %3) : f32[n,4]
          return %4, %2
        }""",
        """graph f(%x: f32[n,4]) {
          %0 = constant() {value=dense<f32[1,1]: -3.0>} : f32[1,1]
          %1 = broadcast(%0) {shape=(n,4)} : f32[n,4]
          %2 = add(%x, %1) : f32[n,4]
          %3 = constant() {value=dense<f32[1,1]: 1.7320508>} : f32[1,1]
          %4 = broadcast(%3) {shape=(n,4)} : f32[n,4]
          return %2, %4
        }""",
    ),
    "moved elements": (
        """graph f() {
          %0 = constant() {value=dense<i64[2,3]: 1 2 3 4 5 6>} : i64[2,3]
          %1 = permute(%0) {axes=(1,0)} : i64[3,2]
          %2 = slice(%1) {start=(1,0), step=(1,1), stop=(3,2)} : i64[2,2]
          %3 = sum(%2) {axes=(0)} : i64[2]
          return %3
        }""",
        """graph f() {
          %0 = constant() {value=dense<i64[2]: 5 11>} : i64[2]
          return %0
        }""",
    ),
    "sizes that are known": (
        """graph f() {
          %0 = size() {dtype=f32, value=12} : f32[]
          %1 = neg(%0) : f32[]
          return %1
        }""",
        """graph f() {
          %0 = constant() {value=dense<f32[]: -12.0>} : f32[]
          return %0
        }""",
    ),
}

KEPT: dict[str, str] = {
    "exp is a formula of the machine's": """graph f() {
      %0 = constant() {value=dense<f32[3]: 1.0 2.0 3.0>} : f32[3]
      %1 = exp(%0) : f32[3]
      return %1
    }""",
    "a float sum has its own tree": """graph f() {
      %0 = constant() {value=dense<f32[3]: 1.0 2.0 3.0>} : f32[3]
      %1 = sum(%0) {axes=(0)} : f32[]
      return %1
    }""",
    "an index out of range is an error of the run": """graph f() {
      %0 = constant() {value=dense<f32[3]: 1.0 2.0 3.0>} : f32[3]
      %1 = constant() {value=dense<i64[]: 3>} : i64[]
      %2 = gather(%0, %1) {axis=0} : f32[]
      return %2
    }""",
    "a counter costs less than memory": """graph f() {
      %0 = iota() {axis=0, dtype=f32, shape=(1000)} : f32[1000]
      return %0
    }""",
    "a symbolic size": """graph f(%x: f32[n]) {
      %0 = size() {dtype=f32, value=2*n} : f32[]
      %1 = neg(%0) : f32[]
      return %1, %x
    }""",
}


@pytest.mark.parametrize("name", FOLDED)
def test_what_depends_on_constants_alone_is_computed(name: str) -> None:
    assert_becomes(fold_constants, *FOLDED[name])


@pytest.mark.parametrize("name", KEPT)
def test_what_the_machine_may_round_otherwise_stays(name: str) -> None:
    assert_stays(fold_constants, KEPT[name])


def test_fast_numerics_fold_formulas_too() -> None:
    graph = graph_of(KEPT["a float sum has its own tree"])
    (total,) = fold_constants(graph, numerics="fast").outputs
    assert (total.op.name, str(total.type)) == ("constant", "f32[]")


def test_results_beyond_the_limit_stay() -> None:
    graph = graph_of(
        """graph f() {
          %0 = constant() {value=dense<i64[3]: 1 2 3>} : i64[3]
          %1 = constant() {value=dense<i64[]: 0>} : i64[]
          %2 = pad(%0, %1) {high=(97), interior=(0), low=(0)} : i64[100]
          return %2
        }"""
    )
    assert fold_constants(graph, limit=799) is graph
    assert fold_constants(graph, limit=800).outputs[0].op.name == "constant"
