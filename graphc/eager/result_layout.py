"""How results of linear algebra, Fourier transforms and rotations lie in memory.

In: a plan's graph. Out: for each output that isn't like those of other functions, what tells its strides. LAPACK writes
matrices by columns; a Fourier transform over some dimensions makes these the fastest, in the order in which the operand
has them. What follows such a call and moves no element, a transposition say, keeps the order.

    of_graph(linalg.cholesky's graph)[0]([a])   # strides of L in bytes: (4, 4 * n) for float32
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias, cast

import numpy as np

from graphc.eager.geometry import Unviewable, follow, in_order, row_major, strided
from graphc.eager.placement import copy_into, empty, gpu_of
from graphc.eager.tensor import AnyArray
from graphc.eager.watch import WATCHING, copied
from graphc.ir.graph import GET, INPUT, Graph, Node, make_input
from graphc.ir.op import Flags
from graphc.ir.replace import replace_nodes
from graphc.ops.host import host_call

Strides: TypeAlias = "tuple[int, ...]"
Layout: TypeAlias = "Callable[[Sequence[AnyArray]], Strides | None]"
"""The strides in bytes of an output, from the arrays of the call; None for row-major."""

_BY_COLUMNS = {
    "linalg.cholesky": (0,),
    "linalg.eig": (1,),
    "linalg.eigh": (1,),
    "geqrf": (0,),
    "linalg.inv": (0,),
    "linalg.ldl_factor": (0,),
    "linalg.ldl_solve": (0,),
    "linalg.lstsq": (0,),
    "linalg.lu_factor": (0,),
    "linalg.qr": (0, 1),
    "linalg.solve": (0,),
    "linalg.solve_triangular": (0,),
    "linalg.svd": (0, 2),
}
"""Which results of a host function are matrices by columns."""
_ALWAYS_BY_COLUMNS = {
    "cholesky_inverse": (0,),
    "cholesky_solve": (0,),
    "householder_product": (0,),
    "lu_solve": (0,),
    "orgqr": (0,),
    "ormqr": (0,),
    "solve_triangular": (0,),
    "triangular_solve": (0, 1),
}
"""Functions some of whose results are, however they are computed."""
_MOVES = ("permute", "reshape")


def of_graph(graph: Graph) -> tuple[Layout | None, ...]:
    """The layout of each output; empty where all are like those of other functions."""
    always = _ALWAYS_BY_COLUMNS.get(graph.name, ())
    if not all(isinstance(size, int) for node in graph.outputs for size in node.shape):
        return ()
    if graph.name == "rot90":
        return (_turned(graph.outputs[0]),)
    if graph.name in ("adjoint", "mH", "H"):
        turns = [node for node in _end_of(graph.outputs[0]) if node.op.name == "permute"]
        return (_turned(turns[0]),) if turns else ()
    if graph.name in ("quantile", "nanquantile") and len(graph.inputs) > 1 and len(graph.inputs[1].shape) == 1:
        # A dimension of one element has no order: it keeps what it has.
        return (_fixed(_first_fastest(graph.outputs[0])),) if graph.outputs[0].shape[0] != 1 else ()
    if graph.name == "stft":
        return (_fixed(_of_spectra(graph.outputs[0])),)
    if not always and not any(node.op is host_call for node in graph.nodes):
        return ()
    if graph.name == "lu_solve" and any(node.op.name == "permute" for node in _end_of(graph.outputs[0])):
        always = ()  # X A = B, solved for the transposed X
    found = tuple(
        _fixed(by_columns(node.shape, node.tensor.dtype.itemsize)) if index in always else _of_output(graph, node)
        for index, node in enumerate(graph.outputs)
    )
    return found if any(found) else ()


def by_columns(shape: Sequence[object], itemsize: int, rows: int = 0) -> Strides:
    """The strides of matrices whose columns are one after the other, `rows` elements apart if that is more."""
    sizes = _numbers(shape)
    if len(sizes) < 2:
        return row_major(sizes, itemsize)
    *batch, m, n = sizes
    rows = max(rows, m, 1)
    return (*row_major(batch, itemsize * rows * max(n, 1)), itemsize, itemsize * rows)


def _of_spectra(output: Node) -> Strides:
    """Those of spectra `[..., frequencies, pieces]`, each of which lies as its transform was written."""
    itemsize = output.tensor.dtype.itemsize
    if output.tensor.dtype.is_complex:
        return by_columns(output.shape, itemsize)
    return (*by_columns(output.shape[:-1], 2 * itemsize), itemsize)  # parts side by side


def _first_fastest(output: Node) -> Strides:
    """Those of a tensor whose first dimension was computed as the last."""
    first, *rest = _numbers(output.shape)
    itemsize = output.tensor.dtype.itemsize
    return (itemsize, *row_major(rest, itemsize * max(first, 1)))


def _numbers(shape: Sequence[object]) -> list[int]:
    """Sizes that aren't symbols."""
    return [size for size in shape if isinstance(size, int)]


def _fixed(strides: Strides) -> Layout:
    return lambda arrays: strides


def _of_output(graph: Graph, output: Node) -> Layout | None:
    node = output
    while node.op.name in _MOVES:
        node = node.inputs[0]
    call, index = (node.inputs[0], node.keywords["index"]) if node.op is GET else (node, 0)
    if call.op is host_call and index in _BY_COLUMNS.get(str(call.keywords["function"]), ()):
        return _moved(call, node, output)
    steps = _end_of(output)
    node = steps[-1]
    if any(each.op.name == "permute" for each in steps):
        return None
    if node.op is host_call and str(node.keywords["function"]).startswith("fft."):
        return _transformed(graph, node)
    return None


def _turned(output: Node) -> Layout:
    """That of a tensor that is flipped, which keeps its order in memory, and transposed for odd numbers of turns."""
    axes = tuple(range(len(output.shape)))
    if output.op.name == "permute":
        axes = cast("tuple[int, ...]", output.keywords["axes"])

    def layout(arrays: Sequence[AnyArray]) -> Strides:
        (x,) = arrays
        order = sorted(range(x.ndim), key=lambda axis: -x.strides[axis])
        kept = in_order(order, x.shape, x.itemsize)
        return tuple(kept[axis] for axis in axes)

    return layout


def _end_of(node: Node) -> list[Node]:
    """What the graph does last to each element, from the output to the function that made it."""
    found = [node]
    while (node.op.has(Flags.ELEMENTWISE) or node.op.name == "permute") and len(node.inputs) == 1:
        node = node.inputs[0]
        found.append(node)
    return found


def _moved(call: Node, result: Node, output: Node) -> Layout | None:
    """That of a matrix by columns whose elements are moved no more than by transposing and reshaping it."""
    shape, itemsize = _numbers(result.shape), result.tensor.dtype.itemsize
    rows = 0
    if call.keywords["function"] == "linalg.lstsq":  # the solution overwrites the right side
        rows = max(_numbers(call.inputs[0].shape[-2:]))
    if call.keywords["function"] == "linalg.solve" and len(output.shape) == len(shape) - 1:
        return _fixed(by_columns(output.shape, itemsize))  # PyTorch's way with vectors, one for each matrix
    strides = by_columns(shape, itemsize, rows)
    if result is output:
        return _fixed(strides)
    source = make_input("result", result.tensor)
    tail = Graph("tail", (source,), replace_nodes([output], {result: source}))
    # Nobody reads the elements: they are all one.
    try:
        (moved,) = follow(tail, strided(np.empty(1, result.tensor.dtype.numpy), shape, strides))
    except Unviewable:
        return None
    return _fixed(moved.strides)


def _transformed(graph: Graph, call: Node) -> Layout | None:
    """That of a Fourier transform."""
    parameters = dict(cast("tuple[tuple[str, object], ...]", call.keywords["parameters"]))
    axes = cast("tuple[int, ...]", parameters["axes"])
    kind = str(call.keywords["function"])
    source = call.inputs[0]
    while source.op is not INPUT and source.inputs and source.op.name != "pad":
        source = source.inputs[0]
    shape, itemsize = _numbers(call.shape), call.tensor.dtype.itemsize
    position = graph.inputs.index(source) if source.op is INPUT else None
    is_inverse_of_hermitian = graph.name in ("ihfft2", "ihfftn")

    def layout(arrays: Sequence[AnyArray]) -> Strides | None:
        if position is not None and arrays[position].ndim != len(shape):
            return None
        steps = list(row_major(shape, 1) if position is None else arrays[position].strides)
        match kind:
            case "fft.hermitian":
                order = _order(steps, axes[:-1]) if len(axes) > 1 else None
                order = _order(_steps(order, steps), axes[-1:])
            case "fft.real" if is_inverse_of_hermitian:
                order = _order(steps, axes[-1:])
                if len(axes) > 1:
                    order = _order(_steps(order, steps), axes[:-1])
            case "fft.real":
                order = _order(steps, axes, last=axes[-1])
            case _:
                order = _order(steps, axes)
        return in_order(order, shape, itemsize)

    return layout


def _order(steps: Sequence[int], axes: Sequence[int], last: int | None = None) -> tuple[int, ...]:
    """The dimensions from the slowest to the fastest: those that stay, then those that are transformed."""
    return tuple(sorted(range(len(steps)), key=lambda axis: (axis in axes, axis == last, -steps[axis])))


def _steps(order: Sequence[int] | None, steps: Sequence[int]) -> Sequence[int]:
    """Numbers in the order of the strides that dimensions in this order have."""
    return steps if order is None else [-order.index(axis) for axis in range(len(order))]


def laid_out(array: AnyArray, strides: Strides | None) -> AnyArray:
    """The same elements, at these strides."""
    if strides is None or strides == array.strides or not array.size:
        return array
    extent = sum((size - 1) * step for size, step in zip(array.shape, strides)) // array.itemsize + 1
    memory = empty((max(extent, math.prod(array.shape)),), array.dtype, gpu_of(array))
    result = strided(memory, array.shape, strides)
    copy_into(result, array)
    if WATCHING:
        copied(result, array)
    return result
