"""Tensors that count: `arange`, `range`, `linspace`, `logspace`, `eye`, `tril_indices`, `triu_indices`.

In: numbers, `dtype` and the options of all that make tensors. Out: tensors. Floats are computed in float64 from the
start, by the formulas of the table (`graphc/ops/composite/creation.py`), and rounded once.
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from graphc.eager.arguments import (
    check_place,
    deliver,
    dtype_of,
    dtype_with_out,
    integer_of,
    invalid_combination,
    number_of,
    output,
)
from graphc.eager.choosing import sized_plan
from graphc.eager.dispatch import function_of
from graphc.eager.mode import unrecorded
from graphc.eager.placement import empty, on
from graphc.eager.plan import Plan
from graphc.eager.tensor import AnyArray, Tensor
from graphc.eager.watch import WATCHING, constant
from graphc.ir.dtype import DType, f64, get_default_dtype, i32, i64
from graphc.ir.errors import ArgumentError, DTypeError, SignatureError, UnsupportedDType
from graphc.ir.graph import Node
from graphc.ir.type import TensorType
from graphc.ops import build, creation
from graphc.ops import elementwise as ew

_OPTIONS = (
    "torch.dtype dtype = None, torch.layout layout = None, torch.device device = None, bool pin_memory = False, "
    "bool requires_grad = False)"
)
_ARANGE = (
    f"(Number end, *, Tensor out = None, {_OPTIONS}",
    f"(Number start, Number end, *, {_OPTIONS}",
    f"(Number start, Number end, Number step = 1, *, Tensor out = None, {_OPTIONS}",
)
_SPACED = tuple(
    f"({start} start, {end} end, int steps, *, Tensor out = None, {_OPTIONS}"
    for start, end in (("Tensor", "Tensor"), ("Number", "Tensor"), ("Tensor", "Number"), ("Number", "Number"))
)


def arange(
    *args: Any,
    start: Any = None,
    end: Any = None,
    step: Any = None,
    out: Tensor | None = None,
    dtype: DType | None = None,
    layout: object = None,
    device: object = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
) -> Tensor:
    """start, start + step, ... before end: `arange(end)`, `arange(start, end)`, `arange(start, end, step)`.

    Integers give int64, floats the default dtype.
    """
    given = list(args)
    if start is not None:
        given.insert(0, start)
    if end is not None:
        given.append(end)
    if step is not None:
        given.append(step)
    if not 1 <= len(given) <= 3 or (step is not None and len(given) < 3 and end is None):
        named = {"start": start, "end": end, "step": step}
        raise invalid_combination("arange", args, {k: v for k, v in named.items() if v is not None}, _ARANGE)
    names = ("end",) if len(given) == 1 else ("start", "end", "step")
    numbers: list[Any] = [number_of("arange", name, i + 1, each) for i, (name, each) in enumerate(zip(names, given))]
    low, high, by = (0, numbers[0], 1) if len(numbers) == 1 else (*numbers, 1)[:3]
    is_float = any(isinstance(each, float) for each in numbers)
    target = dtype_with_out("arange", dtype, get_default_dtype() if is_float else i64, out)
    place = check_place("arange", layout, device, pin_memory, None if out is None else output(out)._array)
    _check_range("arange", low, high, by, target)
    count = math.ceil((high - low) / by) if is_float else max(0, -((low - high) // by))
    if out is not None and output(out)._array.size not in (0, count):
        old = output(out)._array
        warnings.warn(
            f"The number of elements in the out tensor of shape {list(old.shape)} is {old.size} which does not match "
            f"the computed number of elements {count}. Note that this may occur as a result of rounding error. The "
            f"out tensor will be resized to a tensor of shape ({count},).",
            stacklevel=3,
        )
    line = _line(count, low, by, target, is_float, place)
    return deliver(line, out, requires_grad, pin_memory=pin_memory)


def range_(
    start: Any = None,
    end: Any = None,
    step: Any = 1,
    *,
    out: Tensor | None = None,
    dtype: DType | None = None,
    layout: object = None,
    device: object = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
) -> Tensor:
    """start, start + step, ... up to and including end. Deprecated: use `arange`."""
    if start is None or end is None:
        given_names = ", ".join(
            f"{name}={type(value).__name__}" for name, value in (("start", start), ("end", end)) if value is not None
        )
        raise SignatureError(
            f"range() received an invalid combination of arguments - got ({given_names}), but expected (Number start, "
            "Number end, Number step = 1)",
            hint="range needs both ends; arange takes a single one",
        )
    warnings.warn(
        "torch.range is deprecated and will be removed in a future release because its behavior is inconsistent with "
        "Python's range builtin. Instead, use torch.arange, which produces values in [start, end).",
        stacklevel=3,
    )
    given = (("start", start), ("end", end), ("step", step))
    low: Any
    high: Any
    by: Any
    low, high, by = (number_of("range", name, place + 1, each) for place, (name, each) in enumerate(given))
    target = dtype_with_out("range", dtype, get_default_dtype(), out)
    place = check_place("range", layout, device, pin_memory, None if out is None else output(out)._array)
    _check_range("range", low, high, by, target)
    count = math.floor((high - low) / by) + 1
    return deliver(_line(count, low, by, target, True, place), out, requires_grad, pin_memory=pin_memory)


def _check_range(name: str, low: Any, high: Any, step: Any, dtype: DType) -> None:
    if not (dtype.is_integer or dtype.is_floating_point):
        raise UnsupportedDType(f"\"{name}_cpu\" not implemented for '{dtype.scalar}'", hint="use integers or floats")
    if step == 0:
        raise ArgumentError("step must be nonzero")
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ArgumentError(f"unsupported range: {low:g} -> {high:g}", hint=f"{name}: use finite numbers")
    if (high - low) * (1 if step > 0 else -1) < 0:
        raise ArgumentError("upper bound and lower bound inconsistent with step sign")
    if any(isinstance(each, int) and not -(1 << 63) <= each < 1 << 63 for each in (low, high, step)):
        raise DTypeError("value cannot be converted to type int64_t without overflow")


def _line(count: int, first: Any, step: Any, dtype: DType, is_float: bool, place: int | None) -> AnyArray:
    """first + i * step; in a range of integers both are integers."""
    if place is not None and count and not dtype.is_storage_only:
        numbers = i64 if dtype.is_integer or not is_float else f64
        like = empty((count,), dtype.numpy, place)
        if WATCHING:
            constant(like)
        given = [np.array(int(each) if numbers is i64 else float(each), numbers.numpy) for each in (first, step)]
        (found,) = _line_plan(numbers, TensorType((count,), dtype)).run([like, *given])
        return found
    if dtype.is_integer or not is_float:
        return on((np.arange(count, dtype=np.int64) * int(step) + int(first)).astype(dtype.numpy), place)
    line: AnyArray = np.arange(count, dtype=np.float64) * step + first
    return on(line.astype(dtype.numpy), place)


@functools.lru_cache(maxsize=512)
def _line_plan(numbers: DType, result: TensorType) -> Plan:
    def outputs(like: Node, first: Node, step: Node) -> Sequence[Node]:
        place = creation.iota(shape=like.shape, axis=0, dtype=numbers)
        by, start = (build.broadcast_to(each, like.shape) for each in (step, first))
        return (build.cast_to(ew.add(ew.mul(place, by), start), result.dtype),)

    types = (result, TensorType((), numbers), TensorType((), numbers))
    return sized_plan("line", (numbers, result.dtype), types, outputs)


def _spaced(name: str) -> Callable[..., Tensor]:
    """`linspace` or `logspace`."""

    def make(
        *args: Any,
        out: Tensor | None = None,
        dtype: DType | None = None,
        layout: object = None,
        device: object = None,
        pin_memory: bool = False,
        requires_grad: bool = False,
        **named: Any,
    ) -> Tensor:
        order = ("start", "end", "steps", "base")[: 4 if name == "logspace" else 3]
        given = {**dict(zip(order, args)), **named}
        if len(args) > len(order) or not {"start", "end", "steps"} <= given.keys() <= set(order):
            raise invalid_combination(name, args, named, _SPACED)
        steps = given["steps"]
        if isinstance(steps, bool) or not hasattr(steps, "__index__"):
            raise invalid_combination(name, args, named, _SPACED)
        ends: list[Any] = [given["start"], given["end"]]
        ends = [each if isinstance(each, Tensor) else number_of(name, "start", 1, each) for each in ends]
        if all(isinstance(each, Tensor) and each._array.ndim == 0 for each in ends):
            ends = [each.item() for each in ends]
        target = None
        if out is not None or dtype is not None:
            target = dtype_with_out(name, dtype, get_default_dtype(), out)
            if target.name == "bool":
                raise UnsupportedDType(f"\"{name}_cpu\" not implemented for '{target.scalar}'")
        place = check_place(name, layout, device, pin_memory)
        more = [] if "base" not in given else [number_of(name, "base", 4, given["base"])]
        found = unrecorded(lambda: function_of(name)(*ends, int(steps), *more, dtype=target))
        assert isinstance(found, Tensor)
        return deliver(found._array, out, requires_grad, place, pin_memory=pin_memory)

    make.__name__ = make.__qualname__ = name
    make.__doc__ = "`steps` evenly spaced numbers from start to end, both included."
    if name == "logspace":
        make.__doc__ = "`base` (10 unless given) to the power of `steps` evenly spaced numbers from start to end."
    return make


def eye(
    n: Any,
    m: Any = None,
    *,
    out: Tensor | None = None,
    dtype: DType | None = None,
    layout: object = None,
    device: object = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
) -> Tensor:
    """[n, m] (m is n unless given): 1 on the diagonal, 0 elsewhere."""
    rows = integer_of("eye", "n", 1, n)
    columns = rows if m is None else integer_of("eye", "m", 2, m)
    for name, size in (("n", rows), ("m", columns)):
        if size < 0:
            raise ArgumentError(f"{name} must be greater or equal to 0, got {size}")
    target = dtype_with_out("eye", dtype, get_default_dtype(), out)
    place = check_place("eye", layout, device, pin_memory, None if out is None else output(out)._array)
    array = empty((rows, columns), target.numpy, place)
    array.fill(0)
    array.reshape(-1)[: min(rows, columns) * (columns + 1) : columns + 1].fill(1)
    return deliver(array, out, requires_grad, pin_memory=pin_memory)


def _indices(name: str, choose: Callable[..., tuple[AnyArray, AnyArray]]) -> Callable[..., Tensor]:
    """`tril_indices` or `triu_indices`."""

    def make(
        row: Any,
        col: Any,
        offset: int = 0,
        *,
        dtype: DType | None = None,
        layout: object = None,
        device: object = None,
        pin_memory: bool = False,
    ) -> Tensor:
        rows, columns = integer_of(name, "row", 1, row), integer_of(name, "col", 2, col)
        for what, size in (("row", rows), ("col", columns)):
            if size < 0:
                raise ArgumentError(f"{what} must be non-negative, got{size}")
        target = dtype_of(name, dtype, i64)
        if target not in (i32, i64):
            raise UnsupportedDType(f"\"{name}\" not implemented for '{target.scalar}'", hint="use int64 or int32")
        place = check_place(name, layout, device, pin_memory)
        return deliver(
            np.stack(choose(rows, integer_of(name, "offset", 3, offset), columns)).astype(target.numpy),
            None,
            False,
            place,
            pin_memory=pin_memory,
        )

    make.__name__ = make.__qualname__ = name
    make.__doc__ = f"[2, n]: rows and columns of the {'lower' if name[3] == 'l' else 'upper'} triangle of a matrix."
    return make


FUNCTIONS: dict[str, Callable[..., object]] = {
    "arange": arange,
    "eye": eye,
    "linspace": _spaced("linspace"),
    "logspace": _spaced("logspace"),
    "range": range_,
    "tril_indices": _indices("tril_indices", np.tril_indices),
    "triu_indices": _indices("triu_indices", np.triu_indices),
}
