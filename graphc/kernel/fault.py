"""What a valid kernel never does, as errors that the interpreter raises: mistakes of passes, not of the caller."""

from __future__ import annotations

from graphc.ir.errors import GraphcError


class KernelFault(GraphcError):
    """A kernel that did what its level forbids, found while it ran: a mistake of a pass, not of the caller."""


class OutOfBounds(KernelFault):
    """An index that names no element of its buffer, or a thread that is none of the warp."""


class UnwrittenRead(KernelFault):
    """A read of an element that nothing has written."""


class RaceFault(KernelFault):
    """An iteration of a loop that promises independence writes what another one reads or writes.

    So does a thread of a block, with no barrier between.
    """


class DivergenceFault(KernelFault):
    """What a whole block or warp has to come to is reached by some of its threads only."""


class CopyFault(KernelFault):
    """Memory is touched that a copy or product under way will write, or written that it reads."""


class ProductFault(KernelFault):
    """A product reads shared memory that no fence has shown to the tensor cores, or adds to sums of another shape."""


class AlignmentFault(KernelFault):
    """An address that is no multiple of the bytes that are accessed at once."""
