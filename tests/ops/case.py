"""A case of the table of ops, how its operands are drawn, and when two results count as equal."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from graphc.ir.attribute import Attribute
from graphc.ir.dtype import (
    DTYPES,
    DType,
    Kind,
    bf16,
    bool_,
    c64,
    c128,
    dtype,
    f16,
    f32,
    f64,
)
from graphc.ir.graph import Graph, Node, make_input
from graphc.ir.op import Op
from graphc.ir.type import TensorType

Values = npt.NDArray[Any]

TOLERANCE = {f16: 1e-3, bf16: 8e-3, f32: 2e-6, f64: 1e-14, c64: 4e-6, c128: 4e-14}
"""Relative error that two ways to compute one element may differ by; sums of n elements get sqrt(n) times that."""


@dataclass(frozen=True)
class Case:
    """One node: what to compute on which arrays, and what must come out."""

    op: Op
    arrays: tuple[Values, ...]
    attributes: dict[str, Attribute] = field(default_factory=dict)
    expected: Callable[..., Any] | None = None
    label: str = ""
    gradient: bool = False
    """Whether derivatives are compared with differences here; such cases are float64 or complex128 and smooth."""
    exact: bool = False
    """Whether the result must have these very bits (nan aside), because each step rounds exactly or not at all."""

    @property
    def id(self) -> str:
        """For pytest."""
        kinds = "-".join(str(TensorType(a.shape, dtype(a.dtype))) for a in self.arrays)
        return f"{self.op.name}-{kinds}{'-' + self.label if self.label else ''}"

    def inputs(self) -> tuple[Node, ...]:
        """An input node for each array."""
        return tuple(make_input(f"x{k}", TensorType(a.shape, dtype(a.dtype))) for k, a in enumerate(self.arrays))

    def graph(self) -> Graph:
        """The graph of the one node."""
        inputs = self.inputs()
        return Graph(self.op.name, inputs, (self.op(*inputs, **self.attributes),))


def assert_close(actual: Values, expected: Any, *, exact: bool = False, count: int = 1) -> None:
    """Equal dtype and shape, and values up to the dtype's tolerance; nan equals nan."""
    wanted = np.asarray(expected)
    assert actual.shape == wanted.shape, f"shape {actual.shape}, expected {wanted.shape}"
    kind = dtype(actual.dtype)
    if kind.kind < Kind.FLOAT or exact:
        cast_wanted = wanted.astype(actual.dtype)
        np.testing.assert_array_equal(_comparable(actual), _comparable(cast_wanted))
        if kind.is_floating_point:
            zeros = _comparable(actual) == 0
            np.testing.assert_array_equal(
                np.signbit(_comparable(actual))[zeros], np.signbit(_comparable(cast_wanted))[zeros]
            )
        return
    limit = TOLERANCE[kind] * math.sqrt(count)
    with np.errstate(all="ignore"):
        rounded = _comparable(wanted.astype(actual.dtype))
    finite = rounded[np.isfinite(rounded)]
    scale = float(np.max(np.abs(finite), initial=0.0)) if count > 1 else 0.0
    least = {f16: 6e-8, bf16: 1e-40, f32: 1.5e-45, f64: 5e-324, c64: 1e-7, c128: 1e-15}[kind]
    np.testing.assert_allclose(_comparable(actual), rounded, rtol=limit, atol=max(limit * scale, least))


def _comparable(x: Values) -> Values:
    return x.astype(np.float32) if x.dtype in (f16.numpy, bf16.numpy) else x


COMBINE: dict[str, Callable[[Any, Any], Any]] = {
    "set": lambda a, b: b,
    "add": lambda a, b: a + b,
    "mul": lambda a, b: a * b,
    "max": max,
    "min": min,
}
"""Of each mode of scattering ops: what becomes of an element and an update."""


# Operands

_RANDOM = np.random.default_rng(20240229)
INTEGERS = tuple(d for d in DTYPES if d.is_integer)
FLOATS = (f16, bf16, f32, f64)
COMPLEXES = (c64, c128)


def draw(shape: tuple[int, ...], kind: DType = f64, low: float = -2.0, high: float = 2.0) -> Values:
    """Random elements: uniform floats, integers of both signs, bools."""
    if kind is bool_:
        return _RANDOM.integers(0, 2, shape).astype(np.bool_)
    if kind.is_integer:
        return _RANDOM.integers(0 if not kind.signed else -9, 10, shape).astype(kind.numpy)
    parts = _RANDOM.uniform(low, high, shape)
    if kind.is_complex:
        return (parts + 1j * _RANDOM.uniform(low, high, shape)).astype(kind.numpy)
    return parts.astype(kind.numpy)


def special(kind: DType) -> Values:
    """Zeros, subnormal, largest, infinite and nan; the ends of an integer type."""
    if kind is bool_:
        return np.array([False, True])
    if kind.is_integer:
        limits = np.iinfo(kind.numpy.name)
        return np.array([0, 1, limits.min, limits.max, limits.min + 1, 2, 7], kind.numpy)
    if kind.is_complex:
        return np.array([0, 1, -1, 1j, -1j, 3 + 4j, complex(-0.0, 0.0)], kind.numpy)
    least = {f16: 6e-8, bf16: 1e-40, f32: 1e-45, f64: 5e-324}[kind]
    most = {f16: 65504.0, bf16: 3.3895e38, f32: 3.4028234e38, f64: 1.7976931348623157e308}[kind]
    values = [0.0, -0.0, least, -least, 1.0, -1.0, 0.5, -2.5, 1.5, most, -most, math.inf, -math.inf, math.nan]
    return np.array(values, np.float64).astype(kind.numpy)


def pairs(kind: DType) -> tuple[Values, Values]:
    """Every special value beside every other."""
    values = special(kind)
    return np.repeat(values, len(values)), np.tile(values, len(values))
