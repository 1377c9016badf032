"""Graphs that once gave wrong values or no code: native code and its kernels against the interpreter."""

from __future__ import annotations

import numpy as np
import pytest

from graphc.frontend.executable import Executable
from graphc.ir.interpret import evaluate_graph
from graphc.ir.parse import parse_graph
from graphc.kernel.interpret import run_program
from graphc.kernel.verify import verify_kernel
from tests.structured_graphs import structured_arguments

GRAPHS = {
    "contraction of a symbolic size in lanes of bytes": """
        graph f(%x: i8[2,2,n]) where n in 1..4096 {
          %0 = dot(%x, %x) {contract=((1),(1))} : i8[2,n,2,n]
          return %0
        }""",
    "reduction of one element that is a reduction": """
        graph f(%x: f64[5], %y: f64[1,5,3]) {
          %0 = sum(%y) {axes=(0,2)} : f64[5]
          %1 = mul(%0, %x) : f64[5]
          %2 = reshape(%1) {shape=(1,5,1)} : f64[1,5,1]
          %3 = sum(%2) {axes=(0,2)} : f64[5]
          return %3
        }""",
    "contraction over empty axes": """
        graph f(%x: i8[0,0,0,0]) {
          %0 = dot(%x, %x) {contract=((0,3,2,1),(3,0,1,2))} : i8[]
          return %0
        }""",
    "part of a contraction": """
        graph f(%x: f32[2,4]) {
          %0 = dot(%x, %x) {contract=((0),(0))} : f32[4,4]
          %1 = slice(%0) {start=(0,0), step=(1,1), stop=(3,3)} : f32[3,3]
          return %1
        }""",
    "contraction with zeros behind it": """
        graph f(%x: f32[2,4], %z: f32[]) {
          %0 = dot(%x, %x) {contract=((0),(0))} : f32[4,4]
          %1 = pad(%0, %z) {high=(0,2), interior=(0,0), low=(0,0)} : f32[4,6]
          %2 = neg(%1) : f32[4,6]
          return %2
        }""",
    "rows of one element beside a value of each": """
        graph f(%a: f32[5,1], %x: f32[5], %y: f32[5]) {
          %0 = mul(%x, %y) : f32[5]
          %1 = reshape(%0) {shape=(5,1)} : f32[5,1]
          %2 = sub(%1, %a) : f32[5,1]
          %3 = exp(%2) : f32[5,1]
          %4 = sum(%3) {axes=(1)} : f32[5]
          %5 = reshape(%4) {shape=(5,1)} : f32[5,1]
          %6 = div(%3, %5) : f32[5,1]
          %7 = reshape(%6) {shape=(5)} : f32[5]
          %8 = dot(%7, %1) {contract=((0),(0))} : f32[1]
          return %8, %7
        }""",
    "no updates, at a place that does not exist": """
        graph f(%x: f32[8], %u: f32[0]) {
          %0 = constant() {value=dense<i64[1]: 100>} : i64[1]
          %1 = broadcast(%0) {shape=(0)} : i64[0]
          %2 = scatter(%x, %1, %u) {axis=0, mode="set"} : f32[8]
          return %2
        }""",
}
"""By what is special about each."""


@pytest.mark.parametrize("name", GRAPHS)
def test_native_code_and_kernels_agree_with_the_interpreter(name: str) -> None:
    graph = parse_graph(GRAPHS[name])
    arrays = structured_arguments(graph, seed=1)
    expected = evaluate_graph(graph, arrays)
    run = Executable.build(graph)
    for launch in run.program.launches:
        verify_kernel(launch.kernel)
    native = run(*arrays)
    for results in (native if isinstance(native, tuple) else [native], run_program(run.program, arrays)):
        for actual, wanted in zip(results, expected, strict=True):
            np.testing.assert_allclose(actual, wanted, rtol=1e-5, atol=1e-5)


def test_an_index_that_nothing_is_read_at_may_be_out_of_range() -> None:
    graph = parse_graph("""
        graph f(%x: f32[8], %s: f32[n], %k: i64[]) where n in 0..100 {
          %0 = reshape(%k) {shape=(1)} : i64[1]
          %1 = broadcast(%0) {shape=(n)} : i64[n]
          %2 = gather(%x, %1) {axis=0} : f32[n]
          %3 = sum(%2) {axes=(0)} : f32[]
          return %3
        }""")
    x, nothing = np.ones(8, np.float32), np.empty(0, np.float32)
    assert Executable.build(graph)(x, nothing, np.int64(100)) == 0
