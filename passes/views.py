"""Rules of `simplify` about moved, selected and combined elements; all of them keep all bits.

Level: tensor graph, one node. In: a movement, indexing, reduction or contraction node. Out: an equal one that is
cheaper or plainer, or None. Questions about symbolic sizes that bounds don't decide leave the node as it is.

    permute(permute(x)) -> permute(x)      slice(concat(a, b)) -> slice(a)      dot(permute(x), w) -> dot(x, w)
"""

from __future__ import annotations

import numpy as np

from graphc.ir.dim import Size, is_at_least
from graphc.ir.dtype import Kind
from graphc.ir.graph import Node
from graphc.ir.type import Shape
from graphc.ops import build, contraction, elementwise, movement
from graphc.passes.match import axes_of, constant_array, integer, is_one, sizes_of, splat, static_shape
from graphc.passes.rewrite import RuleSet

VIEWS = RuleSet()


@VIEWS.rule("reshape", "permute", "slice", "flip", "window")
def move_splat(node: Node) -> Node | None:
    """One repeated constant stays one, however it is moved."""
    (x,) = node.inputs
    value = splat(x)
    return None if value is None else build.full(value, node.tensor)


@VIEWS.rule("constant")
def shrink_constant(node: Node) -> Node | None:
    """A constant of many equal elements as one element, repeated."""
    array = constant_array(node)
    assert array is not None
    if array.size < 2:
        return None
    flat = array.reshape(-1)
    bits = flat.view(np.uint8).reshape(flat.size, flat.itemsize)
    if not (bits[0] == bits[1]).all() or not (bits[0] == bits).all():
        return None
    return build.full(flat[0], node.tensor)


@VIEWS.rule("reshape")
def simplify_reshape(node: Node) -> Node | None:
    """A reshape to the same shape, or of a reshape."""
    (x,) = node.inputs
    if x.shape == node.shape:
        return x
    return build.reshape_to(x.inputs[0], node.shape) if x.op.name == "reshape" else None


@VIEWS.rule("permute")
def simplify_permute(node: Node) -> Node | None:
    """No permutation, two of them, or one that only moves axes of size 1."""
    (x,) = node.inputs
    axes = axes_of(node)
    if axes == tuple(range(len(axes))):
        return x
    if x.op.name == "permute":
        inner = axes_of(x)
        return build.permute_to(x.inputs[0], tuple(inner[axis] for axis in axes))
    wide = [axis for axis in axes if not is_one(x.shape[axis])]
    return movement.reshape(x, shape=node.shape) if wide == sorted(wide) else _swap_operands(x, axes)


def _swap_operands(dot: Node, axes: tuple[int, ...]) -> Node | None:
    """A contraction whose operands' free axes change places: the operands do instead. Its sums stay what they were."""
    if dot.op is not contraction.dot:
        return None
    contract, batch = _pairs(dot, "contract"), _pairs(dot, "batch")
    common = len(batch[0])
    rows = len(dot.inputs[0].shape) - common - len(contract[0])
    rank = len(axes)
    if axes != (*range(common), *range(common + rows, rank), *range(common, common + rows)):
        return None
    return contraction.dot(*dot.inputs[::-1], contract=tuple(contract[::-1]), batch=tuple(batch[::-1]))


@VIEWS.rule("broadcast")
def simplify_broadcast(node: Node) -> Node | None:
    """A broadcast to the same shape, or of a broadcast."""
    (x,) = node.inputs
    if x.shape == node.shape:
        return x
    return movement.broadcast(x.inputs[0], shape=node.shape) if x.op.name == "broadcast" else None


@VIEWS.rule("flip")
def simplify_flip(node: Node) -> Node | None:
    """A flip of nothing, or of a flip."""
    (x,) = node.inputs
    axes = tuple(axis for axis in axes_of(node) if not is_one(x.shape[axis]))
    if x.op.name == "flip":
        inner = axes_of(x)
        axes = tuple(sorted(set(axes) ^ set(inner)))
        x = x.inputs[0]
    if not axes:
        return x
    return movement.flip(x, axes=axes) if axes != axes_of(node) else None


@VIEWS.rule("slice")
def simplify_slice(node: Node) -> Node | None:
    """A slice of everything, of a slice, or of one operand of a concat."""
    (x,) = node.inputs
    if x.shape == node.shape:  # steps are at least 1, so the same size means every element
        return x
    start, stop, step = _slicing(node)
    if x.op.name == "slice":
        parts = [_compose(*each) for each in zip(*_slicing(x), x.inputs[0].shape, start, stop, step, x.shape)]
        if any(part is None for part in parts):
            return None
        starts, stops, steps = zip(*(part for part in parts if part is not None))
        return movement.slice_(x.inputs[0], start=starts, stop=stops, step=steps)
    if x.op.name == "concat":
        return _slice_of_concat(node, x)
    return None


def _slicing(node: Node) -> tuple[Shape, Shape, Shape]:
    return sizes_of(node, "start"), sizes_of(node, "stop"), sizes_of(node, "step")


def _compose(
    start: Size, stop: Size, step: Size, size: Size, start2: Size, stop2: Size, step2: Size, size2: Size
) -> tuple[Size, Size, Size] | None:
    """One axis of a slice (of an axis of `size`) and then another (of what is left, `size2`), as one slice."""
    if (start2, stop2, step2) == (0, size2, 1):
        return start, stop, step
    if (start, stop, step) == (0, size, 1):
        return start2, stop2, step2
    sizes = static_shape((start, step, start2, stop2, step2))
    if sizes is None:
        return None
    a, s, a2, b2, s2 = sizes
    count = max(0, -(-(b2 - a2) // s2))
    first, stride = a + a2 * s, s * s2
    return (first, first + (count - 1) * stride + 1, stride) if count else (a, a, 1)


def _slice_of_concat(node: Node, x: Node) -> Node | None:
    """The slice of the one operand that it stays within."""
    axis = integer(x, "axis")
    start, stop, step = _slicing(node)
    bounds = static_shape((start[axis], stop[axis]))
    offset = 0
    for operand in x.inputs:
        size = operand.shape[axis]
        if bounds is None or not isinstance(size, int):
            return None
        if offset <= bounds[0] and bounds[1] <= offset + size:
            low, high = (_replace(each, axis, end - offset) for each, end in zip((start, stop), bounds))
            return movement.slice_(operand, start=low, stop=high, step=step)
        offset += size
    return None


def _replace(sizes: Shape, axis: int, size: Size) -> Shape:
    return sizes[:axis] + (size,) + sizes[axis + 1 :]


@VIEWS.rule("pad")
def simplify_pad(node: Node) -> Node | None:
    """A pad that adds nothing: nothing at the ends, and nothing between where there are gaps."""
    x = node.inputs[0]
    gaps = (gap for gap, size in zip(sizes_of(node, "interior"), x.shape) if size not in (0, 1))
    widths = (*sizes_of(node, "low"), *sizes_of(node, "high"), *gaps)
    return x if all(isinstance(width, int) and width == 0 for width in widths) else None


@VIEWS.rule("concat")
def simplify_concat(node: Node) -> Node | None:
    """One operand, empty operands, operands that are concats or neighbouring slices themselves."""
    axis = integer(node, "axis")
    parts: list[Node] = []
    for operand in node.inputs:
        if operand.shape[axis] == 0:
            continue
        is_nested = operand.op.name == "concat" and integer(operand, "axis") == axis
        for part in operand.inputs if is_nested else (operand,):
            joined = _join(parts[-1], part, axis) if parts else None
            if joined is None:
                parts.append(part)
            else:
                parts[-1] = joined
    if not parts:
        return node.inputs[0]
    if len(parts) == 1:
        return parts[0]
    return movement.concat(*parts, axis=axis) if tuple(parts) != node.inputs else None


def _join(a: Node, b: Node, axis: int) -> Node | None:
    """Two slices of the same value, one beginning where the other ends, as one."""
    if a.op.name != "slice" or b.op.name != "slice" or a.inputs != b.inputs:
        return None
    (start, stop, step), (start2, stop2, step2) = _slicing(a), _slicing(b)
    others = [i for i in range(len(start)) if i != axis]
    is_same = all((start[i], stop[i], step[i]) == (start2[i], stop2[i], step2[i]) for i in others)
    if not is_same or step[axis] != 1 or step2[axis] != 1 or stop[axis] != start2[axis]:
        return None
    whole = _replace(stop, axis, stop2[axis])
    size = a.inputs[0].shape
    if start == (0,) * len(start) and whole == size and all(each == 1 for each in step):
        return a.inputs[0]
    return movement.slice_(a.inputs[0], start=start, stop=whole, step=step)


@VIEWS.rule("window")
def simplify_window(node: Node) -> Node | None:
    """Windows of one element: a slice."""
    (x,) = node.inputs
    axes, strides = axes_of(node), axes_of(node, "stride")
    if any(size != 1 for size in sizes_of(node, "size")):
        return None
    step = [1] * len(x.shape)
    for axis, stride in zip(axes, strides):
        step[axis] = stride
    if any(each != 1 for each in step):
        if static_shape(x.shape) is None:
            return None
        x = movement.slice_(x, start=(0,) * len(step), stop=x.shape, step=tuple(step))
    return build.reshape_to(x, node.shape)


@VIEWS.rule("gather")
def simplify_gather(node: Node) -> Node | None:
    """All of an axis, one place of it, or places in steps: a view."""
    x, index = node.inputs
    axis = integer(node, "axis")
    size = x.shape[axis]
    if index.op.name == "iota" and index.shape == (size,):
        return x
    value = splat(index) if index.shape == () else constant_array(index)
    if value is None or not isinstance(size, int) or value.ndim > 1 or value.size == 0:
        return None
    places = np.asarray(value, dtype=object).reshape(-1)
    places = np.where(places < 0, places + size, places)
    steps = {int(step) for step in np.diff(places)} or {1}
    step = min(steps)
    first, last = int(places[0]), int(places[-1])
    if len(steps) > 1 or step < 1 or first < 0 or last >= size:
        return None
    ones, zeros = (1,) * len(x.shape), (0,) * len(x.shape)
    taken = movement.slice_(
        x,
        start=_replace(zeros, axis, first),
        stop=_replace(x.shape, axis, last + 1),
        step=_replace(ones, axis, step),
    )
    return build.reshape_to(taken, node.shape)


@VIEWS.rule("dynamic_slice")
def simplify_dynamic_slice(node: Node) -> Node | None:
    """Known starts, or everything."""
    x, *starts = node.inputs
    if x.shape == node.shape:
        return x
    shape, sizes = static_shape(x.shape), static_shape(node.shape)
    values = [splat(start) for start in starts]
    if shape is None or sizes is None or any(value is None for value in values):
        return None
    first = tuple(min(max(int(v), 0), n - s) for v, n, s in zip(values, shape, sizes) if v is not None)
    stop = tuple(a + s for a, s in zip(first, sizes))
    return movement.slice_(x, start=first, stop=stop, step=(1,) * len(first))


@VIEWS.rule("dynamic_update")
def simplify_dynamic_update(node: Node) -> Node | None:
    """An update of everything."""
    return node.inputs[1] if node.inputs[1].shape == node.shape else None


@VIEWS.rule("max", "min", "any", "all", "sum", "prod")
def simplify_reduction(node: Node) -> Node | None:
    """A reduction over no axes, or also over axes of size 1."""
    (x,) = node.inputs
    axes = axes_of(node)
    unit = [axis for axis in axes if is_one(x.shape[axis])]
    if len(unit) < len(axes):
        if not unit:
            return None
        wide = [axis for axis in range(len(x.shape)) if axis not in unit]
        squeezed = build.reshape_to(x, tuple(x.shape[axis] for axis in wide))
        return node.op(squeezed, axes=tuple(wide.index(axis) for axis in axes if axis not in unit))
    # The tree of a float sum starts at 0.0, so that even a lone -0.0 becomes 0.0: a sum over one element stays.
    if axes and node.op.name == "sum" and node.tensor.dtype.kind >= Kind.FLOAT:
        return None
    return build.reshape_to(build.cast_to(x, node.tensor.dtype), node.shape)


@VIEWS.rule("cumsum", "argmax", "argmin")
def scan_one_element(node: Node) -> Node | None:
    """A running sum along an axis of size 1 is its element, the place of an extreme 0."""
    (x,) = node.inputs
    if not is_one(x.shape[integer(node, "axis")]):
        return None
    if node.op.name == "cumsum":
        return x if x.type == node.type else None
    return build.zeros_like(node)


@VIEWS.rule("max", "min", "any", "all")
def reduce_before_broadcast(node: Node) -> Node | None:
    """An extreme of repeated elements is that of one of them."""
    (x,) = node.inputs
    if x.op.name != "broadcast":
        return None
    (source,) = x.inputs
    repeated = [axis for axis in axes_of(node) if is_one(source.shape[axis]) and not is_one(x.shape[axis])]
    if not repeated or not all(is_at_least(x.shape[axis], 1) for axis in repeated):
        return None
    shape = tuple(1 if axis in repeated else size for axis, size in enumerate(x.shape))
    return node.op(build.broadcast_to(source, shape), axes=axes_of(node))


@VIEWS.rule("max", "min", "any", "all")
def merge_reductions(node: Node) -> Node | None:
    """An extreme of extremes is one over all their axes."""
    (x,) = node.inputs
    if x.op is not node.op or not axes_of(node):
        return None
    inner = axes_of(x)
    left = [axis for axis in range(len(x.inputs[0].shape)) if axis not in inner]
    return node.op(x.inputs[0], axes=tuple(sorted((*inner, *(left[axis] for axis in axes_of(node))))))


@VIEWS.rule("dot")
def absorb_permutes(node: Node) -> Node | None:
    """A permuted operand, where its free axes stay in order: the axes are named instead."""
    operands = list(node.inputs)
    contract, batch = _pairs(node, "contract"), _pairs(node, "batch")
    changed = False
    for side, operand in enumerate(node.inputs):
        if operand.op.name != "permute":
            continue
        axes = axes_of(operand)
        bound = (*contract[side], *batch[side])
        free = [axes[axis] for axis in range(len(axes)) if axis not in bound]
        if free != sorted(free):
            continue
        operands[side] = operand.inputs[0]
        contract[side] = tuple(axes[axis] for axis in contract[side])
        batch[side] = tuple(axes[axis] for axis in batch[side])
        changed = True
    if not changed:
        return None
    return contraction.dot(*operands, contract=tuple(contract), batch=tuple(batch))


def _pairs(node: Node, name: str) -> list[tuple[int, ...]]:
    value = node.attribute(name)
    assert isinstance(value, tuple)
    return [tuple(axis for axis in side if isinstance(axis, int)) for side in value if isinstance(side, tuple)]


@VIEWS.rule("fold")
def fold_apart(node: Node) -> Node | None:
    """Windows that lie side by side: each element is in one of them, and folding only puts them in their places."""
    (x,) = node.inputs
    axes, size = axes_of(node), sizes_of(node, "size")
    rank = len(x.shape) - len(axes)
    if size != sizes_of(node, "stride") or not all(is_one(gap) for gap in sizes_of(node, "dilation")):
        return None
    order: list[int] = []
    shape: list[Size] = []
    missing: list[Size] = [0] * rank
    for axis in range(rank):
        order.append(axis)
        shape.append(x.shape[axis])
        if axis in axes:
            place = axes.index(axis)
            order.append(rank + place)
            shape[-1] = x.shape[axis] * size[place]
            missing[axis] = node.shape[axis] - shape[-1]
    result = build.reshape_to(build.permute_to(x, tuple(order)), tuple(shape))
    if any(more != 0 for more in missing):
        zeros = (0,) * rank
        result = movement.pad(result, build.zero(node.tensor.dtype), low=zeros, high=tuple(missing), interior=zeros)
    # A sum starts at 0.0, so that a lone -0.0 becomes 0.0. That of products has begun there already, and what a
    # convolution's gradient becomes where it isn't known whether windows lie apart adds nothing to it.
    source = x.inputs[0] if x.op is movement.permute else x
    is_begun = node.tensor.dtype.kind < Kind.FLOAT or source.op is contraction.dot
    return result if is_begun else elementwise.add(result, build.zeros_like(result))
