"""Sorting and looking up where the run alone knows how long the axis is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc as g
from graphc.ir.graph import Graph

Case = tuple[str, str, Callable[..., Any], Callable[[np.ndarray], Any]]

CASES: tuple[Case, ...] = (
    ("sort", "f32[n]", lambda x: x.sort().values, np.sort),
    ("columns", "f32[n,3]", lambda x: x.argsort(0), lambda x: np.argsort(x, 0, kind="stable")),
    ("rows", "f32[m,n] where m in 1..", lambda x: x.argsort(1), lambda x: np.argsort(x, 1, kind="stable")),
    (
        "lookup",
        "f32[n]",
        lambda x: g.searchsorted(x.sort().values, x, right=True),
        lambda x: np.searchsorted(np.sort(x), x, "right"),
    ),
    ("extreme", "f32[n]", lambda x: x.cummax(0).values, np.maximum.accumulate),
    ("product", "f32[n]", lambda x: x.cumprod(0), np.cumprod),
)
SHAPES = {"f32[n]": "n", "f32[n,3]": "n3", "f32[m,n] where m in 1..": "2n"}


@pytest.fixture(scope="module")
def compiled() -> dict[str, Any]:
    return {name: _trace(build, spec).compile() for name, spec, build, _ in CASES}


def _trace(build: Callable[..., Any], spec: str) -> Graph:
    return g.symbolic_trace(build, spec)


@pytest.mark.parametrize("size", (0, 1, 2, 3, 7, 1024, 1025, 3000))
@pytest.mark.parametrize(("name", "spec", "build", "expected"), CASES, ids=[case[0] for case in CASES])
def test_one_program_fits_every_size(
    name: str,
    spec: str,
    build: Callable[..., Any],
    expected: Callable[[np.ndarray], Any],
    size: int,
    compiled: dict[str, Any],
) -> None:
    shape = tuple(size if letter == "n" else int(letter) for letter in SHAPES[spec])
    # Whole numbers, many of them equal, of size 1 where they are multiplied.
    x = np.random.default_rng(size).integers(-20, 20, shape).astype(np.float32)
    x = np.sign(x) if name == "product" else x
    np.testing.assert_array_equal(compiled[name](x), expected(x))
