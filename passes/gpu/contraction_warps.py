"""Contractions on tensor cores, warp by warp: matrices go from shared memory to registers.

In: a thread's fragment of the results. Out: statements. Tiles of the factors go to shared memory several steps ahead,
in the background where they are copied as they are:

    serial s { begin to load tiles s;  multiply tiles s - stages + 1;  store those tiles s that went through registers;
               wait for tiles s - stages + 2;  barrier }
"""

from __future__ import annotations

from graphc.ir.dim import Size, quotient, remainder
from graphc.ir.dtype import f32, u32
from graphc.kernel.ir import Buffer, LoadMatrix, LoopKind, MultiplyMatrices, Value, WaitCopies
from graphc.passes.gpu.contraction_block import is_below, where
from graphc.passes.gpu.contraction_fragment import HEIGHT, WIDTH, Fragment


class Warps(Fragment):
    """What a thread does, as one of a warp."""

    def write(self) -> None:
        """All of it."""
        self.left = self.writer.registers("a", u32, 4 * self.counts[0])
        self.right = self.writer.registers("b", u32, 2 * self.counts[1])
        w, lag = self.writer, self.stages - 1
        with w.loop("s", self.count + lag, LoopKind.SERIAL) as s:
            has_more = is_below(w, s, self.count)
            where(w, has_more, lambda: self.load(s))
            self.commit()
            where(w, is_below(w, lag - 1, s), lambda: self._multiply(s - lag))
            where(w, has_more, lambda: self.store(s))
            if self.has_copies:
                w.add(WaitCopies(lag - 1))
            w.barrier()
        self.finish()

    def _multiply(self, number: Size) -> None:
        """Add the products of a tile."""
        w, depth = self.writer, self.arithmetic.depth
        places = [self.place(stager, number) for stager in self.stagers]
        load = self._load_elements if self.arithmetic.dtype is u32 else self._load_matrices
        with w.loop("k", self.steps // depth, LoopKind.UNROLLED) as k:
            load(places, k * depth)
            with (
                w.loop("i", self.counts[0], LoopKind.UNROLLED) as i,
                w.loop("j", self.counts[1], LoopKind.UNROLLED) as j,
            ):
                at = 4 * (i * self.counts[1] + j)
                left = tuple([w.load(self.left, 4 * i + e) for e in range(4)])
                right = tuple([w.load(self.right, 2 * j + e) for e in range(2)])
                addend = tuple([w.load(self.sums, at + e) for e in range(4)])
                outs = tuple([Value("sum", f32) for _ in range(4)])
                w.add(MultiplyMatrices(outs, left, right, addend, self.arithmetic.name))
                for e, out in enumerate(outs):
                    w.store(self.sums, at + e, out)

    def _load_matrices(self, places: list[Size], k: Size) -> None:
        """The parts of both factors: four 8 x 8 matrices at once."""
        w, lane = self.writer, self.lane
        low, middle, high = remainder(lane, 8), remainder(quotient(lane, 8), 2), quotient(lane, 16)
        with w.loop("i", self.counts[0], LoopKind.UNROLLED) as i:
            # Matrices in order: rows 0 to 7 and 8 to 15, then both further along the depth.
            row = self.starts[0] + HEIGHT * i
            if self.factors[0].layout.is_depth_major:
                at = row + 8 * middle, k + low + 8 * high
            else:
                at = row + low + 8 * middle, k + 8 * high
            self._load_four(0, places[0], at, self.left, 4 * i)
        with w.loop("j", self.counts[1] // 2, LoopKind.UNROLLED) as j:
            # Matrices in order: columns 0 to 7, the same further along the depth, then columns 8 to 15.
            column = self.starts[1] + 2 * WIDTH * j
            if self.factors[1].layout.is_depth_major:
                at = column + 8 * high, k + low + 8 * middle
            else:
                at = column + low + 8 * high, k + 8 * middle
            self._load_four(1, places[1], at, self.right, 4 * j)

    def _load_four(self, side: int, place: Size, at: tuple[Size, Size], part: Buffer, first: Size) -> None:
        w, layout = self.writer, self.factors[side].layout
        outs = tuple([Value("part", u32) for _ in range(4)])
        w.add(LoadMatrix(outs, self.shared[side], place + layout.index(*at), layout.is_depth_major))
        for e, out in enumerate(outs):
            w.store(part, first + e, out)

    def _load_elements(self, places: list[Size], k: Size) -> None:
        """The parts of both factors, element by element."""
        w = self.writer
        row, column = quotient(self.lane, 4), remainder(self.lane, 4)
        with w.loop("i", self.counts[0], LoopKind.UNROLLED) as i:
            for e in range(4):
                at = self.starts[0] + HEIGHT * i + row + 8 * (e % 2), k + column + 4 * (e // 2)
                w.store(self.left, 4 * i + e, w.load(self.shared[0], places[0] + self.factors[0].layout.index(*at)))
        with w.loop("j", self.counts[1], LoopKind.UNROLLED) as j:
            for e in range(2):
                at = self.starts[1] + WIDTH * j + row, k + column + 4 * e
                w.store(self.right, 2 * j + e, w.load(self.shared[1], places[1] + self.factors[1].layout.index(*at)))
