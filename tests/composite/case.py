"""A case of the table of functions: a call on arrays, and what must come out by an independent formula."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

import graphc
from graphc.ir.dtype import dtype
from graphc.ir.graph import Graph
from graphc.ir.interpret import evaluate_graph

Values = npt.NDArray[Any]

_RANDOM = np.random.default_rng(20250417)


def draw(*shape: int, low: float = -2.0, high: float = 2.0) -> Values:
    """Random float64 numbers."""
    return _RANDOM.uniform(low, high, shape)


def whole(*shape: int, low: int = -9, high: int = 10) -> Values:
    """Random integers."""
    return _RANDOM.integers(low, high, shape)


def bits(*shape: int) -> Values:
    """Random bools."""
    return _RANDOM.integers(0, 2, shape).astype(np.bool_)


@dataclass(frozen=True)
class Case:
    """`build` on `arrays` gives `expected` on them; floats are drawn as float64 and may be run narrower."""

    name: str
    """The entry of the table that is meant."""
    build: Callable[..., Any]
    expected: Callable[..., Any]
    arrays: tuple[Values, ...]
    gradient: bool = False
    """Whether derivatives by all float operands are compared with differences; the operands are away from corners."""
    exact: bool = False
    """Whether no rounding is allowed: elements are moved, or computed in integers."""

    @property
    def id(self) -> str:
        """For pytest."""
        return f"{self.name}-{'-'.join('x'.join(map(str, a.shape)) or '0d' for a in self.arrays)}"

    def narrowed(self) -> tuple[Values, ...]:
        """The operands with float32 in place of float64."""
        narrow = {np.dtype(np.float64): np.float32, np.dtype(np.complex128): np.complex64}
        return tuple(a.astype(narrow.get(a.dtype, a.dtype)) for a in self.arrays)


def trace(build: Callable[..., Any], arrays: tuple[Values, ...]) -> Graph:
    """The graph for operands of these types."""
    return graphc.symbolic_trace(build, *arrays)


def interpret(build: Callable[..., Any], *arrays: Values) -> tuple[Values, ...]:
    """The results by the interpreter."""
    return evaluate_graph(trace(build, arrays), arrays)


def native(build: Callable[..., Any], *arrays: Values) -> tuple[Values, ...]:
    """The results by native code."""
    result = trace(build, arrays).compile()(*arrays)
    return tuple(result) if isinstance(result, tuple | list) else (result,)


def wanted(expected: Callable[..., Any], *arrays: Values) -> tuple[Values, ...]:
    """What must come out."""
    with np.errstate(all="ignore"):
        result = expected(*arrays)
    return tuple(map(np.asarray, result)) if isinstance(result, tuple | list) else (np.asarray(result),)


def assert_close(actual: tuple[Values, ...], expected: tuple[Values, ...], *, exact: bool, limit: float) -> None:
    """Equal shapes, kinds and values; errors are relative to the largest number."""
    assert len(actual) == len(expected), f"{len(actual)} results, expected {len(expected)}"
    for got, want in zip(actual, expected, strict=True):
        assert got.shape == want.shape, f"shape {got.shape}, expected {want.shape}"
        assert dtype(got.dtype).kind == dtype(want.dtype).kind, f"{got.dtype}, expected {want.dtype}"
        if exact or got.dtype.kind in "bi":
            np.testing.assert_array_equal(got, want.astype(got.dtype))
            continue
        finite = want[np.isfinite(want)]
        scale = float(np.max(np.abs(finite), initial=0.0))
        np.testing.assert_allclose(got, want, rtol=limit, atol=limit * max(scale, 1e-3))
