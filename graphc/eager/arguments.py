"""What the functions that make tensors take alike: sizes, `dtype`, `device`, `layout`, `requires_grad`, `out`.

In: arguments as the user wrote them. Out: tuples of ints, dtypes, finished tensors, or an error in PyTorch's words.

    sizes_of("zeros", (2, 3)), sizes_of("zeros", ([2, 3],))      # (2, 3), (2, 3)
"""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence

import numpy as np

from graphc.eager import pinning
from graphc.eager.device import device as Device
from graphc.eager.device import device_for, gpu_index
from graphc.eager.history import set_requires_grad
from graphc.eager.inplace import converted
from graphc.eager.memory import format_strides, new_array, preserved_strides, resize_to
from graphc.eager.memory_format import preserve_format, strided
from graphc.eager.placement import copy_into, gpu_of, on
from graphc.eager.record import see
from graphc.eager.tensor import AnyArray, Tensor, wrap_constant
from graphc.eager.watch import WATCHING, constant, overwritten
from graphc.ir.dtype import DType
from graphc.ir.dtype import dtype as to_dtype
from graphc.ir.errors import ArgumentError, DTypeError, MemoryExceeded, ShapeError, SignatureError, UnsupportedDType

_PYTHON = (bool, int, float, complex)
MAX_BYTES = (1 << 63) - 1


def type_name(value: object) -> str:
    """What PyTorch's messages call the type of a value."""
    kind = type(value)
    if isinstance(value, Tensor):
        return kind.__name__
    if isinstance(value, DType):
        return "torch.dtype"
    return f"numpy.{kind.__name__}" if kind.__module__ == "numpy" else kind.__name__


def dtype_of(function: str, value: object, default: DType) -> DType:
    """The dtype that `dtype=` says: one of ours, or Python's bool, int, float or complex."""
    if value is None:
        return default
    if isinstance(value, DType):
        return value
    if isinstance(value, type) and value in _PYTHON:
        return to_dtype(value)
    raise SignatureError(
        f"{function}(): argument 'dtype' must be torch.dtype, not {type_name(value)}", hint="such as torch.float32"
    )


def check_place(
    function: str, layout: object, device: object, pin_memory: object, like: AnyArray | None = None
) -> int | None:
    """The GPU that a new tensor is to be on; None: the CPU. Without a device, where the array is that it is like.

    Refuses where no tensor can be: other kinds of devices, layouts without strides.
    """
    if layout is not None and layout is not strided:
        raise UnsupportedDType(f"{function}(): the layout {layout} is not there", hint="tensors are strided")
    place = gpu_of(like) if device is None and like is not None else gpu_index(_usable(function, device))
    if pin_memory and not pinning.is_available():
        raise ArgumentError(
            "pin_memory=True requires a CUDA or other accelerator backend; no pinned memory allocator is available on "
            "this system.",
            hint="leave it out: memory is pinned for copies to a GPU",
        )
    if pin_memory and place is not None:
        raise ArgumentError("Only dense CPU tensors can be pinned", hint="leave out pin_memory, or the device")
    return place


def _usable(function: str, device: object) -> Device:
    found = device_for(device, function)
    if found.type == "meta":
        raise UnsupportedDType(f"{function}(): tensors without memory are not there", hint='create it on "cpu"')
    return found


def sizes_of(function: str, sizes: tuple[object, ...], name: str = "size") -> tuple[int, ...]:
    """The sizes of a call: ints one by one, or a tuple or list of them. Raises SignatureError for anything else."""
    if len(sizes) == 1:
        given = sizes[0]
        if type(given) is int:
            return (given,)
        if isinstance(given, tuple | list):
            return _sequence(function, tuple(given), name)
        if not isinstance(given, bool):
            found = _size(given)
            if found is not None:
                return (found,)
        raise SignatureError(
            f"{function}(): argument '{name}' (position 1) must be tuple of ints, not {type_name(given)}"
        )
    if not sizes:
        raise SignatureError(f'{function}() missing 1 required positional arguments: "{name}"')
    if isinstance(sizes[0], tuple | list):
        raise SignatureError(f"{function}() takes 1 positional argument but {len(sizes)} were given")
    found_sizes = []
    for place, each in enumerate(sizes):
        size = each if type(each) is int else None if isinstance(each, bool) else _size(each)
        if size is None:
            if not place:
                raise SignatureError(
                    f"{function}(): argument '{name}' (position 1) must be tuple of ints, not {type_name(each)}"
                )
            raise SignatureError(
                f"{function}(): argument '{name}' failed to unpack the object at pos {place + 1} with error "
                f'"type must be tuple of ints,but got {type_name(each)}"'
            )
        found_sizes.append(size)
    return tuple(found_sizes)


def sequence_of(function: str, given: object, name: str = "size", position: int = 1) -> tuple[int, ...]:
    """Sizes that must be one tuple or list."""
    if not isinstance(given, tuple | list):
        raise SignatureError(
            f"{function}(): argument '{name}' (position {position}) must be tuple of ints, not {type_name(given)}"
        )
    return _sequence(function, tuple(given), name, position)


def _sequence(function: str, given: tuple[object, ...], name: str, position: int = 1) -> tuple[int, ...]:
    if all(type(each) is int for each in given):
        return given  # type: ignore[return-value]  # just looked at
    found = []
    for place, each in enumerate(given):
        size = _size(each)
        if size is None:
            if not place:
                raise SignatureError(
                    f"{function}(): argument '{name}' (position {position}) must be tuple of ints, but found element "
                    f"of type {type_name(each)} at pos 0"
                )
            raise SignatureError(
                f"{function}(): argument '{name}' failed to unpack the object at pos {place + 1} with error "
                f'"type must be tuple of ints,but got {type_name(each)}"'
            )
        found.append(size)
    return tuple(found)


def _size(value: object) -> int | None:
    """The integer that a value stands for, tensors and numpy's included; None for others."""
    try:
        return operator.index(value)  # type: ignore[arg-type]  # what has no index raises TypeError
    except TypeError:
        return None


def check_sizes(sizes: Sequence[int], dtype: DType, function: str = "") -> None:
    """Refuse negative sizes, and more elements than can be counted."""
    for size in sizes:
        if size < 0:
            if function:
                raise ShapeError(f"{function}: Dimension size must be non-negative.", hint=f"got {list(sizes)}")
            raise ShapeError(f"Trying to create tensor with negative dimension {size}: {list(sizes)}")
    if math.prod(sizes) * dtype.itemsize > MAX_BYTES:
        raise MemoryExceeded(f"Storage size calculation overflowed with sizes={list(sizes)}")


def number_of(function: str, name: str, position: int, value: object) -> bool | int | float | complex:
    """A Python number: given as one, as numpy's, or as a tensor without dimensions. Raises SignatureError else."""
    if isinstance(value, np.generic) and isinstance(value.item(), bool | int | float | complex):
        return value.item()  # type: ignore[no-any-return]  # just looked at
    if isinstance(value, Tensor) and not value._array.ndim:
        return value.item()  # type: ignore[no-any-return]  # a number
    if isinstance(value, bool | int | float | complex):
        return value
    raise SignatureError(
        f"{function}(): argument '{name}' (position {position}) must be Number, not {type_name(value)}"
    )


def integer_of(function: str, name: str, position: int, value: object) -> int:
    """An integer: Python's, numpy's, or an integer tensor of one element. Raises SignatureError else."""
    found = None if isinstance(value, bool) else _size(value)
    if found is None:
        raise SignatureError(
            f"{function}(): argument '{name}' (position {position}) must be int, not {type_name(value)}"
        )
    return found


def invalid_combination(
    function: str, args: Sequence[object], kwargs: Mapping[str, object], forms: Sequence[str]
) -> SignatureError:
    """The error for arguments that are none of the forms that a function takes."""
    shown = ", ".join([*map(type_name, args), *(f"{name}={type_name(each)}" for name, each in kwargs.items())])
    listed = "".join(f" * {form}\n" for form in forms)
    return SignatureError(
        f"{function}() received an invalid combination of arguments - got ({shown}{', ' if kwargs else ''}), but "
        f"expected one of:\n{listed}"
    )


def allocate(
    shape: Sequence[int], dtype: DType, strides: Sequence[int] | None = None, place: int | None = None
) -> AnyArray:
    """Uninitialised memory, row-major or with these strides in bytes, on the CPU or a GPU.

    Raises MemoryExceeded where there is no more.
    """
    try:
        return new_array(shape, dtype.numpy, strides, place)
    except MemoryExceeded:
        raise
    except (MemoryError, ValueError):
        raise MemoryExceeded(
            f"DefaultCPUAllocator: can't allocate memory: you tried to allocate {math.prod(shape) * dtype.itemsize} "
            "bytes. Error code 12 (Cannot allocate memory)"
        ) from None


def strides_for(
    shape: Sequence[int], dtype: DType, memory_format: object, like: AnyArray | None = None
) -> tuple[int, ...] | None:
    """The strides in bytes that a format asks for; `like` is what preserve_format keeps."""
    if memory_format is preserve_format:
        if like is None:
            raise ArgumentError("unsupported memory format Preserve", hint="use contiguous_format or channels_last")
        kept = preserved_strides(like)
        return None if kept is None else tuple(step // like.itemsize * dtype.itemsize for step in kept)
    return format_strides(shape, memory_format, dtype.itemsize)


def created(
    array: AnyArray, requires_grad: object = False, place: int | None = None, pin_memory: object = False
) -> Tensor:
    """A new tensor over an array of its own, which is moved to the GPU that `place` says, or to pinned memory."""
    if pin_memory:
        array = pinning.pinned(array)
    result = wrap_constant(array if place is None else on(array, place))
    if requires_grad:
        if not result.dtype.is_differentiable:
            raise DTypeError("Only Tensors of floating point and complex dtype can require gradients")
        set_requires_grad(result, True)
    return result


def deliver(
    array: AnyArray,
    out: object,
    requires_grad: object = False,
    place: int | None = None,
    pin_memory: object = False,
) -> Tensor:
    """The array as a new tensor, or in the tensor given as `out`, which gets its shape and keeps its dtype."""
    if out is None:
        return created(array, requires_grad, place, pin_memory)
    target = output(out)
    if target._array.shape != array.shape:
        resize_to(target, array.shape)
    if WATCHING:
        constant(array)
        see((target,))
        overwritten(target._array, array)
    if type(array) is not np.ndarray:
        copy_into(target._array, array if array.dtype == target._array.dtype else converted(array, target.dtype))
    else:
        with np.errstate(all="ignore"):
            copy_into(target._array, array.astype(target._array.dtype, casting="unsafe", copy=False))
    target._storage.version += 1
    return target


def output(out: object) -> Tensor:
    """The tensor given as `out`."""
    if not isinstance(out, Tensor):
        raise SignatureError(f"argument 'out' must be Tensor, not {type_name(out)}")
    return out


def dtype_with_out(function: str, dtype: object, default: DType, out: object) -> DType:
    """The dtype of a call with `out`, which decides; a `dtype` beside it must be the same."""
    if out is None:
        return dtype_of(function, dtype, default)
    target = output(out).dtype
    if dtype is not None and dtype_of(function, dtype, default) is not target:
        asked = dtype_of(function, dtype, default)
        raise DTypeError(f"dtype {asked.scalar} does not match dtype of out parameter ({target.scalar})")
    return target
