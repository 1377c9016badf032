"""What the random functions have in common: keys drawn from a generator, and numbers of the table's samplers.

In: shapes, dtypes, generators. Out: tensors without history. Each call draws one key; distributions that need several
streams draw one for each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from graphc.eager.arguments import check_sizes, type_name
from graphc.eager.dispatch import function_of
from graphc.eager.generator import Generator, generator_of
from graphc.eager.mode import unrecorded
from graphc.eager.placement import empty, gpu_of, on
from graphc.eager.tensor import AnyArray, Tensor, wrap, wrap_constant
from graphc.eager.watch import WATCHING, watcher
from graphc.ir.dtype import DType, i64, real_of
from graphc.ir.errors import ArgumentError, SignatureError, UnsupportedDType


def key_of(
    function: str, generator: object, key: object = None, place: int | None = None, gpu: int | None = None
) -> Tensor:
    """The key of a draw as a tensor: the one given, or the next of the generator. The numbers are made where it is.

    Of a function that makes them elsewhere, `gpu` tells whose generator is meant.
    """
    owner = gpu if place is None else place
    if key is not None:
        if isinstance(key, Tensor):
            return key if place is None else wrap(on(key._array, place))
        if isinstance(key, int | np.integer) and not isinstance(key, bool):
            return wrap_constant(on(np.array(int(key) % 2**64, np.uint64), place))
        raise SignatureError(f"{function}(): argument 'key' must be int, not {type_name(key)}")
    if generator is None:
        return _drawn(generator_of(owner), place)
    if not isinstance(generator, Generator):
        raise SignatureError(f"{function}(): argument 'generator' must be torch.Generator, not {type_name(generator)}")
    wanted = "cpu" if owner is None else "cuda"
    if generator.device.type != wanted:
        raise ArgumentError(
            f"Expected a '{wanted}' device type for generator but found '{generator.device.type}'",
            hint="make it by torch.Generator(device=...)",
        )
    return _drawn(generator, place)


def _drawn(generator: Generator, place: int | None) -> Tensor:
    array = generator.captured_key()
    if array is None:
        array = on(np.array(generator.next_key(), np.uint64), place)
    found = watcher() if WATCHING else None
    if found is not None:
        found.drawn(array, generator)
    return wrap(array)


def refuse(kernel: str, dtype: DType) -> None:
    """Raise, in PyTorch's words, for a dtype that a sampler has no numbers of."""
    raise UnsupportedDType(f"\"{kernel}\" not implemented for '{dtype.scalar}'", hint="use a floating-point dtype")


def uniform(shape: Sequence[int], dtype: DType, key: Tensor) -> Tensor:
    """Numbers from 0 to before 1."""
    if dtype.is_complex:
        return _complex(uniform, shape, dtype, key)
    if not dtype.is_floating_point or dtype.is_storage_only:
        refuse("check_uniform_bounds", dtype)
    return _sampled("rand", shape, dtype, key)


def normal(shape: Sequence[int], dtype: DType, key: Tensor) -> Tensor:
    """Normal numbers of mean 0 and variance 1; complex ones have it halved between their parts."""
    if dtype.is_complex:
        return _complex(normal, shape, dtype, key) * 0.5**0.5  # type: ignore[no-any-return]  # a table method
    if not dtype.is_floating_point or dtype.is_storage_only:
        refuse("normal_kernel_cpu", dtype)
    return _sampled("randn", shape, dtype, key)


def _complex(
    sampler: Callable[[Sequence[int], DType, Tensor], Tensor], shape: Sequence[int], dtype: DType, key: Tensor
) -> Tensor:
    """Both parts from one stream: the even numbers are real, the odd ones imaginary."""
    parts = sampler((*shape, 2), real_of(dtype), key)
    return call("complex", *(call("select", parts, -1, part) for part in (0, 1)))


def _sampled(name: str, shape: Sequence[int], dtype: DType, key: Tensor) -> Tensor:
    check_sizes(shape, dtype)
    # Sizes of a tensor, which nobody reads, may change without new code.
    like = empty(shape, dtype.numpy, gpu_of(key._array))
    return call(f"{name}_like", wrap_constant(like), key=key)


def call(name: str, *args: Any, **kwargs: Any) -> Tensor:
    """The one tensor that a table function gives; nothing is recorded."""
    found = unrecorded(lambda: function_of(name)(*args, **kwargs))
    assert isinstance(found, Tensor)
    return found


def integers(low: int, high: int, shape: Sequence[int], key: Tensor) -> AnyArray:
    """Integers from low to before high."""
    check_sizes(shape, i64)
    return call("randint", low, high, tuple(shape), key=key)._array
