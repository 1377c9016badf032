"""Distinct elements, or rows, of a GPU's tensors, found there.

In: keys in an array of a GPU: a vector, or a matrix whose rows are compared. Out: the first of each run of equal ones,
the number of the run that each is in, and how many each has. Where all equal ones are to meet, they are sorted first.
The host is told how many runs there are.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Final, NamedTuple

from graphc.eager.choosing import end_of, place_of_each, sized_plan
from graphc.eager.dispatch import function_of
from graphc.eager.inplace import type_of
from graphc.eager.mode import no_grad
from graphc.eager.placement import contiguous
from graphc.eager.plan import Plan
from graphc.eager.tensor import AnyArray, wrap
from graphc.ir.dtype import i64
from graphc.ir.graph import Node
from graphc.ir.type import TensorType
from graphc.ops import build, creation, indexing, ordering, reduction
from graphc.ops import elementwise as ew

MOST_COLUMNS: Final = 32
"""Of rows that are sorted by one column after the other."""


class Runs(NamedTuple):
    """What is known of runs of equal keys."""

    chosen: AnyArray
    """The first key of each run: [runs] or [runs, columns]."""
    numbers: AnyArray
    """The number of the run of each key, in the order that the keys came in: int64 [keys]."""
    counts: AnyArray
    """How many keys each run has: int64 [runs]."""


def consecutive(keys: AnyArray) -> Runs:
    """The runs of keys that stand beside equal ones."""
    keys = contiguous(keys)
    (numbers,) = _numbers_plan(type_of(keys)).run([keys])
    found = numbers[: end_of(numbers)]
    chosen, counts, numbers = _runs_plan(type_of(keys), type_of(numbers), type_of(found)).run([keys, numbers, found])
    return Runs(chosen, numbers, counts)


def sorted_runs(keys: AnyArray) -> Runs:
    """The runs of equal keys, wherever they stand, from the least to the greatest."""
    keys = contiguous(keys)
    order = _order(keys)
    (in_order,) = _taken_plan(type_of(keys), type_of(order)).run([keys, order])
    found = consecutive(in_order)
    (numbers,) = _put_plan(type_of(order), type_of(found.numbers)).run([order, found.numbers])
    return Runs(found.chosen, numbers, found.counts)


def _order(keys: AnyArray) -> AnyArray:
    """The places of the keys in order; equal ones keep theirs."""
    argsort = function_of("argsort")
    with no_grad():
        if keys.ndim == 1:
            return _array(argsort(wrap(keys), 0, stable=True))
        order = _array(argsort(wrap(keys[:, -1]), 0, stable=True))
        for column in range(keys.shape[1] - 2, -1, -1):
            values = contiguous(keys[:, column])
            (moved,) = _taken_plan(type_of(values), type_of(order)).run([values, order])
            later = _array(argsort(wrap(moved), 0, stable=True))
            (order,) = _taken_plan(type_of(order), type_of(later)).run([order, later])
    return order


def _array(tensor: object) -> AnyArray:
    found: AnyArray = tensor._array  # type: ignore[attr-defined]  # it is a tensor
    return found


@functools.lru_cache(maxsize=512)
def _taken_plan(keys: TensorType, order: TensorType) -> Plan:
    def outputs(keys: Node, order: Node) -> Sequence[Node]:
        return (indexing.gather(keys, order, axis=0),)

    return sized_plan("taken", (keys.dtype,), (keys, order), outputs)


@functools.lru_cache(maxsize=512)
def _put_plan(order: TensorType, numbers: TensorType) -> Plan:
    def outputs(order: Node, numbers: Node) -> Sequence[Node]:
        return (indexing.scatter(build.zeros_like(numbers), order, numbers, axis=0, mode="set"),)

    return sized_plan("put", (), (order, numbers), outputs)


@functools.lru_cache(maxsize=512)
def _numbers_plan(keys: TensorType) -> Plan:
    """The number of each key's run, from 1."""

    def outputs(keys: Node) -> Sequence[Node]:
        number = creation.iota(shape=(keys.shape[0],), axis=0, dtype=i64)
        before = indexing.gather(
            keys, ew.maximum(ew.sub(number, build.ones_like(number)), build.zeros_like(number)), axis=0
        )
        differs = ew.ne(keys, before)
        if len(keys.shape) > 1:
            differs = reduction.any_(differs, axes=tuple(range(1, len(keys.shape))))
        begins = ew.bitwise_or(differs, ew.eq(number, build.zeros_like(number)))
        return (reduction.cumsum(build.cast_to(begins, i64), axis=0, reverse=False),)

    return sized_plan("run_numbers", (keys.dtype,), (keys,), outputs)


@functools.lru_cache(maxsize=512)
def _runs_plan(keys: TensorType, numbers: TensorType, found: TensorType) -> Plan:
    def outputs(keys: Node, numbers: Node, like: Node) -> Sequence[Node]:
        first = place_of_each(numbers, like)
        each = ew.add(creation.iota(shape=like.shape, axis=0, dtype=i64), build.full_like(first, 2))
        end = ordering.search(numbers, each, right=False)
        chosen = indexing.gather(keys, first, axis=0)
        return chosen, ew.sub(end, first), ew.sub(numbers, build.ones_like(numbers))

    return sized_plan("runs", (keys.dtype,), (keys, numbers, found), outputs)
