"""The gradient of a convolution by its input, as convolutions. (A transposed convolution is the same thing.)

Level: tensor graph, one node. In: `fold` of a contraction, perhaps permuted: the gradient of `dot(window(x), w)` by x.
Taken as it stands it stores every product of the cotangent and the filter and then adds those that fall on one
element. Out: contractions over windows of the padded cotangent, which the contraction's kernel reads in place. For one
axis, with o the place of a window, k the place in it, d the dilation and a stride of 1:

    fold(dot(ct, w))[i] = sum over o, k with o + k*d = i of ct[o] w[k]
                        = sum over j of padded[i + j*d] w[size-1-j]      where padded[p] = ct[p - d*(size-1)]

A stride s of more than 1 is split into s folds of stride 1, each of every s-th element of the filter, whose results are
interleaved: no product is computed for nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from graphc.ir.dim import Size, is_at_least, is_at_most
from graphc.ir.graph import Graph, Node
from graphc.ir.type import Shape
from graphc.ops import build, contraction, movement
from graphc.passes.match import axes_of, sizes_of
from graphc.passes.rewrite import RuleSet

CONVOLUTION = RuleSet()

MOST_PHASES = 16
"""Interleaved parts that a fold may be split into."""


@dataclass(frozen=True, slots=True)
class _Fold:
    """A fold whose operand is a contraction of a cotangent (which has the windows' places) and a filter."""

    node: Node
    dot: Node
    order: tuple[int, ...]
    """Which axis of the contraction each axis of the fold's operand is."""
    side: int
    """Which operand of the contraction is the cotangent."""
    places: tuple[int, ...]
    """The cotangent's axes along which windows lie, one per folded axis."""
    offsets: tuple[int, ...]
    """The filter's axes within a window, one per folded axis."""

    @property
    def cotangent(self) -> Node:
        return self.dot.inputs[self.side]

    @property
    def filter(self) -> Node:
        return self.dot.inputs[1 - self.side]

    def with_filter(self, new: Node) -> Node:
        """The fold's operand with another filter."""
        operands = (self.cotangent, new) if self.side == 0 else (new, self.cotangent)
        return build.permute_to(contraction.dot(*operands, **self.dot.keywords), self.order)


@CONVOLUTION.rule("fold")
def spread_elements(node: Node) -> Node | None:
    """A fold of windows of one element: its elements with zeros between them."""
    if any(k != 1 for k in sizes_of(node, "size")):
        return None
    x = build.reshape_to(node.inputs[0], node.inputs[0].shape[: len(node.shape)])
    interior = [0] * len(x.shape)
    for axis, by in zip(axes_of(node), axes_of(node, "stride")):
        interior[axis] = by - 1
    if x.shape == node.shape and not any(interior):
        return x
    spans = (movement.dilated_size(size, gap) for size, gap in zip(x.shape, interior))
    high = tuple(size - span for size, span in zip(node.shape, spans))
    zero = build.zero(node.tensor.dtype)
    return movement.pad(x, zero, low=(0,) * len(high), high=high, interior=tuple(interior))


@CONVOLUTION.rule("fold")
def interleave_phases(node: Node) -> Node | None:
    """A fold of stride s along an axis as s interleaved folds of stride 1."""
    fold = _match(node)
    if fold is None:
        return None
    strides, dilations = axes_of(node, "stride"), axes_of(node, "dilation")
    which = next((i for i, by in enumerate(strides) if by > 1), None)
    if which is None or (dilations[which] != 1 and sizes_of(node, "size")[which] != 1):
        return None
    axis, by = axes_of(node)[which], strides[which]
    count = node.inputs[0].shape[axis]
    size, extent = sizes_of(node, "size")[which], sizes_of(node, "extent")[which]
    if not _has_known_phases(size, by) or count == 0:
        return None
    whole = (extent + by - 1) // by
    phases: list[Node] = []
    for first in range(by):
        if is_at_most(size, first):
            phases.append(build.constant(0, node.tensor.dtype, _put(node.shape, axis, whole)))
            continue
        part = (size - first + by - 1) // by
        taken = _every(fold.filter, fold.offsets[which], first, by)
        attributes = node.keywords
        attributes["stride"] = _put(strides, which, 1)
        attributes["size"] = _put(sizes_of(node, "size"), which, part)
        attributes["extent"] = _put(sizes_of(node, "extent"), which, count + part - 1)
        folded = movement.fold(fold.with_filter(taken), **attributes)
        phases.append(_resize(folded, axis, whole))
    stacked = movement.concat(*(build.insert_axes(phase, (axis + 1,)) for phase in phases), axis=axis + 1)
    joined = build.reshape_to(stacked, _put(node.shape, axis, whole * by))
    return _resize(joined, axis, extent)


@CONVOLUTION.rule("fold")
def contract_windows(node: Node) -> Node | None:
    """A fold of stride 1 as a contraction over windows of the padded cotangent."""
    fold = _match(node)
    if fold is None or any(by != 1 for by in axes_of(node, "stride")):
        return None
    size, dilation, extents = sizes_of(node, "size"), axes_of(node, "dilation"), sizes_of(node, "extent")
    low: list[Size] = [0] * len(fold.cotangent.shape)
    high = list(low)
    for axis, k, gap, extent in zip(fold.places, size, dilation, extents):
        low[axis] = (k - 1) * gap
        high[axis] = extent - fold.cotangent.shape[axis]
    zero = build.zero(node.tensor.dtype)
    padded = movement.pad(fold.cotangent, zero, low=tuple(low), high=tuple(high), interior=(0,) * len(low))
    ones = (1,) * len(size)
    windows = movement.window(padded, axes=fold.places, size=size, stride=ones, dilation=dilation)
    rank = len(fold.cotangent.shape)
    bound = tuple(range(rank, rank + len(size)))
    sides = _pairs(fold.dot, "contract")
    contract = tuple(axes + (bound if side == fold.side else fold.offsets) for side, axes in enumerate(sides))
    reversed_filter = movement.flip(fold.filter, axes=tuple(sorted(fold.offsets)))
    operands = (windows, reversed_filter) if fold.side == 0 else (reversed_filter, windows)
    result = contraction.dot(*operands, contract=contract, batch=fold.dot.attribute("batch"))
    return build.permute_to(result, _order_of_result(fold, contract))


def _match(node: Node) -> _Fold | None:
    """The parts of a fold that is the gradient of a convolution; None if it isn't one."""
    operand = node.inputs[0]
    order = tuple(range(len(operand.shape)))
    if operand.op is movement.permute:
        order, operand = axes_of(operand), operand.inputs[0]
    folded = axes_of(node)
    size, strides = sizes_of(node, "size"), axes_of(node, "stride")
    if operand.op is not contraction.dot or all(k == 1 for k in size) or len(strides) < len(folded):
        return None
    if len(axes_of(node, "dilation")) < len(folded) or _product(strides) > MOST_PHASES:
        return None
    if not all(is_at_least(extent, 0) for extent in sizes_of(node, "extent")):
        return None
    origins = _origins(operand)
    rank = len(node.shape)
    places = [origins[order[axis]] for axis in folded]
    offsets = [origins[order[rank + i]] for i in range(len(folded))]
    side = places[0][0]
    if side not in (0, 1) or any(each != side for each, _ in places) or any(each != 1 - side for each, _ in offsets):
        return None
    return _Fold(node, operand, order, side, tuple(a for _, a in places), tuple(a for _, a in offsets))


BATCH = 2


def _origins(dot: Node) -> list[tuple[int, int]]:
    """For each axis of a contraction the operand it is a free axis of (or BATCH), and which axis of it it is."""
    contract, batch = _pairs(dot, "contract"), _pairs(dot, "batch")
    found = [(BATCH, i) for i in range(len(batch[0]))]
    for side, operand in enumerate(dot.inputs):
        free = contraction.free_axes(len(operand.shape), contract[side], batch[side])
        found += [(side, axis) for axis in free]
    return found


def _order_of_result(fold: _Fold, contract: tuple[tuple[int, ...], ...]) -> tuple[int, ...]:
    """Which axis of the new contraction each axis of the fold's result is."""
    old = _origins(fold.dot)
    batch = _pairs(fold.dot, "batch")
    new = [(BATCH, i) for i in range(len(batch[0]))]
    for side in (0, 1):
        rank = len(fold.dot.inputs[side].shape)
        new += [(side, axis) for axis in range(rank) if axis not in contract[side] and axis not in batch[side]]
    return tuple(new.index(old[fold.order[axis]]) for axis in range(len(fold.node.shape)))


def _pairs(dot: Node, name: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    value = dot.attribute(name)
    assert isinstance(value, tuple)
    left, right = (tuple(axis for axis in side if isinstance(axis, int)) for side in value if isinstance(side, tuple))
    return left, right


def has_undecided_phases(graph: Graph) -> bool:
    """Whether the sizes of a filter leave open how the gradient of a convolution is written.

    Then it stays a fold, whose sums come in another order than those of the contraction that known sizes give.
    """
    for node in graph.nodes:
        if node.op is movement.fold and _match(node) is not None:
            sizes = zip(sizes_of(node, "size"), axes_of(node, "stride"), axes_of(node, "dilation"))
            if any(not _has_known_phases(k, by) for k, by, gap in sizes if by > 1 and gap == 1):
                return True
    return False


def _has_known_phases(size: Size, by: int) -> bool:
    """Whether it is known which of the phases have elements of a filter of this size."""
    return all(is_at_most(size, first) or is_at_least(size, first + 1) for first in range(by))


def _every(x: Node, axis: int, first: int, by: int) -> Node:
    zeros, ones = (0,) * len(x.shape), (1,) * len(x.shape)
    return movement.slice_(x, start=_put(zeros, axis, first), stop=x.shape, step=_put(ones, axis, by))


def _resize(x: Node, axis: int, size: Size) -> Node:
    """The axis cut off behind, or made longer with zeros."""
    if x.shape[axis] == size:
        return x
    zeros = (0,) * len(x.shape)
    more = size - x.shape[axis]
    return movement.pad(x, build.zero(x.tensor.dtype), low=zeros, high=_put(zeros, axis, more), interior=zeros)


def _put(sizes: Shape, index: int, size: Size) -> Shape:
    return sizes[:index] + (size,) + sizes[index + 1 :]


def _product(values: tuple[int, ...]) -> int:
    result = 1
    for value in values:
        result *= value
    return result
