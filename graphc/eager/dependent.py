"""Functions whose result's shape, or whose result at all, depends on values: nonzero, unique, masked_select, equal.

In: tensors. Out: tensors that numpy computes, of as many elements as there turn out to be; or Python values. Where
there is a gradient, the function is composed of others that have one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from graphc.eager import choosing
from graphc.eager.data import cast
from graphc.eager.dispatch import function_of
from graphc.eager.distinct import MOST_COLUMNS, Runs, consecutive, sorted_runs
from graphc.eager.indexing import normal_axis, pick_elements
from graphc.eager.mode import no_grad
from graphc.eager.out import with_out
from graphc.eager.placement import contiguous, empty, gpu_of, on, refuse_mixed
from graphc.eager.question import holds, is_none_negative
from graphc.eager.tensor import AnyArray, Tensor, wrap
from graphc.eager.transfer import through_host
from graphc.eager.view import rename, view_function
from graphc.eager.watch import WATCHING, look, looking
from graphc.ir.dtype import dtype as to_dtype
from graphc.ir.dtype import f32, f64, i64
from graphc.ir.errors import ArgumentError, DTypeError, ShapeError, SignatureError, UnsupportedDType


def nonzero(input: Tensor, *, as_tuple: bool = False) -> Tensor | tuple[Tensor, ...]:
    """The indices of the elements that aren't 0, one row for each; or a vector of them for each dimension."""
    array = input._array
    if type(array) is not np.ndarray:
        if as_tuple:
            return tuple(wrap(each) for each in choosing.places(array if array.ndim else array.reshape(1)))
        if not array.ndim:
            return wrap(empty((int(bool(array)), 0), np.dtype(np.int64), gpu_of(array)))
        return wrap(choosing.place_table(array).T)
    if as_tuple:
        return tuple(wrap(np.ascontiguousarray(each)) for each in np.atleast_1d(array).nonzero())
    if not array.ndim:
        return wrap(np.empty((int(bool(array)), 0), np.int64))
    return wrap(np.stack(array.nonzero()).T)  # one column after the other


def nonzero_static(input: Tensor, *, size: int, fill_value: int = -1) -> Tensor:
    """`nonzero` with a number of rows that is known: the first ones, or then rows of a fill value."""
    if size < 0:
        raise ArgumentError("nonzero_static: 'size' must be an non-negative integer")
    if type(input._array) is not np.ndarray:
        return wrap(choosing.first_places(input._array, size, fill_value))
    rows = np.full((size, input._array.ndim), fill_value, np.int64)
    found = np.argwhere(input._array)[:size]
    rows[: len(found)] = found
    return wrap(rows)


def argwhere(input: Tensor) -> Tensor:
    """The indices of the elements that aren't 0, one row for each."""
    found = nonzero(input)
    assert isinstance(found, Tensor)
    return found


def where(condition: Tensor, input: object = None, other: object = None, **named: object) -> object:
    """`input` where the condition holds, else `other`; of the condition alone, the indices where it holds."""
    if input is None and other is None and not named:
        return nonzero(condition, as_tuple=True)
    return function_of("where")(condition, *(each for each in (input, other) if each is not None), **named)


def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """The elements where a mask holds, in a row; both are broadcast."""
    if mask._array.dtype != np.bool_:
        raise DTypeError("masked_select: expected BoolTensor for mask")
    expand = view_function("expand")
    try:
        shape = np.broadcast_shapes(input._array.shape, mask._array.shape)
    except ValueError:
        raise _mismatch(mask._array.shape, input._array.shape) from None
    x = expand(input, shape) if shape != input._array.shape else input
    assert isinstance(x, Tensor)
    refuse_mixed("masked_select", (input, mask))
    chosen = np.broadcast_to(mask._array, shape, subok=True)
    if not shape:
        flat = view_function("reshape")(x, (1,))
        assert isinstance(flat, Tensor)
        return pick_elements(flat, dict(enumerate(_places(chosen.reshape(1)))), is_sure=True)
    result = pick_elements(x, dict(enumerate(_places(chosen))), is_sure=True)
    if result._meta is not None and result._meta.node is not None:
        rename(result._meta.node, "MaskedSelectBackward0")
    return result


def _places(mask: AnyArray) -> Sequence[AnyArray]:
    return mask.nonzero() if type(mask) is np.ndarray else choosing.places(mask)


def _mismatch(first: Sequence[int], second: Sequence[int]) -> ShapeError:
    rank = max(len(first), len(second))
    for axis in range(1, rank + 1):
        a, b = (shape[-axis] if axis <= len(shape) else 1 for shape in (first, second))
        if a != b and 1 not in (a, b):
            return ShapeError(
                f"The size of tensor a ({a}) must match the size of tensor b ({b}) at non-singleton dimension "
                f"{rank - axis}"
            )
    raise AssertionError("the shapes fit each other")


def repeat_interleave(
    input: Tensor, repeats: Tensor | int | None = None, dim: int | None = None, *, output_size: int | None = None
) -> Tensor:
    """Each part along `dim` so many times; of counts alone, the number of each as many times as it says."""
    if WATCHING and (repeats is None or isinstance(repeats, Tensor)):
        look(input if repeats is None else repeats, "repeat_interleave()")
    if repeats is None:
        if input._array.ndim != 1:
            raise ArgumentError("repeat_interleave only accept 1D vector as repeat")
        return wrap(_repeated(input._array, input._array.size))
    if not isinstance(repeats, Tensor):
        plain = function_of("repeat_interleave")(input, repeats, dim, output_size=output_size)
        assert isinstance(plain, Tensor)
        if plain._meta is not None and plain._meta.node is not None:
            rename(plain._meta.node, "ViewBackward0")
        return plain
    if dim is None:
        flat = view_function("flatten")(input)
        assert isinstance(flat, Tensor)
        input, dim = flat, 0
    size = input._array.shape[normal_axis(dim, input._array.ndim)] if input._array.ndim else 1
    refuse_mixed("repeat_interleave", (input, repeats))
    counts = repeats._array
    if counts.ndim > 1:
        raise ArgumentError("repeats must be 0-dim or 1-dim tensor")
    if counts.size != 1 and counts.size != size:
        raise ArgumentError(
            "repeats must have the same size as input along dim, but got repeats.size(0) = "
            f"{counts.size} and input.size({dim}) = {size}"
        )
    chosen = _repeated(counts.reshape(-1), size)
    if output_size is not None and output_size != chosen.size:
        raise ArgumentError("allocated size does not match required size")
    found = function_of("index_select")(input, dim, wrap(chosen))
    assert isinstance(found, Tensor)
    return found


def _repeated(counts: AnyArray, size: int) -> AnyArray:
    """Each number below `size` as many times as the counts say; a single count is that of all."""
    if counts.dtype.kind not in "iu":
        raise UnsupportedDType(f"\"repeat_interleave_cpu\" not implemented for '{to_dtype(counts.dtype).scalar}'")
    if type(counts) is np.ndarray:
        if counts.size and counts.min() < 0:
            raise ArgumentError("repeats can not be negative")
        return np.repeat(np.arange(size), np.broadcast_to(counts, (size,)))
    if not holds(is_none_negative, wrap(counts)):
        raise ArgumentError("repeats can not be negative")
    running = function_of("cumsum")(wrap(contiguous(np.broadcast_to(counts, (size,), subok=True))), 0, dtype=i64)
    assert isinstance(running, Tensor)
    return choosing.repeated(running._array, choosing.end_of(running._array))


# Distinct values


def unique(
    input: Tensor,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Tensor | tuple[Tensor, ...]:
    """The distinct elements, or parts along `dim`, sorted; the number of each in the tensor; how many there are."""
    array = input._array
    if array.dtype.kind == "c":
        raise UnsupportedDType(f"\"unique\" not implemented for '{input.dtype.scalar}'")
    if dim is None:
        return _answer(_runs(array.reshape(-1), True), array.shape, return_inverse, return_counts)
    axis = normal_axis(dim, array.ndim)
    parts = np.moveaxis(array, axis, 0) if array.ndim else array.reshape(1)
    if not array.size and 0 in parts.shape[1:] and parts.shape[0]:
        raise ArgumentError("There are 0 sized dimensions, and they aren't selected, so unique cannot be applied")
    runs = _runs(parts.reshape(parts.shape[0], math.prod(parts.shape[1:])), True)
    chosen = runs.chosen.reshape(len(runs.chosen), *parts.shape[1:])
    runs = runs._replace(chosen=np.moveaxis(chosen, 0, axis) if array.ndim else chosen)
    return _answer(runs, parts.shape[:1], return_inverse, return_counts)


def unique_consecutive(
    input: Tensor, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Tensor | tuple[Tensor, ...]:
    """The elements, or the parts along `dim`, without those that repeat the one before them."""
    array = input._array
    if dim is None:
        return _answer(_runs(array.reshape(-1), False), array.shape, return_inverse, return_counts)
    axis = normal_axis(dim, array.ndim)
    parts = np.moveaxis(array, axis, 0)
    runs = _runs(parts.reshape(parts.shape[0], math.prod(parts.shape[1:])), False)
    chosen = runs.chosen.reshape(len(runs.chosen), *parts.shape[1:])
    return _answer(runs._replace(chosen=np.moveaxis(chosen, 0, axis)), parts.shape[:1], return_inverse, return_counts)


def _runs(keys: AnyArray, is_sorted: bool) -> Runs:
    """The runs of equal elements of a vector, or rows of a matrix, as they stand or sorted; nan equals nothing."""
    gpu = gpu_of(keys)
    if gpu is not None and keys.size and (keys.ndim == 1 or not is_sorted or keys.shape[1] <= MOST_COLUMNS):
        return sorted_runs(keys) if is_sorted else consecutive(keys)
    array = on(keys, None)
    order = np.arange(len(array))
    if is_sorted:
        if array.ndim == 1:
            order = np.argsort(array, kind="stable")
        elif array.shape[1]:
            order = np.lexsort(array.T[::-1])
        array = array[order]
    differs = array[1:] != array[:-1]
    begins = np.concatenate(([True] * min(1, len(array)), differs.any(axis=1) if array.ndim > 1 else differs))
    firsts = begins.nonzero()[0]
    numbers = np.empty(order.size, np.int64)
    numbers[order] = np.cumsum(begins) - 1
    counts = np.diff(np.append(firsts, order.size)).astype(np.int64)
    return Runs(*(on(each, gpu) for each in (np.ascontiguousarray(array[firsts]), numbers, counts)))


def _answer(runs: Runs, shape: Sequence[int], return_inverse: bool, return_counts: bool) -> Tensor | tuple[Tensor, ...]:
    found = [wrap(runs.chosen)]
    if return_inverse:
        found.append(wrap(runs.numbers.reshape(shape)))
    if return_counts:
        found.append(wrap(runs.counts))
    return found[0] if len(found) == 1 else tuple(found)


# Counting and choosing


def bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """How often each number from 0 on occurs in a vector, or the sum of the weights at its places."""
    array = input._array
    if array.dtype.kind not in "iu":
        kind = input.dtype.scalar
        raise UnsupportedDType(f"\"bincount_cpu\" not implemented for '{kind}'")
    if minlength < 0:
        raise ArgumentError("minlength should be >= 0")
    if array.ndim == 1 and not array.size:
        none = empty((minlength,), np.dtype(np.int64), gpu_of(array))
        none.fill(0)
        return wrap(none)
    if array.ndim != 1 or _extreme("amin", input) < 0:
        raise ArgumentError("bincount only supports 1-d non-negative integral inputs.")
    if type(array) is not np.ndarray:
        return _counted_on_gpu(input, weights, minlength)
    if weights is None:
        return wrap(np.bincount(array.astype(np.int64), minlength=minlength).astype(np.int64))
    given = weights._array
    if given.shape != array.shape:
        raise ShapeError("weights should be 1-d and have the same length as input")
    result = np.zeros(max(minlength, int(array.max()) + 1), given.dtype if given.dtype == np.float32 else np.float64)
    np.add.at(result, array.astype(np.int64), given.astype(result.dtype))
    return wrap(result)


def _extreme(name: str, x: Tensor) -> int:
    """The least or greatest of integers; waits for where they are."""
    if type(x._array) is np.ndarray:
        return int(x._array.min() if name == "amin" else x._array.max())
    found = function_of(name)(x)
    assert isinstance(found, Tensor)
    return int(found._array)


def _counted_on_gpu(input: Tensor, weights: Tensor | None, minlength: int) -> Tensor:
    """As `bincount`; weights of one number are added in their order, as the CPU does."""
    refuse_mixed("bincount", (input, weights))
    if weights is not None and weights._array.shape != input._array.shape:
        raise ShapeError("weights should be 1-d and have the same length as input")
    dtype = i64 if weights is None else weights.dtype if weights.dtype is f32 else f64
    if weights is None:
        added: AnyArray = empty(input._array.shape, dtype.numpy, gpu_of(input._array))
        added.fill(1)
    else:
        added = cast(weights._array, dtype)
    result = empty((max(minlength, _extreme("amax", input) + 1),), dtype.numpy, gpu_of(input._array))
    result.fill(0)
    with no_grad():
        found = function_of("scatter_add")(wrap(result), 0, wrap(cast(input._array, i64)), wrap(added))
    assert isinstance(found, Tensor)
    return found


def hash_tensor(input: Tensor, dim: int | Sequence[int] = (), *, keepdim: bool = False, mode: int = 0) -> Tensor:
    """The exclusive or of all elements, or along `dim`: the bits of floats as float64, of integers as int64."""
    if mode != 0:
        raise ArgumentError(f"Unknown hash_tensor mode: {mode}")
    if input.dtype.is_complex:
        raise UnsupportedDType(f"\"xor_sum_cpu\" not implemented for '{input.dtype.scalar}'")
    array = input._array
    axes = tuple(normal_axis(each, array.ndim) for each in ((dim,) if isinstance(dim, int) else dim))
    if not axes and not array.size:
        raise ArgumentError(
            "hash_tensor: Expected reduction dim to be specified for input.numel() == 0. Specify the reduction dim "
            "with the 'dim' argument."
        )
    bits = array.astype(np.float64 if input.dtype.is_floating_point else np.int64).view(np.uint64)
    within = axes if axes and array.ndim else tuple(range(array.ndim))
    kept: AnyArray = np.bitwise_xor.reduce(bits, axis=within, keepdims=True)
    return wrap(kept if keepdim else kept.reshape([n for axis, n in enumerate(kept.shape) if axis not in within]))


def tensor_split(input: Tensor, indices_or_sections: object = None, dim: int = 0, **named: object) -> object:
    """So many parts along `dim`, or cut at the places listed; both may be given as a tensor."""
    cuts = named.get("indices", named.get("sections", indices_or_sections))
    if isinstance(cuts, Tensor):
        if cuts._array.dtype != np.int64:
            raise DTypeError(
                "tensor_split expected tensor_indices_or_sections to be on cpu with a long dtype but got "
                f"{cuts.dtype.scalar}"
            )
        if cuts._array.ndim > 1:
            raise ShapeError(
                "tensor_split expected tensor_indices_or_sections to be a zero-dimensional or one-dimensional tensor, "
                f"but got a tensor with {cuts._array.ndim} dims"
            )
        cuts = cuts._array.tolist()
    return view_function("tensor_split")(input, cuts, dim)


# Python values


def equal(input: Tensor, other: Tensor) -> bool:
    """Whether both have the same shape and equal elements."""
    if not isinstance(other, Tensor):
        raise SignatureError(f"equal(): argument 'other' (position 2) must be Tensor, not {type(other).__name__}")
    if input._array.shape != other._array.shape:
        return False
    if gpu_of(input._array) is not None or gpu_of(other._array) is not None:
        return _holds(function_of("eq")(input, other))
    return bool((input._array == other._array).all())


def _holds(conditions: object) -> bool:
    """Whether all are true, wherever they are."""
    found = function_of("all")(conditions)
    assert isinstance(found, Tensor)
    return bool(found._array)


def allclose(input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> bool:
    """Whether all elements differ by at most atol + rtol * |other|."""
    close = function_of("isclose")(input, other, rtol=rtol, atol=atol, equal_nan=equal_nan)
    assert isinstance(close, Tensor)
    return _holds(close)


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """For each number a row of 0 with a 1 at its place; without the number of classes, as many as are needed."""
    if (WATCHING or gpu_of(tensor._array) is not None) and num_classes > 0:
        return function_of("one_hot")(tensor, num_classes)  # type: ignore[return-value]  # a tensor
    if WATCHING:
        look(tensor, "one_hot() without num_classes")
    array = tensor._array
    if array.dtype != np.int64:
        raise DTypeError("one_hot is only applicable to index tensor of type LongTensor.")
    if not array.size:
        if num_classes <= 0:
            raise ArgumentError("Can not infer total number of classes from empty tensor.")
        return wrap(empty((*array.shape, num_classes), np.dtype(np.int64), gpu_of(array)))
    if _extreme("amin", tensor) < 0:
        raise ArgumentError("Class values must be non-negative.")
    if num_classes == -1:
        num_classes = _extreme("amax", tensor) + 1
    elif num_classes < 1:
        raise ArgumentError("num_classes should be positive")
    elif num_classes <= _extreme("amax", tensor):
        raise ArgumentError("Class values must be smaller than num_classes.")
    if type(array) is not np.ndarray:
        return function_of("one_hot")(tensor, num_classes)  # type: ignore[return-value]  # a tensor
    return wrap((array[..., None] == np.arange(num_classes)).astype(np.int64))


FUNCTIONS: dict[str, Callable[..., object]] = {
    "allclose": looking(allclose),
    "argwhere": looking(argwhere),
    "bincount": looking(bincount),
    "equal": looking(equal),
    "hash_tensor": with_out(through_host(looking(hash_tensor)), "hash_tensor"),
    "masked_select": with_out(looking(masked_select), "masked_select"),
    "nonzero": with_out(looking(nonzero), "nonzero"),
    "nonzero_static": with_out(looking(nonzero_static), "nonzero_static"),
    "one_hot": one_hot,
    "repeat_interleave": repeat_interleave,
    "tensor_split": tensor_split,
    "unique": looking(unique),
    "unique_consecutive": looking(unique_consecutive),
    "where": where,
}
METHODS: dict[str, Callable[..., object]] = {
    name: function for name, function in FUNCTIONS.items() if name not in ("one_hot", "where")
}
