"""The op record: everything graphc knows about an op, in one block.

A record holds the type rule, the numpy reference, the gradient, the lowering and the flags. All rules take the operands
by position and the attributes by keyword, so a rule reads like the op it describes:

    neg = register(Op(
        "neg", "-x",
        type_rule=lambda x: x,
        reference=lambda out, x: -x,
        vjp=lambda ct, out, x: (neg(ct),),
        lower=lambda b, out, i, x: b.apply("neg", x(i)),
        flags=ELEMENTWISE,
    ))

Calling a record builds a node: `neg(x)`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Flag, auto
from typing import TYPE_CHECKING

from graphc.ir.attribute import Attribute
from graphc.ir.errors import GraphcError
from graphc.ir.lowering import LoweringRule
from graphc.ir.type import Type

if TYPE_CHECKING:
    from graphc.ir.graph import Node


class Flags(Flag):
    """What passes may rely on."""

    NONE = 0
    ELEMENTWISE = auto()
    """Element i of the result depends on element i of each operand alone; all shapes are equal."""
    COMMUTATIVE = auto()
    """Its first two operands may change places, with the same bits."""
    MOVEMENT = auto()
    """Elements of the result are elements of the operand, moved: no arithmetic."""
    REDUCTION = auto()
    """Combines elements along `axes` by the fixed tree."""
    CONTRACTION = auto()
    """Sums products: matmul and its kin."""
    EXPENSIVE = auto()
    """Many instructions per element: not to be recomputed without need (exp, erf, pow)."""
    STRUCTURAL = auto()
    """No arithmetic of its own: input, fused, get."""
    OPAQUE = auto()
    """Has no pull-style lowering rule: `passes/lower` makes its kernel as a whole (scan, scatter, contraction)."""
    HOST = auto()
    """Runs Python code: no pass repeats it or runs it at compile time, and no kernel takes in other nodes with it."""


@dataclass(frozen=True, slots=True, eq=False)
class Op:
    """A primitive op. `reference`, `vjp` and `lower` get the result's type, node or type first; see the module text."""

    name: str
    summary: str
    type_rule: Callable[..., Type]
    reference: Callable[..., object]
    """(out_type, *arrays, **attributes) -> numpy array of exactly that dtype and shape (a tuple for a tuple type)."""
    vjp: Callable[..., tuple[Node | None, ...]] | None = None
    """(cotangent, out, *inputs, **attributes) -> a cotangent per input; None where no gradient flows.
    Of an op with several results `out` is the tuple of them, and `cotangent` one of theirs, None where none arrived.
    None as a rule: the op has no gradient (its result is an integer, or constant almost everywhere)."""
    lower: LoweringRule | None = None
    flags: Flags = Flags.NONE
    batch: Callable[..., Node] | None = None
    """Room for the batching rule."""
    defaults: tuple[tuple[str, Attribute], ...] = field(default=())
    """Attributes that may be left out, with their values; they are always present on a node."""

    def __call__(self, *inputs: Node, **attributes: Attribute) -> Node:
        """Build a node; raises GraphcError with the user's line if the operands don't fit."""
        # graph.py defines Node over this record, so it can't be imported at the top.
        from graphc.ir.graph import make

        return make(self, inputs, attributes)

    def has(self, flags: Flags) -> bool:
        """Whether any of the flags is set."""
        return bool(self.flags & flags)

    def __repr__(self) -> str:
        return f"<op {self.name}>"


_OPS: dict[str, Op] = {}


def register(op: Op) -> Op:
    """Make the op known by its name; a name is taken once."""
    if op.name in _OPS:
        raise GraphcError(f"an op called {op.name!r} exists already", hint="choose another name")
    _OPS[op.name] = op
    return op


def find_op(name: str) -> Op:
    """The op of this name; KeyError if there is none."""
    return _OPS[name]


def all_ops() -> Iterator[Op]:
    """Every op, by name."""
    return (op for _, op in sorted(_OPS.items()))
