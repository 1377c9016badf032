"""Views, joins and cuts under PyTorch's names. In a graph every one is a new value; none copies by itself."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import TypeAlias

from graphc.ir.dim import Dim, Size, product, quotient
from graphc.ir.dtype import DType
from graphc.ir.dtype import dtype as to_dtype
from graphc.ir.errors import ArgumentError, ShapeError
from graphc.ir.graph import Node
from graphc.ir.type import Shape
from graphc.ops import build, movement
from graphc.ops import elementwise as ew
from graphc.ops.check import shape_text
from graphc.ops.composite.operand import broadcast_shape, detached, in_dtype, normal_dim, normal_dims, result_dtype
from graphc.ops.function import function

Sizes: TypeAlias = "Size | Sequence[Size]"


def sizes_from(name: str, given: tuple[Sizes, ...]) -> tuple[Size, ...]:
    """Sizes given one by one or as one sequence."""
    if len(given) == 1 and isinstance(given[0], Sequence):
        given = tuple(given[0])
    for size in given:
        if not isinstance(size, int | Dim) or isinstance(size, bool):
            raise ArgumentError(f"{name}: {size!r} is no size", hint="use ints or sizes of tensors")
    return tuple(size for size in given if isinstance(size, int | Dim))


@function(method=True, names=("view",))
def reshape(input: Node, *shape: Sizes) -> Node:
    """The elements in another shape; one size may be -1: what the others leave."""
    wanted = sizes_from("reshape", shape)
    unknown = [axis for axis, size in enumerate(wanted) if size == -1]
    if len(unknown) > 1:
        raise ArgumentError(
            f"reshape: the shape {shape_text(wanted)} has more than one -1", hint="leave at most one size open"
        )
    if unknown:
        rest = product(size for size in wanted if size != -1)
        total = input.tensor.size
        fits = rest != 0 and (not isinstance(total, int) or not isinstance(rest, int) or total % rest == 0)
        if not fits:
            raise ShapeError(
                f"reshape: {total} elements of the shape {shape_text(input.shape)} don't fill {shape_text(wanted)}",
                hint="the other sizes must divide the number of elements",
            )
        wanted = tuple(quotient(total, rest) if size == -1 else size for size in wanted)
    return build.reshape_to(input, wanted)


@function(method=True, names=("reshape_as",))
def view_as(input: Node, other: Node) -> Node:
    """The elements in the shape of another tensor."""
    return reshape(input, other.shape)


@function(method=True)
def flatten(input: Node, start_dim: int = 0, end_dim: int = -1) -> Node:
    """Dimensions from `start_dim` to `end_dim` made one."""
    rank = len(input.shape)
    if rank == 0:
        return build.reshape_to(input, (1,))
    first, last = normal_dim("flatten", start_dim, rank), normal_dim("flatten", end_dim, rank)
    if first > last:
        raise ArgumentError(
            f"flatten: start_dim {start_dim} comes after end_dim {end_dim}",
            hint="give the first dimension, then the last",
        )
    middle = product(input.shape[first : last + 1])
    return build.reshape_to(input, (*input.shape[:first], middle, *input.shape[last + 1 :]))


@function(method=True)
def unflatten(input: Node, dim: int, sizes: Sequence[Size]) -> Node:
    """One dimension as several."""
    axis = normal_dim("unflatten", dim, len(input.shape))
    return reshape(input, (*input.shape[:axis], *_filled(input.shape[axis], tuple(sizes)), *input.shape[axis + 1 :]))


def _filled(total: Size, sizes: tuple[Size, ...]) -> tuple[Size, ...]:
    rest = product(size for size in sizes if size != -1)
    return tuple(quotient(total, rest) if size == -1 else size for size in sizes)


@function(method=True)
def ravel(input: Node) -> Node:
    """All elements in one dimension."""
    return build.reshape_to(input, (input.tensor.size,))


@function(method=True)
def permute(input: Node, *dims: int | Sequence[int]) -> Node:
    """The dimensions in another order."""
    order = sizes_from("permute", dims)
    rank = len(input.shape)
    axes = tuple(normal_dim("permute", axis, rank) for axis in order)
    if len(axes) != rank or len(set(axes)) != rank:
        raise ArgumentError(
            f"permute: {order} does not name each of {rank} dimensions once", hint="list every dimension once"
        )
    return build.permute_to(input, axes)


@function(method=True, names=("swapaxes", "swapdims"))
def transpose(input: Node, dim0: int, dim1: int) -> Node:
    """Two dimensions exchanged."""
    rank = len(input.shape)
    a, b = normal_dim("transpose", dim0, rank), normal_dim("transpose", dim1, rank)
    axes = list(range(rank))
    if rank:
        axes[a], axes[b] = b, a
    return build.permute_to(input, tuple(axes))


@function(method=True, names=("moveaxis",))
def movedim(input: Node, source: int | Sequence[int], destination: int | Sequence[int]) -> Node:
    """Dimensions moved to other places; the rest keep their order."""
    rank = len(input.shape)
    come = [normal_dim("movedim", d, rank) for d in ([source] if isinstance(source, int) else source)]
    go = [normal_dim("movedim", d, rank) for d in ([destination] if isinstance(destination, int) else destination)]
    if len(come) != len(go) or len(set(come)) != len(come) or len(set(go)) != len(go):
        raise ArgumentError(
            f"movedim: {source} and {destination} don't pair dimensions",
            hint="give as many destinations as sources, each once",
        )
    rest = iter(axis for axis in range(rank) if axis not in come)
    placed = dict(zip(go, come, strict=True))
    return build.permute_to(input, tuple(placed[axis] if axis in placed else next(rest) for axis in range(rank)))


@function(method=True)
def t(input: Node) -> Node:
    """A matrix transposed; vectors and 0-d tensors as they are."""
    if len(input.shape) > 2:
        raise ShapeError(f"t: takes at most 2 dimensions, not {len(input.shape)}", hint="use transpose or mT")
    return build.permute_to(input, tuple(reversed(range(len(input.shape)))))


@function(method=True, free=False)
def T(input: Node) -> Node:
    """All dimensions in reverse order."""
    return build.permute_to(input, tuple(reversed(range(len(input.shape)))))


@function(method=True, free=False)
def mT(input: Node) -> Node:
    """The last two dimensions exchanged."""
    if len(input.shape) < 2:
        raise ShapeError(
            f"mT: takes matrices, not the shape {shape_text(input.shape)}", hint="use T, or unsqueeze it first"
        )
    return transpose(input, -2, -1)


@function(method=True, free=False)
def H(input: Node) -> Node:
    """A matrix transposed and conjugated."""
    return build.conj_of(t(input))


@function(method=True)
def squeeze(input: Node, dim: int | Sequence[int] | None = None) -> Node:
    """Without dimensions of size 1: all of them, or those named."""
    rank = len(input.shape)
    if dim is None:
        return build.reshape_to(input, tuple(size for size in input.shape if size != 1))
    axes = normal_dims("squeeze", dim if isinstance(dim, int) else tuple(dim), rank)
    return build.reshape_to(input, tuple(s for a, s in enumerate(input.shape) if a not in axes or s != 1))


@function(method=True)
def unsqueeze(input: Node, dim: int) -> Node:
    """With a dimension of size 1 at `dim`."""
    axis = normal_dim("unsqueeze", dim, len(input.shape) + 1)
    return build.insert_axes(input, (axis,))


@function(method=True)
def expand(input: Node, *sizes: Sizes) -> Node:
    """Dimensions of size 1 repeated; -1 keeps a size; leading ones are added."""
    wanted = sizes_from("expand", sizes)
    lead = len(wanted) - len(input.shape)
    if lead < 0:
        raise ShapeError(
            f"expand: the shape {shape_text(wanted)} has fewer dimensions than {shape_text(input.shape)}",
            hint="give a size for every dimension",
        )
    shape = tuple(input.shape[i - lead] if size == -1 and i >= lead else size for i, size in enumerate(wanted))
    for i, size in enumerate(shape):
        if i >= lead and input.shape[i - lead] not in (1, size):
            raise ShapeError(
                f"expand: the size {input.shape[i - lead]} of dimension {i - lead} can't become {size}",
                hint="only sizes of 1 are repeated",
            )
    return build.broadcast_to(input, shape)


@function(method=True)
def expand_as(input: Node, other: Node) -> Node:
    """Repeated to the shape of another tensor."""
    return expand(input, other.shape)


@function(method=True)
def broadcast_to(input: Node, shape: Sequence[Size]) -> Node:
    """Repeated to a shape."""
    return expand(input, tuple(shape))


@function()
def broadcast_tensors(*tensors: Node) -> tuple[Node, ...]:
    """The tensors, each repeated to their common shape."""
    shape = broadcast_shape("broadcast_tensors", *(x.shape for x in tensors))
    return tuple(build.broadcast_to(x, shape) for x in tensors)


@function(method=True)
def repeat(input: Node, *sizes: Sizes) -> Node:
    """Copies laid side by side, so many along each dimension; leading dimensions are added."""
    counts = sizes_from("repeat", sizes)
    lead = len(counts) - len(input.shape)
    if lead < 0:
        raise ShapeError(
            f"repeat: {len(counts)} counts for {len(input.shape)} dimensions",
            hint="give a count for every dimension, or use tile",
        )
    shape = ((1,) * lead) + input.shape
    paired = tuple(size for size in shape for size in (1, size))
    spread = tuple(each for count, size in zip(counts, shape, strict=True) for each in (count, size))
    final = tuple(count * size for count, size in zip(counts, shape, strict=True))
    return build.reshape_to(build.broadcast_to(build.reshape_to(input, paired), spread), final)


@function(method=True)
def tile(input: Node, *dims: Sizes) -> Node:
    """Like `repeat`, with counts of 1 in front where there are fewer than dimensions."""
    counts = sizes_from("tile", dims)
    return repeat(input, ((1,) * (len(input.shape) - len(counts))) + counts)


@function(names=("concat", "concatenate"))
def cat(tensors: Sequence[Node], dim: int = 0) -> Node:
    """The tensors one after another along `dim`; their other sizes are equal."""
    if not tensors:
        raise ArgumentError("cat: no tensors are given", hint="give at least one")
    common = result_dtype(*tensors)
    axis = normal_dim("cat", dim, len(tensors[0].shape))
    parts = [in_dtype("cat", x, common) for x in tensors if x.shape != (0,) or len(tensors[0].shape) == 1]
    return parts[0] if len(parts) == 1 else movement.concat(*parts, axis=axis)


@function()
def stack(tensors: Sequence[Node], dim: int = 0) -> Node:
    """The tensors, all of one shape, side by side along a new dimension."""
    if not tensors:
        raise ArgumentError("stack: no tensors are given", hint="give at least one")
    shapes = {x.shape for x in tensors}
    if len(shapes) > 1:
        raise ShapeError(
            f"stack: the shapes {' and '.join(map(shape_text, sorted(shapes, key=str)))} differ",
            hint="tensors of one shape are stacked; cat joins others",
        )
    axis = normal_dim("stack", dim, len(tensors[0].shape) + 1)
    return cat([build.insert_axes(x, (axis,)) for x in tensors], axis)


def cut(x: Node, axis: int, start: Size, stop: Size, step: Size = 1) -> Node:
    """Elements start, start + step ... below stop along one axis."""
    rank = len(x.shape)
    return movement.slice_(
        x,
        start=tuple(start if a == axis else 0 for a in range(rank)),
        stop=tuple(stop if a == axis else size for a, size in enumerate(x.shape)),
        step=tuple(step if a == axis else 1 for a in range(rank)),
    )


@function(method=True)
def narrow(input: Node, dim: int, start: int, length: Size) -> Node:
    """`length` elements along `dim` from `start` on."""
    axis = normal_dim("narrow", dim, len(input.shape))
    first = start + input.shape[axis] if start < 0 else start
    return cut(input, axis, first, first + length)


@function(method=True)
def select(input: Node, dim: int, index: int) -> Node:
    """The part at one position along `dim`, which is dropped."""
    axis = normal_dim("select", dim, len(input.shape))
    if not input.shape:
        raise ShapeError("select: a 0-d tensor has no dimension to select from", hint="unsqueeze it first")
    size = input.shape[axis]
    if isinstance(size, int) and not -size <= index < size:
        raise ArgumentError(
            f"select: index {index} is out of range for dimension {axis} of size {size}",
            hint="indices count from 0, or from -1 backwards",
        )
    place = index + size if index < 0 else index
    part = cut(input, axis, place, place + 1)
    return build.reshape_to(part, tuple(s for a, s in enumerate(input.shape) if a != axis))


def _known(name: str, size: Size) -> int:
    if not isinstance(size, int):
        raise ShapeError(
            f"{name}: how many parts there are depends on the symbolic size {size}",
            hint="use narrow or slices with sizes that don't decide the number of results",
        )
    return size


@function(method=True)
def split(input: Node, split_size_or_sections: int | Sequence[int], dim: int = 0) -> tuple[Node, ...]:
    """Parts of a size along `dim`, the last may be smaller; or parts of the sizes listed."""
    axis = normal_dim("split", dim, len(input.shape))
    size = input.shape[axis]
    if isinstance(split_size_or_sections, int):
        if split_size_or_sections <= 0:
            raise ArgumentError(f"split: parts of size {split_size_or_sections}", hint="use a size of at least 1")
        total = _known("split", size)
        starts = range(0, max(total, 1), split_size_or_sections)
        return tuple(cut(input, axis, start, builtins.min(start + split_size_or_sections, total)) for start in starts)
    sections = tuple(split_size_or_sections)
    if sum(sections) != size:
        raise ShapeError(
            f"split: the sizes {list(sections)} add up to {sum(sections)}, not to {size}",
            hint="the sizes add up to that of the dimension",
        )
    ends = [sum(sections[: i + 1]) for i in range(len(sections))]
    return tuple(cut(input, axis, end - part, end) for part, end in zip(sections, ends, strict=True))


@function(method=True)
def chunk(input: Node, chunks: int, dim: int = 0) -> tuple[Node, ...]:
    """About so many parts along `dim`, all but the last of one size."""
    if chunks <= 0:
        raise ArgumentError(f"chunk: {chunks} parts", hint="use at least 1")
    axis = normal_dim("chunk", dim, len(input.shape))
    total = _known("chunk", input.shape[axis])
    return split(input, builtins.max(1, -(-total // chunks)), axis)


@function(method=True)
def unbind(input: Node, dim: int = 0) -> tuple[Node, ...]:
    """Every part along `dim`, which is dropped."""
    axis = normal_dim("unbind", dim, len(input.shape))
    if not input.shape:
        raise ShapeError("unbind: a 0-d tensor has no dimension to take apart", hint="unsqueeze it first")
    return tuple(select(input, axis, i) for i in range(_known("unbind", input.shape[axis])))


@function(method=True)
def flip(input: Node, *dims: int | Sequence[int]) -> Node:
    """The elements in reverse order along some dimensions."""
    axes = sizes_from("flip", dims)
    named = normal_dims("flip", [a for a in axes if isinstance(a, int)], len(input.shape))
    return movement.flip(input, axes=named) if named else input


@function(method=True)
def diagonal(input: Node, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Node:
    """The elements on a diagonal of two dimensions, as the last dimension."""
    rank = len(input.shape)
    a, b = normal_dim("diagonal", dim1, rank), normal_dim("diagonal", dim2, rank)
    if a == b:
        raise ArgumentError(f"diagonal: dim1 and dim2 are both {dim1}", hint="name two dimensions")
    order = tuple(axis for axis in range(rank) if axis not in (a, b))
    x = build.permute_to(input, (*order, a, b))
    rows, columns = x.shape[-2], x.shape[-1]
    count: Size = rows
    if rows != columns or offset:
        tall, wide = _known("diagonal", rows), _known("diagonal", columns)
        count = builtins.max(0, builtins.min(tall + builtins.min(offset, 0), wide - builtins.max(offset, 0)))
    flat = build.reshape_to(x, (*x.shape[:-2], rows * columns))
    first = builtins.max(offset, 0) - builtins.min(offset, 0) * columns
    axis = len(flat.shape) - 1
    if count == 0:
        return cut(flat, axis, 0, 0)
    return cut(flat, axis, first, first + (count - 1) * (columns + 1) + 1, columns + 1)


@function(method=True)
def contiguous(input: Node) -> Node:
    """The tensor itself: a graph's values have no layout."""
    return input


@function(method=True)
def clone(input: Node) -> Node:
    """The tensor itself: a graph's values never change."""
    return input


@function(method=True)
def detach(input: Node) -> Node:
    """The tensor, which gradients take for a constant."""
    return detached(input)


@function(method=True, free=False)
def to(input: Node, dtype: object) -> Node:
    """The elements converted to a dtype, or to that of another tensor."""
    return build.cast_to(input, dtype.tensor.dtype if isinstance(dtype, Node) else to_dtype(dtype))


@function(method=True, free=False)
def type_as(input: Node, other: Node) -> Node:
    """The elements converted to the dtype of another tensor."""
    return build.cast_to(input, other.tensor.dtype)


def _conversion(name: str, target: DType) -> None:
    def convert(input: Node) -> Node:
        return build.cast_to(input, target)

    convert.__name__ = convert.__qualname__ = name
    convert.__doc__ = f"The elements converted to {target.name}."
    function(method=True, free=False)(convert)


for _name, _target in (
    ("bool", "bool"),
    ("char", "int8"),
    ("short", "int16"),
    ("int", "int32"),
    ("long", "int64"),
    ("byte", "uint8"),
    ("half", "float16"),
    ("bfloat16", "bfloat16"),
    ("float", "float32"),
    ("double", "float64"),
    ("cfloat", "complex64"),
    ("cdouble", "complex128"),
):
    _conversion(_name, to_dtype(_target))


@function(method=True)
def real(input: Node) -> Node:
    """The real part; a real tensor itself."""
    return ew.real(input) if input.tensor.dtype.is_complex else input


@function(method=True)
def imag(input: Node) -> Node:
    """The imaginary part of a complex tensor."""
    return ew.imag(input)


@function(method=True, free=False)
def size(input: Node, dim: int | None = None) -> Shape | Size:
    """The shape, or one size of it."""
    return input.shape if dim is None else input.shape[normal_dim("size", dim, len(input.shape))]


@function(method=True)
def numel(input: Node) -> Size:
    """How many elements there are."""
    return input.tensor.size


@function(method=True, free=False)
def dim(input: Node) -> int:
    """How many dimensions there are."""
    return len(input.shape)
