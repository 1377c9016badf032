"""Writing to tensors in place: `x.add_(y)`, `x += y`, `x.copy_(y)`, `x.zero_()`.

In: a function's new values and the tensor that is to hold them. Out: that tensor, with its memory written, its version
one higher and its history that of the new values. Values are computed first and copied then, so operands may overlap.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from graphc.eager.dispatch import PLAIN_TYPES, function_of
from graphc.eager.geometry import address_of, extent_of, is_dense, overlaps_itself
from graphc.eager.mode import MODE, unrecorded
from graphc.eager.names import backward_name
from graphc.eager.node import AutogradError
from graphc.eager.placement import copy_into
from graphc.eager.plan import Plan
from graphc.eager.record import Source, record, see
from graphc.eager.tensor import AnyArray, Tensor, wrap, wrap_shared
from graphc.eager.view import rebase, refresh, refuse_view
from graphc.eager.watch import WATCHING, overwritten, refuse
from graphc.ir.attribute import Array
from graphc.ir.dtype import DType, f32, f64, i64
from graphc.ir.dtype import dtype as to_dtype
from graphc.ir.errors import DTypeError, ShapeError, SignatureError
from graphc.ir.graph import Graph, make_input
from graphc.ir.type import TensorType
from graphc.ops import build
from graphc.ops.composite.operand import in_dtype_exactly

_LARGE = 1 << 62

IN_PLACE = frozenset(
    "abs absolute acos acosh add addbmm addcdiv addcmul addmm addmv addr arccos arccosh arcsin arcsinh arctan arctan2 "
    "arctanh asin asinh atan atan2 atanh baddbmm bitwise_and bitwise_left_shift bitwise_not bitwise_or "
    "bitwise_right_shift bitwise_xor ceil clamp clamp_max clamp_min clip conj_physical copysign cos cosh cumprod "
    "cumsum deg2rad digamma div divide eq erf erfc erfinv exp exp2 expm1 fix float_power floor floor_divide fmod frac "
    "gcd ge greater greater_equal gt heaviside hypot i0 igamma igammac index_add index_copy index_fill index_reduce "
    "lcm ldexp le lerp less less_equal lgamma log log10 log1p log2 logical_and logical_not logical_or logical_xor "
    "logit lt masked_fill masked_scatter mul multiply mvlgamma nan_to_num ne neg negative nextafter not_equal "
    "polygamma pow put rad2deg reciprocal relu remainder renorm round rsqrt scatter scatter_add scatter_reduce sgn "
    "sigmoid sign sin sinc sinh sqrt square sub subtract tan tanh tril triu true_divide trunc xlogy".split()
)
"""Table entries whose name with a `_` is a method that writes the result to the tensor."""
FREE = frozenset(
    "abs acos acosh addmv arccos arccosh arcsin arcsinh arctan arctanh asin asinh atan atanh ceil celu clamp clamp_max "
    "clamp_min clip conj_physical cos cosh deg2rad erf erfc exp exp2 expm1 fix floor frac gcd i0 lcm ldexp log log10 "
    "log1p log2 logit nan_to_num neg negative rad2deg reciprocal relu round rsqrt selu sigmoid sin sinc sinh sqrt "
    "square tan tanh threshold trunc xlogy".split()
)
"""Those whose form that writes is a function too."""


def in_place(name: str) -> Callable[..., Tensor]:
    """The form of a table entry that writes its result to the first argument."""
    function = function_of(name)
    label = f"{name}_"
    may_be_plain = name not in ("masked_fill", "float_power")

    def write(self: Tensor, *args: object, **kwargs: object) -> Tensor:
        if may_be_plain and _is_plain(self, args) and (not kwargs or _is_plain(self, kwargs.values())):
            # What most writes are: numbers computed and copied, with nothing to check or to record.
            result = function.of_two(self, args[0]) if len(args) == 1 and not kwargs else None
            if result is None:
                _, (result, *_) = function.run((self, *args), kwargs)
            target, array = self._array, result._array
            if array.dtype is not target.dtype or array.shape != target.shape:
                return assign(self, result)
            copy_into(target, array)
            self._storage.version += 1
            return self
        others = [each for each in (*args, *kwargs.values()) if isinstance(each, Tensor)]
        needs = self.requires_grad or any(each.requires_grad for each in others)
        check_writable(self, needs, overlapping=name == "masked_fill")
        if name == "masked_fill" and overlaps_itself(self._array):
            warnings.warn(
                "Use of masked_fill_ on expanded tensors is deprecated. Please clone() the tensor before performing "
                "this operation. This also applies to advanced indexing e.g. tensor[mask] = scalar",
                stacklevel=3,
            )
        for other in others:
            if other._storage is self._storage and other is not self:
                check_overlap(self._array, other._array)
        _, (values, *_) = function.run((self, *args), kwargs, overwrites=self if self.requires_grad else None)
        if name == "float_power":
            _check_float_power(self, values)
        if MODE.grad and self.requires_grad and not values.dtype.is_differentiable:
            # The numbers of a comparison don't depend on it any more, and say so on the tape.
            check_cast(values.dtype, self.dtype)
            plan = _copy_plan(type_of(self._array), type_of(values._array))
            values = wrap(converted(values._array, self.dtype))
            record(plan, [self, values._array], [values], shown=1, name=backward_name(name, (self, *args), kwargs))
        return assign(self, values)

    write.__name__ = write.__qualname__ = label
    write.__doc__ = f"`{name}`, written to the tensor, which is returned."
    return write


def _is_plain(target: Tensor, operands: Iterable[object]) -> bool:
    """Whether a write is of no concern to autograd, and to no other tensor among the operands."""
    if type(target) not in PLAIN_TYPES or WATCHING:
        return False
    storage = target._storage
    is_recorded = MODE.grad
    if (is_recorded and target._meta is not None) or storage.version < 0 or not target._array.flags.c_contiguous:
        return False
    for each in operands:
        if isinstance(each, Tensor) and each is not target:
            if each._storage is storage or (is_recorded and each._meta is not None):
                return False
    return True


def _check_float_power(self: Tensor, values: Tensor) -> None:
    if values._array.dtype != self._array.dtype:
        raise DTypeError(
            f"the base given to float_power_ has dtype {self.dtype.scalar} but the operation's result requires dtype "
            f"{values.dtype.scalar}"
        )


def assign(target: Tensor, values: Tensor) -> Tensor:
    """Let the tensor hold the values, whose shape and dtype must fit."""
    if values._array.shape != target._array.shape:
        raise ShapeError(
            f"output with shape {sizes_text(target)} doesn't match the broadcast shape {sizes_text(values)}",
            hint="an operation in place can't make the tensor larger: use the form without _",
        )
    if values._array.dtype != target._array.dtype:
        check_cast(values.dtype, target.dtype)
        if values.requires_grad:
            cast = function_of("to")(values, target.dtype)
            assert isinstance(cast, Tensor)
            values = cast
    write(target, values)
    return target


def write(target: Tensor, values: Tensor) -> None:
    """Copy the values to the tensor's memory, and enter that into its history."""
    if WATCHING:
        see((target, values))
    copy_to(target._array, values._array)
    entered(target, values)


def entered(target: Tensor, values: Tensor, is_kept: bool = True) -> None:
    """The tensor's memory holds the values now: its version and its history say so. `is_kept`: see `rebase`."""
    target._storage.version += 1
    if MODE.grad and (target._meta is not None or values._meta is not None):
        rebase(target, values, is_kept)


def copy_to(target: AnyArray, values: AnyArray, non_blocking: bool = False) -> None:
    """Copy with a change of dtype where it must be; `non_blocking` as for `graphc.eager.placement.on`."""
    if WATCHING:
        overwritten(target, values)
    if target.dtype == values.dtype:
        copy_into(target, values, non_blocking)
    elif type(values) is not np.ndarray:
        copy_into(target, converted(values, to_dtype(target.dtype)))
    else:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            copy_into(target, values.astype(target.dtype))


def converted(array: AnyArray, dtype: DType) -> AnyArray:
    """The values in another dtype, where the array is."""
    if type(array) is np.ndarray:
        return array.astype(dtype.numpy)
    found = unrecorded(lambda: function_of("to")(wrap(array), dtype))
    assert isinstance(found, Tensor)
    return found._array


def check_writable(tensor: Tensor, needs: bool = False, overlapping: bool = False) -> None:
    """Raise where a write would break a gradient or have no one meaning.

    `needs`: the tensor or what is written requires a gradient. `overlapping`: the tensor may repeat elements.
    """
    meta = tensor._meta
    if meta is not None:
        if MODE.grad and needs:
            view = meta.view
            if view is not None:
                if view.origin:
                    refuse_view(tensor, "and is being")
                refresh(tensor)
                base = view.base._meta
                if base is not None and base.requires_grad and base.node is None:
                    raise AutogradError(
                        "a view of a leaf Variable that requires grad is being used in an in-place operation."
                    )
            if meta.requires_grad and meta.node is None:
                raise AutogradError("a leaf Variable that requires grad is being used in an in-place operation.")
    if tensor._storage.version < 0 and not MODE.inference:
        raise AutogradError(
            "Inplace update to inference tensor outside InferenceMode is not allowed.You can make a clone to get a "
            "normal tensor before doing inplace update.See https://github.com/pytorch/rfcs/pull/17 for more details."
        )
    if not overlapping and overlaps_itself(tensor._array):
        raise ShapeError(
            "unsupported operation: more than one element of the written-to tensor refers to a single memory location. "
            "Please clone() the tensor before performing the operation."
        )


def check_overlap(target: AnyArray, operand: AnyArray, is_elementwise: bool = True) -> None:
    """Raise where an operand is part of what is written to; each element may be written from itself alone."""
    if (
        (is_elementwise and target is operand)
        or not (target.size and operand.size)
        or not (is_dense(target) and is_dense(operand))
    ):
        return
    first, second = address_of(target), address_of(operand)
    ends = first + extent_of(target), second + extent_of(operand)
    if is_elementwise and first == second and ends[0] == ends[1] and target.strides == operand.strides:
        return
    if first < ends[1] and second < ends[0]:
        raise ShapeError(
            "unsupported operation: some elements of the input tensor and the written-to tensor refer to a single "
            "memory location. Please clone() the tensor before performing the operation."
        )


def check_cast(source: DType, target: DType) -> None:
    """Raise DTypeError where values of a kind would be lost."""
    if source.kind > target.kind:
        raise DTypeError(f"result type {source.scalar} can't be cast to the desired output type {target.scalar}")


def sizes_text(tensor: Tensor) -> str:
    """The shape as errors print it."""
    return f"[{', '.join(map(str, tensor._array.shape))}]"


# Copies and fills


def copy_(self: Tensor, src: Tensor, non_blocking: bool = False) -> Tensor:
    """Copy the elements of another tensor, repeated and converted as needed.

    `non_blocking`: a copy of pinned memory to a GPU is not waited for.
    """
    if isinstance(src, bool | int | float | complex):
        return fill_(self, src)
    if not isinstance(src, Tensor):
        raise SignatureError(f"copy_(): argument 'other' (position 1) must be Tensor, not {type(src).__name__}")
    check_writable(self, self.requires_grad or src.requires_grad)
    if src is self:
        return self
    target, source = self._array, src._array
    if source.shape != target.shape:
        _check_repeats(target.shape, source.shape)
    if src._storage is self._storage:
        check_overlap(target, source)
    if WATCHING:
        see((self, src))
    if source.dtype.kind == "c" and target.dtype.kind != "c":
        if target.dtype != np.bool_:
            warnings.warn("Casting complex values to real discards the imaginary part", stacklevel=4)
    copy_to(target, source, bool(non_blocking))
    _enter_copy(self, src, "CopyBackwards")
    return self


def _enter_copy(self: Tensor, source: Source, name: str) -> None:
    """Enter into the tape that all elements were replaced by those of a source, repeated and converted."""
    written = wrap_shared(self._array, self._storage)
    is_view = self._meta is not None and self._meta.view is not None
    if MODE.grad and (self.requires_grad or any_requires((source,))):
        if is_view:  # the node of the base knows that nothing of the view is left
            written = source if isinstance(source, Tensor) else wrap(source)
        else:
            array = source._array if isinstance(source, Tensor) else source
            record(
                _copy_plan(type_of(self._array), type_of(array)),
                [self, source],
                [written],
                name=name,
                shown=None if array is not source else 1,
            )
    entered(self, written, is_kept=not is_view)


def _check_repeats(target: tuple[int, ...], source: tuple[int, ...]) -> None:
    if len(source) > len(target):
        if _fit(target, source):
            shape = np.broadcast_shapes(target, source)
            raise ShapeError(f"output with shape {list(target)} doesn't match the broadcast shape {list(shape)}")
    for axis in range(-1, -min(len(target), len(source)) - 1, -1):
        a, b = target[axis], source[axis]
        if b not in (1, a):
            if a == 1:
                shape = np.broadcast_shapes(target, source)
                raise ShapeError(f"output with shape {list(target)} doesn't match the broadcast shape {list(shape)}")
            raise ShapeError(
                f"The size of tensor a ({a}) must match the size of tensor b ({b}) at non-singleton dimension "
                f"{len(target) + axis}"
            )


def _fit(first: tuple[int, ...], second: tuple[int, ...]) -> bool:
    return all(a == b or a == 1 or b == 1 for a, b in zip(reversed(first), reversed(second)))


def fill_(self: Tensor, value: object) -> Tensor:
    """Set every element to a number, or to that of a 0-d tensor."""
    if isinstance(value, Tensor):
        if value._array.ndim:
            raise ShapeError(
                f"fill_ only supports 0-dimension value tensor but got tensor with {value._array.ndim} dimensions."
            )
        given: Source = value
    else:
        given = scalar_of(value, self.dtype)
    check_writable(self, self.requires_grad or any_requires((given,)), overlapping=not isinstance(value, Tensor))
    return _filled(self, given, "FillBackward3" if isinstance(value, Tensor) else "FillBackward2")


def apply_(self: Tensor, callable: Callable[[Any], Any]) -> Tensor:
    """Replace each element by what a Python function makes of it."""
    return _mapped(self, callable)


def map_(self: Tensor, tensor: Tensor, callable: Callable[[Any, Any], Any]) -> Tensor:
    """Replace each element by what a Python function makes of it and of another tensor's."""
    return _mapped(self, callable, tensor)


def map2_(self: Tensor, x: Tensor, y: Tensor, callable: Callable[[Any, Any, Any], Any]) -> Tensor:
    """Replace each element by what a Python function makes of it and of two other tensors'."""
    return _mapped(self, callable, x, y)


def _mapped(self: Tensor, function: Callable[..., Any], *others: Tensor) -> Tensor:
    if self.requires_grad:
        name = ("apply_", "map_", "map2_")[len(others)]
        raise AutogradError(f"Can't call {name}() on Variable that requires grad. Use var.detach().{name}() instead.")
    if any(type(each._array) is not np.ndarray for each in (self, *others)):
        name = ("apply_", "map_", "map2_")[len(others)]
        raise SignatureError(f"{name} is only implemented on CPU tensors", hint="compute with functions of tensors")
    if WATCHING:
        refuse("calls a Python function for each element", "compute with functions of tensors")
    arrays = np.broadcast_arrays(self._array, *(each._array for each in others))
    values = [function(*(each.item() for each in items)) for items in zip(*(array.flat for array in arrays))]
    copy_to(self._array, np.array(values).reshape(self._array.shape))
    self._storage.version += 1
    return self


def zero_(self: Tensor) -> Tensor:
    """Set every element to 0."""
    check_writable(self, self.requires_grad, overlapping=True)
    return _filled(self, np.zeros((), self._array.dtype), "ZeroBackward0")


def scalar_of(value: object, dtype: DType) -> AnyArray:
    """A number as an array of this dtype without dimensions; raises ArgumentError where it doesn't fit."""
    # What runs most needs no graph.
    if type(value) is float and dtype in (f32, f64) and -1e38 < value < 1e38:
        return np.array(value, dtype.numpy)
    if type(value) is int and dtype is i64 and -_LARGE < value < _LARGE:
        return np.array(value, dtype.numpy)
    if isinstance(value, np.generic):
        value = value.item()
    if not isinstance(value, int | float | complex):
        raise SignatureError(f"fill_(): argument 'value' (position 1) must be Number, not {type(value).__name__}")
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 64:
        raise OverflowError("int too big to convert")
    constant = in_dtype_exactly("fill_", value, dtype).attribute("value")
    assert isinstance(constant, Array)
    return np.asarray(constant.value)


def _filled(self: Tensor, value: Source, name: str) -> Tensor:
    if WATCHING:
        see((self, value))
    array = value._array if isinstance(value, Tensor) else value
    copy_to(self._array, array)
    _enter_copy(self, value, name)
    return self


def type_of(array: AnyArray) -> TensorType:
    """The array's shape and dtype."""
    return TensorType(array.shape, to_dtype(array.dtype))


@functools.lru_cache(maxsize=512)
def _copy_plan(target: TensorType, source: TensorType) -> Plan:
    """A tensor whose elements are all replaced: nothing of what it was is left."""
    self, src = make_input("self", target), make_input("src", source)
    lead = len(source.shape) - len(target.shape)
    value = build.reshape_to(src, source.shape[lead:]) if lead > 0 else src
    value = build.broadcast_to(build.cast_to(value, target.dtype), target.shape)
    return Plan(Graph("copy", (self, src), (value,)), "CopyBackwards")


def any_requires(values: Iterable[object]) -> bool:
    """Whether one of the values is a tensor that requires a gradient."""
    return any(isinstance(each, Tensor) and each.requires_grad for each in values)


FUNCTIONS: dict[str, Callable[..., object]] = {"fill_": fill_, "zero_": zero_}
METHODS: dict[str, Callable[..., object]] = {
    "apply_": apply_,
    "copy_": copy_,
    "fill_": fill_,
    "map2_": map2_,
    "map_": map_,
    "zero_": zero_,
}
