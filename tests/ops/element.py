"""Runs lowering rules in Python, one element of the result at a time.

Reads outside an operand are errors here, so a rule that gets an index or a guard wrong fails even where the value would
not show it. Sizes may be symbolic: they are evaluated with the given numbers only when a number is needed, after the
rule has made its decisions on bounds.
"""

from __future__ import annotations

import cmath
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from graphc.ir.dim import Size, evaluate
from graphc.ir.dtype import DType, bool_, dtype, f32, f64, real_of
from graphc.ir.graph import Node
from graphc.ir.op import Op
from graphc.ir.type import TensorType
from graphc.kernel.scalar import SCALARS, result_dtype
from graphc.kernel.scalar import evaluate as evaluate_scalar
from graphc.ops import elementwise
from graphc.ops.numerics import convert

Values = npt.NDArray[Any]

_FUNCTIONS = {value.name: value for value in vars(elementwise).values() if isinstance(value, Op)}


@dataclass(frozen=True)
class Number:
    """A numpy scalar as a 0-d array."""

    value: Values

    @property
    def dtype(self) -> DType:
        """Its element type."""
        return dtype(self.value.dtype)


class OutOfBounds(AssertionError):
    """A rule read where there is no element."""


class CheckFailed(Exception):
    """A check of the rule failed."""


@dataclass(frozen=True)
class Reader:
    """An operand that watches where it is read."""

    type: TensorType
    array: Values
    sizes: Mapping[str, int]

    def __call__(self, indices: tuple[Size, ...]) -> Number:
        place = tuple(evaluate(index, self.sizes) for index in indices)
        if len(place) != self.array.ndim or not all(0 <= p < n for p, n in zip(place, self.array.shape)):
            raise OutOfBounds(f"read at {place} of {self.array.shape}")
        return Number(np.asarray(self.array[place]))


class ElementBuilder:
    """`graphc.ir.lowering.Builder` that computes at once."""

    def __init__(self, sizes: Mapping[str, int]) -> None:
        self.sizes = sizes

    def constant(self, value: complex, dtype: DType) -> Number:
        """A literal."""
        return Number(np.asarray(value).astype(dtype.numpy))

    def apply(self, op: str, *operands: Number, dtype: DType | None = None) -> Number:
        """A scalar op."""
        arrays = [x.value for x in operands]
        if op in COMPLEX and (op == "complex" or any(x.dtype.is_complex for x in operands)):
            with np.errstate(all="ignore"):
                return Number(np.asarray(COMPLEX[op](*arrays)).astype(_complex_result(op, operands[0].dtype).numpy))
        assert op in SCALARS, f"there is no scalar op {op}"
        out = result_dtype(op, tuple(x.dtype for x in operands), dtype)
        if op in _FUNCTIONS and not SCALARS[op].is_base:
            # Functions are judged where their formulas are tested: here they mean what the op of their name means.
            return Number(np.asarray(_FUNCTIONS[op].reference(TensorType((), out), *arrays)))
        return Number(evaluate_scalar(op, out, *arrays).reshape(()))

    def cast(self, x: Number, dtype: DType) -> Number:
        """The value converted."""
        return Number(np.asarray(convert(x.value, dtype)))

    def select(self, condition: Number, a: Number, b: Number) -> Number:
        """One of the two."""
        assert condition.dtype is bool_
        assert a.dtype is b.dtype
        return a if condition.value else b

    def index(self, size: Size, dtype: DType) -> Number:
        """An index expression as a number."""
        return Number(np.asarray(evaluate(size, self.sizes)).astype(dtype.numpy))

    def position(self, x: Number, extent: Size) -> Size:
        """A number as an index, clamped."""
        return max(0, min(int(x.value), evaluate(extent, self.sizes) - 1))

    def guard(self, condition: Number, value: Callable[[], Number], otherwise: Number) -> Number:
        """`value()` only where the condition holds."""
        return value() if condition.value else otherwise

    def reduce(self, combiner: str, extent: Size, element: Callable[[Size], Number]) -> Number:
        """The elements combined in order; sums and products of 16-bit floats in float32, rounded once."""
        values = [element(k) for k in range(evaluate(extent, self.sizes))]
        if not values:
            raise EmptyReduction(combiner)
        kind = values[0].dtype
        stacked = np.array([v.value for v in values])
        with np.errstate(all="ignore"):
            result: Values = getattr(np, combiner)(stacked.astype(kind.numpy))
        return Number(np.asarray(result).astype(np.int64 if combiner.startswith("arg") else kind.numpy))

    def iterate(self, count: Number, start: tuple[Number, ...], step: Callable[..., Any]) -> tuple[Number, ...]:
        """The state after so many steps."""
        state = start
        for k in range(int(count.value)):
            state = step(self.constant(k, dtype("int64")), state)
        return state

    def check(self, condition: Number, code: int) -> None:
        """Fails at once."""
        assert code == 0, "the code is the builder's to choose"
        if not condition.value:
            raise CheckFailed


def _of_complex(function: Callable[[complex], complex]) -> Callable[..., Any]:
    return lambda z: function(complex(z))


COMPLEX: dict[str, Callable[..., Any]] = {
    "complex": lambda re, im: re + 1j * im if np.isfinite(im) else complex(float(re), float(im)),
    "real": np.real,
    "imag": np.imag,
    "conj": np.conj,
    "neg": np.negative,
    "abs": np.abs,
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "eq": np.equal,
    "ne": np.not_equal,
    "reciprocal": lambda z: 1 / z,
    "rsqrt": lambda z: 1 / np.sqrt(z),
    "pow": np.power,
    "is_nan": np.isnan,
    "is_inf": np.isinf,
    "is_finite": np.isfinite,
} | {
    function.__name__: _of_complex(function)
    for function in (
        cmath.exp,
        cmath.log,
        cmath.sqrt,
        cmath.sin,
        cmath.cos,
        cmath.tan,
        cmath.sinh,
        cmath.cosh,
        cmath.tanh,
    )
}
"""Scalar ops of complex numbers, which a builder of kernels computes by parts."""


def _complex_result(op: str, first: DType) -> DType:
    if op in ("eq", "ne", "is_nan", "is_inf", "is_finite"):
        return bool_
    if op in ("real", "imag", "abs"):
        return real_of(first)
    if op == "complex":
        return {f32: dtype("complex64"), f64: dtype("complex128")}[first]
    return first


class EmptyReduction(Exception):
    """The value of a reduction over nothing, whose dtype no element tells: `compute` fills it in."""


def compute(node: Node, arrays: tuple[Values, ...], sizes: Mapping[str, int] | None = None) -> Values:
    """The node's value by its lowering rule; sizes of its type may be symbols with values in `sizes`."""
    known = sizes or {}
    builder = ElementBuilder(known)
    operands = [Reader(operand.tensor, array, known) for operand, array in zip(node.inputs, arrays)]
    out = node.tensor
    shape = tuple(evaluate(size, known) for size in out.shape)
    result = np.zeros(shape, out.dtype.numpy)
    assert node.op.lower is not None
    for place in np.ndindex(*shape):
        try:
            x = node.op.lower(builder, out, place, *operands, **node.keywords)
        except EmptyReduction as empty:
            identity = {"sum": 0, "any": 0, "prod": 1, "all": 1}[str(empty)]
            x = builder.constant(identity, out.dtype)
        assert isinstance(x, Number)
        assert x.dtype is out.dtype, f"{node.op.name} lowers to {x.dtype}, its type says {out.dtype}"
        result[place] = x.value
    return result
