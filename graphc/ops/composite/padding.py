"""Tensors made larger or smaller at their edges.

graphc.pad(x, (1, 1), mode="reflect")      # one mirrored element on both sides of the last dimension
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from graphc.ir.dim import Size
from graphc.ir.errors import ArgumentError, ShapeError, UnsupportedDType
from graphc.ir.graph import Node
from graphc.ops import build, movement
from graphc.ops.composite.operand import Operand, in_dtype
from graphc.ops.composite.shapes import cat, cut, list_text
from graphc.ops.function import function


@function()
def pad(input: Node, pad: Sequence[Size], mode: str = "constant", value: Operand | None = None) -> Node:
    """Elements put before and behind, listed in pairs from the last dimension on; negative numbers cut off.

    Modes: "constant" puts `value` (0), "reflect" mirrors at the edge element, "replicate" repeats it, "circular" goes
    on at the other end. But for "constant" the one, two or three last dimensions are padded, and one or two stand in
    front of them.
    """
    edges, rank = tuple(pad), len(input.shape)
    if len(edges) % 2:
        raise ArgumentError("Padding length must be divisible by 2", hint="give two for each padded dimension")
    if len(edges) > 2 * rank:
        raise ArgumentError(
            "Padding length should be less than or equal to two times the input dimension but got padding length "
            f"{len(edges)} and input of dimension {rank}",
            hint="give two for each padded dimension",
        )
    if mode == "constant":
        return constant_pad_nd(input, edges, 0 if value is None else value)
    if value is not None:
        raise ArgumentError(
            f'Padding mode "{mode}" doesn\'t take in value argument', hint='only mode="constant" takes one'
        )
    if mode not in _CONTINUED:
        raise UnsupportedDType(
            f"Unrecognised padding mode {mode}", hint='use "constant", "reflect", "replicate" or "circular"'
        )
    count = len(edges) // 2
    if not 1 <= count <= 3 or rank - count not in (1, 2):
        raise UnsupportedDType(
            f"Padding size {len(edges)} is not supported for {rank}D input tensor.",
            hint="one or two dimensions stand in front of those that are padded",
        )
    pairs = [(edges[k], edges[k + 1]) for k in range(0, len(edges), 2)]
    if mode != "circular":
        _check_continued(input, pairs)
    result = input
    for k, (before, behind) in enumerate(pairs):
        result = _continued(mode, input, result, rank - 1 - k, before, behind, 2 + 2 * (k + 1))
    return result


@function()
def constant_pad_nd(input: Node, pad: Sequence[Size], value: Operand = 0) -> Node:
    """A number put before and behind, listed in pairs from the last dimension on; negative numbers cut off."""
    edges, rank = tuple(pad), len(input.shape)
    if len(edges) % 2:
        raise ArgumentError(
            f"Length of pad must be even but instead it equals {len(edges)}", hint="give two for each dimension"
        )
    if len(edges) > 2 * rank:
        raise ArgumentError(
            f"Length of pad should be no more than twice the number of dimensions of the input. Pad length is "
            f"{len(edges)} while the input has {rank} dimensions.",
            hint="give two for each padded dimension",
        )
    fill = build.cast_to(in_dtype("pad", value, input.tensor.dtype), input.tensor.dtype)
    low: list[Size] = [0] * rank
    high: list[Size] = [0] * rank
    for k in range(len(edges) // 2):
        axis = rank - 1 - k
        low[axis], high[axis] = edges[2 * k], edges[2 * k + 1]
        total = input.shape[axis] + low[axis] + high[axis]
        cuts = -sum(edge for edge in (low[axis], high[axis]) if isinstance(edge, int) and edge < 0)
        size = input.shape[axis]
        if (isinstance(total, int) and total < 0) or (isinstance(size, int) and cuts > size):
            raise ShapeError("narrow(): length must be non-negative.", hint="cut off fewer elements than there are")
    if all(size == 0 for size in edges):
        return input
    return movement.pad(input, fill, low=tuple(low), high=tuple(high), interior=(0,) * rank)


def _check_continued(x: Node, pairs: list[tuple[Size, Size]]) -> None:
    """There is something to go on from, and something is left."""
    count = len(pairs)
    if 0 in x.shape[len(x.shape) - count - 1 :]:
        raise ShapeError(
            f"Expected {count + 1}D or {count + 2}D (batch mode) tensor with possibly 0 batch size and other non-zero "
            f"dimensions for input, but got: {list_text(x.shape)}",
            hint='use mode="constant"',
        )
    total = x.shape[-1] + pairs[0][0] + pairs[0][1]
    if count == 1 and isinstance(total, int) and total < 1:
        raise ShapeError(
            f"input (W: {x.shape[-1]}) is too small. Calculated output W: {total}", hint="cut off fewer elements"
        )


def _continued(mode: str, whole: Node, x: Node, axis: int, before: Size, behind: Size, argument: int) -> Node:
    if not isinstance(before, int) or not isinstance(behind, int):
        raise ArgumentError(f"pad: symbolic edges with mode={mode!r}", hint="give ints")
    size = x.shape[axis]
    if mode == "reflect" and isinstance(size, int) and max(before, behind) >= size:
        raise ShapeError(
            f"Argument #{argument}: Padding size should be less than the corresponding input dimension, but got: "
            f"padding ({before}, {behind}) at dimension {axis} of input {list_text(whole.shape)}",
            hint="pad several times for more",
        )
    if mode == "circular" and isinstance(size, int) and max(before, behind) > size:
        raise ShapeError("Padding value causes wrapping around more than once.", hint="pad several times for more")
    if mode == "replicate" and isinstance(size, int) and size:
        # Also where all elements are cut off at one side, what is put at the other is the element at that edge.
        start, stop = -before, size + behind
        first, last = _replicated(x, axis, max(0, min(stop, 0) - start), max(0, stop - max(size, start)))
        inside = cut(x, axis, min(max(0, start), size), max(min(size, stop), min(max(0, start), size)))
        parts = [part for part in (first, inside, last) if part.shape[axis] != 0]
        return cat(parts, axis) if parts else inside
    cut_low, cut_high = max(0, -before), max(0, -behind)
    if cut_low or cut_high:
        x = cut(x, axis, cut_low, size - cut_high)
        before, behind = max(0, before), max(0, behind)
    if x.shape[axis] == 0:
        raise ShapeError(f"pad: dimension {axis} of {list_text(x.shape)} is empty", hint='use mode="constant"')
    first, last = _CONTINUED[mode](x, axis, before, behind)
    parts = [part for part, count in ((first, before), (x, 1), (last, behind)) if count]
    return parts[0] if len(parts) == 1 else cat(parts, axis)


def _reflected(x: Node, axis: int, before: int, behind: int) -> tuple[Node, Node]:
    size = x.shape[axis]
    first = movement.flip(cut(x, axis, 1, 1 + before), axes=(axis,))
    return first, movement.flip(cut(x, axis, size - 1 - behind, size - 1), axes=(axis,))


def _replicated(x: Node, axis: int, before: int, behind: int) -> tuple[Node, Node]:
    size = x.shape[axis]

    def repeated(edge: Node, count: int) -> Node:
        return build.broadcast_to(edge, (*x.shape[:axis], count, *x.shape[axis + 1 :]))

    return repeated(cut(x, axis, 0, 1), before), repeated(cut(x, axis, size - 1, size), behind)


def _wrapped(x: Node, axis: int, before: int, behind: int) -> tuple[Node, Node]:
    size = x.shape[axis]
    return cut(x, axis, size - before, size), cut(x, axis, 0, behind)


_CONTINUED: dict[str, Callable[[Node, int, int, int], tuple[Node, Node]]] = {
    "reflect": _reflected,
    "replicate": _replicated,
    "circular": _wrapped,
}
