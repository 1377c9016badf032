"""The table of cases that every primitive op has: operands, attributes, and what must come out.

Each case is one node. `expected` is written without the op's reference, from plain numpy or the `math` module, where
that isn't the same text; None leaves the value to comparing reference, lowering and native code with each other.
Whoever runs ops in another way (native code, eager) runs this same table.
"""

from __future__ import annotations

from tests.ops.case import Case, assert_close
from tests.ops.elementwise_cases import ELEMENTWISE
from tests.ops.host_cases import HOST
from tests.ops.ordering_cases import ORDERING
from tests.ops.special_cases import SPECIAL
from tests.ops.tensor_cases import TENSOR

__all__ = ["CASES", "Case", "assert_close"]

CASES: tuple[Case, ...] = ELEMENTWISE + TENSOR + ORDERING + SPECIAL + HOST
"""Every case, op by op."""
