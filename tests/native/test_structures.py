"""Structures of real graphs, chosen and random: native code and its kernels against the interpreter, and its bits."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from graphc.frontend.executable import Executable
from graphc.ir.interpret import evaluate_graph
from graphc.ir.parse import parse_graph
from graphc.kernel.interpret import run_program
from graphc.kernel.verify import verify_kernel
from graphc.runtime.threads import get_num_threads, set_num_threads
from tests.structured_graphs import structured_arguments, structured_graph

SEEDS = range(36)
TOLERANCE = {"float16": 3e-2, "bfloat16": 2e-1, "float32": 3e-4, "complex64": 3e-4, "float64": 1e-9, "complex128": 1e-9}
LIMITED = "simplify,fold,decompose,simplify,fuse{limit=%d}"

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
    "sign of a float64 made a float16": """
        graph f(%x: f64[]) {
          %0 = cast(%x) {dtype=f16} : f16[]
          %1 = tanh(%0) : f16[]
          return %1
        }""",
    "no updates, at a place that does not exist": """
        graph f(%x: f32[8], %u: f32[0]) {
          %0 = constant() {value=dense<i64[1]: 100>} : i64[1]
          %1 = broadcast(%0) {shape=(0)} : i64[0]
          %2 = scatter(%x, %1, %u) {axis=0, mode="set"} : f32[8]
          return %2
        }""",
}
"""By what is special about each; all of these once gave wrong values or no code."""


@pytest.fixture
def threads() -> Iterator[None]:
    before = get_num_threads()
    yield
    set_num_threads(before)


def call(run: Executable, arrays: list[np.ndarray]) -> list[np.ndarray]:
    results = run(*arrays)
    return list(results) if isinstance(results, tuple) else [results]


def bits(array: np.ndarray) -> bytes:
    """What must not change; any nan counts as any other."""
    is_nan = array != array
    return np.where(is_nan, array.dtype.type(0), array).tobytes() + is_nan.tobytes()


@pytest.mark.parametrize("seed", SEEDS)
def test_random_structures_agree_with_the_interpreter_and_keep_every_bit(seed: int, threads: None) -> None:
    graph = structured_graph(seed, nodes=20, symbolic=seed % 3 == 0)
    builds = [Executable.build(graph), *(Executable.build(graph, passes=LIMITED % limit) for limit in (1, 4))]
    loosest = max(TOLERANCE.get(node.tensor.dtype.name, 0) for node in graph.nodes)
    for sizes in ({}, {"n": 1}) if graph.sizes else ({},):
        arrays = structured_arguments(graph, seed=seed, sizes=sizes)
        set_num_threads(1)
        results = call(builds[0], arrays)
        for actual, wanted in zip(results, evaluate_graph(graph, arrays), strict=True):
            assert actual.dtype == wanted.dtype
            if actual.dtype.name not in TOLERANCE:
                np.testing.assert_array_equal(actual, wanted)
                continue
            wide = np.complex128 if actual.dtype.kind == "c" else np.float64
            expected = wanted.astype(wide)
            scale = max(1.0, np.max(np.abs(expected[np.isfinite(expected)]), initial=0))
            np.testing.assert_allclose(actual.astype(wide), expected, rtol=loosest, atol=loosest * scale)
        for build, count in ((builds[0], 3), (builds[1], 2), (builds[2], 2)):
            set_num_threads(count)
            assert list(map(bits, call(build, arrays))) == list(map(bits, results))


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
            np.testing.assert_allclose(actual, wanted, rtol=1e-3 if actual.dtype == np.float16 else 1e-5, atol=1e-5)


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
