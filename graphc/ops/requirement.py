"""The op that passes values on and reports those that a condition refuses.

Level: tensor graph. In: values, and a bool for each. Out: the values; a run in which a condition fails ends in an error
with the given message, in which "{}" stands for the first value refused.

    require(index, is_inside, message="Target {} is out of bounds.")
"""

from __future__ import annotations

import numpy as np

from graphc.ir.dim import Size
from graphc.ir.errors import IndexOutOfRange
from graphc.ir.graph import Node
from graphc.ir.lowering import Builder, Operand, Scalar
from graphc.ir.op import Flags, Op, register
from graphc.ir.type import TensorType
from graphc.ops import check
from graphc.ops.numerics import NumpyArray


def _require_type(x: TensorType, condition: TensorType, *, message: str) -> TensorType:
    check.takes("require", condition, check.BOOL, "the condition")
    check.equal_shapes("require", x, condition)
    return x


def _require_reference(out: TensorType, x: NumpyArray, condition: NumpyArray, *, message: str) -> NumpyArray:
    if not np.all(condition):
        raise IndexOutOfRange(message.replace("{}", str(x[~condition][0])), hint="look at where the values come from")
    return x


def _require_lower(
    b: Builder, out: TensorType, i: tuple[Size, ...], x: Operand, condition: Operand, *, message: str
) -> Scalar:
    """Checks with code 0: the builder puts the code of this node in its place."""
    b.check(condition(i), 0)
    return x(i)


def _require_vjp(ct: Node, out: Node, x: Node, condition: Node, *, message: str) -> tuple[Node, None]:
    return ct, None


require: Op = register(
    Op(
        "require",
        "values as they are, where a condition holds for all of them",
        type_rule=_require_type,
        reference=_require_reference,
        vjp=_require_vjp,
        lower=_require_lower,
        flags=Flags.ELEMENTWISE,
    )
)
