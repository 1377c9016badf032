"""max_unpool: what max_pool has taken put back where it was, zeros elsewhere, under PyTorch's names."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from graphc.ir.dim import Size, product
from graphc.ir.dtype import Kind, i64
from graphc.ir.errors import ArgumentError, DTypeError, ShapeError
from graphc.ir.graph import Node
from graphc.ops import along, build
from graphc.ops.composite.contraction import sizes_text
from graphc.ops.composite.indexing import within
from graphc.ops.composite.operand import refuse_kinds
from graphc.ops.composite.window_check import Ints, pool_numbers
from graphc.ops.control import with_gradient
from graphc.ops.function import function


def _output_size(
    input: Node,
    size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    wanted: Sequence[Size] | None,
) -> tuple[Size, ...]:
    """The spatial sizes that pooling with these windows may have started from."""
    rank = len(size)
    last = input.shape[len(input.shape) - rank :]
    found = tuple((n - 1) * step + k - 2 * p for n, step, k, p in zip(last, stride, size, padding, strict=True))
    if wanted is None:
        return found
    given = tuple(wanted)[2:] if len(wanted) == rank + 2 else tuple(wanted)
    if len(given) != rank:
        raise ArgumentError(
            f"output_size should be a sequence containing {rank} or {rank + 2} elements, but it has a length of "
            f"'{len(given)}'",
            hint="give the sizes that were pooled",
        )
    for axis, (n, middle, step) in enumerate(zip(given, found, stride, strict=True)):
        if isinstance(n, int) and isinstance(middle, int) and not middle - step < n < middle + step:
            raise ArgumentError(
                f'invalid output_size "{given}" (dim {axis} must be between {middle - step} and {middle + step})',
                hint="give the sizes that were pooled",
            )
    return given


def _max_unpool(rank: int) -> Callable[..., Node]:
    name = f"max_unpool{rank}d"

    def build_node(
        input: Node,
        indices: Node,
        kernel_size: Ints,
        stride: Ints | None = None,
        padding: Ints = 0,
        output_size: Sequence[Size] | None = None,
    ) -> Node:
        size = pool_numbers(name, "kernel_size", kernel_size, rank)
        steps = size if stride is None or stride == () else pool_numbers(name, "stride", stride, rank)
        edge = pool_numbers(name, "padding", padding, rank)
        shape = _output_size(input, size, steps, edge, output_size)
        _check(input, indices, rank)
        lead = input.shape[: len(input.shape) - rank]
        volume = product(shape)
        flat = (*lead, product(input.shape[len(lead) :]))
        target = "x".join(map(str, shape if rank > 1 else (*shape, 1)))
        place = within(indices, 0, volume, f"Found an invalid max index: {{}} (output volumes are of size {target})")
        empty = build.constant(0, input.tensor.dtype, (*lead, volume))
        where, axis = build.reshape_to(place, flat), len(lead)
        found = along.put_along(empty, where, build.reshape_to(input, flat), axis=axis, mode="set")

        def gradient(cts: tuple[Node, ...], results: tuple[Node, ...], operands: tuple[Node, ...]) -> tuple[Node]:
            # Also for an element whose place another one has taken, as in PyTorch.
            return (build.reshape_to(along.take_along(cts[0], where, axis=axis), input.shape),)

        found = with_gradient((found,), (input,), gradient)[0]
        return build.reshape_to(found, (*lead, *shape))

    build_node.__name__ = build_node.__qualname__ = name
    build_node.__doc__ = f"The elements at the positions that max_pool{rank}d gave with `return_indices`, else 0."
    return function(namespace="nn.functional")(build_node)


def _check(input: Node, indices: Node, rank: int) -> None:
    if indices.tensor.dtype is not i64:
        raise DTypeError(
            f"elements in indices should be type int64 but got: {indices.tensor.dtype.scalar}", hint="convert them"
        )
    shown = max(rank, 2)  # of one dimension PyTorch makes two
    if len(input.shape) not in (rank + 1, rank + 2):
        raise ShapeError(
            f"Input to max_unpooling{shown}d should be a {shown + 1}d or {shown + 2}d Tensor, but got a tensor with "
            f"{len(input.shape) + shown - rank} dimensions.",
            hint="it is [n, channels, ...], or that without n",
        )
    if indices.shape != input.shape:
        raise ShapeError(
            f"Expected shape of indices to be same as that of the input tensor ({_shown(input, rank)}) but got indices "
            f"tensor with shape: {_shown(indices, rank)}",
            hint="give the indices that came with the input",
        )
    for axis in range(len(input.shape) - rank - 1, len(input.shape)):
        if input.shape[axis] == 0:
            raise ShapeError(
                f"max_unpooling{shown}d_forward_out_cpu(): Expected input to have non-zero size for non-batch "
                f"dimensions, but got {sizes_text(input.shape)} with dimension {axis} being empty.",
                hint="only the batch may be empty",
            )
    refuse_kinds(f"max_unpool{shown}d", input, Kind.BOOL, Kind.INT, Kind.COMPLEX)


def _shown(x: Node, rank: int) -> str:
    return sizes_text(x.shape if rank > 1 else (*x.shape, 1))


max_unpool1d, max_unpool2d, max_unpool3d = (_max_unpool(rank) for rank in (1, 2, 3))
