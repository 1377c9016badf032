"""Graphs without a function: placeholders, operators on them, and `function`.

    x = graphc.placeholder((None, 784), "float32", name="x")
    w = graphc.placeholder((784, 10), "float32", name="w")
    f = graphc.function([x, w], [x @ w])

In: placeholders and what is computed from them. Out: an `Executable`.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Sequence

from graphc.frontend.executable import Executable, Numerics, check_options
from graphc.frontend.scope import current_scope
from graphc.frontend.size import SymbolicSize
from graphc.frontend.tensor import SymbolicTensor, node_of, to_node
from graphc.frontend.trace import TracedGraph
from graphc.frontend.tree import OPEN, Structure, flatten, sequence
from graphc.ir.boundary import hide_internal_frames
from graphc.ir.dim import MAX_SIZE, Dim, Size, symbol
from graphc.ir.dtype import DType
from graphc.ir.dtype import dtype as to_dtype
from graphc.ir.errors import ArgumentError, ShapeError, describe
from graphc.ir.graph import INPUT, Node, make_input, topological_order
from graphc.ir.scan import is_symbol_name
from graphc.ir.type import TensorType
from graphc.ir.verify import verify
from graphc.ops import build

_numbers = itertools.count()


@hide_internal_frames
def placeholder(
    shape: Sequence[int | str | SymbolicSize | None], dtype: str | DType = "float32", name: str | None = None
) -> SymbolicTensor:
    """A symbolic tensor that stands for an argument.

    A size is an int, a name (the same name is the same size everywhere), a size of another tensor, or None: a size of
    its own, known when the function is called. Raises ArgumentError for other sizes, DTypeError for unknown dtypes.

    >>> import graphc
    >>> graphc.placeholder((None, 784), "float32", name="x").shape
    (x_0, 784)
    """
    if current_scope() is not None:
        raise ArgumentError(
            "placeholder: a function is being traced, whose arguments are its placeholders",
            hint="make placeholders outside of traced functions",
        )
    label = name if name is not None else f"placeholder_{next(_numbers)}"
    if not isinstance(label, str):
        raise ArgumentError(f"placeholder: the name is {describe(label)}", hint='give a string, e.g. name="x"')
    if not isinstance(shape, Sequence) or isinstance(shape, str):
        raise ArgumentError(
            f"placeholder: the shape is {describe(shape)}", hint="give a tuple of sizes, e.g. (None, 784)"
        )
    sizes = tuple(_size(size, f"{label}_{axis}") for axis, size in enumerate(shape))
    return SymbolicTensor(make_input(label, TensorType(sizes, to_dtype(dtype))))


@hide_internal_frames
def function(
    inputs: Sequence[object],
    outputs: object,
    *,
    name: str = "function",
    numerics: Numerics = "strict",
    passes: str | None = None,
) -> Executable:
    """Native code that computes `outputs` from the placeholders in `inputs`; options as in `compile`.

    Inputs may be nested in lists, tuples and dicts, and so may outputs: the result is called with, and gives, arrays in
    the same containers. Arguments may be passed by the placeholders' names. Raises ArgumentError where an output needs
    a placeholder that is no input, or an input is none.

    >>> import numpy as np, graphc
    >>> x = graphc.placeholder((None,), "float64", name="x")
    >>> graphc.function([x], {"total": x.sum()})(np.array([1.0, 2.0]))
    {'total': array(3.)}
    """
    check_options(numerics, passes)
    if not isinstance(inputs, list | tuple):
        raise ArgumentError(f"function: the inputs are {describe(inputs)}", hint="give a list of placeholders")
    nodes: list[Node] = []
    entries: list[Structure] = []
    parameters: list[str] = []
    for position, each in enumerate(inputs):
        leaves, structure = flatten(each)
        placeholders = [_placeholder(leaf) for leaf in leaves]
        entries.append(structure)
        parameters.append(_label(placeholders[0]) if isinstance(each, SymbolicTensor) else f"input_{position}")
        nodes.extend(placeholders)
    _check_names(nodes)
    leaves, structure = flatten(outputs)
    kept = [leaf if leaf is None or isinstance(leaf, str) else OPEN for leaf in leaves]
    returned = tuple(to_node(leaf) for leaf, each in zip(leaves, kept) if each is OPEN)
    missing = next((n for n in topological_order(returned) if n.op is INPUT and n not in nodes), None)
    if missing is not None:
        raise ArgumentError(
            f"function: an output needs the placeholder {_label(missing)!r}, which is no input",
            location=missing.location,
            hint="add it to the inputs",
        )
    results = structure.fixed(kept)
    graph = TracedGraph(name, tuple(nodes), returned, sequence(entries), tuple(parameters), results)
    verify(graph)
    return Executable.build(graph, numerics=numerics, passes=passes)


@hide_internal_frames
def gradients(output: SymbolicTensor, inputs: Sequence[SymbolicTensor]) -> list[SymbolicTensor]:
    """The gradients of a scalar symbolic tensor by others, which may be placeholders or anything it is made from.

    Raises ShapeError where the output is no real scalar.
    """
    # Late: importing graphc must be quick, and it needs no gradients.
    from graphc.passes.autodiff import vjp

    node = to_node(output)
    if node.shape != () or not node.tensor.dtype.is_floating_point:
        raise ShapeError(
            f"gradients: the output is a {node.type}, and a gradient starts from a real number without dimensions",
            location=node.location,
            hint="reduce it, e.g. with .sum() or .mean()",
        )
    if not isinstance(inputs, list | tuple) or not all(isinstance(each, SymbolicTensor) for each in inputs):
        raise ArgumentError(f"gradients: the inputs are {describe(inputs)}", hint="give a list of symbolic tensors")
    wanted = [to_node(each) for each in inputs]
    found = vjp((node,), wanted, (build.ones_like(node),))
    return [SymbolicTensor(build.zeros_like(x) if g is None else g) for x, g in zip(wanted, found, strict=True)]


def _placeholder(value: object) -> Node:
    node = node_of(value) if isinstance(value, SymbolicTensor) else None
    if node is None or node.op is not INPUT:
        raise ArgumentError(
            f"function: the input {value!r} is no placeholder", hint="make inputs with graphc.placeholder"
        )
    return node


def _check_names(nodes: Sequence[Node]) -> None:
    names: dict[str, Node] = {}
    for node in nodes:
        other = names.setdefault(_label(node), node)
        if other is not node:
            raise ArgumentError(
                f"function: two inputs are called {_label(node)!r}",
                location=node.location,
                hint="give placeholders names of their own",
            )
    if len(set(nodes)) != len(nodes):
        twice = next(node for node in nodes if nodes.count(node) > 1)
        raise ArgumentError(
            f"function: an input is listed twice, {_label(twice)!r}",
            location=twice.location,
            hint="list it once: the function takes one argument for each input",
        )


def _label(node: Node) -> str:
    return str(node.attribute("name"))


def _size(size: object, label: str) -> Size:
    match size:
        case None:
            name = "".join(c if c.isascii() and c.isalnum() else "_" for c in label)
            return symbol(name if is_symbol_name(name) else f"size_{name}")
        case str() if is_symbol_name(size):
            return symbol(size)
        case bool() | str() | float():
            pass
        case SymbolicSize():
            return size.dim
        case Dim():
            return size
        case _ if hasattr(size, "__index__") and not isinstance(size, SymbolicTensor):
            number = operator.index(size)
            if 0 <= number <= MAX_SIZE:
                return number
            if number > 0:
                raise ShapeError(f"placeholder: the size {number} is too large", hint=f"sizes go up to {MAX_SIZE}")
        case _:
            pass
    raise ArgumentError(f"placeholder: {size!r} is no size", hint="use an int of 0 or more, a name, or None")
