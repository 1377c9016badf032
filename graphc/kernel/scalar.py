"""The scalar ops of the kernel level: one table with dtypes and meaning, and their evaluation in numpy.

In: a name and arrays (or dtypes). Out: the array (or dtype) that the op gives. A *base* op has numpy semantics here,
and code generation has an instruction or two for it. Every other op is a formula over base ops
(`graphc.kernel.formula`), so the interpreter and native code compute the same bits.

float16 and bfloat16 are computed in float32 and rounded once. Integers wrap; a division by zero gives 0. On bools,
`add` and `maximum` mean or, `mul` and `minimum` mean and.

>>> from graphc.ir.dtype import i32
>>> evaluate("shift_left", i32, np.int32(3), np.int32(40)), evaluate("maximum", f32, np.float32(1), np.float32("nan"))
(array(0, dtype=int32), array(nan, dtype=float32))
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from graphc.ir.dtype import DType, Kind, bf16, bool_, dtype, f16, f32, f64
from graphc.ir.lowering import Scalar
from graphc.kernel.exact import fused_multiply_add
from graphc.kernel.formula import FORMULAS

Array: TypeAlias = npt.NDArray[Any]


class Result(Enum):
    """How an op's result dtype follows from those of its operands."""

    SAME = "that of the operands, which agree"
    FIRST = "that of the first operand"
    BOOL = "bool"
    SELECT = "that of the second and third operand, which agree; the first is a bool"
    GIVEN = "given with the op"


@dataclass(frozen=True, slots=True)
class ScalarOp:
    """A scalar op: how many operands of which kinds, what dtype comes out, and what it computes."""

    name: str
    summary: str
    arity: int
    kinds: frozenset[Kind]
    result: Result = Result.SAME
    compute: Callable[..., Array] | None = None
    """Base ops: the result, in its dtype or one that is then cast to it, from arrays without 16-bit floats."""
    is_expensive: bool = False

    @property
    def is_base(self) -> bool:
        """Whether code generation emits it directly; if not, it is one of `FORMULAS`."""
        return self.compute is not None


def result_dtype(name: str, operands: tuple[DType, ...], given: DType | None = None) -> DType:
    """The dtype of the op's result; asserts that the op takes such operands."""
    op = SCALARS[name]
    assert len(operands) == op.arity, f"{name} takes {op.arity} operands, not {len(operands)}"
    if op.result is Result.SELECT:
        assert operands[0] is bool_, f"select by a {operands[0].name}"
        assert operands[1] is operands[2], f"select of {operands[1].name} and {operands[2].name}"
        return operands[1]
    for operand in operands:
        assert operand.kind in op.kinds, f"{name} of ({', '.join(d.name for d in operands)})"
    if op.result is Result.GIVEN:
        assert given is not None, f"{name} needs its result dtype"
        assert name != "bitcast" or given.bits == operands[0].bits, f"bitcast of {operands[0].name} to {given.name}"
        return given
    if op.result is not Result.FIRST:
        assert all(d is operands[0] for d in operands), f"{name} of ({', '.join(d.name for d in operands)})"
    return bool_ if op.result is Result.BOOL else operands[0]


def evaluate(name: str, out: DType, *operands: npt.ArrayLike) -> Array:
    """The op on numpy arrays, element by element, as an array of dtype `out`."""
    op = SCALARS[name]
    arrays = [np.asarray(x) for x in operands]
    with np.errstate(all="ignore"):
        if op.compute is None:
            builder = ArrayBuilder()
            return cast(ArrayScalar, FORMULAS[name](builder, *(ArrayScalar.of(x) for x in arrays))).array
        if name == "bitcast":
            return _bitcast(arrays[0], out)
        if name == "cast":
            return _cast(arrays[0], out)
        return _cast(np.asarray(op.compute(*map(_widen, arrays))), out)


@dataclass(frozen=True, slots=True)
class ArrayScalar:
    """A "scalar" that is many at once: an array."""

    array: Array
    dtype: DType

    @classmethod
    def of(cls, value: npt.ArrayLike) -> ArrayScalar:
        """From an array of a dtype that graphc knows."""
        array = np.asarray(value)
        return cls(array, dtype(array.dtype))


class ArrayBuilder:
    """Computes formulas on arrays at once instead of emitting them."""

    def constant(self, value: float, dtype: DType) -> ArrayScalar:
        """A number, rounded to the dtype."""
        return ArrayScalar(np.asarray(value).astype(dtype.numpy), dtype)

    def apply(self, op: str, *operands: Scalar, dtype: DType | None = None) -> ArrayScalar:
        """A scalar op."""
        scalars = [cast(ArrayScalar, x) for x in operands]
        out = result_dtype(op, tuple(x.dtype for x in scalars), dtype)
        return ArrayScalar(evaluate(op, out, *(x.array for x in scalars)), out)

    def cast(self, x: Scalar, dtype: DType) -> ArrayScalar:
        """The value converted."""
        return self.apply("cast", x, dtype=dtype)

    def select(self, condition: Scalar, a: Scalar, b: Scalar) -> ArrayScalar:
        """`a` where the condition holds, else `b`."""
        return self.apply("select", condition, a, b)


def _widen(x: Array) -> Array:
    return x.astype(np.float32) if x.dtype in (f16.numpy, bf16.numpy) else x


def _is_float(x: Array) -> bool:
    return x.dtype in (f32.numpy, f64.numpy)


def _cast(x: Array, out: DType) -> Array:
    """PyTorch's conversions; to 16-bit floats through float32, to integers truncated, saturating, nan to 0."""
    x = _widen(x)
    if x.dtype == out.numpy:
        return x
    if out in (f16, bf16):
        return x.astype(np.float32).astype(out.numpy)
    if out is bool_:
        return np.asarray(x != 0)
    if not (_is_float(x) and out.is_integer):
        return x.astype(out.numpy)
    limits = np.iinfo(cast("np.dtype[np.integer[Any]]", out.numpy))
    low, high = int(limits.min), int(limits.max)
    # The upper bound may not be a float; its successor, a power of two, is.
    is_high, is_low = x >= float(high + 1), x <= float(low)
    inside = np.where(is_high | is_low | np.isnan(x), 0, x).astype(out.numpy)
    return np.where(is_high, out.numpy.type(high), np.where(is_low, out.numpy.type(low), inside)).astype(out.numpy)


def _bitcast(x: Array, out: DType) -> Array:
    return np.ascontiguousarray(x).view(out.numpy).reshape(x.shape)


def _divide_truncated(a: Array, b: Array) -> Array:
    divisor = np.where(b == 0, b.dtype.type(1), b)
    quotient = a // divisor
    rounds_up = (a - quotient * divisor != 0) & ((a < 0) != (divisor < 0))
    return np.where(b == 0, 0, quotient + rounds_up.astype(a.dtype)).astype(a.dtype)


def _remainder_truncated(a: Array, b: Array) -> Array:
    return np.where(b == 0, 0, a - _divide_truncated(a, b) * b).astype(a.dtype)


def _maximum(a: Array, b: Array) -> Array:
    if not _is_float(a):
        return np.asarray(np.maximum(a, b))
    # Equal operands differ at most in the sign of zero, which the sum settles.
    greater = np.where(a > b, a, np.where(a == b, np.where(a == 0, a + b, a), b))
    return np.where(np.isnan(a), a, greater)


def _minimum(a: Array, b: Array) -> Array:
    return np.asarray(np.minimum(a, b)) if not _is_float(a) else -_maximum(-a, -b)


def _amount(a: Array, amount: Array) -> tuple[Array, Array]:
    """Whether the amount is within the width, and the amount, 0 where it isn't."""
    inside = (amount >= 0) & (amount < a.dtype.itemsize * 8)
    return inside, np.where(inside, amount, 0).astype(a.dtype)


def _shift_left(a: Array, amount: Array) -> Array:
    inside, steps = _amount(a, amount)
    return np.where(inside, a << steps, 0).astype(a.dtype)


def _shift_right(a: Array, amount: Array) -> Array:
    inside, steps = _amount(a, amount)
    beyond = np.where(a < 0, a.dtype.type(0) - np.ones_like(a), np.zeros_like(a))
    return np.where(inside, a >> steps, beyond).astype(a.dtype)


def _select(condition: Array, a: Array, b: Array) -> Array:
    return np.where(condition, a, b)


_FLOAT: Final = frozenset({Kind.FLOAT})
_INT: Final = frozenset({Kind.INT})
_BITS: Final = frozenset({Kind.BOOL, Kind.INT})
_NUMBER: Final = frozenset({Kind.INT, Kind.FLOAT})
_ANY: Final = frozenset({Kind.BOOL, Kind.INT, Kind.FLOAT})

_BASE: Final = (
    ScalarOp("add", "a + b", 2, _ANY, compute=np.add),
    ScalarOp("sub", "a - b", 2, _NUMBER, compute=np.subtract),
    ScalarOp("mul", "a * b", 2, _ANY, compute=np.multiply),
    ScalarOp("neg", "-a", 1, _NUMBER, compute=np.negative),
    ScalarOp("abs", "|a|", 1, _NUMBER, compute=np.abs),
    ScalarOp("div", "a / b", 2, _FLOAT, compute=np.divide, is_expensive=True),
    ScalarOp("divide_truncated", "a / b towards 0", 2, _INT, compute=_divide_truncated, is_expensive=True),
    ScalarOp("remainder_truncated", "a - a / b * b", 2, _INT, compute=_remainder_truncated, is_expensive=True),
    ScalarOp("fma", "a * b + c, rounded once", 3, _FLOAT, compute=fused_multiply_add),
    ScalarOp("sqrt", "square root, rounded right", 1, _FLOAT, compute=np.sqrt, is_expensive=True),
    ScalarOp("floor", "greatest whole number below", 1, _FLOAT, compute=np.floor),
    ScalarOp("ceil", "least whole number above", 1, _FLOAT, compute=np.ceil),
    ScalarOp("round", "nearest whole number, halves to even", 1, _FLOAT, compute=np.rint),
    ScalarOp("trunc", "whole part", 1, _FLOAT, compute=np.trunc),
    ScalarOp("maximum", "the greater; nan if one is; 0 > -0", 2, _ANY, compute=_maximum),
    ScalarOp("minimum", "the lesser; nan if one is; -0 < 0", 2, _ANY, compute=_minimum),
    ScalarOp("copysign", "|a| with the sign bit of b", 2, _FLOAT, compute=np.copysign),
    ScalarOp("eq", "a == b", 2, _ANY, Result.BOOL, np.equal),
    ScalarOp("ne", "a != b; true for nan", 2, _ANY, Result.BOOL, np.not_equal),
    ScalarOp("lt", "a < b", 2, _ANY, Result.BOOL, np.less),
    ScalarOp("le", "a <= b", 2, _ANY, Result.BOOL, np.less_equal),
    ScalarOp("gt", "a > b", 2, _ANY, Result.BOOL, np.greater),
    ScalarOp("ge", "a >= b", 2, _ANY, Result.BOOL, np.greater_equal),
    ScalarOp("bitwise_and", "a & b", 2, _BITS, compute=np.bitwise_and),
    ScalarOp("bitwise_or", "a | b", 2, _BITS, compute=np.bitwise_or),
    ScalarOp("bitwise_xor", "a ^ b", 2, _BITS, compute=np.bitwise_xor),
    ScalarOp("bitwise_not", "~a", 1, _BITS, compute=np.invert),
    ScalarOp("shift_left", "a << b; 0 where b is negative or beyond the width", 2, _INT, Result.FIRST, _shift_left),
    ScalarOp("shift_right", "a >> b, arithmetic if signed; all sign beyond", 2, _INT, Result.FIRST, _shift_right),
    ScalarOp("select", "b if a else c", 3, _ANY, Result.SELECT, _select),
    ScalarOp("cast", "converted", 1, _ANY, Result.GIVEN, lambda x: x),
    ScalarOp("bitcast", "the same bits as another dtype of this width", 1, _ANY, Result.GIVEN, lambda x: x),
)


def _derived(names: str, arity: int, kinds: frozenset[Kind], result: Result, is_expensive: bool) -> list[ScalarOp]:
    """Records of formulas, whose meaning their names are."""
    return [
        ScalarOp(name, name.replace("_", " "), arity, kinds, result, is_expensive=is_expensive)
        for name in names.split()
    ]


_DERIVED: Final = (
    *_derived("exp exp2 expm1 log log2 log10 log1p", 1, _FLOAT, Result.SAME, True),
    *_derived("sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh", 1, _FLOAT, Result.SAME, True),
    *_derived("erf erfc sigmoid cbrt rsqrt reciprocal", 1, _FLOAT, Result.SAME, True),
    *_derived("lgamma digamma trigamma erfinv erfcx ndtri log_ndtr", 1, _FLOAT, Result.SAME, True),
    *_derived("zeta_rest", 2, _FLOAT, Result.SAME, True),
    *_derived("gamma_integrand lower_gamma upper_gamma", 3, _FLOAT, Result.SAME, True),
    *_derived("bessel_j0 bessel_j1 bessel_y0 bessel_y1 i0 i0e i1 i1e airy_ai", 1, _FLOAT, Result.SAME, True),
    *_derived("modified_bessel_k0 modified_bessel_k1", 1, _FLOAT, Result.SAME, True),
    *_derived("scaled_modified_bessel_k0 scaled_modified_bessel_k1", 1, _FLOAT, Result.SAME, True),
    *_derived("atan2 fmod ldexp", 2, _FLOAT, Result.SAME, True),
    *_derived("pow floor_divide remainder", 2, _NUMBER, Result.SAME, True),
    *_derived("multiply_high", 2, _INT, Result.SAME, False),
    *_derived("gcd", 2, _INT, Result.SAME, True),
    *_derived("sign", 1, _NUMBER, Result.SAME, False),
    *_derived("logical_not", 1, frozenset({Kind.BOOL}), Result.SAME, False),
    *_derived("is_nan is_inf is_finite", 1, _FLOAT, Result.BOOL, False),
)

SCALARS: Final[dict[str, ScalarOp]] = {op.name: op for op in (*_BASE, *_DERIVED)}
"""Every scalar op by name."""
