"""Writing to tensors in place: `x.add_(y)`, `x += y`, `out=`.

In: a function's new values and the tensor that is to hold them. Out: that tensor, with its memory written, its version
one higher and its history that of the new values. Values are computed first and copied then, so operands may overlap.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np

from graphc.eager.dispatch import function_of
from graphc.eager.mode import MODE
from graphc.eager.node import AutogradError
from graphc.eager.tensor import AnyArray, Tensor
from graphc.eager.view import rebase
from graphc.ir.dtype import DType
from graphc.ir.errors import DTypeError, ShapeError


def in_place(name: str) -> Callable[..., Tensor]:
    """The form of a table entry that writes its result to the first argument."""
    function = function_of(name)

    def write(self: Tensor, *args: object, **kwargs: object) -> Tensor:
        check_writable(self)
        _, results = function.run((self, *args), kwargs, overwrites=self if self.requires_grad else None)
        return assign(self, results[0])

    return write


def assign(target: Tensor, values: Tensor) -> Tensor:
    """Let the tensor hold the values, whose shape and dtype must fit."""
    if values._array.shape != target._array.shape:
        raise ShapeError(
            f"output with shape {_sizes(target)} doesn't match the broadcast shape {_sizes(values)}",
            hint="an operation in place can't make the tensor larger: use the form without _",
        )
    if values._array.dtype is not target._array.dtype:
        _check_cast(values.dtype, target.dtype)
        if values.requires_grad:
            cast = function_of("to")(values, target.dtype)
            assert isinstance(cast, Tensor)
            values = cast
    write(target, values)
    return target


def write(target: Tensor, values: Tensor) -> None:
    """Copy the values to the tensor's memory, and enter that into its history."""
    check_writable(target)
    copy_to(target._array, values._array)
    target._storage.version += 1
    meta, source = target._meta, values._meta
    if meta is not None or source is not None:
        if MODE.grad:
            rebase(target, values)


def copy_to(target: AnyArray, values: AnyArray) -> None:
    """Copy with a change of dtype where it must be."""
    if target.dtype == values.dtype:
        np.copyto(target, values)
    else:
        with np.errstate(all="ignore"):
            np.copyto(target, values.astype(target.dtype), casting="unsafe")


def check_writable(tensor: Tensor) -> None:
    """Raise where a write would break a gradient or have no one meaning."""
    meta = tensor._meta
    if meta is not None and MODE.grad:
        if meta.requires_grad and meta.node is None and meta.view is None:
            raise AutogradError("a leaf Variable that requires grad is being used in an in-place operation.")
        view = meta.view
        if view is not None and view.base.requires_grad:
            if view.base._meta is not None and view.base._meta.node is None:
                raise AutogradError(
                    "a view of a leaf Variable that requires grad is being used in an in-place operation."
                )
            if view.is_multiple:
                raise AutogradError(
                    "Output 0 of a function that returns multiple views is being modified inplace. This view is the "
                    "output of a function that returns multiple views. Such functions do not allow the output views to "
                    "be modified inplace. You should replace the inplace operation by an out-of-place one."
                )
    if meta is not None and meta.is_inference and not MODE.inference:
        raise AutogradError(
            "Inplace update to inference tensor outside InferenceMode is not allowed.You can make a clone to get a "
            "normal tensor before doing inplace update.See https://github.com/pytorch/rfcs/pull/17 for more details."
        )
    array = tensor._array
    if 0 in array.strides and any(step == 0 and size > 1 for step, size in zip(array.strides, array.shape)):
        raise ShapeError(
            "unsupported operation: more than one element of the written-to tensor refers to a single memory location. "
            "Please clone() the tensor before performing the operation."
        )


def _check_cast(source: DType, target: DType) -> None:
    if source.kind > target.kind:
        raise DTypeError(f"result type {_word(source)} can't be cast to the desired output type {_word(target)}")


def _sizes(tensor: Tensor) -> str:
    return f"[{', '.join(map(str, tensor._array.shape))}]"


_WORDS = {
    "float32": "Float", "float64": "Double", "float16": "Half", "bfloat16": "BFloat16", "complex64": "ComplexFloat",
    "complex128": "ComplexDouble", "int64": "Long", "int32": "Int", "int16": "Short", "int8": "Char", "uint8": "Byte",
    "bool": "Bool", "uint16": "UInt16", "uint32": "UInt32", "uint64": "UInt64",
}  # fmt: skip


def _word(dtype: DType) -> str:
    return _WORDS[dtype.name]


def with_out(function: Callable[..., object]) -> Callable[..., object]:
    """A function that also takes `out=`, tensors that are to hold the results."""

    def call(*args: object, out: object = None, **kwargs: object) -> object:
        result = function(*args, **kwargs)
        if out is None:
            return result
        if isinstance(out, tuple | list):
            assert isinstance(result, tuple)
            for target, values in zip(out, result, strict=True):
                fill_out(target, values)
            return type(result)(*out) if hasattr(result, "_fields") else tuple(out)
        fill_out(out, result)
        return out

    return call


def fill_out(target: object, values: object) -> None:
    """Write a result to a tensor given as `out`, which gets the result's shape."""
    if not isinstance(target, Tensor):
        raise TypeError(f"argument 'out' must be Tensor, not {type(target).__name__}")
    assert isinstance(values, Tensor)
    if target.requires_grad or (MODE.grad and values.requires_grad):
        raise AutogradError(
            "functions with out=... arguments don't support automatic differentiation, but one of the arguments "
            "requires grad."
        )
    _check_cast(values.dtype, target.dtype)
    if target._array.shape != values._array.shape:
        if target._array.size:
            warnings.warn(
                f"An output with one or more elements was resized since it had shape {_sizes(target)}, which does not "
                f"match the required output shape {_sizes(values)}. This behavior is deprecated, and in a future "
                "PyTorch release outputs will not be resized unless they have zero elements. You can explicitly reuse "
                "an out tensor t by resizing it, inplace, to zero elements with t.resize_(0).",
                stacklevel=3,
            )
        target._array = np.empty(values._array.shape, target._array.dtype)
        target._storage.owner = None
    copy_to(target._array, values._array)
    target._storage.version += 1
