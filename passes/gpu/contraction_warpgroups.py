"""Contractions on Hopper's tensor cores: 4 warps multiply what lies in shared memory, in the background.

In: a thread's fragment of the results. Out: statements. Tiles of the factors go to shared memory several steps ahead;
while the tensor cores multiply, more of them are on their way:

    load tiles 0 .. lag - 1
    serial s { wait for tiles s;  fence;  barrier;  begin to multiply tiles s;  begin to load tiles s + lag;
               wait for the products of tiles s - behind;  store those tiles s + lag that went through registers }
    wait for all products

Where shared memory has room for 4 tiles, the products of one step are still under way when the next one begins
(`behind` is 1): then the tensor cores never wait, and two of the tiles are in use.
"""

from __future__ import annotations

from typing import Final

from graphc.ir.dim import Size
from graphc.kernel.ir import FenceShared, LoopKind, MultiplyShared, SharedFactor, WaitCopies, WaitProducts
from graphc.passes.gpu.contraction_block import is_below, where
from graphc.passes.gpu.contraction_fragment import Fragment
from graphc.passes.gpu.contraction_stage import MatrixLayout

MANY_STAGES: Final = 4
"""Tiles in shared memory from which on two of them are multiplied at once."""


class Groups(Fragment):
    """What a thread does, as one of 4 warps."""

    def write(self) -> None:
        """All of it."""
        w = self.writer
        behind = 1 if self.stages >= MANY_STAGES else 0
        lag = self.stages - 1 - behind
        with w.loop("p", lag, LoopKind.UNROLLED) as p:
            where(w, is_below(w, p, self.count), lambda: self._bring(p))
            self.commit()
        with w.loop("s", self.count, LoopKind.SERIAL) as s:
            if self.has_copies:
                w.add(WaitCopies(lag - 1))
            w.add(FenceShared())
            w.barrier()
            self._multiply(s)
            has_more = is_below(w, s + lag, self.count)
            where(w, has_more, lambda: self.load(s + lag))
            self.commit()
            w.add(WaitProducts(self.sums, behind))
            where(w, has_more, lambda: self.store(s + lag))
        if behind:
            w.add(WaitProducts(self.sums, 0))
        self.finish()

    def _bring(self, number: Size) -> None:
        """Load and store tiles."""
        self.load(number)
        self.store(number)

    def _multiply(self, number: Size) -> None:
        """Begin to add the products of tiles."""
        left, right = (self._factor(side, number) for side in range(2))
        self.writer.add(MultiplyShared(self.sums, left, right, self.steps, self.arithmetic.name))

    def _factor(self, side: int, number: Size) -> SharedFactor:
        layout = self.factors[side].layout
        assert isinstance(layout, MatrixLayout), "tiles made of matrices"
        index = self.place(self.stagers[side], number) + layout.index(self.part[side], 0)
        return SharedFactor(
            self.shared[side], index, layout.along_depth, layout.across, is_transposed=layout.is_depth_major
        )
