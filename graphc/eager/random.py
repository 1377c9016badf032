"""Random tensors: `rand`, `randn`, `randint`, `randperm` and their kin, from generators with a state.

In: sizes, dtypes, a generator (or PyTorch's default one), or an explicit `key` as in compiled code. Out: tensors. The
numbers are those that the table's samplers give for the generator's keys.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from graphc.eager.arguments import (
    check_place,
    check_sizes,
    created,
    deliver,
    dtype_of,
    dtype_with_out,
    integer_of,
    invalid_combination,
    sequence_of,
    sizes_of,
    strides_for,
    type_name,
)
from graphc.eager.data import cast
from graphc.eager.memory import new_array
from graphc.eager.memory_format import preserve_format
from graphc.eager.placement import copy_into, gpu_of, place_of
from graphc.eager.sampling import call, integers, key_of, normal, refuse, uniform
from graphc.eager.tensor import AnyArray, Tensor
from graphc.eager.watch import WATCHING, copied
from graphc.ir.dtype import DType, Kind, bf16, bool_, f16, f32, f64, get_default_dtype, i64
from graphc.ir.errors import ArgumentError, DTypeError, SignatureError, UnsupportedDType
from graphc.ops.composite.operand import c_name

MANTISSA: Final = {f16: 11, bf16: 8, f32: 24, f64: 53}
"""Up to this power of two a dtype holds all integers."""


def _of_sizes(name: str, sampler: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """`rand` or `randn`."""

    def make(
        *args: Any,
        size: Any = None,
        generator: object = None,
        out: Tensor | None = None,
        dtype: DType | None = None,
        layout: object = None,
        device: object = None,
        pin_memory: bool = False,
        requires_grad: bool = False,
        key: object = None,
    ) -> Tensor:
        shape = sizes_of(name, args if size is None else (size,))
        target = dtype_with_out(name, dtype, get_default_dtype(), out)
        place = check_place(name, layout, device, pin_memory, None if out is None else out._array)
        return deliver(
            sampler(shape, target, key_of(name, generator, key, place))._array,
            out,
            requires_grad,
            pin_memory=pin_memory,
        )

    make.__name__ = make.__qualname__ = name
    make.__doc__ = "Random numbers from 0 to before 1." if name == "rand" else "Normal numbers of mean 0, variance 1."
    return make


def _of_tensor(name: str, sampler: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """`rand_like` or `randn_like`."""

    def make(
        input: Tensor,
        *,
        generator: object = None,
        dtype: DType | None = None,
        layout: object = None,
        device: object = None,
        pin_memory: bool = False,
        requires_grad: bool = False,
        memory_format: object = preserve_format,
        key: object = None,
    ) -> Tensor:
        target = _dtype_like(name, input, dtype)
        place = check_place(name, layout, device, pin_memory, input._array)
        values = sampler(input._array.shape, target, key_of(name, generator, key, place))
        return created(_laid_out(values._array, target, memory_format, input), requires_grad, pin_memory=pin_memory)

    make.__name__ = make.__qualname__ = name
    make.__doc__ = f"`{name.removesuffix('_like')}` in the shape and dtype of a tensor."
    return make


def _dtype_like(name: str, input: object, dtype: object) -> DType:
    if not isinstance(input, Tensor):
        raise SignatureError(f"{name}(): argument 'input' (position 1) must be Tensor, not {type_name(input)}")
    return dtype_of(name, dtype, input.dtype)


def _laid_out(values: AnyArray, dtype: DType, memory_format: object, like: Tensor) -> AnyArray:
    """The values in the memory order that a tensor has, or that is asked for."""
    order = preserve_format if memory_format is None else memory_format
    strides = strides_for(values.shape, dtype, order, like._array)
    if strides is None:
        return values
    result = new_array(values.shape, values.dtype, strides, gpu_of(values))
    copy_into(result, values)
    if WATCHING:
        copied(result, values)
    return result


def check_range(low: int, high: int, dtype: DType) -> None:
    """Refuse a range without numbers, or with numbers that the dtype doesn't hold."""
    if not low < high:
        raise ArgumentError(f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}")
    if dtype.kind <= Kind.INT:
        least, greatest = (0, 1) if dtype is bool_ else bounds_of(dtype)
        for name, number in (("from", low), ("to - 1", high - 1)):
            if not least <= number <= greatest:
                raise ArgumentError(f"{name} is out of bounds for {c_name(dtype)}", hint="the dtype can't hold it")
    elif dtype.is_complex:
        refuse("random_from_to_range_calc", dtype)


def bounds_of(dtype: DType) -> tuple[int, int]:
    """The least and the greatest integer of a dtype."""
    return (-(1 << (dtype.bits - 1)), (1 << (dtype.bits - 1)) - 1) if dtype.signed else (0, (1 << dtype.bits) - 1)


def randint(
    *args: Any,
    low: Any = None,
    high: Any = None,
    size: Any = None,
    generator: object = None,
    out: Tensor | None = None,
    dtype: DType | None = None,
    layout: object = None,
    device: object = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
    key: object = None,
) -> Tensor:
    """Integers from `low` (0 unless given) to before `high`: `randint(high, size)`, `randint(low, high, size)`."""
    given = list(args)
    if size is None and given and isinstance(given[-1], tuple | list):
        size = given.pop()
    numbers = [] if low is None else [low]
    numbers += given if high is None else [*given, high]
    if size is None or not 1 <= len(numbers) <= 2 or not all(_is_int(each) for each in numbers):
        raise invalid_combination("randint", args, {}, _FORMS)
    first, last = (0, int(numbers[0])) if len(numbers) == 1 else (int(numbers[0]), int(numbers[1]))
    shape = sequence_of("randint", size, "size", len(args) or 1)
    target = dtype_with_out("randint", dtype, i64, out)
    place = check_place("randint", layout, device, pin_memory, None if out is None else out._array)
    check_range(first, last, target)
    array = integers(first, last, shape, key_of("randint", generator, key, place))
    return deliver(cast(array, target), out, requires_grad, pin_memory=pin_memory)


_OPTIONS = (
    "Tensor out = None, torch.dtype dtype = None, torch.layout layout = None, torch.device device = None, "
    "bool pin_memory = False, bool requires_grad = False)"
)
_FORMS = tuple(
    f"({numbers}, tuple of ints size, *, {generator}{_OPTIONS}"
    for numbers in ("int high", "int low, int high")
    for generator in ("torch.Generator generator, ", "")
)


def _is_int(value: object) -> bool:
    return isinstance(value, int | np.integer) or (
        isinstance(value, Tensor) and not value._array.ndim and value._array.dtype.kind in "iu"
    )


def randint_like(
    input: Tensor,
    *args: Any,
    low: Any = None,
    high: Any = None,
    dtype: DType | None = None,
    memory_format: object = preserve_format,
    **options: Any,
) -> Tensor:
    """`randint` in the shape and dtype of a tensor: `randint_like(x, high)`, `randint_like(x, low, high)`."""
    target = _dtype_like("randint_like", input, dtype)
    numbers = [*([] if low is None else [low]), *args, *([] if high is None else [high])]
    if options.get("device") is None:
        options["device"] = place_of(input._array)
    result = randint(*numbers, input._array.shape, dtype=target, **options)
    result._array = _laid_out(result._array, target, memory_format, input)
    return result


def randperm(
    n: int,
    *,
    generator: object = None,
    out: Tensor | None = None,
    dtype: DType | None = None,
    layout: object = None,
    device: object = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
    key: object = None,
) -> Tensor:
    """The integers from 0 to before n in a random order."""
    count = integer_of("randperm", "n", 1, n)
    target = dtype_with_out("randperm", dtype, i64, out)
    place = check_place("randperm", layout, device, pin_memory, None if out is None else out._array)
    check_sizes((count,), i64)
    if target is bool_ or target.is_complex:
        raise UnsupportedDType(f"\"randperm\" not implemented for '{target.scalar}'")
    if target.is_floating_point and count > (1 << MANTISSA[target]) + 1:
        raise ArgumentError(
            f"n cannot be greater than {(1 << MANTISSA[target]) + 1} for {target.scalar} type.",
            hint="a wider dtype can",
        )
    if target.is_integer and count - 1 > bounds_of(target)[1]:
        raise DTypeError(f"value cannot be converted to type {_C_TYPES.get(target.name, target.name)} without overflow")
    order = call("randperm", count, key=key_of("randperm", generator, key, place))
    return deliver(cast(order._array, target), out, requires_grad, pin_memory=pin_memory)


_C_TYPES = {"uint8": "uint8_t", "int8": "int8_t", "int16": "int16_t", "int32": "int", "int64": "int64_t"}

FUNCTIONS: dict[str, Callable[..., object]] = {
    "rand": _of_sizes("rand", uniform),
    "rand_like": _of_tensor("rand_like", uniform),
    "randint": randint,
    "randint_like": randint_like,
    "randn": _of_sizes("randn", normal),
    "randn_like": _of_tensor("randn_like", normal),
    "randperm": randperm,
}
