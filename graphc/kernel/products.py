"""Products of matrices in shared memory, as the tensor cores of Hopper's GPUs compute them for 4 warps.

Level: below `graphc.kernel.machine`. In: `MultiplyShared`, `WaitProducts` and `FenceShared`, and the threads that come
to them. Out: their effect, or the fault that it is.

Where elements are is worked out from a factor's start and its two distances alone, as the hardware does it from a
matrix descriptor without swizzle: CUTLASS's "INTERLEAVE" layouts (NVIDIA/cutlass, make_gmma_desc in
include/cute/atom/mma_traits_sm90_gmma.hpp), which with 8 elements in 16 bytes are

    K-major    (across, along the depth)    ((8, m), (8, 2)) : ((8, SBO), (1, LBO))
    MN-major   (transposed)                 ((8, m), (8, 2)) : ((1, SBO), (8, LBO))

so the leading byte offset LBO is `along_depth`, and the stride byte offset SBO is `across`, in both. The layout of the
sums is that of PTX's register fragment of wgmma's matrix D.

>>> from graphc.ir.dtype import f16
>>> factor = SharedFactor(Buffer("s", f16, 512, Space.SHARED), 0, along_depth=64, across=128)
>>> factor_offsets(factor, 16, 16)[7:9, ::8].tolist()
[[56, 120], [128, 192]]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from graphc.kernel.access import Array, Nest
from graphc.kernel.fault import DivergenceFault, ProductFault
from graphc.kernel.gpu import WARP, WARPGROUP
from graphc.kernel.index import Index
from graphc.kernel.ir import (
    Buffer,
    Kernel,
    MultiplyShared,
    SharedFactor,
    Space,
    Statement,
    WaitProducts,
    statements_in,
)
from graphc.kernel.threads import Threads
from graphc.kernel.track import Flags, Integers, Lanes, Level, View

ROWS = 64
"""Of a product."""


def factor_offsets(factor: SharedFactor, extent: int, depth: int) -> Integers:
    """[extent, depth]: where the elements of a factor are, from its first one on."""
    across, along = np.arange(extent)[:, None], np.arange(depth)
    row, column = (along, across) if factor.is_transposed else (across, along)
    return row % 8 * 8 + column % 8 + across // 8 * factor.across + along // 8 * factor.along_depth


def sum_places(columns: int) -> tuple[Integers, Integers]:
    """Row and column of each sum [thread of the 4 warps, element]."""
    thread, element = np.arange(WARPGROUP)[:, None], np.arange(columns // 2)
    row = 16 * (thread // WARP) + thread % WARP // 4 + 8 * (element // 2 % 2)
    return row, 8 * (element // 4) + 2 * (thread % 4) + element % 2


@dataclass(frozen=True, slots=True, eq=False)
class _Reads:
    """What one product reads of a buffer: [groups of warps, elements]."""

    view: View
    positions: Integers

    def of(self, chosen: Flags) -> _Reads:
        return _Reads(self.view, self.positions[chosen])


@dataclass(frozen=True, slots=True, eq=False)
class _Product:
    """One `MultiplyShared` of some groups of 4 warps, under way."""

    statement: MultiplyShared
    sums: View
    leaders: Integers
    """The number of each group's first thread among all that run at once."""
    numbers: Integers
    """How many products each group had begun before."""
    reads: tuple[_Reads, ...]
    positions: Integers
    """[groups, elements]: of the sums."""

    def of(self, chosen: Flags) -> _Product:
        """The part of some of the groups."""
        return replace(
            self,
            leaders=self.leaders[chosen],
            numbers=self.numbers[chosen],
            reads=tuple(each.of(chosen) for each in self.reads),
            positions=self.positions[chosen],
        )


class Products(Threads):
    """The products of the threads that run at once."""

    products: list[_Product]
    begun: Index

    def begin_threads(self) -> None:
        """Threads begin: no product is under way."""
        super().begin_threads()
        self.products = []
        self.begun = 0
        self.has_products = _multiplies_shared(self.kernel)

    def end_threads(self) -> None:
        """Threads end, and with them what they began."""
        for product in self.products:
            self.finish(product)
        super().end_threads()

    def allocate(self, buffer: Buffer, nest: Nest) -> None:
        """Scratch; of shared memory it is known which elements tensor cores may not see yet."""
        super().allocate(buffer, nest)
        if self.has_products and buffer.space is Space.SHARED:
            memory = self.views[buffer].memory
            memory.unfenced = np.zeros(memory.cells, np.int64)

    def note_write(
        self, view: View, positions: Integers, lanes: Lanes, statement: Statement, levels: Sequence[Level]
    ) -> None:
        """Note that lanes write elements, and who has to fence them."""
        super().note_write(view, positions, lanes, statement, levels)
        unfenced = view.memory.unfenced
        if unfenced is not None and len(positions):
            around = 1 + next(depth for depth, level in enumerate(levels) if level.is_thread)
            numbers = np.arange(prod(lanes.shape)).reshape(lanes.shape) % prod(lanes.shape[-around:])
            unfenced[positions] = lanes.select(numbers) + 1

    def fence_shared(self, nest: Nest) -> None:
        """What the threads that come here wrote, tensor cores may see."""
        for view in self.views.values():
            unfenced = view.memory.unfenced
            if unfenced is None:
                continue
            if nest.mask is None:
                unfenced[...] = 0
            else:
                here = np.broadcast_to(nest.mask, nest.shape).reshape(-1)
                unfenced[(unfenced > 0) & here[unfenced - 1]] = 0

    def multiply_shared(self, statement: MultiplyShared, nest: Nest) -> None:
        """Products begin. Nobody may see the sums yet, which are there at once."""
        self.together(statement, nest, WARPGROUP, "group of 4 warps")
        active = _by_group(nest, True if nest.mask is None else nest.mask)[..., 0]
        left, a = self.factor(statement, statement.left, ROWS, nest, active)
        right, b = self.factor(statement, statement.right, statement.columns, nest, active)
        view = self.views[statement.sums]
        start = _by_group(nest, view.start)
        positions = (start[..., None] + np.arange(statement.columns // 2))[active]  # [groups, thread, element]
        flat = positions.reshape(len(positions), -1)
        if view.find_unwritten(flat.reshape(-1)) is not None:
            raise self.unwritten(statement, nest.lanes(nest.mask), 0, nest.levels)
        rows, columns = sum_places(statement.columns)
        products = np.matmul(a, np.swapaxes(b, -1, -2))[:, rows, columns]
        self.put(view, positions, (view.data[positions] + products).astype(np.float32))
        leaders, begun = _by_group(nest, nest.numbers)[..., 0][active], _by_group(nest, self.begun)[..., 0][active]
        product = _Product(statement, view, leaders, begun, (left, right), flat)
        for reads in product.reads:
            reads.view.note_copy(reads.positions.reshape(-1), 1, is_source=True)
        view.note_copy(flat.reshape(-1), 1, is_source=False)
        self.products.append(product)
        self.begun = self.begun + 1 if nest.mask is None else np.where(nest.mask, self.begun + 1, self.begun)

    def factor(
        self, statement: MultiplyShared, factor: SharedFactor, extent: int, nest: Nest, active: Flags
    ) -> tuple[_Reads, Array]:
        """What the groups read of a factor, and its elements [groups, extent, depth] in float64."""
        view = self.views[factor.buffer]
        offsets = factor_offsets(factor, extent, statement.depth)
        index = self.in_range(statement, factor.index, view, nest.mask, nest, int(offsets.max()) + 1)
        self.aligned(statement, np.asarray(index) * view.data.itemsize, 16, nest.mask, nest)
        starts = _by_group(nest, index + view.start)
        torn = (starts != starts[..., :1]).any(axis=-1) & active
        if torn.any():
            lanes = nest.lanes(_leaders(nest, torn))
            place = self.place(lanes, 0, nest.levels)
            raise DivergenceFault(f"{self.told(statement)} takes one index from a group of 4 warps{place}")
        positions = starts[..., 0][active][:, None, None] + offsets
        reads = _Reads(view, positions.reshape(len(positions), -1))
        lanes = Lanes(nest.shape, _leaders(nest, active), offsets.size)
        self.note_product(statement, reads, lanes, nest)
        unfenced = view.memory.unfenced
        if unfenced is not None and unfenced[reads.positions].any():
            place = self.place(lanes, int(np.argmax(unfenced[reads.positions] > 0)), nest.levels)
            raise ProductFault(
                f"{self.told(statement)} reads an element that the thread it is from has not fenced{place}"
            )
        return reads, view.data[positions].astype(np.float64)

    def note_product(self, statement: MultiplyShared, reads: _Reads, lanes: Lanes, nest: Nest) -> None:
        """Note that groups read elements: all their threads do, so none of them may have written one just now."""
        level = nest.levels[-1]
        together = replace(level, stamps=level.several)
        self.note_read(reads.view, reads.positions.reshape(-1), lanes, statement, (*nest.levels[:-1], together))

    def wait_products(self, statement: WaitProducts, nest: Nest) -> None:
        """The products but the last ones of the groups that come here are done."""
        self.together(statement, nest, WARPGROUP, "group of 4 warps")
        here = np.broadcast_to(True if nest.mask is None else nest.mask, nest.shape).reshape(-1)
        finished = np.broadcast_to(self.begun - statement.pending, nest.shape).reshape(-1)
        under_way: list[_Product] = []
        for product in self.products:
            done = here[product.leaders] & (product.numbers < finished[product.leaders])
            if done.any():
                if product.sums is not self.views[statement.sums]:
                    raise ProductFault(f"{self.told(statement)} waits for products that add to other sums")
                part = product.of(done)
                self.finish(part)
                mask = np.zeros(nest.count, np.bool_)
                mask[part.leaders] = True
                for reads in part.reads:
                    lanes = Lanes(nest.shape, mask.reshape(nest.shape), reads.positions.shape[1])
                    self.note_product(part.statement, reads, lanes, nest)
            if not done.all():
                under_way.append(product.of(~done))
        self.products = under_way

    def finish(self, product: _Product) -> None:
        """The sums may be touched again, and the factors written."""
        for reads in product.reads:
            reads.view.note_copy(reads.positions.reshape(-1), -1, is_source=True)
        product.sums.note_copy(product.positions.reshape(-1), -1, is_source=False)


def _by_group(nest: Nest, values: Array | Index | bool) -> Array:
    """[groups, ..., thread of the group] of what each thread has, where the axes in the middle are those around."""
    whole = np.broadcast_to(values, nest.shape)
    return np.moveaxis(whole.reshape(-1, WARPGROUP, *nest.shape[1:]), 1, -1)


def _leaders(nest: Nest, groups: Flags) -> Flags:
    """The first threads of some groups [groups, ...], among all threads."""
    mask = np.zeros((len(groups), WARPGROUP, *nest.shape[1:]), np.bool_)
    mask[:, 0] = groups
    return mask.reshape(nest.shape)


def _multiplies_shared(kernel: Kernel) -> bool:
    return any(isinstance(s, MultiplyShared) for s in statements_in(kernel.body))
