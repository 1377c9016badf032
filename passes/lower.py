"""Kernels for fused nodes.

In: a fused graph. Out: kernels in order, with what each of their buffers stands for. Loops are as the semantics has
them: independent ones say so (PARALLEL), `schedule` decides how they run.

A group without anchor becomes at most two loops: one over the leading (or `outer`) axes and one over the rest, in which
each output's element is asked for by its indices; everything else follows from the lowering rules, and the builder puts
each value in front of the loops that it doesn't depend on. A group with an anchor is written by the anchor's own rule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeAlias, cast

from graphc.ir.attribute import Array
from graphc.ir.dim import Size, product, symbols
from graphc.ir.dtype import DType, real_of
from graphc.ir.graph import FUSED, GET, INPUT, Graph, Node
from graphc.ir.host import Parameters, parameters_text
from graphc.ir.location import Location
from graphc.ir.lowering import Operand, Scalar
from graphc.ir.op import Flags, Op, find_op
from graphc.ir.type import Shape, TensorType, TupleType
from graphc.kernel.builder import KernelBuilder
from graphc.kernel.gpu import GpuTarget
from graphc.kernel.ir import Buffer, HostArray, HostCall, Kernel
from graphc.kernel.program import CheckSite
from graphc.ops import contraction, creation, host, movement, ordering, requirement
from graphc.ops.indices import linear_index, split_index
from graphc.passes.access import ROW_LIMIT, Axis, accesses_below, is_kept
from graphc.passes.lower_contraction import lower_contraction
from graphc.passes.lower_parts import has_many_parts, lower_parts
from graphc.passes.lower_scan import STEPS, lower_scan
from graphc.passes.lower_scatter import SCATTERS
from graphc.passes.lower_sort import lower_argsort, lower_search
from graphc.passes.order import ordered
from graphc.passes.two_stage import Partial, split_long_reduction


@dataclass(frozen=True, slots=True, eq=False)
class Scratch:
    """Memory between two kernels of one group."""

    size: Size
    dtype: DType


@dataclass(frozen=True, slots=True)
class Result:
    """One of the results of a fused node or of a call of the host."""

    node: Node
    index: int


Source: TypeAlias = "Node | Result | Scratch"
"""What a buffer of a kernel stands for: an input or constant, a fused node's result, or scratch."""


@dataclass(frozen=True, slots=True)
class KernelCall:
    """A kernel and what each of its buffers stands for."""

    kernel: Kernel
    sources: tuple[Source, ...]
    location: Location | None
    is_part: bool = False
    """Whether others write the rest of what it writes to, so that they may run in any order."""


@dataclass(frozen=True, slots=True)
class Lowered:
    """The calls of a graph in order, and what its outputs are."""

    graph: Graph
    calls: tuple[KernelCall, ...]
    outputs: tuple[Source, ...]
    checks: tuple[CheckSite, ...]


def lower(graph: Graph, target: GpuTarget | None = None) -> Lowered:
    """Write the kernels of every fused node, in the order in which they run.

    For a GPU, ops that go along an axis are written by rules of their own, as kernels with a grid or for a policy.
    """
    calls: list[KernelCall] = []
    checks: list[CheckSite] = []
    names = frozenset(size.name for size in graph.sizes)
    for node in ordered(graph):
        if node.op is FUSED:
            types = node.type.elements if isinstance(node.type, TupleType) else (node.tensor,)
            if any(each.size != 0 for each in types):
                calls.extend(GroupLowering(node, checks, names, target).lower())
        elif node.op is host.host_call:
            calls.append(lower_host_call(node, checks))
        else:
            assert node.op in (INPUT, GET) or node.op is creation.constant, f"{node.op.name} should be in a fused node"
    return Lowered(graph, tuple(calls), tuple(source_of(node) for node in graph.outputs), tuple(checks))


def source_of(node: Node) -> Source:
    """What holds the node's value."""
    if node.op is GET:
        return Result(node.inputs[0], cast("int", node.attribute("index")))
    return Result(node, 0) if node.op in (FUSED, host.host_call) else node


def lower_host_call(node: Node, checks: list[CheckSite]) -> KernelCall:
    """The kernel that calls the host: all its arrays in whole."""
    types = node.type.elements if isinstance(node.type, TupleType) else (node.tensor,)
    operands = tuple(HostArray(_buffer(f"p{i}", x.tensor), x.tensor) for i, x in enumerate(node.inputs))
    results = tuple(HostArray(_buffer(f"o{i}", type), type) for i, type in enumerate(types))
    function, parameters = cast("str", node.attribute("function")), cast("Parameters", node.attribute("parameters"))
    checks.append(CheckSite(len(checks) + 1, f"{function} failed", node.location, is_host=True))
    call = HostCall(function, parameters_text(parameters), operands, results, len(checks))
    sizes = dict.fromkeys(s for array in (*operands, *results) for size in array.type.shape for s in symbols(size))
    written = tuple(array.buffer for array in results)
    buffers = (*(array.buffer for array in operands), *written)
    kernel = Kernel(function, buffers, tuple(sizes), (call,), frozenset(written))
    sources = (*map(source_of, node.inputs), *(Result(node, i) for i in range(len(results))))
    return KernelCall(kernel, sources, node.location)


@dataclass(slots=True)
class Row:
    """One point of the outer loops: nodes that are asked for several times in it are kept in scratch."""

    depth: int
    outer: dict[int, Size]
    inner: tuple[int, ...]
    shape: Shape
    kept: frozenset[Node]
    buffers: dict[Node, Buffer] = field(default_factory=dict)


@dataclass(slots=True)
class GroupLowering:
    """The state of lowering one fused node."""

    fused: Node
    checks: list[CheckSite]
    size_names: frozenset[str]
    target: GpuTarget | None = None
    body: Graph = field(init=False)
    builder: KernelBuilder = field(init=False)
    buffers: dict[Node, Buffer] = field(init=False)
    results: tuple[Buffer, ...] = field(init=False)
    known: dict[tuple[Node, tuple[Size, ...], object], Scalar] = field(default_factory=dict)
    sources: dict[Buffer, Source] = field(default_factory=dict)
    position: dict[Node, int] = field(init=False)
    row: Row | None = None

    def __post_init__(self) -> None:
        self.body = cast("Graph", self.fused.attribute("body"))
        self.position = {node: i for i, node in enumerate(self.body.nodes)}
        self.builder = KernelBuilder(self.size_names)
        self.buffers = {node: _buffer(f"p{i}", node.tensor) for i, node in enumerate(self.body.inputs)}
        self.results = tuple(_buffer(f"o{i}", node.tensor) for i, node in enumerate(self.body.outputs))
        for node, operand in zip(self.body.inputs, self.fused.inputs, strict=True):
            self.sources[self.buffers[node]] = source_of(operand)
        for i, buffer in enumerate(self.results):
            self.sources[buffer] = Result(self.fused, i)

    def lower(self) -> list[KernelCall]:
        """The kernels of the group."""
        anchor = next((node for node in self.body.nodes if node.op.has(Flags.OPAQUE)), None)
        if anchor is None and has_many_parts(self.body.outputs[0]):
            return lower_parts(self)
        if anchor is None:
            self._lower_loops()
            return self._finish_split()
        if self.target is not None:
            # What compiles for a CPU alone needs none of it.
            from graphc.passes.gpu.rules import lower_for_gpu

            calls = lower_for_gpu(self, anchor, self.target)
            if calls is not None:
                return calls
        return self.lower_anchor(anchor)

    def lower_anchor(self, anchor: Node) -> list[KernelCall]:
        """The kernels of a group with an anchor, as loops for any machine."""
        if anchor.op in SCATTERS:
            first = self.copy(anchor.inputs[0])
            self.restart()
            SCATTERS[anchor.op](self, anchor)
            return [first, self.finish()]
        assert anchor.op in WHOLE, f"{anchor.op.name} has no lowering"
        WHOLE[anchor.op](self, anchor)
        return [self.finish()]

    def read(self, node: Node, indices: tuple[Size, ...]) -> Scalar:
        """The element of a node of the body at these indices."""
        if not self._is_kept(node):
            for pending in self._elementwise_below(node, indices):
                self._compute(pending, indices)
        return self._compute(node, indices)

    def operand(self, node: Node) -> Operand:
        """The node as a lowering rule sees it."""
        return _Operand(self, node)

    def define(self, node: Node, indices: tuple[Size, ...], x: Scalar) -> None:
        """Say what the node's element at these indices is."""
        self.known[node, indices, self.builder.predicate] = x

    def write(self, index: int, indices: tuple[Size, ...]) -> None:
        """Store one element of an output."""
        node = self.body.outputs[index]
        self.builder.store(self.results[index], linear_index(indices, node.shape), self.read(node, indices))

    def restart(self) -> None:
        """Begin another kernel of the same group."""
        self.builder = KernelBuilder(self.size_names)
        self.known.clear()

    def finish(self) -> KernelCall:
        """The kernel built so far."""
        kernel = self.builder.finish(self.body.name)
        return KernelCall(kernel, tuple(self.sources[buffer] for buffer in kernel.buffers), self.fused.location)

    def scratch(self, dtype: DType, size: Size) -> Buffer:
        """Memory beside the results for as long as the kernel runs."""
        buffer = Buffer(f"t{len(self.sources)}", dtype, size)
        self.sources[buffer] = Scratch(size, dtype)
        return buffer

    def copy(self, node: Node) -> KernelCall:
        """A kernel that computes a node of the body into the first result."""
        with self.builder.loop(node.tensor.size) as position:
            indices = split_index(position, node.shape)
            self.builder.store(self.results[0], linear_index(indices, node.shape), self.read(node, indices))
        return self.finish()

    def _finish_split(self) -> list[KernelCall]:
        call = self.finish()
        partial: Partial | None = split_long_reduction(call.kernel)
        if partial is None:
            return [call]
        self.sources[partial.buffer] = Scratch(partial.buffer.size, partial.buffer.dtype)
        return [
            KernelCall(kernel, tuple(self.sources[buffer] for buffer in kernel.buffers), call.location)
            for kernel in (partial.first, partial.second)
        ]

    def _elementwise_below(self, node: Node, indices: tuple[Size, ...]) -> list[Node]:
        """Elementwise nodes under `node` that want the same indices, operands first: no recursion along a chain."""
        order: list[Node] = []
        pending, seen = [node], {node}
        while pending:
            current = pending.pop()
            order.append(current)
            if not current.op.has(Flags.ELEMENTWISE) or self._find(current, indices) is not None:
                continue
            if current is not node and self._is_kept(current):
                continue
            fresh = [x for x in current.inputs if x.op.has(Flags.ELEMENTWISE) and x not in seen]
            seen.update(fresh)
            pending.extend(fresh)
        return sorted(order[1:], key=self.position.__getitem__) if len(order) > 1 else []

    def _find(self, node: Node, indices: tuple[Size, ...]) -> Scalar | None:
        found = self.known.get((node, indices, self.builder.predicate))
        return found if found is not None and self.builder.is_available(found) else None

    def _compute(self, node: Node, indices: tuple[Size, ...]) -> Scalar:
        found = self._find(node, indices)
        if found is None:
            found = self._read_kept(node, indices) if self._is_kept(node) else self._lower_node(node, indices)
            self.define(node, indices, found)
        return found

    def _is_kept(self, node: Node) -> bool:
        return self.row is not None and node in self.row.kept and self.builder.predicate is None

    def _read_kept(self, node: Node, indices: tuple[Size, ...]) -> Scalar:
        """An element of a row that is computed once, into scratch, in front of the loops that read it."""
        row, b = self.row, self.builder
        assert row is not None
        sizes = tuple(row.shape[axis] for axis in row.inner)
        if node not in row.buffers:
            with b.outside(row.depth):
                row.buffers[node] = b.allocate(node.tensor.dtype, product(sizes))
                with b.loop(product(sizes)) as position:
                    at = {**row.outer, **dict(zip(row.inner, split_index(position, sizes), strict=True))}
                    here = tuple(at.get(axis, 0) for axis in range(len(row.shape)))
                    for below in self._elementwise_below(node, here):
                        self._compute(below, here)
                    b.store(row.buffers[node], position, self._lower_node(node, here))
        return b.load_again(row.buffers[node], linear_index(tuple(indices[axis] for axis in row.inner), sizes))

    def _lower_node(self, node: Node, indices: tuple[Size, ...]) -> Scalar:
        b = self.builder
        if node in self.buffers:
            return b.load(self.buffers[node], linear_index(indices, node.shape), node.tensor.dtype)
        if node.op is movement.reshape and node.inputs[0] in self.buffers:  # the same memory, in the same order
            return b.load(self.buffers[node.inputs[0]], linear_index(indices, node.shape), node.tensor.dtype)
        if node.op is creation.constant:
            return b.constant(cast("Array", node.attribute("value")).value.item(), node.tensor.dtype)
        assert node.op.lower is not None, f"{node.op.name} has no lowering rule"
        before = b.check_code
        b.check_code = lambda: self.site(node)
        try:
            operands = [self.operand(x) for x in node.inputs]
            return node.op.lower(b, node.tensor, indices, *operands, **node.keywords)
        finally:
            b.check_code = before

    def site(self, node: Node) -> int:
        """The code of the node's checks."""
        self.checks.append(CheckSite(len(self.checks) + 1, _complaint(node), node.location))
        return len(self.checks)

    def _lower_loops(self) -> None:
        """A loop over the outer axes, where outputs of outer shape are stored, and in it one over the others."""
        shape = self.body.outputs[0].shape
        chosen = cast("tuple[int, ...] | None", self.fused.attribute("outer"))
        outer = [axis for axis in chosen or () if shape[axis] != 1]
        rest = [axis for axis in range(len(shape)) if axis not in outer and shape[axis] != 1]
        has_rows = chosen is not None and bool(rest)
        if not rest and outer and self._reduces_middle():
            outer, rest = outer[:-1], outer[-1:]  # neighbours of the last axis stay neighbours in the inner loop
        elif chosen is None:
            merged = self._merge(shape, rest)
            outer, rest = [axis for run in merged[:-1] for axis in run], merged[-1] if merged else []
        with self._walk(shape, outer) as at:
            if chosen is not None and has_rows:
                self.row = Row(self.builder.depth, at, tuple(rest), shape, self._kept_in_rows(chosen))
                self._write_rows(at, chosen)
            self._nest(shape, self._merge(shape, rest), at, None if has_rows else chosen)

    @contextmanager
    def _walk(self, shape: Shape, axes: list[int]) -> Iterator[dict[int, Size]]:
        """One loop over several axes; gives the index of each."""
        sizes = tuple(shape[axis] for axis in axes)
        with self.builder.loop(product(sizes)) as position:
            yield dict(zip(axes, split_index(position, sizes), strict=True))

    def _nest(self, shape: Shape, runs: list[list[int]], at: dict[int, Size], outer: tuple[int, ...] | None) -> None:
        """Loops over runs of axes, and in them the outputs; with `outer`, also those of outer shape."""
        if runs:
            with self._walk(shape, runs[0]) as inner:
                self._nest(shape, runs[1:], {**at, **inner}, outer)
            return
        if outer is not None:
            self._write_rows(at, outer)
        indices = tuple(at.get(axis, 0) for axis in range(len(shape)))
        for i, node in enumerate(self.body.outputs):
            if node.shape == shape:
                self.write(i, indices)

    def _kept_in_rows(self, outer: tuple[int, ...]) -> frozenset[Node]:
        """Nodes long to compute that both a reduction and what follows it ask for."""
        root = self.body.outputs[0]
        axes = tuple(Axis(root, i) for i in outer)
        row = cast("int | None", self.fused.keywords.get("row"))
        row = ROW_LIMIT if row is None else row
        found = accesses_below(self.body, outer, row)
        return frozenset(node for node, accesses in found.items() if is_kept(node, accesses, root, axes, row))

    def _write_rows(self, at: dict[int, Size], outer: tuple[int, ...]) -> None:
        """Store the outputs that have one element per outer point."""
        domain = self.body.outputs[0].shape
        for i, node in enumerate(self.body.outputs):
            if node.shape != domain:
                self.write(i, tuple(at.get(axis, 0) for axis in outer))

    def _reduces_middle(self) -> bool:
        """Whether a reduction leaves axes on both sides, so that the kept ones are no single run of memory."""
        for node in self.body.nodes:
            if node.op.has(Flags.REDUCTION) and "axes" in node.keywords:
                axes = cast("tuple[int, ...]", node.attribute("axes"))
                rank = len(node.inputs[0].shape)
                if axes and rank - 1 not in axes and axes != tuple(range(len(axes))):
                    return True
        return False

    def _merge(self, shape: Shape, axes: list[int]) -> list[list[int]]:
        """Runs of axes that one loop can walk, contiguous in every operand."""
        runs: list[list[int]] = []
        for axis in axes:
            if runs and runs[-1][-1] == axis - 1 and self._can_merge(shape, axis - 1, axis):
                runs[-1].append(axis)
            else:
                runs.append([axis])
        return runs

    def _can_merge(self, shape: Shape, first: int, second: int) -> bool:
        for node in self.body.nodes:
            if len(node.shape) != len(shape) or node in self.buffers:
                continue
            if node.op is movement.broadcast:
                source = node.inputs[0].shape
                if (source[first] == shape[first]) != (source[second] == shape[second]):
                    return False
            elif node.op is movement.reshape:
                if node.inputs[0] not in self.buffers and not node.shape[first] == node.shape[second] == 1:
                    return False
            elif not node.op.has(Flags.ELEMENTWISE | Flags.REDUCTION) and node.op is not creation.constant:
                return False
        return True


WHOLE: dict[Op, Callable[[GroupLowering, Node], None]] = {
    contraction.dot: lower_contraction,
    **{find_op(name): lower_scan for name in STEPS},
    ordering.argsort: lower_argsort,
    ordering.search: lower_search,
}
"""Ops that write a kernel of their own."""


@dataclass(frozen=True, slots=True)
class _Operand:
    lowering: GroupLowering
    node: Node

    @property
    def type(self) -> TensorType:
        return self.node.tensor

    def __call__(self, indices: tuple[Size, ...]) -> Scalar:
        return self.lowering.read(self.node, indices)


def _buffer(name: str, type: TensorType) -> Buffer:
    parts = 2 if type.dtype.is_complex else 1
    return Buffer(name, real_of(type.dtype), type.size * parts)


def _complaint(node: Node) -> str:
    """What a run says whose check of the node failed; which value it was is found out later."""
    if node.op is requirement.require:
        return cast("str", node.attribute("message")).replace("{}", "(not shown)")
    size = node.inputs[0].shape[cast("int", node.attribute("axis"))]
    return f"{node.op.name}: an index is out of range for axis of size {size}"
