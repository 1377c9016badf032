"""`graphc._foreach_add_` and its kin: one function of each tensor of a list, as optimizers of other hands call them.

Level: over the methods of eager tensors. In: lists of tensors, with a number, a tensor, or a list of them beside.
Out: the tuple of the results, or the list itself where its tensors are written. PyTorch makes fewer kernels of such
calls; here the recording of a whole step does that, so they are loops.

>>> import graphc
>>> graphc._foreach_mul([graphc.ones(2), graphc.ones(1)], [2.0, 3.0])
(tensor([2., 2.]), tensor([3.]))
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from graphc.eager.guard import guarded
from graphc.eager.tensor import Tensor
from graphc.ir.errors import ArgumentError

Result: TypeAlias = Sequence[Any]

UNARY = (
    "abs acos asin atan ceil cos cosh erf erfc exp expm1 floor frac lgamma log log10 log1p log2 neg reciprocal round "
    "rsqrt sigmoid sign sin sinh sqrt tan tanh trunc"
).split()
BINARY = "add sub mul div pow clamp_max clamp_min maximum minimum".split()
WITH_VALUE = "addcmul addcdiv".split()
_OF_NUMBERS = {"maximum": "clamp_min", "minimum": "clamp_max"}
"""The method that takes a number where the one of this name takes a tensor only."""


def _check(tensors: Sequence[Any], *others: Sequence[object]) -> None:
    if not tensors:
        raise ArgumentError("Tensor list must have at least one tensor.")
    for other in others:
        if len(other) != len(tensors):
            raise ArgumentError(
                f"Tensor lists must have the same number of tensors, got {len(tensors)} and {len(other)}"
            )


def _beside(tensors: Sequence[Any], other: Any) -> Sequence[Any]:
    """What goes with each tensor: the elements of a list, or the same for all."""
    if isinstance(other, list | tuple):
        if other and not isinstance(other[0], Tensor) and tensors and len(other) != len(tensors):
            raise ArgumentError("Tensor list must have same number of elements as scalar list.")
        _check(tensors, other)
        return other
    _check(tensors)
    return [other] * len(tensors)


def _done(tensors: Sequence[Any], results: list[Any], is_written: bool) -> Result:
    return tensors if is_written else tuple(results)


def _unary(name: str, tail: str) -> Callable[..., Any]:
    def each(self: Sequence[Any]) -> Result:
        _check(self)
        return _done(self, [getattr(tensor, name + tail)() for tensor in self], bool(tail))

    return each


def _binary(name: str, tail: str) -> Callable[..., Any]:
    def each(self: Sequence[Any], other: Any = None, *, alpha: Any = 1, **named: Any) -> Result:
        for given in named.values():  # PyTorch's overloads name it by its kind: scalar, scalars, tensor, exponent
            other = given
        results = []
        for tensor, value in zip(self, _beside(self, other), strict=True):
            method = name if isinstance(value, Tensor) else _OF_NUMBERS.get(name, name)
            scale = {} if isinstance(alpha, int) and alpha == 1 else {"alpha": alpha}
            results.append(getattr(tensor, method + tail)(value, **scale))
        return _done(self, results, bool(tail))

    return each


def _with_value(name: str, tail: str) -> Callable[..., Any]:
    def each(
        self: Sequence[Any], tensor1: Sequence[Any], tensor2: Sequence[Any], value: Any = 1, **named: Any
    ) -> Result:
        for given in named.values():
            value = given
        _check(self, tensor1, tensor2)
        if isinstance(value, Tensor):
            value = value.tolist()
        rows = zip(self, tensor1, tensor2, _beside(self, value), strict=True)
        return _done(self, [getattr(a, name + tail)(b, c, value=factor) for a, b, c, factor in rows], bool(tail))

    return each


def _lerp(tail: str) -> Callable[..., Any]:
    def each(self: Sequence[Any], tensors1: Sequence[Any], weight: Any = None, **named: Any) -> Result:
        weight = named.get("weights", weight)
        _check(self, tensors1)
        rows = zip(self, tensors1, _beside(self, weight), strict=True)
        return _done(self, [getattr(a, "lerp" + tail)(b, w) for a, b, w in rows], bool(tail))

    return each


def _pow(self: Any, exponent: Any) -> Result:
    """self ** exponent, either of them a list."""
    if isinstance(self, list | tuple):
        found: Result = _binary("pow", "")(self, exponent)
        return found
    _check(exponent)
    return tuple(self**each for each in exponent)


def _norm(self: Sequence[Any], ord: float = 2, dtype: Any = None) -> Result:
    """The vector norm of each tensor, over all its elements."""
    _check(self)
    return tuple(tensor.norm(ord, dtype=dtype) for tensor in self)


def _max(self: Sequence[Any]) -> Result:
    _check(self)
    return tuple(tensor.max() for tensor in self)


def _clone(self: Sequence[Any]) -> Result:
    _check(self)
    return tuple(tensor.clone() for tensor in self)


def _zero_(self: Sequence[Any]) -> Result:
    _check(self)
    return _done(self, [tensor.zero_() for tensor in self], True)


def _copy_(self: Sequence[Any], src: Sequence[Any], non_blocking: bool = False) -> Result:
    _check(self, src)
    return _done(self, [tensor.copy_(source) for tensor, source in zip(self, src, strict=True)], True)


def _functions() -> dict[str, Callable[..., Any]]:
    made: dict[str, Callable[..., Any]] = {}
    for tail in ("", "_"):
        made |= {f"{name}{tail}": _unary(name, tail) for name in UNARY}
        made |= {f"{name}{tail}": _binary(name, tail) for name in BINARY}
        made |= {f"{name}{tail}": _with_value(name, tail) for name in WITH_VALUE}
        made[f"lerp{tail}"] = _lerp(tail)
    made |= {"pow": _pow, "norm": _norm, "max": _max, "clone": _clone, "zero_": _zero_, "copy_": _copy_}
    for name, function in made.items():
        function.__name__ = function.__qualname__ = f"_foreach_{name}"
    return {f"_foreach_{name}": guarded(function) for name, function in made.items()}


FUNCTIONS = _functions()
