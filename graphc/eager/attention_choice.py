"""Which ways to attend a program allows. graphc has one kernel for all, so this changes nothing that is computed.

In: switches that programs set, by `backends.cuda` and `nn.attention`. Out: what they are set to.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class AttentionChoice:
    """The switches, by the names of PyTorch's kernels."""

    def __init__(self) -> None:
        self.flash = self.memory_efficient = self.math = self.cudnn = True
        self.reduces = False
        """Whether sums may be of 16 bits."""

    @contextmanager
    def only(self, *, flash: bool, memory_efficient: bool, math: bool, cudnn: bool) -> Iterator[None]:
        """A context with these."""
        before = self.flash, self.memory_efficient, self.math, self.cudnn
        self.flash, self.memory_efficient, self.math, self.cudnn = flash, memory_efficient, math, cudnn
        try:
            yield
        finally:
            self.flash, self.memory_efficient, self.math, self.cudnn = before


CHOICE = AttentionChoice()
