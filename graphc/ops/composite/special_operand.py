"""How the special functions take their operands: which dtypes PyTorch has them for, and its error for the others."""

from __future__ import annotations

from graphc.ir.dtype import bf16, f16
from graphc.ir.errors import UnsupportedDType
from graphc.ir.graph import Node
from graphc.ops.composite.operand import Operand, as_tensor, combined, floating


def real(kernel: str, x: Operand, *, halves: bool = True) -> Node:
    """The operand in real floats, integers and bools as the default float; `halves` says whether it may have 16 bits.

    Raises UnsupportedDType in PyTorch's words; `kernel` is PyTorch's name for what computes the function.
    """
    refuse(kernel, as_tensor(x), halves)
    return floating(x)


def real_pair(name: str, kernel: str, x: Operand, y: Operand, *, halves: bool = True) -> tuple[Node, Node]:
    """Two operands in one real float dtype, broadcast to one shape; raises UnsupportedDType."""
    first, second = combined(name, x, y, to_float=True)
    refuse(kernel, first, halves)
    return first, second


def refuse(kernel: str, x: Node, halves: bool) -> None:
    """Raise UnsupportedDType if x is complex, or has floats of 16 bits where there are to be no `halves`."""
    dtype = x.tensor.dtype
    if dtype.is_complex or (not halves and dtype in (f16, bf16)):
        raise UnsupportedDType(
            f"\"{kernel}\" not implemented for '{dtype.scalar}'", hint="convert the tensor first, e.g. x.float()"
        )
