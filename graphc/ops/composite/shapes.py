"""Views and joins under PyTorch's names: other shapes, other orders, other parts. In a graph every one is a new value.

None copies by itself; eager tensors follow these graphs on strides where PyTorch's function is a view.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn, TypeAlias

from graphc.ir.dim import Dim, Size, product, quotient
from graphc.ir.dtype import DType
from graphc.ir.errors import ArgumentError, DimensionError, IndexOutOfRange, ShapeError, SignatureError, describe
from graphc.ir.graph import Node
from graphc.ops import build, indexing, movement
from graphc.ops import elementwise as ew
from graphc.ops.check import INTEGER, can_be_equal, takes
from graphc.ops.composite.operand import broadcast_shape, in_dtype, normal_dim, normal_dims, result_dtype, type_text
from graphc.ops.function import function

Sizes: TypeAlias = "Size | Sequence[Size]"


def sizes_from(name: str, given: tuple[Sizes, ...]) -> tuple[Size, ...]:
    """Sizes given one by one or as one sequence."""
    if len(given) == 1 and isinstance(given[0], Sequence):
        given = tuple(given[0])
    for size in given:
        if not isinstance(size, int | Dim) or isinstance(size, bool):
            raise SignatureError(
                f"{name}(): sizes must be ints, not {describe(size)}", hint="use ints or sizes of tensors"
            )
    return tuple(size for size in given if isinstance(size, int | Dim))


def required(name: str, argument: str, given: tuple[Sizes, ...]) -> tuple[Size, ...]:
    """Like `sizes_from`, of which at least an empty sequence must be given."""
    if not given:
        raise SignatureError(
            f'{name}() missing 1 required positional arguments: "{argument}"', hint="pass ints, or a tuple of them"
        )
    return sizes_from(name, given)


def list_text(sizes: Sequence[Size]) -> str:
    """Sizes as PyTorch's errors print them."""
    return f"[{', '.join(map(str, sizes))}]"


# Reshaped


@function(method=True)
def reshape(input: Node, *shape: Sizes) -> Node:
    """The elements in another shape; one size may be -1: what the others leave."""
    return build.reshape_to(input, filled(input.tensor.size, required("reshape", "shape", shape)))


@function(method=True, free=False)
def view(input: Node, *shape: Sizes | DType) -> Node:
    """The elements in another shape, as `reshape`; or their bits as another dtype of the same width."""
    if len(shape) == 1 and isinstance(shape[0], DType):
        return _bits_as(input, shape[0])
    sizes = tuple(size for size in shape if not isinstance(size, DType))
    return build.reshape_to(input, filled(input.tensor.size, required("view", "size", sizes)))


def _bits_as(input: Node, dtype: DType) -> Node:
    own = input.tensor.dtype
    if dtype is own:
        return input
    if own.itemsize != dtype.itemsize or own.is_complex or dtype.is_complex:
        raise ArgumentError(
            f"view: no {dtype.name} made of the bits of {own.name}", hint="views as dtypes of the same width only"
        )
    return ew.bitcast(input, dtype=dtype)


def filled(total: Size, shape: tuple[Size, ...]) -> tuple[Size, ...]:
    """The shape with -1 replaced by what the other sizes leave of `total` elements; raises ShapeError, as PyTorch."""
    open_axes = [axis for axis, size in enumerate(shape) if size == -1]
    wrong = next(((axis, size) for axis, size in enumerate(shape) if isinstance(size, int) and size < -1), None)
    if len(open_axes) > 1:
        raise ShapeError("only one dimension can be inferred", hint="leave at most one size open, as -1")
    if wrong is not None:
        raise ShapeError(
            f"invalid shape dimension {wrong[1]} at index {wrong[0]} of shape {list_text(shape)}",
            hint="sizes are 0 or more, or -1 for what the others leave",
        )
    rest = product(size for size in shape if size != -1)
    if not open_axes:
        if isinstance(total, int) and isinstance(rest, int) and total != rest:
            _refuse_shape(shape, total)
        return shape
    if rest == 0:
        if total == 0:
            raise ShapeError(
                f"cannot reshape tensor of 0 elements into shape {list_text(shape)} because the unspecified dimension "
                "size -1 can be any value and is ambiguous",
                hint="say the size",
            )
        _refuse_shape(shape, total)
    if isinstance(total, int) and isinstance(rest, int) and total % rest:
        _refuse_shape(shape, total)
    return tuple(quotient(total, rest) if size == -1 else size for size in shape)


def _refuse_shape(shape: tuple[Size, ...], total: Size) -> NoReturn:
    raise ShapeError(
        f"shape '{list_text(shape)}' is invalid for input of size {total}",
        hint="the product of the sizes must be the number of elements",
    )


@function(method=True, free=False, names=("reshape_as",))
def view_as(input: Node, other: Node) -> Node:
    """The elements in the shape of another tensor."""
    return reshape(input, other.shape)


@function(method=True)
def flatten(input: Node, start_dim: int = 0, end_dim: int = -1) -> Node:
    """Dimensions from `start_dim` to `end_dim` made one."""
    rank = len(input.shape)
    first, last = normal_dim("flatten", start_dim, rank), normal_dim("flatten", end_dim, rank)
    if first > last:
        raise ShapeError(
            "flatten() has invalid args: start_dim cannot come after end_dim",
            hint="give the first dimension, then the last",
        )
    middle = product(input.shape[first : last + 1])
    return build.reshape_to(input, (*input.shape[:first], middle, *input.shape[last + 1 :]))


@function(method=True)
def unflatten(input: Node, dim: int, sizes: Sequence[Size]) -> Node:
    """One dimension as several."""
    axis = normal_dim("unflatten", dim, len(input.shape))
    parts = sizes_from("unflatten", (tuple(sizes) if isinstance(sizes, Sequence) else sizes,))
    if not parts:
        raise ShapeError("unflatten: sizes must be non-empty", hint="give the sizes that replace the dimension")
    size = input.shape[axis] if input.shape else 1
    try:
        inner = filled(size, parts)
    except ShapeError as error:
        if "is invalid for" not in error.message:
            raise ShapeError(f"unflatten got an unexpected error:\n{error.message}", hint=error.hint) from None
        raise ShapeError(
            f"unflatten: Provided sizes {list_text(parts)} don't multiply up to the size of dim {axis} ({size}) in the "
            "input tensor",
            hint="their product must be the size of the dimension",
        ) from None
    return build.reshape_to(input, (*input.shape[:axis], *inner, *input.shape[axis + 1 :]))


@function(method=True)
def ravel(input: Node) -> Node:
    """All elements in one dimension."""
    return build.reshape_to(input, (input.tensor.size,))


@function(method=True)
def squeeze(input: Node, dim: int | Sequence[int] | None = None) -> Node:
    """Without dimensions of size 1: all of them, or those named."""
    if dim is None:
        return build.reshape_to(input, tuple(size for size in input.shape if size != 1))
    axes = normal_dims("squeeze", dim if isinstance(dim, int) else tuple(dim), len(input.shape))
    return build.reshape_to(input, tuple(s for a, s in enumerate(input.shape) if a not in axes or s != 1))


@function(method=True)
def unsqueeze(input: Node, dim: int) -> Node:
    """With a dimension of size 1 at `dim`."""
    return build.insert_axes(input, (normal_dim("unsqueeze", dim, len(input.shape) + 1),))


# Dimensions in another order


@function(method=True)
def permute(input: Node, *dims: int | Sequence[int]) -> Node:
    """The dimensions in another order."""
    order = required("permute", "dims", dims)
    rank = len(input.shape)
    if len(order) != rank:
        raise ShapeError(
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
    come, go = ([x] if isinstance(x, int) else [*x] for x in (source, destination))
    if len(come) != len(go):
        raise ArgumentError(
            f"movedim: Invalid source or destination dims: source ({come} dims) should contain the same number of dims "
            f"as destination ({go} dims)",
            hint="give as many destinations as sources",
        )
    froms, tos = ([normal_dim("movedim", d, rank) for d in each] for each in (come, go))
    for what, given, axes in (("source", come, froms), ("destination", go, tos)):
        if len(set(axes)) != len(axes):
            raise ArgumentError(f"movedim: repeated dim in `{what}` ({given})", hint="name each dimension once")
    if not rank:
        return input
    rest = iter(axis for axis in range(rank) if axis not in froms)
    placed = dict(zip(tos, froms, strict=True))
    return build.permute_to(input, tuple(placed[axis] if axis in placed else next(rest) for axis in range(rank)))


@function(method=True)
def t(input: Node) -> Node:
    """A matrix transposed; vectors and 0-d tensors as they are."""
    rank = len(input.shape)
    if rank > 2:
        raise ShapeError(
            f"t() expects a tensor with <= 2 dimensions, but self is {rank}D", hint="use transpose, or mT for batches"
        )
    return build.permute_to(input, tuple(reversed(range(rank))))


@function(method=True, free=False)
def T(input: Node) -> Node:
    """All dimensions in reverse order."""
    return build.permute_to(input, tuple(reversed(range(len(input.shape)))))


def _of_matrices(name: str, input: Node) -> Node:
    if len(input.shape) == 1:
        raise ShapeError(
            f"tensor.{name} is only supported on matrices or batches of matrices. Got 1-D tensor.",
            hint="unsqueeze it first",
        )
    return transpose(input, -2, -1) if input.shape else input


@function(method=True, free=False)
def mT(input: Node) -> Node:
    """The last two dimensions exchanged."""
    return _of_matrices("mT", input)


@function(method=True, free=False)
def H(input: Node) -> Node:
    """A matrix transposed and conjugated."""
    rank = len(input.shape)
    if rank not in (0, 2):
        more = " For batches of matrices, consider using tensor.mH" if rank > 2 else ""
        raise ShapeError(
            f"tensor.H is only supported on matrices (2-D tensors). Got {rank}-D tensor.{more}", hint="see mH"
        )
    return build.conj_of(t(input))


@function(method=True, free=False)
def mH(input: Node) -> Node:
    """The last two dimensions exchanged, and the elements conjugated."""
    return build.conj_of(_of_matrices("mH", input))


@function(method=True)
def adjoint(input: Node) -> Node:
    """The last two dimensions exchanged, and the elements conjugated."""
    return build.conj_of(_of_matrices("adjoint()", input))


# Repeated without copies


@function(method=True, free=False)
def expand(input: Node, *size: Sizes, implicit: bool = False) -> Node:
    """Dimensions of size 1 repeated; -1 keeps a size; leading ones are added."""
    return expanded(input, required("expand", "size", size))


def expanded(input: Node, wanted: tuple[Size, ...]) -> Node:
    """The tensor repeated to a shape; raises ShapeError, in PyTorch's words."""
    lead = len(wanted) - len(input.shape)
    if lead < 0:
        raise ShapeError(
            f"expand({type_text(input.tensor.dtype)}{{{list_text(input.shape)}}}, size={list_text(wanted)}): "
            f"the number of sizes provided ({len(wanted)}) must be greater or equal to the number of dimensions in the "
            f"tensor ({len(input.shape)})",
            hint="give a size for every dimension",
        )
    shape: list[Size] = []
    for axis, size in enumerate(wanted):
        own = input.shape[axis - lead] if axis >= lead else 1
        if size == -1 and axis < lead:
            raise ShapeError(
                f"The expanded size of the tensor (-1) isn't allowed in a leading, non-existing dimension {axis}",
                hint="say the size",
            )
        if size == -1:
            shape.append(own)
            continue
        is_negative = isinstance(size, int) and size < 0
        if is_negative or (own not in (1, size)):
            raise ShapeError(
                f"The expanded size of the tensor ({size}) must match the existing size ({own}) at non-singleton "
                f"dimension {axis}.  Target sizes: {list_text(wanted)}.  Tensor sizes: {list_text(input.shape)}",
                hint="only sizes of 1 are repeated",
            )
        shape.append(size)
    return build.broadcast_to(input, tuple(shape))


@function(method=True, free=False)
def expand_as(input: Node, other: Node) -> Node:
    """Repeated to the shape of another tensor."""
    return expanded(input, other.shape)


@function(method=True)
def broadcast_to(input: Node, *size: Sizes) -> Node:
    """Repeated to a shape."""
    return expanded(input, required("broadcast_to", "size", size))


@function()
def broadcast_tensors(*tensors: Node | Sequence[Node]) -> tuple[Node, ...]:
    """The tensors, each repeated to their common shape."""
    given = listed(tensors)
    if not given:
        return ()
    shape = broadcast_shape("broadcast_tensors", *(x.shape for x in given))
    return tuple(build.broadcast_to(x, shape) for x in given)


def listed(tensors: tuple[Node | Sequence[Node], ...]) -> tuple[Node, ...]:
    """Tensors given one by one or as one sequence."""
    if len(tensors) == 1 and not isinstance(tensors[0], Node):
        return tuple(tensors[0])
    return tuple(each for each in tensors if isinstance(each, Node))


# Joined


def check_tensors(name: str, tensors: object, argument: str = "tensors") -> tuple[Node, ...]:
    """A sequence of tensors; raises SignatureError, in PyTorch's words, for anything else."""
    if not isinstance(tensors, list | tuple):
        found = "Tensor" if isinstance(tensors, Node) else type(tensors).__name__
        raise SignatureError(
            f"{name}(): argument '{argument}' (position 1) must be tuple of Tensors, not {found}",
            hint="pass a list or tuple of tensors",
        )
    for position, x in enumerate(tensors):
        if not isinstance(x, Node):
            raise SignatureError(
                f"expected Tensor as element {position} in argument 0, but got {type(x).__name__}",
                hint="make a tensor of it",
            )
    return tuple(tensors)


@function(names=("concat", "concatenate"))
def cat(tensors: Sequence[Node], dim: int = 0) -> Node:
    """The tensors one after another along `dim`; their other sizes are equal. Vectors without elements fit anything."""
    given = check_tensors("cat", tensors)
    if not given:
        raise ArgumentError("torch.cat(): expected a non-empty list of Tensors", hint="give at least one")
    for position, x in enumerate(given):
        if not x.shape:
            raise ShapeError(
                f"zero-dimensional tensor (at position {position}) cannot be concatenated", hint="use stack"
            )
    common = result_dtype(*given)
    parts = [(position, x) for position, x in enumerate(given) if x.shape != (0,)]
    if not parts:
        return in_dtype("cat", given[0], common)
    first = parts[0][1]
    axis = normal_dim("cat", dim, len(first.shape))
    for position, x in parts:
        _check_joint(first, x, axis, position)
    nodes = [in_dtype("cat", x, common) for _, x in parts]
    return nodes[0] if len(nodes) == 1 else movement.concat(*nodes, axis=axis)


def _check_joint(first: Node, x: Node, axis: int, position: int) -> None:
    if len(x.shape) != len(first.shape):
        raise ShapeError(
            f"Tensors must have same number of dimensions: got {len(first.shape)} and {len(x.shape)}",
            hint="unsqueeze or reshape one of them",
        )
    for a, (size, own) in enumerate(zip(first.shape, x.shape, strict=True)):
        if a != axis and size != own and not can_be_equal(size, own):
            raise ShapeError(
                f"Sizes of tensors must match except in dimension {axis}. Expected size {size} but got size {own} for "
                f"tensor number {position} in the list.",
                hint="only the dimension along which they are joined may differ",
            )


@function()
def stack(tensors: Sequence[Node], dim: int = 0) -> Node:
    """The tensors, all of one shape, side by side along a new dimension."""
    given = check_tensors("stack", tensors)
    if not given:
        raise ArgumentError("stack expects a non-empty TensorList", hint="give at least one")
    axis = normal_dim("stack", dim, len(given[0].shape) + 1)
    for position, x in enumerate(given):
        if x.shape != given[0].shape:
            raise ShapeError(
                f"stack expects each tensor to be equal size, but got {list_text(given[0].shape)} at entry 0 and "
                f"{list_text(x.shape)} at entry {position}",
                hint="tensors of one shape are stacked; cat joins others",
            )
    common = result_dtype(*given)
    nodes = [build.insert_axes(in_dtype("stack", x, common), (axis,)) for x in given]
    return nodes[0] if len(nodes) == 1 else movement.concat(*nodes, axis=axis)


# Parts


def cut(x: Node, axis: int, start: Size, stop: Size, step: Size = 1) -> Node:
    """Elements start, start + step ... below stop along one axis."""
    rank = len(x.shape)
    return movement.slice_(
        x,
        start=tuple(start if a == axis else 0 for a in range(rank)),
        stop=tuple(stop if a == axis else size for a, size in enumerate(x.shape)),
        step=tuple(step if a == axis else 1 for a in range(rank)),
    )


@function(method=True, names=("narrow_copy",))
def narrow(input: Node, dim: int, start: Size | Node, length: Size) -> Node:
    """`length` elements along `dim` from `start` on, which may be computed: it is then moved so that they fit."""
    if not input.shape:
        raise ShapeError("narrow() cannot be applied to a 0-dim tensor.", hint="unsqueeze it first")
    axis = normal_dim("narrow", dim, len(input.shape))
    size = input.shape[axis]
    if isinstance(length, int) and length < 0:
        raise ArgumentError("narrow(): length must be non-negative.", hint="give 0 or more")
    if isinstance(start, Node):
        if start.shape or not start.tensor.dtype.is_integer:
            raise ArgumentError(
                "start must be an 0-dim integral Tensor.", hint="use a 0-d tensor of integers, or an int"
            )
        zero = build.zero(start.tensor.dtype)
        starts = [start if a == axis else zero for a in range(len(input.shape))]
        sizes = tuple(length if a == axis else s for a, s in enumerate(input.shape))
        return indexing.dynamic_slice(input, *starts, sizes=sizes)
    if isinstance(size, int) and isinstance(start, int) and not -size <= start <= size:
        raise DimensionError(
            f"start out of range (expected to be in range of [-{size}, {size}], but got {start})",
            hint="it counts from 0, or from -1 backwards",
        )
    first = start + size if isinstance(start, int) and start < 0 else start
    if isinstance(size, int) and isinstance(first, int) and isinstance(length, int) and first + length > size:
        raise ShapeError(
            f"start ({first}) + length ({length}) exceeds dimension size ({size}).", hint="give a smaller length"
        )
    return cut(input, axis, first, first + length)


@function(method=True, names=("select_copy",))
def select(input: Node, dim: int, index: int | Node) -> Node:
    """The part at one position along `dim`, which is dropped."""
    if not input.shape:
        raise DimensionError("select() cannot be applied to a 0-dim tensor.", hint="unsqueeze it first")
    axis = normal_dim("select", dim, len(input.shape))
    if isinstance(index, Node):
        takes("select", index.tensor, INTEGER, "the index")
        return indexing.gather(input, build.reshape_to(index, ()), axis=axis)
    return selected(input, axis, checked_position(input, axis, index))


def selected(input: Node, axis: int, place: Size) -> Node:
    """The part at a position from the front."""
    part = cut(input, axis, place, place + 1)
    return build.reshape_to(part, tuple(s for a, s in enumerate(input.shape) if a != axis))


def checked_position(input: Node, axis: int, index: int) -> Size:
    """A position from the front; raises IndexOutOfRange in the words of PyTorch's `select`."""
    size = input.shape[axis]
    if isinstance(size, int) and not -size <= index < size:
        raise IndexOutOfRange(
            f"select(): index {index} out of range for tensor of size {list_text(input.shape)} at dimension {axis}",
            hint="indices count from 0, or from -1 backwards",
        )
    return index + size if index < 0 else index


def known(name: str, size: Size) -> int:
    """A size that decides how many results there are, or which elements are meant; raises ShapeError for symbols."""
    if not isinstance(size, int):
        raise ShapeError(
            f"{name}: the result depends on the symbolic size {size}",
            hint="use narrow or slices with sizes that don't decide the number of results",
        )
    return size
