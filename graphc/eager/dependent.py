"""Functions whose result's shape, or whose result at all, depends on values: nonzero, unique, masked_select, equal.

In: tensors. Out: tensors that numpy computes, of as many elements as there turn out to be; or Python values. Where
there is a gradient, the function is composed of others that have one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from graphc.eager.dispatch import function_of
from graphc.eager.indexing import normal_axis, pick_elements
from graphc.eager.out import with_out
from graphc.eager.placement import gpu_of, on
from graphc.eager.tensor import AnyArray, Tensor, wrap
from graphc.eager.transfer import through_host
from graphc.eager.view import rename, view_function
from graphc.eager.watch import WATCHING, look, looking
from graphc.ir.dtype import dtype as to_dtype
from graphc.ir.errors import ArgumentError, DTypeError, ShapeError, SignatureError, UnsupportedDType


def nonzero(input: Tensor, *, as_tuple: bool = False) -> Tensor | tuple[Tensor, ...]:
    """The indices of the elements that aren't 0, one row for each; or a vector of them for each dimension."""
    array = input._array
    if as_tuple:
        return tuple(wrap(np.ascontiguousarray(each)) for each in np.atleast_1d(array).nonzero())
    if not array.ndim:
        return wrap(np.empty((int(bool(array)), 0), np.int64))
    return wrap(np.stack(array.nonzero()).T)  # one column after the other


def nonzero_static(input: Tensor, *, size: int, fill_value: int = -1) -> Tensor:
    """`nonzero` with a number of rows that is known: the first ones, or then rows of a fill value."""
    if size < 0:
        raise ArgumentError("nonzero_static: 'size' must be an non-negative integer")
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
        return through_host(nonzero)(condition, as_tuple=True)
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
    places = np.broadcast_to(mask._array, shape)
    if not shape:
        flat = view_function("reshape")(x, (1,))
        assert isinstance(flat, Tensor)
        return pick_elements(flat, {0: places.reshape(1).nonzero()[0]})
    result = pick_elements(x, dict(enumerate(places.nonzero())))
    if result._meta is not None and result._meta.node is not None:
        rename(result._meta.node, "MaskedSelectBackward0")
    return result


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
        counts = on(input._array, None)
        return wrap(on(np.repeat(np.arange(counts.size), _counts(counts)), gpu_of(input._array)))
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
    counts = on(repeats._array, None)
    if counts.ndim > 1:
        raise ArgumentError("repeats must be 0-dim or 1-dim tensor")
    if counts.size != 1 and counts.size != size:
        raise ArgumentError(
            "repeats must have the same size as input along dim, but got repeats.size(0) = "
            f"{counts.size} and input.size({dim}) = {size}"
        )
    number = _counts(np.broadcast_to(counts.reshape(-1), (size,)))
    chosen = np.repeat(np.arange(size), number)
    if output_size is not None and output_size != chosen.size:
        raise ArgumentError("allocated size does not match required size")
    found = function_of("index_select")(input, dim, wrap(on(chosen, gpu_of(input._array))))
    assert isinstance(found, Tensor)
    return found


def _counts(array: AnyArray) -> AnyArray:
    if array.dtype.kind not in "iu":
        raise UnsupportedDType(f"\"repeat_interleave_cpu\" not implemented for '{to_dtype(array.dtype).scalar}'")
    if array.size and array.min() < 0:
        raise ArgumentError("repeats can not be negative")
    return array


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
        keys: AnyArray = array.reshape(-1)
        order = _order(keys)
        shape: tuple[int, ...] = array.shape
        parts: AnyArray = keys
    else:
        axis = normal_axis(dim, array.ndim)
        parts = np.moveaxis(array, axis, 0) if array.ndim else array.reshape(1)
        if not array.size and 0 in parts.shape[1:] and parts.shape[0]:
            raise ArgumentError("There are 0 sized dimensions, and they aren't selected, so unique cannot be applied")
        keys = parts.reshape(parts.shape[0], -1) if parts.size else parts.reshape(parts.shape[0], 0)
        order = np.lexsort(keys.T[::-1]) if keys.shape[1] else np.arange(keys.shape[0])
        shape = (parts.shape[0],)
    firsts, numbers = _runs(keys[order])
    inverse = np.empty(order.size, np.int64)
    inverse[order] = numbers
    chosen = np.ascontiguousarray(parts[order][firsts])
    if dim is not None and array.ndim:
        chosen = np.moveaxis(chosen, 0, axis)
    counts = np.diff(np.append(firsts, order.size))
    return _answer(chosen, inverse.reshape(shape), counts, return_inverse, return_counts)


def unique_consecutive(
    input: Tensor, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Tensor | tuple[Tensor, ...]:
    """The elements, or the parts along `dim`, without those that repeat the one before them."""
    array = input._array
    axis = 0 if dim is None else normal_axis(dim, array.ndim)
    parts = array.reshape(-1) if dim is None else np.moveaxis(array, axis, 0)
    keys = parts if parts.ndim == 1 else parts.reshape(parts.shape[0], math.prod(parts.shape[1:]))
    firsts, numbers = _runs(keys)
    chosen = np.ascontiguousarray(parts[firsts])
    if dim is not None:
        chosen = np.moveaxis(chosen, 0, axis)
    shape = array.shape if dim is None else (parts.shape[0],)
    counts = np.diff(np.append(firsts, keys.shape[0]))
    return _answer(chosen, numbers.reshape(shape), counts, return_inverse, return_counts)


def _order(keys: AnyArray) -> AnyArray:
    return np.argsort(keys, kind="stable")


def _runs(keys: AnyArray) -> tuple[AnyArray, AnyArray]:
    """Where each run of equal elements or rows begins, and the number of the run of each; nan equals nothing."""
    if not len(keys):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    differs = keys[1:] != keys[:-1]
    if keys.ndim > 1:
        differs = differs.any(axis=1)
    begins = np.concatenate(([True], differs))
    return begins.nonzero()[0], np.cumsum(begins) - 1


def _answer(
    chosen: AnyArray, inverse: AnyArray, counts: AnyArray, return_inverse: bool, return_counts: bool
) -> Tensor | tuple[Tensor, ...]:
    found = [wrap(chosen)]
    if return_inverse:
        found.append(wrap(inverse))
    if return_counts:
        found.append(wrap(counts.astype(np.int64)))
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
        return wrap(np.zeros(minlength, np.int64))
    if array.ndim != 1 or array.min() < 0:
        raise ArgumentError("bincount only supports 1-d non-negative integral inputs.")
    if weights is None:
        return wrap(np.bincount(array.astype(np.int64), minlength=minlength).astype(np.int64))
    given = weights._array
    if given.shape != array.shape:
        raise ShapeError("weights should be 1-d and have the same length as input")
    result = np.zeros(max(minlength, int(array.max()) + 1), given.dtype if given.dtype == np.float32 else np.float64)
    np.add.at(result, array.astype(np.int64), given.astype(result.dtype))
    return wrap(result)


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
    gpu, array = gpu_of(tensor._array), on(tensor._array, None)
    if array.dtype != np.int64:
        raise DTypeError("one_hot is only applicable to index tensor of type LongTensor.")
    if not array.size:
        if num_classes <= 0:
            raise ArgumentError("Can not infer total number of classes from empty tensor.")
        return wrap(np.empty((*array.shape, num_classes), np.int64))
    if array.min() < 0:
        raise ArgumentError("Class values must be non-negative.")
    if num_classes == -1:
        num_classes = int(array.max()) + 1
    elif num_classes < 1:
        raise ArgumentError("num_classes should be positive")
    elif num_classes <= array.max():
        raise ArgumentError("Class values must be smaller than num_classes.")
    return wrap(on((array[..., None] == np.arange(num_classes)).astype(np.int64), gpu))


FUNCTIONS: dict[str, Callable[..., object]] = {
    "allclose": looking(allclose),
    "argwhere": through_host(looking(argwhere)),
    "bincount": through_host(looking(bincount)),
    "equal": looking(equal),
    "hash_tensor": with_out(through_host(looking(hash_tensor)), "hash_tensor"),
    "masked_select": with_out(through_host(looking(masked_select)), "masked_select"),
    "nonzero": with_out(through_host(looking(nonzero)), "nonzero"),
    "nonzero_static": with_out(through_host(looking(nonzero_static)), "nonzero_static"),
    "one_hot": one_hot,
    "repeat_interleave": repeat_interleave,
    "tensor_split": tensor_split,
    "unique": through_host(looking(unique)),
    "unique_consecutive": through_host(looking(unique_consecutive)),
    "where": where,
}
METHODS: dict[str, Callable[..., object]] = {
    name: function for name, function in FUNCTIONS.items() if name not in ("one_hot", "where")
}
