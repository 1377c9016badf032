"""Views, joins and cuts under PyTorch's names. In a graph every one is a new value; none copies by itself."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import TypeAlias

from graphc.ir.dim import Dim, Size, product, quotient
from graphc.ir.dtype import DType
from graphc.ir.dtype import dtype as to_dtype
from graphc.ir.errors import ArgumentError, DimensionError, DTypeError, ShapeError
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
        raise ArgumentError("only one dimension can be inferred", hint="leave at most one size open")
    for size in wanted:
        if isinstance(size, int) and size < -1:
            raise ArgumentError(f"invalid shape dimension {size}", hint="sizes are 0 or more; -1 is what the others leave")
    total = input.tensor.size
    rest = product(size for size in wanted if size != -1)
    is_known = isinstance(total, int) and isinstance(rest, int)
    if unknown and total == 0 and rest == 0:
        raise ArgumentError(
            f"cannot reshape tensor of 0 elements into shape {_list(wanted)} because the unspecified dimension size -1 "
            "can be any value and is ambiguous",
            hint="give all sizes",
        )
    if (is_known and (rest == 0 or total % rest if unknown else rest != total)) or (unknown and rest == 0):  # type: ignore[operator]  # ints
        raise ShapeError(
            f"shape '{_list(wanted)}' is invalid for input of size {total}",
            hint=f"the sizes of {shape_text(input.shape)} and of what is wanted multiply to the same number",
        )
    if unknown:
        wanted = tuple(quotient(total, rest) if size == -1 else size for size in wanted)
    return build.reshape_to(input, wanted)


def _list(sizes: Sequence[object]) -> str:
    return f"[{', '.join(map(str, sizes))}]"


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
            "flatten() has invalid args: start_dim cannot come after end_dim",
            hint="give the first dimension, then the last",
        )
    middle = product(input.shape[first : last + 1])
    return build.reshape_to(input, (*input.shape[:first], middle, *input.shape[last + 1 :]))


@function(method=True)
def unflatten(input: Node, dim: int, sizes: Sequence[Size]) -> Node:
    """One dimension as several."""
    axis = normal_dim("unflatten", dim, len(input.shape))
    sizes = tuple(sizes) if isinstance(sizes, Sequence) else (sizes,)
    if not sizes:
        raise ArgumentError("unflatten: sizes must be non-empty", hint="give the sizes of the new dimensions")
    total, given = input.shape[axis], product(size for size in sizes if size != -1)
    if isinstance(total, int) and isinstance(given, int):
        fits = given != 0 and total % given == 0 if -1 in sizes else given == total
        if not fits:
            raise ShapeError(
                f"unflatten: Provided sizes {_list(sizes)} don't multiply up to the size of dim {axis} ({total}) in "
                "the input tensor",
                hint="the new sizes multiply to that of the dimension",
            )
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
    if len(order) != rank:
        raise ArgumentError(
            "permute(sparse_coo): number of dimensions in the tensor input does not match the length of the desired "
            f"ordering of dimensions i.e. input.dim() = {rank} is not equal to len(dims) = {len(order)}",
            hint="list every dimension once",
        )
    axes = tuple(normal_dim("permute", axis, rank) for axis in order)
    if len(set(axes)) != rank:
        raise ArgumentError("permute(): duplicate dims are not allowed.", hint="list every dimension once")
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
    if len(come) != len(go):
        raise ArgumentError(
            f"movedim: Invalid source or destination dims: source ({_list(_listed(source))} dims) should contain the "
            f"same number of dims as destination ({_list(_listed(destination))} dims)",
            hint="give as many destinations as sources",
        )
    for name, given, found in (("source", source, come), ("destination", destination, go)):
        if len(set(found)) != len(found):
            raise ArgumentError(f"movedim: repeated dim in `{name}` ({_list(_listed(given))})", hint="name each once")
    rest = iter(axis for axis in range(rank) if axis not in come)
    placed = dict(zip(go, come, strict=True))
    return build.permute_to(input, tuple(placed[axis] if axis in placed else next(rest) for axis in range(rank)))


def _listed(given: int | Sequence[int]) -> Sequence[int]:
    return (given,) if isinstance(given, int) else given


@function(method=True)
def t(input: Node) -> Node:
    """A matrix transposed; vectors and 0-d tensors as they are."""
    if len(input.shape) > 2:
        raise ShapeError(
            f"t() expects a tensor with <= 2 dimensions, but self is {len(input.shape)}D", hint="use transpose or mT"
        )
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
            "tensor.mT is only supported on matrices or batches of matrices. Got "
            f"{len(input.shape)}-D tensor.",
            hint="use T, or unsqueeze it first",
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
            f"expand(torch.{input.tensor.dtype.scalar}Tensor{{{_list(input.shape)}}}, size={_list(wanted)}): the number "
            f"of sizes provided ({len(wanted)}) must be greater or equal to the number of dimensions in the tensor "
            f"({len(input.shape)})",
            hint="give a size for every dimension",
        )
    for i, size in enumerate(wanted):
        if size == -1 and i < lead:
            raise ShapeError(
                "The expanded size of the tensor (-1) isn't allowed in a leading, non-existing dimension "
                f"{i}",
                hint="-1 keeps the size of a dimension that is there",
            )
    shape = tuple(input.shape[i - lead] if size == -1 and i >= lead else size for i, size in enumerate(wanted))
    for i, size in enumerate(shape):
        if i >= lead and input.shape[i - lead] not in (1, size):
            raise ShapeError(
                f"The expanded size of the tensor ({size}) must match the existing size ({input.shape[i - lead]}) at "
                f"non-singleton dimension {i}.  Target sizes: {_list(wanted)}.  Tensor sizes: {_list(input.shape)}",
                hint="only sizes of 1 are repeated",
            )
    return build.broadcast_to(input, shape)


@function(method=True)
def expand_as(input: Node, other: Node) -> Node:
    """Repeated to the shape of another tensor."""
    return expand(input, other.shape)


@function(method=True)
def broadcast_to(input: Node, *shape: Sizes) -> Node:
    """Repeated to a shape."""
    return expand(input, *shape)


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
            "Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor",
            hint="give a count for every dimension, or use tile",
        )
    if any(isinstance(count, int) and count < 0 for count in counts):
        raise ShapeError(
            f"Trying to create tensor with negative dimension {min(c for c in counts if isinstance(c, int))}: "
            f"{_list(counts)}",
            hint="counts are 0 or more",
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
    if not input.shape:
        raise ArgumentError("narrow() cannot be applied to a 0-dim tensor.", hint="unsqueeze it first")
    if isinstance(length, int) and length < 0:
        raise ArgumentError("narrow(): length must be non-negative.", hint="lengths are 0 or more")
    axis = normal_dim("narrow", dim, len(input.shape))
    size = input.shape[axis]
    if isinstance(size, int) and not -size <= start <= size:
        raise DimensionError(
            f"start out of range (expected to be in range of [-{size}, {size}], but got {start})",
            hint="positions count from 0, or from -1 backwards",
        )
    if isinstance(size, int) and isinstance(length, int) and (start + size if start < 0 else start) + length > size:
        raise ArgumentError(
            f"start ({start + size if start < 0 else start}) + length ({length}) exceeds dimension size ({size}).",
            hint="take no more than there is",
        )
    first = start + input.shape[axis] if start < 0 else start
    return cut(input, axis, first, first + length)


@function(method=True)
def select(input: Node, dim: int, index: int) -> Node:
    """The part at one position along `dim`, which is dropped."""
    if not input.shape:
        raise DimensionError("select() cannot be applied to a 0-dim tensor.", hint="unsqueeze it first")
    axis = normal_dim("select", dim, len(input.shape))
    size = input.shape[axis]
    if isinstance(size, int) and not -size <= index < size:
        raise DimensionError(
            f"select(): index {index} out of range for tensor of size {_list(input.shape)} at dimension {axis}",
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
    if not input.shape:
        raise ShapeError("split expects at least a 1-dimensional tensor", hint="unsqueeze it first")
    axis = normal_dim("split", dim, len(input.shape))
    size = input.shape[axis]
    if isinstance(split_size_or_sections, int):
        if split_size_or_sections < 0:
            raise ArgumentError(
                f"split expects split_size be non-negative, but got split_size={split_size_or_sections}",
                hint="use a size of at least 1",
            )
        total = _known("split", size)
        if split_size_or_sections == 0 and total:
            raise ArgumentError(
                f"split_size can only be 0 if dimension size is 0, but got dimension size of {total}",
                hint="use a size of at least 1",
            )
        starts = range(0, max(total, 1), max(split_size_or_sections, 1))
        return tuple(cut(input, axis, start, builtins.min(start + split_size_or_sections, total)) for start in starts)
    sections = tuple(split_size_or_sections)
    for position, section in enumerate(sections):
        if section < 0:
            raise ArgumentError(
                f"split_with_sizes expects split_sizes have only non-negative entries, but got split_sizes="
                f"{_list(sections)}",
                hint=f"entry {position} is {section}",
            )
    if sum(sections) != size:
        raise ShapeError(
            f"split_with_sizes expects split_sizes to sum exactly to {size} (input tensor's size at dimension {axis}), "
            f"but got split_sizes={_list(sections)}",
            hint="the sizes add up to that of the dimension",
        )
    ends = [sum(sections[: i + 1]) for i in range(len(sections))]
    return tuple(cut(input, axis, end - part, end) for part, end in zip(sections, ends, strict=True))


@function(method=True)
def chunk(input: Node, chunks: int, dim: int = 0) -> tuple[Node, ...]:
    """About so many parts along `dim`, all but the last of one size."""
    if not input.shape:
        raise ShapeError("chunk expects at least a 1-dimensional tensor", hint="unsqueeze it first")
    if chunks <= 0:
        raise ArgumentError(f"chunk expects `chunks` to be greater than 0, got: {chunks}", hint="use at least 1")
    axis = normal_dim("chunk", dim, len(input.shape))
    total = _known("chunk", input.shape[axis])
    if total == 0:
        return split(input, (0,) * chunks, axis)
    return split(input, -(-total // chunks), axis)


@function(method=True)
def unbind(input: Node, dim: int = 0) -> tuple[Node, ...]:
    """Every part along `dim`, which is dropped."""
    if not input.shape:
        raise DimensionError("Dimension specified as 0 but tensor has no dimensions", hint="unsqueeze it first")
    axis = normal_dim("unbind", dim, len(input.shape))
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
        raise ArgumentError(f"diagonal dimensions cannot be identical {dim1}, {dim2}", hint="name two dimensions")
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
    if not input.tensor.dtype.is_complex:
        raise DTypeError(
            "imag is not implemented for tensors with non-complex dtypes.", hint="a real tensor has no such part"
        )
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
