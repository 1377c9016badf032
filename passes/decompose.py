"""Write ops that kernels don't take as such in terms of those they take.

Level: tensor graph to tensor graph. Contractions of complex numbers become contractions of their parts, integer powers
with a constant exponent products, contractions whose products are added back into an axis (the gradient of a
convolution by its input) contractions over windows, which store no product, and values that only said something to
gradients (`detach`, `custom_vjp`) their operands.

    dot(x, w) of complex      becomes      complex(dot(a, c) - dot(b, d), dot(a, d) + dot(b, c))
"""

from __future__ import annotations

from graphc.ir.dtype import Kind
from graphc.ir.graph import Graph, Node
from graphc.ops import build, contraction
from graphc.ops import elementwise as ew
from graphc.passes.annotation import drop_annotations
from graphc.passes.convolution import CONVOLUTION
from graphc.passes.match import splat
from graphc.passes.pipeline import register
from graphc.passes.rewrite import RuleSet, rewrite

COMPLEX = RuleSet()
INTEGER_POWER = RuleSet()

LARGEST_EXPONENT = 64
"""Powers beyond this one stay a loop of the machine's."""


@register("decompose")
def decompose(graph: Graph, *, complex: bool = True, convolution: bool = True) -> Graph:
    """Write ops that kernels don't take in terms of those they take."""
    parts = [INTEGER_POWER]
    if complex:
        parts.append(COMPLEX)
    if convolution:
        parts.append(CONVOLUTION)
    return rewrite(drop_annotations(graph), RuleSet(*parts))


@COMPLEX.rule("dot")
def contract_parts(node: Node) -> Node | None:
    """A complex contraction as four real ones."""
    if not node.tensor.dtype.is_complex:
        return None
    x, w = node.inputs
    (a, b), (c, d) = ((ew.real(each), ew.imag(each)) for each in (x, w))

    def contract(left: Node, right: Node) -> Node:
        return contraction.dot(left, right, **node.keywords)

    return ew.complex_(ew.sub(contract(a, c), contract(b, d)), ew.add(contract(a, d), contract(b, c)))


@INTEGER_POWER.rule("pow")
def multiply_out(node: Node) -> Node | None:
    """An integer power as products, by repeated squaring; integers wrap, so the order doesn't matter."""
    x, y = node.inputs
    exponent = splat(y)
    if exponent is None or node.tensor.dtype.kind is not Kind.INT or not 0 <= int(exponent) <= LARGEST_EXPONENT:
        return None
    result: Node | None = None
    square, left = x, int(exponent)
    while left:
        if left % 2:
            result = square if result is None else ew.mul(result, square)
        left //= 2
        if left:
            square = ew.mul(square, square)
    return build.ones_like(node) if result is None else result
