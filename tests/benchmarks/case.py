"""What is timed: each case once, written so that every library runs the same lines.

In: a library's module of functions (numpy, graphc, torch, jax.numpy). Out: a `Case` with inputs, the function, and its
cost. The quick sizes serve the test that the script runs; their figures mean nothing.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

ROOT = Path(__file__).parent.parent.parent
Arrays = tuple[npt.NDArray[Any], ...]


def add(functions: Any, x: Any, y: Any) -> Any:
    """One operation: on ten elements, what an eager library needs around it."""
    return x + y


def three_ops(functions: Any, x: Any, y: Any) -> Any:
    """Three operations: on ten elements, what a call costs."""
    return x * y + x - y


def chain(functions: Any, x: Any) -> Any:
    """Eleven passes over memory for numpy, one for a compiler."""
    return functions.tanh(x * 0.79788 * (1 + 0.044715 * x * x)) * 0.5 * x + x / (1 + functions.exp(-x))


def product(functions: Any, x: Any, y: Any) -> Any:
    """A matrix product."""
    return x @ y


@dataclass(frozen=True, slots=True)
class Case:
    """A function with the shapes of its arguments (f32), at full and at quick size."""

    function: Callable[..., Any]
    shapes: tuple[tuple[int, ...], ...]
    quick: tuple[tuple[int, ...], ...]

    def inputs(self, is_quick: bool) -> Arrays:
        """The same arrays in every process."""
        generator = np.random.default_rng(0)
        return tuple(generator.standard_normal(s, np.float32) for s in (self.quick if is_quick else self.shapes))

    def flops(self, is_quick: bool) -> int:
        """Operations of a matrix product; 0 where the rate says nothing."""
        if self.function is not product:
            return 0
        (rows, depth), (_, columns) = self.quick if is_quick else self.shapes
        return 2 * rows * depth * columns


CASES = {
    "x + y on 10 elements": Case(add, ((10,), (10,)), ((10,), (10,))),
    "3 ops on 10 elements": Case(three_ops, ((10,), (10,)), ((10,), (10,))),
    "chain of 64 Ki elements": Case(chain, ((1 << 16,),), ((100,),)),
    "chain of 10 M elements": Case(chain, ((10_000_000,),), ((1000,),)),
    "matmul 512": Case(product, ((512, 512), (512, 512)), ((16, 16), (16, 16))),
    "matmul 1024": Case(product, ((1024, 1024), (1024, 1024)), ((32, 32), (32, 32))),
}
STEP = "digits step"
"""A training step of examples/digits.py: timed like the cases, and its first call in a fresh process."""

TINY_STEP = "tiny MLP step, eager"
"""A training step of two small layers, written with tensors and `backward()`: what each operation costs."""


def tiny_inputs() -> tuple[Arrays, Arrays]:
    """The parameters of layers from 8 to 16 to 2, and a batch of 4: inputs, targets."""
    generator = np.random.default_rng(0)

    def normal(*shape: int) -> npt.NDArray[np.float32]:
        return generator.standard_normal(shape, np.float32)

    return (normal(8, 16) / 3, normal(16), normal(16, 2) / 4, normal(2)), (normal(4, 8), normal(4, 2))


def digits() -> ModuleType:
    """examples/digits.py as a module."""
    spec = importlib.util.spec_from_file_location("digits", ROOT / "examples" / "digits.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def step_inputs() -> tuple[dict[str, npt.NDArray[np.float32]], Arrays]:
    """Parameters as examples/digits.py starts them, and a batch: images, labels."""
    generator = np.random.default_rng(0)

    def uniform(inputs: int, *shape: int) -> npt.NDArray[np.float32]:
        return generator.uniform(-(inputs**-0.5), inputs**-0.5, shape).astype(np.float32)

    params = {"w1": uniform(64, 64, 128), "b1": uniform(64, 128), "w2": uniform(128, 128, 10), "b2": uniform(128, 10)}
    return params, (generator.random((64, 64), np.float32), generator.integers(0, 10, 64))
