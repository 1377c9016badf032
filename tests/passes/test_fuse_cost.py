"""What fusion must not do: repeat work many times over, in the kernel or in the compiler."""

from __future__ import annotations

import inspect
import sys

import pytest

from graphc.frontend.executable import make_program, optimize
from graphc.ir.dtype import f32
from graphc.ir.graph import Graph, Node, make_input
from graphc.ir.type import TensorType
from graphc.kernel.ir import Apply, Kernel, Load, Loop, Statement, nested_bodies
from graphc.ops import build
from graphc.ops import contraction as ct
from graphc.ops import elementwise as ew
from graphc.ops import movement as mv
from graphc.passes.fuse import DEPTH_LIMIT, PATH_LIMIT, Group


def make(node: Node, *inputs: Node) -> list[Kernel]:
    return [launch.kernel for launch in make_program(optimize(Graph("f", inputs, (node,)), passes="fuse")).launches]


def statements(kernel: Kernel) -> list[Statement]:
    found: list[Statement] = []
    pending = [kernel.body]
    while pending:
        body = pending.pop()
        found.extend(body)
        for statement in body:
            pending.extend(nested_bodies(statement))
    return found


def flipped(y: Node) -> Node:
    return mv.flip(y, axes=(0,))


def rolled(y: Node) -> Node:
    n = y.shape[0]
    return mv.concat(
        mv.slice_(y, start=(1,), stop=(n,), step=(1,)), mv.slice_(y, start=(0,), stop=(1,), step=(1,)), axis=0
    )


def shifted(y: Node) -> Node:
    n = y.shape[0]
    zero = build.constant(0, f32)
    return mv.pad(mv.slice_(y, start=(1,), stop=(n,), step=(1,)), zero, low=(0,), high=(1,), interior=(0,))


@pytest.mark.parametrize("move", [flipped, rolled, shifted])
def test_sums_of_a_value_and_the_same_moved_do_not_double_the_code_each_time(move: object) -> None:
    assert callable(move)
    x = make_input("x", TensorType((64,), f32))
    y = x
    for _ in range(40):
        y = ew.add(move(y), y)
    kernels = make(y, x)
    assert sum(isinstance(s, Apply) and s.op == "add" for k in kernels for s in statements(k)) <= 40 * PATH_LIMIT
    assert len(kernels) <= 20


def test_a_costly_value_read_at_two_places_is_computed_once() -> None:
    x = make_input("x", TensorType((64,), f32))
    e = ew.exp(x)
    parts = [mv.slice_(e, start=(i,), stop=(i + 60,), step=(1,)) for i in (1, 3)]
    kernels = make(ew.add(*parts), x)
    assert [sum(isinstance(s, Apply) and s.op == "exp" for s in statements(k)) for k in kernels] == [1, 0]


def test_a_concat_of_many_parts_tests_no_element_for_its_part() -> None:
    parts = [make_input(f"x{i}", TensorType((4,), f32)) for i in range(200)]
    node = mv.concat(*(ew.neg(part) for part in parts), axis=0)
    assert all(not (isinstance(s, Load) and s.predicate) for k in make(node, *parts) for s in statements(k))
    (kernel,) = make(mv.concat(*parts, axis=0), *parts)
    assert sum(isinstance(s, Loop) for s in statements(kernel)) == 200


def test_reads_of_a_wide_node_are_found_once(monkeypatch: pytest.MonkeyPatch) -> None:
    count = 0
    mark = Group._mark

    def counting(self: Group, *arguments: object) -> int:
        nonlocal count
        count += 1
        return mark(self, *arguments)  # type: ignore[arg-type]  # handed on

    monkeypatch.setattr(Group, "_mark", counting)
    parts = [make_input(f"x{i}", TensorType((4,), f32)) for i in range(2000)]
    make(mv.concat(*(ew.neg(part) for part in parts), axis=0), *parts)
    assert count <= 3 * 2000


def test_alternating_views_and_arithmetic_need_little_stack() -> None:
    x = make_input("x", TensorType((4, 4), f32))
    y = x
    for _ in range(1000):
        y = ew.neg(mv.permute(y, axes=(1, 0)))
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack(0)) + 16 * DEPTH_LIMIT)
    try:
        kernels = make(y, x)
    finally:
        sys.setrecursionlimit(limit)
    assert len(kernels) == -(-1000 // (DEPTH_LIMIT + 1))


def test_thousands_of_readers_of_one_value_are_visited_once_each(monkeypatch: pytest.MonkeyPatch) -> None:
    count = 0
    reads = Group.reads

    def counting(self: Group, user: Node) -> object:
        nonlocal count
        count += 1
        return reads(self, user)

    monkeypatch.setattr(Group, "reads", counting)
    x, w = make_input("x", TensorType((4, 8), f32)), make_input("w", TensorType((8, 8), f32))
    shared = ew.tanh(x)
    factors = [ew.mul(w, build.full_like(w, float(i))) for i in range(2000)]
    outputs = tuple(ct.dot(shared, factor, contract=((1,), (0,)), batch=((), ())) for factor in factors)
    graph = Graph("f", (x, w), outputs)
    optimize(graph, passes="fuse")
    assert count <= 2 * sum(len(node.inputs) for node in graph.nodes)
