"""How long compiling takes per node, by stage, at 1,000 and 10,000 nodes: `python -m tests.benchmarks.compile_time`.

Each line names a kind of graph and its nodes, then microseconds per node for every stage and in all. Ratios of the
larger graph to the smaller one near 1 say that the stage is linear. Names given as arguments choose graphs.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace

from graphc.frontend.native import load_program
from graphc.ir.dtype import f32
from graphc.ir.graph import Graph, Node, make_input
from graphc.ir.location import using
from graphc.ir.type import TensorType
from graphc.ops import build
from graphc.ops import contraction as ct
from graphc.ops import elementwise as ew
from graphc.ops import reduction as rd
from graphc.passes.autodiff import differentiate
from graphc.passes.default import default_pipeline
from graphc.passes.instrument import Time
from graphc.passes.lower import lower
from graphc.passes.memory import plan_memory
from graphc.passes.schedule import schedule

SIZES = (1_000, 10_000)


def elementwise_chain(nodes: int) -> Graph:
    """Each node reads the one before."""
    x, y = _inputs((64,), (64,))
    node = x
    for i in range(nodes // 2):
        node = ew.add(ew.sin(node) if i % 3 else ew.neg(node), y)
    return Graph("elementwise_chain", (x, y), (node,))


def matmul_chain(nodes: int) -> Graph:
    """A contraction after every two elementwise nodes."""
    x, w, b = _inputs((8, 16), (16, 16), (8, 16))
    node = x
    for _ in range(nodes // 3):
        node = ew.tanh(ew.add(_matmul(node, w), b))
    return Graph("matmul_chain", (x, w, b), (node,))


def residual_network(nodes: int) -> Graph:
    """Every block's result is added up at the end, too: many long lifetimes."""
    x, w = _inputs((8, 16), (16, 16))
    node, blocks = x, []
    for _ in range(nodes // 4):
        node = ew.add(node, ew.tanh(_matmul(node, w)))
        blocks.append(node)
    total = blocks[0]
    for block in reversed(blocks[1:]):
        total = ew.add(total, block)
    return Graph("residual_network", (x, w), (total,))


def wide(nodes: int) -> Graph:
    """One input with users by the thousand, added up in pairs."""
    (x,) = _inputs((64,))
    layer = [ew.mul(x, build.full_like(x, float(i))) for i in range(nodes // 4)]
    while len(layer) > 1:
        layer = [ew.add(*layer[i : i + 2]) if i + 1 < len(layer) else layer[i] for i in range(0, len(layer), 2)]
    return Graph("wide", (x,), (layer[0],))


def many_results(nodes: int) -> Graph:
    """One value with readers by the thousand, each of them a contraction of its own."""
    x, w = _inputs((4, 8), (8, 8))
    shared = ew.tanh(x)
    outputs = tuple(_matmul(shared, ew.mul(w, build.full_like(w, float(i)))) for i in range(nodes // 4))
    return Graph("many_results", (x, w), outputs)


def layers_with_gradients(nodes: int) -> Graph:
    """Linear, layer norm and softmax, again and again, with the gradients of all weights."""
    count = max(1, nodes // 90)
    (x,) = _inputs((8, 16))
    weights = [make_input(f"w{i}", TensorType((16, 16), f32)) for i in range(count)]
    node = x
    for w in weights:
        node = _softmax(_layer_norm(_matmul(node, w)))
    loss = rd.sum_(ew.mul(node, node), axes=(0, 1))
    return differentiate(Graph("layers_with_gradients", (x, *weights), (loss,)))


GRAPHS: tuple[Callable[[int], Graph], ...] = (
    elementwise_chain,
    matmul_chain,
    residual_network,
    wide,
    many_results,
    layers_with_gradients,
)


def stages(graph: Graph) -> dict[str, float]:
    """Seconds of each stage, from the traced graph to native code in memory."""
    timer = Time()
    begin = time.perf_counter()
    fused = default_pipeline().run(graph, instruments=(timer,))
    seconds: dict[str, float] = {}
    for name, passed in timer.seconds:
        seconds[name] = seconds.get(name, 0.0) + passed
    seconds["passes"] = time.perf_counter() - begin - sum(seconds.values())
    begin = time.perf_counter()
    lowered = lower(fused)
    seconds["lower"] = time.perf_counter() - begin
    begin = time.perf_counter()
    calls = tuple(replace(call, kernel=schedule(call.kernel)) for call in lowered.calls)
    seconds["schedule"] = time.perf_counter() - begin
    begin = time.perf_counter()
    program = plan_memory(replace(lowered, calls=calls))
    seconds["memory"] = time.perf_counter() - begin
    begin = time.perf_counter()
    load_program(program)
    seconds["native"] = time.perf_counter() - begin
    return seconds


def main(names: list[str]) -> None:
    """Print the table."""
    for make in GRAPHS:
        if names and make.__name__ not in names:
            continue
        per_node: list[dict[str, float]] = []
        for size in SIZES:
            with using(None):
                graph = make(size)
            count = len(graph.nodes)
            found = {name: 1e6 * seconds / count for name, seconds in stages(graph).items()}
            found["all"] = sum(found.values())
            per_node.append(found)
            print(f"{make.__name__} {count}: " + "  ".join(f"{name} {value:.0f}" for name, value in found.items()))
        ratios = {name: per_node[1][name] / max(value, 1.0) for name, value in per_node[0].items()}
        print("    ratio: " + "  ".join(f"{name} {value:.1f}" for name, value in ratios.items()), flush=True)


def _inputs(*shapes: tuple[int, ...]) -> tuple[Node, ...]:
    return tuple(make_input("xwbv"[i], TensorType(shape, f32)) for i, shape in enumerate(shapes))


def _matmul(x: Node, w: Node) -> Node:
    return ct.dot(x, w, contract=((1,), (0,)), batch=((), ()))


def _softmax(x: Node) -> Node:
    power = ew.exp(ew.sub(x, build.repeat_along(rd.max_(x, axes=(1,)), (1,), x.shape)))
    return ew.div(power, build.repeat_along(rd.sum_(power, axes=(1,)), (1,), x.shape))


def _layer_norm(x: Node) -> Node:
    centered = ew.sub(x, build.repeat_along(_mean(x), (1,), x.shape))
    variance = _mean(ew.mul(centered, centered))
    scale = ew.rsqrt(ew.add(variance, build.full_like(variance, 1e-5)))
    return ew.mul(centered, build.repeat_along(scale, (1,), x.shape))


def _mean(x: Node) -> Node:
    total = rd.sum_(x, axes=(1,))
    return ew.mul(total, build.full_like(total, 1 / 16))


if __name__ == "__main__":
    main(sys.argv[1:])
