"""Memory planning: pieces that live at once never overlap, are reused, and results take their operands' place."""

import numpy as np
import pytest

from graphc.frontend.executable import Executable, make_program, optimize
from graphc.ir.dim import evaluate, symbol
from graphc.ir.graph import Graph
from graphc.ir.parse import parse_graph
from graphc.kernel.program import Program, Temporary
from graphc.passes.memory import ALIGNMENT, Place, assign_offsets
from tests.random_graphs import random_graph


def chain(count: int, shape: str = "32,32") -> Graph:
    """Contractions one after another: none fuses with the next."""
    lines = [f"  %{i + 1} = dot(%{i}, %x) {{contract=((1),(0))}} : f32[{shape}]" for i in range(count - 1)]
    head = f"graph f(%x: f32[{shape}]) {{\n  %0 = dot(%x, %x) {{contract=((1),(0))}} : f32[{shape}]\n"
    return parse_graph(head + "\n".join(lines) + f"\n  return %{count - 1}\n}}")


def lifetimes(program: Program) -> dict[Temporary, tuple[int, int]]:
    found: dict[Temporary, tuple[int, int]] = {}
    for time, launch in enumerate(program.launches):
        for memory in launch.memories:
            if isinstance(memory, Temporary):
                found[memory] = (found.get(memory, (time, 0))[0], time)
    return found


def assert_no_overlap(program: Program, sizes: dict[str, int]) -> None:
    spans = [
        (start, end, evaluate(t.offset, sizes), evaluate(t.offset, sizes) + evaluate(t.size, sizes))
        for t, (start, end) in lifetimes(program).items()
    ]
    total = evaluate(program.arena_bytes, sizes)
    for i, (start, end, low, high) in enumerate(spans):
        assert 0 <= low <= high <= total
        assert low % ALIGNMENT == 0
        for other_start, other_end, other_low, other_high in spans[:i]:
            lives_on = start < other_end and other_start < end  # they may touch: one takes the other's place
            assert not (lives_on and low < other_high and other_low < high)


def test_a_chain_needs_two_pieces() -> None:
    program = make_program(optimize(chain(10)))
    assert program.arena_bytes == 2 * 32 * 32 * 4
    assert program.peak_bytes == 3 * 32 * 32 * 4


def test_symbolic_pieces_are_reused() -> None:
    graph = parse_graph(
        "graph f(%x: f32[n,8], %w: f32[8,8]) {\n  %0 = dot(%x, %w) {contract=((1),(0))} : f32[n,8]\n"
        + "\n".join(f"  %{i + 1} = dot(%{i}, %w) {{contract=((1),(0))}} : f32[n,8]" for i in range(6))
        + "\n  return %6\n}"
    )
    program = make_program(optimize(graph))
    assert evaluate(program.arena_bytes, {"n": 64}) == 2 * 64 * 8 * 4
    assert_no_overlap(program, {"n": 64})
    assert_no_overlap(program, {"n": 1})


def test_a_result_takes_the_place_of_an_operand_that_dies() -> None:
    graph = parse_graph("""
    graph f(%x: f32[64,64]) {
      %0 = dot(%x, %x) {contract=((1),(0))} : f32[64,64]
      %1 = sum(%0) {axes=(0,1)} : f32[]
      %2 = reshape(%1) {shape=(1,1)} : f32[1,1]
      %3 = broadcast(%2) {shape=(64,64)} : f32[64,64]
      %4 = mul(%0, %3) : f32[64,64]
      %5 = dot(%4, %4) {contract=((1),(0))} : f32[64,64]
      return %5
    }""")
    program = make_program(optimize(graph))
    matrix = 64 * 64 * 4
    assert matrix <= program.arena_bytes < 2 * matrix
    x = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32)
    y = x @ x
    np.testing.assert_allclose(Executable.build(graph)(x), (y * y.sum()) @ (y * y.sum()), rtol=1e-3, atol=1e3)


def test_the_peak_is_known_before_the_run() -> None:
    graph = parse_graph("graph f(%x: f32[n,n]) {\n  %0 = exp(%x) : f32[n,n]\n  return %0\n}")
    run = Executable.build(graph)
    assert run.peak_bytes(np.zeros((10, 10), np.float32)) == 400


@pytest.mark.parametrize("seed", range(30))
def test_random_graphs_have_no_overlap(seed: int) -> None:
    graph = random_graph(seed, nodes=60, symbolic=seed % 2 == 0)
    program = make_program(optimize(graph, passes="fuse{limit=3}"))
    for size in (1, 5, 64):
        sizes = {each.name: min(max(size, each.lower), int(str(each.upper))) for each in graph.sizes}
        assert_no_overlap(program, sizes)


def test_a_gap_is_filled_and_the_end_grows() -> None:
    places = [Place(128, 0, 1), Place(64, 0, 5), Place(64, 2, 5), Place(64, 2, 5), Place(256, 2, 5)]
    assert assign_offsets(places) == 448
    assert [place.offset for place in places] == [0, 128, 0, 64, 192]


def test_symbolic_places_follow_the_static_part() -> None:
    n = symbol("n", 1)
    places = [Place(64, 0, 9), Place(n * 64, 0, 1), Place(n * 64, 2, 3), Place(n * 128, 2, 3)]
    assert assign_offsets(places) == n * 192 + 64
    assert [place.offset for place in places] == [0, 64, 64, n * 64 + 64]
