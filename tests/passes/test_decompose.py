"""Decomposing: complex contractions, integer powers, gradients of convolutions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from graphc.ir.dim import Dim, Size, symbol
from graphc.ir.dtype import c128, f64
from graphc.ir.graph import Graph, Node, make_input
from graphc.ir.interpret import evaluate_graph
from graphc.ir.sizes import fix_sizes
from graphc.ir.type import Shape, TensorType
from graphc.ir.verify import verify
from graphc.ops import contraction as ct
from graphc.ops import movement as mv
from graphc.passes.autodiff import differentiate, vjp
from graphc.passes.convolution import has_undecided_phases
from graphc.passes.decompose import decompose
from graphc.passes.instrument import random_arguments
from graphc.passes.simplify import simplify
from tests.passes.text import assert_becomes, assert_stays, graph_of

COMPLEX_DOT = """graph f(%x: c128[2,3], %w: c128[3,4]) {
  %0 = dot(%x, %w) {contract=((1),(0))} : c128[2,4]
  return %0
}"""


def test_a_complex_contraction_is_four_real_ones() -> None:
    graph = graph_of(COMPLEX_DOT)
    result = decompose(graph)
    verify(result)
    dots = [node for node in result.nodes if node.op is ct.dot]
    assert [node.tensor.dtype for node in dots] == [f64] * 4
    arrays = random_arguments(graph, 1)
    np.testing.assert_allclose(evaluate_graph(result, arrays)[0], arrays[0] @ arrays[1], rtol=1e-14)
    assert decompose(result) is result
    assert decompose(graph, complex=False) is graph


def test_a_detached_value_stops_gradients_and_then_costs_nothing() -> None:
    graph = graph_of("""graph f(%x: f32[3]) {
      %0 = detach(%x) : f32[3]
      %1 = mul(%0, %x) : f32[3]
      %2 = sum(%1) {axes=(0)} : f32[]
      return %2
    }""")
    joint = differentiate(graph, seed=True)
    (x,) = random_arguments(graph, 1)
    np.testing.assert_array_equal(evaluate_graph(joint, [x])[1], x)
    assert not any(node.op.name == "detach" for node in decompose(joint).nodes)


def test_gradients_of_complex_contractions_keep_their_values() -> None:
    x, w = (make_input(name, TensorType((3, 3), c128)) for name in "xw")
    joint = differentiate(Graph("f", (x, w), (ct.dot(x, w, contract=((1,), (0,))),)))
    arrays = random_arguments(joint, 2)
    for a, b in zip(evaluate_graph(joint, arrays), evaluate_graph(decompose(joint), arrays)):
        np.testing.assert_allclose(a, b, rtol=1e-13)


def test_integer_powers_are_products_by_squaring() -> None:
    assert_becomes(
        decompose,
        """graph f(%x: i64[4]) {
          %0 = constant() {value=dense<i64[1]: 5>} : i64[1]
          %1 = broadcast(%0) {shape=(4)} : i64[4]
          %2 = pow(%x, %1) : i64[4]
          return %2
        }""",
        """graph f(%x: i64[4]) {
          %0 = mul(%x, %x) : i64[4]
          %1 = mul(%0, %0) : i64[4]
          %2 = mul(%x, %1) : i64[4]
          return %2
        }""",
    )


@pytest.mark.parametrize("exponent", ["-1", "65"])
def test_other_integer_powers_stay(exponent: str) -> None:
    assert_stays(
        decompose,
        f"""graph f(%x: i64[4]) {{
          %0 = constant() {{value=dense<i64[1]: {exponent}>}} : i64[1]
          %1 = broadcast(%0) {{shape=(4)}} : i64[4]
          %2 = pow(%x, %1) : i64[4]
          return %2
        }}""",
    )


def convolve(x: Node, w: Node, stride: tuple[int, ...], dilation: tuple[int, ...]) -> Node:
    """[n, c, *in] with [o, c, *k] to [n, o, *out], as a contraction over windows."""
    spatial = len(stride)
    axes = tuple(range(2, 2 + spatial))
    windows = mv.window(x, axes=axes, size=w.shape[2:], stride=stride, dilation=dilation)
    offsets = tuple(range(2 + spatial, 2 + 2 * spatial))
    product = ct.dot(windows, w, contract=((1, *offsets), (1, *axes)))
    return mv.permute(product, axes=(0, 1 + spatial, *range(1, 1 + spatial)))


def gradient_by_input(shape: Shape, filter: Shape, stride: tuple[int, ...], dilation: tuple[int, ...]) -> Graph:
    x, w = make_input("x", TensorType(shape, f64)), make_input("w", TensorType(filter, f64))
    out = convolve(x, w, stride, dilation)
    cotangent = make_input("ct", out.tensor)
    (by_x,) = vjp((out,), (x,), (cotangent,))
    assert by_x is not None
    return Graph("f", (x, w, cotangent), (by_x,))


CASES = [
    ((2, 3, size), (4, 3, k), (by,), (gap,))
    for size, k, by, gap in itertools.product((7, 8), (1, 2, 3), (1, 2, 3), (1, 2))
] + [
    ((2, 3, 6, 7), (4, 3, 3, 2), (1, 1), (1, 1)),
    ((2, 3, 7, 9), (4, 3, 3, 3), (2, 2), (1, 1)),
    ((1, 2, 9, 8), (3, 2, 2, 3), (2, 1), (1, 2)),
    ((1, 2, 4, 5, 4), (3, 2, 2, 2, 2), (2, 1, 1), (1, 1, 1)),
]


@pytest.mark.parametrize("is_simplified", [False, True])
@pytest.mark.parametrize("shape, filter, stride, dilation", CASES)
def test_the_gradient_of_a_convolution_is_convolutions(
    shape: Shape, filter: Shape, stride: tuple[int, ...], dilation: tuple[int, ...], is_simplified: bool
) -> None:
    graph = gradient_by_input(shape, filter, stride, dilation)
    start = simplify(graph) if is_simplified else graph
    result = decompose(start)
    verify(result)
    has_fold = any(node.op is mv.fold for node in result.nodes)
    assert has_fold == any(by > 1 and gap > 1 and k > 1 for by, gap, k in zip(stride, dilation, filter[2:]))
    arrays = random_arguments(graph, 4)
    expected, found = evaluate_graph(graph, arrays)[0], evaluate_graph(result, arrays)[0]
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def contracted_sizes(graph: Graph) -> list[list[Size]]:
    """For each contraction what its sums go over, in order."""
    axes = [(node.inputs[0].shape, node.keywords["contract"][0]) for node in graph.nodes if node.op is ct.dot]  # type: ignore[index]
    return [[shape[axis] for axis in each if shape[axis] != 1] for shape, each in axes]


@pytest.mark.parametrize("filter", [2, 3, symbol("k", 2, 5)])
@pytest.mark.parametrize("stride, dilation", [(1, 1), (1, 2), (2, 1), (2, 2)])
def test_the_same_is_contracted_where_sizes_are_symbols(filter: Size, stride: int, dilation: int) -> None:
    known = 3 if isinstance(filter, Dim) else filter
    sizes = {"n": 2, "m": 11, "k": known}
    images = symbol("n", 1, 64), 3, symbol("m", 10, 64)
    general = gradient_by_input(images, (4, 3, filter), (stride,), (dilation,))
    special = gradient_by_input((2, 3, 11), (4, 3, known), (stride,), (dilation,))
    result = decompose(simplify(general))
    verify(result)
    assert not has_undecided_phases(general)
    assert contracted_sizes(fix_sizes(result, sizes)) == contracted_sizes(decompose(simplify(special)))
    arrays = random_arguments(special, 4)
    np.testing.assert_allclose(
        evaluate_graph(fix_sizes(result, sizes), arrays)[0], evaluate_graph(special, arrays)[0], rtol=1e-12, atol=1e-12
    )


def test_where_the_filter_decides_how_a_gradient_is_written_that_can_be_asked() -> None:
    graph = gradient_by_input((2, 3, 16), (4, 3, symbol("k", 2, 5)), (3,), (1,))
    assert has_undecided_phases(graph)
    assert any(node.op is mv.fold for node in decompose(graph).nodes)
    assert not has_undecided_phases(gradient_by_input((2, 3, 16), (4, 3, symbol("k", 3, 5)), (3,), (1,)))
    assert not has_undecided_phases(gradient_by_input((2, 3, 16), (4, 3, 2), (3,), (1,)))


def test_a_batch_of_any_size_and_groups_take_the_same_way() -> None:
    n = symbol("n", 1, 64)
    x, w = make_input("x", TensorType((n, 2, 3, 8), f64)), make_input("w", TensorType((2, 5, 3, 3), f64))
    windows = mv.window(x, axes=(3,), size=(3,), stride=(2,), dilation=(1,))  # [n, group, c, o, k]
    out = ct.dot(windows, w, contract=((2, 4), (2, 3)), batch=((1,), (0,)))  # [group, n, o, out]
    cotangent = make_input("ct", out.tensor)
    (by_x,) = vjp((out,), (x,), (cotangent,))
    assert by_x is not None
    graph = Graph("f", (x, w, cotangent), (by_x,))
    result = decompose(graph)
    verify(result)
    assert not any(node.op is mv.fold for node in result.nodes)
    arrays = random_arguments(graph, 5)
    np.testing.assert_allclose(
        evaluate_graph(result, arrays)[0], evaluate_graph(graph, arrays)[0], rtol=1e-12, atol=1e-12
    )


def test_no_product_is_stored_and_none_computed_for_nothing() -> None:
    graph = gradient_by_input((2, 3, 16, 16), (8, 3, 4, 4), (2, 2), (1, 1))
    result = decompose(graph)

    def multiplications(each: Graph) -> int:
        total = 0
        for node in each.nodes:
            if node.op is ct.dot:
                depth = [node.inputs[0].shape[axis] for axis in node.keywords["contract"][0]]  # type: ignore[index]
                total += int(np.prod((*node.shape, *depth)))
        return total

    largest = max(int(np.prod(node.shape)) for node in result.nodes if node.op is ct.dot)
    assert largest <= 2 * 3 * 8 * 8
    assert multiplications(result) <= 1.4 * multiplications(graph)  # the edges of the padded cotangent


def test_a_fold_of_something_else_stays() -> None:
    x = make_input("x", TensorType((2, 6, 3), f64))
    folded = mv.fold(x, axes=(1,), size=(3,), stride=(1,), dilation=(1,), extent=(8,))
    graph = Graph("f", (x,), (folded,))
    assert decompose(graph) is graph
    graph = gradient_by_input((2, 3, 8), (4, 3, 3), (1,), (1,))
    assert decompose(graph, convolution=False) is graph
