"""Random programs of eager operations, views and writes: values and gradients of their compiled functional versions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import graphc
from graphc.ir.settings import override

ROWS, COLUMNS = 3, 4
PARTS: tuple[Any, ...] = (
    (slice(None), slice(None)),
    (0,),
    (slice(1, None),),
    (slice(None), 2),
    (slice(None), slice(0, 3, 2)),
    (1, slice(1, 3)),
    (slice(None, None, 2), slice(1, None)),
)
"""Views that programs read and write."""
UNARY = ("sin", "tanh", "sigmoid", "square", "neg", "atan")
BINARY = ("add", "sub", "mul", "maximum")


@dataclass(frozen=True)
class Step:
    """One operation; operands are numbers of earlier values."""

    kind: str
    name: str
    first: int
    second: int
    part: int

    def operands(self, count: int) -> tuple[int, int]:
        """The values that it takes of those there are."""
        return self.first % count, self.second % count


STEPS = st.builds(
    Step,
    st.sampled_from(("unary", "binary", "number", "turn", "matrix", "write", "fill", "scale", "part write")),
    st.sampled_from(UNARY + BINARY),
    st.integers(0, 9),
    st.integers(0, 9),
    st.integers(0, len(PARTS) - 1),
)


def unary(name: str) -> str:
    return name if name in UNARY else UNARY[BINARY.index(name)]


def binary(name: str) -> str:
    return name if name in BINARY else BINARY[UNARY.index(name) % len(BINARY)]


def eagerly(steps: Sequence[Step], leaves: Sequence[Any]) -> Any:
    """The program with views and writes in place. Leaves aren't written to."""
    values = [leaf * 1.0 for leaf in leaves]
    for step in steps:
        a, b = (values[i] for i in step.operands(len(values)))
        part = PARTS[step.part]
        match step.kind:
            case "unary":
                values.append(getattr(a, unary(step.name))())
            case "binary":
                values.append(getattr(graphc, binary(step.name))(a, b))
            case "number":
                values.append(a * (0.5 + step.part) - step.second)
            case "turn":
                values.append(a.t().reshape(ROWS, COLUMNS))
            case "matrix":
                values.append((a @ b.t()) @ b * 0.25)
            case "write":
                a.copy_(b * 0.5)
            case "fill":
                a[part] = 0.25 * step.second
            case "scale":
                a[part].mul_(0.75)
            case _:
                a[part] = b[part].sin()
    return sum((value * (k + 1)).sum() for k, value in enumerate(values))


def functionally(steps: Sequence[Step], leaves: Sequence[Any]) -> Any:
    """The program without writes: a value that is written to is another one from then on."""
    values = [leaf * 1.0 for leaf in leaves]
    numbers = np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS)
    for step in steps:
        i, j = step.operands(len(values))
        a, b = values[i], values[j]
        gone = np.isin(numbers, numbers[PARTS[step.part]]).astype(np.float64)
        match step.kind:
            case "unary":
                values.append(getattr(a, unary(step.name))())
            case "binary":
                values.append(getattr(graphc, binary(step.name))(a, b))
            case "number":
                values.append(a * (0.5 + step.part) - step.second)
            case "turn":
                values.append(a.permute(1, 0).reshape(ROWS, COLUMNS))
            case "matrix":
                values.append((a @ b.permute(1, 0)) @ b * 0.25)
            case "write":
                values[i] = b * 0.5
            case "fill":
                values[i] = a * (1 - gone) + 0.25 * step.second * gone
            case "scale":
                values[i] = a * (1 - 0.25 * gone)
            case _:
                values[i] = a * (1 - gone) + b.sin() * gone
    return sum((value * (k + 1)).sum() for k, value in enumerate(values))


def is_refused(error: RuntimeError) -> bool:
    """Whether a saved value was overwritten: an error that PyTorch raises too."""
    return "has been modified by an inplace operation" in str(error)


@settings(max_examples=40)
@given(st.lists(STEPS, min_size=1, max_size=8), st.integers(0, 2**16))
def test_gradients_of_programs_with_writes_are_those_of_compiled_functions(steps: list[Step], seed: int) -> None:
    random = np.random.default_rng(seed)
    arrays = [random.uniform(-1, 1, (ROWS, COLUMNS)) for _ in range(2)]

    def total(*leaves: Any) -> Any:
        return functionally(steps, leaves)

    graph = graphc.symbolic_trace(graphc.value_and_grad(total, (0, 1)), *arrays)
    value, gradients = graph.compile()(*arrays)
    for way in ("eager", "now", "now"):
        leaves = [graphc.from_numpy(array.copy()).requires_grad_() for array in arrays]
        result = eagerly(steps, leaves)
        np.testing.assert_allclose(result.item(), value, rtol=1e-12, atol=1e-12)
        try:
            with override(backward=way):
                result.backward()
        except RuntimeError as error:
            if is_refused(error):  # a value that a gradient reads was written to
                return
            raise
        for leaf, gradient in zip(leaves, gradients, strict=True):
            np.testing.assert_allclose(leaf.grad.numpy(), gradient, rtol=1e-11, atol=1e-11)
            np.testing.assert_array_equal(leaf.detach().numpy(), arrays[0 if leaf is leaves[0] else 1])


@settings(max_examples=30)
@given(st.lists(STEPS, min_size=1, max_size=5), st.integers(0, 2**16))
def test_second_order_of_programs_with_writes(steps: list[Step], seed: int) -> None:
    random = np.random.default_rng(seed)
    arrays = [random.uniform(-1, 1, (ROWS, COLUMNS)) for _ in range(2)]
    weights = [random.uniform(-1, 1, (ROWS, COLUMNS)) for _ in range(2)]

    def slope(of: Any, leaves: Sequence[Any]) -> Any:
        found = graphc.autograd.grad(of(steps, leaves), leaves, create_graph=True, materialize_grads=True)
        return sum((each * graphc.from_numpy(w)).sum() for each, w in zip(found, weights, strict=True))

    curvature = []
    for of in (functionally, eagerly):
        leaves = [graphc.from_numpy(array.copy()).requires_grad_() for array in arrays]
        try:
            result = slope(of, leaves)
            if not result.requires_grad:
                curvature.append([np.zeros((ROWS, COLUMNS))] * 2)
                continue
            second = graphc.autograd.grad(result, leaves, materialize_grads=True)
        except RuntimeError as error:
            if of is eagerly and is_refused(error):
                return
            raise
        curvature.append([each.numpy() for each in second])
    for got, want in zip(*curvature, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-10)
