"""Group nodes into `fused` nodes, one kernel each.

In: a graph of primitives. Out: a graph in which every node but inputs, constants, `get` and calls of the host is
`fused`; its body is a graph, so the decision can be printed and run.

Nodes are visited users first. A node joins the group of its users where one kernel can compute it there at no great
cost, else it starts a group of its own and its value goes through memory. What decides is how the group accesses the
node: an *access* gives for each of its dimensions the loop axis that indexes it, or the set of axes that the index
depends on. The axes of a group are the dimensions of its root (the domain) and one for each dimension that is reduced.

- Elementwise and movement nodes join; those many instructions long only where they are computed once per element, and
  none that would be computed many times over. A `concat` of many parts is a root, written part by part.
- A reduction joins where its value is needed once for each point of some leading loops (`outer`): softmax and layer
  norm thus become one kernel, outer loops over rows, and the row's reductions before the loop over its columns.
- A contraction joins as the anchor of an elementwise group, its epilogue; what moves its operands joins its panels.
- A call of the host is a group by itself, which no other node joins and which stays as it is in the result, and so is
  a group that another pass has made.
- A node with users in several groups is written by the group that must run first; movement is repeated instead.

A group only takes a node whose other readers stand below it (`height`), so no cycle can arise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias, cast

from graphc.ir.dim import bounds, product
from graphc.ir.graph import FUSED, GET, INPUT, Graph, Node, make, make_input
from graphc.ir.location import Location
from graphc.ir.op import Flags
from graphc.ir.replace import with_inputs
from graphc.ir.type import TensorType, TupleType
from graphc.ops import creation, movement
from graphc.passes.access import ROW_LIMIT, Access, Axis, dependencies, is_kept, operand_accesses
from graphc.passes.annotation import drop_annotations
from graphc.passes.lower_parts import has_many_parts
from graphc.passes.pipeline import register

SERIAL_LIMIT = 16384
"""Elements that a kernel without a parallel loop may take for the sake of fusion."""
PATH_LIMIT = 8
"""Ways in which one kernel may evaluate a node: sums of a value and the same shifted double them each time."""
DEPTH_LIMIT = 24
"""How deep lowering rules may call each other; each takes some fourteen frames of Python's stack."""

Path: TypeAlias = "tuple[Access, int]"
"""A way in which a node is evaluated: its access, and a number that tells apart what the access doesn't."""


@dataclass(slots=True, eq=False)
class Group:
    """Nodes that one kernel computes. `outputs[0]` is the root, whose shape is the domain."""

    outputs: list[Node]
    height: int
    """Longest path from here to an output, in groups: what this group reads from stands higher."""
    accesses: dict[Node, tuple[Access, ...]] = field(default_factory=dict)
    paths: dict[Node, tuple[Path, ...]] = field(default_factory=dict)
    """The ways in which each node is evaluated; those by the same indices under the same condition are one."""
    depth: dict[Node, int] = field(default_factory=dict)
    """Lowering rules that call each other before the node is reached; along elementwise nodes none do."""
    outer: tuple[Axis, ...] | None = None
    """Axes of the loops in front of which reductions run; None while there are none."""
    anchor: Node | None = None
    """The node that has no pull-style lowering: at most one."""
    row: int = ROW_LIMIT
    """Elements of a row that the kernel may keep."""
    _reads: dict[Node, dict[Node, dict[Path, None]]] = field(default_factory=dict)
    _marks: dict[tuple[Node, int, Path], int] = field(default_factory=dict)

    @property
    def root(self) -> Node:
        """The node that gives the domain."""
        return self.outputs[0]

    @property
    def domain(self) -> tuple[Axis, ...]:
        """The axes of the root."""
        return tuple(Axis(self.root, i) for i in range(len(self.root.shape)))

    def add(self, node: Node, paths: tuple[Path, ...], depth: int = 0) -> None:
        """Take in a node that is read in these ways."""
        self.paths[node] = paths
        self.accesses[node] = accesses_of(paths)
        self.depth[node] = depth

    def reads(self, user: Node) -> dict[Node, dict[Path, None]]:
        """How a member reads each of its operands."""
        found = self._reads.get(user)
        if found is None:
            found = self._reads[user] = {}
            is_row = is_kept(user, self.accesses[user], self.root, self.outer, self.row)
            for access, mark in ((self.domain, 0),) if is_row else self.paths[user]:
                for i, (operand, wanted) in enumerate(zip(user.inputs, operand_accesses(user, access), strict=True)):
                    path = (wanted, self._mark(user, i, wanted, (access, mark)))
                    found.setdefault(operand, {})[path] = None
        return found

    def forget_reads(self) -> None:
        """Find reads anew: what is kept for a row depends on the outer axes."""
        self._reads.clear()

    def _mark(self, user: Node, position: int, wanted: Access, path: Path) -> int:
        """0 where the access says all about the indices, else a number for this way to the operand."""
        if user.op.has(Flags.ELEMENTWISE):
            return path[1]
        is_exact = all(isinstance(index, Axis) or not index for index in wanted)
        if path[1] == 0 and is_exact and user.op not in (movement.pad, movement.concat):
            return 0
        return self._marks.setdefault((user, position, path), len(self._marks) + 1)


@dataclass(slots=True)
class Request:
    """How a group reads a node: the ways, in order, and how deep its lowering rule would be called."""

    paths: dict[Path, None] = field(default_factory=dict)
    depth: int = 0


def accesses_of(paths: Iterable[Path]) -> tuple[Access, ...]:
    """The distinct accesses of paths, in order."""
    return tuple(dict.fromkeys(access for access, _ in paths))


@register("fuse")
def fuse(graph: Graph, *, limit: int = 64, row: int = ROW_LIMIT) -> Graph:
    """Group nodes into kernels of at most `limit` nodes, which keep rows of up to `row` elements (0: any)."""
    graph = _separate_outputs(drop_annotations(graph, barriers=True))
    if all(is_leaf(node) or is_whole(node) for node in graph.nodes):
        return graph
    groups = _assign(graph, limit, row)
    return _build(graph, groups)


def is_leaf(node: Node) -> bool:
    """Whether the node's value is in memory before any kernel runs; constants of one element are part of the code."""
    if node.op is creation.constant:
        return node.tensor.size != 1
    return node.op in (INPUT, GET)


def is_whole(node: Node) -> bool:
    """Whether the node is a group by itself that nothing joins: a call of the host, or a group that is made already."""
    return node.op is FUSED or node.op.has(Flags.HOST)


def _separate_outputs(graph: Graph) -> Graph:
    """Outputs that are inputs, constants or repeated become copies: every output is memory of its own."""
    outputs: dict[Node, None] = {}
    for node in graph.outputs:
        is_own = node.op is not INPUT and node.op is not creation.constant and node not in outputs
        copied = node if is_own else make(movement.reshape, (node,), {"shape": node.shape}, node.location)
        outputs[copied] = None
    result = tuple(outputs)
    return graph if result == graph.outputs else Graph(graph.name, graph.inputs, result)


def _assign(graph: Graph, limit: int, row: int) -> list[Group]:
    groups: list[Group] = []
    members: dict[Node, list[Group]] = {}
    outputs = set(graph.outputs)
    for node in reversed(graph.nodes):
        if node.op is GET:
            members[node] = [group for user in graph.users[node] for group in members[user]]
            continue
        if is_leaf(node):
            continue
        if is_whole(node):
            readers = (group for user in graph.users[node] for group in members[user])
            group = Group([node], 1 + max((reader.height for reader in readers), default=0), anchor=node, row=row)
            groups.append(group)
            members[node] = [group]
            continue
        requests = _requests(node, graph, members)
        candidates = sorted(requests, key=lambda group: -group.height)
        is_output = node in outputs
        joined: list[Group] = []
        if _is_repeatable(node):
            joined = [group for group in candidates if _join(node, group, requests[group], limit, is_written=False)]
            must_write = is_output or len(joined) < len(candidates)
        elif candidates:
            first, *others = candidates
            is_written = is_output or bool(others)
            is_first = all(other.height < first.height for other in others)
            if is_first and _join(node, first, requests[first], limit, is_written):
                joined = [first]
            must_write = not joined
        else:
            must_write = True
        if must_write:
            group = Group([node], 1 + max((g.height for g in candidates), default=0), row=row)
            group.add(node, ((group.domain, 0),))
            _take(node, group, has_reduction(node))
            groups.append(group)
            joined = [group, *joined]
        members[node] = joined
    return groups


def _requests(node: Node, graph: Graph, members: Mapping[Node, list[Group]]) -> dict[Group, Request]:
    """What each group that reads the node wants of it."""
    requests: dict[Group, Request] = {}
    for user in dict.fromkeys(graph.users[node]):
        step = 0 if user.op.has(Flags.ELEMENTWISE) else 2 if user.op.has(Flags.REDUCTION) else 1
        for group in members[user]:
            request = requests.setdefault(group, Request())
            if is_whole(user):
                continue  # it reads memory: in no way that a kernel could take part in
            request.paths.update(group.reads(user)[node])
            request.depth = max(request.depth, group.depth[user] + step)
    return requests


def _is_repeatable(node: Node) -> bool:
    """Whether computing it in every group that reads it costs no more than reading it from memory."""
    if node.op.has(Flags.OPAQUE | Flags.REDUCTION | Flags.EXPENSIVE):
        return False
    if not node.inputs or node.op.has(Flags.MOVEMENT):
        return True
    return node.tensor.size == 1 and node.op.has(Flags.ELEMENTWISE)


def _join(node: Node, group: Group, request: Request, limit: int, is_written: bool) -> bool:
    paths = tuple(request.paths)
    accesses = accesses_of(paths)
    if not paths or len(group.accesses) >= limit or len(paths) > PATH_LIMIT or request.depth > DEPTH_LIMIT:
        return False
    if is_written and not _is_writable(node, group, accesses):
        return False
    is_row_value = has_reduction(node)
    if node.op.has(Flags.OPAQUE):
        if not node.op.has(Flags.CONTRACTION) or not _can_anchor(group, accesses, node):
            return False
    elif is_row_value:
        if len(paths) > 1 or not _can_reduce(node, group, accesses):
            return False
    elif node.op.has(Flags.EXPENSIVE):
        if not _is_computed_once(node, group, paths):
            if group.outer is not None or len(paths) > 1 or not _can_reduce(node, group, accesses):
                return False
            is_row_value = True  # such as the logarithm of a row's sum
    elif len(accesses) > 3 or has_many_parts(node):
        return False
    group.add(node, paths, request.depth)
    _take(node, group, is_row_value)
    if is_written:
        group.outputs.append(node)
        if group.outer is None and group.domain not in accesses:
            group.outer = cast("tuple[Axis, ...]", accesses[0])
            group.forget_reads()
    return True


def _take(node: Node, group: Group, is_row_value: bool) -> None:
    """Note what a new member means for the group; a row value is to be computed in front of the loop over its row."""
    if node.op.has(Flags.OPAQUE):
        group.anchor = node
    elif is_row_value:
        group.outer = tuple(sorted(dependencies(group.accesses[node][0]), key=lambda axis: axis.index))
        group.forget_reads()


def has_reduction(node: Node) -> bool:
    """Whether its lowering loops over elements to combine."""
    return node.op.has(Flags.REDUCTION) and not node.op.has(Flags.OPAQUE)


def _is_writable(node: Node, group: Group, accesses: tuple[Access, ...]) -> bool:
    """Whether the group's loops pass each element of the node once, in a place where it can be stored."""
    if node.op.has(Flags.OPAQUE):
        return False
    if group.domain in accesses:
        return node.shape == group.root.shape
    if len(accesses) != 1:
        return False
    (access,) = accesses
    rows = _rows(node, group, access)
    if group.anchor is not None or not rows or access != rows or not _spans(node, access):
        return False
    return rows == group.outer if group.outer is not None else _can_run_by_rows(rows, group)


def _rows(node: Node, group: Group, access: Access) -> tuple[Axis, ...] | None:
    """The axes of the domain that access the node, in the domain's order; None if something else does."""
    axes = [axis for axis in access if isinstance(axis, Axis)]
    if not _fills(node, access) or len(set(axes)) != len(axes) or not set(axes) <= set(group.domain):
        return None
    return tuple(sorted(axes, key=lambda axis: axis.index))


def _can_anchor(group: Group, accesses: tuple[Access, ...], node: Node) -> bool:
    """Whether the group is an epilogue: elementwise on the contraction's result, its dimensions in any order."""
    if group.anchor is not None or group.outer is not None or len(accesses) != 1:
        return False
    rows = _rows(node, group, accesses[0])
    needed = {axis for axis, size in zip(group.domain, group.root.shape, strict=True) if size != 1}
    if not all(_is_in_epilogue(member) for member in group.accesses):
        return False
    return rows is not None and needed <= set(rows) and _spans(node, accesses[0])


def _fills(node: Node, access: Access) -> bool:
    """Whether every dimension has an axis of its own, or is of size 1 and always accessed at its one index."""
    pairs = zip(access, node.shape, strict=True)
    return all(isinstance(index, Axis) or (size == 1 and not index) for index, size in pairs)


def _spans(node: Node, access: Access) -> bool:
    """Whether the loops over the domain pass all of its elements and no more: no slice or pad is in between."""
    pairs = zip(access, node.shape, strict=True)
    return all(size == axis.node.shape[axis.index] for axis, size in pairs if isinstance(axis, Axis))


def _is_in_epilogue(node: Node) -> bool:
    """What a tile's epilogue may hold: values of this element, and what moves them without a second visit."""
    return node.op.has(Flags.ELEMENTWISE | Flags.MOVEMENT) or not node.inputs


def _can_reduce(node: Node, group: Group, accesses: tuple[Access, ...]) -> bool:
    if group.anchor is not None or len(accesses) != 1:
        return False
    outer = _rows(node, group, accesses[0])
    if outer is None:
        return False
    return outer == group.outer if group.outer is not None else _can_run_by_rows(outer, group)


def _can_run_by_rows(outer: tuple[Axis, ...], group: Group) -> bool:
    """Whether loops over these axes may come first, and inside of them all others."""
    sizes = dict(zip(group.domain, group.root.shape, strict=True))
    inner = [axis for axis in group.domain if axis not in outer and sizes[axis] != 1]
    if not inner:
        return True
    if group.domain[-1] not in inner and any(a.index > inner[-1].index for a in outer if sizes[a] != 1):
        return False  # the innermost loop would stride through memory
    if bounds(product(sizes[axis] for axis in outer))[1] < 4:  # too few rows to share among threads
        return bounds(product(sizes[axis] for axis in inner))[1] <= SERIAL_LIMIT
    return all(_is_computed_once_per(outer, group, member) for member in group.accesses)


def _is_computed_once_per(outer: tuple[Axis, ...], group: Group, member: Node) -> bool:
    """Whether putting the outer loops first repeats nothing costly."""
    if not member.op.has(Flags.EXPENSIVE):
        return True
    return all(dependencies(access) >= set(outer) for access in group.accesses[member])


def _is_computed_once(node: Node, group: Group, paths: tuple[Path, ...]) -> bool:
    """Whether each element is computed about once: no loop runs over it that its index doesn't depend on."""
    accesses = accesses_of(paths)
    if len(paths) > 1 and not is_kept(node, accesses, group.root, group.outer, group.row):
        return False
    sizes = dict(zip(group.domain, group.root.shape, strict=True))
    domain = {axis for axis in group.domain if sizes[axis] != 1}
    for access in accesses:
        axes = dependencies(access)
        inside = axes - set(group.domain)
        if group.anchor is not None and inside:
            return False  # a panel is packed once per block, and by every thread
        needed = domain if not inside or group.outer is None else {a for a in group.outer if sizes[a] != 1}
        if not axes >= needed and axes != set(group.outer or ()):
            return False
    return True


def _build(graph: Graph, groups: list[Group]) -> Graph:
    """The graph of fused nodes: groups in an order in which each follows what it reads."""
    position = {node: i for i, node in enumerate(graph.nodes)}
    values: dict[Node, Node] = {node: node for node in graph.nodes if is_leaf(node)}
    for group in sorted(groups, key=lambda g: (-g.height, position[g.root])):
        if is_whole(group.root):
            call = group.root
            made = values[call] = with_inputs(call, tuple(values[x] for x in call.inputs))
            values.update((user, with_inputs(user, (made,))) for user in graph.users[call] if user.op is GET)
            continue
        members = sorted(group.accesses, key=position.__getitem__)
        inside = set(members)
        operands: dict[Node, Node] = {}
        copies: dict[Node, Node] = {}
        for node in members:
            for operand in node.inputs:
                if operand not in inside and operand not in operands:
                    operands[operand] = make_input(f"p{len(operands)}", operand.tensor, operand.location)
            inputs = tuple(copies[x] if x in inside else operands[x] for x in node.inputs)
            copies[node] = Node(node.op, inputs, node.attributes, node.type, node.location)
        body = Graph(_name(group), tuple(operands.values()), tuple(copies[node] for node in group.outputs))
        outer = None if group.outer is None else tuple(axis.index for axis in group.outer)
        arguments = tuple(values[x] for x in operands)
        attributes = (("body", body), ("outer", outer), ("row", None if group.row == ROW_LIMIT else group.row))
        fused = Node(FUSED, arguments, attributes, _type_of(body), _location(group))
        for index, node in enumerate(group.outputs):
            values[node] = fused if len(group.outputs) == 1 else make(GET, (fused,), {"index": index}, node.location)
    return Graph(graph.name, graph.inputs, tuple(values[node] for node in graph.outputs))


def _type_of(body: Graph) -> TensorType | TupleType:
    types = tuple(node.tensor for node in body.outputs)
    return types[0] if len(types) == 1 else TupleType(types)


def _location(group: Group) -> Location | None:
    """The line that the group stands for: the anchor's, else the root's."""
    return (group.anchor or group.root).location


def _name(group: Group) -> str:
    """A name for people: the anchor or first reduction, and the root."""
    parts: dict[str, None] = {}
    for node in reversed(group.accesses):
        if node.op.has(Flags.OPAQUE | Flags.REDUCTION | Flags.EXPENSIVE):
            parts[node.op.name] = None
    parts[group.root.op.name] = None
    return "_".join(list(parts)[-4:])
