"""What an op's lowering rule may ask for.

A tensor is a function from index expressions to a scalar. A lowering rule answers for one element of its result: given
the element's indices and functions that read the operands, it asks the builder for the scalar code. Views thus cost
nothing, and fusion is composition of such functions.

    def lower_transpose(b, out, indices, x):      # out[i, j] = x[j, i]
        return x(indices[::-1])
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

from graphc.ir.dim import Size
from graphc.ir.dtype import DType
from graphc.ir.type import TensorType


class Scalar(Protocol):
    """A scalar value of the kernel level (for complex dtypes a pair of them, which the builder hides)."""

    @property
    def dtype(self) -> DType:
        """Its element type."""


class Operand(Protocol):
    """An operand as a function of its indices."""

    @property
    def type(self) -> TensorType:
        """Shape and dtype of the operand."""

    def __call__(self, indices: tuple[Size, ...]) -> Scalar:
        """The element at these indices, which must be in range wherever the code runs (see `Builder.guard`)."""


Step: TypeAlias = Callable[[Scalar, tuple[Scalar, ...]], tuple[Scalar, ...]]
"""From the number of a step, an int64, and a state of real scalars, the next state."""


class Builder(Protocol):
    """Emits scalar code. Every value is placed in the outermost loop in which its indices are known, once."""

    def constant(self, value: complex, dtype: DType) -> Scalar:
        """A literal."""

    def apply(self, op: str, *operands: Scalar, dtype: DType | None = None) -> Scalar:
        """A scalar op of `graphc.kernel.scalar` (its result dtype follows from the operands unless given)."""

    def cast(self, x: Scalar, dtype: DType) -> Scalar:
        """The value converted, as PyTorch converts."""

    def select(self, condition: Scalar, a: Scalar, b: Scalar) -> Scalar:
        """`a` where the bool condition holds, else `b`."""

    def index(self, size: Size, dtype: DType) -> Scalar:
        """An index expression as a number."""

    def position(self, x: Scalar, extent: Size) -> Size:
        """An integer value as an index into an axis of this extent; it is clamped into range."""

    def guard(self, condition: Scalar, value: Callable[[], Scalar], otherwise: Scalar) -> Scalar:
        """`value()` where the condition holds, else `otherwise`; what `value` reads is read only where it holds."""

    def reduce(self, combiner: str, extent: Size, element: Callable[[Size], Scalar]) -> Scalar:
        """`element(k)` for k in 0..extent combined by the fixed tree: sum, prod, max, min, any, all, argmax, argmin."""

    def iterate(self, count: Scalar, start: tuple[Scalar, ...], step: Step) -> tuple[Scalar, ...]:
        """The state after `count` steps (an int64, below 2^31): from step k and a state, `step` makes the next."""

    def check(self, condition: Scalar, code: int) -> None:
        """Report `code` from the run if the condition fails anywhere."""


LoweringRule: TypeAlias = Callable[..., Scalar]
"""One element of the result: (b, out_type, indices, *operands, **attributes) -> scalar."""
