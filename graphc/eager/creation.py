"""Making tensors of given contents: `zeros`, `full`, `empty` and their kin.

In: sizes or a tensor to be like, and `dtype`, `device`, `layout`, `requires_grad`, `out`. Out: tensors with memory of
their own, filled by numpy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from graphc.eager.arguments import (
    allocate,
    check_place,
    check_sizes,
    created,
    deliver,
    dtype_of,
    dtype_with_out,
    number_of,
    sequence_of,
    sizes_of,
    strides_for,
    type_name,
)
from graphc.eager.geometry import as_strided
from graphc.eager.inplace import scalar_of
from graphc.eager.memory_format import preserve_format
from graphc.eager.placement import gpu_of, place_of
from graphc.eager.tensor import AnyArray, Tensor
from graphc.ir.dtype import DType, get_default_dtype
from graphc.ir.dtype import dtype as to_dtype
from graphc.ir.errors import ShapeError, SignatureError
from graphc.ops.composite.operand import number_dtype


def _factory(name: str, fill: int | None) -> Callable[..., Tensor]:
    """`zeros`, `ones` or `empty`."""

    def make(
        *args: Any,
        size: Any = None,
        out: Tensor | None = None,
        dtype: DType | None = None,
        layout: object = None,
        device: object = None,
        pin_memory: bool = False,
        requires_grad: bool = False,
    ) -> Tensor:
        shape = sizes_of(name, args if size is None else (size,))
        target = dtype_with_out(name, dtype, get_default_dtype(), out)
        place = check_place(name, layout, device, pin_memory, None if out is None else out._array)
        check_sizes(shape, target, name if name == "zeros" else "")
        array = allocate(shape, target, place=place)
        if fill is not None:
            array.fill(fill)
        return deliver(array, out, requires_grad, pin_memory=pin_memory)

    make.__name__ = make.__qualname__ = name
    make.__doc__ = f"A tensor of these sizes, {'uninitialised' if fill is None else f'{fill} everywhere'}."
    return make


zeros = _factory("zeros", 0)
ones = _factory("ones", 1)
_empty = _factory("empty", None)


def empty(
    *args: Any, size: Any = None, memory_format: object = None, dtype: DType | None = None, **options: Any
) -> Tensor:
    """A tensor of these sizes with whatever was in its memory."""
    found = _empty(*args, size=size, dtype=dtype, **options)
    if memory_format is not None:
        strides = strides_for(found._array.shape, found.dtype, memory_format)
        found._array = allocate(found._array.shape, found.dtype, strides, gpu_of(found._array))
    return found


def empty_strided(
    size: Any,
    stride: Any,
    *,
    dtype: DType | None = None,
    layout: object = None,
    device: object = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
) -> Tensor:
    """An uninitialised tensor with these distances, in elements, between neighbours."""
    shape = sequence_of("empty_strided", size)
    steps = sequence_of("empty_strided", stride, "stride", 2)
    target = dtype_of("empty_strided", dtype, get_default_dtype())
    place = check_place("empty_strided", layout, device, pin_memory)
    return created(strided_array(shape, steps, target, place), requires_grad, pin_memory=pin_memory)


def strided_array(shape: tuple[int, ...], steps: tuple[int, ...], dtype: DType, place: int | None = None) -> AnyArray:
    """Uninitialised memory just large enough for these sizes and strides."""
    if len(shape) != len(steps):
        raise ShapeError(f"dimensionality of sizes ({len(shape)}) must match dimensionality of strides ({len(steps)})")
    check_sizes(shape, dtype)
    if any(step < 0 for step in steps):
        raise ShapeError(f"Storage size calculation overflowed with sizes={list(shape)} and strides={list(steps)}")
    extent = 0 if 0 in shape else 1 + sum((size - 1) * step for size, step in zip(shape, steps))
    memory = allocate((extent,), dtype, place=place)
    return as_strided(memory, shape, [step * dtype.itemsize for step in steps])


def empty_permuted(size: Any, physical_layout: Any, **options: Any) -> Tensor:
    """An uninitialised dense tensor whose dimensions lie in memory in the order of `physical_layout`."""
    shape = sequence_of("empty_permuted", size)
    order = sequence_of("empty_permuted", physical_layout, "physical_layout", 2)
    if len(shape) != len(order):
        raise ShapeError(
            "Number of dimensions in size does not match the length of the physical_layout; i.e. len(size) = "
            f"{len(shape)} is not equal to len(physical_layout) = {len(order)}"
        )
    found = empty([shape[axis] for axis in order], **options)
    found._array = found._array.transpose(np.argsort(order))
    return found


def full(
    size: Any,
    fill_value: Any,
    *,
    out: Tensor | None = None,
    dtype: DType | None = None,
    layout: object = None,
    device: object = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
) -> Tensor:
    """One number everywhere; its dtype is the number's unless given."""
    shape = sequence_of("full", size)
    number = number_of("full", "fill_value", 2, fill_value)
    target = dtype_with_out("full", dtype, number_dtype(number), out)
    place = check_place("full", layout, device, pin_memory, None if out is None else out._array)
    check_sizes(shape, target)
    return deliver(
        _filled(allocate(shape, target, place=place), number, target), out, requires_grad, pin_memory=pin_memory
    )


def scalar_tensor(
    s: Any,
    *,
    dtype: DType | None = None,
    layout: object = None,
    device: object = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
) -> Tensor:
    """A tensor without dimensions that holds the number, in the default dtype unless given."""
    number = number_of("scalar_tensor", "s", 1, s)
    target = dtype_of("scalar_tensor", dtype, get_default_dtype())
    place = check_place("scalar_tensor", layout, device, pin_memory)
    return created(_filled(allocate((), target, place=place), number, target), requires_grad, pin_memory=pin_memory)


def _filled(array: AnyArray, number: complex, dtype: DType) -> AnyArray:
    array.fill(scalar_of(number, dtype)[()])
    return array


# In the shape of another tensor.


def _like(name: str, fill: int | None) -> Callable[..., Tensor]:
    def make(
        input: Tensor,
        *,
        dtype: DType | None = None,
        layout: object = None,
        device: object = None,
        pin_memory: bool = False,
        requires_grad: bool = False,
        memory_format: object = preserve_format,
    ) -> Tensor:
        array = like(name, input, dtype, layout, device, pin_memory, memory_format)
        if fill is not None:
            array.fill(fill)
        return created(array, requires_grad, pin_memory=pin_memory)

    make.__name__ = make.__qualname__ = name
    what = "uninitialised" if fill is None else f"{fill} everywhere"
    make.__doc__ = f"In the shape, dtype and memory order of a tensor, {what}."
    return make


def like(
    name: str,
    input: object,
    dtype: object = None,
    layout: object = None,
    device: object = None,
    pin_memory: object = False,
    memory_format: object = preserve_format,
) -> AnyArray:
    """Memory for a tensor like another one."""
    if not isinstance(input, Tensor):
        raise SignatureError(f"{name}(): argument 'input' (position 1) must be Tensor, not {type_name(input)}")
    target = dtype_of(name, dtype, input.dtype)
    place = check_place(name, layout, device, pin_memory, input._array)
    memory_format = preserve_format if memory_format is None else memory_format
    shape = input._array.shape
    return allocate(shape, target, strides_for(shape, target, memory_format, input._array), place)


zeros_like = _like("zeros_like", 0)
ones_like = _like("ones_like", 1)
empty_like = _like("empty_like", None)


def full_like(
    input: Tensor,
    fill_value: Any,
    *,
    dtype: DType | None = None,
    layout: object = None,
    device: object = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
    memory_format: object = preserve_format,
) -> Tensor:
    """One number everywhere, in the shape, dtype and memory order of a tensor."""
    array = like("full_like", input, dtype, layout, device, pin_memory, memory_format)
    number = number_of("full_like", "fill_value", 2, fill_value)
    return created(_filled(array, number, to_dtype(array.dtype)), requires_grad, pin_memory=pin_memory)


# In the dtype of another tensor.


def _new(name: str, fill: int | None) -> Callable[..., Tensor]:
    def make(
        self: Tensor,
        *args: Any,
        size: Any = None,
        dtype: DType | None = None,
        layout: object = None,
        device: object = None,
        pin_memory: bool = False,
        requires_grad: bool = False,
    ) -> Tensor:
        shape = sizes_of(name, args if size is None else (size,))
        target = dtype_of(name, dtype, self.dtype)
        place = check_place(name, layout, device, pin_memory, self._array)
        check_sizes(shape, target)
        array = allocate(shape, target, place=place)
        if fill is not None:
            array.fill(fill)
        return created(array, requires_grad, pin_memory=pin_memory)

    make.__name__ = make.__qualname__ = name
    make.__doc__ = f"Of these sizes in the dtype of this tensor, {'uninitialised' if fill is None else fill}."
    return make


def new_full(self: Tensor, size: Any, fill_value: Any, *, dtype: DType | None = None, **options: Any) -> Tensor:
    """One number everywhere, in the dtype of this tensor."""
    options["device"] = _device_like(self, options)
    return full(size, fill_value, dtype=dtype_of("new_full", dtype, self.dtype), **options)


def new_empty_strided(self: Tensor, size: Any, stride: Any, dtype: DType | None = None, **options: Any) -> Tensor:
    """An uninitialised tensor with these strides, in the dtype of this tensor."""
    options["device"] = _device_like(self, options)
    return empty_strided(size, stride, dtype=dtype_of("new_empty_strided", dtype, self.dtype), **options)


def _device_like(tensor: Tensor, options: dict[str, Any]) -> object:
    """The device that is asked for, or that of the tensor."""
    given = options.get("device")
    return place_of(tensor._array) if given is None else given


FUNCTIONS: dict[str, Callable[..., object]] = {
    "empty": empty,
    "empty_like": empty_like,
    "empty_permuted": empty_permuted,
    "empty_strided": empty_strided,
    "full": full,
    "full_like": full_like,
    "ones": ones,
    "ones_like": ones_like,
    "scalar_tensor": scalar_tensor,
    "zeros": zeros,
    "zeros_like": zeros_like,
}
METHODS: dict[str, Callable[..., object]] = {
    "new_empty": _new("new_empty", None),
    "new_empty_strided": new_empty_strided,
    "new_full": new_full,
    "new_ones": _new("new_ones", 1),
    "new_zeros": _new("new_zeros", 0),
}
