"""fractional_max_pool: windows that begin at random distances, so that sizes shrink by any factor (Graham 2014)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from graphc.ir.dim import Size, product
from graphc.ir.dtype import Kind, i64
from graphc.ir.errors import ArgumentError, ShapeError
from graphc.ir.graph import Node
from graphc.ops import along, build, creation, reduction
from graphc.ops import elementwise as ew
from graphc.ops.composite.arithmetic import add, mul
from graphc.ops.composite.convolution import batched, unbatched
from graphc.ops.composite.operand import refuse_kinds
from graphc.ops.composite.random import Key, uniform_bits
from graphc.ops.composite.shapes import cut
from graphc.ops.composite.window_check import Ints, pool_numbers
from graphc.ops.function import function


def _sizes(name: str, x: Node, rank: int, size: Ints | None, ratio: float | Sequence[float] | None) -> tuple[int, ...]:
    """How many windows there are in each dimension."""
    if size is None and ratio is None:
        raise ArgumentError(
            f"{name} requires specifying either an output_size or an output_ratio", hint="give one of them"
        )
    if size is not None:
        return pool_numbers(name, "output_size", size, rank)
    assert ratio is not None
    ratios = (float(ratio),) * rank if isinstance(ratio, int | float) else tuple(ratio)
    known = [n for n in x.shape[2:] if isinstance(n, int)]
    if len(ratios) != rank or len(known) != rank:
        raise ArgumentError(
            f"{name} requires output_ratio to either be a single Int or tuple of Ints.", hint=f"give one, or {rank}"
        )
    return tuple(int(n * r) for n, r in zip(known, ratios, strict=True))


def _starts(sample: Node, size: Size, count: int, window: int) -> Node:
    """Where the windows of each channel begin, `[n, channels, count]`; `sample` is `[n, channels]`, from 0 to 1."""
    shape = (*sample.shape, count)
    last = build.broadcast_to(build.size_of(size - window, i64), shape)
    if count == 1:
        return last
    span = build.cast_to(build.size_of(size - window, i64), sample.tensor.dtype)
    step = ew.div(span, build.full_like(span, count - 1))
    place = creation.iota(shape=shape, axis=2, dtype=i64)
    offset = build.insert_axes(sample, (2,))
    moved = mul(add(build.cast_to(place, sample.tensor.dtype), offset), step)
    begin = ew.sub(build.cast_to(moved, i64), build.broadcast_to(build.cast_to(mul(offset, step), i64), shape))
    return ew.select(ew.eq(place, build.full_like(place, count - 1)), last, begin)


def _fractional(rank: int) -> Callable[..., object]:
    name = f"fractional_max_pool{rank}d"

    def build_node(
        input: Node,
        kernel_size: Ints,
        output_size: Ints | None = None,
        output_ratio: float | Sequence[float] | None = None,
        return_indices: bool = False,
        _random_samples: Node | None = None,
        *,
        key: Key | None = None,
    ) -> Node | tuple[Node, Node]:
        x = batched(name, input, rank)
        refuse_kinds(f"{name}_out_frame", x, Kind.BOOL, Kind.INT, Kind.COMPLEX)
        window = pool_numbers(name, "kernel_size", kernel_size, rank)
        counts = _sizes(name, x, rank, output_size, output_ratio)
        for axis, (count, k) in enumerate(zip(counts, window, strict=True), start=2):
            size = x.shape[axis]
            if isinstance(size, int) and count + k - 1 > size:
                label = ("height", "width")[axis - 2] if rank == 2 else ("time", "height", "width")[axis - 2]
                raise ShapeError(
                    f"{name}(): pool {label} {k} too large relative to input {label} {size}", hint="use smaller windows"
                )
        samples = _random_samples
        if samples is None:
            samples = uniform_bits(name, (*x.shape[:2], rank), x.tensor.dtype, key)
        else:
            samples = _checked(name, samples, x, rank)
        flat = _positions(x, samples, window, counts)
        values = along.take_along(build.reshape_to(x, (*x.shape[:2], product(x.shape[2:]))), flat, axis=2)
        shape = (*x.shape[:2], product(counts), product(window))
        best = build.insert_axes(reduction.argmax(build.reshape_to(values, shape), axis=3), (3,))

        def chosen(each: Node) -> Node:
            taken = along.take_along(build.reshape_to(each, shape), best, axis=3)
            return unbatched(build.reshape_to(taken, (*x.shape[:2], *counts)), x, input)

        found, where = chosen(values), chosen(flat)
        return (found, where) if return_indices else found

    build_node.__name__ = build_node.__qualname__ = name
    build_node.__doc__ = "The greatest element of each window; windows of random distances, by a key or samples."
    return function(namespace="nn.functional")(build_node)


def _checked(name: str, samples: Node, x: Node, rank: int) -> Node:
    """Samples of one's own, `[n or more, channels, rank]`: those of the input's n."""
    hint = f"{name}: they are [n, channels, {rank}]"
    count, channels = x.shape[:2]
    if len(samples.shape) != 3:
        raise ShapeError(f"Expect _random_samples to have 3 dimensions, got {len(samples.shape)}", hint=hint)
    first, second, third = samples.shape
    if isinstance(first, int) and isinstance(count, int) and first < count:
        raise ShapeError("Expect _random_samples.size(0) no less then input batch size.", hint=hint)
    if second != channels:
        raise ShapeError("Expect _random_samples.size(1) equals to input channel size.", hint=hint)
    if third != rank:
        raise ShapeError(f"Expect _random_samples.size(2) equals to {rank}; got {third}.", hint=hint)
    return samples if first == count else cut(samples, 0, 0, count)


def _positions(x: Node, samples: Node, window: tuple[int, ...], counts: tuple[int, ...]) -> Node:
    """The row-major positions of all elements of all windows, `[n, channels, windows * elements]`."""
    rank = len(window)
    shape = (*x.shape[:2], *counts, *window)
    flat: Node | None = None
    for k in range(rank):
        # Images have the sample of their width first, volumes that of their depth.
        at = rank - 1 - k if rank == 2 else k
        sample = build.reshape_to(cut(samples, 2, at, at + 1), x.shape[:2])
        begin = _starts(sample, x.shape[2 + k], counts[k], window[k])
        others = tuple(axis for axis in range(2, len(shape)) if axis != 2 + k)
        offset = creation.iota(shape=shape, axis=2 + rank + k, dtype=i64)
        place = ew.add(build.repeat_along(begin, others, shape), offset)
        if flat is not None:
            flat = ew.mul(flat, build.broadcast_to(build.size_of(x.shape[2 + k], i64), shape))
        flat = place if flat is None else ew.add(flat, place)
    assert flat is not None
    return build.reshape_to(flat, (*x.shape[:2], product(counts) * product(window)))


fractional_max_pool2d, fractional_max_pool3d = (_fractional(rank) for rank in (2, 3))
