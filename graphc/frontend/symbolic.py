"""Graphs without a function: placeholders, operators on them, and `function`.

x = graphc.placeholder((None, 784), "float32", name="x")
w = graphc.placeholder((784, 10), "float32", name="w")
f = graphc.function([x, w], [x @ w])
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from graphc.frontend.executable import Executable
from graphc.frontend.tensor import SymbolicTensor, to_node
from graphc.frontend.trace import TracedGraph
from graphc.frontend.tree import LEAF, Structure, flatten
from graphc.ir.boundary import hide_internal_frames
from graphc.ir.dim import Dim, Size, symbol
from graphc.ir.dtype import DType
from graphc.ir.dtype import dtype as to_dtype
from graphc.ir.errors import ArgumentError, ShapeError
from graphc.ir.graph import INPUT, Node, make_input, topological_order
from graphc.ir.location import current_location
from graphc.ir.type import TensorType
from graphc.ir.verify import verify
from graphc.ops import build
from graphc.passes.autodiff import vjp

_numbers = itertools.count()


@hide_internal_frames
def placeholder(
    shape: Sequence[int | str | Dim | None], dtype: str | DType = "float32", name: str | None = None
) -> SymbolicTensor:
    """A symbolic tensor that stands for an argument.

    A size is an int, a name (the same name is the same size everywhere), a size of another tensor, or None: a size of
    its own, known when the function is called. Raises ArgumentError for other sizes, DTypeError for unknown dtypes.

    >>> import graphc
    >>> graphc.placeholder((None, 784), "float32", name="x").shape
    (x_0, 784)
    """
    label = name if name is not None else f"placeholder_{next(_numbers)}"
    if not isinstance(shape, Sequence) or isinstance(shape, str):
        raise ArgumentError(
            f"placeholder: the shape is a {type(shape).__name__}",
            location=current_location(),
            hint="give a tuple of sizes, e.g. (None, 784)",
        )
    sizes = tuple(_size(size, f"{label}_{axis}") for axis, size in enumerate(shape))
    return SymbolicTensor(make_input(label, TensorType(sizes, to_dtype(dtype))))


@hide_internal_frames
def function(
    inputs: Sequence[SymbolicTensor], outputs: object, *, name: str = "function", passes: str | None = None
) -> Executable:
    """Native code that computes `outputs` (a tensor, or a list, tuple or dict of them) from `inputs`.

    Raises ArgumentError where an output needs a placeholder that is no input, or an input is none.
    """
    nodes = [_placeholder(each) for each in inputs]
    if len(set(nodes)) != len(nodes):
        raise ArgumentError("function: an input is listed twice", location=current_location())
    leaves, results = flatten(outputs)
    returned = tuple(to_node(leaf) for leaf in leaves)
    missing = [n for n in topological_order(returned) if n.op is INPUT and n not in nodes]
    if missing:
        raise ArgumentError(
            f"function: an output needs the placeholder {missing[0].attribute('name')!r}, which is no input",
            location=missing[0].location,
            hint="add it to the inputs",
        )
    count = len(nodes)
    arguments = Structure(tuple, tuple(range(count)), (LEAF,) * count, count)
    graph = TracedGraph(name, tuple(nodes), returned, arguments, results)
    verify(graph)
    return Executable.build(graph, passes=passes)


@hide_internal_frames
def gradients(output: SymbolicTensor, inputs: Sequence[SymbolicTensor]) -> list[SymbolicTensor]:
    """The gradients of a scalar symbolic tensor by others, which may be placeholders or anything it is made from.

    Raises ShapeError where the output is no real scalar.
    """
    node = to_node(output)
    if node.shape != () or not node.tensor.dtype.is_floating_point:
        raise ShapeError(
            f"gradients: the output is a {node.type}, and a gradient starts from a real number",
            location=node.location,
            hint="reduce it, e.g. with .sum() or .mean()",
        )
    wanted = [to_node(each) for each in inputs]
    found = vjp((node,), wanted, (build.ones_like(node),))
    return [SymbolicTensor(build.zeros_like(x) if g is None else g) for x, g in zip(wanted, found, strict=True)]


def _placeholder(value: object) -> Node:
    if isinstance(value, SymbolicTensor) and value.node.op is INPUT:
        return value.node
    raise ArgumentError(
        f"function: the input {value!r} is no placeholder",
        location=current_location(),
        hint="make inputs with graphc.placeholder",
    )


def _size(size: int | str | Dim | None, label: str) -> Size:
    match size:
        case None:
            return symbol("".join(c if c.isalnum() else "_" for c in label))
        case str() if size.isidentifier():
            return symbol(size)
        case bool():
            pass
        case int() if size >= 0:
            return size
        case Dim():
            return size
        case _:
            pass
    raise ArgumentError(
        f"placeholder: {size!r} is no size", location=current_location(), hint="use an int, a name, or None"
    )
