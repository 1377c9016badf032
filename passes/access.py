"""How a kernel's loops access nodes: which loop axis indexes each dimension.

In: a node and the access of its result. Out: the accesses of its operands. `fuse` decides with them, `lower` finds the
order of a contraction's dimensions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias, cast

from graphc.ir.dim import Size, is_at_most, product
from graphc.ir.graph import Graph, Node
from graphc.ir.op import Flags
from graphc.ir.type import Shape
from graphc.ops import along, contraction, indexing, movement
from graphc.ops.indices import axis_groups


@dataclass(frozen=True, slots=True)
class Axis:
    """A loop: a dimension of a group's root, or one that `node` runs through itself (to reduce it, say)."""

    node: Node
    index: int
    is_inner: bool = False


Index: TypeAlias = "Axis | frozenset[Axis]"
"""An axis itself, or something that depends on these (a constant on none)."""
Access: TypeAlias = "tuple[Index, ...]"


ROW_LIMIT = 8192
"""Elements of a row that `lower` keeps in scratch: they should stay in a CPU's first-level cache."""
ANY_ROW = 0
"""In place of that limit: rows of any length, also those that are known at run time only."""


def dependencies(access: Access) -> frozenset[Axis]:
    """All axes that the access depends on."""
    axes: set[Axis] = set()
    for index in access:
        axes |= {index} if isinstance(index, Axis) else index
    return frozenset(axes)


def operand_accesses(node: Node, access: Access) -> tuple[Access, ...]:
    """The access of each operand where the node's result is accessed so."""
    op = node.op
    if op.has(Flags.ELEMENTWISE):
        return (access,) * len(node.inputs)
    if op is contraction.dot:
        return _contraction(node, access)
    if op.has(Flags.REDUCTION) and not op.has(Flags.OPAQUE) and op is not movement.fold:
        return (_reduction(node, access),)
    keywords = node.keywords
    if op is movement.broadcast:
        pairs = zip(access, node.inputs[0].shape, node.shape, strict=True)
        return (tuple(frozenset() if size == 1 != out else index for index, size, out in pairs),)
    if op is movement.permute:
        axes = cast("tuple[int, ...]", keywords["axes"])
        source: list[Index] = [frozenset()] * len(axes)
        for position, axis in enumerate(axes):
            source[axis] = access[position]
        return (tuple(source),)
    if op is movement.reshape:
        return (_reshape(node.inputs[0].shape, node.shape, access),)
    if op is movement.slice_:
        keeps = [
            s == 0 and step == 1 for s, step in zip(*(_tuple(keywords[k]) for k in ("start", "step")), strict=True)
        ]
        return (tuple(i if keep else _depends(i) for i, keep in zip(access, keeps, strict=True)),)
    if op is movement.pad:
        edges = [_tuple(keywords[k]) for k in ("low", "interior")]
        keeps = [low == 0 and interior == 0 for low, interior in zip(*edges, strict=True)]
        return (tuple(i if keep else _depends(i) for i, keep in zip(access, keeps, strict=True)), ())
    if op is indexing.gather:
        axis = cast("int", keywords["axis"])
        rank = len(node.inputs[1].shape)
        index = access[axis : axis + rank]
        return ((*access[:axis], dependencies(index), *access[axis + rank :]), index)
    if op is along.take_along:
        axis = cast("int", keywords["axis"])
        return ((*access[:axis], dependencies(access), *access[axis + 1 :]), access)
    if op.has(Flags.OPAQUE):
        return tuple(_opaque(node, operand) for operand in node.inputs)
    everything = dependencies(access)
    inner = range(len(node.shape)) if op is movement.fold else ()
    fresh = frozenset(Axis(node, i, is_inner=True) for i in inner)
    return tuple((everything | fresh,) * len(operand.shape) for operand in node.inputs)


def domain_of(root: Node) -> Access:
    """The axes of a group's root."""
    return tuple(Axis(root, i) for i in range(len(root.shape)))


def is_kept(
    node: Node, accesses: tuple[Access, ...], root: Node, outer: tuple[Axis, ...] | None, row: int = ROW_LIMIT
) -> bool:
    """Whether `lower` computes a row of the node once, into scratch, because several loops over the row read it.

    `row` is the most elements that such a row may have.
    """
    if outer is None or len(accesses) < 2 or not node.op.has(Flags.EXPENSIVE) or node.tensor.dtype.is_complex:
        return False
    domain = domain_of(root)
    inner = [size for axis, size in zip(domain, root.shape, strict=True) if axis not in outer]
    if node.shape != root.shape or not inner or not (row == ANY_ROW or is_at_most(product(inner), row)):
        return False
    return all(access[domain.index(axis)] == axis for access in accesses for axis in outer)


def reads(
    node: Node, accesses: tuple[Access, ...], root: Node, outer: tuple[Axis, ...] | None, row: int = ROW_LIMIT
) -> Iterator[tuple[Node, Access]]:
    """Each operand with how it is accessed where the node is accessed in these ways."""
    ways = (domain_of(root),) if is_kept(node, accesses, root, outer, row) else accesses
    for access in ways:
        yield from zip(node.inputs, operand_accesses(node, access), strict=True)


def accesses_below(body: Graph, outer: tuple[int, ...] | None, row: int = ROW_LIMIT) -> dict[Node, tuple[Access, ...]]:
    """How a group's loops access each of its nodes, from the root's own dimensions down; distinct ones in order."""
    root = body.outputs[0]
    axes = None if outer is None else tuple(Axis(root, i) for i in outer)
    found: dict[Node, dict[Access, None]] = {node: {} for node in body.nodes}
    found[root][domain_of(root)] = None
    for node in reversed(body.nodes):
        for operand, wanted in reads(node, tuple(found[node]), root, axes, row):
            found[operand][wanted] = None
    return {node: tuple(each) for node, each in found.items()}


def _tuple(value: object) -> tuple[Size, ...]:
    return cast("tuple[Size, ...]", value)


def _depends(index: Index) -> frozenset[Axis]:
    return frozenset((index,)) if isinstance(index, Axis) else index


def _reduction(node: Node, access: Access) -> Access:
    keywords = node.keywords
    axes = cast("tuple[int, ...]", keywords["axes"]) if "axes" in keywords else (cast("int", keywords["axis"]),)
    kept = iter(access)
    rank = len(node.inputs[0].shape)
    return tuple(Axis(node, i, is_inner=True) if i in axes else next(kept) for i in range(rank))


def _contraction(node: Node, access: Access) -> tuple[Access, Access]:
    left, right = node.inputs
    contract = cast("tuple[tuple[int, ...], tuple[int, ...]]", node.attribute("contract"))
    batch = cast("tuple[tuple[int, ...], tuple[int, ...]]", node.attribute("batch"))
    position = len(batch[0])
    results: list[Access] = []
    for side, operand in enumerate((left, right)):
        indices: list[Index] = [frozenset()] * len(operand.shape)
        for i, axis in enumerate(batch[side]):
            indices[axis] = access[i]
        for i, axis in enumerate(contract[side]):
            indices[axis] = Axis(node, i, is_inner=True)
        for axis in range(len(operand.shape)):
            if axis not in batch[side] and axis not in contract[side]:
                indices[axis] = access[position]
                position += 1
        results.append(tuple(indices))
    return results[0], results[1]


def _opaque(node: Node, operand: Node) -> Access:
    """A kernel written as a whole reads its operands by axes of its own."""
    return tuple(Axis(node, i, is_inner=True) for i in range(len(operand.shape)))


def _reshape(source: Shape, target: Shape, access: Access) -> Access:
    """Dimensions that stay what they are keep their index; of others only the dependence is known."""
    groups = axis_groups(source, target)
    if groups is None:
        return (dependencies(access),) * len(source)
    result: list[Index] = [frozenset()] * len(source)
    for old, new in groups:
        index = access[new[0]] if len(old) == len(new) == 1 else dependencies(tuple(access[axis] for axis in new))
        for axis in old:
            result[axis] = index
    return tuple(result)
