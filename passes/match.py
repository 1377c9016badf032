"""What rules ask of nodes: is it this constant, is its size known, does a cast lose nothing.

Level: tensor graph. In: nodes, sizes, dtypes. Out: plain facts, and None or False where nothing is known.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from graphc.ir.attribute import Array
from graphc.ir.dim import Size
from graphc.ir.dtype import DType, Kind, real_of
from graphc.ir.graph import Node
from graphc.ir.type import Shape

_SIGNIFICAND = {"float16": 11, "bfloat16": 8, "float32": 24, "float64": 53}
_EXPONENT = {"float16": 5, "bfloat16": 8, "float32": 8, "float64": 11}


def constant_array(node: Node) -> npt.NDArray[np.generic] | None:
    """The value of a constant."""
    if node.op.name != "constant":
        return None
    value = node.attribute("value")
    assert isinstance(value, Array)
    return value.value


def splat(node: Node) -> np.generic | None:
    """The one value that all elements of the node have, where it is a constant of one element, moved or repeated."""
    while node.op.name in ("broadcast", "reshape"):
        node = node.inputs[0]
    value = constant_array(node)
    if value is None or value.size != 1:
        return None
    element: np.generic = value.reshape(-1)[0]
    return element


def is_splat(node: Node, value: float) -> bool:
    """Whether all elements are this constant; zeros count only with the sign given (for floats)."""
    found = splat(node)
    if found is None or not bool(found == value):
        return False
    if value == 0 and node.tensor.dtype.kind >= Kind.FLOAT:
        signs = {bool(np.signbit(part)) for part in _parts(found)}
        return signs == {bool(np.signbit(value))}
    return True


def is_finite_splat(node: Node) -> bool:
    """Whether all elements are one finite constant other than zero."""
    found = splat(node)
    return found is not None and all(np.isfinite(float(part)) for part in _parts(found)) and bool(found != 0)


def static_shape(shape: Shape) -> tuple[int, ...] | None:
    """The sizes as ints; None if one is symbolic."""
    sizes = tuple(size for size in shape if isinstance(size, int))
    return sizes if len(sizes) == len(shape) else None


def is_one(size: Size) -> bool:
    """Whether the size is known to be 1."""
    return isinstance(size, int) and size == 1


def axes_of(node: Node, name: str = "axes") -> tuple[int, ...]:
    """An attribute that is a tuple of ints."""
    value = node.attribute(name)
    assert isinstance(value, tuple)
    return tuple(each for each in value if isinstance(each, int))


def sizes_of(node: Node, name: str) -> Shape:
    """An attribute that is a tuple of sizes."""
    value = node.attribute(name)
    assert isinstance(value, tuple)
    return value  # type: ignore[return-value]  # the op's type rule has checked that they are sizes


def integer(node: Node, name: str) -> int:
    """An attribute that is an int."""
    value = node.attribute(name)
    assert isinstance(value, int)
    return value


def holds_all_of(wide: DType, narrow: DType) -> bool:
    """Whether every value of `narrow` is a value of `wide`."""
    if wide is narrow or narrow.kind is Kind.BOOL:
        return True
    if narrow.kind > wide.kind:
        return False
    if narrow.kind is Kind.INT:
        bits = narrow.bits - narrow.signed
        if wide.kind is Kind.INT:
            return (wide.signed or not narrow.signed) and wide.bits - wide.signed >= bits
        part = real_of(wide).name
        return bits <= _SIGNIFICAND[part] and bits < 2 ** (_EXPONENT[part] - 1)
    a, b = real_of(wide).name, real_of(narrow).name
    return _SIGNIFICAND[a] >= _SIGNIFICAND[b] and _EXPONENT[a] >= _EXPONENT[b]


def _parts(value: np.generic) -> tuple[np.generic, ...]:
    return (value.real, value.imag) if isinstance(value, np.complexfloating) else (value,)
