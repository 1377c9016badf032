"""The order of kernels: what frees memory runs early, what takes it late."""

from __future__ import annotations

from graphc.ir.graph import FUSED
from graphc.passes.fuse import fuse
from graphc.passes.lower import lower
from graphc.passes.memory import plan_memory
from graphc.passes.order import ordered
from tests.passes.text import graph_of


def _chain(layers: int) -> str:
    """y = x @ w @ ... and the products of all activations with each other, which are results."""
    lines, current = [], "%x"
    products = []
    for i in range(layers):
        lines.append(f"%a{i} = dot({current}, %w) {{contract=((1),(0)), batch=((),())}}")
        lines.append(f"%p{i} = dot(%a{i}, {current}) {{contract=((0),(0)), batch=((),())}}")
        current = f"%a{i}"
        products.append(f"%p{i}")
    returned = ", ".join((current, *products))
    return f"graph f(%x: f32[n,8], %w: f32[8,8]) where n in 64..64 {{ {' '.join(lines)} return {returned} }}".replace(
        "f32[n,8]", "f32[64,8]"
    ).replace(" where n in 64..64", "")


def test_every_node_follows_its_operands() -> None:
    graph = fuse(graph_of(_chain(6)))
    order = ordered(graph)
    assert sorted(map(id, order)) == sorted(map(id, graph.nodes))
    place = {node: i for i, node in enumerate(order)}
    assert all(place[operand] < place[node] for node in order for operand in node.inputs)


def test_a_value_is_freed_by_its_last_reader_before_others_are_made() -> None:
    arenas = [plan_memory(lower(fuse(graph_of(_chain(layers))))).arena_bytes for layers in (4, 12)]
    assert arenas == [2 * 64 * 8 * 4] * 2


def test_what_takes_memory_waits_for_its_reader() -> None:
    text = """graph f(%x: f32[64,64]) {
      %early = dot(%x, %x) {contract=((0),(0)), batch=((),())}
      %0 = dot(%x, %x) {contract=((1),(0)), batch=((),())}
      %1 = dot(%0, %x) {contract=((1),(0)), batch=((),())}
      %2 = dot(%1, %x) {contract=((1),(0)), batch=((),())}
      %3 = dot(%early, %2) {contract=((1),(0)), batch=((),())}
      return %3
    }"""
    program = plan_memory(lower(fuse(graph_of(text))))
    assert program.arena_bytes == 2 * 64 * 64 * 4
    assert [node.op for node in ordered(fuse(graph_of(text)))][-1] is FUSED


def test_symbolic_sizes_are_ordered_too() -> None:
    graph = fuse(graph_of(_chain(3).replace("f32[64,8]", "f32[n,8]")))
    assert len(ordered(graph)) == len(graph.nodes)
