"""Which elements of a GPU's tensor hold, found there: how many is the one number that the host is told.

In: arrays of a GPU. Out: arrays beside them. The elements that hold are counted by a running sum; the place of the k-th
is where that sum reaches k, which a search in it finds. So the numbers come in order, and no two threads write to one
place. The host reads the sum's end, to know the size of what follows.

    rows, columns = places(x > 0)
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy as np

from graphc.eager.inplace import type_of
from graphc.eager.placement import empty, gpu_of
from graphc.eager.plan import Plan
from graphc.eager.program import Recipe
from graphc.eager.tensor import AnyArray
from graphc.ir.dtype import bool_, i64
from graphc.ir.graph import Graph, Node, make_input
from graphc.ir.type import Shape, TensorType
from graphc.ops import build, creation, movement, ordering, reduction
from graphc.ops import elementwise as ew


def running_count(condition: AnyArray) -> AnyArray:
    """For each element in order how many up to it aren't 0: int64, a vector."""
    (counts,) = _count_plan(type_of(condition.reshape(-1))).run([condition.reshape(-1)])
    return counts


def end_of(counts: AnyArray) -> int:
    """The last of running numbers; waits for the GPU."""
    return int(counts[-1:].reshape(())) if counts.size else 0


def places(condition: AnyArray) -> tuple[AnyArray, ...]:
    """Where the elements are that aren't 0: a vector for each dimension, of which there is one at least."""
    return _places(condition, is_table=False)


def place_table(condition: AnyArray) -> AnyArray:
    """As `places`, in one array: [dimensions, elements]."""
    (table,) = _places(condition, is_table=True)
    return table


def _places(condition: AnyArray, is_table: bool) -> tuple[AnyArray, ...]:
    counts = running_count(condition)
    found = counts[: end_of(counts)]
    return _places_plan(type_of(condition), type_of(counts), type_of(found), is_table).run([condition, counts, found])


def first_places(condition: AnyArray, size: int, fill: int) -> AnyArray:
    """The indices of the first elements that aren't 0, then rows of a number: [size, dimensions]. Nobody waits."""
    if not (condition.ndim and condition.size and size):
        rows = empty((size, condition.ndim), np.dtype(np.int64), gpu_of(condition))
        rows.fill(fill)
        return rows
    like = empty((size,), np.dtype(np.uint8), gpu_of(condition))
    counts = running_count(condition)
    plan = _first_plan(type_of(condition), type_of(counts), type_of(like))
    (rows,) = plan.run([condition, counts, like, np.array(fill, np.int64)])
    return rows


def repeated(counts: AnyArray, total: int) -> AnyArray:
    """The number of each element, as many times as running numbers rise there: int64 [total]."""
    if not total:
        return empty((0,), np.dtype(np.int64), gpu_of(counts))
    like = empty((total,), np.dtype(np.uint8), gpu_of(counts))
    (found,) = _repeat_plan(type_of(counts), type_of(like)).run([counts, like])
    return found


def sized_plan(
    name: str, options: tuple[object, ...], types: tuple[TensorType, ...], outputs: Callable[..., Sequence[Node]]
) -> Plan:
    """A plan for inputs of these types, of which some only tell a size; `outputs` builds on them.

    Sizes may differ from call to call: one program serves them. Places are found, not given, so none is wrong.
    """

    def build_graph(types: Sequence[TensorType]) -> Graph:
        given = [make_input(f"x{number}", type) for number, type in enumerate(types)]
        return Graph(name, tuple(given), tuple(outputs(*given)))

    return Plan(build_graph(types), "", Recipe((name, *options), types, build_graph), is_sure=True)


@functools.lru_cache(maxsize=512)
def _count_plan(condition: TensorType) -> Plan:
    def outputs(x: Node) -> Sequence[Node]:
        return (reduction.cumsum(build.cast_to(build.cast_to(x, bool_), i64), axis=0, reverse=False),)

    return sized_plan("running_count", (condition.dtype,), (condition,), outputs)


def place_of_each(counts: Node, like: Node) -> Node:
    """The flat place of the first, second, ... element that a running count counts: as many as `like` has."""
    number = creation.iota(shape=like.shape, axis=0, dtype=i64)
    return ordering.search(counts, ew.add(number, build.ones_like(number)), right=False)


def coordinates(flat: Node, shape: Shape) -> list[Node]:
    """Flat places as indices of the dimensions."""
    found: list[Node] = []
    for size in reversed(shape[1:]):
        extent = build.broadcast_to(build.size_of(size, i64), flat.shape)
        found.append(ew.remainder(flat, extent))
        flat = ew.floor_divide(flat, extent)
    return [flat, *reversed(found)]


@functools.lru_cache(maxsize=512)
def _places_plan(condition: TensorType, counts: TensorType, found: TensorType, is_table: bool) -> Plan:
    def outputs(x: Node, counts: Node, like: Node) -> Sequence[Node]:
        each = coordinates(place_of_each(counts, like), x.shape)
        return (_rows(each),) if is_table else each

    return sized_plan("places", (condition.dtype, is_table), (condition, counts, found), outputs)


def _rows(vectors: Sequence[Node]) -> Node:
    return movement.concat(*(build.insert_axes(each, (0,)) for each in vectors), axis=0)


@functools.lru_cache(maxsize=512)
def _first_plan(condition: TensorType, counts: TensorType, like: TensorType) -> Plan:
    def outputs(x: Node, counts: Node, like: Node, fill: Node) -> Sequence[Node]:
        flat = place_of_each(counts, like)
        is_there = ew.lt(flat, build.broadcast_to(build.size_of(counts.shape[0], i64), flat.shape))
        other = build.broadcast_to(fill, flat.shape)
        each = [ew.select(is_there, place, other) for place in coordinates(flat, x.shape)]
        return (build.permute_to(_rows(each), (1, 0)),)

    types = (condition, counts, like, TensorType((), i64))
    return sized_plan("first_places", (condition.dtype,), types, outputs)


@functools.lru_cache(maxsize=512)
def _repeat_plan(counts: TensorType, like: TensorType) -> Plan:
    def outputs(counts: Node, like: Node) -> Sequence[Node]:
        return (ordering.search(counts, creation.iota(shape=like.shape, axis=0, dtype=i64), right=True),)

    return sized_plan("repeated", (), (counts, like), outputs)
