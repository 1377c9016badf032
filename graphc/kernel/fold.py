"""The fixed tree of a reduction, for many reductions at once.

In: elements in order of k, some of them at a time. Out: the reduction's value, bit for bit as `graphc.kernel.ir` says.

>>> from graphc.ir.dtype import i64
>>> fold = Fold("sum", i64, ())
>>> fold.take(0, np.arange(100), None)
>>> int(fold.result())
4950
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from graphc.ir.dtype import DType, bool_
from graphc.kernel.ir import LANES
from graphc.kernel.scalar import evaluate

Array: TypeAlias = npt.NDArray[Any]
Flags: TypeAlias = npt.NDArray[np.bool_]

COMBINERS: Final = {
    "sum": "add",
    "prod": "mul",
    "max": "maximum",
    "min": "minimum",
    "any": "bitwise_or",
    "all": "bitwise_and",
}
"""The scalar op by which a combiner takes in an element."""


class Fold:
    """The accumulators of reductions of some shape."""

    def __init__(self, combiner: str, dtype: DType, shape: tuple[int, ...]) -> None:
        self.op = COMBINERS[combiner]
        self.dtype = dtype
        self.accumulators = np.full((LANES, *shape), identity(combiner, dtype), dtype.numpy)

    def take(self, start: int, elements: Array, valid: Flags | None) -> None:
        """Take in elements [count, *shape] from k = start on, those that are valid; `start` ascends."""
        count = len(elements)
        taken = 0
        while taken < count:
            lane = (start + taken) % LANES
            end = min(count, taken + LANES - lane)
            own = self.accumulators[lane : lane + end - taken]
            new = evaluate(self.op, self.dtype, own, elements[taken:end])
            own[...] = new if valid is None else np.where(valid[taken:end], new, own)
            taken = end

    def result(self) -> Array:
        """The value of each reduction."""
        half = LANES // 2
        while half:
            own = self.accumulators[:half]
            own[...] = evaluate(self.op, self.dtype, own, self.accumulators[half : 2 * half])
            half //= 2
        return np.array(self.accumulators[0])


class ArgFold:
    """The first place of the greatest (or least) element; nan is more extreme than any number.

    The order of combining does not show in the result, so this needs no tree.
    """

    def __init__(self, combiner: str, dtype: DType, shape: tuple[int, ...]) -> None:
        self.is_greatest = combiner == "argmax"
        self.dtype = dtype
        self.worst = identity(combiner[3:], dtype)
        self.best = np.full(shape, self.worst, dtype.numpy)
        self.place = np.full(shape, np.iinfo(np.int64).max)

    def take(self, start: int, elements: Array, valid: Flags | None) -> None:
        """Take in elements [count, *shape] from k = start on, those that are valid; `start` ascends."""
        given = elements if valid is None else np.where(valid, elements, np.asarray(self.worst, self.dtype.numpy))
        ranked = given.astype(np.float32) if self.dtype.is_floating_point and self.dtype.bits == 16 else given
        place = ranked.argmax(axis=0) if self.is_greatest else ranked.argmin(axis=0)  # of nans and of equals the first
        found = np.take_along_axis(given, place[None], axis=0)[0]
        has_any = True if valid is None else valid.any(axis=0)
        is_first = self.place == np.iinfo(np.int64).max
        better = has_any & (is_first | self._beats(found, self.best))
        self.best = np.where(better, found, self.best)
        self.place = np.where(better, place + start, self.place)

    def _beats(self, a: Array, b: Array) -> Flags:
        beats: Flags = evaluate("gt" if self.is_greatest else "lt", bool_, a, b)
        if self.dtype.is_floating_point:
            beats = (beats | (a != a)) & (b == b)
        return beats

    def result(self) -> Array:
        """The place of each reduction."""
        return self.place


def identity(combiner: str, dtype: DType) -> float | int | bool:
    """What an accumulator holds before the first element."""
    if combiner in ("sum", "any"):
        return 0
    if combiner in ("prod", "all"):
        return 1
    if dtype is bool_:
        return combiner == "min"
    if dtype.is_floating_point:
        return float("-inf") if combiner == "max" else float("inf")
    lowest = -(1 << (dtype.bits - 1)) if dtype.signed else 0
    return lowest if combiner == "max" else lowest + (1 << dtype.bits) - 1
